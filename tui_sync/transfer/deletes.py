"""Deletes: to the trash on the target or for good, only of what is still as it was planned."""

from __future__ import annotations

import threading

from tui_sync import names
from tui_sync.connectors.base import Reader, Writer
from tui_sync.errors import AlreadyExists, ConnectionLost, NotFound, StorageError, TimedOut, Vanished
from tui_sync.model import DeleteTo, Item, Kind
from tui_sync.transfer import preconditions


class Deleter:
    """Carries out delete items; safe for many threads.

    ``source`` is asked whether it still has nothing there, None where its names are others. ``folder`` is
    the run's own name in the trash.
    """

    def __init__(
        self, source: Reader | None, target: Reader, writer: Writer, to: DeleteTo, folder: str
    ) -> None:
        self._source = source
        self._target = target
        self._writer = writer
        self._to = to
        self._root = f"{names.TRASH}/{folder}"
        self._lock = threading.Lock()
        self._made: set[str] = set()
        self._unanswered: set[str] = set()

    def delete(self, item: Item) -> None:
        """Raises Drifted, Vanished, or the target's StorageError; what could not go to the trash stays.

        May be called again for an item whose answer was lost.
        """
        try:
            preconditions.check_target(self._target, item.path, item.target)
            if self._source is not None:
                preconditions.check_absent(self._source, item.path)
            self._remove(item)
        except (Vanished, NotFound):
            if item.path not in self._unanswered and not self._goes_by_itself(item):
                raise
            if item.entry_kind is Kind.DIRECTORY:
                self._keep_folder(item)
        except (ConnectionLost, TimedOut):
            self._unanswered.add(item.path)
            raise

    def _remove(self, item: Item) -> None:
        directory = item.entry_kind is Kind.DIRECTORY
        if directory:
            self._writer.remove_dir(item.path)
            self._keep_folder(item)
        elif self._to is DeleteTo.TRASH:
            self._make(names.parent(f"{self._root}/{item.path}"))
            self._writer.rename(item.path, f"{self._root}/{item.path}")
        else:
            self._writer.remove_file(item.path)

    def _goes_by_itself(self, item: Item) -> bool:
        """A folder that is gone with its last file, where storage knows folders by their files alone."""
        return item.entry_kind is Kind.DIRECTORY and not self._target.features.directories

    def _keep_folder(self, item: Item) -> None:
        if self._to is DeleteTo.TRASH:
            self._make(f"{self._root}/{item.path}")

    def _make(self, path: str) -> None:
        with self._lock:
            missing: list[str] = []
            while path and path not in self._made:
                missing.append(path)
                path = names.parent(path)
            for folder in reversed(missing):
                self._make_one(folder)
                self._made.add(folder)

    def _make_one(self, folder: str) -> None:
        try:
            self._writer.make_dir(folder, mode=0o700)
        except AlreadyExists:
            # A link planted here would lead the deleted files out of the root.
            if self._target.stat(folder).kind is not Kind.DIRECTORY:
                raise StorageError(f"“{names.printable(folder)}” on the target is no folder") from None
