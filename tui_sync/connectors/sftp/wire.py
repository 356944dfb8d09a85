"""SFTP version 3 on the wire: packets to bytes and back, nothing else.

Source: draft-ietf-secsh-filexfer-02; the ``@openssh.com`` extensions are those of OpenSSH's PROTOCOL file,
section 4. A packet is ``uint32 length, byte type, uint32 request id, …``. Names are ``str`` in which bytes
that are not UTF-8 are surrogate escapes. Whatever breaks the protocol raises StorageError: nothing in here
trusts a length or a count that came from the other side.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from functools import lru_cache
from typing import ClassVar, Self, TypeAlias

from tui_sync.connectors.base import Buffer
from tui_sync.connectors.sftp.fields import (
    NO_ATTRIBUTES,
    U32,
    U64,
    Attributes,
    Fields,
    NameEntry,
    UsualEntries,
    broken,
    name_entries,
    string,
    text,
)
from tui_sync.connectors.sftp.framing import Framer

# What packets are made of, and come in, is had together with them.
__all__ = [
    "NO_ATTRIBUTES",
    "Attributes",
    "Fields",
    "Framer",
    "NameEntry",
    "UsualEntries",
    "broken",
]

VERSION = 3
LIMITS = "limits@openssh.com"
POSIX_RENAME = "posix-rename@openssh.com"
FSYNC = "fsync@openssh.com"
STATVFS = "statvfs@openssh.com"
LSETSTAT = "lsetstat@openssh.com"
COPY_DATA = "copy-data"
HARDLINK = "hardlink@openssh.com"

_INIT, _VERSION = 1, 2
_HEAD = struct.Struct(">IBI")
_TYPE_AND_ID = struct.Struct(">BI")
_PART = struct.Struct(">QI")
# Of a packet of data, what stands before them.
_DATA = 9
_SHORT = 256


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


@dataclass(slots=True)
class Open:
    TYPE: ClassVar[int] = 3
    path: str
    flags: OpenFlag
    attributes: Attributes = NO_ATTRIBUTES

    def body(self) -> bytes:
        return text(self.path) + U32.pack(self.flags) + self.attributes.encode()

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
        return U32.pack(len(self.handle)) + self.handle + _PART.pack(self.offset, self.length)

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
        return U32.pack(len(self.handle)) + self.handle + _PART.pack(self.offset, len(self.data))

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
        COPY_DATA, string(source) + struct.pack(">QQ", offset, length) + string(target) + U64.pack(offset)
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
        return U32.pack(self.code) + text(self.message) + text("")

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
class Name:
    TYPE: ClassVar[int] = 104
    entries: Sequence[NameEntry]

    def body(self) -> bytes:
        parts = [U32.pack(len(self.entries))]
        for entry in self.entries:
            parts += [text(entry.name), text(entry.long_name), entry.attributes.encode()]
        return b"".join(parts)

    @classmethod
    def decode(cls, fields: Fields) -> Self:
        count = fields.count(12)
        body = fields.rest()
        return cls(UsualEntries.found(body, count) or name_entries(Fields(body), count))


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
    if type(packet) is Write:
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
    try:
        number, request_id = _TYPE_AND_ID.unpack_from(packet)
    except struct.error:
        raise broken(f"a packet ends {_TYPE_AND_ID.size - len(packet)} bytes too early") from None
    # What most requests are answered with, by a shorter way.
    if number == Data.TYPE and len(packet) >= _DATA:
        data = packet[_DATA:]
        if U32.unpack_from(packet, _TYPE_AND_ID.size)[0] == len(data):
            return request_id, Data(data)
    if len(packet) < _SHORT:
        if number == Status.TYPE:
            return request_id, _status(bytes(packet[_TYPE_AND_ID.size :]))
        if number == Attrs.TYPE and (usual := Attributes.usual(packet, _TYPE_AND_ID.size)):
            return request_id, Attrs(usual)
    kind = _RESPONSES.get(number)
    if kind is None:
        raise broken(f"{number} is no type of response")
    fields = Fields(packet)
    fields.take(_TYPE_AND_ID.size)
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
