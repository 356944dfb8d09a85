"""One large file through several channels: the same file opened once per channel, the blocks dealt out.

A server takes no more than its channel window (2 MiB with OpenSSH) per round trip on one channel, whatever
the line could carry. Near servers, small files, and files beside many others go through one channel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from math import ceil

from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.remote import Remote
from tui_sync.connectors.sftp.session import Reply, SftpSession
from tui_sync.errors import StorageError
from tui_sync.model import Kind

_CHANNEL_WINDOW = 2 << 20
# As fast as one file has to be able to go, in bytes a second.
_AIM = 200 << 20
# Below this the way is over before further channels are ready.
_LEAST_SIZE = 8 << 20


class Lane:
    """One channel with the file open on it. ``under_way`` is for its user to count, in bytes."""

    __slots__ = ("handle", "session", "under_way")

    def __init__(self, session: SftpSession, handle: bytes) -> None:
        self.session = session
        self.handle = handle
        self.under_way = 0


class Lanes:
    """The lanes of one file, the first of them its own. The others are given back by ``close``."""

    def __init__(self, remote: Remote, first: Lane, full: str) -> None:
        self._remote = remote
        self._full = full
        self._lanes = [first]

    def __len__(self) -> int:
        return len(self._lanes)

    def best(self) -> Lane:
        """The lane to put the next block on."""
        if len(self._lanes) == 1:
            return self._lanes[0]
        return min(self._lanes, key=lambda lane: lane.under_way)

    def open_for(self, flags: wire.OpenFlag, size: int | None, like: wire.Attributes | None) -> None:
        """Open as many more as the round trip makes worthwhile for ``size`` bytes (None: unknown), and as are
        idle. ``like``: what the file is known to be; None where it is being written.

        Each is looked at once it is open, and left alone where it is not surely the same regular file.
        """
        wanted = ceil(self._remote.pool.rtt_s * _AIM / _CHANNEL_WINDOW)
        if wanted < 2 or (size is not None and size < _LEAST_SIZE):
            return
        sessions = self._remote.pool.idle(wanted - len(self._lanes))
        try:
            for session, handle in self._open(sessions, flags):
                self._lanes.append(Lane(session, handle))
            self._check(like)
        finally:
            used = {id(lane.session) for lane in self._lanes}
            for session in sessions:
                if id(session) not in used:
                    self._remote.pool.release(session)

    def close(self) -> list[Reply]:
        """Close the file on all lanes but the first, and give their channels back. Never raises; the replies
        may be waited for."""
        lanes, self._lanes = self._lanes[1:], self._lanes[:1]
        return [reply for lane in lanes for reply in self._leave(lane)]

    def _leave(self, lane: Lane) -> Iterator[Reply]:
        if lane.session.alive:
            # Where the connection is lost, the handle went with it.
            with contextlib.suppress(StorageError):
                yield lane.session.send(wire.Close(lane.handle), "close", self._full)
        self._remote.pool.release(lane.session)

    def _open(
        self, sessions: Sequence[SftpSession], flags: wire.OpenFlag
    ) -> Iterator[tuple[SftpSession, bytes]]:
        asked = []
        for session in sessions:
            # One lane less is no reason to fail.
            with contextlib.suppress(StorageError):
                asked.append((session, session.send(wire.Open(self._full, flags), "open", self._full)))
        for session, reply in asked:
            with contextlib.suppress(StorageError):
                yield session, reply.handle()

    def _check(self, like: wire.Attributes | None) -> None:
        asked = []
        for lane in self._lanes[1:]:
            with contextlib.suppress(StorageError):
                of_handle = lane.session.send(wire.Fstat(lane.handle), "look at", self._full)
                of_path = lane.session.send(wire.Lstat(self._full), "look at", self._full)
                asked.append((lane, of_handle, of_path))
        right = [self._lanes[0]]
        for lane, of_handle, of_path in asked:
            with contextlib.suppress(StorageError):
                opened, there = of_handle.attributes(), of_path.attributes()
                expected = like or there
                if self._remote.entry("", there).kind is Kind.FILE and _same(opened, there, expected):
                    right.append(lane)
        wrong = [lane for lane in self._lanes if lane not in right]
        self._lanes = right
        for lane in wrong:
            for _ in self._leave(lane):
                pass


def _same(*several: wire.Attributes) -> bool:
    """Whether all of them may be of one file."""
    return len({(one.size, one.permissions, one.owner, one.times and one.times[1]) for one in several}) == 1
