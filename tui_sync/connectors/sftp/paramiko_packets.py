"""Channel data through paramiko's transport with fewer copies, calls and hand-offs. All that leans on
paramiko's inside is here.

Where something is not as it was when this was written, ``fits`` is false and paramiko's own ways are used.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import paramiko
from paramiko.buffered_pipe import PipeTimeout
from paramiko.common import MSG_CHANNEL_DATA, MSG_IGNORE
from paramiko.packet import NeedRekeyException, Packetizer

from tui_sync.connectors.base import Buffer
from tui_sync.connectors.sftp.framing import MAX_PACKET

_STALL_S = 60.0
# A packet of SSH, and as much again, so that what is left over is seldom moved.
_BUFFER = 512 << 10
_LONGEST = 256 << 10
_SWARM = 4 << 10
_TAG = 16
_HEAD = struct.Struct(">I")
_DATA = struct.Struct(">BBII")
_WHERE = struct.Struct(">II")
_U64 = (1 << 64) - 1
# What one call hands to the socket.
_TOGETHER = 16

_USED = (
    *("aead_in", "aead_out", "block_engine_in", "block_engine_out", "block_size_out", "closed"),
    *("compress_engine_in", "compress_engine_out", "dump_packets", "iv_in", "iv_out", "need_rekey"),
    *("received_bytes", "received_bytes_overflow", "received_packets", "received_packets_overflow"),
    *("remainder", "sent_bytes", "sent_packets", "sequence_number_in", "sequence_number_out", "write_lock"),
)
_CHANNEL_USED = ("in_buffer", "lock", "out_window_size", "remote_chanid", "closed", "transport")


@functools.cache
def fits() -> bool:
    """Whether paramiko's packets are made as ``BulkPacketizer`` takes for granted."""
    packetizer = Packetizer(None)  # type: ignore[arg-type]
    return (
        all(hasattr(packetizer, f"_Packetizer__{name}") for name in _USED)
        and all(callable(getattr(packetizer, name, None)) for name in ("_trigger_rekey", "_check_keepalive"))
        and all(hasattr(paramiko.Channel(0), name) for name in (*_CHANNEL_USED, "_wait_for_send_window"))
    )


class PacketPipe:
    """Takes the place of a paramiko channel's input buffer: wakes the reader for whole SFTP packets only.

    paramiko's own wakes it for each of the dozens of SSH packets that one block comes in, and moves all the
    bytes behind those that were read. Has the methods that ``paramiko.Channel`` uses.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._packets: deque[Buffer] = deque()
        self._parts: list[Buffer] = []
        self._have = 0
        self._want = 0
        self._closed = False
        self._fed_at = 0.0
        self._event: threading.Event | None = None

    def feed(self, data: Buffer) -> None:
        """Only ever called by the transport's one thread."""
        self._fed_at = time.monotonic()
        packets: list[Buffer] = []
        while data:
            if not self._want:
                head = b"".join((*self._parts, data[:4]))[:4]
                if len(head) == 4:
                    length = 4 + int.from_bytes(head, "big")
                    # What claims to be longer is not waited for: the session will refuse it.
                    self._want = length if length <= MAX_PACKET + 4 else self._have + len(data)
            missing = self._want - self._have
            if not self._want or len(data) < missing:
                self._parts.append(data)
                self._have += len(data)
                break
            self._parts.append(data[:missing])
            packets.append(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))
            self._parts, self._have, self._want = [], 0, 0
            data = data[missing:]
        if packets:
            with self._changed:
                self._packets += packets
                if self._event is not None:
                    self._event.set()
                self._changed.notify_all()

    def read(self, nbytes: int, timeout: float | None = None) -> Buffer:
        """As paramiko's own. ``timeout`` is for nothing at all: of a packet on its way, a part counts."""
        with self._changed:
            left = timeout
            began = time.monotonic()
            while not self._changed.wait_for(lambda: self._packets or self._closed, left):
                left = max(began, self._fed_at) + (timeout or 0) - time.monotonic()
                if left <= 0:
                    raise PipeTimeout
            if not self._packets:
                return b""
            first = self._packets.popleft()
            if len(first) > nbytes:
                self._packets.appendleft(first[nbytes:])
                return first[:nbytes]
            # Acknowledgements come in swarms.
            several, total = [first], len(first)
            while self._packets and total + len(self._packets[0]) <= min(nbytes, _SWARM):
                several.append(self._packets.popleft())
                total += len(several[-1])
            if self._event is not None and not self._packets and not self._closed:
                self._event.clear()
            return first if len(several) == 1 else b"".join(several)

    def read_ready(self) -> bool:
        return bool(self._packets)

    def empty(self) -> bytes:
        with self._changed:
            everything = b"".join(self._packets)
            self._packets.clear()
            return everything

    def set_event(self, event: threading.Event) -> None:
        with self._changed:
            self._event = event
            if self._packets or self._closed:
                event.set()
            else:
                event.clear()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            if self._event is not None:
                self._event.set()
            self._changed.notify_all()

    def __len__(self) -> int:
        return sum(len(packet) for packet in self._packets)


