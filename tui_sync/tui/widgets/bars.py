"""The line on top and the line at the bottom of every screen."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message

from tui_sync.names import printable
from tui_sync.tui import text
from tui_sync.tui.widgets.lines import Line, Painted, bar

PLACES = ("Profiles", "Compare", "Review", "Transfer", "Report")
ARROW = " → "
TAGLINE = "See it. Approve it. Prove it."


class TopBar(Painted):
    """The app's name, the place in the flow, and the pair. ``source`` and ``target`` are URLs."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "top--name",
        "top--place",
        "top--here",
        "top--pair",
        "top--side",
        "top--arrow",
    }

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place
        self.pair = ""
        self.source = ""
        self.target = ""

    def show_pair(self, name: str, source: str, target: str) -> None:
        self.pair, self.source, self.target = printable(name), source, target
        self.refresh()

    def paint(self, width: int, height: int) -> list[Line]:
        return [self._first(width), self._second(width)]

    def _first(self, width: int) -> Line:
        name = [Segment(" ", self.ink()), Segment("tui-sync", self.ink("top--name"))]
        trail: Line = []
        for place in PLACES if self.place in PLACES else (*PLACES[:1], self.place):
            if trail:
                trail.append(Segment(" › ", self.ink("top--place")))
            trail.append(Segment(place, self.ink("top--here" if place == self.place else "top--place")))
        used = 9 + sum(cell_len(segment.text) for segment in trail) + 1
        return [*name, Segment(" " * max(1, width - used), self.ink()), *trail, Segment(" ", self.ink())]

    def _second(self, width: int) -> Line:
        if not self.source:
            return [Segment(text.fit(f" {TAGLINE}", width), self.ink("top--place"))]
        name = f" {text.shorten(self.pair, max(12, width // 4))}"
        room = width - cell_len(name) - cell_len(ARROW) - 3
        half = room // 2
        source, target = printable(self.source), printable(self.target)
        if cell_len(source) + cell_len(target) > room:
            source = text.place(self.source, max(half, room - cell_len(text.place(self.target, room))))
            target = text.place(self.target, room - cell_len(source))
        return [
            Segment(name, self.ink("top--pair")),
            Segment("  ", self.ink()),
            Segment(source, self.ink("top--side")),
            Segment(ARROW, self.ink("top--arrow")),
            Segment(target, self.ink("top--side")),
        ]


class RunBar(Painted):
    """One line about a run that goes on while another screen is shown; hidden while there is none."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"run--bar", "run--rest", "run--text", "run--end"}

    class Pressed(Message):
        """The line was clicked."""

    def __init__(self) -> None:
        super().__init__()
        self.display = False
        self._pair = ""
        self._words = ""
        self._share = (0, 0)
        self._over = False

    def show(self, name: str, words: str, share: tuple[int, int], *, over: bool) -> None:
        """``share`` is done of total."""
        self._pair, self._words, self._share, self._over = printable(name), words, share, over
        self.display = True
        self.refresh()

    def hide(self) -> None:
        self.display = False

    def paint(self, width: int, height: int) -> list[Line]:
        done, total = self._share
        key = " t shows it "
        name = text.shorten(self._pair, max(10, width // 4))
        used = cell_len(name) + cell_len(self._words) + cell_len(key) + 6
        meter: Line = []
        if not self._over and width - used >= 10:
            filled, rest = bar(done, total, min(40, width - used))
            meter = [Segment(filled, self.ink("run--bar")), Segment(rest + "  ", self.ink("run--rest"))]
        line: Line = [
            Segment(f" {'■' if self._over else '▶'} ", self.ink("run--end" if self._over else "run--bar")),
            Segment(f"{name}  ", self.ink("run--text")),
            *meter,
            Segment(self._words, self.ink("run--text")),
        ]
        left = width - sum(cell_len(segment.text) for segment in line)
        return [[*line, Segment(text.fit(key, left, "right") if left > 0 else "", self.ink("run--rest"))]]

    def on_click(self) -> None:
        self.post_message(self.Pressed())


class KeyBar(Painted):
    """The keys that matter here; a key that is of no use now is dimmed, and says why when pressed."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"keys--key", "keys--label", "keys--off"}

    class Pressed(Message):
        """A key was clicked."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self) -> None:
        super().__init__()
        self._keys: tuple[tuple[int, str, str, str, bool], ...] = ()
        self._spans: list[tuple[int, int, str]] = []

    def show(self, keys: tuple[tuple[int, str, str, str, bool], ...]) -> None:
        """``keys``: rank, name, key, label and whether it is of use now, in the order to show them."""
        if keys != self._keys:
            self._keys = keys
            self.refresh()

    def paint(self, width: int, height: int) -> list[Line]:
        left = width - 1
        chosen = set()
        for rank, name, key, label, _ in sorted(self._keys):
            need = cell_len(key) + cell_len(label) + 3
            if need <= left:
                left -= need
                chosen.add((rank, name))
        line: Line = [Segment(" ", self.ink())]
        self._spans = []
        x = 1
        for rank, name, key, label, enabled in self._keys:
            if (rank, name) not in chosen:
                continue
            off = () if enabled else ("keys--off",)
            line.append(Segment(key, self.ink("keys--key", *off)))
            line.append(Segment(f" {label}  ", self.ink("keys--label", *off)))
            length = cell_len(key) + cell_len(label) + 3
            self._spans.append((x, x + length - 1, name))
            x += length
        return [line]

    def on_click(self, event: events.Click) -> None:
        for start, end, name in self._spans:
            if start <= event.x < end:
                self.post_message(self.Pressed(name))
