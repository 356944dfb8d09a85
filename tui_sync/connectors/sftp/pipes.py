"""A byte channel over the pipes of a process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from tui_sync.connectors.base import Buffer
from tui_sync.errors import ConnectionLost, StorageError, TimedOut

_PIPE_SIZE = 1 << 20
_LARGEST_READ = 512 << 10
# POSIX promises that many buffers for one call.
_BUFFERS = 16


def pipe() -> tuple[int, int]:
    """Reading and writing end, with more room than usual where the system grants it."""
    ends = os.pipe()
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    return ends


class PipeChannel:
    """See ``transport.ByteChannel``. Owns both descriptors.

    A sender that finds the pipe full takes in what has come meanwhile, so that it never waits for a process
    that waits for its reader. ``ended`` tells why the stream came to its end.
    """

    def __init__(self, reading: int, writing: int, ended: Callable[[bool], StorageError]) -> None:
        self._reading = reading
        self._writing = writing
        self._ended = ended
        self._wake_reading, self._wake_writing = os.pipe()
        for descriptor in (reading, writing):
            os.set_blocking(descriptor, False)
        self._send_lock = threading.Lock()
        self._receive_lock = threading.Lock()
        self._close_lock = threading.Lock()
        self._backlog: deque[bytes] = deque()
        self._received = False
        self._at_end = False
        self._closed = False

    def send(self, buffers: Sequence[Buffer], timeout: float) -> None:
        if len(buffers) > _BUFFERS:
            buffers = [b"".join(buffers)]
        views = deque(memoryview(buffer) for buffer in buffers if len(buffer))
        with self._send_lock:
            while views:
                self._check()
                try:
                    sent = os.writev(self._writing, views)
                except BlockingIOError:
                    self._wait_to_write(timeout)
                    continue
                except OSError:
                    raise self._reason() from None
                while sent:
                    if sent < len(views[0]):
                        views[0] = views[0][sent:]
                        break
                    sent -= len(views.popleft())

    def receive(self, limit: int, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        with self._receive_lock:
            while True:
                if self._backlog:
                    data = self._backlog.popleft()
                    if len(data) > limit:
                        self._backlog.appendleft(data[limit:])
                        data = data[:limit]
                    return data
                self._check()
                if self._at_end:
                    raise self._reason()
                data = self._read(min(limit, _LARGEST_READ))
                if data:
                    return data
                if not self._at_end and not self._poll(
                    {self._reading: select.POLLIN}, deadline - time.monotonic()
                ):
                    raise TimedOut("the server does not send any more data")

    def close(self) -> None:
        with self._close_lock:
            if self._closed:
                return
            self._closed = True
            os.write(self._wake_writing, b"x")
        # Those who wait let go at once, and only then may the numbers be used for something else.
        with self._send_lock, self._receive_lock:
            for descriptor in (self._reading, self._writing, self._wake_reading, self._wake_writing):
                os.close(descriptor)

    def _check(self) -> None:
        if self._closed:
            raise ConnectionLost("the connection was closed")

    def _reason(self) -> StorageError:
        return self._ended(self._received)

    def _read(self, limit: int) -> bytes:
        """What is there; empty where nothing is, or the stream has ended."""
        try:
            data = os.read(self._reading, limit)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        self._at_end = not data
        self._received = self._received or bool(data)
        return data

    def _wait_to_write(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            receiving = self._receive_lock.acquire(blocking=False)
            try:
                wanted = {self._writing: select.POLLOUT}
                if receiving and not self._at_end:
                    wanted[self._reading] = select.POLLIN
                # Somebody who receives may stop to do so at any time.
                left = deadline - time.monotonic()
                ready = self._poll(wanted, left if receiving else min(left, 0.05))
                self._check()
                if self._writing in ready:
                    return
                if self._reading in ready:
                    data = self._read(_LARGEST_READ)
                    if data:
                        self._backlog.append(data)
            finally:
                if receiving:
                    self._receive_lock.release()
            if time.monotonic() >= deadline:
                raise TimedOut("the server does not take any more data")

    def _poll(self, wanted: dict[int, int], timeout: float) -> set[int]:
        """Which of the descriptors are ready, or at their end; empty when the time is over."""
        poll = select.poll()
        for descriptor, events in wanted.items():
            poll.register(descriptor, events)
        poll.register(self._wake_reading, select.POLLIN)
        return {descriptor for descriptor, _ in poll.poll(max(0.0, timeout) * 1000)}
