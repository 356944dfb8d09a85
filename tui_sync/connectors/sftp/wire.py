"""SFTP version 3 on the wire: packets to bytes and back, nothing else.

Source: draft-ietf-secsh-filexfer-02; the ``@openssh.com`` extensions are those of OpenSSH's PROTOCOL file,
section 4. A packet is ``uint32 length, byte type, uint32 request id, …``. Names are ``str`` in which bytes
that are not UTF-8 are surrogate escapes. Whatever breaks the protocol raises StorageError: nothing in here
trusts a length or a count that came from the other side.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from functools import lru_cache
from typing import Any, ClassVar, Self, TypeAlias, overload

from tui_sync.connectors.base import Buffer
from tui_sync.errors import StorageError
from tui_sync.names import printable

VERSION = 3
MAX_PACKET = 1 << 20
"""Longest packet that is accepted: four times what OpenSSH ever sends."""

LIMITS = "limits@openssh.com"
POSIX_RENAME = "posix-rename@openssh.com"
FSYNC = "fsync@openssh.com"
STATVFS = "statvfs@openssh.com"
LSETSTAT = "lsetstat@openssh.com"
COPY_DATA = "copy-data"
HARDLINK = "hardlink@openssh.com"

_INIT, _VERSION = 1, 2
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_HEAD = struct.Struct(">IBI")
_TYPE_AND_ID = struct.Struct(">BI")
_SHORT = 256
_USUAL_FIELDS = struct.Struct(">QIIIII")
# Flags and attributes, of which user, group and time of access are passed over.
_USUAL_RECORD = struct.Struct(">IQ8xI4xI")


class StatusCode(IntEnum):
    """Section 7."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    NO_CONNECTION = 6
    CONNECTION_LOST = 7
    OP_UNSUPPORTED = 8


class OpenFlag(IntFlag):
    """Section 6.3."""

    READ = 0x01
    WRITE = 0x02
    APPEND = 0x04
    CREATE = 0x08
    TRUNCATE = 0x10
    EXCLUSIVE = 0x20


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
            parts.append(_U64.pack(self.size))
        if self.owner is not None:
            flags |= _OWNER
            parts.append(struct.pack(">II", *self.owner))
        if self.permissions is not None:
            flags |= _PERMISSIONS
            parts.append(_U32.pack(self.permissions))
        if self.times is not None:
            flags |= _TIMES
            parts.append(struct.pack(">II", *self.times))
        if self.extended:
            flags |= _EXTENDED
            parts.append(_U32.pack(len(self.extended)))
            parts.extend(string(name) + string(value) for name, value in self.extended)
        return _U32.pack(flags) + b"".join(parts)

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


NO_ATTRIBUTES = Attributes()


def string(value: bytes) -> bytes:
    return _U32.pack(len(value)) + value


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
        return int(self.unpack(_U32)[0])

    def u64(self) -> int:
        return int(self.unpack(_U64)[0])

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
class Open:
    TYPE: ClassVar[int] = 3
    path: str
    flags: OpenFlag
    attributes: Attributes = NO_ATTRIBUTES

    def body(self) -> bytes:
        return text(self.path) + _U32.pack(self.flags) + self.attributes.encode()

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        return cls(fields.text(), OpenFlag(fields.u32()), Attributes.decode(fields))


@dataclass(slots=True)
class _ByHandle:
    TYPE: ClassVar[int]
    handle: bytes

    def body(self) -> bytes:
        return string(self.handle)

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        return cls(fields.string())


class Close(_ByHandle):
    TYPE = 4


class Fstat(_ByHandle):
    TYPE = 8


class ReadDir(_ByHandle):
    TYPE = 12


@dataclass(slots=True)
class Read:
    TYPE: ClassVar[int] = 5
    handle: bytes
    offset: int
    length: int

    def body(self) -> bytes:
        return string(self.handle) + struct.pack(">QI", self.offset, self.length)

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        return cls(fields.string(), fields.u64(), fields.u32())


@dataclass(slots=True)
class Write:
    TYPE: ClassVar[int] = 6
    handle: bytes
    offset: int
    data: Buffer

    def body(self) -> bytes:
        """All but the data, which goes out as it is: see ``encode``."""
        return string(self.handle) + struct.pack(">QI", self.offset, len(self.data))

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        return cls(fields.string(), fields.u64(), fields.view())


@dataclass(slots=True)
class _ByPath:
    TYPE: ClassVar[int]
    path: str

    def body(self) -> bytes:
        return text(self.path)

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        return cls(fields.text())


class Lstat(_ByPath):
    TYPE = 7


class OpenDir(_ByPath):
    TYPE = 11


class Remove(_ByPath):
    TYPE = 13


class RmDir(_ByPath):
    TYPE = 15


class RealPath(_ByPath):
    TYPE = 16


class Stat(_ByPath):
    TYPE = 17


class ReadLink(_ByPath):
    TYPE = 19


