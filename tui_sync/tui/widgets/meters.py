"""What a transfer looks like while it runs: overall bar, speed plot, and one line per file in flight."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from rich.segment import Segment

from tui_sync.model import FileProgress, RunState, Snapshot
from tui_sync.names import printable
from tui_sync.tui import text
from tui_sync.tui.widgets.lines import Line, LineList, Painted, bar

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


def share(now: Snapshot) -> tuple[int, int]:
    """How much of a run is done, of how much: bytes where there are any to copy, else items."""
    if not now.bytes_total:
        return now.items_done, now.items_total
    if now.bytes_done >= now.bytes_total and now.items_done < now.items_total:
        return now.bytes_total - 1, now.bytes_total
    return now.bytes_done, now.bytes_total


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
    still_s = 0.0

    def show(self, snapshot: Snapshot, still_s: float = 0.0) -> None:
        """``still_s``: for how many seconds nothing has moved, where that is to be told."""
        self.snapshot, self.still_s = snapshot, still_s
        self.refresh()

    def paint(self, width: int, height: int) -> list[Line]:
        now = self.snapshot
        inner = width - 2
        paused = now.state is not RunState.RUNNING
        state = _STATES.get(now.state) or _PHASES.get(now.phase, "Running")
        limit = "" if now.bandwidth_limit is None else f"   limit {text.speed(now.bandwidth_limit)}"
        right = f"{text.count(now.workers, 'worker')}{limit}"
        done, total = share(now)
        whole = f"{text.percent(done, total):>4}%"
        filled, rest = bar(done, total, inner - len(whole))
        left = "" if now.eta_s is None else f"{text.span(now.eta_s)} left"
        numbers = f"{text.size(now.bytes_done)} of {text.size(now.bytes_total)}"
        speed = text.speed(now.speed) if now.bytes_total else ""
        if not now.bytes_total:
            numbers = f"{now.items_done:,} of {text.count(now.items_total, 'item')}"
        times = (
            f"{left}   {text.span(now.elapsed_s)} so far" if left else f"{text.span(now.elapsed_s)} so far"
        )
        tone = "meter--paused" if paused else "meter--done"
        state_tone = "meter--state"
        if self.still_s and now.state is not RunState.CANCELLING:
            state = f"! No answer for {text.span(self.still_s)}: it is tried again. c cancels"
            state_tone = "meter--bad"
        return [
            [
                Segment(" " + text.fit(state, inner - len(right)), self.ink(state_tone)),
                Segment(right, self.ink("meter--label")),
            ],
            [
                Segment(" " + filled, self.ink(tone)),
                Segment(rest, self.ink("meter--rest")),
                Segment(whole, self.ink("meter--state")),
            ],
            [
                Segment(" " + text.fit(numbers, 24), self.ink("meter--words")),
                Segment(text.fit(speed, 14), self.ink("meter--state")),
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

    def __init__(self, samples: deque[float]) -> None:
        """``samples`` in bytes per second, which the caller goes on to fill: ``refresh`` shows them."""
        super().__init__()
        self._samples = samples

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


class Lanes(LineList):
    """One line per file in flight. A file keeps its line for as long as it is in flight and there is room;
    the cursor is on the one that ``file`` tells."""

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

    @property
    def file(self) -> FileProgress | None:
        """The file under the cursor, or the only one in flight."""
        files = [lane for lane in self._lanes if lane is not None]
        if len(files) == 1:
            return files[0]
        return self._lanes[self.cursor] if self.cursor < len(self._lanes) else None

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
        chosen = self._lanes[self.cursor] if self.cursor < len(self._lanes) else None
        cursor = self.cursor
        if len(lanes) > max(1, self.size.height) and None in lanes:
            # An idle line may not push a file out of sight.
            lanes = [lane for lane in lanes if lane is not None]
            paths = [lane.path for lane in lanes if lane is not None]
            if chosen is not None and chosen.path in paths:
                cursor = paths.index(chosen.path)
        self._lanes, self._still = lanes, still
        self.reload(cursor)

    def row_count(self) -> int:
        return max(1, len(self._lanes))

    def draw(self, row: int, width: int, cursor: bool) -> list[Line]:
        on = self.row_style(cursor)
        file = self._lanes[row] if row < len(self._lanes) else None
        if file is None:
            return [[Segment(" ·" if self._lanes else " No file in flight.", self.ink(*on, "meter--label"))]]
        long = max(10, min(40, width // 4))
        name = max(8, width - long - 19)
        filled, rest = bar(file.done, file.size, long)
        words = _FILE_PHASES.get(file.phase) or ("–" if self._still else text.speed(file.speed))
        more = f" and {file.files - 1:,} more" if file.files > 1 else ""
        shown = text.shorten(printable(file.path), max(8, name - len(more))) + more
        return [
            [
                Segment(" " + text.fit_middle(shown, name), self.ink(*on, "meter--words")),
                Segment(" " + filled, self.ink(*on, "meter--paused" if self._still else "meter--done")),
                Segment(rest, self.ink(*on, "meter--rest")),
                Segment(f"{text.percent(file.done, file.size):>4}%", self.ink(*on, "meter--words")),
                Segment(f"{words:>11}", self.ink(*on, "meter--label")),
            ]
        ]

    def row_style(self, cursor: bool) -> tuple[str, ...]:
        return super().row_style(cursor) if self.has_focus and len(self._lanes) > 1 else ()
