"""A scripted SFTP server on one end of a socket pair: it says what a test wants, true or not."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from tui_sync.connectors.base import Buffer
from tui_sync.connectors.sftp import wire
from tui_sync.errors import ConnectionLost, TimedOut


class SocketChannel:
    """A ByteChannel over a socket."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, buffers: Sequence[Buffer], timeout: float) -> None:
        try:
            self._end.sendall(b"".join(buffers))
        except OSError:
            raise ConnectionLost("the other end is gone") from None

    def receive(self, limit: int, timeout: float) -> bytes:
        self._end.settimeout(timeout)
        try:
            data = self._end.recv(limit)
        except (TimeoutError, BlockingIOError):
            raise TimedOut("nothing came") from None
        except OSError:
            data = b""
        if not data:
            raise ConnectionLost("the other end is gone")
        return data

    def close(self) -> None:
        try:
            self._end.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


class Script:
    """The server's end, for use in the thread that plays the server."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def raw(self, data: bytes) -> None:
        self._end.sendall(data)

    def packet(self) -> bytes | None:
        """The next packet of the client, without its length; None at the end."""
        head = self._exactly(4)
        return self._exactly(struct.unpack(">I", head)[0]) if head else None

    def request(self) -> tuple[int, wire.Request] | None:
        packet = self.packet()
        return wire.decode_request(packet) if packet is not None else None

    def readable(self) -> bool:
        """Whether the client has sent more, or does so within a moment."""
        return bool(select.select([self._end], [], [], 0.02)[0])

    def answer(self, request_id: int, response: wire.Response) -> None:
        self.raw(b"".join(wire.encode(request_id, response)))

    def greet(self, extensions: dict[str, bytes] | None = None, limits: wire.Limits | None = None) -> None:
        self.packet()
        offered = dict(extensions or {})
        if limits is not None:
            offered[wire.LIMITS] = b"1"
        self.raw(wire.Version(3, offered).encode())
        if limits is not None:
            request = self.request()
            assert request is not None
            self.answer(request[0], wire.ExtendedReply(limits.encode()))

    def _exactly(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            try:
                more = self._end.recv(length - len(data))
            except OSError:
                return b""
            if not more:
                return b""
            data += more
        return data


@contextmanager
def scripted(
    play: Callable[[Script], None], kind: type[SocketChannel] = SocketChannel
) -> Iterator[SocketChannel]:
    """A channel to a server that plays ``play`` in a thread, until it returns; then the stream stays open."""
    ours, theirs = socket.socketpair()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            play(Script(theirs))
        except (BrokenPipeError, ConnectionResetError):
            return
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield kind(ours)
    finally:
        for end in (ours, theirs):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        ours.close()
        theirs.close()
    assert not thread.is_alive()
    if failures:
        raise failures[0]
