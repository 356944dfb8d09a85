"""Many small files on one session, step by step for all: a pack takes as many round trips as one file.

What SftpDownload and SftpUpload promise for a single file holds for each: nothing but regular files is
opened, content goes into a new file that nobody else may read, and is durable before it is published.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tui_sync.connectors.base import Fetched, Parcel
from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.flush import FSYNC_S
from tui_sync.connectors.sftp.remote import Remote, link_text, times_of
from tui_sync.connectors.sftp.rename import rename_over
from tui_sync.connectors.sftp.session import Asked, Reply, SftpSession
from tui_sync.connectors.sftp.upload import DEFAULT_MODE, STAGED_MODE, cause_of
from tui_sync.connectors.sftp.wire import OpenFlag
from tui_sync.errors import (
    AlreadyExists,
    ConnectionLost,
    NotFound,
    NotSupported,
    PermissionDenied,
    StorageError,
    TimedOut,
    TuiSyncError,
)
from tui_sync.model import Entry, Kind
from tui_sync.names import parent, printable

# For fewer files a whole file system is too much to flush.
_TOGETHER = 16
# Open at a time, of a server that does not tell how many it has.
_HANDLES = 64
_MOST_HANDLES = 256
_NEW = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.EXCLUSIVE

T = TypeVar("T")


def stat_many(remote: Remote, paths: Sequence[str]) -> list[Entry | StorageError]:
    """See ``base.Reader.stat_many``."""
    with remote.pool.session() as session:
        return _look_at(remote, session, paths)


def fetch_many(remote: Remote, paths: Sequence[str], most: Sequence[int]) -> list[Fetched | StorageError]:
    """See ``base.Reader.fetch_many``."""
    with remote.pool.session() as session:
        files = [_Fetch(path, remote.full(path), limit) for path, limit in zip(paths, most, strict=True)]
        # Looked at before they are opened: a server would wait on a FIFO, and follow a symlink.
        for file, found in zip(files, _look_at(remote, session, paths), strict=True):
            file.found(found)
        for wave in _waves(remote, session, [file for file in files if file.error is None]):
            _fetch_wave(remote, session, wave)
        read = [file for file in files if file.error is None]
        after = _look_at(remote, session, [file.path for file in read])
        for file, entry in zip(read, after, strict=True):
            file.after = entry
        return [file.result() for file in files]


@dataclass(slots=True)
class _Fetch:
    """One file on its way; ``error`` ends it."""

    path: str
    full: str
    most: int
    size: int = 0
    error: StorageError | None = None
    handle: bytes | None = None
    before: Entry | None = None
    after: Entry | StorageError | None = None
    parts: list[bytes] = field(default_factory=list)
    have: int = 0

    def found(self, entry: Entry | StorageError) -> None:
        if isinstance(entry, StorageError):
            self.error = entry
        elif entry.kind is not Kind.FILE:
            self.error = StorageError(f"cannot read “{printable(self.full)}”: it is no regular file")
        else:
            self.size = entry.size
            self.limit(entry.size)

    def limit(self, size: int) -> None:
        if size > self.most:
            self.error = StorageError(f"“{printable(self.full)}” holds more than {self.most} bytes")

    def result(self) -> Fetched | StorageError:
        if self.error is not None:
            return self.error
        if isinstance(self.after, StorageError):
            return self.after
        assert self.before is not None
        assert self.after is not None
        data = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        return Fetched(self.before, data, self.after)


def _fetch_wave(remote: Remote, session: SftpSession, files: Sequence[_Fetch]) -> None:
    opened = session.send_many(
        [Asked(wire.Open(file.full, OpenFlag.READ), "open", file.full) for file in files]
    )
    try:
        for file, reply in zip(files, opened, strict=True):
            _keep(file, reply.handle, "handle")
        files = [file for file in files if file.handle is not None]
        _read_wave(remote, session, files)
    finally:
        if session.alive:
            handles = [(file, file.handle) for file in files if file.handle is not None]
            with contextlib.suppress(StorageError):
                session.send_many([Asked(wire.Close(handle), "close", file.full) for file, handle in handles])


def _read_wave(remote: Remote, session: SftpSession, files: Sequence[_Fetch]) -> None:
    requests: list[Asked] = []
    for file in files:
        assert file.handle is not None
        # By its handle: under its name there may be another one by now, and have been another one before.
        requests.append(Asked(wire.Fstat(file.handle), "look at", file.full))
        # A byte more than is expected, to see one that has grown.
        for start, length in _blocks(file.size + 1, session.read_size):
            requests.append(Asked(wire.Read(file.handle, start, length), "read", file.full))
    replies = session.send_many(requests)
    for file in files:
        looked = replies.popleft()
        reads = [replies.popleft() for _ in _blocks(file.size + 1, session.read_size)]
        try:
            attributes = looked.attributes()
            file.before = remote.entry(file.path, attributes)
            if attributes.permissions is not None and file.before.kind is not Kind.FILE:
                raise StorageError(f"cannot read “{printable(file.full)}”: it is no regular file")
            _take(session, file, reads)
            file.limit(file.have)
        except (ConnectionLost, TimedOut):
            raise
        except StorageError as error:
            file.error = error


def _take(session: SftpSession, file: _Fetch, reads: Sequence[Reply]) -> None:
    """The blocks in their order, what short reads left out asked for again."""
    assert file.handle is not None
    for number, reply in enumerate(reads):
        data = reply.data()
        while data:
            file.parts.append(bytes(data))
            file.have += len(data)
            missing = min((number + 1) * session.read_size, file.size) - file.have
            if missing <= 0:
                break
            request = wire.Read(file.handle, file.have, missing)
            data = session.send(request, "read", file.full).data()
        else:
            return


def stage_many(remote: Remote, parcels: Sequence[Parcel]) -> list[Entry | StorageError]:
    """See ``base.Writer.stage_many``."""
    with remote.pool.session() as session:
        files = [_Stage(parcel, remote.full(parcel.temporary)) for parcel in parcels]
        for file in files:
            if file.parcel.temporary == file.parcel.path:
                file.error = StorageError(f"“{printable(file.full)}” needs a temporary name")
        try:
            for wave in _waves(remote, session, [file for file in files if file.error is None]):
                _create(remote, session, wave)
                _fill(remote, session, [file for file in wave if file.handle is not None])
        finally:
            _tidy(session, [file for file in files if file.entry is None])
        return [file.entry or file.failure for file in files]


@dataclass(slots=True)
class _Stage:
    """One file on its way; ``error`` ends it. ``made``: there is something to remove; ``looked`` is the entry
    before it is durable, ``entry`` afterwards."""

    parcel: Parcel
    full: str
    error: StorageError | None = None
    handle: bytes | None = None
    made: bool = False
    looked: Entry | None = None
    entry: Entry | None = None

    @property
    def wanted(self) -> wire.Attributes:
        mode = self.parcel.mode
        return wire.Attributes(
            permissions=DEFAULT_MODE if mode is None else mode & 0o777, times=times_of(self.parcel.mtime_ns)
        )

    @property
    def readable(self) -> bool:
        """Whether the server's shell can open it."""
        return bool((self.wanted.permissions or 0) & 0o400)

    @property
    def failure(self) -> StorageError:
        return self.error or StorageError(f"“{printable(self.full)}” was not written")


