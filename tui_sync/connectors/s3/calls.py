"""Requests on threads of their own, so that whoever waits for one can be let go at any moment."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, TypeVar

from tui_sync.errors import ConnectionLost

T = TypeVar("T")


class Calls:
    """At most ``most`` daemon threads, started as they are needed.

    A blocked socket of botocore's cannot be woken from outside. So nobody waits on one: ``close`` lets all
    who wait go with ConnectionLost, and the thread ends when its request does, by its own deadline.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._open: set[Future[Any]] = set()
        self._threads = 0
        self._idle = 0
        self._closed = False
        self._here = threading.local()

    def start(self, job: Callable[[], T]) -> Future[T]:
        """Run ``job``, which must not wait for what it starts. Raises ConnectionLost after ``close``."""
        future: Future[T] = Future()
        with self._changed:
            self.check()
            self._open.add(future)
            self._jobs.append((future, job))
            if self._idle >= len(self._jobs):
                self._changed.notify()
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._work, name=f"s3-{self._threads}", daemon=True).start()
        return future

    def run(self, job: Callable[[], T]) -> T:
        """The result of ``job``. Raises what it raises. A job's own calls run on the thread it has."""
        if getattr(self._here, "inside", False):
            self.check()
            return job()
        return self.start(job).result()

    @property
    def closed(self) -> bool:
        return self._closed

    def check(self) -> None:
        """Raises ConnectionLost after ``close``."""
        if self._closed:
            raise _lost()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            waiting, self._open = self._open, set()
            self._jobs.clear()
            self._changed.notify_all()
        for future in waiting:
            with suppress(InvalidStateError):
                future.set_exception(_lost())

    def _work(self) -> None:
        self._here.inside = True
        while True:
            with self._changed:
                self._idle += 1
                while not self._jobs and not self._closed:
                    self._changed.wait()
                self._idle -= 1
                if not self._jobs:
                    return
                future, job = self._jobs.popleft()
            if future.cancelled():
                self._forget(future)
                continue
            try:
                result = job()
            # Whatever it is, it belongs to the thread that waits.
            except BaseException as error:  # noqa: BLE001
                with suppress(InvalidStateError):
                    future.set_exception(error)
            else:
                with suppress(InvalidStateError):
                    future.set_result(result)
                del result
            self._forget(future)
            # An idle thread must not keep the last block alive.
            del future, job

    def _forget(self, future: Future[Any]) -> None:
        with self._changed:
            self._open.discard(future)


class Budget:
    """Bytes that may be in memory at once, shared by all transfers of a connector."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._closed = False
        self._changed = threading.Condition()

    def take(self, size: int) -> None:
        """Wait until ``size`` bytes fit, or nothing else is held. Raises ConnectionLost after ``close``."""
        with self._changed:
            while self._used and self._used + size > self._limit and not self._closed:
                self._changed.wait()
            if self._closed:
                raise _lost()
            self._used += size

    def try_take(self, size: int) -> bool:
        """Take ``size`` bytes if they fit now."""
        with self._changed:
            if self._used + size > self._limit:
                return False
            self._used += size
            return True

    def give(self, size: int) -> None:
        with self._changed:
            self._used -= size
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _lost() -> ConnectionLost:
    return ConnectionLost("the connection to the S3 server was closed")
