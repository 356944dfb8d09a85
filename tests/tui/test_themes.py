"""Light themes, the terminal's own colours, no colours at all: every word can be read in all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import fake_session as fake
from tests.support.fake_session import Sessions
from tests.tui.conftest import MakeApp, in_transfer, ready, until
from tui_sync.tui.app import TuiSyncApp


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
