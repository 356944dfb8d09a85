"""Every key of the design, pressed on the screen where it acts; the mouse; a huge terminal; no animations."""

from __future__ import annotations

import pytest
from textual.command import CommandPalette
from textual.events import MouseScrollDown

from tests.support import fake_session as fake
from tests.support.fake_session import Sessions
from tests.tui.conftest import MIRROR, MakeApp, ready, shown, until
from tui_sync.planning.preview import Preview
from tui_sync.tui.screens.ask import ConfirmDialog
from tui_sync.tui.screens.compare import CompareScreen
from tui_sync.tui.screens.diff import DiffScreen
from tui_sync.tui.screens.profiles import ProfilesScreen
from tui_sync.tui.screens.report import ReportScreen
from tui_sync.tui.screens.review import ReviewScreen
from tui_sync.tui.screens.transfer import TransferScreen
from tui_sync.tui.screens.view import HelpScreen
from tui_sync.tui.widgets.checklist import Checklist
from tui_sync.tui.widgets.tree import CompareTree


async def test_every_key_of_the_design(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_sync.planning.preview.text_diff", lambda *_: Preview(("-old", "+new")))
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test(size=(100, 30)) as pilot:

        async def leads_to(key: str, screen: type[object]) -> None:
            await pilot.press(key)
            await until(pilot, lambda: isinstance(app.screen, screen))

        compare = await ready(pilot)
        tree = compare.trees
        for key, row in (("down", 1), ("j", 2), ("up", 1), ("k", 0)):
            await pilot.press(key)
            assert tree.cursor == row, key
        await pilot.press("tab")
        assert tree.active == 1
        await pilot.press("shift+tab")
        assert tree.active == 0

        folder = tree.row
        await pilot.press("enter")
        assert tree.rows.is_folded(folder)
        await pilot.press("right")
        assert not tree.rows.is_folded(folder)
        await pilot.press("left")
        assert tree.rows.is_folded(folder)
        await pilot.press("enter")
        tree.update(tree.rows.find("docs/notes.md"))
        await leads_to("enter", DiffScreen)
        await leads_to("escape", CompareScreen)

        await pilot.press("space")
        assert tree.rows.glyph(tree.row) == "x"
        await pilot.press("space")
        assert tree.rows.glyph(tree.row) == "M"
        await pilot.press("slash", *"guide", "enter")
        assert tree.rows.filter == "guide"
        await pilot.press("escape")
        assert tree.rows.filter == ""
        await pilot.press("ctrl+r")
        await until(pilot, lambda: sessions.last.scans == 2)
        await ready(pilot)

        for screen in (CompareScreen, ReviewScreen):
            if screen is ReviewScreen:
                await leads_to("f5", ReviewScreen)
            await leads_to("question_mark", HelpScreen)
            await leads_to("escape", screen)
            await leads_to("ctrl+p", CommandPalette)
            await leads_to("escape", screen)

        await until(pilot, lambda: "412 GB free" in shown(app))
        await pilot.press("tab")
        assert app.screen.focused is app.screen.query_one("#deletes", Checklist)
        await pilot.press("shift+tab", "space")
        assert isinstance(app.screen, ReviewScreen)
        await leads_to("escape", CompareScreen)
        await leads_to("f9", ReviewScreen)
        await leads_to("f5", CompareScreen)
        await leads_to("f5", ReviewScreen)
        await leads_to("f9", ConfirmDialog)
        await leads_to("escape", ReviewScreen)
        await leads_to("ctrl+s", ConfirmDialog)
        await leads_to("y", TransferScreen)

        await leads_to("q", ConfirmDialog)
        assert "A run is under way" in shown(app)
        await leads_to("escape", TransferScreen)
        await leads_to("question_mark", HelpScreen)
        await leads_to("escape", TransferScreen)
        await leads_to("escape", ProfilesScreen)
        await leads_to("t", TransferScreen)
        assert sessions.last.engine is not None
        sessions.last.engine.finish()
        await until(pilot, lambda: isinstance(app.screen, ReportScreen))
        await leads_to("escape", ProfilesScreen)
        await pilot.press("q")
        await until(pilot, lambda: app._exit)
    assert app.return_code == 0


async def test_all_of_it_by_mouse(make_app: MakeApp) -> None:
    many = [fake.equal(f"many/{number:03}.txt", 10) for number in range(200)]
    found = [*fake.sample_items(), *fake.items([fake.same_folder("many"), *many])]
    found.sort(key=lambda item: item.path.split("/"))
    sessions = Sessions(items=[item._replace(seq=seq) for seq, item in enumerate(found, 1)])
    app = make_app(MIRROR, sessions)
    async with app.run_test(size=(100, 30)) as pilot:

        async def click(words: str) -> None:
            page = shown(app).splitlines()
            y = next(number for number, line in enumerate(page) if words in line)
            await pilot.click(offset=(page[y].index(words), y))

        tree = (await ready(pilot)).trees
        await click("notes.md")
        assert tree.rows.path(tree.row) == "docs/notes.md"
        await click("▾ docs")
        assert tree.rows.is_folded(tree.rows.find("docs"))
        await click("▸ docs")
        assert not tree.rows.is_folded(tree.rows.find("docs"))
        top = tree.scroll_offset.y
        await pilot._post_mouse_events([MouseScrollDown], CompareTree, offset=(10, 5), times=3)
        await until(pilot, lambda: tree.scroll_offset.y > top)
        await click("F5 Review")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await until(pilot, lambda: "F9 Start" in shown(app))
        await click("F9 Start")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await click("Delete and start")
        await until(pilot, lambda: isinstance(app.screen, TransferScreen))


async def test_a_huge_terminal_without_animations(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test(size=(250, 80)) as pilot:
        await ready(pilot)
        page = shown(app).splitlines()
        assert len(page) == 80
        assert "holiday-with-a-really-long-name-that-does-not-fit-anywhere.mp4" in shown(app)
        assert page[-1].rstrip().endswith("Quit")
        await pilot.press("f5")
        await until(pilot, lambda: "412 GB free" in shown(app))
        await pilot.press("f9", "y")
        await until(pilot, lambda: isinstance(app.screen, TransferScreen))
        engine = sessions.last.engine
        assert engine is not None
        engine.now = fake.busy_snapshot(engine)
        await until(pilot, lambda: "61%" in shown(app))
        assert app.screen.query_one("Lanes").region.right == 250
