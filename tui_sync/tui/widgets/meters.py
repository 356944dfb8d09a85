"""What a transfer looks like while it runs: overall bar, speed plot, and one line per file in flight."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from rich.segment import Segment

from tui_sync.model import FileProgress, RunState, Snapshot
from tui_sync.names import printable
from tui_sync.tui import text
from tui_sync.tui.widgets.lines import Line, Painted

_DONE, _HALF, _REST = "━", "╸", "─"
_BLOCKS = " ▁▂▃▄▅▆▇█"
_PHASES = {
    "": "Finishing",
    "folders": "Making folders",
    "files": "Copying files",
    "deletes": "Deleting",
    "attributes": "Setting folder times",
}
_STATES = {
    RunState.PAUSED: "Paused",
    RunState.DRAINING: "Finishing the files in flight, then stopping",
    RunState.CANCELLING: "Cancelling",
    RunState.FINISHED: "Finished",
}
_FILE_PHASES = {"verify": "verifying", "publish": "publishing"}


def bar(done: int, total: int, width: int) -> tuple[str, str]:
    """A bar of ``width`` cells as its done part and its rest; they differ without colour too."""
    if width <= 0:
        return "", ""
    halves = 2 * width if total <= 0 else min(2 * width, max(0, done) * 2 * width // total)
    filled = _DONE * (halves // 2) + (_HALF if halves % 2 else "")
    return filled, _REST * (width - len(filled))


class Overall(Painted):
    """The whole run in four lines: state, bar, bytes and time, counts."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "meter--state",
        "meter--words",
        "meter--label",
        "meter--done",
        "meter--rest",
        "meter--bad",
        "meter--paused",
    }

    snapshot = Snapshot(RunState.RUNNING)

    def show(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.refresh()

    def paint(self, width: int, height: int) -> list[Line]:
        now = self.snapshot
        inner = width - 2
        paused = now.state is not RunState.RUNNING
        state = _STATES.get(now.state) or _PHASES.get(now.phase, "Running")
        limit = "" if now.bandwidth_limit is None else f"   limit {text.speed(now.bandwidth_limit)}"
        right = f"{text.count(now.workers, 'worker')}{limit}"
        share = f"{text.percent(now.bytes_done, now.bytes_total):>4}%"
        filled, rest = bar(now.bytes_done, now.bytes_total, inner - len(share))
        left = "" if now.eta_s is None else f"{text.span(now.eta_s)} left"
        numbers = f"{text.size(now.bytes_done)} of {text.size(now.bytes_total)}"
        times = (
            f"{left}   {text.span(now.elapsed_s)} so far" if left else f"{text.span(now.elapsed_s)} so far"
        )
        tone = "meter--paused" if paused else "meter--done"
        return [
            [
                Segment(" " + text.fit(state, inner - len(right)), self.ink("meter--state")),
                Segment(right, self.ink("meter--label")),
            ],
            [
                Segment(" " + filled, self.ink(tone)),
                Segment(rest, self.ink("meter--rest")),
                Segment(share, self.ink("meter--state")),
            ],
            [
                Segment(" " + text.fit(numbers, 24), self.ink("meter--words")),
                Segment(text.fit(text.speed(now.speed), 14), self.ink("meter--state")),
                Segment(text.pad(times, max(0, inner - 38), "right"), self.ink("meter--words")),
            ],
            self._counts(now),
        ]

    def _counts(self, now: Snapshot) -> Line:
        line: Line = [
            Segment(f" {now.files_done:,} of {text.count(now.files_total, 'file')}", self.ink("meter--words"))
        ]
        parts = (
            (now.created, "+", "created", "meter--label"),
            (now.updated, "M", "replaced", "meter--label"),
            (now.deleted, "-", "deleted", "meter--label"),
            (now.directories, "+", "folder" if now.directories == 1 else "folders", "meter--label"),
            (now.skipped, "<", "skipped", "meter--bad"),
            (now.failed, "!", "failed", "meter--bad"),
        )
        for number, glyph, words, tone in parts:
            if number:
                line.append(Segment(f"   {glyph} {number:,} {words}", self.ink(tone)))
        return line


class SpeedPlot(Painted):
    """Speed over time, newest on the right, one column per sample."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"plot--area", "plot--label", "plot--floor"}

    def __init__(self) -> None:
        super().__init__()
        self._samples: deque[float] = deque(maxlen=512)

    def add(self, speed: float) -> None:
        self._samples.append(max(0.0, speed))
        self.refresh()

    def paint(self, width: int, height: int) -> list[Line]:
        label = 11
        columns = max(0, width - label - 2)
        samples = list(self._samples)[-columns:] if columns else []
        top = max(samples, default=0.0)
        lines: list[Line] = []
        for row in range(height - 1, -1, -1):
            cells = []
            for sample in samples:
                eighths = round(sample / top * height * 8) if top > 0 else 0
                if sample > 0:
                    eighths = max(1, eighths)
                cells.append(_BLOCKS[max(0, min(8, eighths - row * 8))])
            mark = text.speed(top) if row == height - 1 and top > 0 else ("0" if row == 0 else "")
            area = "".join(cells).rjust(columns)
            lines.append(
                [
                    Segment(text.fit(mark, label - 1, "right"), self.ink("plot--label")),
                    Segment("▕", self.ink("plot--floor")),
                    Segment(area, self.ink("plot--area")),
                ]
            )
        return lines


class Lanes(Painted):
    """A fixed set of lines, one per file in flight. A file keeps its line for as long as it is in flight."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "meter--words",
        "meter--label",
        "meter--done",
        "meter--rest",
        "meter--paused",
    }

    def __init__(self) -> None:
        super().__init__()
        self._lanes: list[FileProgress | None] = []
        self._still = False

    def show(self, active: tuple[FileProgress, ...], *, still: bool) -> None:
        """``still``: paused, so no speed is shown."""
        by_path = {file.path: file for file in active}
        lanes = [by_path.pop(lane.path, None) if lane is not None else None for lane in self._lanes]
        for file in by_path.values():
            if None in lanes:
                lanes[lanes.index(None)] = file
            else:
                lanes.append(file)
        while lanes and lanes[-1] is None:
            lanes.pop()
        self._lanes, self._still = lanes, still
        self.refresh()

    def paint(self, width: int, height: int) -> list[Line]:
        lanes = [lane for lane in self._lanes if lane] if len(self._lanes) > height else self._lanes
        lines = [self._lane(lane, width) for lane in lanes[:height]]
        hidden = len(lanes) - height
        if hidden > 0 and height > 0:
            lines[-1] = [Segment(f" … and {hidden + 1} more", self.ink("meter--label"))]
        return lines or [[Segment(" No file in flight.", self.ink("meter--label"))]]

    def _lane(self, file: FileProgress | None, width: int) -> Line:
        if file is None:
            return [Segment(" ·", self.ink("meter--label"))]
        long = max(10, min(40, width // 4))
        name = max(8, width - long - 19)
        filled, rest = bar(file.done, file.size, long)
        words = _FILE_PHASES.get(file.phase) or ("–" if self._still else text.speed(file.speed))
        return [
            Segment(" " + text.fit_middle(printable(file.path), name), self.ink("meter--words")),
            Segment(" " + filled, self.ink("meter--paused" if self._still else "meter--done")),
            Segment(rest, self.ink("meter--rest")),
            Segment(f"{text.percent(file.done, file.size):>4}%", self.ink("meter--words")),
            Segment(f"{words:>11}", self.ink("meter--label")),
        ]