@dataclass(slots=True)
class SetStat:
    TYPE: ClassVar[int] = 9
    path: str
    attributes: Attributes

    def body(self) -> bytes:
        return text(self.path) + self.attributes.encode()

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        return cls(fields.text(), Attributes.decode(fields))


class MkDir(SetStat):
    TYPE = 14


@dataclass(slots=True)
class FsetStat:
    TYPE: ClassVar[int] = 10
    handle: bytes
    attributes: Attributes

    def body(self) -> bytes:
        return string(self.handle) + self.attributes.encode()

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        return cls(fields.string(), Attributes.decode(fields))


@dataclass(slots=True)
class Rename:
    TYPE: ClassVar[int] = 18
    old: str
    new: str

    def body(self) -> bytes:
        return text(self.old) + text(self.new)

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        return cls(fields.text(), fields.text())


@dataclass(slots=True)
class SymLink:
    """Section 6.10, which has the new link's path first. OpenSSH and all that took after it have it second
    (its PROTOCOL file, section 4.1): whoever sends this has to know which server it is for."""

    TYPE: ClassVar[int] = 20
    first: str
    second: str

    def body(self) -> bytes:
        return text(self.first) + text(self.second)

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        return cls(fields.text(), fields.text())


@dataclass(slots=True)
class Extended:
    """Section 8: ``payload`` is what follows the extension's name."""

    TYPE: ClassVar[int] = 200
    name: str
    payload: bytes = b""

    def body(self) -> bytes:
        return text(self.name) + self.payload

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        return cls(fields.text(), fields.rest())


def posix_rename(old: str, new: str) -> Extended:
    """Rename that replaces ``new`` in one step."""
    return Extended(POSIX_RENAME, text(old) + text(new))


def hardlink(old: str, new: str) -> Extended:
    """A second name ``new`` for the file ``old``; fails where it is taken."""
    return Extended(HARDLINK, text(old) + text(new))


def fsync(handle: bytes) -> Extended:
    return Extended(FSYNC, string(handle))


def copy_data(source: bytes, target: bytes, offset: int, length: int) -> Extended:
    """Copy from one open file to the other, at the same offset; draft-ietf-secsh-filexfer-extensions-00,
    section 7. A length of 0 means up to the end."""
    return Extended(
        COPY_DATA, string(source) + struct.pack(">QQ", offset, length) + string(target) + _U64.pack(offset)
    )


def statvfs(path: str) -> Extended:
    """Answered by an ExtendedReply for ``FileSystem.decode``."""
    return Extended(STATVFS, text(path))


def lsetstat(path: str, attributes: Attributes) -> Extended:
    """SetStat that does not follow a symlink."""
    return Extended(LSETSTAT, text(path) + attributes.encode())


Request: TypeAlias = (
    Open
    | Close
    | Read
    | Write
    | Lstat
    | Fstat
    | SetStat
    | FsetStat
    | OpenDir
    | ReadDir
    | Remove
    | MkDir
    | RmDir
    | RealPath
    | Stat
    | Rename
    | ReadLink
    | SymLink
    | Extended
)
_REQUESTS: dict[int, type[Request]] = {kind.TYPE: kind for kind in Request.__args__}


@dataclass(slots=True)
class Status:
    TYPE: ClassVar[int] = 101
    code: int
    message: str = ""

    def body(self) -> bytes:
        return _U32.pack(self.code) + text(self.message) + text("")

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        code = fields.u32()
        # Servers of the first drafts send the code alone.
        return cls(code, fields.text() if fields.left else "")


@dataclass(slots=True)
class Handle(_ByHandle):
    TYPE: ClassVar[int] = 102

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        handle = fields.string()
        if len(handle) > 256:
            raise broken(f"a handle has {len(handle)} bytes where 256 are allowed")
        return cls(handle)


@dataclass(slots=True)
class Data:
    """``data`` is a view into the packet it came in."""

    TYPE: ClassVar[int] = 103
    data: Buffer

    def body(self) -> bytes:
        return string(bytes(self.data))

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        return cls(fields.view())


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
        length, size = _U32.unpack_from, _USUAL_RECORD.size
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
        return _entries(Fields(self._body), len(self))[index]

    def __iter__(self) -> Iterator[NameEntry]:
        return iter(_entries(Fields(self._body), len(self)))

    def __len__(self) -> int:
        return len(self.names)


def _entries(fields: Fields, count: int) -> tuple[NameEntry, ...]:
    return tuple(NameEntry(fields.text(), fields.text(), Attributes.decode(fields)) for _ in range(count))


@dataclass(slots=True)
class Name:
    TYPE: ClassVar[int] = 104
    entries: Sequence[NameEntry]

    def body(self) -> bytes:
        parts = [_U32.pack(len(self.entries))]
        for entry in self.entries:
            parts += [text(entry.name), text(entry.long_name), entry.attributes.encode()]
        return b"".join(parts)

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        count = fields.count(12)
        body = fields.rest()
        return cls(UsualEntries.found(body, count) or _entries(Fields(body), count))


@dataclass(slots=True)
class Attrs:
    TYPE: ClassVar[int] = 105
    attributes: Attributes

    def body(self) -> bytes:
        return self.attributes.encode()

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        return cls(Attributes.decode(fields))


