"""A run's receipt: by how its items ended, page by page, and as a file."""

from __future__ import annotations

import json
from pathlib import Path

from textual.widgets import Input

from tests.support import fake_session as fake
from tests.support.fake_session import Sessions
from tests.tui.conftest import MIRROR, MakeApp, in_transfer, said, shown, until
from tui_sync.ledger.store import open_ledger
from tui_sync.model import Action, ChangeKind, Item, Outcome, Status, SyncOptions, Totals
from tui_sync.tui.screens.ask import InputDialog
from tui_sync.tui.screens.report import Receipt, ReportScreen, export_problem
from tui_sync.tui.widgets.sheet import Sheet


async def test_filters_by_how_items_ended(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test(size=(140, 30)) as pilot:
        await in_transfer(pilot)
        engine = sessions.last.engine
        assert engine is not None
        done = fake.finished_items(engine.ledger, engine.plan.plan_id, [Action.CREATE])
        outcomes = [*done, *fake.failures(engine.plan, engine.ledger)]
        engine.finish(status="partial", exit_code=23, outcomes=outcomes)
        await until(pilot, lambda: isinstance(app.screen, ReportScreen))
        await until(pilot, lambda: "▸Not gone through 2" in shown(app) and "docs/notes.md" in shown(app))
        assert "→ give this user the right" in shown(app)
        await pilot.press("f")
        await until(pilot, lambda: "▸Failed 1" in shown(app) and "docs/notes.md" not in shown(app))
        await pilot.press("f", "f")
        await until(pilot, lambda: "▸Done 4" in shown(app) and "+ create" in shown(app))
        await pilot.press("F")
        await until(pilot, lambda: "▸Skipped 1" in shown(app) and "docs/notes.md" in shown(app))
        page = shown(app).split("\n")
        y = next(number for number, line in enumerate(page) if "▸Skipped" in line)
        await pilot.click(offset=(page[y].index("All 6"), y))
        await until(pilot, lambda: "▸All 6" in shown(app))
        await until(pilot, lambda: app.screen.query_one("#outcomes", Sheet).row_count() == 6)


async def test_export_asks_for_a_file_and_writes_it(make_app: MakeApp, tmp_path: Path) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test(size=(110, 30)) as pilot:
        await in_transfer(pilot)
        engine = sessions.last.engine
        assert engine is not None
        engine.finish(outcomes=list(fake.finished_items(engine.ledger, engine.plan.plan_id, [Action.CREATE])))
        await until(pilot, lambda: isinstance(app.screen, ReportScreen))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, InputDialog))
        box = app.screen.query_one(Input)
        assert box.value.endswith("-run-1.html")
        box.value = str(tmp_path / "receipt.txt")
        await until(pilot, lambda: "must end in" in shown(app))
        box.value = str(tmp_path / "receipt.json")
        await pilot.press("enter")
        await until(pilot, lambda: "Written:" in said(app))
    written = tmp_path / "receipt.json"
    assert len(json.loads(written.read_text())["items"]) == 4
    assert written.stat().st_mode & 0o777 == 0o600
    assert "already" in export_problem(str(written))
    assert "no folder" in export_problem(str(tmp_path / "nowhere/x.csv"))


def test_a_long_receipt_is_read_page_by_page(tmp_path: Path) -> None:
    ledger = open_ledger("pair", source="a", target="b", state_dir=tmp_path)
    plan_id = ledger.new_plan("a", "b", SyncOptions())
    items = [Item(seq, Action.DELETE, f"f{seq:05}", ChangeKind.EXTRA) for seq in range(1, 3001)]
    ledger.add_items(plan_id, items)
    ledger.finish_plan(plan_id, Totals(), ())
    run_id = ledger.start_run(plan_id)
    ledger.record(
        run_id, [Outcome(item, Status.FAILED if item.seq % 3 else Status.DONE, error="x") for item in items]
    )
    receipt = Receipt(ledger, run_id, (Status.FAILED,))
    assert len(receipt) == 2000
    paths = [line[1][1] for line in receipt]
    assert paths == [item.path for item in items if item.seq % 3]
    assert receipt[1999][1][1] == "f02999"
    assert receipt[0:2] == [receipt[0], receipt[1]]
    assert len(receipt._pages) <= 8
    assert ledger.outcome_counts(run_id) == {Status.FAILED: 2000, Status.DONE: 1000}
    ledger.close()
