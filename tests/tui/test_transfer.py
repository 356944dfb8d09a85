"""A run and its screen: limits, single files, leaving it and coming back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.widgets import Input

from tests.support import fake_session as fake
from tests.support.fake_session import FakeEngine, Sessions
from tests.tui.conftest import MIRROR, MakeApp, in_transfer, ready, said, shown, until
from tui_sync.errors import PermissionDenied, TimedOut
from tui_sync.model import Outcome, RunState, Snapshot, Status
from tui_sync.tui.remedies import remedy
from tui_sync.tui.screens.ask import LimitDialog, limit_text
from tui_sync.tui.screens.compare import CompareScreen
from tui_sync.tui.screens.profiles import ProfilesScreen
from tui_sync.tui.screens.report import ReportScreen
from tui_sync.tui.screens.transfer import TransferScreen
from tui_sync.tui.widgets.meters import Lanes, share


def engine_of(sessions: Sessions) -> FakeEngine:
    engine = sessions.last.engine
    assert engine is not None
    return engine


async def test_skipping_the_file_under_the_cursor(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        screen = await in_transfer(pilot)
        await pilot.press("s")
        await until(pilot, lambda: "No file is in flight" in said(app))
        engine = engine_of(sessions)
        engine.now = fake.busy_snapshot(engine)
        await until(pilot, lambda: screen.query_one(Lanes).row_count() == 3)
        await pilot.press("j", "s")
        assert engine.calls[-1] == "skip media/2025/写真の一覧と長い名前.jpg"
        await until(pilot, lambda: "the next run copies it" in said(app))
        together = replace(engine.now.active[0], files=12)
        engine.now = replace(engine.now, active=(together,))
        await until(pilot, lambda: "and 11 more" in shown(app))
        await pilot.press("s")
        await until(pilot, lambda: "travel together" in said(app))


async def test_the_bandwidth_limit_is_set_and_lifted(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        screen = await in_transfer(pilot)
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, LimitDialog))
        await pilot.press(*"20x", "enter")
        assert "is no size" in shown(app)
        await pilot.press("backspace", "M", "B", "enter")
        await until(pilot, lambda: app.screen is screen)
        assert engine_of(sessions).now.bandwidth_limit == 20_000_000
        assert "limit 20.0 MB/s" in shown(app)
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, LimitDialog))
        assert app.screen.query_one(Input).value == "20MB"
        app.screen.query_one(Input).value = ""
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is screen)
        assert engine_of(sessions).now.bandwidth_limit is None


async def test_leaving_lets_the_run_go_on_and_t_comes_back(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test(size=(120, 30)) as pilot:
        await ready(pilot)
        await pilot.press("t")
        await until(pilot, lambda: "No run is under way" in said(app))
        await in_transfer(pilot)
        engine = engine_of(sessions)
        engine.now = fake.busy_snapshot(engine)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ProfilesScreen))
        await until(pilot, lambda: "61%  84.2 MB/s  0:08 left" in shown(app))
        assert "t shows it" in shown(app)
        assert not sessions.last.closed
        assert "cancel" not in engine.calls
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, TransferScreen))
        await pilot.press("p")
        assert engine.calls[-1] == "pause"
        await pilot.press("escape")
        await until(pilot, lambda: "61%  paused" in shown(app))
        await pilot.click("RunBar")
        await until(pilot, lambda: isinstance(app.screen, TransferScreen))
        engine.finish(created=4)
        await until(pilot, lambda: isinstance(app.screen, ReportScreen))
        await pilot.press("enter")
        await ready(pilot)
        assert sessions.last.scans == 2
        assert len(sessions.made) == 1


async def test_the_watch_may_tick_once_more_when_the_screens_are_gone(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test() as pilot:
        await ready(pilot)
    assert not app.screen_stack
    app.watch_runs()


async def test_a_run_that_ends_elsewhere_is_told_and_its_report_kept(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    bells: list[bool] = []
    app.bell = lambda: bells.append(True)  # type: ignore[method-assign]
    async with app.run_test(size=(100, 30)) as pilot:
        await in_transfer(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ProfilesScreen))
        engine_of(sessions).finish(status="partial", exit_code=23, failed=1)
        await until(pilot, lambda: "photos: done in part" in said(app))
        await until(pilot, lambda: "■ photos" in shown(app))
        assert bells == [True]
        await pilot.press("q")
        assert app._exit or isinstance(app.screen, ProfilesScreen)


async def test_opening_the_profile_of_a_run_leads_to_the_run(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await in_transfer(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ProfilesScreen))
        app.open_profile(MIRROR)
        await until(pilot, lambda: isinstance(app.screen, TransferScreen))
        assert sum(isinstance(screen, CompareScreen) for screen in app.screen_stack) == 1
        engine_of(sessions).finish()
        await until(pilot, lambda: isinstance(app.screen, ReportScreen))
        await pilot.press("escape")
        await until(pilot, lambda: sessions.last.closed)
        assert app.elsewhere is None


def test_the_share_of_a_run_without_bytes_is_of_its_items() -> None:
    assert share(Snapshot(RunState.RUNNING, items_total=4, items_done=1)) == (1, 4)
    copied = Snapshot(RunState.RUNNING, bytes_total=10, bytes_done=10, items_total=4, items_done=3)
    assert share(copied) == (9, 10)
    assert share(replace(copied, items_done=4)) == (10, 10)


@pytest.mark.parametrize(("limit", "written"), [(20_000_000, "20MB"), (2**20, "1M"), (1000, "1KB"), (7, "7")])
def test_a_limit_is_written_as_it_is_read(limit: int, written: str) -> None:
    from tui_sync.profiles import parse_size

    assert limit_text(limit) == written
    assert parse_size(written) == limit


def test_every_kind_of_trouble_has_a_way_out() -> None:
    item = fake.sample_items()[2]
    assert "the right to it" in remedy(Outcome(item, Status.FAILED, error_kind=PermissionDenied.kind))
    assert "fewer workers" in remedy(Outcome(item, Status.FAILED, error_kind=TimedOut.kind))
    assert "compare again" in remedy(Outcome(item, Status.DRIFTED, error="x"))
    assert remedy(Outcome(item, Status.FAILED, error="permission denied")) == ""


async def test_idle_lines_push_no_file_out_of_sight(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await in_transfer(pilot)
        lanes = screen.query_one(Lanes)
        engine = engine_of(sessions)
        busy = fake.busy_snapshot(engine)
        files = tuple(replace(busy.active[0], path=f"many{n:02}") for n in range(30))
        engine.now = replace(busy, active=files)
        await until(pilot, lambda: lanes.row_count() == 30)
        lanes.cursor = 29
        engine.now = replace(busy, active=(files[5], files[29]))
        await until(pilot, lambda: "many05" in shown(app) and "many29" in shown(app))
        assert lanes.file is not None
        assert lanes.file.path == "many29"
