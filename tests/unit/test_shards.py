"""A plan's files in shards: all of them, once, in order, none of them heavy for no reason."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_sync.model import Action, ChangeKind, Entry, Item, Kind, Totals
from tui_sync.planning.shards import ShardLimits, cut

MIB = 1 << 20
SMALL = ShardLimits(files=10, bytes=10 * MIB, most=4)


def planned(sizes: list[int]) -> list[Item]:
    return [
        Item(seq, Action.CREATE, f"f{seq}", ChangeKind.NEW, "", Entry(f"f{seq}", Kind.FILE, size))
        for seq, size in enumerate(sizes, 1)
    ]


def shards(sizes: list[int], limits: ShardLimits) -> list[list[int]]:
    """The sizes in each shard."""
    items = planned(sizes)
    cuts = list(cut(items, Totals(create=len(sizes), create_bytes=sum(sizes)), limits))
    assert [item for _, item in cuts] == items
    numbers = [number for number, _ in cuts]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(len(set(numbers))))
    return [[item.bytes for number, item in cuts if number == wanted] for wanted in sorted(set(numbers))]


def test_no_files_no_shards() -> None:
    assert shards([], SMALL) == []


def test_what_fits_into_one_shard_is_one() -> None:
    assert len(shards([MIB, MIB], SMALL)) == 1
    assert len(shards([0] * 10, SMALL)) == 1


def test_balanced_by_count_where_files_are_small() -> None:
    assert [len(shard) for shard in shards([1] * 40, ShardLimits(10, 10 * MIB, 4))] == [10, 10, 10, 10]


def test_balanced_by_bytes_where_files_are_large() -> None:
    cut_up = shards([5 * MIB] * 6 + [10 * MIB] * 3, ShardLimits(1_000_000, 21 * MIB, 8))
    assert [sum(shard) // MIB for shard in cut_up] == [20, 20, 20]


def test_a_huge_file_leaves_the_others_to_the_other_shards() -> None:
    cut_up = shards([1000 * MIB] + [MIB] * 30, SMALL)
    assert cut_up[0] == [1000 * MIB]
    assert sorted(len(shard) for shard in cut_up[1:]) == [10, 10, 10]


def test_never_more_shards_than_can_be_mapped() -> None:
    assert len(shards([1] * 5000, ShardLimits(1, 1, 1000))) <= 1000


@given(
    st.lists(st.one_of(st.integers(0, 100), st.integers(0, 1 << 40)), max_size=300),
    st.integers(1, 50),
    st.integers(1, 1 << 32),
    st.integers(1, 20),
)
def test_no_shard_is_heavier_than_its_share_and_one_file(
    sizes: list[int], files: int, size: int, most: int
) -> None:
    limits = ShardLimits(files, size, most)
    weights = [limits.weight(1, one) for one in sizes]
    cut_up = shards(sizes, limits)
    assert len(cut_up) <= most
    assert Counter(one for shard in cut_up for one in shard) == Counter(sizes)
    for shard in cut_up:
        wanted = min(most, -(-sum(weights) // limits.full))
        assert limits.weight(len(shard), sum(shard)) <= sum(weights) / wanted * (1 + 1e-9) + max(weights)


@pytest.mark.parametrize("huge", [2**63, 2**70])
def test_a_size_that_only_a_lying_server_reports(huge: int) -> None:
    assert shards([huge, 1, 1], SMALL)[0] == [huge]
