"""SSH in process, by paramiko. All that knows paramiko's inside is in this file."""

from __future__ import annotations

import contextlib
import logging
import shlex
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import paramiko
from paramiko.buffered_pipe import BufferedPipe, PipeTimeout
from paramiko.common import MSG_GLOBAL_REQUEST, MSG_SERVICE_REQUEST

from tui_sync.connectors.base import Buffer, HostKey
from tui_sync.connectors.sftp import known_hosts, proxy_command
from tui_sync.connectors.sftp.login import Login
from tui_sync.connectors.sftp.paramiko_login import authenticate
from tui_sync.connectors.sftp.route import resolve
from tui_sync.connectors.sftp.wire import MAX_PACKET
from tui_sync.errors import (
    ChangedHostKey,
    ConnectError,
    ConnectionLost,
    HostKeyError,
    NotSupported,
    TimedOut,
    UnknownHostKey,
)
from tui_sync.names import printable

logging.getLogger("paramiko").addHandler(logging.NullHandler())

_CONNECT_S = 15.0
_KEEPALIVE_S = 15.0
_KEEPALIVE = "keepalive@openssh.com"
_SILENT_INTERVALS = 2.5
_STALL_S = 60.0
# More than a session ever asks for at once, so that the server can always answer.
_WINDOW = 16 << 20
# Larger ones than the usual 32 KiB halve the work per byte; beyond this the copies leave the cache.
_PACKET = 64 << 10
_BUFFER = 256 << 10
_SWARM = 4 << 10
_PREFERRED_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr")
_USERAUTH = b"\0\0\0\x0cssh-userauth"
_ASK_FOR_USERAUTH = bytes([MSG_SERVICE_REQUEST]) + _USERAUTH
_REFUSED_CIPHERS = ("3des-cbc",)


class PacketPipe:
    """Takes the place of a paramiko channel's input buffer: wakes the reader for whole SFTP packets only.

    paramiko's own wakes it for each of the dozens of SSH packets that one block comes in, and moves all the
    bytes behind those that were read. Has the methods that ``paramiko.Channel`` uses.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._packets: deque[bytes] = deque()
        self._parts: list[bytes] = []
        self._have = 0
        self._want = 0
        self._closed = False
        self._event: threading.Event | None = None

    def feed(self, data: bytes) -> None:
        """Only ever called by the transport's one thread."""
        packets: list[bytes] = []
        while data:
            if not self._want:
                head = b"".join((*self._parts, data[:4]))[:4]
                if len(head) == 4:
                    length = 4 + int.from_bytes(head, "big")
                    # What claims to be longer is not waited for: the session will refuse it.
                    self._want = length if length <= MAX_PACKET + 4 else self._have + len(data)
            missing = self._want - self._have
            if not self._want or len(data) < missing:
                self._parts.append(data)
                self._have += len(data)
                break
            self._parts.append(data[:missing])
            packets.append(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))
            self._parts, self._have, self._want = [], 0, 0
            data = data[missing:]
        if packets:
            with self._changed:
                self._packets += packets
                if self._event is not None:
                    self._event.set()
                self._changed.notify_all()

    def read(self, nbytes: int, timeout: float | None = None) -> bytes:
        with self._changed:
            if not self._changed.wait_for(lambda: self._packets or self._closed, timeout):
                raise PipeTimeout
            if not self._packets:
                return b""
            first = self._packets.popleft()
            if len(first) > nbytes:
                self._packets.appendleft(first[nbytes:])
                return first[:nbytes]
            # Acknowledgements come in swarms.
            several, total = [first], len(first)
            while self._packets and total + len(self._packets[0]) <= min(nbytes, _SWARM):
                several.append(self._packets.popleft())
                total += len(several[-1])
            if self._event is not None and not self._packets and not self._closed:
                self._event.clear()
            return first if len(several) == 1 else b"".join(several)

    def read_ready(self) -> bool:
        return bool(self._packets)

    def empty(self) -> bytes:
        with self._changed:
            everything = b"".join(self._packets)
            self._packets.clear()
            return everything

    def set_event(self, event: threading.Event) -> None:
        with self._changed:
            self._event = event
            if self._packets or self._closed:
                event.set()
            else:
                event.clear()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            if self._event is not None:
                self._event.set()
            self._changed.notify_all()

    def __len__(self) -> int:
        return sum(len(packet) for packet in self._packets)


