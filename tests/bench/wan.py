"""A TCP proxy that makes a line long: every byte arrives half a round trip after it was sent."""

from __future__ import annotations

import contextlib
import multiprocessing
import selectors
import socket
import time
from collections import deque
from multiprocessing.connection import Connection
from typing import Self

_CHUNK = 256 << 10
# What one direction holds at most: beyond it the sender waits, as it would for a router's queue.
_HELD = 64 << 20


class Wan:
    """Forwards connections to ``port`` with a round trip of ``rtt_s`` seconds, from a process of its own."""

    def __init__(self, port: int, rtt_s: float) -> None:
        self._target = port
        self._rtt_s = rtt_s
        self._process: multiprocessing.process.BaseProcess | None = None
        self.port = 0

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self._target, self._rtt_s, theirs), daemon=True)
        self._process.start()
        self.port = ours.recv()
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.join(10)


class _Direction:
    """Bytes on their way from one socket to another."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.held: deque[tuple[float, memoryview]] = deque()
        self.size = 0
        self.ended = False


def _serve(target: int, rtt_s: float, told: Connection) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    told.send(listener.getsockname()[1])
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    flows: dict[socket.socket, tuple[_Direction, _Direction]] = {}
    while True:
        now = time.monotonic()
        _deliver(flows, now)
        for end in list(flows):
            _watch(end, flows, selector, now)
        # What is due already waits for its sink, and the selector for that.
        due = [out.held[0][0] for out, _ in flows.values() if out.held and out.held[0][0] > now]
        wait = max(0.0, min(due) - time.monotonic()) if due else None
        for key, mask in selector.select(wait):
            end = key.fileobj
            assert isinstance(end, socket.socket)
            if end is listener:
                _connect(listener, target, flows, selector)
            elif mask & selectors.EVENT_READ and end in flows:
                _receive(flows[end][0], rtt_s / 2)


def _watch(
    end: socket.socket,
    flows: dict[socket.socket, tuple[_Direction, _Direction]],
    selector: selectors.BaseSelector,
    now: float,
) -> None:
    """Wait for what this end can do next, or let go of it."""
    out, into = flows[end]
    if out.ended and into.ended and not out.held and not into.held:
        _register(selector, end, 0)
        end.close()
        del flows[end]
        return
    events = 0
    if not out.ended and out.size < _HELD:
        events |= selectors.EVENT_READ
    if into.held and into.held[0][0] <= now:
        events |= selectors.EVENT_WRITE
    _register(selector, end, events)


def _register(selector: selectors.BaseSelector, end: socket.socket, events: int) -> None:
    known = end in selector.get_map()
    if not events:
        if known:
            selector.unregister(end)
    elif not known:
        selector.register(end, events)
    elif selector.get_key(end).events != events:
        selector.modify(end, events)


def _connect(
    listener: socket.socket,
    target: int,
    flows: dict[socket.socket, tuple[_Direction, _Direction]],
    selector: selectors.BaseSelector,
) -> None:
    client, _ = listener.accept()
    server = socket.create_connection(("127.0.0.1", target))
    for end in (client, server):
        end.setblocking(False)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    up, down = _Direction(client, server), _Direction(server, client)
    flows[client], flows[server] = (up, down), (down, up)
    for end in (client, server):
        selector.register(end, selectors.EVENT_READ)


def _receive(way: _Direction, delay_s: float) -> None:
    try:
        data = way.source.recv(_CHUNK)
    except BlockingIOError:
        return
    except OSError:
        data = b""
    if not data:
        way.ended = True
    way.held.append((time.monotonic() + delay_s, memoryview(data)))
    way.size += len(data)


def _deliver(flows: dict[socket.socket, tuple[_Direction, _Direction]], now: float) -> None:
    for out, _ in list(flows.values()):
        while out.held and out.held[0][0] <= now:
            due, data = out.held.popleft()
            if not data:
                with contextlib.suppress(OSError):
                    out.sink.shutdown(socket.SHUT_WR)
                continue
            try:
                sent = out.sink.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                out.ended = True
                out.held.clear()
                break
            out.size -= sent
            if sent < len(data):
                out.held.appendleft((due, data[sent:]))
                break
