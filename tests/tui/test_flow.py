"""The whole way through the screens with a fake session: every key of the design, every refusal."""

from __future__ import annotations

import threading

from textual.widgets import Input

from tests.support import fake_session as fake
from tests.support.fake_session import FakeSession, Sessions
from tests.tui.conftest import MakeApp, in_review, in_transfer, ready, shown, until
from tui_sync.errors import ConnectError, LedgerError
from tui_sync.model import Guard, Verify
from tui_sync.tui.app import TuiSyncApp
from tui_sync.tui.bridge import AppPrompts
from tui_sync.tui.screens.ask import ConfirmDialog, SecretDialog, TrustDialog
from tui_sync.tui.screens.compare import CompareScreen
from tui_sync.tui.screens.history import HistoryScreen, RunList
from tui_sync.tui.screens.profiles import ProfilesScreen
from tui_sync.tui.screens.report import PastReport, ReportScreen
from tui_sync.tui.screens.review import ReviewScreen
from tui_sync.tui.screens.transfer import TransferScreen
from tui_sync.tui.screens.view import HelpScreen
from tui_sync.tui.widgets.checklist import Checklist
from tui_sync.tui.widgets.panels import ScanPanel, TroublePanel
from tui_sync.tui.widgets.tree import CompareTree

MIRROR = fake.profile(mode="mirror")


def said(app: TuiSyncApp) -> str:
    return " ".join(notification.message for notification in app._notifications)


def path_of(screen: CompareScreen) -> str:
    return screen.trees.rows.path(screen.trees.row)


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
        sessions.last.engine.finish(status="partial", exit_code=23, failed=1)
        await until(pilot, lambda: isinstance(app.screen, ReportScreen))
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        assert sessions.last.scans == 2


