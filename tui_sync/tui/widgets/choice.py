"""A few words of which one is chosen."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from tui_sync.tui.widgets.lines import Line, Painted


class Choice(Painted, can_focus=True):
    """``copy  ▸mirror``; left, right, space or a click choose."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"choice--word", "choice--here", "choice--focus"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1)", "Before", show=False),
        Binding("right,l,space", "step(1)", "Next", show=False),
    ]

    class Changed(Message):
        """Another word was chosen."""

    def __init__(self, words: tuple[str, ...], value: str, *, id: str) -> None:
        super().__init__(id=id)
        self.words = words
        self.value = value if value in words else words[0]
        self._spans: list[tuple[int, int, str]] = []

    def action_step(self, step: int) -> None:
        self.choose(self.words[(self.words.index(self.value) + step) % len(self.words)])

    def choose(self, word: str) -> None:
        if word != self.value:
            self.value = word
            self.refresh()
            self.post_message(self.Changed())

    def paint(self, width: int, height: int) -> list[Line]:
        line: Line = []
        self._spans = []
        x = 0
        for word in self.words:
            here = word == self.value
            shown = f"{'▸' if here else ' '}{word} "
            tone = ("choice--focus" if self.has_focus else "choice--here") if here else "choice--word"
            line.append(Segment(shown, self.ink(tone)))
            self._spans.append((x, x + cell_len(shown), word))
            x += cell_len(shown)
        return [line]

    def on_click(self, event: events.Click) -> None:
        for start, end, word in self._spans:
            if start <= event.x < end:
                self.choose(word)

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()
