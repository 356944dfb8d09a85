"""Panels that tell what is going on before there are trees to show, and what they add up to after."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment

from tui_sync.model import Totals
from tui_sync.names import printable
from tui_sync.tui import text
from tui_sync.tui.rows import Rows
from tui_sync.tui.widgets.lines import Line, Painted, centred
from tui_sync.tui.widgets.tree import TONES

_SPIN = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def total_parts(totals: Totals, rows: Rows) -> list[tuple[str, str, str]]:
    """What a plan comes to, as (glyph, number and word, size); the first three always."""
    parts = [
        ("+", f"{totals.create:,} new", text.size(totals.create_bytes)),
        ("M", f"{totals.update:,} changed", text.size(totals.update_bytes)),
        ("-", f"{totals.delete:,} to delete", text.size(totals.delete_bytes)),
        ("=", f"{totals.unchanged:,} equal", ""),
    ]
    parts = [(glyph, words, size if not words.startswith("0 ") else "") for glyph, words, size in parts]
    if totals.conflicts:
        parts.append(("!", text.count(totals.conflicts, "conflict"), ""))
    out = rows.filtered_out() + rows.taken_out()
    if out:
        parts.append(("x", f"{out:,} excluded", ""))
    return parts


class TotalsBar(Painted):
    """One line: what would be created, changed and deleted, and what stays."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONES.values(), "totals--words", "totals--size", "totals--note"}

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[tuple[str, str, str]] = []
        self._note = ""

    def show(self, totals: Totals, rows: Rows, note: str = "") -> None:
        self._parts = total_parts(totals, rows)
        self._note = note
        self.refresh()

    def paint(self, width: int, height: int) -> list[Line]:
        note = printable(self._note)
        for sizes in (True, False):
            line: Line = [Segment(" ", self.ink())]
            for glyph, words, size in self._parts:
                line.append(Segment(f"{glyph} ", self.ink(TONES[glyph])))
                line.append(Segment(words, self.ink("totals--words")))
                if size and sizes:
                    line.append(Segment(f" {size}", self.ink("totals--size")))
                line.append(Segment("   " if sizes else "  ", self.ink()))
            used = sum(cell_len(segment.text) for segment in line)
            if used + cell_len(note) <= width:
                break
        if used + cell_len(note) >= width:
            note = note.partition(":")[0]
        if note and used + 8 <= width:
            shown = text.shorten(note, width - used - 1)
            line.append(Segment(text.fit(shown, width - used - 1, "right"), self.ink("totals--note")))
        return [line]


