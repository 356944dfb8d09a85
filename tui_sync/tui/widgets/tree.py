"""Two trees side by side over one list of rows: they align and scroll as one because they are one."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message

from tui_sync.model import ChangeKind, Kind
from tui_sync.names import printable
from tui_sync.tui import text
from tui_sync.tui.rows import Counts, Rows
from tui_sync.tui.widgets.lines import Line, LineList, Painted

GUTTER = 3
SIDES = ("Source", "Target")
_SIZE = 7
_INDENT = "│ "

TONES = {
    "+": "row--new",
    "M": "row--changed",
    "-": "row--delete",
    "=": "row--equal",
    "<": "row--newer",
    "T": "row--error",
    "!": "row--error",
    "x": "row--out",
    ".": "row--equal",
}


def halves(width: int) -> tuple[int, int]:
    """The widths of both sides."""
    left = max(0, (width - GUTTER) // 2)
    return left, max(0, width - GUTTER - left)


def time_width(side: int) -> int:
    """How wide the column of times is in a side of that many cells: an age, a date, or date and time."""
    if side >= 64:
        return 16
    return 10 if side >= 46 else 5


def counts_text(counts: Counts) -> list[tuple[str, str]]:
    """``+3 M1 -2 !1 x4`` as (glyph, text)."""
    parts = (
        ("+", counts.create),
        ("M", counts.update),
        ("-", counts.delete),
        ("!", counts.conflicts),
        ("x", counts.out),
    )
    return [(glyph, f"{glyph}{number:,}") for glyph, number in parts if number]


class ColumnHead(Painted):
    """The names of both sides and of their columns. ``width_of`` is the tree's width, scrollbar aside."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"head--side", "head--active", "head--column", "head--gutter"}

    def __init__(self, width_of: Callable[[], int]) -> None:
        super().__init__()
        self._width_of = width_of
        self._places = ("", "")
        self.active = 0

    def show(self, source: str, target: str) -> None:
        self._places = (source, target)
        self.refresh()

    def activate(self, side: int) -> None:
        self.active = side
        self.refresh()

    def paint(self, width: int, height: int) -> list[Line]:
        left, right = halves(self._width_of() or width)
        return [
            [
                *self._side(0, left),
                Segment(" " * GUTTER, self.ink("head--gutter")),
                *self._side(1, right),
            ]
        ]

    def _side(self, side: int, width: int) -> Line:
        columns = f" {'Size':>{_SIZE}} {'Changed':>{time_width(width)}}"
        columns = columns.replace("Changed", "  Age") if time_width(width) == 5 else columns
        active = side == self.active
        label = ("▸" if active else " ") + SIDES[side].upper()
        room = width - cell_len(label) - cell_len(columns) - 3
        style = self.ink("head--active" if active else "head--side")
        # Where there is little room the bar on top tells the place well enough.
        place = text.place(self._places[side], room) if room >= 24 else ""
        return [
            Segment(label, style),
            Segment("  " + text.pad(place, room), self.ink("head--column")),
            Segment(columns + " ", self.ink("head--column")),
        ]


