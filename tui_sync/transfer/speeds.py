"""How fast a run was, from its beginning to its end, in a few hundred samples however long it took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MOST_SAMPLES = 300
_FIRST_INTERVAL_S = 0.25


class Speeds:
    """``samples`` in bytes per second, one for each ``interval_s`` seconds. Where they get too many, each two
    become one, and the interval twice as long."""

    def __init__(self, bytes_done: Callable[[], int]) -> None:
        self.interval_s = _FIRST_INTERVAL_S
        self.samples: list[int] = []
        self._bytes_done = bytes_done
        self._ended = threading.Event()
        self._at = (0.0, 0)
        self._thread = threading.Thread(target=self._work, name="tui-sync-speeds", daemon=True)

    def start(self) -> None:
        self._at = (time.monotonic(), self._bytes_done())
        self._thread.start()

    def stop(self) -> None:
        """Take the last sample; only after ``start``."""
        self._ended.set()
        self._thread.join()

    def add(self, sample: int) -> None:
        """Take a sample in."""
        self.samples.append(sample)
        if len(self.samples) == MOST_SAMPLES:
            pairs = zip(self.samples[::2], self.samples[1::2], strict=True)
            self.samples = [(one + other) // 2 for one, other in pairs]
            self.interval_s *= 2

    def _work(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(self.interval_s)
            at, done = self._at
            self._at = now, by_now = time.monotonic(), self._bytes_done()
            # A retry goes back.
            self.add(max(0, round((by_now - done) / max(now - at, 0.001))))