class BufferedSocket:
    """The socket as paramiko uses it, with fewer system calls: reads through a buffer, and time-outs by the
    kernel instead of a poll before every call. A send that gets nowhere for a minute fails."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        self._moved = time.monotonic()

    @property
    def _closed(self) -> bool:
        return self._connection.fileno() < 0

    def settimeout(self, seconds: float | None) -> None:
        value = struct.pack("ll", *divmod(round((seconds or 0) * 1_000_000), 1_000_000))
        try:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)
        except OSError:
            self._connection.settimeout(seconds)
        else:
            self._connection.settimeout(None)

    def recv(self, limit: int) -> bytes:
        if self._start == self._end:
            try:
                self._end = self._connection.recv_into(self._buffer)
            except BlockingIOError:
                raise TimeoutError from None
            self._start = 0
        begin = self._start
        self._start = min(self._end, begin + limit)
        return bytes(self._view[begin : self._start])

    def send(self, data: Buffer) -> int:
        try:
            sent = self._connection.send(data)
        except (BlockingIOError, TimeoutError):
            if time.monotonic() - self._moved > _STALL_S:
                raise ConnectionAbortedError from None
            raise TimeoutError from None
        self._moved = time.monotonic()
        return sent

    def close(self) -> None:
        # Closing alone does not wake a thread that waits in recv.
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def fileno(self) -> int:
        return self._connection.fileno()

    def getpeername(self) -> object:
        return self._connection.getpeername()


class ParamikoChannel:
    """A channel's stream, see ``transport.ByteChannel``. ``packets``: of SFTP, and of use only when whole."""

    def __init__(self, channel: paramiko.Channel, *, packets: bool = True) -> None:
        self._channel = channel
        if packets and isinstance(channel.in_buffer, BufferedPipe) and not len(channel.in_buffer):
            channel.in_buffer = PacketPipe()  # type: ignore[assignment]

    def send(self, buffers: Sequence[Buffer], timeout: float) -> None:
        data = memoryview(buffers[0] if len(buffers) == 1 else b"".join(buffers))
        self._channel.settimeout(timeout)
        with _translated():
            while data:
                sent = self._channel.send(data)  # type: ignore[arg-type]
                if not sent:
                    raise ConnectionLost("the server closed the connection")
                data = data[sent:]

    def receive(self, limit: int, timeout: float) -> bytes:
        self._channel.settimeout(timeout)
        with _translated():
            data = self._channel.recv(limit)
        if not data:
            raise ConnectionLost("the server closed the connection")
        return data

    def close(self) -> None:
        # Whatever goes wrong here, the stream is at its end.
        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
            self._channel.close()


class ParamikoTransport:
    """One login, see ``transport.SshTransport``."""

    def __init__(self, transport: _Transport, line: Line, server: str) -> None:
        self._transport = transport
        self._line = line
        self._server = server

    @property
    def server(self) -> str:
        return self._server

    @property
    def transport(self) -> _Transport:
        return self._transport

    @property
    def host_key(self) -> paramiko.PKey:
        return self._transport.get_remote_server_key()

    @property
    def alive(self) -> bool:
        return self._transport.is_active()

    def open_sftp(self) -> ParamikoChannel:
        return self._open(
            lambda channel: channel.invoke_subsystem("sftp"), "the server does not offer SFTP to this user"
        )

    def open_command(self, command: str) -> ParamikoChannel:
        return self._open(
            lambda channel: channel.exec_command(command),
            "the server runs no command for this user",
            packets=False,
        )

    def _open(
        self, start: Callable[[paramiko.Channel], None], refusal: str, *, packets: bool = True
    ) -> ParamikoChannel:
        try:
            channel = self._transport.open_channel(
                "session", window_size=_WINDOW, max_packet_size=_PACKET, timeout=_CONNECT_S
            )
        except paramiko.ChannelException as error:
            reason = printable(str(error.text))
            raise NotSupported(f"the server refuses a further session: {reason}") from None
        except (paramiko.SSHException, OSError, EOFError) as error:
            # paramiko keeps one answer for all threads: where several are refused at once, some find none.
            if self.alive and "Unable to open" in str(error):
                raise NotSupported("the server refuses a further session") from None
            self.close()
            raise ConnectionLost(f"the connection was lost: {_reason(error)}") from None
        stream = ParamikoChannel(channel, packets=packets)
        # paramiko waits for the answer without end.
        watchdog = threading.Timer(_CONNECT_S, channel.close)
        watchdog.daemon = True
        watchdog.start()
        try:
            start(channel)
        except (paramiko.SSHException, OSError, EOFError) as error:
            channel.close()
            if not self.alive:
                raise ConnectionLost(f"the connection was lost: {_reason(error)}") from None
            raise NotSupported(refusal) from None
        finally:
            watchdog.cancel()
        return stream

    def close(self) -> None:
        # A thread that sits in a send or receive comes back at once only from a socket shut down.
        with contextlib.suppress(OSError):
            self._line.connection.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
            self._transport.close()
        self._line.close()


