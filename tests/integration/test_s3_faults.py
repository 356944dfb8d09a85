"""S3 where it goes wrong: logins, permissions, busy servers, replaced objects, interrupted uploads."""

from __future__ import annotations

import base64
import hashlib
import http.client
import http.server
import itertools
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.support import BatchPrompts, content, read
from tests.faults.proxy import Direction, Harm, HarmfulProxy
from tests.support import s3, sessions
from tests.support.batch import started, tui_sync
from tests.support.s3 import Bucket
from tests.support.sessions import local, session
from tests.support.sshd import free_port
from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Endpoint, Fetched, Reader
from tui_sync.connectors.s3 import download as s3_download
from tui_sync.connectors.s3 import stream
from tui_sync.connectors.s3.connector import S3Connector, connect
from tui_sync.demo.s3_server import Account
from tui_sync.demo.trees import make_large
from tui_sync.errors import (
    ConnectError,
    Drifted,
    LoginRefused,
    NotFound,
    PermissionDenied,
    TimedOut,
    TuiSyncError,
    Vanished,
    VerifyFailed,
)
from tui_sync.model import Status
from tui_sync.transfer.partials import Partials
from tui_sync.transfer.retry import Retry

MIB = 1 << 20
WRONG = Account(s3.ADMIN.access_key, "wrong-secret-that-nobody-may-see")


@contextmanager
def connected(endpoint: Endpoint) -> Iterator[S3Connector]:
    connector = connect(endpoint, BatchPrompts())
    try:
        yield connector
    finally:
        connector.close()


def nowhere(bucket: Bucket) -> Endpoint:
    return replace(bucket.endpoint(), url="s3://nowhere/", host="nowhere")


def unanswered(bucket: Bucket) -> Endpoint:
    return bucket.endpoint(endpoint_url=f"http://127.0.0.1:{free_port()}", attempts=1)


@pytest.mark.parametrize(
    ("make", "kind", "code", "words"),
    [
        (lambda bucket: bucket.endpoint(account=WRONG), LoginRefused, 7, "secret_key"),
        (lambda bucket: bucket.endpoint(account=s3.GUEST), PermissionDenied, 1, "permission denied"),
        (nowhere, NotFound, 3, "does not exist"),
        (unanswered, ConnectError, 7, "endpoint_url"),
        (lambda bucket: bucket.endpoint(anonymous=True), TuiSyncError, 1, "bucket"),
    ],
    ids=["wrong secret", "no permission", "no bucket", "no server", "anonymous"],
)
def test_a_login_that_fails_is_told_in_a_sentence(
    bucket: Bucket, make: Callable[[Bucket], Endpoint], kind: type[TuiSyncError], code: int, words: str
) -> None:
    with pytest.raises(kind) as caught:
        connect(make(bucket), BatchPrompts())
    told = str(caught.value)
    assert words in told
    assert caught.value.exit_code == code
    assert caught.value.__cause__ is None
    for account in (s3.ADMIN, s3.GUEST, WRONG):
        assert account.secret_key not in repr(caught.value)


def test_the_exit_code_of_a_wrong_secret(bucket: Bucket, tmp_path: Path) -> None:
    profile = tmp_path / "pair.toml"
    profile.write_text(bucket.section("source") + f'[target]\nurl = "{tmp_path}/target"\n')
    ran = tui_sync("--batch", "--json", profile, home=tmp_path, **s3.environment(WRONG))
    assert ran.code == 7
    assert WRONG.secret_key not in ran.out + ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "target").exists()


