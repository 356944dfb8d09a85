"""An asyncssh server on loopback, for what sshd cannot do as an ordinary user: passwords and questions."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import asyncssh


class SshServer:
    """Serves ``root`` over SFTP to ``user``, who logs in as ``methods`` say.

    ``questions`` are what keyboard-interactive asks; one that begins with ``Code`` is asked in the open and
    wants 123456. With ``forwards`` it is a jump host; with ``shell`` it runs commands, which see the whole
    machine. ``logins`` counts those that succeeded, ``attempts`` keeps what was answered.
    """

    def __init__(
        self,
        root: Path,
        *,
        methods: tuple[str, ...] = ("password",),
        password: str = "right",
        questions: tuple[str, ...] = ("Password: ",),
        forwards: bool = False,
        shell: bool = False,
        sftp_server: type[asyncssh.SFTPServer] = asyncssh.SFTPServer,
    ) -> None:
        self.root = root
        self.methods = methods
        self.password = password
        self.questions = questions
        self.forwards = forwards
        self.shell = shell
        self.sftp_server = sftp_server
        self.user = "somebody"
        self.port = 0
        self.logins = 0
        self.attempts: list[str] = []
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._connections: set[Any] = set()
        self._listener: Any = None

    @property
    def host_key_line(self) -> str:
        kind, blob = self._key.export_public_key().decode().split()[:2]
        return f"[127.0.0.1]:{self.port} {kind} {blob}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen)
        return self

    def __exit__(self, *exc: object) -> None:
        self._call(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def drop(self) -> None:
        """Cut all connections."""
        self._call(self._abort)

    def _call(self, what: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(what(), self._loop).result(20)

    async def _listen(self) -> None:
        self._listener = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: _Door(self),
            server_host_keys=[self._key],
            sftp_factory=lambda channel: self.sftp_server(channel, chroot=os.fsencode(self.root)),
            allow_scp=False,
            process_factory=_run if self.shell else None,
            encoding=None,
        )
        self.port = self._listener.get_port()

    async def _abort(self) -> None:
        for connection in list(self._connections):
            connection.abort()

    async def _end(self) -> None:
        self._listener.close()
        await self._abort()
        await self._listener.wait_closed()


async def _run(process: Any) -> None:
    ran = subprocess.Popen(process.command, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    await process.redirect(stdin=ran.stdin, stdout=ran.stdout)
    await process.wait_closed()


class _Door(asyncssh.SSHServer):
    def __init__(self, server: SshServer) -> None:
        self._server = server
        self._connection: Any = None

    def connection_made(self, conn: Any) -> None:
        self._connection = conn
        self._server._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server._connections.discard(self._connection)

    def connection_requested(self, *_addresses: object) -> bool:
        return self._server.forwards

    def begin_auth(self, username: str) -> bool:
        return True

    def auth_completed(self) -> None:
        self._server.logins += 1

    def password_auth_supported(self) -> bool:
        return "password" in self._server.methods

    def public_key_auth_supported(self) -> bool:
        return "publickey" in self._server.methods

    def kbdint_auth_supported(self) -> bool:
        return "keyboard-interactive" in self._server.methods

    def validate_password(self, username: str, password: str) -> bool:
        self._server.attempts.append(password)
        return (username, password) == (self._server.user, self._server.password)

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        return (
            "title",
            "",
            "",
            [(question, question.startswith("Code")) for question in self._server.questions],
        )

    def validate_kbdint_response(self, username: str, responses: Any) -> bool:
        self._server.attempts.extend(responses)
        expected = [
            "123456" if question.startswith("Code") else self._server.password
            for question in self._server.questions
        ]
        return list(responses) == expected
