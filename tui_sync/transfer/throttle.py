"""One bandwidth limit for all workers, changed while they run."""

from __future__ import annotations

import threading
import time

from tui_sync.cancel import CancelToken

_BURST_S = 0.1
_SLICE_S = 0.1
_SHORTEST_S = 0.001


class Throttle:
    """A token bucket that lets one block through on credit, so blocks of any size pass."""

    def __init__(self, rate: int | None = None) -> None:
        self._lock = threading.Lock()
        self._rate = rate
        self._credit = 0.0
        self._at = time.monotonic()

    @property
    def rate(self) -> int | None:
        """Bytes per second, None for no limit."""
        return self._rate

    def set_rate(self, rate: int | None) -> None:
        with self._lock:
            self._rate = rate or None
            self._credit = 0.0
            self._at = time.monotonic()

    def take(self, count: int, cancel: CancelToken) -> None:
        """Wait until ``count`` bytes may pass. Raises Cancelled as soon as the token is set."""
        while self._rate is not None:
            with self._lock:
                rate = self._rate
                if rate is None:
                    return
                now = time.monotonic()
                self._credit = min(rate * _BURST_S, self._credit + (now - self._at) * rate)
                self._at = now
                if self._credit >= 0:
                    self._credit -= count
                    return
                pause = max(-self._credit / rate, _SHORTEST_S)
            cancel.wait(min(pause, _SLICE_S))