async def test_after_a_cancelled_run_new_connections_are_made(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await in_transfer(pilot)
        await pilot.press("escape")
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


async def test_review_shows_every_group_and_toggles(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await in_review(pilot)
        page = shown(app)
        for words in (
            "Left alone: these want a look  2",
            "Folders to make  2",
            "Files to create  4",
            "Files to replace  3",
            "Delete on the target: 2 items",
            "target is newer by 3 h",
            "temporary name, then rename",
        ):
            assert words in page, words
        await pilot.press("space")
        await until(pilot, lambda: "left alone anyway" in said(app))
        await pilot.press("tab")
        assert screen.query_one("#deletes", Checklist).has_focus
        await pilot.press("space")
        assert "Delete on the target: 1 item" in shown(app)
        assert screen.work.totals.delete == 1
        await pilot.press("escape")
        compare = await ready(pilot)
        assert "1 to delete" in shown(app)
        assert compare.trees.rows.taken_out() == 1


async def test_headings_are_skipped(make_app: MakeApp) -> None:
    app = make_app(MIRROR, Sessions())
    async with app.run_test() as pilot:
        screen = await in_review(pilot)
        block = screen.query_one("#checklist", Checklist)
        seen = set()
        for _ in range(block.row_count()):
            seen.add(block.row)
            await pilot.press("j")
        assert -1 not in seen
        assert len(seen) == 11
        await pilot.press("home")
        assert block.row >= 0


async def test_start_with_deletes_asks_and_no_is_the_default(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        screen = await in_review(pilot)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert "Delete 2 items" in shown(app)
        assert "backup.example.org" in shown(app)
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is screen)
        assert sessions.last.engine is None


async def test_start_without_deletes_does_not_ask(make_app: MakeApp) -> None:
    sessions = Sessions(items=fake.items([fake.new("a", 1)]))
    app = make_app(fake.profile(), sessions)
    async with app.run_test() as pilot:
        await in_review(pilot)
        await pilot.press("f9")
        await until(pilot, lambda: isinstance(app.screen, TransferScreen))


async def test_f9_on_the_trees_only_leads_to_the_review(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await ready(pilot)
        await pilot.press("f9")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        assert sessions.last.engine is None


async def test_a_refused_plan_says_why_and_does_not_start(make_app: MakeApp) -> None:
    guard = Guard("max-delete", "2 of 3 files on the target would be deleted, more than [b]50%[/b]")
    sessions = Sessions(guards=[guard, Guard("note", "Names differ in case only.", blocking=False)])
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        screen = await in_review(pilot)
        assert "Refused: 2 of 3 files on the target would be deleted, more than [b]50%[/b]" in shown(app)
        assert "Note: Names differ in case only." in shown(app)
        await pilot.press("f9")
        assert app.screen is screen
        await until(pilot, lambda: "This plan is refused" in said(app))
        assert sessions.last.engine is None


async def test_all_taken_out_does_not_start(make_app: MakeApp) -> None:
    sessions = Sessions(items=fake.items([fake.new("a", 1)]))
    app = make_app(fake.profile(), sessions)
    async with app.run_test() as pilot:
        await in_review(pilot)
        await pilot.press("space", "f9")
        await until(pilot, lambda: "every item is taken out" in said(app))
        assert sessions.last.engine is None


async def test_a_run_that_cannot_start_says_why(make_app: MakeApp) -> None:
    def prepare(session: FakeSession) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise LedgerError("another run of this pair is under way (process 4711)")

        session.start = refuse  # type: ignore[method-assign, assignment]

    app = make_app(fake.profile(), Sessions(prepare=prepare, items=fake.items([fake.new("a", 1)])))
    async with app.run_test() as pilot:
        screen = await in_review(pilot)
        await pilot.press("f9")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert "process 4711" in shown(app)
        await pilot.press("escape")
        assert app.screen is screen
        assert screen.why_not("start") == ""


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


async def test_quit_from_the_trees(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await ready(pilot)
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)
    assert app.return_value == 0
    app.close_works()
    assert sessions.last.closed


async def test_history_and_a_past_report(make_app: MakeApp) -> None:
    sessions = Sessions()
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        await pilot.press("h")
        await until(pilot, lambda: "No run yet" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: "no run to open" in said(app))
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
        await pilot.press("r")
        await until(pilot, lambda: "This is a past run" in said(app))
        await pilot.press("escape", "escape")
        assert isinstance(app.screen, ReportScreen)


async def test_a_password_is_asked_for_and_handed_over(make_app: MakeApp) -> None:
    answers: list[str | None] = []

    def ask(session: FakeSession) -> None:
        answers.append(session.prompts.secret("sourceuser@[b]host", "Password for [/b]\x1b[31m"))

    sessions = Sessions(prepare=lambda session: setattr(session, "before_scan", ask))
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, SecretDialog))
        page = shown(app)
        assert "sourceuser@[b]host" in page
        assert "[/b]\\x1b[31m" in page
        await pilot.press(*"secret", "enter")
        assert "secret" not in shown(app)
        await ready(pilot)
    assert answers == ["secret"]


async def test_unknown_keys_are_not_trusted_by_default_and_questions_wait_in_line(make_app: MakeApp) -> None:
    answers: list[bool] = []

    def ask(session: FakeSession) -> None:
        def one() -> None:
            answers.append(session.prompts.trust("files.example.org", fake.host_key()))

        threads = [threading.Thread(target=one, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    sessions = Sessions(prepare=lambda session: setattr(session, "before_scan", ask))
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, TrustDialog))
        first = app.screen
        assert "SHA256:1qxuUhKqJLQ5zE7pVYxqv6XZzKJ0hRwT5Yt3mB2nC8s" in shown(app)
        assert len([screen for screen in app.screen_stack if isinstance(screen, TrustDialog)]) == 1
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TrustDialog) and app.screen is not first)
        await pilot.press("y")
        await ready(pilot)
    assert answers == [False, True]


async def test_leaving_releases_whoever_waits_for_an_answer(make_app: MakeApp) -> None:
    released = threading.Event()

    def ask(session: FakeSession) -> None:
        assert session.prompts.secret("host", "Password") is None
        assert session.prompts.secret("host", "Again") is None
        released.set()

    sessions = Sessions(prepare=lambda session: setattr(session, "before_scan", ask))
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, SecretDialog))
        app.exit(0)
        await until(pilot, lambda: not app.is_running)
    app.close_works()
    assert released.wait(10)


def test_questions_after_the_end_are_answered_no() -> None:
    app = TuiSyncApp()
    prompts = AppPrompts(app)
    prompts.close()
    assert prompts.secret("host", "Password") is None
    assert prompts.trust("host", fake.host_key()) is False
