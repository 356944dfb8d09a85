"""Report: what a run did, how far it was verified, and what did not go through."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from tui_sync.model import Outcome, Status, Summary
from tui_sync.names import printable
from tui_sync.tui import actions, text
from tui_sync.tui.bridge import run_in_thread
from tui_sync.tui.screens.base import FlowScreen
from tui_sync.tui.widgets.bars import TopBar
from tui_sync.tui.widgets.sheet import Sheet
from tui_sync.tui.widgets.summaries import RunSummary
from tui_sync.tui.work import Work

if TYPE_CHECKING:
    from tui_sync.profiles import Profile
    from tui_sync.tui.screens.compare import CompareScreen

MOST_SHOWN = 2000
NOT_DONE = (Status.FAILED, Status.DRIFTED, Status.VANISHED, Status.HELD, Status.CANCELLED)
_MARKS = {
    Status.FAILED: ("!", "sheet--error"),
    Status.DRIFTED: ("<", "sheet--old"),
    Status.VANISHED: ("<", "sheet--old"),
    Status.HELD: ("x", "sheet--muted"),
    Status.CANCELLED: ("x", "sheet--muted"),
}


class RunReport(FlowScreen):
    """One run's outcome, from its summary and its receipt in the ledger."""

    PLACE = "Report"
    GROUP = "report"
    BINDINGS: ClassVar[list[BindingType]] = actions.bindings("report")

    def __init__(
        self,
        profile: Profile,
        summary: Summary | None,
        *,
        receipt: str,
        error: str,
        not_done: Callable[[], list[Outcome]],
    ) -> None:
        """``not_done`` reads the receipt; it is called on a thread."""
        super().__init__()
        self.profile = profile
        self.summary = summary
        self._receipt = receipt
        self._error = error
        self._not_done = not_done

    def body(self) -> ComposeResult:
        yield RunSummary()
        yield Sheet(cursor=True, id="failures")

    def on_mount(self) -> None:
        profile = self.profile
        self.query_one(TopBar).show_pair(profile.name, profile.source.url, profile.target.url)
        self.query_one(RunSummary).show(self.summary, error=self._error, receipt=self._receipt)
        sheet = self.query_one("#failures", Sheet)
        sheet.border_title = "Not gone through"
        sheet.show([[("sheet--muted", " Reading the receipt …")]])
        sheet.focus()
        run_in_thread(self, self._not_done, self._show, self._unreadable, name="tui-sync-receipt")

    def _show(self, outcomes: list[Outcome]) -> None:
        sheet = self.query_one("#failures", Sheet)
        if not outcomes:
            sheet.show([[("sheet--muted", " Nothing: every item of the plan went through.")]])
            return
        lines = []
        for outcome in outcomes:
            glyph, tone = _MARKS[outcome.status]
            words = printable(outcome.error) or outcome.status.value
            lines.append(
                [
                    (tone, f" {glyph} {outcome.status.value:<9} "),
                    ("", printable(outcome.item.path)),
                    ("sheet--muted", f"  {words}"),
                ]
            )
        if len(outcomes) >= MOST_SHOWN:
            lines.append(
                [("sheet--muted", f" The first {text.count(MOST_SHOWN)}; the receipt has them all.")]
            )
        sheet.show(lines)

    def _unreadable(self, sentence: str) -> None:
        self.query_one("#failures", Sheet).show([[("sheet--error", f" ! {sentence}")]])

    def do_history(self) -> None:
        from tui_sync.tui.screens.history import HistoryScreen

        self.app.push_screen(HistoryScreen(self.profile))

    def do_back(self) -> None:
        self.dismiss()


class ReportScreen(RunReport):
    """The report of the run that has just ended."""

    def __init__(self, work: Work, compare: CompareScreen) -> None:
        engine, session = work.engine, work.session
        assert engine is not None
        assert session is not None
        ledger, run_id = session.ledger, engine.run_id
        super().__init__(
            work.profile,
            engine.summary,
            receipt=f"run {run_id} in {ledger.path}",
            error=printable(str(engine.error)) if engine.error is not None else "",
            not_done=lambda: list(islice(ledger.outcomes(run_id, statuses=NOT_DONE), MOST_SHOWN)),
        )
        self._compare = compare

    def why_not(self, name: str) -> str:
        if name == "retry" and self.summary is not None and self.summary.status == "ok":
            return "Everything went through: there is nothing to retry."
        return ""

    def do_open(self) -> None:
        self.dismiss()
        self._compare.renew()

    def do_retry(self) -> None:
        self.dismiss()
        self._compare.renew(then_review=True)

    def do_back(self) -> None:
        """Back to the profiles, past the trees of a plan that is spent."""
        self.app.pop_screen()
        self._compare.dismiss()


class PastReport(RunReport):
    """The report of an earlier run."""

    def why_not(self, name: str) -> str:
        if name in ("open", "retry"):
            return "This is a past run: Esc leads back."
        if name == "history":
            return "Esc leads back to the history."
        return ""

    def label(self, command: actions.Command) -> str:
        return "Back" if command.name == "back" else command.label
