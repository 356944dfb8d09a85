"""SIGINT, SIGTERM and SIGHUP as wishes to stop: the first gently, the second at once, the third by force.

SIGTERM comes from a program, which soon sends SIGKILL, and SIGHUP from a terminal that is gone: being gentle
then has its limit.
"""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# With the two seconds that a cancelled run may take, this makes three.
GRACE_S = 1.0


class Stops:
    """Counts requests to stop while it is entered. Outside the main thread there is nothing to catch."""

    def __init__(self) -> None:
        self.count = 0
        self._deadline: float | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for each in _SIGNALS:
                # nohup has it ignored, and is meant.
                if each is not signal.SIGHUP or signal.getsignal(each) is not signal.SIG_IGN:
                    self._before[each] = signal.signal(each, self._caught)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def overdue(self) -> bool:
        """True when what was stopped gently has to be stopped at once."""
        return self._deadline is not None and time.monotonic() > self._deadline

    @property
    def hurry(self) -> bool:
        """True when all has to end at once."""
        return self.count >= 2 or self.overdue

    def _caught(self, number: int, _frame: FrameType | None) -> None:
        # Only counts: the interrupted code may hold any lock.
        self.count += 1
        if number != signal.SIGINT and self._deadline is None:
            self._deadline = time.monotonic() + GRACE_S
        if self.count == 2:
            for each in self._before:
                signal.signal(each, signal.SIG_DFL)
