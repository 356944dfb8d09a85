"""A file read from an SFTP server, requested ahead."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from tui_sync.connectors.base import Buffer
from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.lanes import Lane, Lanes
from tui_sync.connectors.sftp.remote import Remote
from tui_sync.connectors.sftp.session import Asked, Reply, SftpSession
from tui_sync.connectors.sftp.window import Window
from tui_sync.errors import StorageError
from tui_sync.model import Entry, Kind
from tui_sync.names import printable

# So many requests at a time, where half a window is more: each on its own wakes up everybody on the way.
_TOGETHER = 4


class SftpDownload:
    """See ``base.Download``. Keeps its session until it is closed."""

    one_version = False

    def __init__(self, remote: Remote, path: str) -> None:
        self._remote = remote
        self._path = path
        self._full = remote.full(path)
        self._session: SftpSession | None = remote.pool.acquire()
        self._handle: bytes | None = None
        try:
            self._open(self._session)
        except BaseException:
            self.close()
            raise

    def is_on(self, remote: Remote) -> bool:
        """Whether the file lies on that server and is read by the same login."""
        return self._remote.login == remote.login

    @property
    def full_path(self) -> str:
        """The server's path."""
        return self._full

    @property
    def entry(self) -> Entry:
        return self._entry

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[Buffer]:
        session, handle = self._opened()
        lanes = Lanes(self._remote, Lane(session, handle), self._full)
        try:
            yield from self._blocks(lanes, start, stop)
        finally:
            lanes.close()

    def _blocks(self, lanes: Lanes, start: int, stop: int | None) -> Iterator[Buffer]:
        window = Window(self._remote.pool)
        end = stop if stop is not None else self._size
        # Beyond the size as it was told there may be nothing: one request at a time finds out.
        known = self._size if self._size is not None else 0
        lanes.open_for(wire.OpenFlag.READ, min(known, end or known) - start, self._attributes)
        window.lanes = len(lanes)
        asked: deque[tuple[int, int, Lane, Reply]] = deque()
        under_way, at = 0, start
        size = lanes.best().session.read_size
        low = come = 0
        newest: Reply | None = None
        while True:
            if not asked or under_way <= low:
                if newest is not None:
                    window.acknowledged(come, newest)
                    come, newest = 0, None
                room = window.size
                low = room - size * max(1, min(_TOGETHER, room // (2 * size)))
                ahead: list[tuple[int, int, Lane]] = []
                while end is None or at < end:
                    if (asked or ahead) and (at >= known or under_way + size > room):
                        break
                    length = size if end is None else min(size, end - at)
                    lane = lanes.best()
                    ahead.append((at, length, lane))
                    lane.under_way += length
                    at += length
                    under_way += length
                asked += self._ask(ahead)
            if not asked:
                return
            offset, length, lane, reply = asked.popleft()
            data = reply.data()
            if not data:
                return
            come, newest = come + length, reply
            under_way -= length
            lane.under_way -= length
            if len(data) < length:
                # A short reply says nothing about the end of the file: ask for the rest, in its place.
                rest = (offset + len(data), length - len(data))
                again = lane.session.send(wire.Read(lane.handle, *rest), "read", self._full)
                asked.appendleft((*rest, lane, again))
                under_way += rest[1]
                lane.under_way += rest[1]
                if offset + length < known:
                    size = max(min(size, len(data)), 4096)
            yield data

    def _ask(self, ahead: Sequence[tuple[int, int, Lane]]) -> Iterator[tuple[int, int, Lane, Reply]]:
        """The blocks with their replies, by one call for each lane."""
        of_lane: dict[Lane, list[Asked]] = {}
        for at, length, lane in ahead:
            request = wire.Read(lane.handle, at, length)
            of_lane.setdefault(lane, []).append(Asked(request, "read", self._full))
        replies = {lane: lane.session.send_many(requests) for lane, requests in of_lane.items()}
        for at, length, lane in ahead:
            yield at, length, lane, replies[lane].popleft()

    def restat(self) -> Entry:
        session, _ = self._opened()
        return self._remote.lstat(session, self._path)

    def close(self) -> None:
        session, self._session = self._session, None
        handle, self._handle = self._handle, None
        if session is None:
            return
        if handle is not None and session.alive:
            # Where the connection is lost, the handle went with it.
            with contextlib.suppress(StorageError):
                session.send(wire.Close(handle), "close", self._full)
        self._remote.pool.release(session)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, session: SftpSession) -> None:
        # Looked at before it is opened: a server would wait on a FIFO, and follow a symlink.
        before = self._remote.lstat(session, self._path)
        if before.kind is not Kind.FILE:
            raise StorageError(f"cannot read “{printable(self._full)}”: it is no regular file")
        request = wire.Open(self._full, wire.OpenFlag.READ)
        self._handle = session.send(request, "open", self._full).handle()
        attributes = session.send(wire.Fstat(self._handle), "look at", self._full).attributes()
        self._attributes = attributes
        self._size = attributes.size
        self._entry = self._remote.entry(self._path, attributes)
        if attributes.permissions is not None and self._entry.kind is not Kind.FILE:
            raise StorageError(f"cannot read “{printable(self._full)}”: it is no regular file")

    def _opened(self) -> tuple[SftpSession, bytes]:
        if self._session is None or self._handle is None:
            raise StorageError(f"“{printable(self._full)}” is closed")
        return self._session, self._handle
