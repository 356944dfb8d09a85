"""Deletes: to the trash on the target or for good, only of what is still as it was planned."""

from __future__ import annotations

from tui_sync.connectors.base import Reader, Writer
from tui_sync.errors import ConnectionLost, Drifted, NotFound, StorageError, TimedOut, Vanished
from tui_sync.model import DeleteTo, Item, Kind
from tui_sync.transfer import preconditions
from tui_sync.transfer.trash import Trash


class Deleter:
    """Carries out delete items; safe for many threads.

    ``source`` is asked whether it still has nothing there, None where its names are others. ``again``: what
    is gone already was deleted by an earlier attempt at the same plan.
    """

    def __init__(
        self,
        source: Reader | None,
        target: Reader,
        writer: Writer,
        to: DeleteTo,
        trash: Trash,
        *,
        again: bool = False,
    ) -> None:
        self._again = again
        self._source = source
        self._target = target
        self._writer = writer
        self._to = to
        self._trash = trash
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
            mine = self._again or item.path in self._unanswered
            if not mine and not self._goes_by_itself(item):
                raise
            if item.entry_kind is Kind.DIRECTORY:
                self._keep_folder(item)
        except (ConnectionLost, TimedOut):
            self._unanswered.add(item.path)
            raise

    def _remove(self, item: Item) -> None:
        directory = item.entry_kind is Kind.DIRECTORY
        if directory:
            self._remove_folder(item.path)
            self._keep_folder(item)
        elif self._to is DeleteTo.TRASH:
            self._writer.rename(item.path, self._trash.make_room(item.path))
        else:
            self._writer.remove_file(item.path)

    def _remove_folder(self, path: str) -> None:
        try:
            self._writer.remove_dir(path)
        except (ConnectionLost, TimedOut, NotFound):
            raise
        except StorageError:
            # Servers tell this from other troubles by a text at best.
            if self._target.list_dir(path):
                raise Drifted("there is something in it that the plan did not know of") from None
            raise

    def _goes_by_itself(self, item: Item) -> bool:
        """A folder that is gone with its last file, where storage knows folders by their files alone."""
        return item.entry_kind is Kind.DIRECTORY and not self._target.features.directories

    def _keep_folder(self, item: Item) -> None:
        if self._to is DeleteTo.TRASH:
            self._trash.make(self._trash.place_of(item.path))
