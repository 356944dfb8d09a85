"""A gate that all workers pass between blocks: shut while a run is paused."""

from __future__ import annotations

import threading

from tui_sync.cancel import CancelToken

_SLICE_S = 0.1


class Gate:
    """Open at first."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()

    @property
    def shut(self) -> bool:
        return not self._open.is_set()

    def pause(self) -> None:
        self._open.clear()

    def resume(self) -> None:
        self._open.set()

    def wait(self, cancel: CancelToken) -> None:
        """Return once the gate is open. Raises Cancelled as soon as the token is set."""
        cancel.check()
        while not (self._open.is_set() or self._open.wait(_SLICE_S)):
            cancel.check()
