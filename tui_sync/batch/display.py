"""What batch mode tells on stderr while it works: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

import humanize

from tui_sync.batch.outlet import Stream
from tui_sync.batch.output import size_text
from tui_sync.model import RunState, Snapshot
from tui_sync.names import printable

if TYPE_CHECKING:
    from tui_sync.session import PlanProgress

_EVERY_S = 10.0
_STATES = {
    RunState.DRAINING: "finishing what is in flight",
    RunState.CANCELLING: "stopping",
    RunState.PAUSED: "paused",
}


class Display(Protocol):
    """Told again and again how things stand; decides itself what to show of it."""

    def planning(self, progress: PlanProgress) -> None: ...

    def running(self, snapshot: Snapshot) -> None: ...

    def narrate(self, sentence: str) -> None:
        """A sentence that is left out when quiet."""

    def say(self, sentence: str) -> None:
        """A sentence that is shown in any case."""

    def write(self, text: str) -> None:
        """Lines of stdout, put where they do not disturb what moves."""

    def close(self) -> None:
        """Clear what moves. May be called twice."""


def display(stderr: Stream, stdout: Stream, *, as_json: bool, quiet: bool) -> Display:
    """The display that fits the streams. The live one keeps away from records that share its terminal."""
    terminal = stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    if quiet or not terminal or (as_json and stdout.isatty()):
        return Plain(stderr, stdout, quiet=quiet)
    return Live(stderr, stdout)


class Plain:
    """A line when something begins, and one about every ten seconds."""

    def __init__(self, stderr: Stream, stdout: Stream, *, quiet: bool = False) -> None:
        self._stderr = stderr
        self._stdout = stdout
        self._quiet = quiet
        self._phase = ""
        self._next = time.monotonic() + _EVERY_S

    def planning(self, progress: PlanProgress) -> None:
        if progress.phase != self._phase and progress.phase in ("connecting", "scanning"):
            self._phase = progress.phase
            self.narrate(progress.phase)
        elif self._due():
            self.narrate(planning_text(progress))

    def running(self, snapshot: Snapshot) -> None:
        if self._due():
            self.narrate(snapshot_text(snapshot))

    def say(self, sentence: str) -> None:
        self._stderr.write(f"{sentence}\n")
        self._stderr.flush()

    def narrate(self, sentence: str) -> None:
        if not self._quiet:
            self.say(sentence)

    def write(self, text: str) -> None:
        self._stdout.write(text)

    def close(self) -> None:
        pass

    def _due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _EVERY_S
        return True


class Live:
    """An overall bar and a bar per file in flight, by rich; below the lines of stdout where both share a
    terminal."""

    def __init__(self, stderr: Stream, stdout: Stream) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        names = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        # File names go in as plain text: markup=False keeps rich from reading brackets as styles.
        self._progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=names),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}%", markup=False),
            TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True)),
            console=Console(file=cast(IO[str], stderr), highlight=False, markup=False, emoji=False),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            refresh_per_second=8,
        )
        self._overall = self._progress.add_task("connecting", total=None, note="")
        self._files: dict[str, Any] = {}
        self._stdout = stdout
        self._shared = stdout.isatty()
        self._progress.start()

    def planning(self, progress: PlanProgress) -> None:
        self._progress.update(self._overall, description=planning_text(progress))

    def running(self, snapshot: Snapshot) -> None:
        state = _STATES.get(snapshot.state, "")
        self._progress.update(
            self._overall,
            description=f"{snapshot.files_done:,} of {snapshot.files_total:,} files"
            + (f", {state}" if state else ""),
            total=max(snapshot.bytes_total, 1),
            completed=snapshot.bytes_done,
            note=_speed(snapshot),
        )
        active = {file.path: file for file in snapshot.active}
        for path in [path for path in self._files if path not in active]:
            self._progress.remove_task(self._files.pop(path))
        for path, file in active.items():
            if path not in self._files:
                self._files[path] = self._progress.add_task(printable(path), total=max(file.size, 1), note="")
            note = f"{size_text(file.speed)}/s" if file.phase == "copy" else file.phase
            self._progress.update(self._files[path], completed=file.done, note=note)

    def narrate(self, sentence: str) -> None:
        self.say(sentence)

    def say(self, sentence: str) -> None:
        self._progress.console.print(sentence, soft_wrap=True)

    def write(self, text: str) -> None:
        if self._shared:
            self._progress.console.print(text, soft_wrap=True, end="")
        else:
            self._stdout.write(text)

    def close(self) -> None:
        self._progress.stop()


def planning_text(progress: PlanProgress) -> str:
    """``scanning: 1,200 entries on the source, 800 on the target``."""
    if progress.phase != "scanning":
        return progress.phase
    source, target = progress.source.entries, progress.target.entries
    return f"scanning: {source:,} entries on the source, {target:,} on the target"


def snapshot_text(snapshot: Snapshot) -> str:
    """How far a run is, in one line."""
    state = _STATES.get(snapshot.state, "")
    parts = [
        f"{snapshot.files_done:,} of {snapshot.files_total:,} files",
        f"{size_text(snapshot.bytes_done)} of {size_text(snapshot.bytes_total)}",
        _speed(snapshot),
        f"{snapshot.failed:,} failed" if snapshot.failed else "",
        state,
    ]
    return ", ".join(part for part in parts if part)


def _speed(snapshot: Snapshot) -> str:
    left = "" if snapshot.eta_s is None else f", {humanize.precisedelta(snapshot.eta_s, format='%d')} left"
    return f"{size_text(snapshot.speed)}/s{left}"
