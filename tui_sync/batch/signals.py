"""SIGINT and SIGTERM as wishes to stop: the first gently, the second at once, the third ends the process."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stops:
    """Counts requests to stop while it is entered. Outside the main thread there is nothing to catch."""

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._caught)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _caught(self, _number: int, _frame: FrameType | None) -> None:
        # Only counts: the interrupted code may hold any lock.
        self.count += 1
        if self.count == 2:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
