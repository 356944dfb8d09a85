"""The trees: every key, the filter, taking out, and what is shown where there are no trees."""

from __future__ import annotations

import threading
from array import array

import pytest
from textual.widgets import Input

from tests.support import fake_session as fake
from tests.support.fake_session import FakeSession, Sessions
from tests.tui.conftest import MIRROR, MakeApp, path_of, ready, said, shown, until
from tui_sync.errors import ConnectError, LedgerError
from tui_sync.model import Action, ChangeKind
from tui_sync.planning.preview import Preview
from tui_sync.tui.rows import Order, Rows
from tui_sync.tui.screens.compare import CompareScreen
from tui_sync.tui.screens.profiles import ProfilesScreen
from tui_sync.tui.screens.review import ReviewScreen
from tui_sync.tui.screens.view import HelpScreen
from tui_sync.tui.widgets.panels import ScanPanel, TroublePanel
from tui_sync.tui.widgets.tree import CompareTree


async def test_cursor_keys(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test(size=(80, 20)) as pilot:
        tree = (await ready(pilot)).trees
        last = len(tree.rows.visible) - 1
        for keys, expected in (
            (("down",), 1),
            (("j", "j"), 3),
            (("up",), 2),
            (("k",), 1),
            (("end",), last),
            (("home",), 0),
            (("G",), last),
            (("g",), 0),
            (("pagedown",), tree.page),
            (("pageup",), 0),
            (("up",), 0),
        ):
            await pilot.press(*keys)
            assert tree.cursor == expected, keys
        await pilot.press("end")
        assert tree.scroll_offset.y + tree.size.height == last + 1


async def test_enter_and_arrows_fold(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        rows = screen.trees.rows
        docs = rows.find("docs")
        await pilot.press("enter")
        assert rows.is_folded(docs)
        await pilot.press("enter")
        assert not rows.is_folded(docs)
        await pilot.press("down", "left")
        assert path_of(screen) == "docs"
        await pilot.press("left")
        assert rows.is_folded(docs)
        await pilot.press("right", "right")
        assert path_of(screen) == "docs/guide.md"
        await pilot.press("left_square_bracket")
        assert [rows.path(row) for row in rows.visible][:2] == ["docs", "empty"]
        await pilot.press("right_square_bracket")
        assert "docs/old/2019.md" in [rows.path(row) for row in rows.visible]


async def test_tab_makes_the_other_side_active(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        assert "▸SOURCE" in shown(app)
        await pilot.press("tab")
        assert screen.trees.active == 1
        assert "▸TARGET" in shown(app)
        await pilot.press("tab")
        assert screen.trees.active == 0


async def test_space_takes_out_and_back_in(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        assert "2 to delete" in shown(app)
        await pilot.press("end", "space")
        assert "1 to delete" in shown(app)
        assert "2 excluded" in shown(app)
        assert "taken out by you" in shown(app)
        assert screen.work is not None
        item = screen.work.item(screen.trees.row)
        assert item is not None
        assert not item.included
        await pilot.press("space")
        assert "2 to delete" in shown(app)


async def test_space_on_what_is_left_alone_says_why(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test() as pilot:
        await ready(pilot)
        await pilot.press("j", "space")
        await until(pilot, lambda: "equal on both sides" in said(app))


async def test_filter_and_escape(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        everything = len(screen.trees.rows.visible)
        await pilot.press("slash", *"jpg", "q")
        assert screen.query_one("#filter-text", Input).value == "jpgq"
        assert "no row" in shown(app)
        assert "No row matches" in shown(app)
        await pilot.press("backspace")
        assert path_of(screen) == "media/2025/Überblick – façade.jpg"
        assert "4 rows" in shown(app)
        await pilot.press("enter", "j")
        assert path_of(screen) == "media/2025/写真の一覧と長い名前.jpg"
        await pilot.press("escape")
        assert app.screen is screen
        assert len(screen.trees.rows.visible) == everything
        assert path_of(screen) == "media/2025/写真の一覧と長い名前.jpg"


async def test_hide_equal(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        await pilot.press("e")
        assert "guide.md" not in shown(app)
        assert "e Show equal" in shown(app)
        await pilot.press("equals_sign")
        assert "guide.md" in shown(app)
        assert screen.state == "ready"


async def test_next_and_previous_change(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        await pilot.press("n")
        assert path_of(screen) == "docs/notes.md"
        await pilot.press("n")
        assert path_of(screen) == "media"
        await pilot.press("N", "N")
        assert path_of(screen) == "zz-left-over.iso"


async def test_rescan_keeps_the_place(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        await pilot.press("n", "n", "j")
        before = path_of(screen)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: sessions.last.scans == 2)
        await ready(pilot)
        assert path_of(screen) == before


async def test_help_lists_the_keys_of_the_screen(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test(size=(120, 50)) as pilot:
        await ready(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        page = shown(app)
        assert "Fold or unfold a folder" in page
        assert "List both sides again" in page
        await pilot.press("escape")
        assert isinstance(app.screen, CompareScreen)


async def test_the_palette_runs_a_command(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: app.screen is not screen)
        await pilot.press(*"hide equ")
        await until(pilot, lambda: "Hide equal (e)" in shown(app))
        await pilot.press("enter", "enter")
        await until(pilot, lambda: app.screen is screen and screen.trees.rows.hide_equal)


async def test_a_click_moves_and_a_click_on_the_mark_folds(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        await pilot.click(CompareTree, offset=(20, 2))
        assert path_of(screen) == "docs/notes.md"
        await pilot.click(CompareTree, offset=(1, 0))
        assert screen.trees.rows.is_folded(screen.trees.rows.find("docs"))


async def test_the_footer_can_be_clicked(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test() as pilot:
        await ready(pilot)
        await pilot.click("KeyBar", offset=(2, 0))
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))


async def test_counters_while_scanning_and_escape_stops(make_app: MakeApp) -> None:
    sessions = Sessions(prepare=lambda session: session.go.clear())
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await until(pilot, lambda: sessions.made)
        progress = sessions.last.progress
        progress.phase = "scanning"
        progress.source = fake.Counters(12, 345, 0)
        progress.target = fake.Counters(11, 300, 2)
        await until(pilot, lambda: "345" in shown(app))
        assert "! 2" in shown(app)
        assert app.screen.query_one(ScanPanel).phase == "scanning"
        await pilot.press("space")
        await until(pilot, lambda: "Wait until both sides are listed" in said(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ProfilesScreen))
        await until(pilot, lambda: sessions.last.closed)


async def test_a_failed_connection_says_why_and_can_be_tried_again(make_app: MakeApp) -> None:
    sentence = "cannot connect to [red]files.example.org[/red]: refused\x1b[31m"
    failing = [True]

    def prepare(session: FakeSession) -> None:
        if failing:
            session.error = ConnectError(sentence)

    sessions = Sessions(prepare=prepare)
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        screen = app.screen
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.state == "failed")
        assert "[red]files.example.org[/red]" in shown(app)
        assert "\x1b" not in shown(app)
        assert "try again" in shown(app)
        assert isinstance(screen, CompareScreen)
        assert screen.query_one(TroublePanel).sentence.endswith("\\x1b[31m")
        await pilot.press("f5")
        await until(pilot, lambda: "There is no plan" in said(app))
        await until(pilot, lambda: sessions.last.closed)
        failing.clear()
        await pilot.press("ctrl+r")
        await ready(pilot)
        assert len(sessions.made) == 2


async def test_an_unexpected_error_is_shown_not_raised(make_app: MakeApp) -> None:
    def prepare(session: FakeSession) -> None:
        session.error = ZeroDivisionError("oops")

    app = make_app(MIRROR, Sessions(prepare=prepare))
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.state == "failed")
        assert "ZeroDivisionError" in shown(app)


async def test_a_ledger_that_cannot_be_opened(make_app: MakeApp) -> None:
    def broken(*_: object, **__: object) -> FakeSession:
        raise LedgerError("the ledger x is damaged: move the file away")

    app = make_app(MIRROR, broken)
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.state == "failed")
        assert "is damaged" in shown(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ProfilesScreen))


async def test_nothing_to_do_says_so(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions(items=fake.items([fake.equal("a", 1)])))
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        await pilot.press("f5")
        assert app.screen is screen
        await until(pilot, lambda: "Nothing to do" in said(app))


async def test_an_empty_pair(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions(items=[]))
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        await pilot.press("j", "space", "enter", "n", "e", "left", "right", "tab")
        assert app.screen is screen


async def test_rows_appear_while_both_sides_are_listed(make_app: MakeApp) -> None:
    def prepare(session: FakeSession) -> None:
        session.go.clear()
        session.early = session.items[:6]
        session.progress.phase = "scanning"

    sessions = Sessions(prepare=prepare)
    app = make_app(MIRROR, sessions)
    async with app.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.has_class("-live"))
        screen = app.screen
        assert isinstance(screen, CompareScreen)
        assert "Listing both sides" in shown(app)
        assert "notes.md" in shown(app)
        assert "media" not in shown(app)
        await pilot.press("j", "j", "space")
        await until(pilot, lambda: "Wait until both sides are listed" in said(app))
        assert path_of(screen) == "docs/notes.md"
        sessions.last.go.set()
        await ready(pilot)
        assert path_of(screen) == "docs/notes.md"
        assert "media" in shown(app)
        assert screen.trees.rows.find("zz-left-over.iso") == len(screen.trees.rows) - 1


async def test_views_show_one_kind_of_rows_at_a_time(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        rows = screen.trees.rows
        await pilot.press("v")
        await until(pilot, lambda: "Only what is to create" in shown(app))
        assert path_of(screen) == "media"
        assert [rows.path(row) for row in rows.visible][:2] == ["media", "media/2025"]
        await pilot.press("v", "v")
        assert [rows.path(row) for row in rows.visible] == ["site", "site/.cache.tmp", "zz-left-over.iso"]
        await pilot.press("v")
        assert {rows.path(row) for row in rows.visible} == {"site", "site/private", "site/upload"}
        await pilot.press("escape")
        assert app.screen is screen
        assert len(rows.visible) > 10


async def test_sorting_by_size_and_by_change(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        rows = screen.trees.rows
        await pilot.press("G", "s")
        top = [rows.path(row) for row in rows.visible if rows.depths[row] == 0]
        assert top == ["zz-left-over.iso", "media", "docs", "site", "empty"]
        assert path_of(screen) == "zz-left-over.iso"
        await pilot.press("s")
        assert "Sorted by change" in shown(app)
        top = [rows.path(row) for row in rows.visible if rows.depths[row] == 0]
        assert top[0] == "zz-left-over.iso"
        assert top[-1] == "empty"
        await pilot.press("ctrl+r")
        await ready(pilot)
        assert "Sorted by change" in shown(app)
        await pilot.press("s")
        assert "Sorted by" not in shown(app)


async def test_doing_otherwise_deletes_what_copy_mode_keeps_and_copies_what_is_equal(
    make_app: MakeApp,
) -> None:
    kept = fake.file("old/a", 5)
    rows_given = fake.items(
        [
            fake.equal("docs.md", 10),
            fake.new("new.md", 10),
            (Action.SKIP, ChangeKind.EXTRA, "only on target", None, fake.folder("old")),
            (Action.SKIP, ChangeKind.EXTRA, "only on target", None, kept),
        ]
    )
    sessions = Sessions(items=rows_given)
    app = make_app(fake.profile(), sessions)
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        work = screen.work
        assert work is not None
        await pilot.press("a")
        assert screen.trees.rows.glyph(0) == "M"
        assert (work.totals.update, work.totals.create) == (1, 1)
        await pilot.press("a", "j", "a")
        await until(pilot, lambda: "Space takes this out" in said(app))
        assert work.totals.update == 0
        await pilot.press("G", "k", "a")
        assert path_of(screen) == "old"
        assert work.totals.delete == 2
        assert screen.trees.rows.glyph(3) == "-"
        await pilot.press("j", "a")
        await until(pilot, lambda: "press a there" in said(app))
        await pilot.press("k", "a")
        assert work.totals.delete == 0
        await pilot.press("a", "f5")
        await until(pilot, lambda: "Delete on the target: 2 items" in shown(app))


async def test_deletes_by_hand_count_against_the_limit(make_app: MakeApp) -> None:
    gone = [(Action.SKIP, ChangeKind.EXTRA, "only on target", None, fake.file(f"f{n}", 1)) for n in range(4)]
    app = make_app(fake.profile(), Sessions(items=fake.items(gone), target_files=6))
    async with app.run_test(size=(66, 24)) as pilot:
        screen = await ready(pilot)
        for _ in range(4):
            await pilot.press("a", "j")
        assert screen.work is not None
        assert screen.work.plan is not None
        assert [guard.code for guard in screen.work.plan.refused] == ["max-delete"]
        await until(pilot, lambda: "! refused" in shown(app))
        assert "…" not in next(line for line in shown(app).splitlines() if "! refused" in line)
        await pilot.press("a")
        assert not screen.work.plan.refused


async def test_a_new_plan_is_sorted_away_from_the_screen(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    sorted_by: list[str] = []
    sort = Rows._sort

    def watched(self: Rows, folder: int, order: Order) -> array[int]:
        sorted_by.append(threading.current_thread().name)
        return sort(self, folder, order)

    monkeypatch.setattr(Rows, "_sort", watched)
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        await pilot.press("s")
        sorted_by.clear()
        await pilot.press("ctrl+r")
        await until(pilot, lambda: sessions.last.scans == 2 and screen.state == "ready")
        assert screen.trees.rows.order is Order.SIZE
        assert set(sorted_by) == {"tui-sync-plan"}


async def test_one_row_and_few_bytes_are_told_as_such(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tui_sync.planning.preview.text_diff", lambda *_: Preview(note="binary file, not shown")
    )
    *change, source, target = fake.changed("one", 2, 1)
    etags = ("0123456789abcdef" * 2, "fedcba9876543210" * 2 + "-103")
    item = (*change, source._replace(etag=etags[0]), target._replace(etag=etags[1]))
    app = make_app(fake.profile(), Sessions(items=fake.items([item])))
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        await pilot.press("slash", *"one", "enter")
        await until(pilot, lambda: "1 row " in shown(app).replace("\n", " "))
        await pilot.press("enter")
        await until(pilot, lambda: "binary file" in shown(app))
        assert "2 B" in shown(app)
        assert "bytes)" not in shown(app)
        assert f"{etags[0]} fedcba9876543210…" in shown(app)
        assert "43210-103" in shown(app)
