"""One long answer, read ahead piece by piece: where the line is short, nothing brings content faster."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from botocore import exceptions as boto
from urllib3.exceptions import HTTPError as BodyBroken

from tui_sync.connectors.s3.client import Store
from tui_sync.connectors.s3.keys import MIB

# A body that breaks off: the connection was lost, or it was shorter than its headers say.
BROKEN = (boto.HTTPClientError, boto.IncompleteReadError, BodyBroken)
BODY_ATTEMPTS = 4

_PIECE = MIB
# Read ahead at most, within what the connector's budget gives.
_MOST_AHEAD = 16
# A body that broke off only after so much counts as a first failure again.
_PROGRESS = 4 * MIB
# A stream that has been waited for most of the time is judged after so many bytes or seconds, and left if it
# brings less per second: then more of them at a time are faster.
_JUDGED_AFTER = 32 * MIB
_JUDGED_AFTER_S = 0.5
_ENOUGH = 64 * MIB


class Stream:
    """The bytes from ``start`` up to ``stop``, for one consumer.

    ``get`` sends the request for a range and returns its body; ``body`` is that of a request already sent,
    from ``start`` on. A thread of the store's reads; it stops for good with ``close`` or when the store is
    closed.
    """

    def __init__(
        self, store: Store, get: Callable[[int, int], Any], start: int, stop: int, body: Any = None
    ) -> None:
        self._store = store
        self._get = get
        self._start = start
        self._stop = stop
        self._body = body
        self._pieces: deque[tuple[bytes, int]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._ended = False
        # A body that is never finished closes its connection, so a stalled consumer costs one.
        self._future = store.calls.start(self._read)
        self._future.add_done_callback(lambda _: self._end())

    def pieces(self) -> Iterator[bytes]:
        """In their order; fewer than all of them where the stream is too slow. Raises what botocore raises,
        and ConnectionLost where the store was closed."""
        begun = time.monotonic()
        waited = 0.0
        at = self._start
        judged = False
        while at < self._stop:
            before = time.monotonic()
            with self._changed:
                while not self._pieces and not self._ended:
                    self._changed.wait()
                piece, taken = self._pieces.popleft() if self._pieces else (b"", 0)
                self._changed.notify_all()
            self._store.downloading.give(taken)
            now = time.monotonic()
            waited += now - before
            if not piece:
                # Raises why it ended.
                self._future.result()
                return
            at += len(piece)
            yield piece
            del piece
            brought, elapsed = at - self._start, now - begun
            if not judged and (brought >= _JUDGED_AFTER or elapsed >= _JUDGED_AFTER_S):
                judged = True
                if waited > elapsed / 2 and brought < _ENOUGH * elapsed:
                    return

    def close(self) -> None:
        """Let the connection go, with what was read and not consumed."""
        self._end()
        with self._changed:
            self._closed = True
            taken = sum(taken for _, taken in self._pieces)
            self._pieces.clear()
        self._store.downloading.give(taken)

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _read(self) -> None:
        """In a thread of the store's."""
        at = since = self._start
        failures = 0
        while not self._ended:
            body, self._body = self._body or self._get(at, self._stop), None
            try:
                with body as stream:
                    while at < self._stop:
                        taken = self._room()
                        if taken is None:
                            return
                        try:
                            piece = stream.read(min(_PIECE, self._stop - at))
                        except BaseException:
                            # Room that is not given back is lost to all downloads.
                            self._store.downloading.give(taken)
                            raise
                        self._put(piece, taken)
                        at += len(piece)
                        if not piece:
                            raise BodyBroken("the answer ended too early")
                return
            except BROKEN:
                if at - since >= _PROGRESS:
                    failures = 0
                since = at
                failures += 1
                if failures == BODY_ATTEMPTS or self._ended:
                    raise

    def _room(self) -> int | None:
        """Wait until another piece may be read, and return how much of the budget it holds: the one that is
        waited for next holds nothing, or none might ever come. None where nobody wants one."""
        with self._changed:
            while not self._ended:
                if not self._pieces:
                    return 0
                if len(self._pieces) < _MOST_AHEAD and self._store.downloading.try_take(_PIECE):
                    return _PIECE
                self._changed.wait()
            return None

    def _put(self, piece: bytes, taken: int) -> None:
        with self._changed:
            if piece and not self._closed:
                self._pieces.append((piece, taken))
                self._changed.notify_all()
                return
        self._store.downloading.give(taken)
