"""Paths as keys, times as metadata, and the layout of multipart uploads: all that is pure arithmetic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tui_sync import names
from tui_sync.errors import StorageError
from tui_sync.model import Entry, Kind

MIB = 1 << 20
# Limits of the protocol: "Amazon S3 multipart upload limits" in the S3 User Guide.
MOST_PARTS = 10_000
LARGEST_OBJECT = 5 << 40
LONGEST_KEY = 1_024

# The metadata key and form in which rclone keeps times: seconds since 1970, with a fraction.
MTIME = "mtime"
_SECONDS = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9})\d*)?", re.ASCII)
_MD5 = re.compile(r"[0-9a-f]{32}")
_NS = 1_000_000_000
# Of an upload of unknown length, parts double in size each time so many have been sent.
_GROW_EVERY = 1_000


class Place:
    """A bucket and the prefix in it that is the root: ``""``, or a folder's name that ends in a slash."""

    def __init__(self, bucket: str, path: str) -> None:
        self.bucket = bucket
        self.prefix = f"{path.strip('/')}/" if path.strip("/") else ""

    def key(self, path: str) -> str:
        """The key of the object at ``path``. Raises UnsafeName, or StorageError where no key can be that."""
        key = self.prefix + names.check_path(path)
        try:
            length = len(key.encode())
        except UnicodeEncodeError:
            raise StorageError(
                f"the name “{names.printable(path)}” is not UTF-8, which S3 requires: rename it"
            ) from None
        if length > LONGEST_KEY:
            raise StorageError(
                f"the name “{names.printable(path)}” is too long: with its prefix it has {length:,} bytes, "
                f"and S3 takes {LONGEST_KEY:,}"
            )
        return key

    def folder(self, path: str) -> str:
        """What the keys of everything below the directory ``path`` begin with; also its marker's key."""
        return f"{self.key(path)}/" if path else self.prefix


def mtime_text(mtime_ns: int | None) -> str | None:
    """The metadata value for a time in nanoseconds, None where it is none that 64 bits can hold."""
    if mtime_ns is None or not -(2**63) <= mtime_ns < 2**63:
        return None
    seconds, fraction = divmod(abs(mtime_ns), _NS)
    return f"{'-' if mtime_ns < 0 else ''}{seconds}.{fraction:09d}"


def mtime_of(metadata: Mapping[str, str]) -> int | None:
    """The time kept in an object's metadata, None where there is none that can be read."""
    match = _SECONDS.fullmatch(lowered(metadata).get(MTIME, ""))
    if match is None:
        return None
    sign, seconds, fraction = match[1], match[2], match[3] or ""
    value = int(seconds) * _NS + int(fraction.ljust(9, "0"))
    value = -value if sign else value
    return value if -(2**63) <= value < 2**63 else None


def lowered(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata by its keys as S3 keeps them. They travel as headers, which servers in between write as they
    like: ``X-Amz-Meta-Mtime`` is ``mtime``."""
    return {name.lower(): value for name, value in metadata.items()}


def modified_ns(when: datetime | None) -> int | None:
    """The ``Last-Modified`` of an answer, in nanoseconds."""
    return None if when is None else round(when.timestamp()) * _NS


def plain(etag: object) -> str:
    """An ETag without its quotes, as entries hold it; a weak one keeps its mark (RFC 9110, section 8.8.3)."""
    text = str(etag or "")
    return "W/" + text[2:].strip('"') if text.startswith("W/") else text.strip('"')


def md5_of(etag: str | None, answer: Mapping[str, Any] | None = None) -> str | None:
    """The MD5 that an ETag is, None where it is none: of a multipart upload, or of an object that the server
    encrypts with a key of its customer's or of a key service ("Common response headers", ETag)."""
    if etag is None or not _MD5.fullmatch(etag):
        return None
    if answer is not None and (
        answer.get("SSECustomerAlgorithm")
        or str(answer.get("ServerSideEncryption") or "").startswith("aws:kms")
    ):
        return None
    return etag


def entry_of(path: str, answer: Mapping[str, Any], size: int) -> Entry:
    """The file that an answer to HEAD or GET describes. Its time is the one kept in its metadata, or else
    that of the upload."""
    mtime_ns = mtime_of(answer.get("Metadata") or {})
    if mtime_ns is None:
        mtime_ns = modified_ns(answer.get("LastModified"))
    return Entry(path, Kind.FILE, size, mtime_ns, etag=plain(answer.get("ETag")))


class Parts:
    """Which bytes go into which part; parts count from 1.

    Of a known ``size`` all parts but the last have one length, ``part_size`` or as much more as 10,000 parts
    ask for. Of an unknown one the length doubles every 1,000 parts.
    """

    def __init__(self, part_size: int, size: int | None) -> None:
        if size is not None and size > LARGEST_OBJECT:
            raise StorageError(
                f"{size:,} bytes are more than the {LARGEST_OBJECT:,} that S3 keeps as one object"
            )
        self.grows = size is None
        self.part_size = part_size
        if size is not None and size > part_size * MOST_PARTS:
            # Both divisions round up.
            self.part_size = -(-size // (MOST_PARTS * MIB)) * MIB

    def bounds(self, number: int) -> tuple[int, int]:
        """First byte of a part, and the one after its last if it is full."""
        if number > MOST_PARTS:
            raise StorageError(f"more than the {MOST_PARTS:,} parts that S3 takes are needed")
        if not self.grows:
            return (number - 1) * self.part_size, number * self.part_size
        step, rest = divmod(number - 1, _GROW_EVERY)
        length = self.part_size << step
        start = self.part_size * _GROW_EVERY * ((1 << step) - 1) + rest * length
        return start, start + length

    def starting_at(self, offset: int) -> int | None:
        """The number of the part that begins at ``offset``."""
        low, high = 1, MOST_PARTS
        while low <= high:
            middle = (low + high) // 2
            start = self.bounds(middle)[0]
            if start == offset:
                return middle
            if start < offset:
                low = middle + 1
            else:
                high = middle - 1
        return None
