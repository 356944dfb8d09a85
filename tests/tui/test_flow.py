"""The whole way through the screens with a fake session: run, report, history, leaving."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support import fake_session as fake
from tests.support.fake_session import Sessions
from tests.tui.conftest import MIRROR, MakeApp, in_transfer, ready, said, shown, until
from tests.tui.test_profiles_screen import ran
from tui_sync import profiles
from tui_sync.model import Verify
from tui_sync.tui.screens.ask import ConfirmDialog, InputDialog
from tui_sync.tui.screens.history import HistoryScreen, RunList
from tui_sync.tui.screens.profiles import ProfilesScreen
from tui_sync.tui.screens.report import PastReport, ReportScreen
from tui_sync.tui.screens.review import ReviewScreen


async def test_the_whole_way(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        screen = await in_transfer(pilot)
        engine = sessions.last.engine
        assert engine is not None
        engine.now = fake.busy_snapshot(engine)
        await until(pilot, lambda: screen.snapshot.files_done == 3)
        page = shown(app)
        assert "61%" in page
        assert "84.2 MB/s" in page
        assert "0:08 left" in page
        assert "3 of 7 files" in page
        assert "! 1 failed" in page
        engine.finish(
            status="partial",
            exit_code=23,
            created=4,
            updated=2,
            deleted=2,
            failed=1,
            skipped=1,
            bytes=741_069_035,
            elapsed_s=22.7,
            verified=Verify.SIZE,
            outcomes=fake.failures(engine.plan, engine.ledger),
        )
        await until(pilot, lambda: isinstance(app.screen, ReportScreen))
        await until(pilot, lambda: "permission denied on the target" in shown(app))
        page = shown(app)
        assert "not everything went through" in page
        assert "4 created" in page
        assert "1 failed" in page
        assert "drifted" in page
        assert "size: the size of every file" in page
        assert f"run {engine.run_id}" in page


async def test_enter_on_the_report_compares_again(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await in_transfer(pilot)
        assert sessions.last.engine is not None
        sessions.last.engine.finish(created=4)
        await until(pilot, lambda: isinstance(app.screen, ReportScreen))
        await pilot.press("r")
        await until(pilot, lambda: "nothing to retry" in said(app))
        await pilot.press("enter")
        await ready(pilot)
        assert len(sessions.made) == 1
        assert sessions.last.scans == 2


async def test_retry_goes_on_to_a_new_review(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await in_transfer(pilot)
        assert sessions.last.engine is not None
        engine = sessions.last.engine
        engine.finish(
            status="partial", exit_code=23, failed=1, outcomes=fake.failures(engine.plan, engine.ledger)
        )
        await until(pilot, lambda: isinstance(app.screen, ReportScreen))
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        assert sessions.last.scans == 2
        assert sessions.last.only == {"docs/notes.md", "site/foo[/bar].txt"}
        assert "2 files to replace" in shown(app)


async def test_after_a_cancelled_run_new_connections_are_made(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await in_transfer(pilot)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, ReportScreen))
        assert sessions.last.engine is not None
        assert "cancel" in sessions.last.engine.calls
        assert "Stopped before the end" in shown(app)
        await pilot.press("enter")
        await ready(pilot)
        assert len(sessions.made) == 2
        await until(pilot, lambda: sessions.made[0].closed)


async def test_escape_on_the_report_leads_to_the_profiles(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await in_transfer(pilot)
        assert sessions.last.engine is not None
        sessions.last.engine.finish()
        await until(pilot, lambda: isinstance(app.screen, ReportScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ProfilesScreen))
        await until(pilot, lambda: sessions.last.closed)


async def test_pause_drain_workers(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await in_transfer(pilot)
        engine = sessions.last.engine
        assert engine is not None
        await pilot.press("p")
        assert "Paused" in shown(app)
        assert "p Resume" in shown(app)
        await pilot.press("p")
        assert "Copying files" in shown(app)
        await pilot.press("plus", "plus", "minus")
        assert engine.workers == 9
        assert "9 workers" in shown(app)
        await pilot.press("d")
        assert "Finishing the files in flight" in shown(app)
        await pilot.press("p")
        await until(pilot, lambda: "c cancels them too" in said(app))
        assert engine.calls == ["start", "pause", "resume", "drain"]


async def test_keep_watching(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        screen = await in_transfer(pilot)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("n")
        assert app.screen is screen
        assert sessions.last.engine is not None
        assert "cancel" not in sessions.last.engine.calls


async def test_a_run_that_ends_while_a_question_is_open(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await in_transfer(pilot)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert sessions.last.engine is not None
        sessions.last.engine.finish(created=4)
        await until(pilot, lambda: isinstance(app.screen, ReportScreen))
        assert len(app.screen_stack) == 3


async def test_quit_asks_only_while_a_run_is_under_way(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        screen = await in_transfer(pilot)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("escape")
        assert app.screen is screen
        await pilot.press("ctrl+q")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("ctrl+q")
        assert len(app.screen_stack) == 4
        await pilot.press("y")
        await until(pilot, lambda: not app.is_running)
    assert app.return_value == 130
    app.close_works()
    assert sessions.last.engine is not None
    assert "cancel" in sessions.last.engine.calls
    assert sessions.last.closed


@pytest.mark.parametrize("key", ["q", "ctrl+q", "ctrl+c"])
async def test_quit_from_the_trees(make_app: MakeApp, key: str) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await ready(pilot)
        await pilot.press(key)
        await until(pilot, lambda: not app.is_running)
    assert app.return_value == 0
    app.close_works()
    assert sessions.last.closed


async def test_history_and_a_past_report(make_app: MakeApp, tmp_path: Path) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        await pilot.press("h")
        await until(pilot, lambda: "No run yet" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: "There is no run yet" in said(app))
        await pilot.press("escape")
        assert app.screen is screen
        await in_transfer(pilot)
        engine = sessions.last.engine
        assert engine is not None
        engine.finish(
            status="partial", exit_code=23, failed=1, outcomes=fake.failures(engine.plan, engine.ledger)
        )
        await until(pilot, lambda: isinstance(app.screen, ReportScreen))
        await pilot.press("h")
        await until(
            pilot, lambda: isinstance(app.screen, HistoryScreen) and app.screen.query_one(RunList).records
        )
        assert "! partly" in shown(app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PastReport))
        await until(pilot, lambda: "permission denied on the target" in shown(app))
        await pilot.press("escape", "x")
        await until(pilot, lambda: isinstance(app.screen, InputDialog))
        app.screen.query_one(Input).value = str(tmp_path / "past.csv")
        await pilot.press("enter")
        await until(pilot, lambda: "Written:" in said(app))
        assert "permission denied on the target" in (tmp_path / "past.csv").read_text()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PastReport))
        await until(pilot, lambda: "permission denied on the target" in shown(app))
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        assert app.screen_stack[-2] is screen
        assert screen.work is not None
        assert screen.work.totals.work == 2


async def test_a_past_run_is_compared_again_from_the_profiles(make_app: MakeApp, tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "photos.toml").write_text('[source]\nurl = "/here"\n[target]\nurl = "/there"\n')
    ran(profiles.load(folder / "photos.toml"), tmp_path / "state")
    app = make_app(None, Sessions())
    async with app.run_test() as pilot:
        await until(pilot, lambda: "photos" in shown(app))
        await pilot.press("h")
        await until(
            pilot, lambda: isinstance(app.screen, HistoryScreen) and app.screen.query_one(RunList).records
        )
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PastReport))
        past = app.screen
        await pilot.press("enter")
        await ready(pilot)
        await pilot.press("escape")
        assert app.screen is past
