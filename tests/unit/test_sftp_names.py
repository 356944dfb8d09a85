"""Listings that are taken out of their packets by columns hold what they hold one by one."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.remote import listed, listed_all
from tui_sync.errors import StorageError

u32 = st.integers(0, 2**32 - 1)
names = st.one_of(
    st.sampled_from(["a", ".", "..", "", "é", "e\u0301", "\udcff", "half \udce2\udc82", "a/b", "n\0"]),
    st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)
TYPES = (0o100644, 0o100600, 0o040755, 0o120777, 0o010600, 0o644, 0)
usual = st.builds(
    wire.Attributes,
    size=st.integers(0, 2**64 - 1),
    owner=st.tuples(u32, u32),
    permissions=st.sampled_from(TYPES),
    times=st.tuples(u32, u32),
)
long_names = st.sampled_from(["-rw-r--r-- 1 a", "drwx------ 1 a", "lrwxrwxrwx 1 a -> b", "a", ""])
entries = st.lists(st.builds(wire.NameEntry, names, long_names, usual), max_size=6)


def packet(found: list[wire.NameEntry]) -> bytes:
    return b"".join(wire.encode(1, wire.Name(tuple(found))))[4:]


def one_by_one(whole: bytes) -> list[wire.NameEntry] | None:
    """What a Name packet holds, read field by field; None where it breaks the protocol."""
    fields = wire.Fields(whole[5:])
    try:
        return [
            wire.NameEntry(fields.text(), fields.text(), wire.Attributes.decode(fields))
            for _ in range(fields.count(12))
        ]
    except StorageError:
        return None


def by_columns(whole: bytes) -> list[wire.NameEntry] | None:
    try:
        _, response = wire.decode_response(whole)
    except StorageError:
        return None
    assert isinstance(response, wire.Name)
    return list(response.entries)


@given(entries)
def test_usual_entries_are_found_by_columns(found: list[wire.NameEntry]) -> None:
    _, response = wire.decode_response(packet(found))
    assert isinstance(response, wire.Name)
    assert list(response.entries) == found
    if found and not any("\0" in entry.name for entry in found):
        assert isinstance(response.entries, wire.UsualEntries)
        assert response.entries[-1] == found[-1]
        assert response.entries[:2] == tuple(found[:2])


@given(entries)
def test_they_are_listed_as_each_by_itself(found: list[wire.NameEntry]) -> None:
    _, response = wire.decode_response(packet(found))
    assert isinstance(response, wire.Name)
    assert listed_all(response.entries) == [
        listed(entry.name, entry.attributes, entry.long_name) for entry in found
    ]


@given(entries, st.data())
def test_a_damaged_listing_is_no_other_by_columns(found: list[wire.NameEntry], data: st.DataObject) -> None:
    whole = bytearray(packet(found))
    for _ in range(data.draw(st.integers(1, 3))):
        # Lengths and flags are where damage tells.
        whole[data.draw(st.integers(5, len(whole) - 1))] = data.draw(st.sampled_from([0, 1, 4, 15, 255]))
    damaged = bytes(whole[: data.draw(st.integers(9, len(whole)))]) + data.draw(st.binary(max_size=3))
    assert by_columns(damaged) == one_by_one(damaged)


def test_a_length_beyond_the_packet_is_not_believed() -> None:
    [entry] = [wire.NameEntry("a", "", wire.Attributes(1, (0, 0), 0o100644, (0, 0)))]
    whole = packet([entry, entry])
    for at in (9, 14):
        assert by_columns(whole[:at] + struct.pack(">I", 0xFFFFFFFF) + whole[at + 4 :]) is None


@pytest.mark.parametrize("flags", [0, 1, 4, 7, 13, 14, 0x80000000, 0x8000000F])
@pytest.mark.parametrize("which", [0, 1])
def test_other_attributes_are_read_as_what_they_are(flags: int, which: int) -> None:
    entry = wire.NameEntry("a", "long", wire.Attributes(1, (2, 3), 0o100644, (4, 5)))
    whole = packet([entry, entry])
    at = 9 + 4 + 1 + 4 + 4 + which * (4 + 1 + 4 + 4 + 32)
    assert whole[at : at + 4] == struct.pack(">I", 15)
    changed = whole[:at] + struct.pack(">I", flags) + whole[at + 4 :]
    assert by_columns(changed) == one_by_one(changed)
