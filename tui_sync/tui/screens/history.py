"""History: the past runs of one pair, from its ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import BindingType

from tui_sync.model import Summary
from tui_sync.tui import actions, text
from tui_sync.tui.bridge import run_in_thread
from tui_sync.tui.runs import open_existing, outcome_words
from tui_sync.tui.screens.base import FlowScreen
from tui_sync.tui.screens.report import PastReport, ask_export
from tui_sync.tui.widgets.bars import TopBar
from tui_sync.tui.widgets.lines import Line, LineList
from tui_sync.tui.widgets.panels import TroublePanel

if TYPE_CHECKING:
    from tui_sync.ledger import Ledger, RunRecord
    from tui_sync.profiles import Profile


class RunList(LineList):
    """One line per run, newest first."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"run--good", "run--warn", "run--bad", "run--words", "run--muted"}

    def __init__(self) -> None:
        super().__init__()
        self.records: Sequence[RunRecord] = ()

    def show(self, records: Sequence[RunRecord]) -> None:
        self.records = records
        self.reload(0)

    def row_count(self) -> int:
        return len(self.records)

    def draw(self, row: int, width: int, cursor: bool) -> list[Line]:
        record = self.records[row]
        on = self.row_style(cursor)
        glyph, words, tone = outcome_words(record.summary)
        summary = record.summary or Summary()
        counts = f"+ {summary.created:,}  M {summary.updated:,}  - {summary.deleted:,}"
        trouble = f"  ! {summary.failed + summary.skipped:,}" if summary.failed or summary.skipped else ""
        known = record.summary is not None
        size = f"{text.size(summary.bytes)} in {text.span(summary.elapsed_s)}" if known else ""
        return [
            [
                Segment(f" {glyph} {words:<12}", self.ink(*on, tone)),
                Segment(f"{text.stamp(record.started_ns)}  ", self.ink(*on, "run--words")),
                Segment(text.fit(f"{counts}{trouble}" if known else "", 27), self.ink(*on, "run--words")),
                Segment(text.fit(size, 19), self.ink(*on, "run--muted")),
                Segment(summary.verified.value if summary.bytes else "", self.ink(*on, "run--muted")),
            ]
        ]


class HistoryScreen(FlowScreen):
    """Lists the runs; Enter opens the report of one."""

    PLACE = "History"
    GROUP = "history"
    BINDINGS: ClassVar[list[BindingType]] = actions.bindings("history")

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.profile = profile
        self._ledger: Ledger | None = None
        self._trouble = ""

    def body(self) -> ComposeResult:
        yield RunList()
        yield TroublePanel()

    def on_mount(self) -> None:
        profile = self.profile
        self.query_one(TopBar).show_pair(profile.name, profile.source.url, profile.target.url)
        self.query_one(RunList).border_title = "Past runs of this pair"
        self.query_one(TroublePanel).display = False
        self.query_one(RunList).focus()
        run_in_thread(self, self._read, self._show, self._failed, name="tui-sync-history")

    def on_unmount(self) -> None:
        if self._ledger is not None:
            self._ledger.close()

    def _read(self) -> tuple[Ledger | None, list[RunRecord]]:
        ledger = open_existing(self.profile, self.ours.state_dir)
        return ledger, ledger.runs() if ledger is not None else []

    def _show(self, found: tuple[Ledger | None, list[RunRecord]]) -> None:
        self._ledger, records = found
        self.query_one(RunList).show(records)
        if not records:
            self._say_instead("No run yet", "The first run of this pair will be listed here.")

    def _failed(self, sentence: str) -> None:
        self._trouble = sentence
        self._say_instead("Could not read the history", sentence)

    def _say_instead(self, title: str, sentence: str) -> None:
        self.query_one(RunList).display = False
        panel = self.query_one(TroublePanel)
        panel.display = True
        panel.show(title, sentence, (("Esc", "back"),))

    def why_not(self, name: str) -> str:
        if name == "back":
            return ""
        records = self.query_one(RunList).records
        if not records:
            return "The history could not be read." if self._trouble else "There is no run yet."
        return ""

    def do_open(self) -> None:
        runs = self.query_one(RunList)
        record, ledger = runs.records[runs.cursor], self._ledger
        assert ledger is not None
        self.app.push_screen(PastReport(self.profile, record.summary, ledger=ledger, run_id=record.run_id))

    def do_export(self) -> None:
        runs, ledger = self.query_one(RunList), self._ledger
        assert ledger is not None
        ask_export(self, ledger, runs.records[runs.cursor].run_id)

    def do_back(self) -> None:
        self.dismiss()

    def on_line_list_chosen(self, event: LineList.Chosen) -> None:
        self.action_do("open")
