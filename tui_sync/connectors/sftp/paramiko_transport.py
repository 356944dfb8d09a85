"""SSH in process, by paramiko."""

from __future__ import annotations

import contextlib
import logging
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import paramiko
from paramiko.buffered_pipe import BufferedPipe
from paramiko.common import MSG_GLOBAL_REQUEST, MSG_SERVICE_REQUEST

from tui_sync.connectors.base import Buffer, HostKey
from tui_sync.connectors.sftp import known_hosts, proxy_command
from tui_sync.connectors.sftp.login import Login
from tui_sync.connectors.sftp.paramiko_login import authenticate
from tui_sync.connectors.sftp.paramiko_packets import (
    BufferedSocket,
    BulkPacketizer,
    PacketPipe,
    fits,
    send_bulk,
)
from tui_sync.connectors.sftp.route import resolve
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
# More than a session ever asks for at once, so that the server can always answer.
_WINDOW = 16 << 20
# Larger ones than the usual 32 KiB halve the work per byte; beyond this the copies leave the cache.
_PACKET = 64 << 10
_PREFERRED_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr")
_USERAUTH = b"\0\0\0\x0cssh-userauth"
_ASK_FOR_USERAUTH = bytes([MSG_SERVICE_REQUEST]) + _USERAUTH
_REFUSED_CIPHERS = ("3des-cbc",)


class ParamikoChannel:
    """A channel's stream, see ``transport.ByteChannel``. ``packets``: of SFTP, and of use only when whole."""

    def __init__(self, channel: paramiko.Channel, *, packets: bool = True) -> None:
        self._channel = channel
        if packets and isinstance(channel.in_buffer, BufferedPipe) and not len(channel.in_buffer):
            channel.in_buffer = PacketPipe()  # type: ignore[assignment]

    def send(self, buffers: Sequence[Buffer], timeout: float) -> None:
        self._channel.settimeout(timeout)
        with _translated():
            transport = self._channel.transport
            if transport is not None and isinstance(transport.packetizer, BulkPacketizer):
                send_bulk(self._channel, buffers)
                return
            data = memoryview(buffers[0] if len(buffers) == 1 else b"".join(buffers))
            while data:
                sent = self._channel.send(data)  # type: ignore[arg-type]
                if not sent:
                    raise ConnectionLost("the server closed the connection")
                data = data[sent:]

    def receive(self, limit: int, timeout: float) -> Buffer:
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
        # paramiko waits for the answer without end. Its own close raises where the line is lost.
        watchdog = threading.Timer(_CONNECT_S, stream.close)
        watchdog.daemon = True
        watchdog.start()
        try:
            start(channel)
        except (paramiko.SSHException, OSError, EOFError) as error:
            stream.close()
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
    _heard = 0.0

    def __init__(self, connection: socket.socket | paramiko.Channel) -> None:
        # A jump host's channel is none.
        through: Any = connection
        if isinstance(connection, socket.socket) and fits():
            through = BufferedSocket(connection)
        bulk = through is not connection
        super().__init__(
            through, default_window_size=_WINDOW, packetizer_class=BulkPacketizer if bulk else None
        )
        if isinstance(self.packetizer, BulkPacketizer):
            self.packetizer.deliver = self._deliver

    def _deliver(self, number: int, data: memoryview) -> bool:
        """Data right to the channel it is for, unless something else is due, or it is no such channel."""
        inside: Any = self
        if inside._expected_packet:
            return False
        channel = inside._channels.get(number)
        if channel is None or not isinstance(channel.in_buffer, PacketPipe):
            return False
        self._heard = time.monotonic()
        channel.in_buffer.feed(data)
        return True

    def watch_line(self, interval: float) -> None:
        """Ask for a sign of life after ``interval`` seconds of silence, and end a line that gives none.

        A server that is busy for minutes with one request (fsync) still answers this: whatever it says, it
        has to say something (RFC 4254, section 4). paramiko's own keepalive wants no answer.
        """
        read = self.packetizer.read_message
        self._heard = time.monotonic()

        def read_message() -> tuple[int, paramiko.Message]:
            message = read()
            self._heard = time.monotonic()
            return message

        def ask() -> None:
            if time.monotonic() - self._heard > _SILENT_INTERVALS * interval:
                raise EOFError
            if not self.clear_to_send.is_set():
                # The server wants new keys. Sending waits for them, and only this very thread can fetch them.
                return
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
    transport = _Transport(connection)
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
