"""Columns of a million rows: names in one piece of memory, and flags that are worked on all at once.

A mask is a bytearray of zeros and ones, one for each row. Loops over single rows are left to C wherever a
plan may have very many of them.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterator
from itertools import accumulate, compress

from tui_sync.names import printable

_CHUNK = 32_768
# One in so many is where a loop in C over all begins to beat one in Python over a few.
_MANY = 12
_RUNS = re.compile(b"\1+")
# A byte that no printable name has.
_MARK, _MARK_FIRST = b"\1", b"\n\1"
_REST = bytes(set(range(256)) - {*_MARK_FIRST})
_TO_FLAGS = bytes(code == 2 for code in range(256))


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


class _Chunk:
    """Some names as UTF-8, each behind a line break, and where those are."""

    __slots__ = ("_starts", "_text")

    def __init__(self, names: list[bytes]) -> None:
        self._text = b"\n" + b"\n".join(names)
        self._starts = array("I", accumulate((0, *(len(name) + 1 for name in names))))

    def mark(self, text: bytes, mask: bytearray, first: int, crowded: bool) -> bool:
        """Set the flags, from ``first`` on, of the names that hold ``text``; with a line break in front of
        it, of those that begin with it. ``crowded``: very many do, as is to be expected from those before;
        returns whether so it is."""
        whole, starts = self._text, self._starts
        count = len(starts) - 1
        few = count // _MANY
        if not crowded:
            left = few
            at = whole.find(text)
            while at >= 0 and left:
                row = bisect_right(starts, at) - 1
                mask[first + row] = 1
                at = whole.find(text, starts[row + 1])
                left -= 1
            if at < 0:
                return False
        mask[first : first + count] = _flags(whole, text)
        return mask.count(1, first, first + count) > few


def _flags(whole: bytes, text: bytes) -> bytes:
    """One flag for each line of ``whole``: whether ``text`` is in it. No loop in Python: ``text`` becomes a
    mark, all but marks and line breaks goes, and then lines with marks become one byte, those without
    another."""
    if len(text) == 1:
        # Far cheaper than to replace it.
        marks = whole.translate(bytes.maketrans(text, _MARK), _REST.replace(text, b""))
    else:
        marks = whole.replace(text, _MARK_FIRST if text.startswith(b"\n") else _MARK).translate(None, _REST)
    if b"\n\n" not in marks and not marks.endswith(b"\n"):
        return b"\1" * whole.count(b"\n")
    while b"\1\1" in marks:
        marks = marks.replace(b"\1\1", _MARK)
    return marks.replace(_MARK_FIRST, b"\2").translate(_TO_FLAGS)


class Search:
    """What names look like, in lower case, to be searched in full while somebody types."""

    def __init__(self) -> None:
        self._chunks: list[_Chunk] = []
        self._last: list[bytes] = []

    def append(self, name: str) -> None:
        plain = name.isascii() and name.isprintable()
        self._last.append((name.lower() if plain else printable(name).casefold()).encode())
        if len(self._last) == _CHUNK:
            self._chunks.append(_Chunk(self._last))
            self._last = []

    def holding(self, text: str) -> bytearray:
        """A mask of the names that hold ``text``, which is in lower case."""
        mask = bytearray(len(self._chunks) * _CHUNK + len(self._last))
        sought = text.encode("utf-8", "replace")
        if not sought:
            return bytearray(b"\1" * len(mask))
        crowded = False
        for number, chunk in enumerate(self._parts()):
            crowded = chunk.mark(sought, mask, number * _CHUNK, crowded)
        return mask

    def beginning(self, text: str) -> bytearray:
        """A mask of the names that begin with ``text``."""
        return self.holding(f"\n{text}")

    def _parts(self) -> Iterator[_Chunk]:
        yield from self._chunks
        if self._last:
            yield _Chunk(self._last)


def picking(column: bytes | bytearray, codes: Collection[int]) -> bytearray:
    """A mask of the rows whose code is among ``codes``."""
    return bytearray(column.translate(bytes(code in codes for code in range(256))))


def both(one: bytearray, other: bytearray) -> bytearray:
    """Where both masks are set."""
    length = len(one)
    together = int.from_bytes(one, "little") & int.from_bytes(other, "little")
    return bytearray(together.to_bytes(length, "little"))


class Numbers:
    """The numbers from 0 on, kept to have runs of them copied."""

    def __init__(self) -> None:
        self._numbers = array("i")

    def of(self, mask: bytes | bytearray) -> array[int]:
        """The numbers of the rows that are set."""
        length = len(mask)
        if mask.count(b"\0\1") > length // _MANY:
            return rows_of(mask)
        if len(self._numbers) < length:
            self._numbers.extend(range(len(self._numbers), length))
        found = array("i")
        for run in _RUNS.finditer(mask):
            found += self._numbers[run.start() : run.end()]
        return found


def rows_of(mask: bytes | bytearray) -> array[int]:
    """The numbers of the rows that are set."""
    return array("i", compress(range(len(mask)), mask))
