"""Compare: both trees side by side, what would be done with each row, and why."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widgets import Input, Static

from tui_sync.errors import TuiSyncError
from tui_sync.model import Plan, Totals
from tui_sync.names import printable
from tui_sync.tui import actions, text
from tui_sync.tui.bridge import run_in_thread
from tui_sync.tui.reasons import why_not_include, why_not_override
from tui_sync.tui.remedies import first_aid
from tui_sync.tui.rows import Only, Order, Rows
from tui_sync.tui.screens.trees import TreesScreen
from tui_sync.tui.widgets.bars import TopBar
from tui_sync.tui.widgets.details import Details
from tui_sync.tui.widgets.lines import LineList
from tui_sync.tui.widgets.panels import ScanLine, ScanPanel, TotalsBar, TroublePanel
from tui_sync.tui.widgets.tree import ColumnHead, CompareTree
from tui_sync.tui.work import Work

if TYPE_CHECKING:
    from tui_sync.profiles import Profile

_NOT_YET = "Wait until both sides are listed, or press Esc to stop."
_FAILED = "There is no plan: press ^r to try again, or Esc to go back."
_NO_FILE = "This pair has no profile: Esc leads to the profiles, where n makes one."

_WHILE_LISTING = ("open", "fold", "unfold", "switch_pane")
# Showing the rows so far may take this share of the time, as one of so many parts.
_GROW_SHARE = 10


class CompareScreen(TreesScreen):
    """Connects, scans and shows one pair. Its state is one of the classes -busy, -failed and -ready."""

    PLACE = "Compare"
    GROUP = "compare"
    BINDINGS: ClassVar[list[BindingType]] = actions.bindings("compare")

    def __init__(
        self,
        profile: Profile,
        work: Work | None = None,
        *,
        retry_of: int | None = None,
        then_review: bool = False,
    ) -> None:
        """With ``work``, a pair whose run is under way, nothing is listed before ``renew``. Else the first
        plan is of what did not go through in the run ``retry_of``, if given, and leads to its review if
        ``then_review``."""
        super().__init__()
        self.profile = profile
        self.work = work
        self._busy: Timer | None = None
        self._began = 0.0
        self._scan_number = 0
        self._before = ""
        self._grow_at = 0.0
        self._retry_of = retry_of
        self._then_review = then_review

    def body(self) -> ComposeResult:
        yield ScanPanel()
        yield TroublePanel()
        with Vertical(id="trees"):
            yield TotalsBar()
            yield ScanLine()
            with Horizontal(id="filter"):
                yield Static("/", id="filter-mark", markup=False)
                yield Input(placeholder="part of a name", id="filter-text", compact=True)
                yield Static("", id="filter-count", markup=False)
            yield Static("", id="view", markup=False)
            yield ColumnHead(self._tree_width)
            yield CompareTree(self.ours.now_ns)
            yield Details()

    def _show_pair(self) -> None:
        source, target = self.profile.source.url, self.profile.target.url
        self.query_one(TopBar).show_pair(self.profile.name, source, target)
        self.query_one(ScanPanel).show_places(source, target)
        self.query_one(ColumnHead).show(source, target)

    def on_mount(self) -> None:
        self._show_pair()
        self._busy = self.set_interval(1 / 10, self._poll, pause=True)
        if self.work is None:
            self.scan(then_review=self._then_review, retry_of=self._retry_of)
        else:
            self._set_state("busy")

    def let_go(self) -> None:
        """Leave the pair's run to the app."""
        if self.work is not None:
            self.ours.leave_run(self.work)
            self.work = None

    def on_unmount(self) -> None:
        self._leave_work()

    def _tree_width(self) -> int:
        return self.query_one(CompareTree).scrollable_content_region.width

    @property
    def state(self) -> str:
        """``busy``, also before the screen is mounted, ``failed`` or ``ready``."""
        return next((name for name in ("failed", "ready") if self.has_class(f"-{name}")), "busy")

    def _set_state(self, state: str) -> None:
        for name in ("busy", "failed", "ready"):
            self.set_class(name == state, f"-{name}")
        self.set_class(False, "-live")
        if state == "ready":
            self.trees.focus()
        else:
            self.set_focus(None)
        self.update_keys()

    def scan(self, *, then_review: bool = False, retry_of: int | None = None) -> None:
        """Connect where needed, list both sides anew, and make a new plan."""
        if self.work is None:
            self.work = self.ours.new_work(self.profile)
        work = self.work
        work.spend()
        self._scan_number += 1
        number = self._scan_number
        self._then_review = then_review
        row = self.trees.row
        self._before = self.trees.rows.path(row) if row >= 0 else ""
        self.trees.load(Rows())
        self._began = self.ours.monotonic()
        self._set_state("busy")
        self._poll()
        assert self._busy is not None
        self._busy.resume()
        order = self.order

        def plan() -> tuple[Plan, Rows, Totals]:
            made = work.make_plan(retry_of)
            if order is not Order.NAME:
                # On this thread, so that a large plan is shown without a pause.
                made[1].sort_below(order)
            return made

        run_in_thread(
            self,
            plan,
            lambda made: self._planned(number, *made),
            lambda sentence: self._went_wrong(number, sentence),
            name="tui-sync-plan",
        )

    def _poll(self) -> None:
        """Show how far connecting and scanning are."""
        session = self.work.session if self.work is not None else None
        elapsed = self.ours.monotonic() - self._began
        if session is None:
            self.query_one(ScanPanel).show("connecting", elapsed, (0, 0, 0), (0, 0, 0))
            return
        progress = session.progress
        source, target = (
            (side.directories, side.entries, side.errors) for side in (progress.source, progress.target)
        )
        self.query_one(ScanPanel).show(progress.phase, elapsed, source, target)
        self.query_one(ScanLine).show(progress.phase, elapsed, source, target)
        if progress.phase != "connecting":
            self._show_growing()

    def _show_growing(self) -> None:
        """Show the rows that are known by now, as often as that costs little."""
        work, tree = self.work, self.trees
        if work is None or not work.rows.growing or not len(work.rows):
            return
        began = time.monotonic()
        if began < self._grow_at:
            return
        rows = work.rows
        if not self.has_class("-live"):
            self.set_class(True, "-live")
            tree.load(rows)
            tree.focus()
            self.query_one(Details).clear("Details are shown once both sides are listed.")
        row = tree.row
        rows.refresh()
        tree.update(max(0, row))
        self._grow_at = time.monotonic() + _GROW_SHARE * (time.monotonic() - began)

    def _planned(self, number: int, plan: Plan, rows: Rows, totals: Totals) -> None:
        if number != self._scan_number or self.work is None:
            return
        assert self._busy is not None
        self._busy.pause()
        tree = self.trees
        before = self._before or (tree.rows.path(tree.row) if tree.row >= 0 else "")
        self.work.accept(plan, rows, totals)
        if self.hide_equal:
            rows.set_hide_equal(True)
        rows.set_order(self.order)
        rows.set_filter(self.query_one("#filter-text", Input).value)
        self._set_state("ready")
        if tree.rows is not rows:
            tree.load(rows)
        if before and (row := rows.find(before)) >= 0:
            rows.reveal(row)
            tree.update(row)
        else:
            tree.reload()
        self.show_totals()
        self.show_details()
        if self._then_review and self.is_active:
            self.action_do("review")

    def _went_wrong(self, number: int, sentence: str) -> None:
        if number != self._scan_number:
            return
        assert self._busy is not None
        self._busy.pause()
        trouble = self.work.trouble if self.work is not None else ""
        # A session that has failed is not used again: the next try connects anew.
        self._leave_work()
        edit = (("F4", "edit the profile"),) if self.profile.file is not None else ()
        self.query_one(TroublePanel).show(
            "Could not compare the two sides",
            sentence,
            (("^r", "try again"), *edit, ("Esc", "back to the profiles")),
            aid=first_aid(trouble),
        )
        self._set_state("failed")

    def _leave_work(self) -> None:
        if self.work is not None:
            self.ours.retire(self.work)
            self.work = None

    def show_totals(self) -> None:
        if self.work is None:
            return
        plan = self.work.plan
        note = "! refused: see the review" if plan is not None and plan.refused else ""
        self.show_view()
        self.query_one(TotalsBar).show(self.work.totals, self.work.rows, note)
        rows = self.trees.rows
        found = len(rows.visible)
        self.query_one("#filter-count", Static).update(
            (text.count(found, "row") if found else "no row") if rows.filter else ""
        )

    def show_details(self) -> None:
        details, tree = self.query_one(Details), self.trees
        row = tree.row
        if row < 0 or self.work is None:
            details.clear(self._why_no_rows())
            return
        try:
            item = self.work.item(row)
        except TuiSyncError as error:
            self.say(printable(str(error)), warning=True)
            item = None
        rows = tree.rows
        path = rows.path(row)
        if item is not None:
            entry = item.target if tree.active else item.source
            path = entry.path if entry is not None else path
        sizes = (rows.side_size(row, 0), rows.side_size(row, 1))
        details.show(
            path, item, rows.has_children(row), rows.glyph(row), rows.counts(row), sizes, self.profile.options
        )

    def _why_no_rows(self) -> str:
        rows = self.trees.rows
        if not len(rows):
            return "Both sides are empty: nothing to do. ^r lists again, Esc leads back."
        if rows.filter or rows.only is not Only.ALL:
            return "No row matches."
        return "Both sides are the same. e shows what is equal, Esc leads back."

    def why_not(self, name: str) -> str:
        if name == "back":
            return ""
        if self.state == "busy":
            if self.has_class("-live") and name in _WHILE_LISTING:
                return ""
            return "" if name == "history" and self._session_ready else _NOT_YET
        if self.state == "failed":
            if name == "edit":
                return "" if self.profile.file is not None else _NO_FILE
            return "" if name == "rescan" else _FAILED
        if name == "edit":
            return "Esc leads to the profiles, where e changes this one."
        if name in ("review", "start") and self.work is not None and not self._anything():
            return "Nothing to do: the plan holds no change."
        row = self.trees.row
        if row < 0 and name in ("include", "open", "next_change", "previous_change"):
            return "There is no row here."
        if name == "override":
            if row < 0:
                return "There is no row here."
            assert self.work is not None
            return "" if self.work.other_action(row) is not None else why_not_override(self.trees.rows, row)
        if name == "include" and not self.trees.rows.has_work(row):
            return why_not_include(self.trees.rows, row)
        return ""

    @property
    def _session_ready(self) -> bool:
        return self.work is not None and self.work.session is not None

    def _anything(self) -> bool:
        """Whether there is anything to review: work, taken out or not, a guard, or a conflict."""
        assert self.work is not None
        plan, rows = self.work.plan, self.trees.rows
        return bool(
            (plan is not None and plan.guards)
            or self.work.totals.work
            or self.work.totals.conflicts
            or rows.taken_out()
        )

    def label(self, command: actions.Command) -> str:
        if command.name == "hide_equal" and self.trees.rows.hide_equal:
            return "Show equal"
        return command.label

    def rank(self, command: actions.Command) -> int:
        if self.state != "failed" or command in actions.COMMANDS["app"]:
            return command.rank
        return 0 if self.why_not(command.name) else 1

    def do_edit(self) -> None:
        """Change the profile, and compare anew where that changed anything."""
        from tui_sync import profiles

        file, shown = self.profile.file, self.profile
        assert file is not None

        def edited() -> None:
            try:
                after = profiles.load(file)
            except TuiSyncError as error:
                self.say(printable(str(error)), warning=True)
                return
            if after != before:
                # What the command line set instead of the profile stays.
                options = after.options if before.options == shown.options else shown.options
                self.profile = replace(after, options=options)
                self._show_pair()
                self.scan()

        try:
            before = profiles.load(file)
            self.ours.edit_profile(file, edited)
        except TuiSyncError as error:
            self.say(str(error), warning=True)

    def do_back(self) -> None:
        box = self.query_one("#filter-text", Input)
        if self.state == "ready" and (self.has_class("-filtering") or box.value):
            box.value = ""
            self._end_filter()
            return
        rows = self.trees.rows
        if self.state == "ready" and rows.only is not Only.ALL:
            self.set_only(Only.ALL)
            return
        self._scan_number += 1
        self.dismiss()

    def do_review(self) -> None:
        from tui_sync.tui.screens.review import ReviewScreen

        assert self.work is not None
        self.app.push_screen(ReviewScreen(self.work, self), lambda _: self._back_from_review())

    def do_start(self) -> None:
        self.do_review()

    def _back_from_review(self) -> None:
        """Show what was taken out meanwhile, or scan again after a run."""
        if self.work is not None and self.work.plan is not None:
            self.trees.update(self.trees.row)
            self.show_totals()
            self.show_details()

    def do_rescan(self) -> None:
        self.scan()

    def renew(self, *, then_review: bool = False, retry_of: int | None = None) -> None:
        """After a run: scan again, on new connections where the run was cut off. ``retry_of`` narrows the new
        plan to what did not go through in that run."""
        if self.work is not None and self.work.cut_off:
            self._leave_work()
        self.scan(then_review=then_review, retry_of=retry_of)

    def do_history(self) -> None:
        from tui_sync.tui.screens.history import HistoryScreen

        self.app.push_screen(HistoryScreen(self.profile))

    def do_include(self) -> None:
        assert self.work is not None
        tree = self.trees
        row = tree.row
        try:
            self.work.toggle(row)
        except TuiSyncError as error:
            self.say(printable(str(error)), warning=True)
            return
        tree.refresh()
        self.show_totals()
        self.show_details()

    def do_open(self) -> None:
        rows, row = self.trees.rows, self.trees.row
        if rows.has_children(row):
            rows.fold(row, not rows.is_folded(row))
            self.trees.update(row)
        else:
            self.ours.show_differences(self.work, row)

    def do_override(self) -> None:
        assert self.work is not None
        tree = self.trees
        try:
            words = self.work.override(tree.row)
        except TuiSyncError as error:
            self.say(printable(str(error)), warning=True)
            return
        self.say(words)
        tree.refresh()
        self.show_totals()
        self.show_details()

    def do_switch_pane(self) -> None:
        self.trees.active = 1 - self.trees.active
        self.query_one(ColumnHead).activate(self.trees.active)
        self.trees.refresh()
        self.show_details()

    def do_filter(self) -> None:
        self.add_class("-filtering")
        box = self.query_one("#filter-text", Input)
        box.focus()

    def _end_filter(self) -> None:
        box = self.query_one("#filter-text", Input)
        self.set_class(bool(box.value), "-filtering")
        self.trees.focus()
        self.update_keys()

    def on_input_changed(self, event: Input.Changed) -> None:
        if self.state != "ready":
            return
        rows, row = self.trees.rows, self.trees.row
        rows.set_filter(event.value)
        if row < 0 or not rows.is_shown(row):
            row = max(0, rows.first_match)
        self.trees.update(row)
        self.show_totals()
        self.show_details()
        self.update_keys()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._end_filter()

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        self.show_details()
        self.update_keys()

    def on_line_list_chosen(self, event: LineList.Chosen) -> None:
        self.action_do("open")

    def on_compare_tree_toggled(self, event: CompareTree.Toggled) -> None:
        self.action_do("open")
