"""``runs undo``: what a run moved into the trash folder goes back to where it was."""

from __future__ import annotations

from tui_sync import names
from tui_sync.commands.terminal import note, prompts, say
from tui_sync.connectors import registry
from tui_sync.connectors.base import Reader, Writer
from tui_sync.errors import AlreadyExists, NotFound, StorageError, UsageError
from tui_sync.export import find_run
from tui_sync.ledger import Ledger, RunRecord, open_ledger
from tui_sync.ledger.store import pair_ledgers
from tui_sync.model import Action, DeleteTo, Item, Kind, Status
from tui_sync.names import printable
from tui_sync.profiles import Profile

_FAILED = 23
_NO_RUN = "this pair has no run yet: see “tui-sync runs list”"


def undo(profile: Profile, run_id: int | None) -> int:
    """Undo the deletes of a run of the pair, the newest where ``run_id`` is None.

    Raises UsageError where there is nothing to undo, NotFound, ConnectError.
    """
    if profile.pair_id not in {path.stem for path in pair_ledgers()}:
        raise NotFound(_NO_RUN)
    ledger = open_ledger(profile.pair_id, source=profile.source.url, target=profile.target.url)
    try:
        run = _run(ledger, run_id)
        if ledger.plan(run.plan_id).options.delete is not DeleteTo.TRASH:
            raise UsageError(f"run {run.run_id} deleted for good: there is nothing to bring back")
        with ledger.lock():
            connector = registry.connect(profile.target, prompts())
            try:
                return _Undo(ledger, run, connector.reader(), connector.writer()).undo()
            finally:
                connector.close()
    finally:
        ledger.close()


def _run(ledger: Ledger, run_id: int | None) -> RunRecord:
    if run_id is not None:
        return find_run(ledger, run_id)
    newest = ledger.runs(limit=1)
    if not newest:
        raise NotFound(_NO_RUN)
    return newest[0]


class _Undo:
    def __init__(self, ledger: Ledger, run: RunRecord, reader: Reader, writer: Writer) -> None:
        self._ledger = ledger
        self._run = run
        self._reader = reader
        self._writer = writer
        self._trash = f"{names.TRASH}/{ledger.tag}-{run.run_id}"
        self._left = 0
        self._gone = 0

    def undo(self) -> int:
        """Folders come back first, by their old names in order; then the files; then the trash is cleared."""
        folders: list[Item] = []
        emptied: set[str] = set()
        restored = 0
        for outcome in self._ledger.outcomes(self._run.run_id, statuses={Status.DONE}):
            item = outcome.item
            if item.action is not Action.DELETE:
                continue
            if item.entry_kind is Kind.DIRECTORY:
                folders.append(item)
                self._make(item)
            elif self._restore(item):
                restored += 1
                emptied.update(names.ancestors(item.path))
        for folder in reversed(folders):
            self._attributes(folder)
            emptied.add(folder.path)
        # The deepest first; the root's own name is "".
        for path in sorted(emptied - {""}, key=names.sort_key, reverse=True):
            self._clear(f"{self._trash}/{path}")
        self._clear(self._trash)
        self._clear(names.TRASH)
        gone = f", {self._gone:,} not there any more" if self._gone else ""
        say(f"{restored:,} brought back, {self._left:,} left in the trash{gone}")
        return _FAILED if self._left or self._gone else 0

    def _make(self, item: Item) -> None:
        try:
            self._writer.make_dir(item.path, mode=None)
        except AlreadyExists:
            return
        except StorageError as error:
            note(f"! {printable(item.path)}/\t{error}")

    def _restore(self, item: Item) -> bool:
        trashed = f"{self._trash}/{item.path}"
        try:
            self._reader.stat(trashed)
            self._writer.rename(trashed, item.path)
        except NotFound:
            # Brought back by an earlier undo, or cleared away by somebody: also where a folder above is gone.
            note(f"! {printable(item.path)}\tis not in the trash any more, or its folder is gone")
            self._gone += 1
        except AlreadyExists:
            note(f"! {printable(item.path)}\tis there again: left in the trash as {printable(trashed)}")
            self._left += 1
        except StorageError as error:
            note(f"! {printable(item.path)}\t{error}")
            self._left += 1
        else:
            say(f"+ {printable(item.path)}")
            return True
        return False

    def _attributes(self, item: Item) -> None:
        if item.target is None:
            return
        try:
            self._writer.set_attributes(item.path, mtime_ns=item.target.mtime_ns, mode=item.target.mode)
        except StorageError as error:
            note(f"! {printable(item.path)}/\t{error}")

    def _clear(self, folder: str) -> None:
        """Away with a folder of the trash that is empty; one that is not holds what was left."""
        try:
            self._writer.remove_dir(folder)
        except StorageError:
            return
