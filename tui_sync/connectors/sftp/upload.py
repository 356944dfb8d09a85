"""A file written to an SFTP server under a temporary name, and published by a rename."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Sequence

from tui_sync.connectors.base import Buffer, Download, Range
from tui_sync.connectors.ranges import Ranges
from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.download import SftpDownload
from tui_sync.connectors.sftp.flush import FSYNC_S, Flusher
from tui_sync.connectors.sftp.lanes import Lane, Lanes
from tui_sync.connectors.sftp.remote import Remote, times_of
from tui_sync.connectors.sftp.rename import rename_new, rename_over
from tui_sync.connectors.sftp.session import Reply, SftpSession
from tui_sync.connectors.sftp.window import Window
from tui_sync.connectors.sftp.wire import OpenFlag
from tui_sync.errors import (
    ConnectionLost,
    NoSpace,
    NotFound,
    NotSupported,
    PermissionDenied,
    StorageError,
    TimedOut,
    TuiSyncError,
)
from tui_sync.model import Entry, Kind
from tui_sync.names import parent, printable

DEFAULT_MODE = 0o644
STAGED_MODE = 0o600
_FULL = 1 << 20
# What the server is asked to copy at a time: it says nothing until that is done.
_COPIED = 64 << 20
_COPY_S = 120.0


class SftpUpload:
    """See ``base.Upload``. Keeps its session until it is published, suspended or aborted.

    ``resumed``: what of an earlier upload was acknowledged, None for a new one.
    """

    def __init__(
        self,
        remote: Remote,
        path: str,
        temporary: str,
        *,
        mtime_ns: int | None,
        mode: int | None,
        size: int | None = None,
        resumed: Sequence[Range] | None = None,
    ) -> None:
        self._remote = remote
        self._wanted = wire.Attributes(
            permissions=DEFAULT_MODE if mode is None else mode & 0o777, times=times_of(mtime_ns)
        )
        self._path = path
        self._temporary = temporary
        self._full = remote.full(temporary)
        self._lock = threading.Lock()
        self._acks: deque[tuple[int, Lane, Reply]] = deque()
        self._size = size
        self._lanes: Lanes | None = None
        self._under_way = 0
        self._flusher: Flusher | None = None
        self._failure: StorageError | None = None
        self._handle: bytes | None = None
        self._ended = False
        self._session = remote.pool.acquire()
        # Only now is it known how far it is.
        self._window = Window(remote.pool)
        self._room = self._window.size
        self._held: tuple[Range, ...] = ()
        try:
            self._handle = self._open() if resumed is None else self._reopen(resumed)
        except BaseException:
            self._leave()
            raise
        self._acknowledged = Ranges(self._held)
        if self._session.offers(wire.FSYNC):
            self._flusher = Flusher(remote, self._full, size)

    @property
    def staged_path(self) -> str | None:
        return self._temporary

    @property
    def token(self) -> str:
        return ""

    @property
    def held(self) -> tuple[Range, ...]:
        return self._held

    @property
    def acknowledged(self) -> tuple[Range, ...]:
        with self._lock:
            return self._acknowledged.as_tuple()

    def copy_from(self, download: Download) -> bool:
        if not isinstance(download, SftpDownload) or not download.is_on(self._remote):
            return False
        if not self._session.offers(wire.COPY_DATA):
            return False
        try:
            return self._copy(download)
        except (ConnectionLost, TimedOut):
            raise
        except StorageError:
            # Whatever stood in the way: it goes by way of us then, from the beginning.
            return False

    def _copy(self, download: SftpDownload) -> bool:
        """The source is opened once more here: a handle is known to its own session alone."""
        session, full = self._session, download.full_path
        there = session.send(wire.Lstat(full), "look at", full).attributes()
        if self._remote.entry(download.entry.path, there) != download.entry:
            return False
        source = session.send(wire.Open(full, OpenFlag.READ), "open", full).handle()
        try:
            opened = session.send(wire.Fstat(source), "look at", full).attributes()
            if self._remote.entry(download.entry.path, opened) != download.entry:
                return False
            size = download.entry.size
            for start in range(0, size, _COPIED):
                length = min(_COPIED, size - start)
                request = wire.copy_data(source, self._opened(), start, length)
                session.send(request, "copy", full, deadline=_COPY_S).ok()
                with self._lock:
                    self._acknowledged.add(start, start + length)
            return True
        finally:
            if session.alive:
                session.send(wire.Close(source), "close", full)

    def write(self, offset: int, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        limit = self._session.write_size
        with self._lock:
            for start in range(0, len(view), limit):
                part = view[start : start + limit]
                size = len(part)
                if self._under_way + size > self._room:
                    self._make_room(size)
                if self._failure is not None:
                    raise self._failure
                lane = (self._lanes if self._lanes is not None else self._open_lanes()).best()
                request = wire.Write(lane.handle, offset + start, part)
                reply = lane.session.send(request, "write", self._full)
                self._acks.append((offset + start, lane, reply))
                lane.under_way += size
                self._under_way += size

    def finish(self) -> Entry:
        with self._lock:
            self._acknowledge_all()
            if self._failure is not None:
                raise self._failure
            self._close_lanes()
        handle = self._opened()
        session, full, wanted = self._session, self._full, self._wanted
        # One round trip: the draft has requests on one file answered as if sent one by one (section 6).
        synced = None
        if session.offers(wire.FSYNC):
            synced = session.send(wire.fsync(handle), "make durable", full, deadline=FSYNC_S)
        set_all = session.send(wire.FsetStat(handle, wanted), "set the attributes of", full)
        looked = session.send(wire.Fstat(handle), "look at", full)
        if synced is not None:
            self._check_durable(synced)
        if not self._was_set(set_all):
            self._set_one_by_one(handle, wanted)
            looked = session.send(wire.Fstat(handle), "look at", full)
        attributes = looked.attributes()
        self._handle = None
        session.send(wire.Close(handle), "close", full).ok()
        return self._remote.entry(self._temporary, attributes)

    def publish(self, *, replace: bool) -> Entry:
        if self._handle is not None:
            raise StorageError(f"“{printable(self._full)}” cannot be published before it is finished")
        remote, session = self._remote, self._session
        if self._temporary != self._path:
            if replace:
                rename_over(remote, session, self._temporary, self._path)
            else:
                rename_new(remote, session, self._temporary, self._path)
        self._ended = True
        try:
            return remote.lstat(session, self._path)
        finally:
            self._leave()

    def suspend(self) -> None:
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(TuiSyncError):
            if self._session.alive and self._handle is not None:
                with self._lock:
                    # The line may be well, and only the source's be lost: then this is worth the wait.
                    self._acknowledge_all()
                self._session.send(wire.Close(self._handle), "close", self._full)
        self._handle = None
        self._acks.clear()
        self._leave()

    def abort(self) -> None:
        if self._ended:
            return
        self._ended = True
        # Whatever stands in the way of tidying up, the caller has a better reason to fail already.
        with contextlib.suppress(TuiSyncError):
            if self._session.alive:
                handle, self._handle = self._handle, None
                if handle is not None:
                    self._session.send(wire.Close(handle), "close", self._full)
                self._session.send(wire.Remove(self._full), "remove", self._full).wait()
        self._acks.clear()
        self._leave()

    def _open(self) -> bytes:
        staged = wire.Attributes(permissions=STAGED_MODE)
        flags = OpenFlag.WRITE | OpenFlag.CREATE
        if self._temporary == self._path:
            self._refuse_symlink()
            return self._send_open(flags | OpenFlag.TRUNCATE, staged)
        try:
            return self._send_open(flags | OpenFlag.EXCLUSIVE, staged)
        except (NotFound, PermissionDenied, ConnectionLost, TimedOut):
            raise
        except StorageError as error:
            # A leftover of an earlier run, or a link laid to have us write elsewhere: ours to remove.
            try:
                self._session.send(wire.Remove(self._full), "remove", self._full).ok()
            except NotFound:
                raise self._cause(error) from None
            return self._send_open(flags | OpenFlag.EXCLUSIVE, staged)

    def _reopen(self, acknowledged: Sequence[Range]) -> bytes:
        """The handle of a file that an earlier upload left. Its length alone says nothing about what is in
        it: only what was acknowledged is there for sure, and only as far as the file goes."""
        there = self._remote.lstat(self._session, self._temporary)
        if there.kind is not Kind.FILE:
            raise NotFound(f"“{printable(self._full)}” is no regular file")
        self._held = Ranges(acknowledged).common([(0, there.size)])
        return self._send_open(OpenFlag.WRITE, wire.NO_ATTRIBUTES)

    def _send_open(self, flags: OpenFlag, attributes: wire.Attributes) -> bytes:
        return self._session.send(wire.Open(self._full, flags, attributes), "create", self._full).handle()

    def _refuse_symlink(self) -> None:
        try:
            there = self._remote.lstat(self._session, self._path)
        except NotFound:
            return
        if there.kind is not Kind.FILE:
            raise StorageError(f"cannot write “{printable(self._full)}”: it is no regular file")

    def _open_lanes(self) -> Lanes:
        if self._lanes is None:
            handle = self._opened()
            self._lanes = Lanes(self._remote, Lane(self._session, handle), self._full)
            if self._temporary != self._path:
                self._lanes.open_for(OpenFlag.WRITE, self._size, None)
                self._window.lanes = len(self._lanes)
        return self._lanes

    def _close_lanes(self, *, wait: bool = True) -> None:
        """What was written on other channels is closed there before the file gets its attributes."""
        lanes, self._lanes = self._lanes, None
        for reply in lanes.close() if lanes is not None else ():
            if wait:
                reply.ok()

    def _make_room(self, wanted: int) -> None:
        """Take answers until a good part of the window is free: several are taken as quickly as one."""
        most = max(0, min(self._room - wanted, self._room * 3 // 4))
        answered, last = 0, None
        while self._acks and (self._under_way > most or self._acks[0][2].response is not None):
            offset, lane, reply = self._acks.popleft()
            if self._acknowledge(offset, lane, reply):
                answered, last = answered + reply.weight, reply
        if last is not None:
            self._window.acknowledged(answered, last)
        self._room = self._window.size
        if self._flusher is not None:
            self._flusher.written(self._acknowledged.total)

    def _acknowledge_all(self) -> None:
        while self._acks:
            self._acknowledge(*self._acks.popleft())

    def _acknowledge(self, offset: int, lane: Lane, reply: Reply) -> bool:
        """Wait for the answer, and tell whether it is a good one."""
        weight = reply.weight
        self._under_way -= weight
        lane.under_way -= weight
        try:
            reply.ok()
        except StorageError as error:
            if self._failure is None:
                self._failure = self._cause(error)
            return False
        self._acknowledged.add(offset, offset + weight)
        return True

    def _cause(self, error: StorageError) -> StorageError:
        return cause_of(self._remote, self._session, self._temporary, error)

    def _check_durable(self, reply: Reply) -> None:
        try:
            reply.ok()
        except NotSupported:
            # Offered, but not for this file system.
            return
        except StorageError as error:
            raise self._cause(error) from None

    def _was_set(self, reply: Reply) -> bool:
        try:
            reply.ok()
        except (ConnectionLost, TimedOut):
            raise
        except StorageError:
            return False
        return True

    def _set_one_by_one(self, handle: bytes, wanted: wire.Attributes) -> None:
        """As far as the server lets us: what came of it is seen in the entry that ``finish`` returns."""
        for one in (wire.Attributes(times=wanted.times), wire.Attributes(permissions=wanted.permissions)):
            if one != wire.NO_ATTRIBUTES:
                request = wire.FsetStat(handle, one)
                self._was_set(self._session.send(request, "set the attributes of", self._full))

    def _opened(self) -> bytes:
        if self._handle is None:
            raise StorageError(f"“{printable(self._full)}” is not open for writing any more")
        return self._handle

    def _leave(self) -> None:
        self._close_lanes(wait=False)
        self._remote.pool.release(self._session)


def cause_of(remote: Remote, session: SftpSession, temporary: str, error: StorageError) -> StorageError:
    """What made a write fail: OpenSSH has one status for a full disk and everything else."""
    if type(error) is not StorageError or not session.offers(wire.STATVFS):
        return error
    folder = remote.full(parent(temporary))
    try:
        reply = session.send(wire.statvfs(folder), "ask the free space of", folder)
        free = wire.FileSystem.decode(reply.extended()).free
    except StorageError:
        return error
    if free >= _FULL:
        return error
    return NoSpace(f"no space left to write “{printable(remote.full(temporary))}”: {free} bytes are free")
