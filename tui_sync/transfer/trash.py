"""A run's folder in the trash on the target: what it deleted, and what it replaced where that is wanted."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

from tui_sync import names
from tui_sync.connectors.base import Reader, Writer
from tui_sync.errors import AlreadyExists, ConnectionLost, NotFound, NotSupported, StorageError, TimedOut
from tui_sync.model import Entry, Item, Kind
from tui_sync.transfer import preconditions


class Trash:
    """The folder ``name`` in the trash; safe for many threads. Made when the first thing goes there."""

    def __init__(self, target: Reader, writer: Writer, name: str) -> None:
        self.root = f"{names.TRASH}/{name}"
        self._target = target
        self._writer = writer
        self._lock = threading.Lock()
        self._made: set[str] = set()

    @property
    def used(self) -> bool:
        return bool(self._made)

    def place_of(self, path: str) -> str:
        return f"{self.root}/{path}"

    def make_room(self, path: str) -> str:
        """``place_of`` with the folders above it made. Raises StorageError."""
        place = self.place_of(path)
        self.make(names.parent(place))
        return place

    def make(self, folder: str) -> None:
        """Make a folder in the trash, and those above it. Raises StorageError."""
        with self._lock:
            missing: list[str] = []
            while folder and folder not in self._made:
                missing.append(folder)
                folder = names.parent(folder)
            for each in reversed(missing):
                self._make_one(each)
                self._made.add(each)

    def _make_one(self, folder: str) -> None:
        try:
            self._writer.make_dir(folder, mode=0o700)
        except AlreadyExists:
            # A link planted here would lead the user's files out of the root.
            if self._target.stat(folder).kind is not Kind.DIRECTORY:
                raise StorageError(f"“{names.printable(folder)}” on the target is no folder") from None


class Backups:
    """Keeps in the trash what is about to be replaced; safe for many threads.

    Nothing is replaced that could not be kept: then the methods raise, or return, a StorageError.
    """

    def __init__(self, trash: Trash, target: Reader, writer: Writer) -> None:
        self._trash = trash
        self._target = target
        self._writer = writer

    def keep_many(self, items: Sequence[Item]) -> list[StorageError | None]:
        """Keep what is at each item's path now; NotSupported where it can only be moved for that. May be
        called again after an answer was lost. Raises ConnectionLost and TimedOut."""
        results: list[StorageError | None] = []
        pairs: list[tuple[str, str]] = []
        for item in items:
            results.append(self._room_for(item))
            if results[-1] is None:
                pairs.append((item.path, self._trash.place_of(item.path)))
        kept = iter(self._writer.back_up_many(pairs) if pairs else ())
        return [
            self._judged(item, next(kept)) if result is None else result
            for item, result in zip(items, results, strict=True)
        ]

    def move(self, item: Item) -> None:
        """Keep it by moving it away, after a last look. Raises Drifted, Vanished, StorageError."""
        place = self._trash.make_room(item.path)
        try:
            preconditions.check_target(self._target, item.path, item.target)
            self._writer.rename(item.path, place)
        except (ConnectionLost, TimedOut):
            raise
        except StorageError as error:
            raise _failed(error) from None

    def put_back(self, item: Item) -> None:
        """Undo ``move``, unless something else has taken the name. Raises ConnectionLost and TimedOut."""
        try:
            self._writer.rename(self._trash.place_of(item.path), item.path)
        except (ConnectionLost, TimedOut):
            raise
        except StorageError:
            return

    def drop(self, items: Sequence[Item]) -> None:
        """Of what was kept, and not replaced in the end. Never raises."""
        for item in items:
            with suppress(StorageError):
                self._writer.remove_file(self._trash.place_of(item.path))

    def _room_for(self, item: Item) -> StorageError | None:
        try:
            self._trash.make_room(item.path)
        except (ConnectionLost, TimedOut):
            raise
        except StorageError as error:
            return _failed(error)
        return None

    def _judged(self, item: Item, error: StorageError | None) -> StorageError | None:
        if isinstance(error, AlreadyExists) and self._is_kept(item):
            return None
        if error is None or isinstance(error, NotSupported):
            return error
        if isinstance(error, NotFound) and self._is_gone(item):
            # For the check of the target to tell.
            return None
        return _failed(error)

    def _is_gone(self, item: Item) -> bool:
        try:
            self._target.stat(item.path)
        except NotFound:
            return True
        return False

    def _is_kept(self, item: Item) -> bool:
        """By an earlier attempt, as the folder is this run's own."""
        try:
            found = self._target.stat(self._trash.place_of(item.path))
        except NotFound:
            return False
        return item.target is not None and alike(item.target, found)


def alike(planned: Entry, found: Entry) -> bool:
    """As ``preconditions.same``, but for a copy, whose etag and time may be others."""
    return (planned.kind, planned.size, planned.link_target) == (found.kind, found.size, found.link_target)


def _failed(error: StorageError) -> StorageError:
    return type(error)(f"not replaced, for what is there could not be backed up: {error}")
