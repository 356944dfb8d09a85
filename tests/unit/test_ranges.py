"""Byte ranges against a plain set of numbers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tui_sync.connectors.ranges import Ranges

PAIRS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


def covered(pairs: list[tuple[int, int]]) -> set[int]:
    return {number for start, stop in pairs for number in range(start, stop)}


@given(PAIRS)
def test_sorted_merged_and_complete(pairs: list[tuple[int, int]]) -> None:
    ranges = Ranges(pairs)
    found = ranges.as_tuple()
    assert covered(list(found)) == covered(pairs)
    assert ranges.total == len(covered(pairs))
    assert all(start < stop for start, stop in found)
    assert all(one[1] < other[0] for one, other in pairwise(found))


@given(PAIRS, st.integers(0, 70))
def test_missing_is_the_rest(pairs: list[tuple[int, int]], size: int) -> None:
    missing = Ranges(pairs).missing(size)
    assert covered(list(missing)) == set(range(size)) - covered(pairs)
    assert all(start < stop for start, stop in missing)


@given(PAIRS, PAIRS)
def test_common_is_what_both_cover(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    assert covered(list(Ranges(one).common(other))) == covered(one) & covered(other)
