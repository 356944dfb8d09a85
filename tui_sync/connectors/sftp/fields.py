"""What SFTP packets are made of: numbers, strings, attributes and the names of a listing.

Source: draft-ietf-secsh-filexfer-02, sections 5 and 7. Whatever breaks the protocol raises StorageError: no
length and no count that came from the other side is believed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, overload

from tui_sync.connectors.base import Buffer
from tui_sync.errors import StorageError
from tui_sync.names import printable

U32 = struct.Struct(">I")
U64 = struct.Struct(">Q")
_USUAL_FIELDS = struct.Struct(">QIIIII")
_USUAL_ATTRIBUTES = struct.Struct(">IQIIIII")
# Flags and attributes, of which user, group and time of access are passed over.
_USUAL_RECORD = struct.Struct(">IQ8xI4xI")
# Section 5. Plain numbers: an enum's operators take longer than all else there is to do for a packet.
_SIZE = 0x00000001
_OWNER = 0x00000002
_PERMISSIONS = 0x00000004
_TIMES = 0x00000008
_EXTENDED = 0x80000000
_USUAL = _SIZE | _OWNER | _PERMISSIONS | _TIMES


def broken(what: str) -> StorageError:
    """The error for a server that does not keep to the protocol."""
    return StorageError(f"the server broke the SFTP protocol: {what}")


# These and all packets are values. They are not frozen, which would make each take three times as long.
@dataclass(slots=True, unsafe_hash=True)
class Attributes:
    """Section 5. ``permissions`` holds the file type bits too; times (of access, of change) are whole seconds
    since 1970 in 32 bits."""

    size: int | None = None
    owner: tuple[int, int] | None = None
    permissions: int | None = None
    times: tuple[int, int] | None = None
    extended: tuple[tuple[bytes, bytes], ...] = ()

    def encode(self) -> bytes:
        flags = 0
        parts: list[bytes] = []
        if self.size is not None:
            flags |= _SIZE
            parts.append(U64.pack(self.size))
        if self.owner is not None:
            flags |= _OWNER
            parts.append(struct.pack(">II", *self.owner))
        if self.permissions is not None:
            flags |= _PERMISSIONS
            parts.append(U32.pack(self.permissions))
        if self.times is not None:
            flags |= _TIMES
            parts.append(struct.pack(">II", *self.times))
        if self.extended:
            flags |= _EXTENDED
            parts.append(U32.pack(len(self.extended)))
            parts.extend(string(name) + string(value) for name, value in self.extended)
        return U32.pack(flags) + b"".join(parts)

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        flags = fields.u32()
        if flags == _USUAL:
            size, user, group, permissions, accessed, changed = fields.unpack(_USUAL_FIELDS)
            return cls(size, (user, group), permissions, (accessed, changed))
        size = fields.u64() if flags & _SIZE else None
        owner = (fields.u32(), fields.u32()) if flags & _OWNER else None
        permissions = fields.u32() if flags & _PERMISSIONS else None
        times = (fields.u32(), fields.u32()) if flags & _TIMES else None
        extended: tuple[tuple[bytes, bytes], ...] = ()
        if flags & _EXTENDED:
            extended = tuple((fields.string(), fields.string()) for _ in range(fields.count(8)))
        return cls(size, owner, permissions, times, extended)

    @classmethod
    def usual(cls, packet: Buffer, at: int) -> Self | None:
        """What ``decode`` makes of the rest of a packet from ``at`` on, in half the time; None where that is
        not what nearly all servers send."""
        if len(packet) - at != _USUAL_ATTRIBUTES.size:
            return None
        flags, size, user, group, permissions, accessed, changed = _USUAL_ATTRIBUTES.unpack_from(packet, at)
        return cls(size, (user, group), permissions, (accessed, changed)) if flags == _USUAL else None


NO_ATTRIBUTES = Attributes()


def string(value: bytes) -> bytes:
    return U32.pack(len(value)) + value


def text(value: str) -> bytes:
    try:
        return string(value.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        raise StorageError(f"the name “{printable(value)}” cannot be sent as UTF-8") from None


class Fields:
    """Reads the fields of one packet in order, never past its end."""

    __slots__ = ("_at", "_view")

    def __init__(self, data: Buffer) -> None:
        self._view = memoryview(data)
        self._at = 0

    def take(self, length: int) -> memoryview:
        end = self._at + length
        if end > len(self._view):
            raise broken(f"a packet ends {end - len(self._view)} bytes too early")
        part = self._view[self._at : end]
        self._at = end
        return part

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        """Fixed fields at once."""
        try:
            values = layout.unpack_from(self._view, self._at)
        except struct.error:
            self.take(layout.size)
            raise
        self._at += layout.size
        return values

    def u8(self) -> int:
        return self.take(1)[0]

    def u32(self) -> int:
        return int(self.unpack(U32)[0])

    def u64(self) -> int:
        return int(self.unpack(U64)[0])

    def view(self) -> memoryview:
        """A string, not copied."""
        return self.take(self.u32())

    def string(self) -> bytes:
        return bytes(self.view())

    def text(self) -> str:
        return str(self.view(), "utf-8", "surrogateescape")

    def count(self, least: int) -> int:
        """A number of things that take at least ``least`` bytes each, checked against what is left."""
        number = self.u32()
        if number * least > len(self._view) - self._at:
            raise broken(f"a packet of {len(self._view)} bytes claims to hold {number} entries")
        return number

    def rest(self) -> bytes:
        return bytes(self.take(len(self._view) - self._at))

    @property
    def left(self) -> int:
        return len(self._view) - self._at


@dataclass(slots=True)
class NameEntry:
    name: str
    long_name: str
    attributes: Attributes


class UsualEntries(Sequence[NameEntry]):
    """Entries that all have the usual attributes, as OpenSSH's listings have them, taken out of their packet
    by columns: an object for each of them would take longer than all else that a listing takes.

    ``changed`` are the times of change, as in ``Attributes.times``.
    """

    __slots__ = ("_body", "changed", "names", "permissions", "sizes")

    def __init__(self, body: bytes, names: list[str], columns: Sequence[tuple[int, ...]]) -> None:
        self._body = body
        self.names = names
        self.sizes, self.permissions, self.changed = columns

    @classmethod
    def found(cls, body: bytes, count: int) -> Self | None:
        """The ``count`` entries that the body is made up of; None where they are not like that, or where the
        body is anything else than that."""
        names: list[bytes] = []
        records: list[bytes] = []
        length, size = U32.unpack_from, _USUAL_RECORD.size
        at = 0
        try:
            for _ in range(count):
                start = at + 4
                long_name = start + length(body, at)[0]
                record = long_name + 4 + length(body, long_name)[0]
                at = record + size
                names.append(body[start:long_name])
                records.append(body[record:at])
        except struct.error:
            return None
        if not count or at != len(body):
            return None
        flags, *columns = zip(*_USUAL_RECORD.iter_unpack(b"".join(records)), strict=True)
        # A NUL ends whatever was cut short before it, so that the names do not change each other.
        decoded = str(b"\0".join(names), "utf-8", "surrogateescape").split("\0")
        return cls(body, decoded, columns) if set(flags) == {_USUAL} and len(decoded) == count else None

    @overload
    def __getitem__(self, index: int) -> NameEntry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[NameEntry]: ...
    def __getitem__(self, index: int | slice) -> NameEntry | Sequence[NameEntry]:
        return name_entries(Fields(self._body), len(self))[index]

    def __iter__(self) -> Iterator[NameEntry]:
        return iter(name_entries(Fields(self._body), len(self)))

    def __len__(self) -> int:
        return len(self.names)


def name_entries(fields: Fields, count: int) -> tuple[NameEntry, ...]:
    return tuple(NameEntry(fields.text(), fields.text(), Attributes.decode(fields)) for _ in range(count))
