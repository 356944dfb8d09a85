"""Sets of byte ranges: what of a file has arrived, and what is missing."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from tui_sync.connectors.base import Range


class Ranges:
    """Half-open ranges (start, stop), kept sorted and merged. Not safe for threads."""

    __slots__ = ("_starts", "_stops")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in ranges:
            self.add(start, stop)

    def add(self, start: int, stop: int) -> None:
        """Include ``start`` up to ``stop``; an empty range changes nothing."""
        if start >= stop:
            return
        if self._stops and self._stops[-1] == start:
            # What comes in order, as nearly all does.
            self._stops[-1] = stop
            return
        # All ranges that touch the new one become one with it.
        first = bisect_left(self._stops, start)
        last = bisect_right(self._starts, stop)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def as_tuple(self) -> tuple[Range, ...]:
        return tuple(zip(self._starts, self._stops, strict=True))

    @property
    def total(self) -> int:
        """Bytes covered."""
        return sum(self._stops) - sum(self._starts)

    def common(self, other: Iterable[Range]) -> tuple[Range, ...]:
        """What both cover."""
        return tuple(
            (max(start, mine), min(stop, end))
            for start, stop in Ranges(other).as_tuple()
            for mine, end in self.as_tuple()
            if max(start, mine) < min(stop, end)
        )

    def missing(self, size: int) -> tuple[Range, ...]:
        """What is not covered of a file of ``size`` bytes."""
        edges = [0, *(edge for pair in self.as_tuple() for edge in pair), size]
        return tuple(
            (start, min(stop, size))
            for start, stop in zip(edges[::2], edges[1::2], strict=True)
            if start < min(stop, size)
        )
