"""Many SFTP requests in flight over one byte channel, sent and awaited by any number of threads.

There is no reader thread. Of the threads that wait for something, one leads: it receives, and hands every
reply to whom it belongs. When its own has come it leaves the lead to another that still waits
(leader/followers, Schmidt et al. 2000). So a single thread never waits for another one to be scheduled.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from tui_sync.connectors.base import Buffer
from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.transport import ByteChannel
from tui_sync.connectors.sftp.wire import StatusCode
from tui_sync.errors import (
    ConnectionLost,
    NotFound,
    NotSupported,
    PermissionDenied,
    StorageError,
    TimedOut,
)
from tui_sync.names import printable

DEADLINE = 30.0
BYTES_IN_FLIGHT = 8 << 20
MAX_BLOCK = 255 << 10
_RECEIVE = 1 << 20
# What is handed to the channel at once, and what it may bring back, of many requests.
_TOGETHER = 1 << 20
_SMALL = 512
# Looked up in an enum they take longer than all else that is done with a status.
_OK, _EOF = int(StatusCode.OK), int(StatusCode.EOF)

_ResponseT = TypeVar("_ResponseT", bound=wire.Response)

_ERRORS: dict[int, tuple[type[StorageError], str]] = {
    StatusCode.NO_SUCH_FILE: (NotFound, "no such file or folder"),
    StatusCode.PERMISSION_DENIED: (PermissionDenied, "permission denied"),
    StatusCode.NO_CONNECTION: (ConnectionLost, "the server has no connection"),
    StatusCode.CONNECTION_LOST: (ConnectionLost, "the server lost the connection"),
    StatusCode.OP_UNSUPPORTED: (NotSupported, "the server does not support it"),
}


def status_error(status: wire.Status, doing: str, path: str) -> StorageError:
    """The error for a status other than OK: ``doing`` is what failed (``"open"``), ``path`` on what."""
    kind, reason = _ERRORS.get(status.code, (StorageError, ""))
    if not reason:
        said = printable(status.message[:200]) or f"status {status.code}"
        reason = f"the server says “{said}”"
    return kind(f"cannot {doing} “{printable(path)}”: {reason}")


class Asked(NamedTuple):
    """One of many requests: what ``SftpSession.send`` takes."""

    request: wire.Request
    doing: str
    path: str
    deadline: float = 0.0


def _weight(request: wire.Request) -> int:
    """The bytes of a file that a request or its reply carries."""
    if type(request) is wire.Read:
        return request.length
    return len(request.data) if type(request) is wire.Write else 0


class Reply:
    """What will come back for one request. ``doing`` and ``path`` name it in errors."""

    __slots__ = ("_doing", "_path", "_session", "deadline", "response", "sent_at", "waiter", "weight")

    def __init__(
        self, session: SftpSession, weight: int, doing: str, path: str, deadline: float = 0.0
    ) -> None:
        self.deadline = deadline
        self._session = session
        self._doing = doing
        self._path = path
        self.waiter: threading.Condition | None = None
        self.weight = weight
        self.sent_at = 0.0
        self.response: wire.Response | None = None

    def condition(self, lock: threading.Lock) -> threading.Condition:
        """Notified when the response has come; who waits for it holds ``lock``."""
        if self.waiter is None:
            self.waiter = threading.Condition(lock)
        return self.waiter

    def wait(self) -> wire.Response:
        """The response, whatever it is. Raises ConnectionLost or TimedOut where none will come."""
        if self.response is None:
            self._session.wait(self)
        assert self.response is not None
        return self.response

    def ok(self) -> None:
        """Wait for success; raise what else the server says."""
        response = self.response or self.wait()
        if not isinstance(response, wire.Status):
            raise self._unexpected(response)
        if response.code != _OK:
            raise status_error(response, self._doing, self._path)

    def handle(self) -> bytes:
        return self._expect(wire.Handle).handle

    def attributes(self) -> wire.Attributes:
        return self._expect(wire.Attrs).attributes

    def extended(self) -> bytes:
        return self._expect(wire.ExtendedReply).payload

    def names(self) -> Sequence[wire.NameEntry]:
        """Empty at the end of a directory."""
        if self._at_end():
            return ()
        return self._expect(wire.Name).entries

    def data(self) -> memoryview:
        """Empty at the end of a file."""
        response = self.response or self.wait()
        if type(response) is wire.Data:
            data = memoryview(response.data)
        elif self._at_end():
            return memoryview(b"")
        else:
            data = memoryview(self._expect(wire.Data).data)
        if not data:
            raise wire.broken("a read was answered with no data and no end of file")
        if len(data) > self.weight:
            raise wire.broken(f"a read of {self.weight} bytes was answered with {len(data)}")
        return data

    def _at_end(self) -> bool:
        response = self.wait()
        return isinstance(response, wire.Status) and response.code == _EOF

    def _expect(self, kind: type[_ResponseT]) -> _ResponseT:
        response = self.wait()
        if isinstance(response, kind):
            return response
        if isinstance(response, wire.Status) and response.code != _OK:
            raise status_error(response, self._doing, self._path)
        raise self._unexpected(response)

    def _unexpected(self, response: wire.Response) -> StorageError:
        kind = type(response).__name__
        return wire.broken(f"“{self._doing}” on “{printable(self._path)}” was answered with {kind}")


class SftpSession:
    """One SFTP session. Once it has failed or was closed every call raises, and a new session is needed.

    ``deadline``: seconds without a byte either way after which waiting raises TimedOut. ``in_flight``: bytes
    of reads and writes under way at most; further ones wait. The channel has to take in that much and a
    little more without anybody receiving, so that a sender can never wait for a reader. ``read_size`` and
    ``write_size`` are the most bytes to ask for, or to send, in one request.
    """

    def __init__(
        self, channel: ByteChannel, *, deadline: float = DEADLINE, in_flight: int = BYTES_IN_FLIGHT
    ) -> None:
        self._channel = channel
        self._deadline = deadline
        self._in_flight = in_flight
        self._framer = wire.Framer()
        self._lock = threading.Lock()
        self._send_lock = threading.Lock()
        self._next_id = 0
        self._pending: dict[int, Reply] = {}
        self._weight = 0
        self._leading = False
        self._followers: list[threading.Condition] = []
        self._room: list[threading.Condition] = []
        self._failure: tuple[type[StorageError], str] | None = None
        self._progress = time.monotonic()
        try:
            began = time.monotonic()
            self.extensions = self._exchange_versions()
            if wire.LIMITS in self.extensions:
                began = time.monotonic()
            self.limits = self._ask_limits()
            # A round trip, or a little more where the server has first to be started.
            self.rtt_s = time.monotonic() - began
            self.read_size = max(1024, min(self.limits.read, self.limits.packet - 1024, MAX_BLOCK))
            self.write_size = max(1024, min(self.limits.write, self.limits.packet - 1024, MAX_BLOCK))
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        return self._failure is None

    def offers(self, extension: str) -> bool:
        return extension in self.extensions

    def send(self, request: wire.Request, doing: str, path: str, *, deadline: float = 0.0) -> Reply:
        """Send a request and return without waiting for its reply, unless too many bytes would be under way.

        A reply that nobody waits for is let go when it comes. ``deadline``: seconds of silence that are to be
        borne for this one, where that is more than the session's own.
        """
        weight = _weight(request)
        if weight:
            self._reserve(weight)
        reply = Reply(self, weight, doing, path, deadline)
        with self._send_lock:
            with self._lock:
                if self._failure is not None:
                    self._check()
                number = self._next_number()
                packets = wire.encode(number, request)
                self._pending[number] = reply
            self._transmit(packets, (reply,))
        return reply

    def send_many(self, several: Sequence[Asked]) -> deque[Reply]:
        """As ``send`` for each, with fewer calls of the channel; the replies in the same order."""
        replies: deque[Reply] = deque()
        weights = [_weight(asked.request) for asked in several]
        first = size = weight = 0
        for index, its_weight in enumerate(weights):
            if size and size + _SMALL + its_weight > _TOGETHER:
                replies += self._send_together(several[first:index], weights[first:index], weight)
                first, size, weight = index, 0, 0
            size += _SMALL + its_weight
            weight += its_weight
        if size:
            replies += self._send_together(several[first:], weights[first:], weight)
        return replies

    def _send_together(self, several: Sequence[Asked], weights: Sequence[int], weight: int) -> list[Reply]:
        if weight:
            self._reserve(weight)
        replies = [
            Reply(self, its_weight, asked.doing, asked.path, asked.deadline)
            for asked, its_weight in zip(several, weights, strict=True)
        ]
        with self._send_lock:
            with self._lock:
                self._check()
                packets: list[Buffer] = []
                pending: dict[int, Reply] = {}
                for asked, reply in zip(several, replies, strict=True):
                    number = self._next_number()
                    packets += wire.encode(number, asked.request)
                    pending[number] = reply
                self._pending.update(pending)
            self._transmit(packets, replies)
        return replies

    def _next_number(self) -> int:
        self._next_id = (self._next_id + 1) & 0xFFFFFFFF
        if self._next_id in self._pending:
            raise StorageError("too many requests wait for an answer")
        return self._next_id

    def _transmit(self, packets: Sequence[Buffer], replies: Sequence[Reply]) -> None:
        sent_at = time.monotonic()
        for reply in replies:
            reply.sent_at = sent_at
        try:
            self._channel.send(packets, self._deadline)
        except StorageError as error:
            self._fail(error)
            raise
        except BaseException:
            # A packet sent in part cannot be followed by another.
            self._fail(ConnectionLost("the connection was given up"))
            raise
        self._progress = time.monotonic()

    def wait(self, reply: Reply) -> None:
        """Return when ``reply`` has its response."""
        with self._lock:
            try:
                while reply.response is None:
                    if self._failure is not None or self._leading:
                        self._wait_once(reply.condition(self._lock))
                    else:
                        self._lead()
            finally:
                if self._followers:
                    self._hand_over()

    def close(self) -> None:
        """End the session; whoever waits raises ConnectionLost. Never raises."""
        self._fail(ConnectionLost("the connection was closed"))

    def _exchange_versions(self) -> Mapping[str, bytes]:
        """Section 4."""
        self._channel.send([wire.encode_init()], self._deadline)
        packets: list[memoryview] = []
        while not packets:
            packets = self._framer.feed(self._channel.receive(_RECEIVE, self._deadline))
        if len(packets) > 1:
            raise wire.broken("it answered before it was asked")
        version = wire.Version.decode(packets[0])
        if version.number != wire.VERSION:
            raise NotSupported(f"the server speaks version {version.number} of SFTP, not {wire.VERSION}")
        return version.extensions

    def _ask_limits(self) -> wire.Limits:
        if wire.LIMITS not in self.extensions:
            return wire.Limits()
        reply = self.send(wire.Extended(wire.LIMITS), "ask the limits of", "the server")
        try:
            return wire.Limits.decode(reply.extended())
        except (ConnectionLost, TimedOut):
            raise
        except StorageError:
            return wire.Limits()

    def _check(self) -> None:
        if self._failure is not None:
            kind, message = self._failure
            raise kind(message)

    def _reserve(self, weight: int) -> None:
        """Count ``weight`` bytes as under way, after waiting for room."""
        with self._lock:
            if self._weight and self._weight + weight > self._in_flight:
                self._wait_for_room(weight)
            if self._failure is not None:
                self._check()
            self._weight += weight
            if self._room:
                self._offer_room()

    def _wait_for_room(self, weight: int) -> None:
        waiter = threading.Condition(self._lock)
        self._room.append(waiter)
        try:
            while self._weight and self._weight + weight > self._in_flight:
                self._wait_once(waiter)
        finally:
            self._room.remove(waiter)
            self._hand_over()

    def _offer_room(self) -> None:
        if self._weight < self._in_flight:
            self._room[0].notify()

    def _wait_once(self, waiter: threading.Condition) -> None:
        """Follow, to be told through ``waiter``, or lead. Called, and returns, with the lock held."""
        self._check()
        if self._leading:
            self._follow(waiter)
        else:
            self._lead()

    def _hand_over(self) -> None:
        """Whoever has waited leaves the lead to another who still does."""
        if not self._leading and self._followers:
            self._followers[0].notify()

    def _follow(self, waiter: threading.Condition) -> None:
        self._followers.append(waiter)
        try:
            # The leader has the deadline; this one is for a leader that came to grief.
            if not waiter.wait(2 * self._deadline) and self._idle() >= 2 * self._patience():
                self._fail_locked(self._no_answer())
        finally:
            self._followers.remove(waiter)

    def _lead(self) -> None:
        self._leading = True
        self._lock.release()
        try:
            chunk = self._channel.receive(_RECEIVE, self._deadline)
            replies = [wire.decode_response(packet) for packet in self._framer.feed(chunk)]
        except TimedOut:
            replies = []
            with self._lock:
                # Another thread may have been sending all the while, over a slow line.
                if self._idle() >= self._patience():
                    self._fail_locked(self._no_answer())
        except StorageError as error:
            self._fail(error)
            replies = []
        except BaseException:
            self._fail(ConnectionLost("the connection was given up"))
            raise
        else:
            self._progress = time.monotonic()
        finally:
            self._lock.acquire()
            self._leading = False
        for request_id, response in replies:
            reply = self._pending.pop(request_id, None)
            if reply is None:
                self._fail_locked(wire.broken(f"it answered request {request_id}, which nobody made"))
                continue
            reply.response = response
            if reply.weight:
                self._weight -= reply.weight
                if self._room:
                    self._offer_room()
            if reply.waiter is not None:
                reply.waiter.notify()

    def _idle(self) -> float:
        return time.monotonic() - self._progress

    def _patience(self) -> float:
        """A server answers one after the other: what has to wait long for one request does so for all."""
        return max([self._deadline, *(reply.deadline for reply in self._pending.values())])

    def _no_answer(self) -> TimedOut:
        return TimedOut(f"the server gave no answer for {self._patience():g} s")

    def _fail(self, error: StorageError) -> None:
        with self._lock:
            self._fail_locked(error)

    def _fail_locked(self, error: StorageError) -> None:
        if self._failure is not None:
            return
        self._failure = (type(error), str(error))
        self._pending.clear()
        self._weight = 0
        for waiter in self._followers:
            waiter.notify()
        # Closing may take a moment, and those just woken need the lock to leave.
        self._lock.release()
        try:
            self._channel.close()
        finally:
            self._lock.acquire()
