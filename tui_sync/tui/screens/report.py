"""Report: what a run did, how far it was verified, and what did not go through."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, overload

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from tui_sync.errors import TuiSyncError
from tui_sync.model import Outcome, Status, Summary
from tui_sync.names import printable
from tui_sync.tui import actions, text
from tui_sync.tui.bridge import run_in_thread
from tui_sync.tui.remedies import remedy
from tui_sync.tui.screens.ask import InputDialog
from tui_sync.tui.screens.base import FlowScreen
from tui_sync.tui.widgets.bars import TopBar
from tui_sync.tui.widgets.lines import LineList
from tui_sync.tui.widgets.sheet import WAY, Sheet
from tui_sync.tui.widgets.summaries import RunSummary
from tui_sync.tui.widgets.tabs import Tabs
from tui_sync.tui.work import Work

if TYPE_CHECKING:
    from array import array

    from tui_sync.ledger import Ledger
    from tui_sync.profiles import Profile
    from tui_sync.tui.screens.compare import CompareScreen

Pieces = list[tuple[str, str]]

NOT_DONE = (Status.FAILED, Status.DRIFTED, Status.VANISHED, Status.HELD, Status.CANCELLED)
FILTERS: tuple[tuple[str, tuple[Status, ...]], ...] = (
    ("Not gone through", NOT_DONE),
    ("Failed", (Status.FAILED,)),
    ("Skipped", (Status.DRIFTED, Status.VANISHED, Status.HELD, Status.CANCELLED)),
    ("Done", (Status.DONE,)),
    ("All", tuple(Status)),
)
_MARKS = {
    Status.FAILED: ("!", "sheet--error"),
    Status.DRIFTED: ("<", "sheet--old"),
    Status.VANISHED: ("<", "sheet--old"),
    Status.HELD: ("x", "sheet--muted"),
    Status.CANCELLED: ("x", "sheet--muted"),
}
_ENDINGS = {".html": "html", ".json": "json", ".csv": "csv"}
_PAGE = 200
_PAGES_KEPT = 8


def outcome_line(outcome: Outcome) -> Pieces:
    """One item of a receipt."""
    item = outcome.item
    if outcome.status is Status.DONE:
        glyph, tone = item.glyph, "sheet--new" if item.glyph != "-" else "sheet--old"
        facts = f"  {text.size(outcome.bytes)}, {outcome.verified.value}" if outcome.bytes else ""
        return [
            (tone, f" {glyph} {item.action.value:<9} "),
            ("", printable(item.path)),
            ("sheet--muted", facts),
        ]
    glyph, tone = _MARKS[outcome.status]
    way = remedy(outcome)
    return [
        (tone, f" {glyph} {outcome.status.value:<9} "),
        ("", printable(item.path)),
        ("sheet--muted", f"  {printable(outcome.error) or outcome.status.value}"),
        *([(WAY, f"  → {way}")] if way else []),
    ]


def went_through_all(summary: Summary | None) -> bool:
    """Whether a run got as far as every item, so that what did not go through is all that is left."""
    return summary is not None and summary.status in ("partial", "drifted")


def was_cut_off(summary: Summary | None) -> bool:
    """Whether there are items that a run did not come to."""
    return not went_through_all(summary) and (summary is None or summary.status != "ok")


class Receipt(Sequence[Pieces]):
    """The lines of a run's receipt, read from the ledger page by page as they come into sight."""

    def __init__(self, ledger: Ledger, run_id: int, statuses: tuple[Status, ...]) -> None:
        """Reads the order of the lines. Raises LedgerError."""
        self._ledger, self._run_id, self._statuses = ledger, run_id, statuses
        self._seqs: array[int] = ledger.outcome_seqs(run_id, statuses=statuses)
        self._pages: dict[int, list[Pieces]] = {}

    def __len__(self) -> int:
        return len(self._seqs)

    @overload
    def __getitem__(self, index: int) -> Pieces: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pieces]: ...
    def __getitem__(self, index: int | slice) -> Pieces | Sequence[Pieces]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        page, place = divmod(index, _PAGE)
        if page not in self._pages:
            while len(self._pages) >= _PAGES_KEPT:
                del self._pages[next(iter(self._pages))]
            self._pages[page] = self._read(page)
        lines = self._pages[page]
        return lines[place] if place < len(lines) else []

    def _read(self, page: int) -> list[Pieces]:
        start = self._seqs[page * _PAGE]
        try:
            found = self._ledger.outcomes(self._run_id, statuses=self._statuses, start=start, batch=_PAGE)
            return [outcome_line(outcome) for outcome in islice(found, _PAGE)]
        except TuiSyncError as error:
            return [[("sheet--error", f" ! {printable(str(error))}")]]


