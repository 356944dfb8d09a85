"""A token that says: stop at the next safe point."""

from __future__ import annotations

import threading

from tui_sync.errors import Cancelled


class CancelToken:
    """Set once, seen by every thread that holds it."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raise Cancelled once the token is set."""
        if self._event.is_set():
            raise Cancelled("stopped before the end")

    def wait(self, seconds: float) -> None:
        """Sleep, and raise Cancelled as soon as the token is set."""
        if self._event.wait(seconds):
            self.check()
