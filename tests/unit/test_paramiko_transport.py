"""What is put in the place of paramiko's own parts: it has to go on fitting."""

from __future__ import annotations

import inspect
import random
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import paramiko
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from paramiko.buffered_pipe import BufferedPipe, PipeTimeout
from paramiko.common import MSG_CHANNEL_DATA, MSG_IGNORE

from tui_sync.connectors.sftp.framing import MAX_PACKET
from tui_sync.connectors.sftp.paramiko_packets import (
    BufferedSocket,
    BulkPacketizer,
    ChannelData,
    PacketPipe,
    fits,
)
from tui_sync.connectors.sftp.paramiko_transport import (
    Line,
    ParamikoChannel,
    ParamikoTransport,
    _Transport,
)
from tui_sync.errors import ConnectionLost

KEY, IV = bytes(range(16)), bytes(range(12))


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
    pipe.feed((MAX_PACKET + 1).to_bytes(4, "big")[:3])
    assert not pipe.read_ready()
    pipe.feed((MAX_PACKET + 1).to_bytes(4, "big")[3:] + b"xyz")
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


def test_a_packet_that_comes_slowly_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    body = packet(bytes(50_000))
    parts = [body[at : at + 10_000] for at in range(0, len(body), 10_000)]

    class Slow(threading.Condition):
        """Every part comes while two thirds of the time for nothing at all pass."""

        def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
            assert timeout is not None
            clock[0] += min(timeout, 20)
            if timeout >= 20 and parts:
                pipe.feed(parts.pop(0))
            clock[0] += timeout - min(timeout, 20)
            return predicate()

    monkeypatch.setattr("tui_sync.connectors.sftp.paramiko_packets.time.monotonic", lambda: clock[0])
    pipe = PacketPipe()
    pipe._changed = Slow()
    assert pipe.read(1 << 20, 30) == body
    with pytest.raises(PipeTimeout):
        pipe.read(1, 30)


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
    monkeypatch.setattr("tui_sync.connectors.sftp.paramiko_packets._STALL_S", 0.01)
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


def test_paramiko_is_still_made_as_the_bulk_ways_take_for_granted() -> None:
    assert fits()


