"""Walk one side: sorted, listed ahead by a few threads, with bounded memory, ended at any moment."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from typing import TypeAlias, TypeGuard

from tui_sync import names
from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Listed, Listings, ListsMany, Reader, ReadsAhead
from tui_sync.errors import ConnectionLost, StorageError, TimedOut, UnsafeName
from tui_sync.model import Entry, Kind
from tui_sync.planning.filters import Filters
from tui_sync.planning.listing import Listing
from tui_sync.planning.scanned import Scanned, Siblings

# What may be listed ahead of the consumer: enough to hide round trips, little enough to hold in memory.
AHEAD_DIRECTORIES = 512
AHEAD_ENTRIES = 20_000
MOST_LEFTOVERS = 10_000
# How long the walk waits for its directories before it may get one more thread, and what part of that time
# the program may have been busy.
_PATIENCE_S = 0.02
_BUSY = 0.4


class ScanCounters:
    """How far a scan is, for polling. Only the scan changes them.

    ``leftovers`` are the paths of temporary files of this program, of whatever run and machine; ``ours`` has
    by folder the names of all that is ours, which no listing shows.
    """

    __slots__ = ("directories", "entries", "errors", "leftovers", "ours")

    def __init__(self) -> None:
        self.directories = 0
        self.entries = 0
        self.errors = 0
        self.leftovers: list[str] = []
        self.ours: dict[str, list[str]] = {}


def scan(
    reader: Reader,
    *,
    filters: Filters,
    cancel: CancelToken,
    counters: ScanCounters | None = None,
    workers: int = 8,
    rename: Callable[[str], str] | None = None,
) -> Generator[Scanned | Siblings, None, None]:
    """All below the root in the order of ``names.sort_key``, each path once.

    ``rename`` gives the name that a file of this side has on the target. Names of our own (``.tui-sync…``)
    are left out. A name that must not be used, or that a listing holds twice, comes as a Scanned with an
    error. Raises what listing the root raises, ConnectionLost from any listing, and Cancelled.
    """
    if isinstance(reader, ReadsAhead):
        reader = reader.for_walk()
    walk = _Walk(reader, filters, cancel, counters or ScanCounters(), workers, rename)
    try:
        yield from walk.run()
    finally:
        walk.stop()


class _Folder:
    """A directory on its way through the scan. Ordered by where the walk comes to it.

    ``children`` are in reverse order: the walk takes them off the end, so that what it has passed is freed.
    """

    __slots__ = (
        "children",
        "complete",
        "done",
        "entries",
        "error",
        "failure",
        "key",
        "path",
        "refused",
        "scanned",
    )

    def __init__(self, path: str, key: tuple[str, ...], scanned: Scanned | None) -> None:
        self.path = path
        self.key = key
        self.scanned = scanned
        self.children: list[_Child] = []
        self.complete = True
        self.error = ""
        self.failure: BaseException | None = None
        self.done = False
        self.entries = 0
        self.refused = 0

    def __lt__(self, other: _Folder) -> bool:
        return self.key < other.key


_Child: TypeAlias = Siblings | Scanned | _Folder


class _Walk:
    """The threads of one scan and what they share.

    Known directories wait in a heap, the next one of the walk first. A thread takes the first as long as
    what was listed and not consumed is within bounds; the one that the walk waits for is always taken.
    """

    def __init__(
        self,
        reader: Reader,
        filters: Filters,
        cancel: CancelToken,
        counters: ScanCounters,
        workers: int,
        rename: Callable[[str], str] | None,
    ) -> None:
        self._reader = reader
        self._together = reader.lists_together if isinstance(reader, ListsMany) else 1
        self._filters = filters
        self._cancel = cancel
        self._counters = counters
        self._workers = workers
        # How many threads there may be by now. See ``_wait``.
        self._hired = 1
        self._waited = 0.0
        self._worked = 0.0
        self._rename = rename
        self._lock = threading.Lock()
        self._work_ready = threading.Condition(self._lock)
        self._listed = threading.Condition(self._lock)
        self._waiting: list[_Folder] = []
        self._awaited: _Folder | None = None
        self._ahead_directories = 0
        self._ahead_entries = 0
        self._idle = 0
        self._threads = 0
        self._stopped = False

    def run(self) -> Iterator[Scanned | Siblings]:
        root = _Folder("", (), None)
        with self._lock:
            self._schedule([root])
        self._await(root)
        if not root.complete:
            yield Scanned("", Entry("", Kind.DIRECTORY), complete=False)
        stack = [root]
        while stack:
            folder = stack[-1]
            if not folder.children:
                stack.pop()
                continue
            child = folder.children.pop()
            if not isinstance(child, _Folder):
                yield child
                continue
            self._await(child)
            assert child.scanned is not None
            entry = child.scanned.entry
            yield Scanned(child.path, entry, error=child.error, complete=child.complete)
            stack.append(child)

    def stop(self) -> None:
        """Let the threads end after the call they are in; a blocked one ends by its connector's close."""
        with self._lock:
            self._stopped = True
            self._waiting.clear()
            self._work_ready.notify_all()

    def _await(self, folder: _Folder) -> None:
        with self._lock:
            self._awaited = folder
            if not folder.done:
                self._work_ready.notify()
            while not folder.done:
                self._cancel.check()
                self._wait()
            self._awaited = None
            self._ahead_directories -= 1
            self._ahead_entries -= folder.entries
            if self._idle and self._waiting:
                self._work_ready.notify_all()
        self._cancel.check()
        if folder.failure is not None:
            raise folder.failure

    def _wait(self) -> None:
        """Wait a moment for the directory that the walk has come to. The lock must be held.

        Threads list ahead while others wait for answers. Where they rather compute, as on a disk or beside
        the server, more of them only get into each other's way: then no more are hired.
        """
        began, busy = time.monotonic(), time.process_time()
        self._listed.wait(_PATIENCE_S)
        self._waited += time.monotonic() - began
        self._worked += time.process_time() - busy
        if self._waited < _PATIENCE_S:
            return
        if self._worked < self._waited * _BUSY and self._hired < self._workers:
            self._hired += 1
            if self._waiting and not self._idle:
                self._hire()
        self._waited = self._worked = 0.0

    def _schedule(self, folders: Collection[_Folder]) -> None:
        """Queue directories and see to enough threads. The lock must be held."""
        for folder in folders:
            heapq.heappush(self._waiting, folder)
        for _ in range(min(len(folders) - self._idle, self._hired - self._threads)):
            self._hire()
        self._work_ready.notify(len(folders))

    def _hire(self) -> None:
        self._threads += 1
        threading.Thread(target=self._work, name=f"scan-{self._threads}", daemon=True).start()

    def _take(self) -> list[_Folder]:
        """The next directories to list, none when the scan is over. Waits."""
        with self._lock:
            while not self._stopped:
                if self._waiting and (self._waiting[0] is self._awaited or self._has_room()):
                    # No more than leaves something to do for the other threads.
                    most = min(self._together, -(-len(self._waiting) // self._workers))
                    taken: list[_Folder] = []
                    while not taken or (len(taken) < most and self._has_room()):
                        taken.append(heapq.heappop(self._waiting))
                        self._ahead_directories += 1
                    return taken
                self._idle += 1
                self._work_ready.wait()
                self._idle -= 1
            return []

    def _has_room(self) -> bool:
        return self._ahead_directories < AHEAD_DIRECTORIES and self._ahead_entries < AHEAD_ENTRIES

    def _work(self) -> None:
        while taken := self._take():
            left = {folder.path: folder for folder in taken}
            try:
                with closing(self._listings(list(left))) as listings:
                    for path, listing in listings:
                        self._take_in(left[path], listing)
                        del left[path]
                        if left and self._can_wait(left):
                            break
            # Raised in the thread that waits for one of these directories.
            except Exception as error:  # noqa: BLE001
                for folder in left.values():
                    folder.failure = error
                    self._done(folder)
            else:
                self._give_back(left.values())

    def _listings(self, paths: list[str]) -> Listings:
        """See ``base.ListsMany.list_many``."""
        left = dict.fromkeys(paths)
        if len(left) > 1 and isinstance(self._reader, ListsMany):
            # Of several at a time there is no telling which one took too long.
            with suppress(TimedOut), closing(self._reader.list_many(paths)) as listings:
                for path, listing in listings:
                    del left[path]
                    yield path, listing
        for path in left:
            answer: list[Listed] | StorageError
            try:
                answer = self._reader.list_dir(path)
            except StorageError as error:
                if not path or isinstance(error, ConnectionLost):
                    raise
                answer = error
            yield path, answer

    def _take_in(self, folder: _Folder, listing: list[Listed] | StorageError) -> None:
        if isinstance(listing, StorageError):
            folder.error = str(listing)
        else:
            self._sort(folder, listing)
        self._done(folder)

    def _can_wait(self, left: Mapping[str, _Folder]) -> bool:
        """Whether directories that were taken had better not be listed now, as others turned out to hold very
        much, or at all."""
        with self._lock:
            awaited = self._awaited is not None and self._awaited.path in left
            return self._stopped or (self._ahead_entries >= 2 * AHEAD_ENTRIES and not awaited)

    def _give_back(self, folders: Collection[_Folder]) -> None:
        with self._lock:
            self._ahead_directories -= len(folders)
            if not self._stopped:
                self._schedule(folders)

    def _done(self, folder: _Folder) -> None:
        with self._lock:
            self._counters.directories += 1
            self._counters.entries += folder.entries
            self._counters.errors += folder.refused + bool(folder.error)
            self._ahead_entries += folder.entries
            folder.done = True
            if not self._stopped:
                self._schedule([child for child in folder.children if isinstance(child, _Folder)])
            if folder is self._awaited:
                self._listed.notify()

    def _sort(self, folder: _Folder, listed: Sequence[Listed]) -> None:
        listing = Listing(folder.path, listed, self._filters, self._rename)
        folder.entries = listing.count
        folder.refused = listing.refused
        folder.complete = listing.complete
        folder.children = [
            _Folder(child.path, (*folder.key, child.path.rpartition("/")[2]), child)
            if _is_walked(child)
            else child
            for child in reversed(listing.children)
        ]
        for ours in listing.ours:
            self._note_ours(folder.path, ours)

    def _note_ours(self, folder: str, child: Listed) -> None:
        with self._lock:
            self._counters.ours.setdefault(folder, []).append(child.name)
        leftovers = self._counters.leftovers
        if child.kind in (Kind.FILE, Kind.SYMLINK) and len(leftovers) < MOST_LEFTOVERS:
            with suppress(UnsafeName):
                leftovers.append(names.join(folder, child.name))


def _is_walked(child: Siblings | Scanned) -> TypeGuard[Scanned]:
    return (
        isinstance(child, Scanned)
        and child.entry.kind is Kind.DIRECTORY
        and not child.excluded
        and not child.error
    )
