"""Making durable what is on a server already: files that are closed, and a large one while the rest of it is
still on its way.

Without the latter a server may keep all of it in memory until the end, and making it durable then takes as
long as its disk needs for the whole.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence

from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.remote import Remote
from tui_sync.connectors.sftp.session import Asked, SftpSession
from tui_sync.errors import ConnectionLost, NotSupported, StorageError, TimedOut, TuiSyncError

# A slow disk with gigabytes to catch up on says nothing for minutes.
FSYNC_S = 600.0
_STEP = 32 << 20
_LEAST_SIZE = 4 * _STEP


def make_durable(session: SftpSession, fulls: Sequence[str]) -> list[StorageError | None]:
    """Of each file, by the server's path, why its content may not be on the disk. Raises ConnectionLost and
    TimedOut."""
    opened = session.send_many([Asked(wire.Open(full, wire.OpenFlag.READ), "open", full) for full in fulls])
    results: list[StorageError | None] = []
    handles: list[bytes | None] = []
    for reply in opened:
        handle, error = None, None
        try:
            handle = reply.handle()
        except (ConnectionLost, TimedOut):
            raise
        except StorageError as failed:
            error = failed
        handles.append(handle)
        results.append(error)
    requests = []
    for full, handle in zip(fulls, handles, strict=True):
        if handle is not None:
            requests.append(Asked(wire.fsync(handle), "make durable", full, FSYNC_S))
            requests.append(Asked(wire.Close(handle), "close", full))
    replies = session.send_many(requests)
    for index, handle in enumerate(handles):
        if handle is None:
            continue
        synced, closed = replies.popleft(), replies.popleft()
        try:
            # Offered, but perhaps not for this file system.
            with contextlib.suppress(NotSupported):
                synced.ok()
            closed.ok()
        except (ConnectionLost, TimedOut):
            raise
        except StorageError as error:
            results[index] = error
    return results


class Flusher:
    """Has what is there made durable now and then, on a channel that nobody needs: on its own one the file
    would have to wait meanwhile.

    Whatever goes wrong here is of no account: whoever writes the file is told what the disk refuses.
    """

    def __init__(self, remote: Remote, full: str, size: int | None) -> None:
        self._remote = remote
        self._full = full
        self._wanted = size is None or size >= _LEAST_SIZE
        self._size = size
        self._due = _STEP
        self._thread: threading.Thread | None = None

    def written(self, count: int) -> None:
        """``count`` bytes of the file have been acknowledged. Never waits."""
        if count < self._due or not self._wanted:
            return
        if self._thread is not None and self._thread.is_alive():
            return
        self._due = count + _STEP
        if self._size is not None and self._size - count < _STEP // 2:
            # The end is near, and has to be waited for anyway.
            return
        self._thread = threading.Thread(target=self._flush, name="tui-sync-flush", daemon=True)
        self._thread.start()

    def _flush(self) -> None:
        pool = self._remote.pool
        try:
            session = pool.spare()
        except TuiSyncError:
            return
        if session is None:
            return
        try:
            handle = session.send(wire.Open(self._full, wire.OpenFlag.READ), "open", self._full).handle()
            try:
                session.send(wire.fsync(handle), "make durable", self._full, deadline=FSYNC_S).ok()
            finally:
                with contextlib.suppress(StorageError):
                    session.send(wire.Close(handle), "close", self._full)
        except StorageError:
            self._wanted = False
        finally:
            pool.release(session)
