"""SSH in process, by paramiko. All that knows paramiko's inside is in this file."""

from __future__ import annotations

import contextlib
import logging
import shlex
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import paramiko
from paramiko.common import MSG_SERVICE_REQUEST

from tui_sync.connectors.base import Buffer, HostKey
from tui_sync.connectors.sftp import known_hosts
from tui_sync.connectors.sftp.login import Login
from tui_sync.connectors.sftp.paramiko_login import authenticate
from tui_sync.errors import (
    ChangedHostKey,
    ConnectError,
    ConnectionLost,
    NotSupported,
    TimedOut,
    UnknownHostKey,
)
from tui_sync.names import printable

logging.getLogger("paramiko").addHandler(logging.NullHandler())

_CONNECT_S = 15.0
_KEEPALIVE_S = 15
_STALL_S = 60.0
# More than a session ever asks for at once, so that the server can always answer.
_WINDOW = 16 << 20
_PACKET = 32 << 10
_PREFERRED_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr")
_USERAUTH = b"\0\0\0\x0cssh-userauth"
_ASK_FOR_USERAUTH = bytes([MSG_SERVICE_REQUEST]) + _USERAUTH
_REFUSED_CIPHERS = ("3des-cbc",)


class ParamikoChannel:
    """A channel's stream, see ``transport.ByteChannel``."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

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

    def __init__(self, transport: paramiko.Transport, connection: socket.socket) -> None:
        self._transport = transport
        self._connection = connection

    @property
    def alive(self) -> bool:
        return self._transport.is_active()

    def open_sftp(self) -> ParamikoChannel:
        try:
            channel = self._transport.open_channel(
                "session", window_size=_WINDOW, max_packet_size=_PACKET, timeout=_CONNECT_S
            )
        except paramiko.ChannelException as error:
            reason = printable(str(error.text))
            raise NotSupported(f"the server refuses a further session: {reason}") from None
        except (paramiko.SSHException, OSError, EOFError) as error:
            self.close()
            raise ConnectionLost(f"the connection was lost: {_reason(error)}") from None
        # paramiko waits for the answer without end.
        watchdog = threading.Timer(_CONNECT_S, channel.close)
        watchdog.daemon = True
        watchdog.start()
        try:
            channel.invoke_subsystem("sftp")
        except (paramiko.SSHException, OSError, EOFError) as error:
            channel.close()
            if not self.alive:
                raise ConnectionLost(f"the connection was lost: {_reason(error)}") from None
            raise NotSupported("the server does not offer SFTP to this user") from None
        finally:
            watchdog.cancel()
        return ParamikoChannel(channel)

    def close(self) -> None:
        # A thread that sits in a send or receive comes back at once only from a socket shut down.
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
            self._transport.close()


def connect(login: Login) -> ParamikoTransport:
    """Connect, check the host key, log in.

    Raises ConnectError, UnknownHostKey, ChangedHostKey or LoginRefused.
    """
    connection = _open_socket(login.host, login.port)
    try:
        transport = _handshake(login, connection)
    except BaseException:
        connection.close()
        raise
    opened = ParamikoTransport(transport, connection)
    try:
        _check_host_key(login, transport.get_remote_server_key())
        authenticate(transport, login)
        transport.set_keepalive(_KEEPALIVE_S)
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

    def _send_message(self, data: paramiko.Message) -> None:
        if not self.is_authenticated() and data.asbytes() == _ASK_FOR_USERAUTH:
            if self._asked:
                # The attempt goes on as if the server had just accepted again.
                self.auth_handler._parse_service_accept(paramiko.Message(_USERAUTH))  # type: ignore[union-attr]
                return
            self._asked = True
        super()._send_message(data)  # type: ignore[misc]


def _handshake(login: Login, connection: socket.socket) -> paramiko.Transport:
    transport = _Transport(connection, default_window_size=_WINDOW)
    transport.banner_timeout = _CONNECT_S
    transport.handshake_timeout = _CONNECT_S
    options = transport.get_security_options()
    ciphers = [name for name in options.ciphers if name not in _REFUSED_CIPHERS]
    options.ciphers = _first(_PREFERRED_CIPHERS, ciphers)
    recorded = {record.key_type for record in _records(login) if not record.revoked}
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
    return known_hosts.lookup(login.known_hosts, known_hosts.host_name(login.host, login.port))


def _check_host_key(login: Login, key: paramiko.PKey) -> None:
    name = known_hosts.host_name(login.host, login.port)
    key_type, blob = key.get_name(), key.asbytes()
    fingerprint = known_hosts.fingerprint(blob)
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
    valid = [record for record in records if not record.revoked]
    if any(record.blob == blob for record in valid):
        return
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
    line = known_hosts.key_line(name, key_type, blob)
    if login.prompts.trust(login.server, HostKey(name, key_type, fingerprint, line)):
        known_hosts.append(file, line)
        return
    raise UnknownHostKey(
        f"the host key of {name} is not known: {key_type} {fingerprint}; compare this fingerprint with the "
        f"server's own, then trust it with: {_keyscan(login, key_type, file)}",
        host=name,
        key_type=key_type,
        fingerprint=fingerprint,
    )


def _keyscan(login: Login, key_type: str, file: Path) -> str:
    kind = key_type.removeprefix("ssh-").partition("-")[0]
    return f"ssh-keyscan -t {kind} -p {login.port} {shlex.quote(login.host)} >> {shlex.quote(str(file))}"


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
