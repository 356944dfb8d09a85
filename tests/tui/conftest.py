"""What all tests of the app share: one time zone, one clock, and a way to wait for a condition."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.support.fake_session import NOW_NS, Sessions, profile
from tui_sync.profiles import Profile
from tui_sync.tui.app import TuiSyncApp
from tui_sync.tui.reach import Reach
from tui_sync.tui.screens.ask import ConfirmDialog
from tui_sync.tui.screens.compare import CompareScreen
from tui_sync.tui.screens.review import ReviewScreen
from tui_sync.tui.screens.transfer import TransferScreen

MakeApp = Callable[..., TuiSyncApp]
DEADLINE_S = 60.0
MIRROR = profile(mode="mirror")


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(autouse=True)
def brisk_pilot(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each key the pilot waits until the app is idle; look for that more often than every 20 ms."""
    monkeypatch.setattr("textual._wait.SLEEP_GRANULARITY", 0.004)


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[MakeApp]:
    """An app with frozen clocks and everything it stores in ``tmp_path``; closed at the end."""
    apps: list[TuiSyncApp] = []

    def make(pair: Profile | None = None, sessions: Sessions | None = None, **given: object) -> TuiSyncApp:
        app = TuiSyncApp(
            pair,
            session_factory=sessions,  # type: ignore[arg-type]
            profiles_folder=given.pop("profiles_folder", tmp_path / "profiles"),  # type: ignore[arg-type]
            state_dir=given.pop("state_dir", tmp_path / "state"),  # type: ignore[arg-type]
            now_ns=lambda: NOW_NS,
            knock=given.pop("knock", lambda endpoint: Reach.UNKNOWN),  # type: ignore[arg-type]
            **given,  # type: ignore[arg-type]
        )
        app.animation_level = "none"
        # On a busy machine two clicks may be far apart.
        app.CLICK_CHAIN_TIME_THRESHOLD = DEADLINE_S  # type: ignore[misc]
        apps.append(app)
        return app

    yield make
    for app in apps:
        app.close_works()


async def until(pilot: Pilot[int], condition: Callable[[], object]) -> None:
    """Wait until ``condition`` holds, letting the app work meanwhile."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await pilot.pause()
        await asyncio.sleep(0.005)
    await pilot.pause()


async def ready(pilot: Pilot[int]) -> CompareScreen:
    """Wait until the trees are shown."""
    app = pilot.app
    await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.state == "ready")
    assert isinstance(app.screen, CompareScreen)
    return app.screen


async def in_review(pilot: Pilot[int]) -> ReviewScreen:
    """From the trees to the review."""
    await ready(pilot)
    await pilot.press("f5")
    await until(pilot, lambda: isinstance(pilot.app.screen, ReviewScreen))
    assert isinstance(pilot.app.screen, ReviewScreen)
    return pilot.app.screen


async def start(pilot: Pilot[int]) -> None:
    """From the trees through the review, deletes confirmed. A small real run may be over right after."""
    review = await in_review(pilot)
    deletes = review.work.totals.delete
    await pilot.press("f9")
    if deletes:
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmDialog))
        await pilot.press("y")


async def in_transfer(pilot: Pilot[int]) -> TransferScreen:
    """From the trees to the transfer of a fake run, which stays until it is told to end."""
    await start(pilot)
    await until(pilot, lambda: isinstance(pilot.app.screen, TransferScreen))
    assert isinstance(pilot.app.screen, TransferScreen)
    return pilot.app.screen


def shown(app: TuiSyncApp) -> str:
    """The text of the screen, line by line, as it reaches the terminal."""
    width, height = app.size
    lines = app.screen._compositor.render_strips()
    return "\n".join(strip.text[:width] for strip in lines[:height])


def said(app: TuiSyncApp) -> str:
    """All that the app has told in passing."""
    return " ".join(notification.message for notification in app._notifications)


def path_of(screen: CompareScreen) -> str:
    """The path under the cursor."""
    return screen.trees.rows.path(screen.trees.row)
