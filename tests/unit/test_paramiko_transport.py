"""What is put in the place of paramiko's own parts: it has to go on fitting."""

from __future__ import annotations

import inspect
import re
import socket
import threading

import paramiko
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paramiko.buffered_pipe import BufferedPipe, PipeTimeout

from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.paramiko_transport import BufferedSocket, PacketPipe, ParamikoChannel


def packet(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def test_the_pipe_has_all_that_paramiko_uses_of_its_own() -> None:
    used = set(re.findall(r"in_buffer\.(\w+)", inspect.getsource(paramiko.channel)))
    assert {"feed", "read", "close"} <= used
    assert {name for name in used if not hasattr(PacketPipe, name)} == set()
    own = {name for name in vars(BufferedPipe) if not name.startswith("_")}
    assert {name for name in own if not hasattr(PacketPipe, name)} == set()


def test_the_socket_has_all_that_paramiko_uses_of_it() -> None:
    sources = inspect.getsource(paramiko.Transport) + inspect.getsource(paramiko.packet.Packetizer)
    used = set(re.findall(r"self\.(?:sock|__socket)\.(\w+)", sources))
    assert {"recv", "send", "close", "settimeout"} <= used
    assert {name for name in used if not hasattr(BufferedSocket, name)} == set()


def test_a_channel_of_paramiko_gets_the_pipe() -> None:
    channel = paramiko.Channel(1)
    ParamikoChannel(channel)
    assert isinstance(channel.in_buffer, PacketPipe)


def test_a_channel_whose_buffer_is_something_else_keeps_it() -> None:
    channel = paramiko.Channel(1)
    strange = object()
    channel.in_buffer = strange  # type: ignore[assignment]
    ParamikoChannel(channel)
    assert channel.in_buffer is strange


@given(
    st.lists(st.binary(min_size=1, max_size=90), max_size=12),
    st.lists(st.integers(1, 200), min_size=1),
    st.integers(1, 300),
)
def test_the_pipe_gives_out_every_byte_in_whole_packets(
    bodies: list[bytes], cuts: list[int], limit: int
) -> None:
    stream = b"".join(map(packet, bodies))
    edges = {0}
    for body in bodies:
        edges.add(max(edges) + len(packet(body)))
    pipe = PacketPipe()
    found = b""
    at = turn = 0
    while at < len(stream):
        piece = stream[at : at + cuts[turn % len(cuts)]]
        pipe.feed(piece)
        at += len(piece)
        turn += 1
        assert len(found) + len(pipe) == max(edge for edge in edges if edge <= at)
        while pipe.read_ready():
            part = pipe.read(limit, 0)
            assert 0 < len(part) <= limit
            found += part
    assert found == stream
    pipe.close()
    assert pipe.read(1) == b""


def test_a_packet_too_long_to_be_one_is_given_out_at_once() -> None:
    pipe = PacketPipe()
    pipe.feed((wire.MAX_PACKET + 1).to_bytes(4, "big")[:3])
    assert not pipe.read_ready()
    pipe.feed((wire.MAX_PACKET + 1).to_bytes(4, "big")[3:] + b"xyz")
    assert len(pipe.read(100, 0)) == 7


def test_reading_nothing_ends_by_its_time_and_by_closing() -> None:
    pipe = PacketPipe()
    with pytest.raises(PipeTimeout):
        pipe.read(1, 0.01)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read(1, 60)))
    reader.start()
    pipe.close()
    reader.join(10)
    assert found == [b""]


def test_the_pipe_keeps_an_event_up_to_date() -> None:
    pipe = PacketPipe()
    event = threading.Event()
    pipe.set_event(event)
    assert not event.is_set()
    pipe.feed(packet(b"body"))
    assert event.is_set()
    pipe.read(100)
    assert not event.is_set()
    pipe.feed(packet(b"body"))
    assert pipe.empty() == packet(b"body")
    pipe.close()
    assert event.is_set()


def fill(buffered: BufferedSocket) -> None:
    while True:
        buffered.send(bytes(65_536))


@pytest.fixture
def ends() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


def test_the_socket_reads_through_its_buffer(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    buffered = BufferedSocket(ours)
    buffered.settimeout(5)
    theirs.sendall(b"0123456789")
    assert [buffered.recv(4), buffered.recv(1), buffered.recv(100)] == [b"0123", b"4", b"56789"]
    assert buffered.send(b"abc") == 3
    assert theirs.recv(10) == b"abc"
    theirs.close()
    assert buffered.recv(1) == b""
    assert buffered.recv(1) == b""
    buffered.close()


def test_the_socket_keeps_its_time(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    buffered = BufferedSocket(ours)
    buffered.settimeout(0.02)
    with pytest.raises(TimeoutError):
        buffered.recv(1)
    with pytest.raises(TimeoutError):
        fill(buffered)
    buffered.close()
    theirs.close()


def test_a_peer_that_takes_nothing_for_long_is_given_up(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = ends
    buffered = BufferedSocket(ours)
    buffered.settimeout(0.02)
    monkeypatch.setattr("tui_sync.connectors.sftp.paramiko_transport._STALL_S", 0.01)
    with pytest.raises(ConnectionAbortedError):
        fill(buffered)
    buffered.close()
    theirs.close()


def test_closing_wakes_a_thread_that_reads(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    buffered = BufferedSocket(ours)
    buffered.settimeout(60)
    found: list[bytes] = []

    def read() -> None:
        try:
            found.append(buffered.recv(1))
        except OSError:
            found.append(b"")

    reader = threading.Thread(target=read)
    reader.start()
    buffered.close()
    reader.join(10)
    assert found == [b""]
    assert buffered._closed
    theirs.close()
