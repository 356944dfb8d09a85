"""Lines that are drawn, not mounted: the base of every list and panel of the app.

``Painted`` draws a handful of lines of its own width; ``LineList`` scrolls over any number of rows with a
cursor. Both are given segments whose text has gone through ``names.printable``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from tui_sync.tui import actions

Line = list[Segment]

_DONE, _HALF, _REST = "━", "╸", "─"


def strip(line: Iterable[Segment], width: int, blank: Style) -> Strip:
    """A line in exactly ``width`` cells."""
    segments = [segment for segment in line if segment.text]
    return Strip(segments, sum(cell_len(segment.text) for segment in segments)).adjust_cell_length(
        width, blank
    )


def bar(done: int, total: int, width: int) -> tuple[str, str]:
    """A bar of ``width`` cells as its done part and its rest; they differ without colour too."""
    if width <= 0:
        return "", ""
    halves = 2 * width if total <= 0 else min(2 * width, max(0, done) * 2 * width // total)
    filled = _DONE * (halves // 2) + (_HALF if halves % 2 else "")
    return filled, _REST * (width - len(filled))


class Inked:
    """Component styles as Rich styles, resolved against what they are drawn on."""

    def ink(self, *names: str) -> Style:
        """The style of the widget with these component classes laid over it, in order."""
        assert isinstance(self, Widget)
        return self.get_visual_style(*names).rich_style


class Painted(Inked, Widget):
    """A widget of a few lines that it paints itself; its height comes from the style sheet."""

    ALLOW_SELECT = False

    def paint(self, width: int, height: int) -> list[Line]:
        """The lines, each at most ``width`` cells; at most ``height`` of them are shown."""
        raise NotImplementedError

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        self._canvas = None
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def render_line(self, y: int) -> Strip:
        width, height = size = self.size
        if self._canvas is None or self._canvas[0] != size:
            blank = self.ink()
            lines = self.paint(width, height) if width and height else []
            strips = [strip(line, width, blank) for line in lines[:height]]
            self._canvas = (size, strips + [Strip.blank(width, blank)] * (height - len(strips)))
        strips = self._canvas[1]
        return strips[y] if y < len(strips) else Strip.blank(width, self.ink())

    _canvas: tuple[Size, list[Strip]] | None = None


def centred(lines: list[Line], width: int, height: int, widget: Painted) -> list[Line]:
    """A block of lines in the middle of a panel, its left edge straight."""
    block = max(sum(cell_len(segment.text) for segment in line) for line in lines)
    left = Segment(" " * max(0, (width - block) // 2), widget.ink())
    top = max(0, (height - len(lines)) * 2 // 5)
    return [[] for _ in range(top)] + [[left, *line] for line in lines]


class LineList(Inked, ScrollView, can_focus=True):
    """Rows of one height with a cursor on one. Subclasses say how many rows there are and draw one."""

    ALLOW_SELECT = False
    ALLOW_MAXIMIZE = False
    ROW_HEIGHT = 1
    BINDINGS: ClassVar[list[BindingType]] = actions.bindings("list", prefix="")
    COMPONENT_CLASSES: ClassVar[set[str]] = {"list--cursor", "list--cursor-blurred"}

    cursor: reactive[int] = reactive(0, repaint=False, init=False)

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, source: LineList, row: int) -> None:
            super().__init__()
            self.source = source
            self.row = row

        @property
        def control(self) -> LineList:
            return self.source

    class Chosen(Moved):
        """A row was clicked while the cursor was on it."""

    def row_count(self) -> int:
        raise NotImplementedError

    def draw(self, row: int, width: int, cursor: bool) -> list[Line]:
        """The ``ROW_HEIGHT`` lines of a row, each at most ``width`` cells."""
        raise NotImplementedError

    def draw_empty(self, width: int) -> Line:
        """A line below the last row."""
        return []

    def row_style(self, cursor: bool) -> tuple[str, ...]:
        """The component classes to draw a row on."""
        if not cursor:
            return ()
        return ("list--cursor",) if self.has_focus else ("list--cursor-blurred",)

    def can_select(self, row: int) -> bool:
        """Whether the cursor may rest on a row: not on headings."""
        return True

    def reload(self, cursor: int | None = None) -> None:
        """Draw everything anew after the rows have changed, with the cursor on ``cursor``."""
        self._fit()
        if cursor is not None:
            self.cursor = cursor
        self.cursor = self.validate_cursor(self.cursor)
        self.refresh()

    def _fit(self) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, self.row_count() * self.ROW_HEIGHT)

    def on_resize(self) -> None:
        self._fit()
        self.call_after_refresh(self._show_cursor)

    def validate_cursor(self, row: int) -> int:
        return max(0, min(row, self.row_count() - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        for row in (old, new):
            self.refresh_lines(row * self.ROW_HEIGHT, self.ROW_HEIGHT)
        self._show_cursor()
        self.post_message(self.Moved(self, new))

    def _show_cursor(self) -> None:
        """Scroll as little as needed to have the cursor's row in sight."""
        height = self.scrollable_content_region.height
        top, bottom = self.cursor * self.ROW_HEIGHT, (self.cursor + 1) * self.ROW_HEIGHT
        if height <= 0:
            return
        if top < self.scroll_offset.y:
            # A heading above the first row comes into sight with it.
            above = not self.can_select(self.cursor - 1) if self.cursor else False
            self.scroll_to(y=top - self.ROW_HEIGHT * above, animate=False)
        elif bottom > self.scroll_offset.y + height:
            self.scroll_to(y=bottom - height, animate=False)

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        row, line = divmod(y + self.scroll_offset.y, self.ROW_HEIGHT)
        if not 0 <= row < self.row_count():
            return strip(self.draw_empty(width), width, self.ink())
        cursor = row == self.cursor and self.can_select(row)
        lines = self.draw(row, width, cursor)
        blank = self.ink(*self.row_style(cursor))
        return strip(lines[line] if line < len(lines) else [], width, blank).apply_offsets(0, y)

    def move(self, step: int) -> None:
        """Move the cursor by ``step`` rows, past rows it cannot rest on."""
        count = self.row_count()
        row = max(0, min(self.cursor + step, count - 1))
        direction = 1 if step > 0 else -1
        while 0 <= row < count and not self.can_select(row):
            row += direction
        if not 0 <= row < count:
            row = self.cursor
            while 0 <= row < count and not self.can_select(row):
                row -= direction
        if 0 <= row < count:
            self.cursor = row
        if row <= 1 and step < 0 and not self.can_select(0):
            self.scroll_to(y=0, animate=False)

    @property
    def page(self) -> int:
        return max(1, self.scrollable_content_region.height // self.ROW_HEIGHT - 1)

    def action_cursor_up(self) -> None:
        self.move(-1)

    def action_cursor_down(self) -> None:
        self.move(1)

    def action_page_up(self) -> None:
        self.move(-self.page)

    def action_page_down(self) -> None:
        self.move(self.page)

    def action_cursor_home(self) -> None:
        self.move(-self.row_count())

    def action_cursor_end(self) -> None:
        self.move(self.row_count())

    def row_at(self, event: events.MouseEvent) -> int | None:
        """The row under the mouse, None for none."""
        offset = event.get_content_offset(self)
        if offset is None:
            return None
        row = (offset.y + self.scroll_offset.y) // self.ROW_HEIGHT
        return row if 0 <= row < self.row_count() and self.can_select(row) else None

    def on_click(self, event: events.Click) -> None:
        row = self.row_at(event)
        if row is None:
            return
        again = row == self.cursor and event.chain > 1
        self.cursor = row
        if again:
            self.post_message(self.Chosen(self, row))
