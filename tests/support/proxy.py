"""A TCP proxy on loopback that a test can cut or freeze."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class Proxy:
    """Forwards connections to ``port``. ``after``: cut a connection once that many bytes went through it."""

    def __init__(self, port: int, *, after: int | None = None) -> None:
        self._target = port
        self._after = after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._flowing = threading.Event()
        self._flowing.set()
        self._ends: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def end(self) -> None:
        """Cut everything and take nothing any more."""
        with contextlib.suppress(OSError):
            # Closing alone would let the thread that waits take one more.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.thaw()
        self.cut()

    def cut(self) -> None:
        """End all connections; new ones are taken."""
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Forward nothing any more, and end nothing: a dead line."""
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def cut_after(self, count: int | None) -> None:
        """For connections from now on."""
        self._after = count

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self._ends += [client, server]
            left = [self._after]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink, left), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, left: list[int | None]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._flowing.wait()
                sink.sendall(data)
                if left[0] is not None:
                    left[0] -= len(data)
                    if left[0] <= 0:
                        break
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
