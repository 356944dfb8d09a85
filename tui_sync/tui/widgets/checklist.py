"""The plan as a checklist: groups of rows under headings, each ticked or taken out."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment

from tui_sync.names import printable
from tui_sync.tui import text
from tui_sync.tui.rows import Rows
from tui_sync.tui.widgets.lines import Line, LineList
from tui_sync.tui.widgets.tree import TONES

_HEADING = -1


class Checklist(LineList):
    """Groups of (heading, rows). Lines are numbered through, headings among them."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {*TONES.values(), "check--head", "check--muted", "check--box"}

    def __init__(self, *, id: str) -> None:
        super().__init__()
        self.id = id
        self.rows = Rows()
        self._lines = array("i")
        self._headings: dict[int, str] = {}
        self._reason: Callable[[int], str] | None = None

    def load(
        self, rows: Rows, groups: Sequence[tuple[str, array[int]]], reason: Callable[[int], str]
    ) -> None:
        """Show groups of rows; ``reason`` gives the words behind a row that is drawn. Empty groups are left
        out; a group without a heading has none."""
        self.rows, self._reason = rows, reason
        self._lines = array("i")
        self._headings = {}
        for heading, members in groups:
            if not members:
                continue
            if heading:
                self._headings[len(self._lines)] = heading
                self._lines.append(_HEADING)
            self._lines.extend(members)
        first = next((line for line, row in enumerate(self._lines) if row != _HEADING), 0)
        self.reload(first)

    @property
    def row(self) -> int:
        """The row under the cursor, -1 for none."""
        return self._lines[self.cursor] if self.cursor < len(self._lines) else -1

    def row_count(self) -> int:
        return len(self._lines)

    def can_select(self, row: int) -> bool:
        return not 0 <= row < len(self._lines) or self._lines[row] != _HEADING

    def draw(self, row: int, width: int, cursor: bool) -> list[Line]:
        number = self._lines[row]
        if number == _HEADING:
            return [[Segment(f" {self._headings[row]}", self.ink("check--head"))]]
        rows = self.rows
        on = self.row_style(cursor)
        glyph = rows.glyph(number)
        skip = rows.action(number).value == "skip"
        box = "   " if skip else ("[ ]" if glyph == "x" else "[✓]")
        size = "" if rows.is_folder(number) else text.size(self._size_of(number))
        words = printable(self._reason(number)) if self._reason is not None else ""
        name = printable(rows.path(number)) + ("/" if rows.is_folder(number) else "")
        words = text.shorten(words, max(width // 3, width - 19 - cell_len(name)))
        room = max(8, width - 17 - (cell_len(words) + 2 if words else 0))
        tone = (TONES["x"],) if glyph == "x" else ()
        return [
            [
                Segment(f" {box} ", self.ink(*on, "check--box")),
                Segment(f"{glyph} ", self.ink(*on, TONES[glyph])),
                Segment(" " + text.fit_middle(name, room), self.ink(*on, *tone)),
                Segment(f"  {words}" if words else "", self.ink(*on, "check--muted")),
                Segment(f" {size:>7}", self.ink(*on, "check--muted")),
            ]
        ]

    def _size_of(self, row: int) -> int:
        return self.rows.side_size(row, 0 if self.rows.side_kind(row, 0) else 1)
