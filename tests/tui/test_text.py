"""Text in cells: widths, cuts, and what numbers and times look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui_sync.names import printable
from tui_sync.tui import text

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(printable)


@given(names, st.integers(0, 40))
def test_fit_is_exactly_as_wide_as_asked(name: str, width: int) -> None:
    assert cell_len(text.fit(name, width)) == width
    assert cell_len(text.fit(name, width, "right")) == width
    assert cell_len(text.fit_middle(name, width)) == width


@given(names, st.integers(1, 40))
def test_shorten_never_exceeds_its_width_and_leaves_alone_what_fits(name: str, width: int) -> None:
    short = text.shorten(name, width)
    assert cell_len(short) <= width
    assert (short == name) == (cell_len(name) <= width)


@given(names, st.integers(1, 30))
def test_wrap_loses_nothing_but_spaces(name: str, width: int) -> None:
    lines = text.wrap(name, width)
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")
    if width > 1:
        assert all(cell_len(line) <= width for line in lines)


def test_both_ends_of_a_long_name_stay() -> None:
    short = text.shorten("holiday-in-the-mountains.mp4", 14)
    assert short.startswith("holid")
    assert short.endswith("ns.mp4")
    assert "…" in short


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (999_999, "1.0 MB"),
        (10**24, "1000000 EB"),
    ],
)
def test_sizes(count: int, words: str) -> None:
    assert text.size(count) == words


@given(st.integers(0, 10**18))
def test_sizes_fit_their_column(count: int) -> None:
    assert len(text.size(count)) <= 7


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0:00"),
        (7.9, "0:07"),
        (760, "12:40"),
        (11_100, "3:05:00"),
        (None, "–:––"),
        (float("nan"), "–:––"),
        (float("inf"), "–:––"),
    ],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert text.span(seconds) == words


@pytest.mark.parametrize(
    ("done", "total", "share"),
    [(0, 10, 0), (999, 1000, 99), (9999, 10000, 99), (5, 5, 100), (0, 0, 100), (7, 5, 100)],
)
def test_a_hundred_percent_only_at_the_end(done: int, total: int, share: int) -> None:
    assert text.percent(done, total) == share


@given(st.integers(-(2**70), 2**70) | st.none())
def test_no_time_breaks_anything(ns: int | None) -> None:
    assert text.stamp(ns)
    assert cell_len(text.age(ns, 1_750_000_000_000_000_000)) <= 5


def test_times_are_told_in_local_time() -> None:
    assert text.stamp(1_750_000_000_000_000_000) == "2025-06-15 15:06"
    assert text.stamp(None) == "–"
    assert text.age(1_750_000_000_000_000_000 - 3 * 86_400_000_000_000, 1_750_000_000_000_000_000) == "3 d"


def test_a_place_gives_up_its_scheme_first() -> None:
    assert text.place("sftp://user@host/upload", 30) == "sftp://user@host/upload"
    assert text.place("sftp://user@host/upload", 20) == "user@host/upload"


def test_permissions() -> None:
    assert text.permissions(0o644) == "rw-r--r--"
    assert text.permissions(None) == "–"
