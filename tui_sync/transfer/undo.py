"""Puts back what a run deleted and replaced: from the trash, and only over what that run has put there.

The trash tells what can be put back, the ledger what has to be there now. So a run that was killed can be
undone as well as one that ended, and an undo that was killed is gone on with by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

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
)
from tui_sync.ledger import Ledger, RunRecord
from tui_sync.model import Action, Entry, Item, Kind, Outcome, Status
from tui_sync.transfer import preconditions
from tui_sync.transfer.parents import Parents
from tui_sync.transfer.trash import Trash, alike

_AT_ONCE = 200


@dataclass(slots=True)
class Undone:
    """What came of it. ``restored``: deleted files that are back. ``reverted``: replaced files that are as
    they were. ``drifted``: changed since, and left alone. ``gone``: not in the trash any more. An undo leaves
    as they are the files that the run ``created``, and those ``not_kept`` when they were replaced."""

    restored: int = 0
    reverted: int = 0
    drifted: int = 0
    gone: int = 0
    failed: int = 0
    created: int = 0
    not_kept: int = 0

    @property
    def exit_code(self) -> int:
        if self.failed or self.gone:
            return 23
        return 24 if self.drifted else 0


# Of each path: a glyph, the item, and why it could not be put back, empty where it was.
Report = Callable[[str, Item, str], None]


class Undo:
    """One run's undo. ``aside`` is the folder in the trash for what that run has put over other files."""

    def __init__(
        self, ledger: Ledger, run: RunRecord, target: Reader, writer: Writer, report: Report
    ) -> None:
        self._ledger = ledger
        self._run = run
        self._options = ledger.plan(run.plan_id).options
        self._target = target
        self._writer = writer
        self._report = report
        self._parents = Parents(target)
        self._trash = Trash(target, writer, f"{ledger.tag}-{run.run_id}")
        self._aside = Trash(target, writer, f"{ledger.tag}-{run.run_id}{names.UNDONE}")
        self._emptied: set[str] = set()
        self.result = Undone()

    @property
    def aside(self) -> str:
        return self._aside.root if self._aside.used else ""

    def run(self) -> Undone:
        """Folders come back before what was in them. Raises ConnectionLost, TimedOut, LedgerError."""
        folders: list[Item] = []
        stream = self._pairs()
        while batch := list(islice(stream, _AT_ONCE)):
            places = [self._trash.place_of(item.path) for item, _ in batch]
            kept = self._target.stat_many(places)
            there = self._target.stat_many([item.path for item, _ in batch])
            for (item, outcome), one, other in zip(batch, kept, there, strict=True):
                if item.entry_kind is Kind.DIRECTORY:
                    done = outcome is not None and outcome.status is Status.DONE
                    if (done or isinstance(one, Entry)) and isinstance(other, NotFound):
                        self._make(item)
                        folders.append(item)
                    continue
                try:
                    self._put_back(item, outcome, _known(one), _known(other))
                except Drifted as drifted:
                    self._drift(item, str(drifted))
                except AlreadyExists:
                    self._drift(item, "is there again")
                except (ConnectionLost, TimedOut):
                    raise
                except StorageError as error:
                    self.result.failed += 1
                    self._report("!", item, str(error))
        for folder in reversed(folders):
            self._attributes(folder)
            self._emptied.add(folder.path)
        self._clear_trash()
        return self.result

    def _pairs(self) -> Iterator[tuple[Item, Outcome | None]]:
        """What the run may have deleted or replaced, with its outcome where that was written down."""
        outcomes = self._ledger.outcomes(self._run.run_id)
        outcome = next(outcomes, None)
        items = self._ledger.items(
            self._run.plan_id, actions={Action.CREATE, Action.UPDATE, Action.DELETE}, included=True
        )
        for item in items:
            while outcome is not None and outcome.item.seq < item.seq:
                outcome = next(outcomes, None)
            mine = outcome if outcome is not None and outcome.item.seq == item.seq else None
            if item.action is not Action.CREATE:
                yield item, mine
            elif mine is not None and mine.status is Status.DONE:
                self.result.created += 1

    def _put_back(self, item: Item, outcome: Outcome | None, kept: Entry | None, there: Entry | None) -> None:
        planned = item.target
        if planned is None:
            return
        as_it_was = there is not None and preconditions.same(planned, there)
        if kept is None:
            self._without_trash(item, outcome, as_it_was)
            return
        place = self._trash.place_of(item.path)
        if not alike(planned, kept):
            raise StorageError(f"what is in the trash as {names.printable(place)} is something else")
        if item.action is Action.UPDATE and there is not None and self._is_the_runs(item, outcome, there):
            # Of what has the size and time of what it replaced nobody can tell whether it is that: it is set
            # aside in any case.
            self._swap(item, place, there)
            if as_it_was:
                # Two names of one file: a rename does nothing to them.
                with suppress(NotFound):
                    self._writer.remove_file(place)
        elif as_it_was:
            # It was kept, and the run came no further; or it was put back, and that was cut short.
            self._writer.remove_file(place)
            self._emptied.update(names.ancestors(item.path))
            return
        elif there is None:
            self._parents.check(item.path)
            self._writer.rename(place, item.path)
        elif item.action is Action.UPDATE:
            raise Drifted("has changed since that run")
        else:
            raise Drifted("is there again")
        self._emptied.update(names.ancestors(item.path))
        if item.action is Action.DELETE:
            self.result.restored += 1
            self._report("+", item, "")
        else:
            self.result.reverted += 1
            self._report("M", item, "")

    def _without_trash(self, item: Item, outcome: Outcome | None, as_it_was: bool) -> None:
        if as_it_was or outcome is None or outcome.status is not Status.DONE:
            return
        if item.action is Action.UPDATE and not self._options.backup:
            self.result.not_kept += 1
            return
        self.result.gone += 1
        self._report("!", item, "is not in the trash any more")

    def _is_the_runs(self, item: Item, outcome: Outcome | None, there: Entry) -> bool:
        if outcome is not None and outcome.synced is not None:
            return preconditions.same(outcome.synced, there)
        # The run was killed before it could write down what it did.
        source = item.source
        if source is None or not alike(source, there):
            return False
        if source.mtime_ns is None or there.mtime_ns is None or source.kind is Kind.SYMLINK:
            return True
        return abs(source.mtime_ns - there.mtime_ns) <= self._target.features.mtime_precision_ns

    def _swap(self, item: Item, place: str, there: Entry) -> None:
        """The old version takes the name, the newer one is kept in the trash: the name is never missing where
        the target can replace a file in one step."""
        self._parents.check(item.path)
        aside = self._aside.make_room(item.path)
        [error] = self._writer.back_up_many([(item.path, aside)])
        if isinstance(error, AlreadyExists) and alike(there, self._target.stat(aside)):
            # By an undo that was cut short.
            error = None
        moved = isinstance(error, NotSupported)
        if error is not None and not moved:
            raise StorageError(f"the newer version could not be kept: {error}")
        preconditions.check_target(self._target, item.path, there)
        if moved:
            self._writer.rename(item.path, aside)
        self._writer.rename(place, item.path, replace=not moved)

    def _drift(self, item: Item, why: str) -> None:
        self.result.drifted += 1
        place = names.printable(self._trash.place_of(item.path))
        self._report("!", item, f"{why}: left in the trash as {place}")

    def _make(self, item: Item) -> None:
        try:
            self._parents.check(item.path)
            self._writer.make_dir(item.path, mode=None)
        except AlreadyExists:
            return
        except (ConnectionLost, TimedOut):
            raise
        except (StorageError, Drifted) as error:
            self.result.failed += 1
            self._report("!", item, str(error))

    def _attributes(self, item: Item) -> None:
        if item.target is None:
            return
        try:
            self._writer.set_attributes(item.path, mtime_ns=item.target.mtime_ns, mode=item.target.mode)
        except (ConnectionLost, TimedOut):
            raise
        except StorageError as error:
            self._report("!", item, str(error))

    def _clear_trash(self) -> None:
        """Away with folders of the trash that are empty now; one that is not holds what was left."""
        below = sorted(self._emptied - {""}, key=names.sort_key, reverse=True)
        for folder in (*map(self._trash.place_of, below), self._trash.root, names.TRASH):
            with suppress(StorageError):
                self._writer.remove_dir(folder)


def _known(found: Entry | StorageError) -> Entry | None:
    """None for what is not there."""
    if isinstance(found, NotFound):
        return None
    if isinstance(found, StorageError):
        raise found
    return found
