"""Engine runs over memory connectors, with plans made by a differ of a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tui_sync.connectors.memory import MemoryConnector
from tui_sync.ledger import Ledger, open_ledger
from tui_sync.model import (
    Action,
    ChangeKind,
    Entry,
    Item,
    Kind,
    Outcome,
    Plan,
    Status,
    SyncOptions,
    Totals,
)
from tui_sync.transfer.engine import Engine
from tui_sync.transfer.recorder import Listener
from tui_sync.transfer.retry import Retry

QUICK_RETRY = Retry(attempts=3, first_pause_s=0.001, longest_pause_s=0.002)
WAIT_S = 30.0


@contextmanager
def ledger_in(folder: Path) -> Iterator[Ledger]:
    ledger = open_ledger("pair", source="memory:a", target="memory:b", state_dir=folder)
    try:
        yield ledger
    finally:
        ledger.close()


def entries(place: MemoryConnector) -> dict[str, Entry]:
    reader = place.reader()
    fault, place.fault = place.fault, None
    try:
        return {path: reader.stat(path) for path in sorted(place.nodes, key=lambda path: path.split("/"))}
    finally:
        place.fault = fault


def differing(source: MemoryConnector, target: MemoryConnector, *, mirror: bool) -> list[Item]:
    """The items that make the target equal to the source; in mirror mode with deletes."""
    ours, theirs = entries(source), entries(target)
    items: list[Item] = []

    def add(action: Action, path: str, kind: ChangeKind) -> None:
        items.append(Item(len(items) + 1, action, path, kind, "", ours.get(path), theirs.get(path)))

    for path in sorted({*ours, *theirs}, key=lambda path: path.split("/")):
        if path in ours and path not in theirs:
            made = ours[path].kind is Kind.DIRECTORY
            add(Action.MKDIR if made else Action.CREATE, path, ChangeKind.NEW)
        elif path in ours:
            if ours[path].kind is Kind.FILE and source.read(path) != target.read(path):
                add(Action.UPDATE, path, ChangeKind.MODIFIED)
        elif mirror and not path.startswith(".tui-sync"):
            add(Action.DELETE, path, ChangeKind.EXTRA)
    return items


def stored_plan(ledger: Ledger, items: list[Item], options: SyncOptions) -> Plan:
    plan_id = ledger.new_plan("memory:a", "memory:b", options)
    ledger.add_items(plan_id, items)
    ledger.finish_plan(plan_id, Totals(), ())
    return ledger.finish_plan(plan_id, ledger.totals(plan_id), ())


def engine_for(
    source: MemoryConnector,
    target: MemoryConnector,
    ledger: Ledger,
    *,
    options: SyncOptions | None = None,
    mirror: bool = False,
    items: list[Item] | None = None,
    listener: Listener | None = None,
    without: tuple[str, ...] = (),
    leftovers: tuple[str, ...] = (),
) -> Engine:
    """An engine that has not been started, over the difference of the two trees."""
    planned = differing(source, target, mirror=mirror) if items is None else items
    plan = stored_plan(ledger, planned, options or SyncOptions())
    for path in without:
        ledger.include(plan.plan_id, path, False)
    return Engine(
        source=source,
        target=target,
        ledger=ledger,
        plan=plan,
        listener=listener,
        retry=QUICK_RETRY,
        leftovers=leftovers,
    )


def run(engine: Engine) -> Engine:
    engine.start()
    assert engine.wait(WAIT_S), "the run did not end"
    return engine


def statuses(ledger: Ledger, engine: Engine) -> dict[str, Status]:
    return {outcome.item.path: outcome.status for outcome in ledger.outcomes(engine.run_id)}


def outcome_of(ledger: Ledger, engine: Engine, path: str) -> Outcome:
    return next(outcome for outcome in ledger.outcomes(engine.run_id) if outcome.item.path == path)
