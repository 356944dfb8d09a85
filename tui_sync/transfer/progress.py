"""Counters that workers bump and faces poll."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

from tui_sync.errors import Cancelled
from tui_sync.model import Action, FileProgress, Item, Outcome, RunState, Snapshot, Status, Totals

_WINDOW_S = 5.0
_KEPT_ERRORS = 200


class Slot:
    """One file in flight. Only its worker writes; readers tolerate a value that is a moment old.

    ``done`` bytes of ``size``, of which ``resumed`` were there when the attempt began. ``skipped`` is set
    from outside: the worker gives the file up at its next block.
    """

    __slots__ = ("done", "files", "path", "phase", "resumed", "size", "skipped", "started")

    def __init__(self, path: str, size: int, files: int = 1) -> None:
        self.path = path
        self.size = size
        self.files = files
        self.done = 0
        self.resumed = 0
        self.skipped = False
        self.phase = "copy"
        self.started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started

    def restart(self) -> None:
        """Begin again: progress goes back when an attempt failed."""
        self.done = 0
        self.phase = "copy"
        self.started = time.monotonic()

    def check(self) -> None:
        """Raise Cancelled once the file is to be skipped."""
        if self.skipped:
            raise Cancelled("skipped by you")


class Progress:
    """All that is known of a run in progress; ``snapshot`` may be called from any thread."""

    def __init__(self, totals: Totals) -> None:
        self._lock = threading.Lock()
        self._totals = totals
        self._began = time.monotonic()
        self._ended: float | None = None
        self._slots: dict[int, Slot] = {}
        self._settled_bytes = 0
        self._counts = dict.fromkeys(("created", "updated", "deleted", "directories", "failed", "skipped"), 0)
        self._files_done = 0
        self._items_done = 0
        self._errors: deque[Outcome] = deque(maxlen=_KEPT_ERRORS)
        self._samples: deque[tuple[float, int]] = deque([(self._began, 0)])
        self.phase = ""

    def begin(self, item: Item) -> Slot:
        """A slot for a file that a worker takes up."""
        slot = Slot(item.path, item.bytes)
        with self._lock:
            self._slots[id(slot)] = slot
        return slot

    def begin_pack(self, pack: Sequence[Item]) -> Slot:
        """One slot for small files that travel together; ``leave`` it before they are settled."""
        slot = Slot(pack[0].path, sum(item.bytes for item in pack), len(pack))
        with self._lock:
            self._slots[id(slot)] = slot
        return slot

    def skip(self, path: str) -> bool:
        """Have a file in flight given up; False where none of this path is, or it travels with others."""
        with self._lock:
            for slot in self._slots.values():
                if slot.path == path and slot.files == 1 and not slot.skipped:
                    slot.skipped = True
                    return True
        return False

    def leave(self, slot: Slot) -> None:
        with self._lock:
            self._slots.pop(id(slot), None)

    def end(self, slot: Slot | None, outcome: Outcome) -> None:
        """Settle an item; its bytes count as done however it ended, so that the bar reaches its end."""
        item = outcome.item
        with self._lock:
            if slot is not None:
                self._slots.pop(id(slot), None)
            skipped = slot is not None and slot.skipped
            if outcome.status is not Status.CANCELLED or skipped:
                self._settled_bytes += item.bytes
                self._files_done += item.action in (Action.CREATE, Action.UPDATE)
                self._items_done += 1
            key = "skipped" if skipped and outcome.status is Status.CANCELLED else _counted_as(outcome)
            if key is not None:
                self._counts[key] += 1
            if outcome.error and outcome.status is not Status.CANCELLED:
                self._errors.append(outcome)

    def finish(self) -> None:
        self._ended = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return (self._ended or time.monotonic()) - self._began

    @property
    def bytes_done(self) -> int:
        """As a snapshot has it."""
        with self._lock:
            flying = sum(min(slot.done, slot.size) for slot in self._slots.values())
            return self._settled_bytes + flying

    def snapshot(self, state: RunState, *, workers: int, bandwidth_limit: int | None) -> Snapshot:
        now = time.monotonic()
        with self._lock:
            slots = sorted(self._slots.values(), key=lambda slot: slot.started)
            active = tuple(
                FileProgress(
                    slot.path,
                    slot.size,
                    slot.done,
                    slot.phase,
                    slot.done / max(now - slot.started, 0.001),
                    slot.files,
                )
                for slot in slots
            )
            done = self._settled_bytes + sum(min(file.done, file.size) for file in active)
            speed = self._speed(now, done)
            remaining = self._totals.bytes - done
            return Snapshot(
                state=state,
                phase=self.phase,
                files_total=self._totals.files,
                files_done=self._files_done,
                bytes_total=self._totals.bytes,
                bytes_done=done,
                items_total=self._totals.work,
                items_done=min(self._items_done, self._totals.work),
                elapsed_s=self.elapsed_s,
                speed=speed,
                eta_s=remaining / speed if speed > 0 and state is RunState.RUNNING else None,
                workers=workers,
                bandwidth_limit=bandwidth_limit,
                active=active,
                errors=tuple(self._errors),
                **self._counts,
            )

    def _speed(self, now: float, done: int) -> float:
        if self._ended is not None:
            return done / max(self._ended - self._began, 0.001)
        if now - self._samples[-1][0] >= 0.05:
            self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW_S:
            self._samples.popleft()
        at, was = self._samples[0]
        return max(0.0, (done - was) / max(now - at, 0.05))


def _counted_as(outcome: Outcome) -> str | None:
    if outcome.status is Status.FAILED:
        return "failed"
    if outcome.status in (Status.DRIFTED, Status.VANISHED, Status.HELD):
        return "skipped"
    if outcome.status is Status.CANCELLED:
        return None
    return {
        Action.CREATE: "created",
        Action.UPDATE: "updated",
        Action.DELETE: "deleted",
        Action.MKDIR: "directories",
    }.get(outcome.item.action)