class BufferedSocket:
    """The socket as paramiko uses it, with fewer system calls: reads through a buffer, and time-outs by the
    kernel instead of a poll before every call. A send that gets nowhere for a minute fails."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._view = memoryview(bytearray(_BUFFER))
        self._start = 0
        self._end = 0
        self._moved = time.monotonic()

    @property
    def _closed(self) -> bool:
        return self._connection.fileno() < 0

    def settimeout(self, seconds: float | None) -> None:
        value = struct.pack("ll", *divmod(round((seconds or 0) * 1_000_000), 1_000_000))
        try:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)
        except OSError:
            self._connection.settimeout(seconds)
        else:
            self._connection.settimeout(None)

    def recv(self, limit: int) -> bytes:
        if self._start == self._end:
            self._start = self._end = 0
            self._receive()
        begin = self._start
        self._start = min(self._end, begin + limit)
        return bytes(self._view[begin : self._start])

    def ahead(self, count: int) -> memoryview:
        """The next ``count`` bytes, at most half a buffer, which stay until ``skip``; of use until the next
        call. Raises TimeoutError with nothing lost, EOFError, or OSError."""
        while self._end - self._start < count:
            if self._start + count > _BUFFER:
                held = bytes(self._view[self._start : self._end])
                self._view[: len(held)] = held
                self._start, self._end = 0, len(held)
            before = self._end
            self._receive()
            if self._end == before:
                raise EOFError
        return self._view[self._start : self._start + count]

    def skip(self, count: int) -> None:
        self._start += count
        if self._start == self._end:
            self._start = self._end = 0

    @property
    def between(self) -> bool:
        """Whether nothing lies ahead yet."""
        return self._start == self._end

    def _receive(self) -> None:
        try:
            self._end += self._connection.recv_into(self._view[self._end :])
        except BlockingIOError:
            raise TimeoutError from None

    def send(self, data: Buffer) -> int:
        return self.sendmsg([data])

    def sendmsg(self, buffers: Sequence[Buffer]) -> int:
        try:
            sent = self._connection.sendmsg(buffers)
        except (BlockingIOError, TimeoutError):
            if time.monotonic() - self._moved > _STALL_S:
                raise ConnectionAbortedError from None
            raise TimeoutError from None
        self._moved = time.monotonic()
        return sent

    def close(self) -> None:
        # Closing alone does not wake a thread that waits in recv.
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def fileno(self) -> int:
        return self._connection.fileno()

    def getpeername(self) -> object:
        return self._connection.getpeername()


class ChannelData:
    """Stands in for a ``paramiko.Message``: several messages of data for one channel, each of several
    buffers (RFC 4254, section 5.2)."""

    def __init__(self, channel: int, packets: Sequence[Sequence[Buffer]]) -> None:
        self.channel = channel
        self.packets = packets

    def messages(self) -> list[paramiko.Message]:
        found = []
        for parts in self.packets:
            size = sum(len(part) for part in parts)
            head = bytes([MSG_CHANNEL_DATA]) + _WHERE.pack(self.channel, size)
            found.append(paramiko.Message(b"".join((head, *parts))))
        return found

    def asbytes(self) -> bytes:
        return b"".join(message.asbytes() for message in self.messages())


class BulkPacketizer(Packetizer):
    """Puts channel data straight into AES-GCM packets and out of them (RFC 4253, section 6; RFC 5647,
    section 7). Everything else, and every other cipher, goes paramiko's own way.

    ``deliver`` takes a channel's number and its data, or says that it does not; it is called by the
    transport's thread.
    """

    def __init__(self, connection: BufferedSocket) -> None:
        super().__init__(connection)  # type: ignore[arg-type]
        self._connection = connection
        self.deliver: Callable[[int, memoryview], bool] = lambda channel, data: False

    def send_message(self, data: Any) -> None:
        if not isinstance(data, ChannelData):
            super().send_message(data)
            return
        own: Any = self
        with own._Packetizer__write_lock:
            bulk = own._Packetizer__aead_out and not own._Packetizer__compress_engine_out
            if bulk:
                self._send_bulk(own, data)
        if not bulk:
            for message in data.messages():
                super().send_message(message)

    def _send_bulk(self, own: Any, data: ChannelData) -> None:
        encrypt, block = own._Packetizer__block_engine_out.encrypt, own._Packetizer__block_size_out
        fixed, counter = own._Packetizer__iv_out[:4], int.from_bytes(own._Packetizer__iv_out[4:], "big")
        out: list[Buffer] = []
        total = 0
        for parts in data.packets:
            size = sum(len(part) for part in parts)
            padding = 3 + block - (size + 13) % block
            head = _HEAD.pack(size + 10 + padding)
            start = _DATA.pack(padding, MSG_CHANNEL_DATA, data.channel, size)
            sealed = encrypt(
                fixed + counter.to_bytes(8, "big"), b"".join((start, *parts, os.urandom(padding))), head
            )
            counter = (counter + 1) & _U64
            out += (head, sealed)
            total += len(head) + len(sealed)
        own._Packetizer__iv_out = fixed + counter.to_bytes(8, "big")
        # Only a key exchange begins at nothing, and that is long over.
        own._Packetizer__sequence_number_out = (
            own._Packetizer__sequence_number_out + len(data.packets)
        ) & 0xFFFFFFFF
        self._write(out, total)
        own._Packetizer__sent_bytes += total
        own._Packetizer__sent_packets += len(data.packets)
        if not own._Packetizer__need_rekey and (
            own._Packetizer__sent_packets >= self.REKEY_PACKETS
            or own._Packetizer__sent_bytes >= self.REKEY_BYTES
        ):
            own._Packetizer__received_bytes_overflow = 0
            own._Packetizer__received_packets_overflow = 0
            own._trigger_rekey()

    def _write(self, out: list[Buffer], total: int) -> None:
        try:
            sent = self._connection.sendmsg(out)
        except TimeoutError:
            sent = 0
        except OSError:
            raise EOFError from None
        if sent < total:
            self.write_all(memoryview(b"".join(out))[sent:])

    def read_message(self) -> tuple[int, paramiko.Message]:
        own: Any = self
        while (
            own._Packetizer__aead_in
            and not own._Packetizer__compress_engine_in
            and not own._Packetizer__dump_packets
            and not own._Packetizer__remainder
        ):
            kind, plain, stop, number = self._open(own)
            if kind != MSG_CHANNEL_DATA or not self._delivered(plain, stop):
                message = paramiko.Message(plain[2:stop])
                message.seqno = number
                return kind, message
            if own._Packetizer__need_rekey:
                # Whoever asked for messages sees to that.
                return MSG_IGNORE, paramiko.Message()
        return super().read_message()

    def _delivered(self, plain: bytes, stop: int) -> bool:
        if stop < 10:
            return False
        channel, size = _WHERE.unpack_from(plain, 2)
        return 10 + size <= stop and self.deliver(channel, memoryview(plain)[10 : 10 + size])

    def _open(self, own: Any) -> tuple[int, bytes, int, int]:
        """The next packet: its kind, it without its length, where its padding begins, its number."""
        size = _HEAD.unpack(self._ahead(own, 4))[0]
        if not 12 <= size <= _LONGEST - 4 - _TAG:
            raise paramiko.SSHException(f"a packet claims a length of {size} bytes")
        whole = 4 + size + _TAG
        view = self._ahead(own, whole)
        nonce = own._Packetizer__iv_in
        plain = own._Packetizer__block_engine_in.decrypt(nonce, view[4:], view[:4])
        self._connection.skip(whole)
        counter = (int.from_bytes(nonce[4:], "big") + 1) & _U64
        own._Packetizer__iv_in = nonce[:4] + counter.to_bytes(8, "big")
        number = own._Packetizer__sequence_number_in
        own._Packetizer__sequence_number_in = (number + 1) & 0xFFFFFFFF
        stop = size - plain[0]
        if stop < 2:
            raise paramiko.SSHException("a packet has nothing in it")
        self._count(own, whole)
        return plain[1], plain, stop, number

    def _ahead(self, own: Any, count: int) -> memoryview:
        while True:
            try:
                return self._connection.ahead(count)
            except TimeoutError:
                if own._Packetizer__closed:
                    raise EOFError from None
                if self._connection.between and own._Packetizer__need_rekey:
                    raise NeedRekeyException from None
                own._check_keepalive()
            except OSError:
                if own._Packetizer__closed:
                    raise EOFError from None
                raise

    def _count(self, own: Any, size: int) -> None:
        """As paramiko counts: new keys after so many bytes or packets."""
        own._Packetizer__received_bytes += size
        own._Packetizer__received_packets += 1
        if own._Packetizer__need_rekey:
            own._Packetizer__received_bytes_overflow += size
            own._Packetizer__received_packets_overflow += 1
            if (
                own._Packetizer__received_packets_overflow >= self.REKEY_PACKETS_OVERFLOW_MAX
                or own._Packetizer__received_bytes_overflow >= self.REKEY_BYTES_OVERFLOW_MAX
            ):
                raise paramiko.SSHException("the server ignores that new keys are due")
        elif (
            own._Packetizer__received_packets >= self.REKEY_PACKETS
            or own._Packetizer__received_bytes >= self.REKEY_BYTES
        ):
            own._Packetizer__received_bytes_overflow = 0
            own._Packetizer__received_packets_overflow = 0
            own._trigger_rekey()


def send_bulk(channel: paramiko.Channel, buffers: Sequence[Buffer]) -> None:
    """Send all of them on a channel whose transport has a ``BulkPacketizer``, as far as possible in packets
    of full size. Raises TimeoutError where the peer takes nothing, EOFError where it is gone."""
    inside: Any = channel
    views = deque(memoryview(buffer) for buffer in buffers if len(buffer))
    left = sum(len(view) for view in views)
    while left:
        packets: list[list[memoryview]] = []
        with inside.lock:
            if inside.closed:
                raise EOFError
            while left and len(packets) < _TOGETHER and (not packets or inside.out_window_size):
                size = inside._wait_for_send_window(left)
                if not size:
                    raise EOFError
                packets.append(_cut(views, size))
                left -= size
        inside.transport._send_user_message(ChannelData(inside.remote_chanid, packets))


def _cut(views: deque[memoryview], size: int) -> list[memoryview]:
    """The next ``size`` bytes, taken away."""
    parts = []
    while size:
        view = views.popleft()
        if len(view) > size:
            views.appendleft(view[size:])
            view = view[:size]
        parts.append(view)
        size -= len(view)
    return parts