class CompareTree(LineList):
    """Both sides' trees. ``cursor`` is a position among the visible rows."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *TONES.values(),
        "row--guide",
        "row--folder",
        "row--column",
        "row--gutter",
        "row--quiet",
    }

    class Toggled(Message):
        """The fold mark of a row was clicked."""

        def __init__(self, row: int) -> None:
            super().__init__()
            self.row = row

    def __init__(self, now_ns: Callable[[], int]) -> None:
        super().__init__()
        self.rows = Rows()
        self.active = 0
        self._now_ns = now_ns

    @property
    def row(self) -> int:
        """The row under the cursor, -1 where nothing is visible."""
        return self.rows.visible[self.cursor] if len(self.rows.visible) else -1

    def load(self, rows: Rows) -> None:
        self.rows = rows
        self.reload(0)

    def update(self, row: int | None = None) -> None:
        """Show the rows as they are visible now, with the cursor on ``row`` or what stands for it."""
        self.reload(self.rows.position(row) if row is not None else None)

    def row_count(self) -> int:
        return len(self.rows.visible)

    def row_style(self, cursor: bool) -> tuple[str, ...]:
        return ("list--cursor-blurred",) if cursor else ()

    def draw(self, row: int, width: int, cursor: bool) -> list[Line]:
        number = self.rows.visible[row]
        left, right = halves(width)
        glyph = self.rows.glyph(number)
        base = self.row_style(cursor)
        line: Line = []
        for side, cells in ((0, left), (1, right)):
            on = super().row_style(cursor) if cursor and side == self.active else base
            line += self._side(number, side, cells, glyph, on)
            if side == 0:
                quiet = glyph == "M" and self.rows.kind(number) is ChangeKind.EQUAL
                tone = "row--quiet" if quiet else TONES[glyph]
                line.append(Segment(f" {glyph} ", self.ink("row--gutter", tone, *base)))
        return [line]

    def draw_empty(self, width: int) -> Line:
        left, _ = halves(width)
        return [Segment(" " * left, self.ink()), Segment(" " * GUTTER, self.ink("row--gutter"))]

    def _side(self, row: int, side: int, width: int, glyph: str, on: tuple[str, ...]) -> Line:
        rows = self.rows
        kind = rows.side_kind(row, side)
        if kind is None or width <= 0:
            return [Segment(" " * width, self.ink(*on))]
        times = time_width(width)
        room = max(0, width - _SIZE - times - 4)
        folder = rows.is_folder(row)
        line: Line = [Segment(" ", self.ink(*on)), *self._entry_name(row, side, room, glyph, on)]
        known = kind is Kind.FILE or rows.has_children(row)
        amount = text.size(rows.side_size(row, side)) if known else ""
        mtime = rows.side_time(row, side)
        if folder:
            when = ""
        elif times == 5:
            when = text.age(mtime, self._now_ns())
        else:
            when = text.stamp(mtime)[:times]
        column = self._tone(glyph, "row--column")
        line.append(Segment(f" {amount:>{_SIZE}} {when:>{times}} ", self.ink(*on, column)))
        return line

    def _entry_name(self, row: int, side: int, room: int, glyph: str, on: tuple[str, ...]) -> Line:
        rows = self.rows
        levels = rows.depths[row]
        most = max(0, room // 2 // len(_INDENT))
        guides = _INDENT * min(levels, most)
        if levels > most:
            guides = "…" + guides[1:] if guides else ""
        folder = rows.is_folder(row)
        mark = "  "
        if folder and rows.has_children(row):
            mark = "▸ " if rows.is_folded(row) else "▾ "
        elif rows.side_kind(row, side) is Kind.SYMLINK:
            mark = "↪ "
        room -= cell_len(guides) + 2
        tone = self._tone(glyph, "row--folder" if folder else "")
        style = self.ink(*on, *((tone,) if tone else ()))
        line = [Segment(guides, self.ink(*on, "row--guide")), Segment(mark, self.ink(*on, "row--guide"))]
        name = printable(rows.names[row])
        if not folder:
            return [*line, Segment(text.fit_middle(name, room), style)]
        tags = counts_text(rows.counts(row)) if side == (0 if rows.side_kind(row, 0) else 1) else []
        need = sum(cell_len(tag) + 1 for _, tag in tags)
        if not tags or cell_len(name) + 1 + need > room:
            return [*line, Segment(text.fit_middle(name, room), style)]
        line.append(Segment(text.pad(name, room - need), style))
        for mark, tag in tags:
            line.append(Segment(" ", self.ink(*on)))
            line.append(Segment(tag, self.ink(*on, TONES[mark])))
        return line

    def _tone(self, glyph: str, otherwise: str) -> str:
        """The component class of a row's words: only what stands out is coloured."""
        if glyph in "=.x":
            return TONES[glyph]
        return TONES[glyph] if glyph in "+-!T" else otherwise

    def on_click(self, event: events.Click) -> None:
        position = self.row_at(event)
        offset = event.get_content_offset(self)
        if position is None or offset is None:
            return
        left, _ = halves(self.scrollable_content_region.width)
        number = self.rows.visible[position]
        x = offset.x if offset.x < left else offset.x - left - GUTTER
        mark = 1 + len(_INDENT) * self.rows.depths[number]
        if self.rows.has_children(number) and mark <= x <= mark + 1:
            event.prevent_default()
            self.cursor = position
            self.post_message(self.Toggled(number))
