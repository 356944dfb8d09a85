"""A list of ready-made lines to scroll through: differences, failures, help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment

from tui_sync.tui import text
from tui_sync.tui.widgets.lines import Line, LineList

# A piece that is shown whole or not at all.
WAY = "sheet--way"


class Sheet(LineList):
    """Lines of (component classes, text) pieces of printable text. Without ``cursor`` no row is marked."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "sheet--head",
        "sheet--new",
        "sheet--old",
        "sheet--mark",
        "sheet--muted",
        "sheet--error",
        "sheet--key",
        WAY,
        "diff--new",
        "diff--old",
        "code--comment",
        "code--keyword",
        "code--string",
        "code--number",
        "code--name",
    }

    def __init__(self, *, cursor: bool = False, id: str | None = None) -> None:
        super().__init__()
        if id is not None:
            self.id = id
        self._marks = cursor
        self.lines: Sequence[Sequence[tuple[str, str]]] = ()

    def show(self, lines: Sequence[Sequence[tuple[str, str]]]) -> None:
        """``lines`` may be any sequence, also one that makes its lines when asked for them."""
        self.lines = lines
        self.reload()

    def row_count(self) -> int:
        return len(self.lines)

    def row_style(self, cursor: bool) -> tuple[str, ...]:
        return super().row_style(cursor) if self._marks else ()

    def draw(self, row: int, width: int, cursor: bool) -> list[Line]:
        on = self.row_style(cursor)
        line: Line = []
        left = width
        for name, piece in self.lines[row]:
            if name == WAY and cell_len(piece) > left:
                continue
            shown = text.shorten(piece, left) if left > 0 else ""
            line.append(Segment(shown, self.ink(*on, *name.split())))
            left -= cell_len(shown)
        return [line]

    def _show_cursor(self) -> None:
        if self._marks:
            super()._show_cursor()

    def move(self, step: int) -> None:
        """Without a cursor the page itself moves."""
        if self._marks:
            super().move(step)
        else:
            self.scroll_to(y=self.scroll_offset.y + step, animate=False)
