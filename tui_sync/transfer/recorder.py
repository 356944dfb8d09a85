"""One thread that writes outcomes to the ledger in batches and tells the listener.

What a kill can lose of the receipt is the last fifth of a second.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from tui_sync.errors import TuiSyncError
from tui_sync.ledger import Ledger
from tui_sync.model import Item, Outcome

_BATCH = 500
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
        self._queue: queue.Queue[Outcome | None] = queue.Queue(maxsize=4 * _BATCH)
        self._broken = False
        self._thread = threading.Thread(target=self._work, name="tui-sync-recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def started(self, item: Item) -> None:
        if self._listener is not None:
            self._tell(self._listener.started, item)

    def put(self, outcome: Outcome) -> None:
        self._queue.put(outcome)

    def close(self) -> None:
        """Return when all that was put is recorded."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        ended = False
        while not ended:
            batch: list[Outcome] = []
            taken = self._queue.get()
            due = time.monotonic() + _WAIT_S
            while taken is not None:
                batch.append(taken)
                try:
                    left = due - time.monotonic()
                    if len(batch) >= _BATCH or left <= 0:
                        break
                    taken = self._queue.get(timeout=left)
                except queue.Empty:
                    break
            else:
                ended = True
            self._record(batch)
            for outcome in batch:
                if self._listener is not None:
                    self._tell(self._listener.ended, outcome)

    def _record(self, batch: list[Outcome]) -> None:
        if not batch or self._broken:
            return
        try:
            self._ledger.record(self._run_id, batch)
        except TuiSyncError as error:
            # Without a receipt the run must not go on; outcomes are still taken off the queue.
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
