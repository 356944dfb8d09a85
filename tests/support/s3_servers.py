"""Servers that answer as S3 servers do on a bad day; what they hand on goes to a real one."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Callable, Mapping
from typing import ClassVar, Self, TypeAlias

from tui_sync.connectors.base import Endpoint

# Of a method and a path with its query: the status and code to refuse it with, None to let it through.
Rule: TypeAlias = Callable[[str, str], tuple[int, str] | None]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    handler: ClassVar[type[http.server.BaseHTTPRequestHandler]]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def endpoint(self, **options: object) -> Endpoint:
        return Endpoint(
            "s3://bucket/",
            "s3",
            "/",
            "bucket",
            options={"endpoint_url": self.url, **options},
            secrets={"access_key": lambda: "key", "secret_key": lambda: "secret"},
        )

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self.server_close()


class _Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """A Content-Length among the headers counts only for HEAD."""
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        told = headers.get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", told or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str) -> None:
        self.answer(status, {}, f"<Error><Code>{code}</Code><Message>so it is</Message></Error>".encode())


class _Between(_Quiet):
    def _pass_on(self) -> None:
        server = self.server
        assert isinstance(server, Between)
        if self.headers.get("Expect"):
            self.send_response_only(100)
            self.end_headers()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.requests.append((self.command, self.path))
        refused = server.rule(self.command, self.path)
        if refused is not None:
            server.refused += 1
            self.refuse(*refused)
            return
        line = http.client.HTTPConnection("127.0.0.1", server.real, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        line.request(self.command, self.path, body, headers)
        answer = line.getresponse()
        self.answer(answer.status, dict(answer.getheaders()), answer.read())
        line.close()

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on


class Between(_Server):
    """Refuses what its rule says, and hands the rest on to the server at a port.

    A signature holds for the address that was asked: the host is handed on as it came.
    """

    handler = _Between

    def __init__(self, port: int = 0, rule: Rule = lambda *_: None) -> None:
        super().__init__()
        self.real = port
        self.rule = rule
        self.requests: list[tuple[str, str]] = []
        self.refused = 0


class _Lie(_Quiet):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Lying)
        server.seen.append(dict(self.headers.items()))
        if "list-type" in self.path:
            self.answer(200, {}, server.listing)
        elif asked := self.headers.get("Range"):
            start, stop = (int(number) for number in asked.removeprefix("bytes=").split("-"))
            self._part(server, start, stop + 1)
        else:
            self._whole(server)

    do_HEAD = do_GET

    def _whole(self, server: Lying) -> None:
        told = self.headers.get("x-amz-checksum-mode") == "ENABLED"
        shown = {name: value for name, value in server.shown.items() if told or "checksum" not in name}
        self.answer(200, {"ETag": '"0123-1"', **shown, "Content-Length": str(len(server.body))}, server.body)

    def _part(self, server: Lying, start: int, stop: int) -> None:
        if server.whole:
            self._whole(server)
            return
        start, stop = start + server.shift, min(stop + server.shift, len(server.body))
        told = f"bytes {start}-{stop - 1}/{len(server.body)}"
        self.answer(206, {"ETag": '"0123-1"', "Content-Range": told}, server.body[start:stop])


class Lying(_Server):
    """Has one object, whose ETag is no MD5, and shows it with the headers it is bid to.

    ``shift``: ranges begin and end so many bytes late. ``whole``: it does not know ranges.
    """

    handler = _Lie

    def __init__(
        self, body: bytes, shown: Mapping[str, str] | None = None, *, shift: int = 0, whole: bool = False
    ) -> None:
        super().__init__()
        self.body = body
        self.shown = dict(shown or {})
        self.shift = shift
        self.whole = whole
        self.listing = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
        self.seen: list[dict[str, str]] = []