class Front(http.server.ThreadingHTTPServer):
    """A server that always answers the same, as S3 servers do where something is wrong."""

    daemon_threads = True

    def __init__(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status = status
        self.body = f"<Error><Code>{code}</Code><Message>so it is</Message></Error>".encode()
        self.asked = 0

    def __enter__(self) -> Front:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self.server_close()


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Front)
        self.server.asked += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "code", "kind", "asked"),
    [
        (503, "SlowDown", TimedOut, 2),
        (400, "ExpiredToken", LoginRefused, 1),
        (403, "RequestTimeTooSkewed", LoginRefused, 1),
        (403, "InvalidAccessKeyId", LoginRefused, 1),
    ],
)
def test_a_server_that_refuses_is_asked_so_often_and_no_more(
    status: int, code: str, kind: type[TuiSyncError], asked: int, require_s3: None
) -> None:
    with Front(status, code) as front:
        endpoint = Endpoint(
            "s3://bucket/",
            "s3",
            "/",
            "bucket",
            options={"endpoint_url": f"http://127.0.0.1:{front.server_port}", "attempts": 2},
            secrets={"access_key": lambda: "key", "secret_key": lambda: "secret"},
        )
        with pytest.raises(kind):
            connect(endpoint, BatchPrompts())
        assert front.asked == asked


def test_an_object_replaced_while_it_is_read_is_never_mixed(bucket: Bucket) -> None:
    old, new = content(40 * MIB, seed=1), content(40 * MIB, seed=2)
    bucket.put("file", old)
    with connected(bucket.endpoint()) as connector, connector.reader().open("file") as download:
        blocks = download.blocks()
        got = bytearray(next(blocks))
        bucket.put("file", new)
        with pytest.raises(Drifted):
            got.extend(itertools.chain.from_iterable(map(bytes, blocks)))
        assert old.startswith(got)
        bucket.delete("file")
        with pytest.raises(Vanished):
            list(download.blocks())