class RunReport(FlowScreen):
    """One run's outcome, from its summary and its receipt in the ledger."""

    PLACE = "Report"
    GROUP = "report"
    BINDINGS: ClassVar[list[BindingType]] = actions.bindings("report")

    def __init__(
        self, profile: Profile, summary: Summary | None, *, ledger: Ledger, run_id: int, error: str = ""
    ) -> None:
        super().__init__()
        self.profile = profile
        self.summary = summary
        self.run_id = run_id
        self._ledger = ledger
        self._error = error
        self._filter = 0
        self._counts: dict[Status, int] = {}

    def body(self) -> ComposeResult:
        yield RunSummary()
        yield Tabs()
        yield Sheet(cursor=True, id="outcomes")
        yield Static("", id="outcome", markup=False)

    def on_mount(self) -> None:
        profile = self.profile
        self.query_one(TopBar).show_pair(profile.name, profile.source.url, profile.target.url)
        receipt = f"run {self.run_id} in {self._ledger.path}"
        self.query_one(RunSummary).show(self.summary, error=self._error, receipt=receipt)
        sheet = self.query_one("#outcomes", Sheet)
        sheet.show([[("sheet--muted", " Reading the receipt …")]])
        sheet.focus()
        run_in_thread(
            self,
            lambda: self._ledger.outcome_counts(self.run_id),
            self._counted,
            self._unreadable,
            name="tui-sync-receipt",
        )

    def _counted(self, counts: dict[Status, int]) -> None:
        self._counts = counts
        # With nothing amiss there is more to see in what was done.
        self._choose(0 if any(counts.get(status) for status in NOT_DONE) else 3)

    def _choose(self, number: int) -> None:
        self._filter = number
        statuses = FILTERS[number][1]
        totals = [(name, sum(self._counts.get(one, 0) for one in those)) for name, those in FILTERS]
        self.query_one(Tabs).show(totals, number)

        def show(receipt: Receipt) -> None:
            if self._filter == number:
                self._show(receipt)

        run_in_thread(
            self,
            lambda: Receipt(self._ledger, self.run_id, statuses),
            show,
            self._unreadable,
            name="tui-sync-receipt",
        )

    def _show(self, receipt: Receipt) -> None:
        sheet = self.query_one("#outcomes", Sheet)
        if receipt:
            sheet.show(receipt)
        elif not self._filter:
            sheet.show([[("sheet--muted", " Nothing: every item of the plan went through.")]])
        else:
            sheet.show([[("sheet--muted", " None.")]])
        sheet.cursor = 0
        self._show_whole()

    def _show_whole(self) -> None:
        """All of the line under the cursor, for which there may be no room in the list."""
        sheet = self.query_one("#outcomes", Sheet)
        pieces = sheet.lines[sheet.cursor][1:] if sheet.cursor < len(sheet.lines) else []
        self.query_one("#outcome", Static).update(Text("".join(piece for _, piece in pieces)))

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        self._show_whole()

    def _unreadable(self, sentence: str) -> None:
        self.query_one("#outcomes", Sheet).show([[("sheet--error", f" ! {sentence}")]])

    def on_tabs_chosen(self, event: Tabs.Chosen) -> None:
        self._choose(event.number)

    def do_filter(self) -> None:
        self._choose((self._filter + 1) % len(FILTERS))

    def do_filter_back(self) -> None:
        self._choose((self._filter - 1) % len(FILTERS))

    def do_export(self) -> None:
        ask_export(self, self._ledger, self.run_id)

    def do_history(self) -> None:
        from tui_sync.tui.screens.history import HistoryScreen

        self.app.push_screen(HistoryScreen(self.profile))

    def do_back(self) -> None:
        self.dismiss()


