"""Columns of a million rows: names in one piece of memory, and flags that are worked on all at once.

A mask is a bytearray of zeros and ones, one for each row. Loops over single rows are left to C wherever a
plan may have very many of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator
from itertools import compress

from tui_sync.names import printable

_CHUNK = 32_768


class Names:
    """Strings, surrogate escapes included, at a few bytes more than their UTF-8."""

    __slots__ = ("_bytes", "_ends")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("Q", (0,))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row: int) -> str:
        return self._bytes[self._ends[row] : self._ends[row + 1]].decode("utf-8", "surrogateescape")

    def append(self, name: str) -> None:
        self._bytes += name.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._bytes))


class Search:
    """What names look like, in lower case, to be searched in full while somebody types."""

    def __init__(self) -> None:
        self._chunks: list[str] = []
        self._last: list[str] = []

    def append(self, name: str) -> None:
        plain = name.isascii() and name.isprintable()
        self._last.append(name.lower() if plain else printable(name).casefold())
        if len(self._last) == _CHUNK:
            self._chunks.append("\n".join(self._last))
            self._last = []

    def holding(self, text: str) -> bytearray:
        """A mask of the names that hold ``text``, which is in lower case."""
        found = bytearray()
        for names in self._parts():
            found += bytes([text in name for name in names])
        return found

    def beginning(self, text: str) -> bytearray:
        """A mask of the names that begin with ``text``."""
        found = bytearray()
        for names in self._parts():
            found += bytes([name.startswith(text) for name in names])
        return found

    def _parts(self) -> Iterator[list[str]]:
        for chunk in self._chunks:
            yield chunk.split("\n")
        yield self._last


def picking(column: bytes | bytearray, codes: Collection[int]) -> bytearray:
    """A mask of the rows whose code is among ``codes``."""
    return bytearray(column.translate(bytes(code in codes for code in range(256))))


def both(one: bytearray, other: bytearray) -> bytearray:
    """Where both masks are set."""
    length = len(one)
    together = int.from_bytes(one, "little") & int.from_bytes(other, "little")
    return bytearray(together.to_bytes(length, "little"))


def either(one: bytearray, other: bytearray) -> bytearray:
    """Where one of the masks is set."""
    length = len(one)
    together = int.from_bytes(one, "little") | int.from_bytes(other, "little")
    return bytearray(together.to_bytes(length, "little"))


def rows_of(mask: bytes | bytearray) -> array[int]:
    """The numbers of the rows that are set."""
    return array("i", compress(range(len(mask)), mask))
