"""Review: the dry run as a checklist. The last look before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Static

from tui_sync.errors import TuiSyncError
from tui_sync.model import Action, DeleteTo
from tui_sync.names import printable
from tui_sync.tui import actions, text
from tui_sync.tui.bridge import run_in_thread
from tui_sync.tui.estimate import Pace, pace
from tui_sync.tui.screens.ask import ConfirmDialog, InputDialog, TypedDialog
from tui_sync.tui.screens.base import FlowScreen
from tui_sync.tui.widgets.bars import TopBar
from tui_sync.tui.widgets.checklist import Checklist
from tui_sync.tui.widgets.lines import LineList
from tui_sync.tui.widgets.summaries import PlanSummary, delete_words
from tui_sync.tui.work import Work

if TYPE_CHECKING:
    from tui_sync.tui.screens.compare import CompareScreen


# From so many deletes on, or from fewer that are a large share of the target's files, their number is typed.
MANY_DELETES = 100
FEW_DELETES = 10
LARGE_SHARE = 0.25


class ReviewScreen(FlowScreen):
    """Shows one plan as it will run, and starts it."""

    PLACE = "Review"
    GROUP = "review"
    BINDINGS: ClassVar[list[BindingType]] = actions.bindings("review")

    def __init__(self, work: Work, compare: CompareScreen) -> None:
        super().__init__()
        self.work = work
        self.compare = compare
        self._starting = False
        self._overridden = False
        self._reasons: dict[int, str] = {}

    def body(self) -> ComposeResult:
        yield PlanSummary()
        yield Static("", id="guards", markup=False)
        with Vertical(id="blocks"):
            yield Checklist(id="checklist")
            yield Checklist(id="deletes")

    def on_mount(self) -> None:
        profile, rows = self.work.profile, self.work.rows
        self.query_one(TopBar).show_pair(profile.name, profile.source.url, profile.target.url)
        groups = (
            ("Left alone: these want a look", rows.conflicts()),
            ("Folders to make", rows.group(Action.MKDIR)),
            ("Files to create", rows.group(Action.CREATE)),
            ("Files to replace", rows.group(Action.UPDATE)),
        )
        deletes = rows.group(Action.DELETE)
        checklist, block = self.query_one("#checklist", Checklist), self.query_one("#deletes", Checklist)
        checklist.load(
            rows,
            [(f"{heading}  {len(members):,}", members) for heading, members in groups],
            self._reason,
        )
        block.load(rows, [("", deletes)], self._reason)
        checklist.display = bool(any(len(members) for _, members in groups))
        block.display = bool(deletes)
        checklist.border_title = "Checklist"
        self._show_guards()
        self._show_totals()
        (checklist if checklist.display else block).focus()
        summary = self.query_one(PlanSummary)
        run_in_thread(
            self, self._outlook, lambda known: summary.learn(*known), lambda _: None, name="tui-sync-outlook"
        )

    def _outlook(self) -> tuple[Pace, int | None]:
        """How fast earlier runs were, and how much room the target has."""
        session = self.work.session
        assert session is not None
        known = pace(session.ledger.runs(20))
        try:
            return known, session.target_reader().free_space()
        except TuiSyncError:
            return known, None

    def _reason(self, row: int) -> str:
        if row not in self._reasons:
            try:
                item = self.work.item(row)
            except TuiSyncError:
                return ""
            self._reasons[row] = item.reason if item is not None else ""
        return self._reasons[row]

    def _show_guards(self) -> None:
        plan = self.work.plan
        box = self.query_one("#guards", Static)
        if plan is None or not plan.guards:
            box.display = False
            return
        word = "Overridden" if self._overridden else "Refused"
        lines = [f"! {word}: {printable(guard.message)}" for guard in plan.refused]
        lines += [f"  Note: {printable(guard.message)}" for guard in plan.guards if not guard.blocking]
        if plan.refused and not self._overridden:
            lines.append("  Nothing has been written. o runs it all the same, and asks for a word first.")
        box.update("\n".join(lines))
        box.set_class(bool(plan.refused) and not self._overridden, "-refused")
        box.set_class(self._overridden, "-overridden")

    def _show_totals(self) -> None:
        plan, totals = self.work.plan, self.work.totals
        if plan is None:
            return
        self.query_one(PlanSummary).show(plan, totals)
        block = self.query_one("#deletes", Checklist)
        where = delete_words(plan.options.delete)
        block.border_title = f"- Delete on the target: {text.count(totals.delete, 'item')} {where}"

    @property
    def block(self) -> Checklist:
        """The block that has the focus."""
        block = self.query_one("#deletes", Checklist)
        checklist = self.query_one("#checklist", Checklist)
        return block if block.has_focus or not checklist.display else checklist

    def why_not(self, name: str) -> str:
        plan = self.work.plan
        if name == "back":
            return ""
        if self._starting or plan is None:
            return "The run is being started."
        if name == "start":
            if plan.refused and not self._overridden:
                return "This plan is refused: the reason stands above. Nothing has been written."
            if not self.work.totals.work:
                return "Nothing to do: every item is taken out."
        if name == "override" and not plan.refused:
            return "Nothing refuses this plan."
        if name == "override" and self._overridden:
            return "It is overridden already."
        if name in ("include", "open") and self.block.row < 0:
            return "There is no item here."
        if name == "include" and not self.work.rows.has_work(self.block.row):
            return "This is left alone anyway: the reason stands beside it."
        if name == "switch_pane" and not self.query_one("#deletes").display:
            return "Nothing is to be deleted."
        if name == "switch_pane" and not self.query_one("#checklist").display:
            return "There is nothing but deletes."
        return ""

    def do_back(self) -> None:
        if self._starting:
            self.say("The run is being started.", warning=True)
            return
        self.dismiss()

    def do_rescan(self) -> None:
        self.dismiss()
        self.compare.scan(then_review=True)

    def do_switch_pane(self) -> None:
        block = self.query_one("#deletes", Checklist)
        (self.query_one("#checklist", Checklist) if block.has_focus else block).focus()

    def do_include(self) -> None:
        try:
            self.work.toggle(self.block.row)
        except TuiSyncError as error:
            self.say(printable(str(error)), warning=True)
            return
        for block in self.query(Checklist):
            block.refresh()
        self._show_totals()

    def do_override(self) -> None:
        plan = self.work.plan
        assert plan is not None

        def answered(word: str | None) -> None:
            if word is not None:
                self._overridden = True
                self._show_guards()
                self.update_keys()

        reasons = tuple(printable(guard.message) for guard in plan.refused)
        self.app.push_screen(
            TypedDialog("Run this plan all the same?", reasons, word="override", does="lifts the refusal"),
            answered,
        )

    def do_save_plan(self) -> None:
        plan, session = self.work.plan, self.work.session
        assert plan is not None
        assert session is not None
        ledger = printable(session.ledger.path.stem).replace("/", "_")

        def answered(answer: str | None) -> None:
            if answer is None:
                return
            path = Path(answer).expanduser()
            run_in_thread(
                self,
                lambda: session.save_plan(plan, path),
                lambda _: self.say(f"Written: {printable(str(path))}. Run it by --batch --apply."),
                lambda sentence: self.say(sentence, warning=True),
                name="tui-sync-save-plan",
            )

        self.app.push_screen(
            InputDialog(
                "Save the plan",
                ("What is approved now can be run later, on this machine, by --batch --apply FILE.",),
                value=str(Path.cwd() / f"{ledger}.plan"),
                check=_file_problem,
                hint="Enter writes the file",
            ),
            answered,
        )

    def do_open(self) -> None:
        self.ours.show_differences(self.work, self.block.row)

    def do_start(self) -> None:
        plan, totals = self.work.plan, self.work.totals
        assert plan is not None
        if not totals.delete:
            self._start()
            return
        trash = plan.options.delete is DeleteTo.TRASH
        size = f" ({text.size(totals.delete_bytes)})" if totals.delete_bytes else ""
        title = f"Delete {text.count(totals.delete, 'item')}{size} on the target?"
        lines = (
            printable(plan.target),
            f"They go {delete_words(plan.options.delete)}."
            if trash
            else "They are deleted for good: there is no way back.",
            "Deletes run last, after every copy has gone through.",
        )
        if self._many_deletes():
            word = str(totals.delete)
            self.app.push_screen(
                TypedDialog(title, lines, word=word, does="deletes them and starts"),
                lambda typed: self._start() if typed is not None else None,
            )
            return
        self.app.push_screen(
            ConfirmDialog(title, lines, yes="Delete and start", no="Not now"),
            lambda yes: self._start() if yes else None,
        )

    def _many_deletes(self) -> bool:
        """Whether a single key is too little for what would be deleted."""
        totals = self.work.totals
        share = totals.delete / totals.target_files if totals.target_files else 0.0
        return totals.delete >= MANY_DELETES or (totals.delete >= FEW_DELETES and share >= LARGE_SHARE)

    def _start(self) -> None:
        from tui_sync.tui.screens.transfer import TransferScreen

        self._starting = True
        self.update_keys()
        work, compare = self.work, self.compare

        def go_on() -> None:
            self.app.switch_screen(TransferScreen(work, compare))

        run_in_thread(
            self,
            lambda: work.start(override_guards=self._overridden),
            lambda _: go_on(),
            self._not_started,
            name="tui-sync-start",
        )

    def _not_started(self, sentence: str) -> None:
        self._starting = False
        self.app.push_screen(
            ConfirmDialog(
                "The run did not start", (sentence,), yes="Scan again", no="Stay here", danger=True
            ),
            lambda yes: self.do_rescan() if yes else None,
        )

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        self.update_keys()

    def on_line_list_chosen(self, event: LineList.Chosen) -> None:
        self.action_do("open")


def _file_problem(answer: str) -> str:
    path = Path(answer).expanduser()
    if path.exists():
        return "there is such a file already: choose another name"
    return "" if path.parent.is_dir() else f"there is no folder {printable(str(path.parent))}"