def test_bytes_ahead_are_moved_together_only_where_the_buffer_ends(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    buffered = BufferedSocket(ours)
    buffered.settimeout(5)
    stream = random.Random(4).randbytes(3 << 20)
    sender = threading.Thread(target=theirs.sendall, args=(stream,))
    sender.start()
    found = b""
    sizes = random.Random(5)
    while len(found) < len(stream):
        count = min(sizes.randint(1, 200_000), len(stream) - len(found))
        assert bytes(buffered.ahead(count)) == stream[len(found) : len(found) + count]
        buffered.skip(count)
        found += stream[len(found) : len(found) + count]
    sender.join(10)
    theirs.close()
    with pytest.raises(EOFError):
        buffered.ahead(1)
    buffered.close()


class Both:
    """A packetizer of ours and one of paramiko's own at the two ends of a line, with one AES-GCM key."""

    def __init__(self, ends: tuple[socket.socket, socket.socket]) -> None:
        for end in ends:
            end.settimeout(10)
        self.socket = BufferedSocket(ends[0])
        self.ours = BulkPacketizer(self.socket)
        self.theirs = paramiko.packet.Packetizer(ends[1])
        for each in (self.ours, self.theirs):
            each._initial_kex_done = True
            gcm = {"mac_engine": None, "mac_size": 16, "mac_key": None, "aead": True}
            each.set_outbound_cipher(AESGCM(KEY), 16, iv_out=IV, **gcm)  # type: ignore[arg-type]
            each.set_inbound_cipher(AESGCM(KEY), 16, iv_in=IV, **gcm)  # type: ignore[arg-type]


@pytest.mark.parametrize("sizes", [[1], [32_704] * 3, [0, 5, 200_000, 7]])
def test_what_is_sent_in_bulk_is_what_paramiko_understands(
    ends: tuple[socket.socket, socket.socket], sizes: list[int]
) -> None:
    both = Both(ends)
    content = [random.Random(size).randbytes(size) for size in sizes]
    packets = [[memoryview(one)[: len(one) // 2], one[len(one) // 2 :]] for one in content]
    sender = threading.Thread(target=both.ours.send_message, args=(ChannelData(7, packets),))
    sender.start()
    for one in content:
        kind, message = both.theirs.read_message()
        assert kind == MSG_CHANNEL_DATA
        assert message.get_int() == 7
        assert message.get_binary() == one
    sender.join(10)
    # The counters go on, for messages of paramiko's own as well.
    both.ours.send_message(said(b"more"))
    assert both.theirs.read_message()[1].get_binary() == b"more"


def said(text: bytes, channel: int | None = None) -> paramiko.Message:
    message = paramiko.Message()
    message.add_byte(bytes([MSG_IGNORE if channel is None else MSG_CHANNEL_DATA]))
    if channel is not None:
        message.add_int(channel)
    message.add_string(text)
    return message


def test_data_goes_to_its_channel_and_all_else_to_paramiko(ends: tuple[socket.socket, socket.socket]) -> None:
    both = Both(ends)
    delivered: list[bytes] = []

    def deliver(channel: int, data: memoryview) -> bool:
        if channel == 1:
            delivered.append(bytes(data))
        return channel == 1

    both.ours.deliver = deliver
    for message in (said(b"a" * 40_000, 1), said(b"", 1), said(b"for another", 2), said(b"ignore")):
        both.theirs.send_message(message)
    kind, message = both.ours.read_message()
    assert (kind, message.get_int(), message.get_binary()) == (MSG_CHANNEL_DATA, 2, b"for another")
    assert message.seqno == 2
    kind, message = both.ours.read_message()
    assert (kind, message.get_binary()) == (MSG_IGNORE, b"ignore")
    assert delivered == [b"a" * 40_000, b""]


def test_new_keys_are_asked_for_in_time(ends: tuple[socket.socket, socket.socket]) -> None:
    both = Both(ends)
    both.ours.deliver = lambda channel, data: True
    both.ours.REKEY_PACKETS = 3
    for _ in range(2):
        both.theirs.send_message(said(b"x", 1))
    both.theirs.send_message(said(b"y"))
    assert both.ours.read_message()[0] == MSG_IGNORE
    assert both.ours.need_rekey()
    # From now on whoever asks for messages is let go after each, to begin the exchange.
    both.theirs.send_message(said(b"x", 1))
    assert both.ours.read_message()[0] == MSG_IGNORE
    both.ours.REKEY_PACKETS_OVERFLOW_MAX = 1
    both.theirs.send_message(said(b"x", 1))
    with pytest.raises(paramiko.SSHException):
        both.ours.read_message()


def test_a_packet_that_was_tampered_with_is_refused(ends: tuple[socket.socket, socket.socket]) -> None:
    both = Both(ends)
    head = (48).to_bytes(4, "big")
    ends[1].sendall(head + bytes(64))
    with pytest.raises(InvalidTag):
        both.ours.read_message()


@pytest.mark.parametrize("length", [0, 11, (256 << 10) + 1, 0xFFFFFFFF])
def test_an_absurd_length_is_refused(ends: tuple[socket.socket, socket.socket], length: int) -> None:
    both = Both(ends)
    ends[1].sendall(length.to_bytes(4, "big") + bytes(64))
    with pytest.raises(paramiko.SSHException):
        both.ours.read_message()


def test_without_gcm_everything_goes_the_usual_way(ends: tuple[socket.socket, socket.socket]) -> None:
    for end in ends:
        end.settimeout(10)
    ours, theirs = BulkPacketizer(BufferedSocket(ends[0])), paramiko.packet.Packetizer(ends[1])
    ours._initial_kex_done = theirs._initial_kex_done = True  # type: ignore[attr-defined]
    ours.send_message(ChannelData(3, [[b"plain"], [b"and", b" more"]]))
    for expected in (b"plain", b"and more"):
        kind, message = theirs.read_message()
        assert (kind, message.get_int(), message.get_binary()) == (MSG_CHANNEL_DATA, 3, expected)
    theirs.send_message(said(b"back", 3))
    assert ours.read_message()[0] == MSG_CHANNEL_DATA


class _CutWhileOpening:
    """A login whose line is cut right after it granted a channel; paramiko's own close raises then."""

    def open_channel(self, *_: object, **__: object) -> _CutWhileOpening:
        return self

    in_buffer = None

    def is_active(self) -> bool:
        return False

    def invoke_subsystem(self, _name: str) -> None:
        raise paramiko.SSHException("Channel closed.")

    def exec_command(self, _command: str) -> None:
        raise EOFError

    def close(self) -> None:
        raise EOFError


def test_a_line_cut_between_channel_and_subsystem_is_a_lost_connection() -> None:
    one, other = socket.socketpair()
    cut: Any = _CutWhileOpening()
    with one, other:
        transport = ParamikoTransport(cut, Line(one, lambda: None), "somewhere:22")
        with pytest.raises(ConnectionLost):
            transport.open_sftp()
        with pytest.raises(ConnectionLost):
            transport.open_command("true")


def test_no_sign_of_life_is_asked_for_while_keys_are_exchanged(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """What asks is the thread that has to fetch the new keys: it cannot wait for them."""
    transport = _Transport(ends[0])
    transport.active = True
    transport.clear_to_send_timeout = 0.1  # type: ignore[attr-defined]
    transport.watch_line(15)
    ask = transport.packetizer._Packetizer__keepalive_callback  # type: ignore[attr-defined]
    ask()
    transport.clear_to_send.set()  # type: ignore[attr-defined]
    ask()
    ends[1].settimeout(10)
    assert b"keepalive@openssh.com" in ends[1].recv(1000)
    transport._heard = time.monotonic() - 60
    with pytest.raises(EOFError):
        ask()
