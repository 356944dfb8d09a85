"""The SFTP packets: what is encoded is decoded, and nothing that a server claims is believed."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.framing import MAX_PACKET
from tui_sync.errors import StorageError

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
blobs = st.binary(max_size=200)
names = st.binary(max_size=60).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
attributes = st.builds(
    wire.Attributes,
    size=st.none() | u64,
    owner=st.none() | st.tuples(u32, u32),
    permissions=st.none() | u32,
    times=st.none() | st.tuples(u32, u32),
    extended=st.lists(st.tuples(blobs, blobs), max_size=3).map(tuple),
)
requests = st.one_of(
    st.builds(wire.Open, names, st.integers(0, 63).map(wire.OpenFlag), attributes),
    st.builds(wire.Read, blobs, u64, u32),
    st.builds(wire.Write, blobs, u64, blobs),
    st.sampled_from([wire.Close, wire.Fstat, wire.ReadDir]).flatmap(lambda kind: st.builds(kind, blobs)),
    st.sampled_from(
        [wire.Lstat, wire.OpenDir, wire.Remove, wire.RmDir, wire.RealPath, wire.Stat, wire.ReadLink]
    ).flatmap(lambda kind: st.builds(kind, names)),
    st.builds(wire.SetStat, names, attributes),
    st.builds(wire.MkDir, names, attributes),
    st.builds(wire.FsetStat, blobs, attributes),
    st.builds(wire.Rename, names, names),
    st.builds(wire.SymLink, names, names),
    st.builds(wire.hardlink, names, names),
    st.builds(wire.posix_rename, names, names),
    st.builds(wire.fsync, blobs),
    st.builds(wire.statvfs, names),
    st.builds(wire.lsetstat, names, attributes),
)
responses = st.one_of(
    st.builds(wire.Status, u32, names),
    st.builds(wire.Handle, st.binary(max_size=256)),
    st.builds(wire.Data, blobs),
    st.builds(
        wire.Name, st.lists(st.builds(wire.NameEntry, names, names, attributes), max_size=4).map(tuple)
    ),
    st.builds(wire.Attrs, attributes),
    st.builds(wire.ExtendedReply, blobs),
)


def stream(request_id: int, packet: wire.Request | wire.Response) -> bytes:
    return b"".join(wire.encode(request_id, packet))


def decoded(packet: bytes) -> tuple[int, wire.Response]:
    """With names one by one, however they were taken out of their packet."""
    request_id, response = wire.decode_response(packet)
    return request_id, wire.Name(tuple(response.entries)) if isinstance(response, wire.Name) else response


def body(request_id: int, packet: wire.Request | wire.Response) -> bytes:
    whole = stream(request_id, packet)
    assert struct.unpack(">I", whole[:4])[0] == len(whole) - 4
    return whole[4:]


@given(u32, requests)
def test_requests_round_trip(request_id: int, request: wire.Request) -> None:
    assert wire.decode_request(body(request_id, request)) == (request_id, request)


@given(u32, responses)
def test_responses_round_trip(request_id: int, response: wire.Response) -> None:
    assert decoded(body(request_id, response)) == (request_id, response)


@given(st.dictionaries(names, blobs, max_size=5), u32)
def test_version_round_trips(extensions: dict[str, bytes], number: int) -> None:
    version = wire.Version(number, extensions)
    assert wire.Version.decode(version.encode()[4:]) == version


def test_a_packet_as_the_draft_draws_it() -> None:
    packet = stream(7, wire.Open("é", wire.OpenFlag.READ))
    assert packet == bytes.fromhex("00000013 03 00000007 00000002 c3a9 00000001 00000000")


def test_limits_and_free_space_round_trip() -> None:
    assert wire.Limits.decode(wire.Limits(1, 2, 3, 4).encode()) == wire.Limits(1, 2, 3, 4)
    assert wire.Limits.decode(bytes(32)) == wire.Limits()
    assert wire.FileSystem.decode(wire.FileSystem(4096, 10).encode()).free == 40_960
    with pytest.raises(StorageError, match="too early"):
        wire.Limits.decode(bytes(31))
    with pytest.raises(StorageError, match="too early"):
        wire.FileSystem.decode(bytes(80))


@given(responses, st.data())
def test_every_truncated_response_is_refused_or_shorter(response: wire.Response, data: st.DataObject) -> None:
    whole = body(1, response)
    cut = data.draw(st.integers(0, len(whole) - 1))
    try:
        _, decoded = wire.decode_response(whole[:cut])
    except StorageError:
        return
    # What has no inner length, or an optional end, may lose its tail.
    assert isinstance(decoded, (wire.ExtendedReply, wire.Status))


@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_else(packet: bytes) -> None:
    for decode in (wire.decode_response, wire.decode_request, wire.Version.decode):
        with suppress(StorageError):
            decode(packet)


@pytest.mark.parametrize(
    "packet",
    [
        struct.pack(">BII", 104, 1, 0xFFFFFFFF),
        struct.pack(">BIIII", 105, 1, 0x80000000, 0xFFFFFFFF, 0),
        struct.pack(">BII", 103, 1, 0xFFFFFFFF) + b"x",
        struct.pack(">BII", 102, 1, 257) + bytes(257),
        struct.pack(">BI", 99, 1),
    ],
    ids=["names", "extended attributes", "data", "long handle", "unknown type"],
)
def test_claims_are_checked(packet: bytes) -> None:
    with pytest.raises(StorageError, match="broke the SFTP protocol"):
        wire.decode_response(packet)


@pytest.mark.parametrize("length", [0, 4, MAX_PACKET + 1, 0xFFFFFFFF])
def test_a_packet_of_an_impossible_length_is_refused(length: int) -> None:
    with pytest.raises(StorageError, match=f"length of {length} bytes"):
        list(wire.Framer().feed(struct.pack(">I", length) + b"x"))


@settings(max_examples=200)
@given(st.lists(responses, max_size=6), st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_a_stream_cut_anywhere_gives_the_same_packets(
    expected: list[wire.Response], pieces: list[int]
) -> None:
    whole = b"".join(stream(number, response) for number, response in enumerate(expected))
    framer = wire.Framer()
    found: list[tuple[int, wire.Response]] = []
    at = turn = 0
    while at < len(whole):
        piece = whole[at : at + pieces[turn % len(pieces)]]
        found += [decoded(bytes(packet)) for packet in framer.feed(piece)]
        at += len(piece)
        turn += 1
    assert found == list(enumerate(expected))


def test_a_name_that_cannot_be_sent_is_an_error_of_ours() -> None:
    with pytest.raises(StorageError, match="cannot be sent"):
        wire.encode(1, wire.Lstat("\ud800"))
