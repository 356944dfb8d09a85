"""Every screen as it looks, at 80x24 and at 120x40: frozen data, frozen clocks, no blinking."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.support import fake_session as fake
from tests.support.fake_session import NOW_NS, Sessions
from tests.tui.conftest import MakeApp, in_review, in_transfer, ready, shown, until
from tests.tui.test_profiles_screen import ran
from tui_sync import profiles
from tui_sync.model import Verify
from tui_sync.tui.app import TuiSyncApp
from tui_sync.tui.screens.history import HistoryScreen, RunList
from tui_sync.tui.screens.profiles import ProfileList
from tui_sync.tui.screens.report import ReportScreen
from tui_sync.tui.widgets.meters import SpeedPlot

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
Compare = Callable[..., bool]


@pytest.fixture
def frozen(make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeApp:
    """Apps whose pictures hold nothing of the machine they were taken on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "tui_sync.ledger.store.time", SimpleNamespace(time_ns=lambda: NOW_NS - 2 * 3600 * 10**9)
    )
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("TEXTUAL_THEME", raising=False)

    def make(profile: object = None, **given: object) -> TuiSyncApp:
        sessions = Sessions()
        app = make_app(
            profile,
            sessions,
            profiles_folder=Path("profiles"),
            state_dir=Path("state"),
            monotonic=lambda: 12.3,
            **given,
        )
        app.sessions = sessions  # type: ignore[attr-defined]
        return app

    return make


def engine_of(pilot: Pilot[Any]) -> fake.FakeEngine:
    engine = pilot.app.sessions.last.engine  # type: ignore[attr-defined]
    assert isinstance(engine, fake.FakeEngine)
    return engine


@SIZES
def test_profiles(snap_compare: Compare, frozen: MakeApp, size: tuple[int, int]) -> None:
    folder = Path("profiles")
    folder.mkdir()
    text = '[source]\nurl = "sftp://me@files.example.org:2222/{0}"\n[target]\nurl = "/srv/[b]{0}[/b]"\n'
    for name in ("backup", "photos", "写真"):
        (folder / f"{name}.toml").write_text(text.format(name))
    (folder / "broken.toml").write_text("")
    ran(profiles.load(folder / "photos.toml"), Path("state"))

    async def before(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: pilot.app.screen.query_one(ProfileList).row_count() == 4)
        await pilot.press("j", "j")

    assert snap_compare(frozen(), terminal_size=size, run_before=before)


@SIZES
def test_compare(snap_compare: Compare, frozen: MakeApp, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("n", "n", "n", "space", "j")

    assert snap_compare(frozen(fake.profile(mode="mirror")), terminal_size=size, run_before=before)


@SIZES
def test_review(snap_compare: Compare, frozen: MakeApp, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await in_review(pilot)
        await pilot.press("j", "j", "j", "space", "tab")
        await until(pilot, lambda: "412 GB free" in shown(pilot.app))  # type: ignore[arg-type]

    assert snap_compare(frozen(fake.profile(mode="mirror")), terminal_size=size, run_before=before)


async def busy_transfer(pilot: Pilot[Any]) -> None:
    screen = await in_transfer(pilot)
    screen.polling.pause()
    engine = engine_of(pilot)
    engine.now = fake.busy_snapshot(engine)
    screen.poll()
    speeds = screen.work.speeds
    speeds.clear()
    speeds.extend(50e6 * (1.3 + math.sin(step / 6)) for step in range(90))
    screen.query_one(SpeedPlot).refresh()
    await until(pilot, lambda: "61%" in shown(pilot.app))  # type: ignore[arg-type]


@SIZES
def test_transfer(snap_compare: Compare, frozen: MakeApp, size: tuple[int, int]) -> None:
    assert snap_compare(frozen(fake.profile(mode="mirror")), terminal_size=size, run_before=busy_transfer)


async def to_report(pilot: Pilot[Any]) -> None:
    await in_transfer(pilot)
    engine = engine_of(pilot)
    engine.finish(
        status="partial",
        exit_code=23,
        created=4,
        updated=1,
        deleted=2,
        directories=2,
        unchanged=4,
        failed=1,
        skipped=1,
        conflicts=2,
        bytes=741_069_035,
        elapsed_s=22.7,
        verified=Verify.SIZE,
        outcomes=fake.failures(engine.plan, engine.ledger),
    )
    await until(pilot, lambda: isinstance(pilot.app.screen, ReportScreen))
    await until(pilot, lambda: "permission denied" in shown(pilot.app))  # type: ignore[arg-type]


@SIZES
def test_report(snap_compare: Compare, frozen: MakeApp, size: tuple[int, int]) -> None:
    assert snap_compare(frozen(fake.profile(mode="mirror")), terminal_size=size, run_before=to_report)


@SIZES
def test_history(snap_compare: Compare, frozen: MakeApp, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        await to_report(pilot)
        await pilot.press("h")
        await until(
            pilot,
            lambda: (
                isinstance(pilot.app.screen, HistoryScreen) and pilot.app.screen.query_one(RunList).records
            ),
        )

    assert snap_compare(frozen(fake.profile(mode="mirror")), terminal_size=size, run_before=before)


@SIZES
def test_form(snap_compare: Compare, frozen: MakeApp, size: tuple[int, int]) -> None:
    Path("profiles").mkdir()
    Path("profiles/photos.toml").write_text(
        '# Every night at two.\n[source]\nurl = "sftp://me@files.example.org:2222/photos"\n'
        'password = "env:PHOTOS"\n\n[target]\nurl = "/srv/[b]写真[/b]"\n\n[sync]\n'
        'mode = "mirror"\nexclude = ["*.tmp", ".cache/"]\n# verify = "auto"\n'
    )

    async def before(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: pilot.app.screen.query_one(ProfileList).row_count() == 1)
        await pilot.press("e")
        await until(pilot, lambda: "can be saved" in shown(pilot.app))  # type: ignore[arg-type]

    assert snap_compare(frozen(), terminal_size=size, run_before=before)


@pytest.mark.parametrize("screen", ["compare", "review", "transfer", "report", "form"])
def test_light(snap_compare: Compare, frozen: MakeApp, monkeypatch: pytest.MonkeyPatch, screen: str) -> None:
    monkeypatch.setenv("TEXTUAL_THEME", "tui-sync-light")

    async def before(pilot: Pilot[Any]) -> None:
        if screen == "form":
            await pilot.press("n")
            await until(pilot, lambda: "needs a URL" in shown(pilot.app))  # type: ignore[arg-type]
        elif screen == "compare":
            await ready(pilot)
        elif screen == "review":
            await in_review(pilot)
            await until(pilot, lambda: "412 GB free" in shown(pilot.app))  # type: ignore[arg-type]
        elif screen == "transfer":
            await busy_transfer(pilot)
        else:
            await to_report(pilot)

    pair = None if screen == "form" else fake.profile(mode="mirror")
    assert snap_compare(frozen(pair), terminal_size=(100, 30), run_before=before)
