"""A byte channel over the pipes of a process."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from tui_sync.connectors.base import Buffer
from tui_sync.connectors.sftp.framing import MAX_PACKET
from tui_sync.errors import ConnectionLost, StorageError, TimedOut

# As much of it as the system grants.
_PIPE_SIZE = 4 << 20
_LARGEST_READ = 64 << 10
# What is read of a packet before its length is known is copied once more.
_SLACK = 16 << 10
# A read that got part of a packet does not tell when: silence is counted in slices of the timeout, so that it
# is noticed at most one of them late.
_SLICES = 4
# Packets of that many last reads are kept to be read into again.
_KEPT = 4
# POSIX promises that many buffers for one call.
_BUFFERS = 16


def pipe() -> tuple[int, int]:
    """Reading and writing end, of a pair of sockets: they move bytes at half the cost of a pipe."""
    reading, writing = socket.socketpair()
    with contextlib.suppress(OSError):
        writing.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PIPE_SIZE)
    return reading.detach(), writing.detach()


class PipeChannel:
    """See ``transport.ByteChannel``. Owns both descriptors, which are of pairs as ``pipe`` makes them.

    A sender that finds the pipe full takes in what has come meanwhile, so that it never waits for a process
    that waits for its reader. ``ended`` tells why the stream came to its end. ``packets``: of SFTP, and of
    use only when whole; large ones are then read in place. Raises OSError where there can be no more pipes.
    """

    def __init__(
        self, reading: int, writing: int, ended: Callable[[bool], StorageError], *, packets: bool = False
    ) -> None:
        try:
            self._wake_reading, self._wake_writing = os.pipe()
        except OSError:
            os.close(reading)
            os.close(writing)
            raise
        self._reading = socket.socket(fileno=reading)
        self._packets = Packets(self._reading) if packets else None
        self._timeout: float | None = None
        self._writing = writing
        self._ended = ended
        os.set_blocking(writing, False)
        self._send_lock = threading.Lock()
        self._receive_lock = threading.Lock()
        self._close_lock = threading.Lock()
        self._backlog: deque[Buffer] = deque()
        self._received = False
        self._at_end = False
        self._closed = False

    def send(self, buffers: Sequence[Buffer], timeout: float) -> None:
        if len(buffers) > _BUFFERS:
            buffers = [b"".join(buffers)]
        with self._send_lock:
            sent = self._write(buffers)
            if sent == sum(map(len, buffers)):
                return
            views = deque(memoryview(buffer) for buffer in buffers if len(buffer))
            while True:
                while views and sent >= len(views[0]):
                    sent -= len(views.popleft())
                if not views:
                    return
                views[0] = views[0][sent:]
                self._wait_to_write(timeout)
                sent = self._write(views)

    def receive(self, limit: int, timeout: float) -> Buffer:
        silent = 0
        with self._receive_lock:
            while True:
                if self._closed:
                    self._check()
                if self._at_end and not self._backlog:
                    raise self._reason()
                try:
                    found = self._backlog.popleft() if self._backlog else self._read(timeout / _SLICES)
                except TimedOut:
                    silent += 1
                    if silent == _SLICES:
                        raise
                    continue
                if found:
                    if len(found) > limit:
                        self._backlog.appendleft(found[limit:])
                        found = found[:limit]
                    return found
                silent = 0

    def close(self) -> None:
        with self._close_lock:
            if self._closed:
                return
            self._closed = True
            os.write(self._wake_writing, b"x")
            with contextlib.suppress(OSError):
                self._reading.shutdown(socket.SHUT_RDWR)
        # Those who wait let go at once, and only then may the numbers be used for something else.
        with self._send_lock, self._receive_lock:
            self._reading.close()
            for descriptor in (self._writing, self._wake_reading, self._wake_writing):
                os.close(descriptor)

    def _check(self) -> None:
        if self._closed:
            raise ConnectionLost("the connection was closed")

    def _reason(self) -> StorageError:
        return self._ended(self._received)

    def _read(self, timeout: float) -> Buffer:
        """What has come, which may be of no use yet: part of a packet is a sign of life, and on a slow line a
        whole one takes longer than ``timeout``. Nothing at the end of the stream."""
        if timeout != self._timeout:
            self._wait_up_to(timeout)
        try:
            data = self._reading.recv(_LARGEST_READ) if self._packets is None else self._packets.read()
        except BlockingIOError:
            raise TimedOut("the server does not send any more data") from None
        except (OSError, EOFError):
            data = b""
            self._at_end = True
        else:
            self._at_end = self._packets is None and not data
        self._received = self._received or not self._at_end
        return data

    def _wait_up_to(self, timeout: float) -> None:
        """How long a read is to wait. By the system: socket.settimeout would have a poll before each."""
        self._reading.setblocking(timeout > 0)
        whole, rest = divmod(max(timeout, 0.001), 1)
        self._reading.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", int(whole), int(rest * 1_000_000))
        )
        self._timeout = timeout

    def _write(self, buffers: Sequence[Buffer]) -> int:
        """How much of them is taken at once."""
        if self._closed:
            self._check()
        try:
            return os.writev(self._writing, buffers)
        except BlockingIOError:
            return 0
        except OSError:
            raise self._reason() from None

    def _wait_to_write(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            receiving = self._receive_lock.acquire(blocking=False)
            try:
                wanted = {self._writing: select.POLLOUT}
                if receiving and not self._at_end:
                    wanted[self._reading.fileno()] = select.POLLIN
                # Somebody who receives may stop to do so at any time.
                left = deadline - time.monotonic()
                ready = self._poll(wanted, left if receiving else min(left, 0.05))
                self._check()
                if self._writing in ready:
                    return
                if self._reading.fileno() in ready:
                    # What there is, however little: there may be room to write at any moment.
                    with contextlib.suppress(TimedOut):
                        if found := self._read(0.0):
                            self._backlog.append(found)
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


class Packets:
    """Reads whole SFTP packets from a socket, large ones straight to where they stay
    (draft-ietf-secsh-filexfer-02, section 3)."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._slack = bytearray(_SLACK)
        # The stream from the last whole packet on: what lies in the slack, or a packet that is partly there.
        self._held = 0
        self._packet: bytearray | None = None
        self._filled = 0
        self._buffers: deque[bytearray] = deque(maxlen=_KEPT)

    def read(self) -> Buffer:
        """The packets that one read completes, with their lengths; what cannot be one is let through.

        Raises BlockingIOError where nothing comes, EOFError at the end, or OSError.
        """
        if self._packet is None:
            count = self._stream.recv_into(memoryview(self._slack)[self._held :])
            if not count:
                raise EOFError
            return self._cut(self._held + count)
        # As long as there is a view of it nothing else is read into it.
        packet = memoryview(self._packet)
        count = self._stream.recv_into(packet[self._filled :], 0, socket.MSG_WAITALL)
        if not count:
            raise EOFError
        self._filled += count
        if self._filled < len(packet):
            return b""
        self._packet = None
        return packet

    def _buffer(self, size: int) -> bytearray:
        """The one that has been in use for longest, where nobody has a view of it any more, else a new one:
        memory that was just used is quicker than fresh one, which has to be cleared."""
        if self._buffers and len(self._buffers[0]) == size:
            oldest = self._buffers[0]
            try:
                # Refused while there is a view of it.
                oldest.append(oldest.pop())
            except BufferError:
                pass
            else:
                self._buffers.rotate(-1)
                return oldest
        new = bytearray(size)
        self._buffers.append(new)
        return new

    def _cut(self, end: int) -> bytes:
        """The whole packets among the first ``end`` bytes of the slack; the rest is kept."""
        at = 0
        while end - at >= 4:
            length = int.from_bytes(self._slack[at : at + 4], "big")
            if length > MAX_PACKET:
                at = end
            elif at + 4 + length > end:
                self._packet = self._buffer(4 + length)
                self._filled = end - at
                self._packet[: self._filled] = self._slack[at:end]
                self._held = 0
                return bytes(self._slack[:at])
            else:
                at += 4 + length
        packets = bytes(self._slack[:at])
        self._held = end - at
        self._slack[: self._held] = self._slack[at:end]
        return packets
