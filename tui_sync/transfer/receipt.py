"""What a run has come to so far, and the summary it ends in."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from tui_sync import names
from tui_sync.errors import TuiSyncError
from tui_sync.model import Action, Outcome, Plan, Status, Summary, Verify

_COPIES = (Action.CREATE, Action.UPDATE)


class Receipt:
    """Counts outcomes; safe for many threads. Memory: the folders in which something did not go through.

    ``unmade`` and ``uncopied`` are what other parts of the same run did not get done.
    """

    def __init__(self, wanted: Verify, *, unmade: Iterable[str] = (), uncopied: str | None = None) -> None:
        self._lock = threading.Lock()
        self._wanted = wanted
        self._weakest: Verify | None = None
        self._done: Counter[Action] = Counter()
        self._ended: Counter[Status] = Counter()
        self._skipped = 0
        self._bytes = 0
        # Whether there is more behind what is held back than this receipt knows of.
        self._before = uncopied is not None or bool(unmade)
        self._uncopied = uncopied
        self._kept: set[str] = set()
        self._unmade = set(unmade)

    def add(self, outcome: Outcome) -> None:
        item = outcome.item
        with self._lock:
            if outcome.status is Status.DONE:
                self._done[item.action] += 1
                self._bytes += outcome.bytes
                if item.action in _COPIES and (
                    self._weakest is None or outcome.verified.strength < self._weakest.strength
                ):
                    self._weakest = outcome.verified
                return
            self._ended[outcome.status] += 1
            # What went with the whole run has nothing to say of itself.
            self._skipped += outcome.status is Status.CANCELLED and bool(outcome.error)
            if item.action is Action.MKDIR:
                self._unmade.add(item.path)
            if item.action is not Action.DELETE:
                self._uncopied = self._uncopied or item.path or "/"
            elif outcome.status is not Status.VANISHED:
                path = item.path
                while path:
                    path = names.parent(path)
                    self._kept.add(path)

    def took_back(self, outcome: Outcome) -> None:
        """An item that was counted as done has failed after all."""
        with self._lock:
            self._done[outcome.item.action] -= 1
            self._ended[outcome.status] += 1

    @property
    def uncopied(self) -> str | None:
        """The first path that was to be made or copied and was not. It may be what was moved away from any
        other place: nothing is to be deleted then."""
        return self._uncopied

    def keeps_something(self, folder: str) -> bool:
        """Whether something below ``folder`` was to be deleted and was not."""
        with self._lock:
            return folder in self._kept

    def missing_folder(self, path: str) -> str | None:
        """The nearest parent of ``path`` that was planned but could not be made (``/`` for the root)."""
        with self._lock:
            if not self._unmade:
                return None
            while path:
                path = names.parent(path)
                if path in self._unmade:
                    return path or "/"
        return None

    def summary(self, plan: Plan, *, elapsed_s: float, stopped: bool, fatal: TuiSyncError | None) -> Summary:
        with self._lock:
            done, ended = self._done, self._ended
            failed = ended[Status.FAILED]
            skipped = ended[Status.DRIFTED] + ended[Status.VANISHED] + ended[Status.HELD] + self._skipped
            settled = done.total() + failed + skipped
            summary = Summary(
                created=done[Action.CREATE],
                updated=done[Action.UPDATE],
                deleted=done[Action.DELETE],
                directories=done[Action.MKDIR],
                unchanged=plan.totals.unchanged,
                skipped=skipped,
                failed=failed,
                conflicts=plan.totals.conflicts,
                bytes=self._bytes,
                elapsed_s=round(elapsed_s, 3),
                verified=self._weakest or self._wanted,
            )
            if fatal is not None:
                return summary.with_status("error", fatal.exit_code)
            if stopped and settled < plan.totals.work:
                return summary.with_status("interrupted", 130)
            # What is held back only because something drifted is no failure of its own.
            drifted = ended[Status.DRIFTED] + ended[Status.VANISHED]
            held = ended[Status.HELD] and (self._before or not drifted)
            if failed or held or self._skipped or plan.totals.conflicts:
                return summary.with_status("partial", 23)
            if skipped:
                return summary.with_status("drifted", 24)
            return summary
