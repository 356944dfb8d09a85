"""Trying again: which errors, how often, after what pause."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tui_sync.cancel import CancelToken
from tui_sync.errors import ConnectError, TuiSyncError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retry:
    """Exponential backoff with jitter, at most ``attempts`` tries in all; pauses in seconds."""

    attempts: int = 6
    first_pause_s: float = 0.2
    longest_pause_s: float = 15.0

    def again(self, error: TuiSyncError, attempt: int, cancel: CancelToken) -> bool:
        """After failed attempt number ``attempt`` (from 1): False to give up, True once the pause is over.

        Raises Cancelled when the run is stopped during the pause.
        """
        if not error.retryable or attempt >= self.attempts:
            return False
        longest = min(self.longest_pause_s, self.first_pause_s * 3 ** (attempt - 1))
        cancel.wait(random.uniform(longest / 2, longest))
        return True

    def call(self, action: Callable[[], T], cancel: CancelToken) -> T:
        """What ``action`` returns, tried again after errors that pass. Never for a login: a server that
        refuses connections is told at once. Raises Cancelled, or the last error."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return action()
            except ConnectError:
                raise
            except TuiSyncError as error:
                cancel.check()
                if not self.again(error, attempt, cancel):
                    raise