def _create(remote: Remote, session: SftpSession, files: Sequence[_Stage]) -> None:
    _open_new(session, files)
    left = []
    for file in files:
        if file.error is not None and not isinstance(file.error, NotFound | PermissionDenied):
            left.append(file)
    if not left:
        return
    # Leftovers of an earlier run, or links laid to have us write elsewhere: ours to remove.
    removed = session.send_many([Asked(wire.Remove(file.full), "remove", file.full) for file in left])
    again = []
    for file, reply in zip(left, removed, strict=True):
        error = file.error
        assert error is not None
        file.error = None
        _keep(file, reply.ok)
        if isinstance(file.error, NotFound):
            file.error = cause_of(remote, session, file.parcel.temporary, error)
        elif file.error is None:
            again.append(file)
    _open_new(session, again)


def _open_new(session: SftpSession, files: Sequence[_Stage]) -> None:
    staged = wire.Attributes(permissions=STAGED_MODE)
    replies = session.send_many(
        [Asked(wire.Open(file.full, _NEW, staged), "create", file.full) for file in files]
    )
    for file, reply in zip(files, replies, strict=True):
        _keep(file, reply.handle, "handle")
        file.made |= file.handle is not None


def _fill(remote: Remote, session: SftpSession, files: Sequence[_Stage]) -> None:
    """All that is left to do, in one round trip: the draft has requests on one file answered as if sent one
    by one (section 6). Of many files in two: each is made durable by its own handle, which alone is told of
    what the disk lost of it, and quickly so once the whole file system was flushed."""
    durable = session.offers(wire.FSYNC)
    # Asked each time: it may have been found out meanwhile.
    if durable and len(files) >= _TOGETHER and remote.shell.can_flush():
        replies = session.send_many([asked for file in files for asked in _content(session, file)])
        for file in files:
            _filled(remote, session, file, replies)
        one_of = {
            parent(file.full): file.looked for file in files if file.looked is not None and file.readable
        }
        if one_of:
            remote.flush(list(one_of.values()))
        replies = session.send_many([asked for file in files for asked in _end(file, durable=durable)])
        for file in files:
            _ended(remote, session, file, replies, durable=durable)
        return
    requests: list[Asked] = []
    for file in files:
        requests += _content(session, file)
        requests += _end(file, durable=durable)
    replies = session.send_many(requests)
    for file in files:
        _filled(remote, session, file, replies)
        _ended(remote, session, file, replies, durable=durable)


