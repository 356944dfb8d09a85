"""One thread that writes outcomes to the ledger in batches and tells the listener.

What a kill can lose of the receipt is the last fifth of a second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from tui_sync.errors import TuiSyncError
from tui_sync.ledger import Ledger
from tui_sync.model import Item, Outcome

# So many are not waited with, and so many wait at most before who brings more has to.
_BATCH = 500
_MOST = 4 * _BATCH
_WAIT_S = 0.2
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Listener(Protocol):
    """Hears of items as they begin and end. Called from engine threads: be quick, never wait for them."""

    def started(self, item: Item) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...


class Recorder:
    """``put`` blocks while the ledger is more than a few batches behind, so memory stays bounded."""

    def __init__(
        self,
        ledger: Ledger,
        run_id: int,
        listener: Listener | None,
        failed: Callable[[TuiSyncError], None],
    ) -> None:
        self._ledger = ledger
        self._run_id = run_id
        self._listener = listener
        self._failed = failed
        self._change = threading.Condition()
        self._waiting: list[Outcome] = []
        self._closed = False
        self._broken = False
        self._thread = threading.Thread(target=self._work, name="tui-sync-recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def started(self, item: Item) -> None:
        if self._listener is not None:
            self._tell(self._listener.started, item)

    def put(self, outcomes: Sequence[Outcome]) -> None:
        with self._change:
            while len(self._waiting) >= _MOST:
                self._change.wait()
            self._waiting.extend(outcomes)
            self._change.notify_all()

    def close(self) -> None:
        """Return when all that was put is recorded."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._take():
            self._record(batch)
            for outcome in batch:
                if self._listener is not None:
                    self._tell(self._listener.ended, outcome)

    def _take(self) -> list[Outcome]:
        """What there is, once that is many or the first has waited for long enough; empty at the end."""
        with self._change:
            while not self._waiting and not self._closed:
                self._change.wait()
            due = time.monotonic() + _WAIT_S
            while len(self._waiting) < _BATCH and not self._closed and (left := due - time.monotonic()) > 0:
                self._change.wait(left)
            batch, self._waiting = self._waiting, []
            self._change.notify_all()
            return batch

    def _record(self, batch: list[Outcome]) -> None:
        if self._broken:
            return
        try:
            self._ledger.record(self._run_id, batch)
        except TuiSyncError as error:
            # Without a receipt the run must not go on; outcomes are still taken.
            self._broken = True
            self._failed(error)
        except Exception as error:  # noqa: BLE001 - workers would wait for ever for a thread that ended
            self._broken = True
            self._failed(TuiSyncError(f"the receipt cannot be written: {type(error).__name__}: {error}"))

    def _tell(self, call: Callable[[_T], None], value: _T) -> None:
        try:
            call(value)
        except Exception:  # noqa: BLE001 - a face's bug must not stop a transfer
            _log.exception("a listener failed")
