"""Making durable what there is of a large file while the rest of it is still on its way.

Without that a server may keep all of it in memory until the end, and making it durable then takes as
long as its disk needs for the whole.
"""

from __future__ import annotations

import contextlib
import threading

from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.remote import Remote
from tui_sync.errors import StorageError, TuiSyncError

# A slow disk with gigabytes to catch up on says nothing for minutes.
FSYNC_S = 600.0
_STEP = 32 << 20
_LEAST_SIZE = 4 * _STEP


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
