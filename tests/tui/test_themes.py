"""Light themes, the terminal's own colours, no colours at all: every word can be read in all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import fake_session as fake
from tests.support.fake_session import Sessions
from tests.tui.conftest import MakeApp, in_transfer, ready, shown, until
from tui_sync.tui.app import TuiSyncApp
from tui_sync.tui.screens.ask import ConfirmDialog, QuickDialog
from tui_sync.tui.screens.compare import CompareScreen
from tui_sync.tui.screens.form import ProfileForm
from tui_sync.tui.screens.history import HistoryScreen
from tui_sync.tui.screens.profiles import ProfilesScreen
from tui_sync.tui.screens.report import ReportScreen
from tui_sync.tui.screens.review import ReviewScreen
from tui_sync.tui.screens.transfer import TransferScreen
from tui_sync.tui.screens.view import HelpScreen


def unreadable(app: TuiSyncApp) -> list[str]:
    """Words in the colour of what they stand on."""
    found = []
    background = app.screen.background_colors[1]
    for strip in app.screen._compositor.render_strips():
        seen = strip
        for one in app._filters:
            seen = seen.apply_filter(one, background) if one.enabled else seen
        for segment in seen:
            style = segment.style
            if not segment.text.strip() or style is None or style.color is None or style.color.is_default:
                continue
            if style.color == style.bgcolor:
                found.append(segment.text)
    return found


@pytest.mark.parametrize("no_color", [False, True])
@pytest.mark.parametrize("theme", ["tui-sync-light", "ansi-dark", "no-such-theme"])
async def test_every_word_can_be_read(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, theme: str, no_color: bool
) -> None:
    monkeypatch.setenv("TEXTUAL_THEME", theme)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(fake.profile(mode="mirror"), Sessions())
    async with app.run_test() as pilot:
        await ready(pilot)
        assert unreadable(app) == []
        await in_transfer(pilot)
        assert unreadable(app) == []


def coloured(app: TuiSyncApp) -> list[str]:
    """Words that are drawn in, or on, something else than a grey."""
    found = []
    for strip in app.screen._compositor.render_strips():
        for segment in strip:
            colours = () if segment.style is None else (segment.style.color, segment.style.bgcolor)
            for colour in colours:
                if colour is not None and not colour.is_default and len(set(colour.get_truecolor())) > 1:
                    found.append(segment.text)
    return found


async def test_without_colours_no_screen_has_any(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    sessions = Sessions()
    app = make_app(fake.profile(mode="mirror"), sessions)
    seen: list[str] = []
    async with app.run_test(size=(100, 30)) as pilot:

        async def look(screen: type[object]) -> None:
            await until(pilot, lambda: isinstance(app.screen, screen))
            assert coloured(app) == []
            assert unreadable(app) == []
            seen.append(type(app.screen).__name__)

        await ready(pilot)
        await look(CompareScreen)
        for key, screen in (("question_mark", HelpScreen), ("h", HistoryScreen)):
            await pilot.press(key)
            await look(screen)
            await pilot.press("escape")
        await pilot.press("f5")
        await look(ReviewScreen)
        await pilot.press("f9")
        await look(ConfirmDialog)
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, TransferScreen))
        engine = sessions.last.engine
        assert engine is not None
        engine.now = fake.busy_snapshot(engine)
        await until(pilot, lambda: "61%" in shown(app))
        await look(TransferScreen)
        engine.finish(
            status="partial", exit_code=23, failed=1, outcomes=fake.failures(engine.plan, engine.ledger)
        )
        await until(pilot, lambda: "permission denied" in shown(app))
        await look(ReportScreen)
        await pilot.press("escape")
        await look(ProfilesScreen)
        await pilot.press("n")
        await look(ProfileForm)
        await pilot.press("escape", "c")
        await look(QuickDialog)
    assert len(set(seen)) == 10


async def test_the_theme_can_be_changed_while_running(make_app: MakeApp) -> None:
    app = make_app(fake.profile(mode="mirror"), Sessions())
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        before = screen.trees.render_line(1)
        app.theme = "tui-sync-light"
        await until(pilot, lambda: screen.trees.render_line(1)._segments != before._segments)
        assert unreadable(app) == []


async def test_a_theme_that_was_chosen_is_there_the_next_time(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEXTUAL_THEME", raising=False)
    app = make_app(None, Sessions())
    async with app.run_test() as pilot:
        app.theme = "nord"
        await until(pilot, (tmp_path / "state/app.json").exists)
    assert make_app(None, Sessions()).theme == "nord"
    monkeypatch.setenv("TEXTUAL_THEME", "tui-sync-light")
    assert make_app(None, Sessions()).theme == "tui-sync-light"
    monkeypatch.delenv("TEXTUAL_THEME")
    (tmp_path / "state/app.json").write_text("no json")
    assert make_app(None, Sessions()).theme == "tui-sync"