@dataclass(slots=True)
class ExtendedReply:
    TYPE: ClassVar[int] = 201
    payload: bytes

    def body(self) -> bytes:
        return self.payload

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        return cls(fields.rest())


Response: TypeAlias = Status | Handle | Data | Name | Attrs | ExtendedReply
_RESPONSES: dict[int, type[Response]] = {kind.TYPE: kind for kind in Response.__args__}


@dataclass(slots=True)
class Limits:
    """limits@openssh.com: the longest packet, read and write in bytes, and how many handles may be open.

    A zero from the server means no limit told; without the extension the draft's own limits hold.
    """

    packet: int = 34_000
    read: int = 32_768
    write: int = 32_768
    handles: int = 0

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        fields = Fields(payload)
        packet, read, write, handles = (fields.u64() for _ in range(4))
        return cls(packet or cls().packet, read or cls().read, write or cls().write, handles)

    def encode(self) -> bytes:
        return struct.pack(">QQQQ", self.packet, self.read, self.write, self.handles)


@dataclass(slots=True)
class FileSystem:
    """statvfs@openssh.com, the fields of statvfs(3) in which free space is counted."""

    fragment_size: int
    available: int

    @property
    def free(self) -> int:
        """Bytes an ordinary user can still write."""
        return self.fragment_size * self.available

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        values = struct.unpack(">11Q", Fields(payload).take(88))
        return cls(values[1], values[4])

    def encode(self) -> bytes:
        values = [0] * 11
        values[1], values[4] = self.fragment_size, self.available
        return struct.pack(">11Q", *values)


def encode(request_id: int, packet: Request | Response) -> list[Buffer]:
    """The packet with its length in front; the data of a Write as a buffer of its own, not copied."""
    body = packet.body()
    if isinstance(packet, Write):
        length = len(body) + 5 + len(packet.data)
        return [_HEAD.pack(length, packet.TYPE, request_id) + body, packet.data]
    return [_HEAD.pack(len(body) + 5, packet.TYPE, request_id) + body]


def decode_request(packet: Buffer) -> tuple[int, Request]:
    """Request id and request of a packet without its length."""
    fields = Fields(packet)
    number, request_id = fields.u8(), fields.u32()
    kind = _REQUESTS.get(number)
    if kind is None:
        raise broken(f"{number} is no type of request")
    return request_id, kind.decode(fields)


def decode_response(packet: Buffer) -> tuple[int, Response]:
    """Request id and response of a packet without its length."""
    fields = Fields(packet)
    number, request_id = fields.unpack(_TYPE_AND_ID)
    if number == Status.TYPE and len(packet) < _SHORT:
        return request_id, _status(fields.rest())
    kind = _RESPONSES.get(number)
    if kind is None:
        raise broken(f"{number} is no type of response")
    return request_id, kind.decode(fields)


@lru_cache(maxsize=64)
def _status(body: bytes) -> Status:
    """Nearly all of them are one and the same."""
    return Status.decode(Fields(body))


def encode_init() -> bytes:
    """The first packet of a client, section 3."""
    return struct.pack(">IBI", 5, _INIT, VERSION)


@dataclass(slots=True)
class Version:
    """The first packet of a server: its version and the extensions it offers, each with its own version."""

    number: int = VERSION
    extensions: Mapping[str, bytes] = field(default_factory=dict)

    def encode(self) -> bytes:
        pairs = b"".join(text(name) + string(value) for name, value in self.extensions.items())
        return struct.pack(">IBI", len(pairs) + 5, _VERSION, self.number) + pairs

    @classmethod
    def decode(cls, packet: Buffer) -> Self:
        fields = Fields(packet)
        if (kind := fields.u8()) != _VERSION:
            raise broken(f"its first packet has type {kind}, not {_VERSION}")
        number = fields.u32()
        extensions: dict[str, bytes] = {}
        while fields.left:
            name = fields.text()
            extensions[name] = fields.string()
        return cls(number, extensions)


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

    def feed(self, chunk: Buffer) -> Iterator[memoryview]:
        """The packets that end in ``chunk``, without their lengths. To be exhausted before the next call."""
        view = memoryview(chunk)
        if self._packet is None and not self._head:
            at = 0
            while len(view) - at >= 4:
                end = at + 4 + _packet_length(view[at : at + 4])
                if end > len(view):
                    break
                yield view[at + 4 : end]
                at = end
            view = view[at:]
        while view:
            if self._packet is None:
                wanted = 4 - len(self._head)
                self._head += bytes(view[:wanted])
                view = view[wanted:]
                if len(self._head) < 4:
                    return
                length = _packet_length(self._head)
                self._head = b""
                if len(view) >= length:
                    yield view[:length]
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
                yield memoryview(whole)


def _packet_length(head: Buffer) -> int:
    length = int(_U32.unpack(head)[0])
    if not 5 <= length <= MAX_PACKET:
        raise broken(f"a packet claims a length of {length} bytes")
    return length