def ask_export(screen: FlowScreen, ledger: Ledger, run_id: int) -> None:
    """Ask for a file, and write a run's receipt to it."""

    def answered(answer: str | None) -> None:
        if answer is None:
            return
        path = Path(answer).expanduser()
        run_in_thread(
            screen,
            lambda: write_export(ledger, run_id, path),
            lambda _: screen.say(f"Written: {printable(str(path))}"),
            lambda sentence: screen.say(sentence, warning=True),
            name="tui-sync-export",
        )

    name = printable(ledger.path.stem).replace("/", "_")
    screen.app.push_screen(
        InputDialog(
            "Export the receipt",
            ("The ending decides the form: .html to read, .json or .csv for other programs.",),
            value=str(Path.cwd() / f"{name}-run-{run_id}.html"),
            check=export_problem,
            hint="Enter writes the file",
        ),
        answered,
    )


def export_problem(answer: str) -> str:
    """What is wrong with a file to export to, as a sentence; empty where nothing is."""
    path = Path(answer).expanduser()
    if path.suffix.casefold() not in _ENDINGS:
        return "the name must end in .html, .json or .csv"
    if path.exists():
        return "there is such a file already: choose another name"
    if not path.parent.is_dir():
        return f"there is no folder {printable(str(path.parent))}"
    return ""


def write_export(ledger: Ledger, run_id: int, path: Path) -> None:
    """Write a receipt to a new file that only its owner can read. Raises TuiSyncError."""
    from tui_sync.export import export

    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(handle, "w", encoding="utf-8", newline="") as out:
                export(ledger, run_id, _ENDINGS[path.suffix.casefold()], out)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise TuiSyncError(f"cannot write {printable(str(path))}: {error.strerror}") from None


class ReportScreen(RunReport):
    """The report of the run that has just ended."""

    def __init__(self, work: Work, compare: CompareScreen) -> None:
        engine, session = work.engine, work.session
        assert engine is not None
        assert session is not None
        super().__init__(
            work.profile,
            engine.summary,
            ledger=session.ledger,
            run_id=engine.run_id,
            error=printable(str(engine.error)) if engine.error is not None else "",
        )
        self._compare = compare

    def why_not(self, name: str) -> str:
        if name == "retry" and self.summary is not None and self.summary.status == "ok":
            return "Everything went through: there is nothing to retry."
        return ""

    def label(self, command: actions.Command) -> str:
        if command.name == "retry" and was_cut_off(self.summary):
            return "Go on"
        return command.label

    def do_open(self) -> None:
        self.dismiss()
        self._compare.renew()

    def do_retry(self) -> None:
        self.dismiss()
        self._compare.renew(
            then_review=True, retry_of=self.run_id if went_through_all(self.summary) else None
        )

    def do_back(self) -> None:
        """Back to the profiles, past the trees of a plan that is spent."""
        self.app.pop_screen()
        self._compare.dismiss()


class PastReport(RunReport):
    """The report of an earlier run."""

    def why_not(self, name: str) -> str:
        if name == "retry" and self.summary is not None and self.summary.status == "ok":
            return "Everything went through: there is nothing to retry."
        if name == "history":
            return "Esc leads back to the history."
        return ""

    def label(self, command: actions.Command) -> str:
        if command.name == "retry" and was_cut_off(self.summary):
            return "Go on"
        return {"back": "Back", "open": "Compare"}.get(command.name, command.label)

    def do_open(self) -> None:
        self.ours.compare_again(self.profile)

    def do_retry(self) -> None:
        """A new plan of what did not go through then; of everything where the run was cut off."""
        only = self.run_id if went_through_all(self.summary) else None
        self.ours.compare_again(self.profile, retry_of=only, then_review=True)
