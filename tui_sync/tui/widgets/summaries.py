"""What a plan will do and what a run has done, in a few lines."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual.geometry import Size

from tui_sync.model import DeleteTo, Plan, Summary, Totals, Verify, WriteMode
from tui_sync.names import TRASH, printable
from tui_sync.tui import estimate, text
from tui_sync.tui.estimate import Pace
from tui_sync.tui.widgets.lines import Line, Painted
from tui_sync.tui.widgets.tree import TONES

VERIFY_WORDS = {
    Verify.AUTO: "automatic, as far as possible",
    Verify.NONE: "none",
    Verify.SIZE: "size of each file",
    Verify.CHECKSUM: "checksum, by the target",
    Verify.READBACK: "each file is read back",
}
WRITE_WORDS = {
    WriteMode.ATOMIC: "temporary name, then rename",
    WriteMode.DIRECT: "direct, under the final name",
}
REACHED_WORDS = {
    Verify.NONE: "nothing was checked",
    Verify.SIZE: "the size of every file",
    Verify.CHECKSUM: "the checksum of every file, as the target computed it",
    Verify.READBACK: "every file was read back and compared",
}
_STATUS = {
    "ok": ("✓", "Done", "sum--good"),
    "partial": ("!", "Done, but not everything went through", "sum--bad"),
    "drifted": ("!", "Done, but some items had changed meanwhile and were skipped", "sum--warn"),
    "interrupted": ("!", "Stopped before the end", "sum--warn"),
    "error": ("!", "Stopped by an error", "sum--bad"),
}


def noun(number: int, word: str) -> str:
    return word if number == 1 else f"{word}s"


def delete_words(to: DeleteTo) -> str:
    """Where deleted files go."""
    return f"into {TRASH}" if to is DeleteTo.TRASH else "for good, no trash"


class PlanSummary(Painted):
    """Counts and sizes on the left, how it will be done on the right, how long it may take. Five lines."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *TONES.values(),
        "sum--number",
        "sum--words",
        "sum--label",
        "sum--bad",
    }

    def __init__(self) -> None:
        super().__init__()
        self._totals = Totals()
        self._plan: Plan | None = None
        self._pace: Pace | None = None
        self._free: int | None = None

    def show(self, plan: Plan, totals: Totals) -> None:
        self._plan, self._totals = plan, totals
        self.refresh()

    def learn(self, pace: Pace, free: int | None) -> None:
        """What is known of earlier runs, and the bytes free on the target (None: unknown)."""
        self._pace, self._free = pace, free
        self.refresh()

    def paint(self, width: int, height: int) -> list[Line]:
        plan, totals = self._plan, self._totals
        if plan is None:
            return []
        options = plan.options
        rows = (
            ("+", totals.create, f"{noun(totals.create, 'file')} to create", totals.create_bytes),
            ("M", totals.update, f"{noun(totals.update, 'file')} to replace", totals.update_bytes),
            ("-", totals.delete, "to delete", totals.delete_bytes),
            ("+", totals.mkdir, f"{noun(totals.mkdir, 'folder')} to make", None),
        )
        workers = "automatic" if options.workers is None else str(options.workers)
        limit = "" if options.bandwidth_limit is None else f", at most {text.speed(options.bandwidth_limit)}"
        facts = (
            ("Verify", VERIFY_WORDS[options.verify]),
            ("Write", WRITE_WORDS[options.write] + (", old kept in the trash" if options.backup else "")),
            ("Deletes", delete_words(options.delete) if totals.delete else "none"),
            ("Workers", workers + limit),
        )
        lines: list[Line] = []
        digits = max(len(f"{number:,}") for _, number, _, _ in rows)
        left = 31 + digits
        for (glyph, number, words, size), (label, fact) in zip(rows, facts, strict=True):
            tone = TONES[glyph] if number else "row--equal"
            amount = text.size(size) if size is not None and number else ""
            lines.append(
                [
                    Segment(f" {glyph} ", self.ink(tone)),
                    Segment(f"{number:>{digits},} ", self.ink("sum--number" if number else "row--equal")),
                    Segment(f"{words:<16}", self.ink("sum--words" if number else "row--equal")),
                    Segment(f"{amount:>8}  ", self.ink("sum--words")),
                    Segment(f"  {label:<8} ", self.ink("sum--label")),
                    Segment(text.shorten(fact, max(0, width - left - 12)), self.ink("sum--words")),
                ]
            )
        lines.append(self._outlook(width))
        return lines

    def _outlook(self, width: int) -> Line:
        """How long it may take, and how much room there is."""
        plan, totals = self._plan, self._totals
        if plan is None or self._pace is None:
            return []
        limit = plan.options.bandwidth_limit
        took = estimate.seconds(totals, self._pace, limit) if totals.work else None
        if took is None:
            time = "no earlier run tells" if totals.work else "–"
        else:
            time = f"about {text.span(max(1.0, took))}"
            if self._pace.bytes_per_s and totals.bytes:
                time += f", at {text.speed(self._pace.bytes_per_s)} as in earlier runs"
        free = "not known" if self._free is None else f"{text.size(self._free)} free on the target"
        short = self._free is not None and totals.bytes > self._free
        return [
            Segment("   Time  ", self.ink("sum--label")),
            Segment(time, self.ink("sum--words")),
            Segment("   Room  ", self.ink("sum--label")),
            Segment(("! " if short else "") + free, self.ink("sum--bad" if short else "sum--words")),
        ]


