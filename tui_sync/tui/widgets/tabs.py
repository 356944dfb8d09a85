"""One line of named counts, one of them chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message

from tui_sync.tui import text
from tui_sync.tui.widgets.lines import Line, Painted


class Tabs(Painted):
    """Shown as ``Not gone through 2   Failed 1   All 9``; a click chooses."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"tabs--tab", "tabs--here", "tabs--none"}

    class Chosen(Message):
        """A name was clicked."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self) -> None:
        super().__init__()
        self._tabs: Sequence[tuple[str, int]] = ()
        self._here = 0
        self._spans: list[tuple[int, int]] = []

    def show(self, tabs: Sequence[tuple[str, int]], here: int) -> None:
        self._tabs, self._here = tabs, here
        self.refresh()

    def paint(self, width: int, height: int) -> list[Line]:
        line: Line = [Segment(" ", self.ink())]
        self._spans = []
        x = 1
        for number, (name, count) in enumerate(self._tabs):
            here = number == self._here
            words = f"{'▸' if here else ' '}{name} {text.count(count)} "
            tone = "tabs--here" if here else ("tabs--tab" if count else "tabs--none")
            line.append(Segment(words, self.ink(tone)))
            line.append(Segment(" ", self.ink()))
            self._spans.append((x, x + cell_len(words)))
            x += cell_len(words) + 1
        return [line]

    def on_click(self, event: events.Click) -> None:
        for number, (start, end) in enumerate(self._spans):
            if start <= event.x < end:
                self.post_message(self.Chosen(number))
