"""``runs undo``: what a run deleted or replaced is put back from the trash folder on the target."""

from __future__ import annotations

from tui_sync.commands.terminal import note, prompts, say
from tui_sync.connectors import registry
from tui_sync.errors import NotFound, UsageError
from tui_sync.export import find_run
from tui_sync.ledger import Ledger, RunRecord, open_ledger
from tui_sync.ledger.store import pair_ledgers
from tui_sync.model import DeleteTo, Item, Kind
from tui_sync.names import printable
from tui_sync.profiles import Profile
from tui_sync.transfer.undo import Undo, Undone

_NO_RUN = "this pair has no run yet: see “tui-sync runs list”"


def undo(profile: Profile, run_id: int | None) -> int:
    """Undo a run of the pair, the newest where ``run_id`` is None, and return the exit code.

    Raises UsageError where there is nothing to undo, NotFound, ConnectError.
    """
    if profile.pair_id not in {path.stem for path in pair_ledgers()}:
        raise NotFound(_NO_RUN)
    ledger = open_ledger(profile.pair_id, source=profile.source.url, target=profile.target.url)
    try:
        run = _run(ledger, run_id)
        options = ledger.plan(run.plan_id).options
        if options.delete is not DeleteTo.TRASH and not options.backup:
            raise UsageError(f"run {run.run_id} deleted for good: there is nothing to bring back")
        with ledger.lock():
            connector = registry.connect(profile.target, prompts())
            try:
                work = Undo(ledger, run, connector.reader(), connector.writer(), _report)
                undone = work.run()
            finally:
                connector.close()
    finally:
        ledger.close()
    say(_summary(undone, work.aside))
    return undone.exit_code


def _run(ledger: Ledger, run_id: int | None) -> RunRecord:
    if run_id is not None:
        return find_run(ledger, run_id)
    newest = ledger.runs(limit=1)
    if not newest:
        raise NotFound(_NO_RUN)
    return newest[0]


def _report(glyph: str, item: Item, why: str) -> None:
    path = printable(item.path) + ("/" if item.entry_kind is Kind.DIRECTORY else "")
    if why:
        note(f"{glyph} {path}\t{why}")
    else:
        say(f"{glyph} {path}")


def _summary(undone: Undone, aside: str) -> str:
    parts = [f"{undone.restored:,} brought back"]
    if undone.reverted:
        parts.append(f"{undone.reverted:,} as they were before (the newer versions are in {aside})")
    parts.append(f"{undone.drifted + undone.failed:,} left in the trash")
    if undone.gone:
        parts.append(f"{undone.gone:,} not there any more")
    stay = []
    if undone.created:
        stay.append(f"{undone.created:,} created by that run")
    if undone.not_kept:
        stay.append(f"{undone.not_kept:,} replaced without a backup")
    return ", ".join(parts) + (f"; stay as they are: {', '.join(stay)}" if stay else "")
