"""A plan's files cut into shards: for workers that share one plan.

A shard is a run of neighbours in the plan's order, so that the files of a folder mostly stay together and a
plan of any length is cut as it streams by. A file weighs its bytes and, as it costs round trips however small
it is, a fixed part of a shard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tui_sync.model import Item, Totals


@dataclass(frozen=True, slots=True)
class ShardLimits:
    """A full shard has ``files`` empty files, or ``bytes`` in few files, or something of both.

    There are at most ``most`` shards: beyond that they get larger.
    """

    files: int = 10_000
    bytes: int = 1 << 30
    most: int = 1_000

    def weight(self, files: int, size: int) -> int:
        """Of so many files of together ``size`` bytes; ``full`` is that of a full shard."""
        return size * self.files + files * self.bytes

    @property
    def full(self) -> int:
        return self.files * self.bytes


def cut(items: Iterable[Item], totals: Totals, limits: ShardLimits) -> Iterator[tuple[int, Item]]:
    """Each item with the number of its shard, from 0 on without a gap, in the order they come.

    ``items`` are those that copy files, ``totals`` their count. Memory: one item. With n shards, none is
    heavier than an n-th of the whole and the heaviest item.
    """
    left = limits.weight(totals.files, totals.bytes)
    shards = min(limits.most, -(-left // limits.full))
    number = filled = 0
    for item in items:
        # What is left, shared among the shards that are left: a huge file makes the others smaller.
        if number < shards - 1 and filled * (shards - number) >= left > 0 and filled:
            left -= filled
            number += 1
            filled = 0
        filled += limits.weight(1, item.bytes)
        yield number, item