class ScanPanel(Painted):
    """Live counters while both sides are connected to and listed."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"panel--title", "panel--words", "panel--number", "panel--error"}

    def __init__(self) -> None:
        super().__init__()
        self.phase = "connecting"
        self.elapsed_s = 0.0
        self._places = ("", "")
        self._numbers: tuple[tuple[int, int, int], tuple[int, int, int]] = ((0, 0, 0), (0, 0, 0))

    def show_places(self, source: str, target: str) -> None:
        self._places = (source, target)

    def show(
        self, phase: str, elapsed_s: float, source: tuple[int, int, int], target: tuple[int, int, int]
    ) -> None:
        """``source`` and ``target``: folders, entries and errors so far."""
        self.phase, self.elapsed_s, self._numbers = phase, elapsed_s, (source, target)
        self.refresh()

    def paint(self, width: int, height: int) -> list[Line]:
        words = {
            "connecting": "Connecting",
            "scanning": "Listing both sides",
            "done": "Loading the plan",
        }.get(self.phase, "Working")
        mark = _SPIN[int(self.elapsed_s * 10) % len(_SPIN)]
        inner = min(width - 4, 76)
        place = max(10, inner - 42)
        table: list[Line] = [
            [
                Segment(f"{mark} {words}", self.ink("panel--title")),
                Segment(f"  {text.span(self.elapsed_s)}", self.ink("panel--words")),
            ],
            [],
            [
                Segment(
                    f"{'':{place + 8}}{'folders':>10}{'entries':>12}{'errors':>9}", self.ink("panel--words")
                )
            ],
        ]
        for label, url, numbers in zip(("Source", "Target"), self._places, self._numbers, strict=True):
            folders, entries, errors = numbers
            error = self.ink("panel--error" if errors else "panel--number")
            table.append(
                [
                    Segment(f"{label:8}", self.ink("panel--title")),
                    Segment(text.pad(text.place(url, place), place), self.ink("panel--words")),
                    Segment(f"{folders:>10,}{entries:>12,}", self.ink("panel--number")),
                    Segment(f"{'! ' if errors else ''}{errors:,}".rjust(9), error),
                ]
            )
        table += [[], [Segment("Nothing is written. Esc stops.", self.ink("panel--words"))]]
        return centred(table, width, height, self)


class ScanLine(Painted):
    """The same counters in one line, above the rows that are known by now."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"panel--title", "panel--words", "panel--number", "panel--error"}

    def __init__(self) -> None:
        super().__init__()
        self._phase = ""
        self._elapsed_s = 0.0
        self._sides: tuple[tuple[str, tuple[int, int, int]], ...] = ()

    def show(
        self, phase: str, elapsed_s: float, source: tuple[int, int, int], target: tuple[int, int, int]
    ) -> None:
        self._phase, self._elapsed_s = phase, elapsed_s
        self._sides = (("source", source), ("target", target))
        self.refresh()

    def paint(self, width: int, height: int) -> list[Line]:
        mark = _SPIN[int(self._elapsed_s * 10) % len(_SPIN)]
        words = "Listing both sides" if self._phase == "scanning" else "Loading the plan"
        line = [
            Segment(f" {mark} {words}", self.ink("panel--title")),
            Segment(f"  {text.span(self._elapsed_s)}", self.ink("panel--words")),
        ]
        for side, (folders, entries, errors) in self._sides:
            line.append(Segment(f"   {side} ", self.ink("panel--words")))
            line.append(Segment(f"{folders + entries:,}", self.ink("panel--number")))
            if errors:
                line.append(Segment(f" ! {errors:,}", self.ink("panel--error")))
        line.append(Segment("   Esc stops", self.ink("panel--words")))
        return [line]


class TroublePanel(Painted):
    """What went wrong, in a sentence, and what can be done about it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"panel--title", "panel--words", "panel--number", "panel--error"}

    def __init__(self) -> None:
        super().__init__()
        self._title = ""
        self._sentence = ""
        self._aid = ""
        self._ways: tuple[tuple[str, str], ...] = ()

    @property
    def sentence(self) -> str:
        return self._sentence

    def show(self, title: str, sentence: str, ways: tuple[tuple[str, str], ...], *, aid: str = "") -> None:
        """``sentence`` is printable; ``aid`` a further one about the way out; ``ways`` are keys and what they
        do."""
        self._title, self._sentence, self._ways, self._aid = title, sentence, ways, aid
        self.refresh()

    def paint(self, width: int, height: int) -> list[Line]:
        inner = min(width - 4, 76)
        lines: list[Line] = [[Segment(f"! {self._title}", self.ink("panel--error"))], []]
        wrapped = text.wrap(self._sentence, inner)
        if len(wrapped) > max(3, height - 8):
            wrapped = [*wrapped[: max(2, height - 9)], text.ELLIPSIS]
        lines += [[Segment(line, self.ink("panel--number"))] for line in wrapped]
        if self._aid:
            lines += [
                [],
                *([Segment(line, self.ink("panel--words"))] for line in text.wrap(self._aid, inner)),
            ]
        lines.append([])
        lines += [
            [
                Segment(f"{key:>6}  ", self.ink("panel--title")),
                Segment(words, self.ink("panel--words")),
            ]
            for key, words in self._ways
        ]
        return centred(lines, width, height, self)