def _content(session: SftpSession, file: _Stage) -> Iterator[Asked]:
    assert file.handle is not None
    view = memoryview(file.parcel.data)
    for start, length in _blocks(len(view), session.write_size):
        part = view[start : start + length]
        yield Asked(wire.Write(file.handle, start, part), "write", file.full)
    yield Asked(wire.FsetStat(file.handle, file.wanted), "set the attributes of", file.full)
    yield Asked(wire.Fstat(file.handle), "look at", file.full)


def _end(file: _Stage, *, durable: bool) -> Iterator[Asked]:
    handle, file.handle = file.handle, None
    assert handle is not None
    if durable:
        yield Asked(wire.fsync(handle), "make durable", file.full, FSYNC_S)
    yield Asked(wire.Close(handle), "close", file.full)


def _filled(remote: Remote, session: SftpSession, file: _Stage, replies: deque[Reply]) -> None:
    """Take what ``_content`` was answered."""
    writes = [replies.popleft() for _ in _blocks(len(file.parcel.data), session.write_size)]
    was_set, looked = replies.popleft(), replies.popleft()
    try:
        for reply in writes:
            reply.ok()
        entry = remote.entry(file.parcel.temporary, looked.attributes())
        file.looked = entry if _succeeded(was_set) else _set_one_by_one(remote, session, file)
    except (ConnectionLost, TimedOut):
        raise
    except StorageError as error:
        file.error = cause_of(remote, session, file.parcel.temporary, error)


def _ended(
    remote: Remote, session: SftpSession, file: _Stage, replies: deque[Reply], *, durable: bool
) -> None:
    """Take what ``_end`` was answered."""
    synced = replies.popleft() if durable else None
    closed = replies.popleft()
    try:
        if synced is not None:
            # Offered, but perhaps not for this file system.
            with contextlib.suppress(NotSupported):
                synced.ok()
        closed.ok()
    except (ConnectionLost, TimedOut):
        raise
    except StorageError as error:
        file.error = file.error or cause_of(remote, session, file.parcel.temporary, error)
    if file.error is None:
        file.entry = file.looked


def _set_one_by_one(remote: Remote, session: SftpSession, file: _Stage) -> Entry:
    """As far as the server lets us: what came of it is seen in the entry."""
    parcel = file.parcel
    for mtime_ns, mode in ((parcel.mtime_ns, None), (None, file.wanted.permissions)):
        try:
            remote.set_attributes(session, parcel.temporary, mtime_ns=mtime_ns, mode=mode)
        except (ConnectionLost, TimedOut):
            raise
        except StorageError:
            continue
    return remote.lstat(session, parcel.temporary)


def _tidy(session: SftpSession, files: Sequence[_Stage]) -> None:
    """Close and remove what did not get to its end, as far as there is a session to do so."""
    requests = []
    for file in files:
        if file.handle is not None:
            requests.append(Asked(wire.Close(file.handle), "close", file.full))
        if file.made:
            requests.append(Asked(wire.Remove(file.full), "remove", file.full))
    if requests and session.alive:
        with contextlib.suppress(StorageError):
            for reply in session.send_many(requests):
                reply.wait()


def publish_many(remote: Remote, parcels: Sequence[Parcel]) -> list[Entry | StorageError]:
    """See ``base.Writer.publish_many``."""
    results: list[Entry | StorageError | None] = [None] * len(parcels)
    try:
        _publish(remote, parcels, results)
    except (ConnectionLost, TimedOut) as lost:
        # Also of those whose rename was answered, and whose entry was not.
        return [result or lost for result in results]
    return [result for result in results if result is not None]


