"""The two sides of a pair, connected at the same time."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from tui_sync.cancel import CancelToken
from tui_sync.connectors import registry
from tui_sync.connectors.base import Connector, Endpoint, Prompts
from tui_sync.errors import ConnectError, ConnectionLost, TimedOut, TuiSyncError, UsageError
from tui_sync.names import printable
from tui_sync.profiles import Profile
from tui_sync.transfer.retry import Retry

_ATTEMPTS = 3


class Logins:
    """Connects in threads of its own. ``wait`` and ``begin`` are for one thread, the rest for any."""

    def __init__(self, profile: Profile, prompts: Prompts) -> None:
        self._sides = {"source": profile.source, "target": profile.target}
        self._prompts = prompts
        self._cancel = CancelToken()
        self._lock = threading.Lock()
        self._connectors: dict[str, Connector] = {}
        self._failures: dict[str, TuiSyncError] = {}
        self._under_way: dict[str, threading.Event] = {}

    def begin(self) -> None:
        """Connect what is not connected, without waiting for it. First what is soonest loaded."""
        soonest = sorted(self._sides.items(), key=lambda one: registry.load_order(one[1].scheme))
        for side, endpoint in soonest:
            with self._lock:
                if side in self._connectors or side in self._under_way:
                    continue
                ended = self._under_way[side] = threading.Event()
            # Here, for the caller has more to load, and would slow down those who wait for this.
            with suppress(UsageError):
                registry.load(endpoint.scheme)
            threading.Thread(target=self._connect, args=(side, endpoint, ended), daemon=True).start()

    def wait(self) -> None:
        """Until both sides are connected. Raises the first side's ConnectError, NotFound, or Cancelled."""
        self.begin()
        for ended in self._under_way.values():
            # A connect that hangs ends by its own deadline; a cancel does not wait for it.
            while not ended.wait(0.1):
                self._cancel.check()
        self._under_way.clear()
        failures, self._failures = self._failures, {}
        self._cancel.check()
        for side in self._sides:
            if side in failures:
                raise failures[side]

    @property
    def missing(self) -> bool:
        """Whether there is anything to wait for."""
        with self._lock:
            return bool(self._under_way) or self._connectors.keys() != self._sides.keys()

    def connector(self, side: str) -> Connector:
        """``source`` or ``target``, once connected."""
        with self._lock:
            connector = self._connectors.get(side)
        if connector is None:
            raise RuntimeError(f"the {side} is not connected")
        return connector

    def connectors(self) -> list[Connector]:
        """Those that are connected."""
        with self._lock:
            return list(self._connectors.values())

    def close(self) -> None:
        """Give up what is under way and close both sides. For good; may be called twice. Never raises."""
        self._cancel.cancel()
        with self._lock:
            connectors = list(self._connectors.values())
            self._connectors.clear()
        closing = [threading.Thread(target=connector.close, daemon=True) for connector in connectors]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self, side: str, endpoint: Endpoint, ended: threading.Event) -> None:
        try:
            self._keep(side, self._login(endpoint))
        except (ConnectionLost, TimedOut) as error:
            self._failures[side] = ConnectError(f"cannot connect to {printable(endpoint.url)}: {error}")
        except TuiSyncError as error:
            self._failures[side] = error
        except Exception as error:  # noqa: BLE001 - raised in the thread that waits
            self._failures[side] = TuiSyncError(f"internal error: {type(error).__name__}: {error}")
        finally:
            ended.set()

    def _login(self, endpoint: Endpoint) -> Connector:
        """A line that is cut while it is made is worth another try; an answer is not."""
        retry = replace(Retry(), attempts=_ATTEMPTS)
        return retry.call(lambda: registry.connect(endpoint, self._prompts), self._cancel)

    def _keep(self, side: str, connector: Connector) -> None:
        with self._lock:
            if not self._cancel.cancelled:
                self._connectors[side] = connector
                return
        connector.close()
