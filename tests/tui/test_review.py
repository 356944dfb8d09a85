"""The last look before anything is written: groups, refusals, and the one question that is asked."""

from __future__ import annotations

from tests.support import fake_session as fake
from tests.support.fake_session import FakeSession, Sessions
from tests.tui.conftest import MIRROR, MakeApp, in_review, ready, said, shown, until
from tui_sync.errors import LedgerError
from tui_sync.model import Guard, Summary, Totals
from tui_sync.tui.estimate import Pace, pace, seconds
from tui_sync.tui.screens.ask import ConfirmDialog, TypedDialog
from tui_sync.tui.screens.review import ReviewScreen
from tui_sync.tui.screens.transfer import TransferScreen
from tui_sync.tui.widgets.checklist import Checklist


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


async def test_a_refused_plan_runs_when_the_word_is_typed(make_app: MakeApp) -> None:
    guard = Guard("empty-source", "The source holds no files.")
    sessions = Sessions(guards=[guard], items=fake.items([fake.new("a", 1)]))
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        screen = await in_review(pilot)
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, TypedDialog))
        assert "The source holds no files." in shown(app)
        await pilot.press(*"yes", "enter")
        assert isinstance(app.screen, TypedDialog)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("f9", "o")
        await until(pilot, lambda: isinstance(app.screen, TypedDialog))
        await pilot.press(*"override", "enter")
        await until(pilot, lambda: "! Overridden: The source" in shown(app))
        await pilot.press("o", "f9")
        await until(pilot, lambda: isinstance(app.screen, TransferScreen))
        assert sessions.last.overridden
        assert "overridden already" in said(app)


async def test_many_deletes_are_confirmed_by_their_number(make_app: MakeApp) -> None:
    sessions = Sessions(items=fake.items([fake.gone(f"f{number:03}", 10) for number in range(120)]))
    app = make_app(MIRROR, sessions)
    async with app.run_test() as pilot:
        await in_review(pilot)
        await pilot.press("f9")
        await until(pilot, lambda: isinstance(app.screen, TypedDialog))
        assert "Type 120 to go on." in shown(app)
        await pilot.press("y", "enter")
        assert isinstance(app.screen, TypedDialog)
        await pilot.press("backspace", *"120", "enter")
        await until(pilot, lambda: isinstance(app.screen, TransferScreen))


async def test_the_outlook_is_learned_from_earlier_runs(make_app: MakeApp) -> None:
    def prepare(session: FakeSession) -> None:
        ledger = session.ledger
        plan_id = ledger.new_plan("a", "b", session.profile.options)
        ledger.finish_plan(plan_id, Totals(), ())
        ledger.finish_run(ledger.start_run(plan_id), Summary(created=10, bytes=1_000_000_000, elapsed_s=10.0))

    sessions = Sessions(prepare=prepare)
    app = make_app(MIRROR, sessions)
    async with app.run_test(size=(100, 30)) as pilot:
        await in_review(pilot)
        await until(pilot, lambda: "about 0:11, at 100 MB/s as in earlier runs" in shown(app))
        assert "412 GB free on the target" in shown(app)


def test_the_estimate_takes_what_lasts_longer() -> None:
    known = Pace(1000.0, 2.0)
    assert seconds(Totals(create=1, create_bytes=5000), known, None) == 5
    assert seconds(Totals(create=40, create_bytes=5000), known, None) == 20
    assert seconds(Totals(create=1, create_bytes=5000), known, 100) == 50
    assert seconds(Totals(create=1, create_bytes=5000), Pace(), 100) == 50
    assert seconds(Totals(create=1, create_bytes=5000), Pace(), None) is None
    assert pace([]) == Pace()


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
