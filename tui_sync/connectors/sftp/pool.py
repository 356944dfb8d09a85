"""One login and its channels: opened as they are needed, made anew after the connection was lost."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from tui_sync.connectors.sftp.session import SftpSession
from tui_sync.connectors.sftp.transport import SshTransport
from tui_sync.errors import ConnectError, ConnectionLost, HostKeyError, LoginRefused, NotSupported

CHANNELS = 8


class SessionPool:
    """Hands out the session with the fewest users, and opens another where all are in use.

    A call that a lost connection fails raises ConnectionLost; the next one connects again. ``dial`` makes a
    login, and ``abort`` ends one that is under way. A server that refuses a further channel is asked for no
    more than it has granted.
    """

    def __init__(
        self,
        dial: Callable[[], SshTransport],
        *,
        channels: int = CHANNELS,
        abort: Callable[[], None] = lambda: None,
    ) -> None:
        self._dial = dial
        self._abort = abort
        self._cap = channels
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._users: dict[SftpSession, int] = {}
        self._transport: SshTransport | None = None
        self._dialled = False
        self._attempts = 0
        self._failure: Exception | None = None
        self._closed = threading.Event()
        self._wake: threading.Event | None = None

    @contextlib.contextmanager
    def session(self) -> Iterator[SftpSession]:
        """A session for one call."""
        session = self.acquire()
        try:
            yield session
        finally:
            self.release(session)

    def acquire(self) -> SftpSession:
        """A session to keep until ``release``. Raises ConnectionLost, or ConnectError on the first login."""
        while True:
            with self._lock:
                attempts = self._attempts
                session = self._free()
            if session is not None:
                return session
            with self._opening:
                with self._lock:
                    if self._attempts != attempts:
                        # Another thread tried while this one waited: its failure holds for both.
                        if self._failure is not None:
                            raise self._failure
                        continue
                self._grow()

    def release(self, session: SftpSession) -> None:
        with self._lock:
            if session in self._users:
                self._users[session] -= 1

    @property
    def server(self) -> str:
        """Of the newest login, see ``SshTransport``; empty before the first."""
        transport = self._transport
        return transport.server if transport is not None else ""

    @property
    def leases(self) -> int:
        """How many users there are, all sessions together."""
        with self._lock:
            return sum(self._users.values())

    @property
    def channels(self) -> int:
        """How many sessions are open."""
        with self._lock:
            return sum(session.alive for session in self._users)

    def close(self) -> None:
        """End everything; calls under way raise ConnectionLost, and so does every later one. Never raises."""
        with self._lock:
            self._closed.set()
            if self._wake is not None:
                self._wake.set()
            sessions, transport = list(self._users), self._transport
            self._users.clear()
            self._transport = None
        self._abort()
        if transport is not None:
            transport.close()
        for session in sessions:
            session.close()

    def _free(self) -> SftpSession | None:
        """The session to use, counted as used; None where another one is to be opened first."""
        self._check()
        gone = self._transport is None or not self._transport.alive
        for session in [session for session in self._users if gone or not session.alive]:
            del self._users[session]
        if not self._users:
            return None
        session = min(self._users, key=self._users.__getitem__)
        # Never wait for a channel that another thread is opening just now.
        if self._users[session] and len(self._users) < self._cap and not self._opening.locked():
            return None
        self._users[session] += 1
        return session

    def _check(self) -> None:
        if self._closed.is_set():
            raise ConnectionLost("the connection was closed")

    def _grow(self) -> None:
        """Open one more session, with a new login where there is none. Only by the holder of ``_opening``."""
        failure: Exception | None = None
        try:
            session = self._open()
            with self._lock:
                if not self._closed.is_set():
                    self._users[session] = 0
                    return
            session.close()
            self._check()
        except NotSupported as error:
            with self._lock:
                if not self._users:
                    failure = error
                    raise
                self._cap = len(self._users)
        except Exception as error:
            failure = error
            raise
        finally:
            with self._lock:
                self._attempts += 1
                self._failure = failure

    def _open(self) -> SftpSession:
        transport = self._transport
        if transport is not None and transport.alive:
            # The line may be dead without anybody knowing yet: then a new login is worth a try.
            with contextlib.suppress(ConnectionLost):
                return SftpSession(transport.open_sftp())
        if transport is not None:
            transport.close()
        self._check()
        try:
            fresh = self._login()
        except (LoginRefused, HostKeyError):
            raise
        except ConnectError as error:
            if not self._dialled:
                raise
            raise ConnectionLost(f"the connection was lost and cannot be made again: {error}") from None
        with self._lock:
            self._transport = fresh
            self._dialled = True
            closed = self._closed.is_set()
        if closed:
            fresh.close()
            self._check()
        return SftpSession(fresh.open_sftp())

    def _login(self) -> SshTransport:
        """Dial in a thread of its own: looking up a name or connecting cannot be interrupted, and ``close``
        must not wait for it."""
        wake = threading.Event()
        results: list[SshTransport | BaseException] = []

        def dial() -> None:
            try:
                transport = self._dial()
            except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
                results.append(error)
            else:
                results.append(transport)
                if self._closed.is_set():
                    transport.close()
            wake.set()

        with self._lock:
            self._wake = wake
            self._check()
        threading.Thread(target=dial, name="tui-sync-login", daemon=True).start()
        wake.wait()
        with self._lock:
            self._wake = None
        self._check()
        result = results[0]
        if isinstance(result, BaseException):
            raise result
        return result