def _publish(remote: Remote, parcels: Sequence[Parcel], results: list[Entry | StorageError | None]) -> None:
    with remote.pool.session() as session:
        at_once = [
            index
            for index, parcel in enumerate(parcels)
            if not parcel.replace or session.offers(wire.POSIX_RENAME)
        ]
        renames = [_rename(remote, parcels[index]) for index in at_once]
        for index, reply in zip(at_once, session.send_many(renames), strict=True):
            results[index] = _failure(reply.ok)
        together = set(at_once)
        for index, parcel in enumerate(parcels):
            if index not in together:
                results[index] = _failure(
                    lambda one=parcel: rename_over(remote, session, one.temporary, one.path)  # type: ignore[misc]
                )
        _explain(remote, session, parcels, results)
        done = [index for index, result in enumerate(results) if result is None]
        entries = _look_at(remote, session, [parcels[index].path for index in done])
        for index, entry in zip(done, entries, strict=True):
            results[index] = entry


def _rename(remote: Remote, parcel: Parcel) -> Asked:
    old, new = remote.full(parcel.temporary), remote.full(parcel.path)
    request = wire.posix_rename(old, new) if parcel.replace else wire.Rename(old, new)
    return Asked(request, "rename", old)


def _explain(
    remote: Remote,
    session: SftpSession,
    parcels: Sequence[Parcel],
    results: list[Entry | StorageError | None],
) -> None:
    """Tell those that failed because the name was taken: the statuses that servers give for it are many."""
    failed = [
        index for index, error in enumerate(results) if error is not None and not parcels[index].replace
    ]
    there = _look_at(remote, session, [parcels[index].path for index in failed])
    for index, found in zip(failed, there, strict=True):
        if isinstance(found, Entry):
            full = remote.full(parcels[index].path)
            results[index] = AlreadyExists(f"“{printable(full)}” exists already")


def discard_many(remote: Remote, parcels: Sequence[Parcel]) -> None:
    """See ``base.Writer.discard_many``."""
    # Whatever stands in the way of tidying up, the caller has a better reason to fail already.
    with contextlib.suppress(TuiSyncError), remote.pool.session() as session:
        staged = [remote.full(parcel.temporary) for parcel in parcels if parcel.temporary != parcel.path]
        for reply in session.send_many([Asked(wire.Remove(full), "remove", full) for full in staged]):
            reply.wait()


def _look_at(remote: Remote, session: SftpSession, paths: Sequence[str]) -> list[Entry | StorageError]:
    """As Remote.lstat does, for all of them."""
    fulls = [remote.full(path) for path in paths]
    replies = session.send_many(
        [
            Asked(wire.Lstat(full) if path else wire.Stat(full), "look at", full)
            for path, full in zip(paths, fulls, strict=True)
        ]
    )
    entries: list[Entry | StorageError] = []
    links = []
    for index, (path, reply) in enumerate(zip(paths, replies, strict=True)):
        found = _value(reply.attributes)
        entries.append(found if isinstance(found, StorageError) else remote.entry(path, found))
        entry = entries[-1]
        if isinstance(entry, Entry) and entry.kind is Kind.SYMLINK:
            links.append((index, entry))
    texts = session.send_many(
        [Asked(wire.ReadLink(fulls[index]), "read the link", fulls[index]) for index, _ in links]
    )
    for (index, entry), reply in zip(links, texts, strict=True):
        text = _value(lambda one=reply: link_text(one))  # type: ignore[misc]
        entries[index] = text if isinstance(text, StorageError) else entry._replace(link_target=text)
    return entries


def _waves(remote: Remote, session: SftpSession, files: Sequence[T]) -> Iterator[Sequence[T]]:
    """So many files as may be open at a time, should others who share the session have as many."""
    offered = session.limits.handles // 4 if session.limits.handles else _HANDLES
    first = 0
    while first < len(files):
        size = max(1, min(_MOST_HANDLES, offered // max(1, remote.pool.users(session))))
        yield files[first : first + size]
        first += size


def _blocks(size: int, limit: int) -> list[tuple[int, int]]:
    if 0 < size <= limit:
        return [(0, size)]
    return [(start, min(limit, size - start)) for start in range(0, size, limit)]


def _value(ask: Callable[[], T]) -> T | StorageError:
    """What is answered, or the error where it concerns this file alone."""
    try:
        return ask()
    except (ConnectionLost, TimedOut):
        raise
    except StorageError as error:
        return error


def _failure(ask: Callable[[], None]) -> StorageError | None:
    return _value(ask)


def _succeeded(reply: Reply) -> bool:
    return _failure(reply.ok) is None


def _keep(file: _Fetch | _Stage, ask: Callable[[], bytes | None], name: str = "") -> None:
    """Note in ``file`` what is answered, as its attribute ``name``, or the error."""
    value = _value(ask)
    file.error = value if isinstance(value, StorageError) else None
    if name and not isinstance(value, StorageError):
        setattr(file, name, value)