def test_a_replaced_source_leaves_no_target(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("file", content(9 * MIB))
    with session(bucket.endpoint(), local(tmp_path / "target"), tmp_path / "state") as opened:
        plan = opened.make_plan()
        bucket.put("file", content(9 * MIB, seed=2))
        engine = opened.start(plan)
        assert engine.wait(sessions.WAIT_S)
        [outcome] = [one for one in opened.ledger.outcomes(engine.run_id) if one.item.path == "file"]
        assert outcome.status is Status.DRIFTED
        assert engine.summary.exit_code == 24
    assert list((tmp_path / "target").iterdir()) == []


def test_bytes_that_are_not_those_of_the_etag_are_refused(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("file", content(6 * MIB))
    with connected(bucket.endpoint()) as connector:
        assert read(connector.reader(), "file") == content(6 * MIB)
        download = connector.reader().open("file")
        assert download._first is not None
        download._first = b"?" + download._first[1:]
        with pytest.raises(VerifyFailed):
            for _ in download.blocks():
                pass


def test_bytes_that_a_server_did_not_receive_as_sent_are_refused(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connected(bucket.endpoint()) as connector:
        upload = connector.writer().upload("file", temporary="t", size=3, mtime_ns=1, mode=None)
        upload.write(0, b"abc")
        upload.finish()
        monkeypatch.setattr("tui_sync.connectors.s3.upload.crc32_text", lambda _: "AAAAAA==")
        with pytest.raises(VerifyFailed):
            upload.publish(replace=False)
        assert bucket.keys() == []


def test_a_cancelled_upload_ends_soon_and_can_be_cleared(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    make_large(tmp_path / "source" / "large", size=48 * MIB)
    with session(
        local(tmp_path / "source"), bucket.endpoint(), tmp_path / "state", bandwidth_limit=12 * MIB
    ) as opened:
        engine = opened.start(opened.make_plan())
        until(lambda: engine.snapshot().bytes_done > 10 * MIB)
        engine.cancel()
        assert engine.wait(5)
        assert engine.summary.exit_code == 130
    assert bucket.keys() == []
    (tmp_path / "source" / "large").unlink()
    (tmp_path / "source" / "small").write_text("x")
    with session(local(tmp_path / "source"), bucket.endpoint(), tmp_path / "state") as opened:
        sessions.run(opened)
    assert bucket.files() == {"small": b"x"}
    assert bucket.unfinished() == []


def test_an_aborted_upload_is_gone(bucket: Bucket) -> None:
    with connected(bucket.endpoint()) as connector:
        upload = connector.writer().upload("file", temporary="t", size=30 * MIB, mtime_ns=1, mode=None)
        for offset in range(0, 20 * MIB, MIB):
            upload.write(offset, bytes(MIB))
        assert bucket.unfinished() == ["file"]
        upload.abort()
        until(lambda: bucket.unfinished() == [])


def test_aborted_after_the_connection_was_closed_it_is_gone_too(bucket: Bucket) -> None:
    with connected(bucket.endpoint()) as connector:
        upload = connector.writer().upload("file", temporary="t", size=30 * MIB, mtime_ns=1, mode=None)
        upload.write(0, bytes(9 * MIB))
        connector.close()
        upload.abort()
        until(lambda: bucket.unfinished() == [])


def test_killed_in_the_middle_of_a_large_upload_the_next_run_completes(
    bucket: Bucket, tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    make_large(tmp_path / "source" / "large", size=32 * MIB)
    profile = tmp_path / "pair.toml"
    profile.write_text(
        f'[source]\nurl = "{tmp_path}/source"\n'
        + bucket.section("target", "/x")
        + '[sync]\nbandwidth_limit = "20M"\n'
    )
    with started("--batch", profile, home=tmp_path, **s3.environment()) as process:
        until(lambda: parts_of(bucket) >= 2)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert bucket.files() == {}
    assert bucket.unfinished() == ["x/large"]
    ran = tui_sync("--batch", "--json", profile, home=tmp_path, **s3.environment())
    assert ran.code == 0, ran.err
    assert bucket.get("x/large") == (tmp_path / "source" / "large").read_bytes()
    assert bucket.unfinished() == []


def test_an_upload_that_was_begun_and_not_noted_is_found_and_another_ones_is_not(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends right after the upload was begun, as by a kill; somebody else has one of the same name."""
    (tmp_path / "source").mkdir()
    make_large(tmp_path / "source" / "large", size=12 * MIB)
    others = bucket.client.create_multipart_upload(Bucket=bucket.name, Key="large")["UploadId"]
    bucket.client.upload_part(
        Bucket=bucket.name, Key="large", UploadId=others, PartNumber=1, Body=b"a part of somebody else's"
    )

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("tui_sync.transfer.partials.Partials._note", killed)
        with session(local(tmp_path / "source"), bucket.endpoint(), tmp_path / "state") as opened:
            plan = opened.make_plan()
            item = sessions.items(opened, plan)["large"]
            keeper = Partials(
                opened.ledger,
                opened.target_reader(),
                opened._logins.connector("target").writer(),
                CancelToken(),
                across_runs=True,
            )
            assert item.source is not None
            with opened.source_reader().open("large") as download, pytest.raises(KeyboardInterrupt):
                keeper.begin(item, item.source, download, size=item.source.size)
    assert bucket.unfinished() == ["large", "large"]
    with session(local(tmp_path / "source"), bucket.endpoint(), tmp_path / "state") as opened:
        _, summary, bad = sessions.run(opened)
        assert (summary.created, bad) == (1, [])
    left = bucket.client.list_multipart_uploads(Bucket=bucket.name)["Uploads"]
    assert [one["UploadId"] for one in left] == [others]
    assert bucket.get("large") == (tmp_path / "source" / "large").read_bytes()


@pytest.mark.parametrize(
    ("direction", "streamed"),
    [("up", False), ("down", False), ("down", True)],
    ids=["up", "down", "down in one answer"],
)
def test_a_line_cut_in_the_middle_of_a_part_costs_a_part(
    bucket: Bucket, tmp_path: Path, direction: Direction, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the first connections that carries much is cut in the middle of it."""
    if streamed:
        monkeypatch.setattr(s3_download, "_LARGE", 5 * MIB)
    made = content(12 * MIB)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "large").write_bytes(made)
    (tmp_path / "target").mkdir()
    if direction == "down":
        bucket.put("large", made)

    def harms(number: int) -> list[Harm]:
        return [Harm("cut", 3 * MIB, direction)] if number < 4 else []

    with HarmfulProxy(bucket.server.port, harms) as proxy:
        through = bucket.endpoint(endpoint_url=f"http://127.0.0.1:{proxy.port}", attempts=3)
        places = (local(tmp_path / "source"), through)
        if direction == "down":
            places = (through, local(tmp_path / "target"))
        with session(*places, tmp_path / "state") as opened:
            _, summary, bad = sessions.run(opened)
            assert [one.error for one in bad] == []
            assert summary.created == 1
        moved = proxy.sent if direction == "up" else proxy.received
        assert moved < 12 * MIB + 4 * 6 * MIB
    found = bucket.get("large") if direction == "up" else (tmp_path / "target" / "large").read_bytes()
    assert found == made
    assert bucket.unfinished() == []


def test_an_object_replaced_behind_a_cut_is_never_mixed(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one answer has begun, another one must not go on with."""
    monkeypatch.setattr(s3_download, "_LARGE", 5 * MIB)
    old = content(60 * MIB, seed=1)
    bucket.put("file", old)
    with HarmfulProxy(bucket.server.port, lambda _: [Harm("cut", 50 * MIB, "down")]) as proxy:
        through = bucket.endpoint(endpoint_url=f"http://127.0.0.1:{proxy.port}")
        with connected(through) as connector, connector.reader().open("file") as download:
            blocks = download.blocks()
            got = bytearray().join(itertools.islice(blocks, 6))
            bucket.put("file", content(MIB, seed=2))
            with pytest.raises(Drifted):
                got.extend(itertools.chain.from_iterable(map(bytes, blocks)))
            assert old.startswith(got)


def test_a_stream_that_is_too_slow_is_left_for_several(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_download, "_LARGE", 5 * MIB)
    monkeypatch.setattr(stream, "_JUDGED_AFTER", MIB)
    monkeypatch.setattr(stream, "_ENOUGH", 1 << 60)
    made = content(24 * MIB)
    bucket.put("file", made)
    with connected(bucket.endpoint()) as connector:
        assert read(connector.reader(), "file") == made
        # The beginning, the stream, and what it left.
        assert connector.requests["GetObject"] > 2


class Lying(http.server.ThreadingHTTPServer):
    """Has one object, whose ETag is no MD5, and tells a checksum of it as it is bid to."""

    daemon_threads = True

    def __init__(self, body: bytes, headers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Lie)
        self.body = body
        self.headers = headers

    def __enter__(self) -> Lying:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self.server_close()


class _Lie(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, Lying)
        if "list-type" in self.path:
            self._answer(200, b"<ListBucketResult></ListBucketResult>", {})
        elif asked := self.headers.get("Range"):
            start, stop = (int(number) for number in asked.removeprefix("bytes=").split("-"))
            part = self.server.body[start : stop + 1]
            shown = f"bytes {start}-{start + len(part) - 1}/{len(self.server.body)}"
            self._answer(206, part, {"Content-Range": shown})
        else:
            self._answer(200, self.server.body, self.server.headers)

    def do_HEAD(self) -> None:
        assert isinstance(self.server, Lying)
        self._answer(200, self.server.body, self.server.headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        told = self.headers.get("x-amz-checksum-mode") == "ENABLED"
        for name, value in headers.items() if told else ():
            self.send_header(name, value)
        if "Content-Range" in headers:
            self.send_header("Content-Range", headers["Content-Range"])
        self.send_header("ETag", '"0123-1"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def fetched(reader: Reader, path: str) -> bytes:
    [found] = reader.fetch_many([path], 10_000)
    assert isinstance(found, Fetched)
    return found.data


@pytest.mark.parametrize("size", [6 * MIB, 1_000_000, 1_000])
@pytest.mark.parametrize(
    ("algorithm", "kind", "caught"),
    [
        ("crc32", "FULL_OBJECT", True),
        ("sha256", "FULL_OBJECT", True),
        ("sha1", "FULL_OBJECT", True),
        ("crc32", "COMPOSITE", False),
        ("crc64nvme", "FULL_OBJECT", False),
    ],
)
def test_a_body_that_is_not_that_of_the_checksum_is_refused(
    algorithm: str, kind: str, caught: bool, size: int, require_s3: None
) -> None:
    """The length is right. What is no checksum of the whole, or cannot be computed here, refuses nothing."""
    made = content(size)
    digest = {
        "crc32": zlib.crc32(made).to_bytes(4, "big"),
        "crc64nvme": bytes(8),
        "sha1": hashlib.sha1(made, usedforsecurity=False).digest(),
        "sha256": hashlib.sha256(made).digest(),
    }[algorithm]
    headers = {f"x-amz-checksum-{algorithm}": base64.b64encode(digest).decode(), "x-amz-checksum-type": kind}
    for wrong in (False, True):
        with Lying(made[:-1] + bytes([made[-1] ^ wrong]), headers) as server:
            endpoint = Endpoint(
                "s3://bucket/",
                "s3",
                "/",
                "bucket",
                options={"endpoint_url": f"http://127.0.0.1:{server.server_port}"},
                secrets={"access_key": lambda: "key", "secret_key": lambda: "secret"},
            )
            with connected(endpoint) as connector:
                reader = connector.reader()
                small = size < 10_000
                with pytest.raises(VerifyFailed) if wrong and caught else nullcontext():
                    found = fetched(reader, "file") if small else read(reader, "file")
                    assert found == server.body


class Busy(http.server.ThreadingHTTPServer):
    """Answers SlowDown to the first ``burst`` requests, and hands what comes then on to the real server."""

    daemon_threads = True

    def __init__(self, port: int, burst: int) -> None:
        super().__init__(("127.0.0.1", 0), _BusyAnswer)
        self.real = port
        self.left = burst
        self.refused = 0

    def __enter__(self) -> Busy:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self.server_close()


class _BusyAnswer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        assert isinstance(self.server, Busy)
        if self.headers.get("Expect"):
            self.send_response_only(100)
            self.end_headers()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.left > 0:
            self.server.left -= 1
            self.server.refused += 1
            told = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            self._answer(503, [], b"" if self.command == "HEAD" else told)
            return
        line = http.client.HTTPConnection("127.0.0.1", self.server.real, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        line.request(self.command, self.path, body, headers)
        answer = line.getresponse()
        self._answer(answer.status, answer.getheaders(), answer.read())
        line.close()

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = dict(headers).get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize(("burst", "code"), [(2, 0), (1_000_000, 23)], ids=["for a while", "for good"])
def test_a_busy_server_in_the_middle_of_a_run(
    bucket: Bucket, tmp_path: Path, burst: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    (tmp_path / "source").mkdir()
    for name in ("one", "two"):
        (tmp_path / "source" / name).write_text("new")
    bucket.put("two", b"old one")
    with Busy(bucket.server.port, 0) as busy:
        # The signature is made for the address that is asked, which the real server is not told of.
        through = bucket.endpoint(endpoint_url=f"http://127.0.0.1:{busy.server_port}", attempts=3)
        with session(local(tmp_path / "source"), through, tmp_path / "state") as opened:
            plan = opened.make_plan()
            opened._retry = Retry(attempts=3, first_pause_s=0.01)
            busy.left = burst
            engine = opened.start(plan)
            assert engine.wait(sessions.WAIT_S)
            busy.left = 0
            assert engine.summary.exit_code == code
            failed = [one.error for one in opened.ledger.outcomes(engine.run_id) if one.error]
    assert 0 < busy.refused < 100
    if code:
        assert bucket.files() == {"two": b"old one"}
        assert len(failed) == 2
        assert all("busy" in error for error in failed)
    else:
        assert bucket.files() == {"one": b"new", "two": b"new"}


def parts_of(bucket: Bucket) -> int:
    uploads = bucket.client.list_multipart_uploads(Bucket=bucket.name).get("Uploads") or ()
    return sum(
        len(
            bucket.client.list_parts(Bucket=bucket.name, Key=one["Key"], UploadId=one["UploadId"]).get(
                "Parts"
            )
            or ()
        )
        for one in uploads
    )


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def test_the_server_ends_with_the_one_who_started_it(tmp_path: Path, require_s3: None) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom tui_sync.demo.s3_server import S3Server\n"
        "server = S3Server(Path(sys.argv[1])).start()\nprint(server.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    pid = int(ran.stdout)
    until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text())
