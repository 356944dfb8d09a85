"""Symbolic links: made on the target with the text that they have on the source, and looked at afterwards."""

from __future__ import annotations

from contextlib import suppress

from tui_sync import names
from tui_sync.connectors.base import Reader, Writer
from tui_sync.errors import (
    AlreadyExists,
    ConnectionLost,
    Drifted,
    NotFound,
    NotSupported,
    StorageError,
    TimedOut,
    Vanished,
    VerifyFailed,
)
from tui_sync.model import Action, Entry, Item, Kind, Verify
from tui_sync.transfer import preconditions
from tui_sync.transfer.copy import Copied, Earlier
from tui_sync.transfer.progress import Slot
from tui_sync.transfer.trash import Backups


class Linker:
    """Makes single links for all workers of a run; holds no state of any link."""

    def __init__(
        self, *, source: Reader, target: Reader, writer: Writer, backups: Backups | None, tag: str
    ) -> None:
        self._source = source
        self._target = target
        self._writer = writer
        self._backups = backups
        self._tag = tag

    def make(self, item: Item, slot: Slot, earlier: Earlier) -> Copied:
        """Carry out a create or update item of a link; ``earlier`` is the same in all attempts at it.

        Raises Drifted or Vanished where either side is not what was planned for, or the StorageError of
        whichever side failed; what was there is then as it was.
        """
        planned = item.source
        assert planned is not None
        done = self._made_earlier(item, planned, earlier)
        if done is not None:
            return done
        if earlier.moved and self._backups is not None:
            self._backups.put_back(item)
            earlier.moved = False
        try:
            found = self._source.stat(planned.path)
        except NotFound:
            raise Vanished("the source is gone since the plan was made") from None
        preconditions.check_source(planned, found, "since the plan was made")
        over = item.action is Action.UPDATE
        if over:
            self._keep(item, earlier)
        try:
            if over and not earlier.moved:
                preconditions.check_target(self._target, item.path, item.target)
            slot.phase = "publish"
            entry = self._writer.make_link(
                item.path,
                planned.link_target or "",
                temporary=names.temporary(item.path, self._tag),
                replace=over and not earlier.moved,
                mtime_ns=planned.mtime_ns,
            )
        except (ConnectionLost, TimedOut):
            earlier.unanswered = Copied(planned, 0, Verify.READBACK)
            raise
        except BaseException as error:
            self._drop(item, earlier)
            if isinstance(error, AlreadyExists):
                raise Drifted("something has appeared on the target since the plan was made") from None
            raise
        if entry.link_target != planned.link_target:
            raise VerifyFailed("the target holds another link than was made")
        return Copied(entry, 0, Verify.READBACK)

    def _keep(self, item: Item, earlier: Earlier) -> None:
        if self._backups is None:
            return
        [error] = self._backups.keep_many([item])
        if isinstance(error, NotSupported):
            earlier.moved = True
            self._backups.move(item)
        elif error is not None:
            raise error

    def _drop(self, item: Item, earlier: Earlier) -> None:
        if self._backups is None or item.action is not Action.UPDATE or earlier.unanswered is not None:
            return
        if earlier.moved:
            with suppress(StorageError):
                self._backups.put_back(item)
                earlier.moved = False
        else:
            self._backups.drop([item])

    def _made_earlier(self, item: Item, planned: Entry, earlier: Earlier) -> Copied | None:
        """The link, if an earlier attempt made it although its answer was lost."""
        if earlier.unanswered is None:
            return None
        try:
            found = self._target.stat(item.path)
        except NotFound:
            return None
        if found.kind is not Kind.SYMLINK or found.link_target != planned.link_target:
            return None
        return Copied(found, 0, Verify.READBACK)
