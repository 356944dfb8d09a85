"""A channel over pipes, and whole packets out of it."""

from __future__ import annotations

import errno
import os
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tui_sync.connectors.base import Buffer
from tui_sync.connectors.sftp.framing import MAX_PACKET
from tui_sync.connectors.sftp.pipes import _SLICES, Packets, PipeChannel, pipe
from tui_sync.errors import ConnectionLost, StorageError, TimedOut

# More than any system keeps for a pair of sockets.
MUCH = 24 << 20


def lost(received: bool) -> ConnectionLost:
    return ConnectionLost(f"received: {received}")


@pytest.fixture
def both() -> Iterator[tuple[PipeChannel, int, int]]:
    """A channel, and what its peer reads from and writes to."""
    (from_us, to_peer), (from_peer, to_us) = pipe(), pipe()
    channel = PipeChannel(from_peer, to_peer, lost, packets=True)
    yield channel, from_us, to_us
    channel.close()
    for descriptor in (from_us, to_us):
        os.close(descriptor)


def stream_of(sizes: list[int]) -> bytes:
    return b"".join(
        size.to_bytes(4, "big") + random.Random(number).randbytes(size) for number, size in enumerate(sizes)
    )


@pytest.mark.parametrize("seed", range(4))
def test_every_byte_arrives_in_whole_packets(both: tuple[PipeChannel, int, int], seed: int) -> None:
    channel, _, to_us = both
    chance = random.Random(seed)
    sizes = [chance.choice((5, 24, 300, 16_380, 40_000, 261_133)) for _ in range(60)]
    stream = stream_of(sizes)
    edges = {0}
    for size in sizes:
        edges.add(max(edges) + 4 + size)

    def write() -> None:
        at = 0
        while at < len(stream):
            at += os.write(to_us, stream[at : at + chance.choice((1, 3, 4_096, 70_000, 600_000))])

    writer = threading.Thread(target=write)
    writer.start()
    found = b""
    while len(found) < len(stream):
        found += channel.receive(1 << 20, 10)
        assert len(found) in edges
    writer.join(10)
    assert found == stream


def test_what_cannot_be_a_packet_is_let_through_for_the_session_to_refuse() -> None:
    reading, writing = (socket.socket(fileno=end) for end in pipe())
    writing.sendall(stream_of([9]) + (MAX_PACKET + 1).to_bytes(4, "big") + b"rest")
    assert Packets(reading).read() == stream_of([9]) + (MAX_PACKET + 1).to_bytes(4, "big") + b"rest"
    reading.close()
    writing.close()


def test_the_end_is_told_also_within_a_packet(both: tuple[PipeChannel, int, int]) -> None:
    channel, _, to_us = both
    os.write(to_us, stream_of([50_000])[:20_000])
    with pytest.raises(TimedOut):
        channel.receive(1 << 20, 0.01)
    os.dup2(os.open(os.devnull, os.O_RDONLY), to_us)
    with pytest.raises(ConnectionLost, match="received: True"):
        channel.receive(1 << 20, 10)


def test_a_sender_takes_in_what_comes_meanwhile(both: tuple[PipeChannel, int, int]) -> None:
    channel, from_us, to_us = both
    sizes = [200_000] * 20
    answers = stream_of(sizes)

    def peer() -> None:
        # Says all it has before it takes anything.
        at = 0
        while at < len(answers):
            at += os.write(to_us, answers[at : at + 65_536])
        while taken[0] < MUCH:
            taken[0] += len(os.read(from_us, 1 << 20))

    taken = [0]
    thread = threading.Thread(target=peer)
    thread.start()
    channel.send([bytes(MUCH)], 10)
    found = b""
    while len(found) < len(answers):
        found += channel.receive(100_000, 10)
    thread.join(10)
    assert (found, taken) == (answers, [MUCH])


def test_a_packet_that_comes_slowly_is_waited_for(
    both: tuple[PipeChannel, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, _, to_us = both
    stream = stream_of([50_000])
    parts = [stream[at : at + 10_000] for at in range(0, len(stream), 10_000)]
    read = channel._read
    timeouts: list[float] = []

    def slowly(timeout: float) -> Buffer:
        timeouts.append(timeout)
        os.write(to_us, parts.pop(0))
        return read(timeout)

    monkeypatch.setattr(channel, "_read", slowly)
    assert channel.receive(1 << 20, 0.04) == stream
    assert timeouts == [0.04 / _SLICES] * 6, "each part anew"
    monkeypatch.setattr(channel, "_read", read)
    with pytest.raises(TimedOut):
        channel.receive(1 << 20, 0.01)


def test_silence_within_a_packet_is_silence(
    both: tuple[PipeChannel, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, _, to_us = both
    os.write(to_us, stream_of([50_000])[:30_000])
    read = channel._read
    waited: list[float] = []

    def counted(timeout: float) -> Buffer:
        waited.append(timeout)
        return read(timeout)

    monkeypatch.setattr(channel, "_read", counted)
    with pytest.raises(TimedOut):
        channel.receive(1 << 20, 0.02)
    # The first finds out that it is a packet, the second takes the part of it.
    assert waited == [0.02 / _SLICES] * (2 + _SLICES)


@pytest.mark.parametrize("timeout", [0.0, 0.01, 60.0])
def test_whoever_waits_lets_go_when_it_is_closed(both: tuple[PipeChannel, int, int], timeout: float) -> None:
    channel, _, to_us = both
    os.write(to_us, stream_of([50_000])[:30_000])
    errors: list[StorageError] = []

    def wait() -> None:
        try:
            while True:
                with suppress(TimedOut):
                    channel.receive(100, timeout)
        except StorageError as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not channel._receive_lock.locked():
        pass
    channel.close()
    waiting.join(10)
    assert [str(error) for error in errors] == ["the connection was closed"]


def test_a_sender_does_not_wait_for_the_rest_of_a_packet(both: tuple[PipeChannel, int, int]) -> None:
    channel, from_us, to_us = both
    os.write(to_us, stream_of([50_000])[:30_000])
    waits = threading.Event()
    poll = channel._poll

    def polls(wanted: dict[int, int], timeout: float) -> set[int]:
        waits.set()
        return poll(wanted, timeout)

    channel._poll = polls  # type: ignore[method-assign]
    taken = 0

    def peer() -> None:
        nonlocal taken
        waits.wait(10)
        while taken < MUCH:
            taken += len(os.read(from_us, 1 << 20))

    thread = threading.Thread(target=peer)
    thread.start()
    # For as long as a read may take, were it to wait for one.
    channel.send([bytes(MUCH)], 2)
    thread.join(10)
    assert taken == MUCH


def test_where_there_can_be_no_more_pipes_both_ends_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_many() -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    (ours, theirs), (reading, writing) = pipe(), pipe()
    monkeypatch.setattr(os, "pipe", too_many)
    with pytest.raises(OSError, match="Too many"):
        PipeChannel(reading, theirs, lambda _: ConnectionLost("ended"))
    for descriptor in (reading, theirs):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    os.close(ours)
    os.close(writing)
