"""A byte stream cut into SFTP packets."""

from __future__ import annotations

from tui_sync.connectors.base import Buffer
from tui_sync.connectors.sftp.fields import U32, broken
from tui_sync.errors import StorageError

MAX_PACKET = 1 << 20
"""Longest packet that is accepted: four times what OpenSSH ever sends."""
# Type and id.
_LEAST = 5


class Framer:
    """Cuts a byte stream into packets.

    A packet that lies whole in one chunk is handed out as a view of it; one that comes in pieces is put
    together in a buffer of its exact length.
    """

    __slots__ = ("_head", "_packet", "_rest")

    def __init__(self) -> None:
        self._head = b""
        self._packet: bytearray | None = None
        self._rest = 0

    @property
    def missing(self) -> int:
        """Bytes still wanted for the packet under way, as far as known; at least 1."""
        return self._rest if self._packet is not None else 4 - len(self._head)

    def feed(self, chunk: Buffer) -> list[memoryview]:
        """The packets that end in ``chunk``, without their lengths."""
        view = memoryview(chunk)
        packets: list[memoryview] = []
        if self._packet is None and not self._head:
            at, size = 0, len(view)
            while size - at >= 4:
                start = at + 4
                length = U32.unpack_from(view, at)[0]
                if not _LEAST <= length <= MAX_PACKET:
                    raise _no_packet(length)
                end = start + length
                if end > size:
                    break
                packets.append(view[start:end])
                at = end
            view = view[at:]
        while view:
            if self._packet is None:
                wanted = 4 - len(self._head)
                self._head += bytes(view[:wanted])
                view = view[wanted:]
                if len(self._head) < 4:
                    break
                length = U32.unpack(self._head)[0]
                if not _LEAST <= length <= MAX_PACKET:
                    raise _no_packet(length)
                self._head = b""
                if len(view) >= length:
                    packets.append(view[:length])
                    view = view[length:]
                    continue
                self._packet, self._rest = bytearray(length), length
            part = view[: self._rest]
            start = len(self._packet) - self._rest
            self._packet[start : start + len(part)] = part
            self._rest -= len(part)
            view = view[len(part) :]
            if not self._rest:
                whole, self._packet = self._packet, None
                packets.append(memoryview(whole))
        return packets


def _no_packet(length: int) -> StorageError:
    return broken(f"a packet claims a length of {length} bytes")