class RunSummary(Painted):
    """How a run ended, in up to nine lines."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *TONES.values(),
        "sum--number",
        "sum--words",
        "sum--label",
        "sum--good",
        "sum--warn",
        "sum--bad",
    }

    def __init__(self) -> None:
        super().__init__()
        self._summary: Summary | None = None
        self._error = ""
        self._receipt = ""

    def show(self, summary: Summary | None, *, error: str, receipt: str) -> None:
        """``summary`` None: the run never ended. ``error`` and ``receipt`` are printable."""
        self._summary, self._error, self._receipt = summary, error, receipt
        self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self.paint(width, 0))

    def paint(self, width: int, height: int) -> list[Line]:
        summary = self._summary
        if summary is None:
            return [
                [Segment(" ! Interrupted: the program ended before the run did", self.ink("sum--warn"))],
                [],
                self._fact("Receipt", self._receipt, width),
            ]
        glyph, words, tone = _STATUS.get(summary.status, ("!", summary.status, "sum--bad"))
        if summary.status == "ok" and not (summary.created or summary.updated or summary.deleted):
            words = "Done: nothing had to be copied or deleted" if not summary.directories else words
        lines: list[Line] = [
            [
                Segment(f" {glyph} {words}", self.ink(tone)),
                Segment(f"   in {text.span(summary.elapsed_s)}", self.ink("sum--label")),
            ]
        ]
        if self._error:
            lines.append([Segment(f"   {text.shorten(self._error, width - 4)}", self.ink("sum--bad"))])
        lines.append([])
        lines += self._counts(summary)
        rate = summary.bytes / summary.elapsed_s if summary.elapsed_s > 0 else 0.0
        copied = text.size(summary.bytes) + (f" at {text.speed(rate)}" if summary.bytes else "")
        lines.append(self._fact("Copied", copied, width))
        wrote = summary.created or summary.updated
        reached = REACHED_WORDS.get(summary.verified, summary.verified.value)
        verified = f"{summary.verified.value}: {reached}" if wrote else "no file was written"
        lines.append(self._fact("Verified", verified, width))
        if summary.requests:
            sent = sorted(summary.requests.items(), key=lambda one: (-one[1], one[0]))
            lines.append(self._fact("To S3", ", ".join(f"{name} {number:,}" for name, number in sent), width))
        lines.append(self._fact("Receipt", self._receipt, width))
        return lines

    def _counts(self, summary: Summary) -> list[Line]:
        """What went through, and on a line of its own what did not."""
        done = (
            ("+", summary.created, "created"),
            ("M", summary.updated, "replaced"),
            ("-", summary.deleted, "deleted"),
            ("+", summary.directories, f"{noun(summary.directories, 'folder')} made"),
            ("=", summary.unchanged, "unchanged"),
        )
        not_done = (
            ("!", summary.failed, "failed"),
            ("<", summary.skipped, "skipped"),
            ("T", summary.conflicts, noun(summary.conflicts, "conflict")),
        )
        lines: list[Line] = []
        for parts, always in ((done, 3), (not_done, 0)):
            line: Line = []
            for index, (glyph, number, words) in enumerate(parts):
                if number or index < always:
                    line.append(Segment(f"   {glyph} ", self.ink(TONES[glyph] if number else "row--equal")))
                    line.append(Segment(f"{number:,} ", self.ink("sum--number" if number else "row--equal")))
                    line.append(Segment(words, self.ink("sum--words" if number else "row--equal")))
            if line:
                lines.append(line)
        return lines

    def _fact(self, label: str, fact: str, width: int) -> Line:
        return [
            Segment(f"   {label:<9} ", self.ink("sum--label")),
            Segment(text.shorten(printable(fact), max(0, width - 14)), self.ink("sum--words")),
        ]
