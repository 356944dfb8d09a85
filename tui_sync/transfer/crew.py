"""Worker threads that share one iterator of jobs; their number may change while they work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

Job = TypeVar("Job")

MOST = 64


class Crew:
    """At most ``limit`` threads at a time. The threads are its own and end with each ``run``."""

    def __init__(self, limit: int) -> None:
        self._changed = threading.Condition()
        self._limit = max(1, min(MOST, limit))
        self._busy = 0

    @property
    def limit(self) -> int:
        return self._limit

    def set_limit(self, limit: int) -> None:
        """Takes effect as soon as threads end their job."""
        with self._changed:
            self._limit = max(1, min(MOST, limit))
            self._changed.notify_all()

    def run(self, jobs: Iterator[Job], act: Callable[[Job], None], stopped: Callable[[], bool]) -> None:
        """Call ``act`` on every job until there are none or ``stopped()``; return when all threads ended.

        ``act`` contains its errors. An error of the iterator ends the run and is raised here.
        """
        exhausted = False
        failure: BaseException | None = None

        def take() -> Job | None:
            nonlocal exhausted, failure
            with self._changed:
                if exhausted or stopped() or self._busy > self._limit:
                    return None
                try:
                    return next(jobs)
                except StopIteration:
                    exhausted = True
                except BaseException as error:  # noqa: BLE001 - carried to the caller's thread
                    exhausted, failure = True, error
                return None

        def work() -> None:
            try:
                while (job := take()) is not None:
                    act(job)
            finally:
                with self._changed:
                    self._busy -= 1
                    self._changed.notify_all()

        with self._changed:
            while True:
                ended = exhausted or stopped()
                if ended and self._busy == 0:
                    break
                if not ended and self._busy < self._limit:
                    self._busy += 1
                    threading.Thread(target=work, name="tui-sync-worker", daemon=True).start()
                    continue
                self._changed.wait(0.2)
        if failure is not None:
            raise failure
