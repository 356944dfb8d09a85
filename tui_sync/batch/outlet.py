"""Where batch mode writes: a stream that nobody may be reading."""

from __future__ import annotations

import errno
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from tui_sync.errors import TuiSyncError

_HELD = 1 << 16
_TICK_S = 0.1
# How long one who wants to stop at once waits for a reader.
_PATIENCE_S = 0.5


class Stream(Protocol):
    """What of a text stream is needed for writing to it."""

    def write(self, text: str) -> object: ...

    def flush(self) -> None: ...

    def isatty(self) -> bool: ...


class OutputFailed(TuiSyncError):
    """What was to be written cannot be."""


class Outlet:
    """``stream``, written to by a thread of its own where it is a file: a write that blocks, as the reader of
    a pipe is stuck, does not keep this thread from being told to stop.

    ``flush`` returns when all is written; or, once ``hurry`` says that the program is to end at once, after a
    moment, and from then on nothing is written any more. Raises BrokenPipeError where nobody reads any more,
    OutputFailed for whatever else the system refuses. ``given_up``: there was no reader.
    """

    def __init__(self, stream: TextIO, hurry: Callable[[], bool]) -> None:
        self._stream = stream
        self._hurry = hurry
        self._held: list[str] = []
        self._size = 0
        self.given_up = False
        self._failed = False
        self._change = threading.Condition()
        self._waiting: list[bytes] = []
        self._failure: OSError | None = None
        self._thread: threading.Thread | None = None
        try:
            self._descriptor: int | None = stream.fileno()
            stream.flush()
        except (OSError, ValueError, AttributeError):
            self._descriptor = None

    def isatty(self) -> bool:
        return self._stream.isatty()

    def write(self, text: str) -> None:
        if self.given_up or self._failed:
            return
        if self._descriptor is None:
            self._call(lambda: self._stream.write(text))
            return
        self._held.append(text)
        self._size += len(text)
        if self._size >= _HELD:
            self.flush()

    def flush(self) -> None:
        if self._descriptor is None:
            self._call(self._stream.flush)
            return
        text = "".join(self._held)
        self._held.clear()
        self._size = 0
        if self.given_up or self._failed or not text:
            return
        data = text.encode(self._stream.encoding or "utf-8", self._stream.errors or "strict")
        with self._change:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="tui-sync-output", daemon=True)
                self._thread.start()
            self._waiting.append(data)
            self._change.notify_all()
            self._wait()
            failure = self._failure
        if failure is not None:
            self._raise(failure)

    def _wait(self) -> None:
        """Until all is written. Called with the lock held."""
        deadline: float | None = None
        while self._waiting and self._failure is None:
            if self._hurry():
                deadline = deadline or time.monotonic() + _PATIENCE_S
                if time.monotonic() > deadline:
                    self.given_up = True
                    return
            self._change.wait(_TICK_S)

    def _work(self) -> None:
        assert self._descriptor is not None
        while True:
            with self._change:
                while not self._waiting:
                    self._change.wait()
                data = memoryview(self._waiting[0])
            try:
                while data:
                    try:
                        data = data[os.write(self._descriptor, data) :]
                    except BlockingIOError:
                        # Whoever shares the stream has made it so.
                        select.select([], [self._descriptor], [])
            except OSError as error:
                with self._change:
                    self._failure = error
                    self._change.notify_all()
                return
            with self._change:
                self._waiting.pop(0)
                self._change.notify_all()

    def _call(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            self._raise(error)

    def _raise(self, error: OSError) -> None:
        self._failed = True
        if error.errno == errno.EPIPE:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
        raise OutputFailed(f"cannot write the output: {error.strerror or error}") from error


class Whisper:
    """``stream`` for what is only told: not being able to tell it is no error."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        return self._stream.isatty()

    def write(self, text: str) -> None:
        self._try(lambda: self._stream.write(text))

    def flush(self) -> None:
        self._try(self._stream.flush)

    @staticmethod
    def _try(action: Callable[[], object]) -> None:
        try:
            action()
        except (OSError, OutputFailed):
            return
