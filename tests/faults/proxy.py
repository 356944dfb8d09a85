"""A TCP proxy on loopback that harms what goes through it, at chosen bytes of a chosen direction."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

Direction = Literal["up", "down"]
Kind = Literal["cut", "stall", "delay", "corrupt"]


@dataclass(frozen=True, slots=True)
class Harm:
    """What happens to a connection when byte number ``at`` (from 0) of its ``direction`` comes by.

    ``up`` is from the client to the server. ``cut`` ends the connection before that byte, ``stall`` forwards
    nothing any more but ends nothing, ``delay`` waits ``seconds`` once, ``corrupt`` flips a bit of the byte.
    """

    kind: Kind
    at: int
    direction: Direction = "up"
    seconds: float = 0.0


@dataclass
class Line:
    """One connection: how many bytes have gone each way."""

    number: int
    ends: tuple[socket.socket, socket.socket]
    passed: dict[Direction, int] = field(default_factory=lambda: {"up": 0, "down": 0})


class HarmfulProxy:
    """Forwards connections to ``port``. ``harms`` are those of connection number N (from 0).

    ``sent`` and ``received`` count the bytes that went up and down, over all connections.
    """

    def __init__(self, port: int, harms: Callable[[int], Sequence[Harm]] = lambda _: ()) -> None:
        self._target = port
        self._harms = harms
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lines: list[Line] = []
        self._over = threading.Event()
        self._lock = threading.Lock()

    @property
    def sent(self) -> int:
        return sum(line.passed["up"] for line in self.lines)

    @property
    def received(self) -> int:
        return sum(line.passed["down"] for line in self.lines)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._listener.close()
        with self._lock:
            lines = list(self.lines)
        for line in lines:
            _end(line)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            with self._lock:
                line = Line(len(self.lines), (client, server))
                self.lines.append(line)
            harms = self._harms(line.number)
            ways: tuple[tuple[Direction, socket.socket, socket.socket], ...] = (
                ("up", client, server),
                ("down", server, client),
            )
            for direction, source, sink in ways:
                mine = sorted(
                    (harm for harm in harms if harm.direction == direction), key=lambda harm: harm.at
                )
                threading.Thread(
                    target=self._pump, args=(line, direction, source, sink, mine), name="proxy", daemon=True
                ).start()

    def _pump(
        self, line: Line, direction: Direction, source: socket.socket, sink: socket.socket, harms: list[Harm]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := bytearray(source.recv(65_536)):
                while harms and harms[0].at < line.passed[direction] + len(data):
                    harm = harms.pop(0)
                    before = harm.at - line.passed[direction]
                    if harm.kind == "corrupt":
                        data[before] ^= 0x10
                        continue
                    sink.sendall(data[:before])
                    line.passed[direction] += before
                    del data[:before]
                    if harm.kind == "cut":
                        _end(line)
                        return
                    if harm.kind == "stall":
                        self._over.wait()
                        return
                    self._over.wait(harm.seconds)
                sink.sendall(data)
                line.passed[direction] += len(data)
        _end(line)


def _end(line: Line) -> None:
    for end in line.ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
