"""One login and its channels: opened as they are needed, made anew after the connection was lost."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from tui_sync.connectors.sftp.session import SftpSession
from tui_sync.connectors.sftp.transport import ByteChannel, SshTransport
from tui_sync.errors import (
    ConnectError,
    ConnectionLost,
    HostKeyError,
    LoginRefused,
    NotSupported,
    StorageError,
    TimedOut,
)

CHANNELS = 8
# A round trip that takes longer is worth saving.
FAR_S = 0.01


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
        self._ceiling = channels
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._users: dict[SftpSession, int] = {}
        self._lent: set[SftpSession] = set()
        self._transport: SshTransport | None = None
        self._dialled = False
        self._losses = 0
        self._carried = 0
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
                if not self._users[session]:
                    self._lent.discard(session)

    def open_command(self, command: str) -> ByteChannel:
        """See ``SshTransport``; on the present login, never a new one."""
        with self._lock:
            self._check()
            transport = self._transport
        if transport is None or not transport.alive:
            raise ConnectionLost("the connection was lost")
        return transport.open_command(command)

    def idle(self, most: int) -> list[SftpSession]:
        """Up to ``most`` open sessions that nobody uses, each to be kept until ``release``."""
        with self._lock:
            found = [session for session, users in self._users.items() if not users and session.alive]
            for session in found[: max(0, most)]:
                self._users[session] += 1
            return found[: max(0, most)]

    def spare(self) -> SftpSession | None:
        """A session that nobody else uses, to be kept until ``release``, and that others get only where there
        is no other: an idle one, or a further one where half of them are still to be had. None where there is
        none without taking it from others, or without logging in anew."""
        with self._lock:
            transport = self._transport
            full = 2 * len(self._users) > self._cap or self._opening.locked()
            idle = any(not users for users in self._users.values())
        if not idle:
            if transport is None or not transport.alive or full:
                return None
            with self._opening:
                self._open_one(transport)
        with self._lock:
            for session, users in self._users.items():
                if not users and session.alive:
                    self._users[session] = 1
                    self._lent.add(session)
                    return session
        return None

    def warm(self) -> None:
        """Have all channels opened soon, at the same time, where it takes long to open one."""
        if self.rtt_s < FAR_S:
            return
        with self._lock:
            transport, missing = self._transport, self._cap - len(self._users)
        with contextlib.suppress(RuntimeError):
            # Too many threads: those channels are opened when they are needed.
            for _ in range(missing if transport is not None else 0):
                threading.Thread(
                    target=self._open_one, args=(transport,), name="tui-sync-warm", daemon=True
                ).start()

    @property
    def server(self) -> str:
        """Of the newest login, see ``SshTransport``; empty before the first."""
        transport = self._transport
        return transport.server if transport is not None else ""

    @property
    def rtt_s(self) -> float:
        """Seconds that a round trip takes, as measured by the quickest of the sessions."""
        with self._lock:
            return min((session.rtt_s for session in self._users), default=0.0)

    def users(self, session: SftpSession) -> int:
        """How many users a session has."""
        with self._lock:
            return self._users.get(session, 0)

    @property
    def leases(self) -> int:
        """How many users there are, all sessions together."""
        with self._lock:
            return sum(self._users.values())

    @property
    def losses(self) -> int:
        """How many logins were lost."""
        return self._losses

    @property
    def carried(self) -> int:
        """Bytes of files that the present login has carried for sure."""
        return self._carried

    def carry(self, count: int) -> None:
        with self._lock:
            self._carried += count

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
            self._lent.discard(session)
        if not self._users:
            return None
        session = min(self._users, key=lambda one: (one in self._lent, self._users[one]))
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
                # Others may have been opened meanwhile (``warm``).
                if not self._closed.is_set() and len(self._users) < self._ceiling:
                    self._users[session] = 0
                    return
            session.close()
            self._check()
        except (NotSupported, TimedOut) as error:
            # Refused, or not to be had on a line that the others keep busy.
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

    def _open_one(self, transport: SshTransport) -> None:
        try:
            session = SftpSession(transport.open_sftp())
        except NotSupported:
            with self._lock:
                # Others may be on their way, and those that are open are granted.
                self._cap = max(1, min(self._cap, len(self._users)))
            return
        except StorageError:
            # Who needs the channel will find out.
            return
        with self._lock:
            if (
                self._transport is transport
                and len(self._users) < self._ceiling
                and not self._closed.is_set()
            ):
                self._users[session] = 0
                self._cap = max(self._cap, len(self._users))
                return
        session.close()

    def _open(self) -> SftpSession:
        transport = self._transport
        if transport is not None and transport.alive:
            # The line may be dead without anybody knowing yet: then a new login is worth a try.
            try:
                return SftpSession(transport.open_sftp())
            except ConnectionLost:
                pass
            except NotSupported:
                with self._lock:
                    if self._users:
                        raise
                # The session that just ended here may still count: this login is of no use.
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
            self._losses += self._dialled
            self._carried = 0
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
        try:
            threading.Thread(target=dial, name="tui-sync-login", daemon=True).start()
        except RuntimeError as error:
            raise ConnectError(f"cannot log in: {error}") from None
        wake.wait()
        with self._lock:
            self._wake = None
        self._check()
        result = results[0]
        if isinstance(result, BaseException):
            raise result
        return result
