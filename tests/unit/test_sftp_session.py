"""The session against servers that are slow, odd, wrong or gone."""

from __future__ import annotations

import random
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.sftp_script import Script, SocketChannel, scripted
from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.session import SftpSession
from tui_sync.connectors.sftp.wire import StatusCode
from tui_sync.errors import (
    ConnectionLost,
    NotFound,
    NotSupported,
    PermissionDenied,
    StorageError,
    TimedOut,
)

NAME = "esc\x1b[31m"


def lstat(session: SftpSession, path: str = NAME) -> wire.Attributes:
    return session.send(wire.Lstat(path), "look at", path).attributes()


def echo_sizes(script: Script, *, shuffle: int = 1) -> None:
    """Answer every lstat with a size that is the number in its path, ``shuffle`` at a time in any order."""
    script.greet()
    chance = random.Random(3)
    waiting: list[tuple[int, int]] = []
    while (request := script.request()) is not None:
        assert isinstance(request[1], wire.Lstat)
        waiting.append((request[0], int(request[1].path)))
        if len(waiting) == shuffle:
            chance.shuffle(waiting)
            for request_id, size in waiting:
                script.answer(request_id, wire.Attrs(wire.Attributes(size=size)))
            waiting.clear()


def test_limits_are_asked_and_capped() -> None:
    with scripted(lambda script: script.greet(limits=wire.Limits(1 << 30, 1 << 30, 1 << 29, 5))) as channel:
        session = SftpSession(channel)
        assert (session.read_size, session.write_size) == (255 << 10, 255 << 10)
        assert session.limits.handles == 5
    with scripted(lambda script: script.greet()) as channel:
        session = SftpSession(channel)
        assert (session.read_size, session.write_size) == (32 << 10, 32 << 10)
        assert not session.offers(wire.POSIX_RENAME)


def test_replies_out_of_order_find_their_requests() -> None:
    with scripted(lambda script: echo_sizes(script, shuffle=8)) as channel:
        session = SftpSession(channel)
        replies = [session.send(wire.Lstat(str(n)), "look at", str(n)) for n in range(64)]
        assert [reply.attributes().size for reply in replies] == list(range(64))


def test_many_threads_share_a_session() -> None:
    with scripted(echo_sizes) as channel, ThreadPoolExecutor(16) as pool:
        session = SftpSession(channel)
        found = list(pool.map(lambda n: lstat(session, str(n)).size, range(2_000)))
        assert found == list(range(2_000))


def test_a_thread_whose_reply_another_one_received_gets_it() -> None:
    asked = threading.Barrier(3)

    def play(script: Script) -> None:
        script.greet()
        first, second = script.request(), script.request()
        assert first is not None
        assert second is not None
        asked.wait(10)
        script.answer(second[0], wire.Attrs(wire.Attributes(size=2)))
        script.answer(first[0], wire.Attrs(wire.Attributes(size=1)))

    with scripted(play) as channel, ThreadPoolExecutor(2) as pool:
        session = SftpSession(channel)
        sent = [session.send(wire.Lstat(name), "look at", name) for name in "ab"]

        def wait(number: int) -> int | None:
            asked.wait(10)
            return sent[number].attributes().size

        assert list(pool.map(wait, range(2))) == [1, 2]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_who_leaves_hands_over_the_lead() -> None:
    both_wait, one_has_left = threading.Event(), threading.Event()

    def play(script: Script) -> None:
        script.greet()
        first, second = script.request(), script.request()
        assert first is not None
        assert second is not None
        assert both_wait.wait(10)
        script.answer(first[0], wire.Attrs(wire.Attributes(size=1)))
        assert one_has_left.wait(10)
        script.answer(second[0], wire.Attrs(wire.Attributes(size=2)))

    with scripted(play) as channel, ThreadPoolExecutor(2) as pool:
        session = SftpSession(channel)
        replies = [session.send(wire.Lstat(name), "look at", name) for name in "ab"]
        leader = pool.submit(replies[0].attributes)
        until(lambda: session._leading)
        follower = pool.submit(replies[1].attributes)
        until(lambda: session._followers)
        both_wait.set()
        assert leader.result(10).size == 1
        one_has_left.set()
        assert follower.result(10).size == 2


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (StatusCode.NO_SUCH_FILE, NotFound),
        (StatusCode.PERMISSION_DENIED, PermissionDenied),
        (StatusCode.OP_UNSUPPORTED, NotSupported),
        (StatusCode.CONNECTION_LOST, ConnectionLost),
        (StatusCode.NO_CONNECTION, ConnectionLost),
        (StatusCode.FAILURE, StorageError),
        (StatusCode.EOF, StorageError),
        (4_000_000_000, StorageError),
    ],
)
def test_a_status_becomes_an_error_that_is_safe_to_print(code: int, kind: type[StorageError]) -> None:
    def play(script: Script) -> None:
        script.greet()
        request = script.request()
        assert request is not None
        script.answer(request[0], wire.Status(code, "no \x1b[2J way"))

    with scripted(play) as channel:
        session = SftpSession(channel)
        with pytest.raises(StorageError) as caught:
            lstat(session)
        assert type(caught.value) is kind
        assert "\x1b" not in str(caught.value)
        assert "look at “esc\\x1b[31m”" in str(caught.value)


def answer_with(data: Callable[[int], bytes]) -> Callable[[Script], None]:
    def play(script: Script) -> None:
        script.greet()
        request = script.request()
        assert request is not None
        script.raw(data(request[0]))

    return play