class Line:
    """What carries a login: a socket, or a channel of a jump host that stands in for one."""

    def __init__(self, connection: socket.socket | paramiko.Channel, end: Callable[[], object]) -> None:
        self.connection = connection
        self._end = end

    def close(self) -> None:
        """Never raises; may be called twice."""
        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
            self.connection.close()
        self._end()


def _open_line(login: Login) -> Line:
    if login.via is not None:
        return _through(login.via, login)
    if login.proxy_command:
        connection, end = proxy_command.start(login.proxy_command)
        return Line(connection, end)
    return Line(_open_socket(login.host, login.port), lambda: None)


def _through(via: Login, login: Login) -> Line:
    """A channel from a jump host on (RFC 4254, section 7.2)."""
    try:
        jump = _connect(via)
    except ConnectError as error:
        if not isinstance(error, HostKeyError):
            error.args = (f"at the jump host: {error}",)
        raise
    try:
        channel = jump.transport.open_channel(
            "direct-tcpip",
            (login.host, login.port),
            ("127.0.0.1", 0),
            window_size=_WINDOW,
            max_packet_size=_PACKET,
            timeout=_CONNECT_S,
        )
    except (paramiko.SSHException, OSError, EOFError) as error:
        jump.close()
        raise ConnectError(
            f"the jump host {via.server} cannot reach {login.address}: {_reason(error)}"
        ) from None
    return Line(channel, jump.close)


def connect(login: Login) -> ParamikoTransport:
    """Connect as the ssh configuration says, check the host key, log in; first so at each jump host.

    Raises ConnectError, UnknownHostKey, ChangedHostKey, LoginRefused, or UsageError for a configuration that
    cannot be followed.
    """
    return _connect(resolve(login))


def trust(login: Login) -> tuple[HostKey, Path]:
    """Check the host key without logging in, but at jump hosts: the key, and the file that trusts it.

    Asks about an unknown one. Raises as ``connect`` does.
    """
    login = resolve(login)
    opened = _shake_hands(login)
    try:
        return _check_host_key(login, opened.host_key)
    finally:
        opened.close()


def _shake_hands(login: Login) -> ParamikoTransport:
    line = _open_line(login)
    try:
        return ParamikoTransport(_handshake(login, line.connection), line, _server(login, line.connection))
    except BaseException:
        line.close()
        raise


def _server(login: Login, connection: socket.socket | paramiko.Channel) -> str:
    if isinstance(connection, socket.socket) and connection.family in (socket.AF_INET, socket.AF_INET6):
        address, port = connection.getpeername()[:2]
        return f"{address}:{port}"
    return login.address


def _connect(login: Login) -> ParamikoTransport:
    opened = _shake_hands(login)
    transport = opened.transport
    try:
        _check_host_key(login, opened.host_key)
        authenticate(transport, login)
        transport.watch_line(_KEEPALIVE_S)
    except (paramiko.SSHException, OSError, EOFError) as error:
        opened.close()
        raise ConnectError(f"{login.server} broke off the login: {_reason(error)}") from None
    except BaseException:
        opened.close()
        raise
    return opened


def _open_socket(host: str, port: int) -> socket.socket:
    try:
        connection = socket.create_connection((host, port), _CONNECT_S)
    except (socket.gaierror, UnicodeError):
        raise ConnectError(f"there is no host named “{printable(host)}”") from None
    except TimeoutError:
        raise ConnectError(f"{host} does not answer on port {port} within {_CONNECT_S:g} s") from None
    except ConnectionRefusedError:
        raise ConnectError(f"{host} refuses connections on port {port}: is its SSH server running?") from None
    except OSError as error:
        raise ConnectError(f"cannot reach {host} on port {port}: {error.strerror or error}") from None
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connection


class _Transport(paramiko.Transport):
    """Asks for the service ssh-userauth once per connection (RFC 4253, section 10).

    paramiko asks again with every attempt to log in, at which servers by asyncssh or Go disconnect. Its own
    ServiceRequestingTransport does not, but can miss an answer and waits for one without a deadline.
    """

    _asked = False

    def watch_line(self, interval: float) -> None:
        """Ask for a sign of life after ``interval`` seconds of silence, and end a line that gives none.

        A server that is busy for minutes with one request (fsync) still answers this: whatever it says, it
        has to say something (RFC 4254, section 4). paramiko's own keepalive wants no answer.
        """
        read = self.packetizer.read_message
        heard = time.monotonic()

        def read_message() -> tuple[int, paramiko.Message]:
            nonlocal heard
            message = read()
            heard = time.monotonic()
            return message

        def ask() -> None:
            if time.monotonic() - heard > _SILENT_INTERVALS * interval:
                raise EOFError
            request = paramiko.Message()
            request.add_byte(bytes([MSG_GLOBAL_REQUEST]))
            request.add_string(_KEEPALIVE)
            request.add_boolean(True)
            self._send_user_message(request)  # type: ignore[attr-defined]

        self.packetizer.read_message = read_message  # type: ignore[method-assign]
        self.packetizer.set_keepalive(interval, ask)

    def _send_message(self, data: paramiko.Message) -> None:
        if not self.is_authenticated() and data.asbytes() == _ASK_FOR_USERAUTH:
            if self._asked:
                # The attempt goes on as if the server had just accepted again.
                self.auth_handler._parse_service_accept(paramiko.Message(_USERAUTH))  # type: ignore[union-attr]
                return
            self._asked = True
        super()._send_message(data)  # type: ignore[misc]


