"""Paths as keys, times as metadata, the layout of parts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_sync.connectors.s3 import keys
from tui_sync.connectors.s3.keys import MIB, Parts, Place
from tui_sync.errors import StorageError, UnsafeName

NS = 1_000_000_000


def test_the_root_is_a_prefix_that_ends_in_a_slash() -> None:
    assert Place("b", "/").prefix == Place("b", "").prefix == ""
    assert Place("b", "/a/b").prefix == Place("b", "a/b/").prefix == "a/b/"
    assert Place("b", "/a").key("x/y") == "a/x/y"
    assert Place("b", "/a").folder("x") == "a/x/"
    assert Place("b", "/a").folder("") == "a/"
    assert Place("b", "/").folder("") == ""


@pytest.mark.parametrize("path", ["", "..", "a/../b", "/a", "a//b", "a/", "nul\0"])
def test_a_path_that_is_none_becomes_no_key(path: str) -> None:
    with pytest.raises(UnsafeName):
        Place("b", "/root").key(path)


def test_what_no_key_can_be_is_told_in_a_sentence() -> None:
    with pytest.raises(StorageError, match="not UTF-8"):
        Place("b", "/").key("\udcff")
    assert len(Place("b", "/").key("é" * 512)) == 512
    with pytest.raises(StorageError, match="1,026 bytes"):
        Place("b", "/r").key("é" * 512)


@given(st.integers(-(2**63), 2**63 - 1))
def test_times_come_back_as_they_were(mtime_ns: int) -> None:
    text = keys.mtime_text(mtime_ns)
    assert text is not None
    assert keys.mtime_of({"mtime": text}) == mtime_ns


@pytest.mark.parametrize(
    ("text", "mtime_ns"),
    [
        # As rclone writes them: trailing zeros are left out.
        ("1600000000.5", 1_600_000_000_500_000_000),
        ("1600000000", 1_600_000_000 * NS),
        ("1600000000.123456789", 1_600_000_000_123_456_789),
        ("1600000000.1234567891", 1_600_000_000_123_456_789),
        ("-1.25", -1_250_000_000),
        ("0", 0),
        ("", None),
        ("yesterday", None),
        ("1e9", None),
        ("1600000000,5", None),
        ("99999999999999", None),
        ("٣", None),
    ],
)
def test_times_of_others_are_read(text: str, mtime_ns: int | None) -> None:
    assert keys.mtime_of({"mtime": text}) == mtime_ns


def test_without_a_time_in_the_metadata_that_of_the_upload_counts() -> None:
    answer = {"Metadata": {}, "LastModified": datetime(2020, 1, 2, tzinfo=UTC), "ETag": '"x"'}
    assert keys.entry_of("a", answer, 3).mtime_ns == 1_577_923_200 * NS
    answer["Metadata"] = {"mtime": "5"}
    entry = keys.entry_of("a", answer, 3)
    assert (entry.mtime_ns, entry.etag, entry.size) == (5 * NS, "x", 3)


def test_a_time_that_cannot_be_kept_is_not_written() -> None:
    assert keys.mtime_text(2**63) is None
    assert keys.mtime_text(-(2**80)) is None
    assert keys.mtime_text(None) is None


@pytest.mark.parametrize(
    ("etag", "answer", "is_one"),
    [
        ("d41d8cd98f00b204e9800998ecf8427e", {}, True),
        ("d41d8cd98f00b204e9800998ecf8427e", {"ServerSideEncryption": "AES256"}, True),
        ("d41d8cd98f00b204e9800998ecf8427e", {"ServerSideEncryption": "aws:kms"}, False),
        ("d41d8cd98f00b204e9800998ecf8427e", {"ServerSideEncryption": "aws:kms:dsse"}, False),
        ("d41d8cd98f00b204e9800998ecf8427e", {"SSECustomerAlgorithm": "AES256"}, False),
        ("d41d8cd98f00b204e9800998ecf8427e-2", {}, False),
        ("opaque", {}, False),
        (None, {}, False),
    ],
)
def test_an_etag_is_an_md5_only_where_it_is_one(
    etag: str | None, answer: dict[str, str], is_one: bool
) -> None:
    assert keys.md5_of(etag, answer) == (etag if is_one else None)


@given(
    st.one_of(st.none(), st.integers(0, 5 << 40)),
    st.integers(1, 9_999),
    st.sampled_from([5 * MIB, 8 * MIB, 100 * MIB]),
)
def test_parts_join_and_can_be_found(size: int | None, number: int, part_size: int) -> None:
    parts = Parts(part_size, size)
    start, stop = parts.bounds(number)
    assert start < stop
    assert parts.bounds(number + 1)[0] == stop


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, 80_000 * MIB, 80_000 * MIB + 1, 10**12, 5 << 40])
def test_ten_thousand_parts_hold_whatever_is_allowed(size: int) -> None:
    parts = Parts(8 * MIB, size)
    assert parts.bounds(10_000)[1] >= size
    assert parts.part_size == 8 * MIB or parts.part_size * 10_000 < size + 10_000 * MIB
    assert parts.part_size <= 5 << 30


def test_of_an_unknown_size_as_much_can_be_sent() -> None:
    assert Parts(8 * MIB, None).bounds(10_000)[1] >= 5 << 40
    assert Parts(8 * MIB, None).bounds(10_000)[1] - Parts(8 * MIB, None).bounds(10_000)[0] <= 5 << 30


def test_more_than_s3_keeps_is_refused_before_a_byte_is_sent() -> None:
    with pytest.raises(StorageError):
        Parts(8 * MIB, (5 << 40) + 1)
    with pytest.raises(StorageError):
        Parts(8 * MIB, 1).bounds(10_001)