LIES: dict[str, Callable[[int], bytes]] = {
    "oversize length": lambda number: struct.pack(">IBI", 0xFFFFFFF0, 105, number),
    "length zero": lambda number: bytes(8),
    "wrong id": lambda number: b"".join(wire.encode(number + 1, wire.Attrs(wire.NO_ATTRIBUTES))),
    "unknown type": lambda number: struct.pack(">IBI", 5, 77, number),
    "truncated attributes": lambda number: struct.pack(">IBII", 9, 105, number, 1),
    "another kind of answer": lambda number: b"".join(wire.encode(number, wire.Handle(b"h"))),
    "success where attributes are due": lambda number: b"".join(wire.encode(number, wire.Status(0))),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_server_is_told_so(lie: str) -> None:
    with scripted(answer_with(LIES[lie])) as channel:
        session = SftpSession(channel, deadline=5)
        with pytest.raises(StorageError, match="broke the SFTP protocol"):
            lstat(session)


@pytest.mark.parametrize(
    "answer",
    [wire.Data(b""), wire.Data(bytes(101)), wire.Attrs(wire.NO_ATTRIBUTES)],
    ids=["nothing", "more than asked", "attributes"],
)
def test_a_wrong_answer_to_a_read_is_refused(answer: wire.Response) -> None:
    with scripted(answer_with(lambda number: b"".join(wire.encode(number, answer)))) as channel:
        session = SftpSession(channel, deadline=5)
        with pytest.raises(StorageError, match="broke the SFTP protocol"):
            session.send(wire.Read(b"h", 0, 100), "read", "x").data()


@pytest.mark.parametrize(
    "greeting",
    [
        wire.Version(2).encode(),
        struct.pack(">IBI", 5, 101, 3),
        wire.Version(3).encode() * 2,
        struct.pack(">I", 1 << 31),
        struct.pack(">IBII", 9, 2, 3, 100),
        b"This account is not available.\n",
    ],
    ids=["version 2", "no version", "two of them", "too long", "torn extension", "text"],
)
def test_a_wrong_greeting_is_refused(greeting: bytes) -> None:
    def play(script: Script) -> None:
        script.packet()
        script.raw(greeting)

    with scripted(play) as channel, pytest.raises(StorageError):
        SftpSession(channel, deadline=5)


def test_silence_ends_by_the_deadline() -> None:
    with scripted(lambda script: script.greet()) as channel:
        session = SftpSession(channel)
        # From now on: a busy machine may take as long to greet.
        session._deadline = 0.2
        with pytest.raises(TimedOut, match=r"no answer for 0\.2 s"):
            lstat(session)
        assert not session.alive
        with pytest.raises(TimedOut):
            lstat(session)


def test_a_request_that_may_take_long_is_waited_for() -> None:
    silences = threading.Semaphore(0)

    class Impatient(SocketChannel):
        def receive(self, limit: int, timeout: float) -> bytes:
            try:
                return super().receive(limit, timeout)
            except TimedOut:
                silences.release()
                raise

    def play(script: Script) -> None:
        script.greet()
        request = script.request()
        assert request is not None
        for _ in range(4):
            assert silences.acquire(timeout=10)
        script.answer(request[0], wire.Status(0))

    with scripted(play, Impatient) as channel:
        session = SftpSession(channel)
        session._deadline = 0.05
        session.send(wire.fsync(b"h"), "make durable", "x", deadline=60).ok()


def test_the_end_of_the_stream_fails_all_who_wait() -> None:
    arrived = threading.Semaphore(0)

    def play(script: Script) -> None:
        script.greet()
        for _ in range(8):
            script.request()
            arrived.release()

    with scripted(play) as channel, ThreadPoolExecutor(8) as pool:
        session = SftpSession(channel)
        waiting = [pool.submit(lstat, session) for _ in range(8)]
        for _ in range(8):
            assert arrived.acquire(timeout=10)
        channel.close()
        for one in waiting:
            with pytest.raises(ConnectionLost):
                one.result(10)


def test_close_frees_all_who_wait() -> None:
    arrived = threading.Semaphore(0)

    def play(script: Script) -> None:
        script.greet()
        while script.request() is not None:
            arrived.release()

    with scripted(play) as channel, ThreadPoolExecutor(8) as pool:
        session = SftpSession(channel, deadline=60, in_flight=100)
        waiting = [pool.submit(lstat, session) for _ in range(4)]
        # These two do not get through: the first fills the window, the other waits for room.
        waiting += [
            pool.submit(lambda: session.send(wire.Write(b"h", 0, bytes(100)), "write", "x").ok())
            for _ in range(2)
        ]
        for _ in range(5):
            assert arrived.acquire(timeout=10)
        session.close()
        session.close()
        for one in waiting:
            with pytest.raises(ConnectionLost):
                one.result(10)


def test_bytes_in_flight_are_bounded() -> None:
    most = 0

    def play(script: Script) -> None:
        nonlocal most
        script.greet()
        waiting: list[int] = []
        while (request := script.request()) is not None:
            waiting.append(request[0])
            most = max(most, len(waiting))
            # Answer one only when no more will come of themselves.
            if len(waiting) >= 10 and not script.readable():
                script.answer(waiting.pop(0), wire.Status(0))

    with scripted(play) as channel:
        session = SftpSession(channel, deadline=10, in_flight=1_000)
        for _ in range(100):
            session.send(wire.Write(b"h", 1, bytes(100)), "write", "x")
        assert most == 10


def test_a_reply_nobody_waits_for_disturbs_nobody() -> None:
    with scripted(echo_sizes) as channel:
        session = SftpSession(channel)
        for number in range(100):
            session.send(wire.Lstat(str(number)), "look at", str(number))
        assert lstat(session, "7").size == 7