def _handshake(login: Login, connection: socket.socket | paramiko.Channel) -> _Transport:
    transport = _Transport(connection, default_window_size=_WINDOW)
    transport.banner_timeout = _CONNECT_S
    transport.handshake_timeout = _CONNECT_S
    options = transport.get_security_options()
    ciphers = [name for name in options.ciphers if name not in _REFUSED_CIPHERS]
    options.ciphers = _first(_PREFERRED_CIPHERS, ciphers)
    recorded = {record.key_type for record in _records(login) if not record.revoked and not record.authority}
    if "ssh-rsa" in recorded:
        recorded |= {"rsa-sha2-512", "rsa-sha2-256"}
    options.key_types = _first([name for name in options.key_types if name in recorded], options.key_types)
    try:
        transport.start_client(timeout=2 * _CONNECT_S)
        transport.get_remote_server_key()
    except (paramiko.SSHException, OSError, EOFError) as error:
        transport.close()
        raise ConnectError(f"{login.address} does not answer as an SSH server: {_reason(error)}") from None
    return transport


def _first(preferred: Sequence[str], offered: Sequence[str]) -> tuple[str, ...]:
    """``offered`` with those ``preferred`` among them in front."""
    front = [name for name in preferred if name in offered]
    return (*front, *(name for name in offered if name not in front))


def _records(login: Login) -> list[known_hosts.Record]:
    return known_hosts.lookup(login.known_hosts, login.known_as)


def _check_host_key(login: Login, key: paramiko.PKey) -> tuple[HostKey, Path]:
    """The key and the file that trusts it; asks about an unknown one."""
    name = login.known_as
    key_type, blob = key.get_name(), key.asbytes()
    fingerprint = known_hosts.fingerprint(blob)
    offered = HostKey(name, key_type, fingerprint, known_hosts.key_line(name, key_type, blob))
    records = _records(login)
    revoked = next((record for record in records if record.revoked and record.blob == blob), None)
    if revoked is not None:
        raise ChangedHostKey(
            f"the host key of {name} ({key_type} {fingerprint}) is marked as revoked in "
            f"{revoked.file}, line {revoked.line}: do not connect before its owner gave it a new one",
            host=name,
            key_type=key_type,
            fingerprint=fingerprint,
        )
    valid = [record for record in records if not record.revoked and not record.authority]
    same = next((record for record in valid if record.blob == blob), None)
    if same is not None:
        return offered, same.file
    if valid:
        other = next((record for record in valid if record.key_type == key_type), valid[0])
        raise ChangedHostKey(
            f"the host key of {name} has changed: it now offers {key_type} {fingerprint}, but "
            f"{other.file}, line {other.line} says {other.key_type} {known_hosts.fingerprint(other.blob)}; "
            "somebody may be listening in, or the server was set up anew: ask its owner, "
            "then remove that line",
            host=name,
            key_type=key_type,
            fingerprint=fingerprint,
        )
    file = login.known_hosts[0]
    if login.prompts.trust(login.server, offered):
        known_hosts.append(file, offered.line)
        return offered, file
    authority = next((record for record in records if record.authority), None)
    by_authority = (
        f"{authority.file}, line {authority.line} names an authority for it, which only the ssh program can "
        'ask: write transport = "openssh" in the profile, or '
        if authority is not None
        else ""
    )
    raise UnknownHostKey(
        f"the host key of {name} is not known: {key_type} {fingerprint}; {by_authority}compare this "
        "fingerprint with the server's own, then trust it with: "
        f"tui-sync profiles trust {shlex.quote(printable(login.trusted_by))}",
        host=name,
        key_type=key_type,
        fingerprint=fingerprint,
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, EOFError):
        return "it closed the connection"
    return printable(str(error)) or type(error).__name__


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise TimedOut("the server does not take or send any more data") from None
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise ConnectionLost(f"the connection was lost: {_reason(error)}") from None
