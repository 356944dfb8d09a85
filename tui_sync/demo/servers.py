"""An SFTP server inside this process, by asyncssh: for the demo and for tests, on loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncssh

_HOST = "127.0.0.1"
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 5.0
_WINDOW = 8 * 1024 * 1024
_PACKET = 256 * 1024

# Without a handler of its own asyncssh's warnings would land on stderr, amid the app's screen.
logging.getLogger("asyncssh").addHandler(logging.NullHandler())


class EmbeddedServer:
    """An SFTP server (protocol version 3) that serves ``root`` as ``/`` to one user with a password.

    It runs in a thread with an event loop of its own between ``start`` and ``stop``. ``password`` and
    ``host_key`` (an OpenSSH private key in PEM) are random unless given; ``port`` 0 takes a free one and
    is replaced by it on ``start``.
    """

    def __init__(
        self,
        root: Path,
        *,
        user: str = "demo",
        password: str | None = None,
        host_key: str | None = None,
        port: int = 0,
    ) -> None:
        self.root = root
        self.host = _HOST
        self.port = port
        self.user = user
        self.password = password if password is not None else secrets.token_urlsafe(18)
        self._key = (
            asyncssh.import_private_key(host_key)
            if host_key
            else asyncssh.generate_private_key("ssh-ed25519")
        )
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._connections: set[Any] = set()

    @property
    def host_key_line(self) -> str:
        """The known_hosts line that trusts this server."""
        public: str = self._key.export_public_key().decode("ascii")
        key_type, data = public.split()[:2]
        host = self.host if self.port == 22 else f"[{self.host}]:{self.port}"
        return f"{host} {key_type} {data}"

    @property
    def fingerprint(self) -> str:
        """The host key's ``SHA256:…`` fingerprint, as ssh-keygen prints it."""
        fingerprint: str = self._key.get_fingerprint("sha256")
        return fingerprint

    def url(self, path: str = "/") -> str:
        """The URL of the absolute ``path`` on this server, without the password."""
        return f"sftp://{self.user}@{self.host}:{self.port}{path}"

    def start(self) -> Self:
        """Serve; returns once connections are accepted. Raises OSError where it cannot listen."""
        if self._thread is not None:
            raise RuntimeError("the server has been started already")
        self._thread = threading.Thread(target=self._run, name=f"embedded-sftp-{self.user}", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT_S):
            raise OSError("the embedded SFTP server did not start in time")
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self

    def stop(self) -> None:
        """End the server and all its connections. May be called twice, and before ``start``."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and self._stop is not None:
            # The loop may have ended on its own just now: then there is nothing left to stop.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
        thread.join(_STOP_TIMEOUT_S)

    def drop_connections(self) -> None:
        """Cut every open connection without a goodbye, as a failing network does. New ones are accepted."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._abort_all)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that called start
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        chroot = os.fsencode(self.root)
        acceptor = await asyncssh.listen(
            self.host,
            self.port,
            server_factory=lambda: _Login(self),
            server_host_keys=[self._key],
            sftp_factory=lambda channel: _Files(channel, chroot=chroot),
            sftp_version=3,
            encryption_algs=["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr"],
            compression_algs=None,
            agent_forwarding=False,
            allow_pty=False,
            gss_host=None,
            config=None,
            window=_WINDOW,
            max_pktsize=_PACKET,
            login_timeout=30,
        )
        try:
            self.port = acceptor.get_port()
            self._ready.set()
            await self._stop.wait()
        finally:
            acceptor.close()
            self._abort_all()
            # asyncio's Server.wait_closed waits for connections too since 3.12; they are aborted already.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(acceptor.wait_closed(), timeout=2)

    def _abort_all(self) -> None:
        for connection in list(self._connections):
            connection.abort()


class _Login(asyncssh.SSHServer):
    """One user, one password; each connection is remembered so that ``stop`` can end it."""

    def __init__(self, owner: EmbeddedServer) -> None:
        self._owner = owner
        self._connection: Any = None

    def connection_made(self, connection: Any) -> None:
        self._connection = connection
        self._owner._connections.add(connection)

    def connection_lost(self, error: Exception | None) -> None:
        self._owner._connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        known = secrets.compare_digest(username.encode(), self._owner.user.encode())
        return secrets.compare_digest(password.encode(), self._owner.password.encode()) and known


class _Files(asyncssh.SFTPServer):
    """asyncssh's file server, with what it does otherwise than OpenSSH put right."""

    def readlink(self, path: bytes) -> bytes:
        # asyncssh resolves a relative link against this process's working directory.
        return os.readlink(self.map_path(path))

    async def fsync(self, file_obj: Any) -> None:
        # On the event loop it would hold up every other request for as long as the disk takes.
        await asyncio.to_thread(os.fsync, file_obj.fileno())
