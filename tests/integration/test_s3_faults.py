"""S3 where it goes wrong: logins, permissions, busy and lying servers, replaced objects."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.support import BatchPrompts, content, read
from tests.support import s3, sessions
from tests.support.batch import tui_sync
from tests.support.s3 import Bucket, connected
from tests.support.s3_servers import Between, Lying
from tests.support.sessions import local, session
from tests.support.sshd import free_port
from tui_sync.connectors.base import Buffer, Download, Endpoint, Fetched, Reader
from tui_sync.connectors.s3.connector import connect
from tui_sync.connectors.s3.copying import headers_of
from tui_sync.demo.s3_server import Account
from tui_sync.errors import (
    ConnectError,
    Drifted,
    LoginRefused,
    NotFound,
    PermissionDenied,
    StorageError,
    TimedOut,
    TuiSyncError,
    Vanished,
    VerifyFailed,
)
from tui_sync.model import Status
from tui_sync.transfer.retry import Retry

MIB = 1 << 20
WRONG = Account(s3.ADMIN.access_key, "wrong-secret-that-nobody-may-see")


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


@pytest.mark.parametrize(
    ("status", "code", "kind", "asked", "words"),
    [
        (503, "SlowDown", TimedOut, 2, "busy"),
        (400, "ExpiredToken", LoginRefused, 1, "expired"),
        (403, "RequestTimeTooSkewed", LoginRefused, 1, "clock"),
        (403, "InvalidAccessKeyId", LoginRefused, 1, "access_key"),
    ],
)
def test_a_server_that_refuses_is_asked_so_often_and_no_more(
    status: int, code: str, kind: type[TuiSyncError], asked: int, words: str, tmp_path: Path
) -> None:
    with Between(rule=lambda *_: (status, code)) as server:
        with pytest.raises(kind, match=words):
            connect(server.endpoint(attempts=2), BatchPrompts())
        assert len(server.requests) == asked
        places = (server.endpoint(attempts=1), local(tmp_path / "target"))
        with session(*places, tmp_path / "state") as opened:
            opened._retry = Retry(attempts=3, first_pause_s=0.01)
            with pytest.raises(TuiSyncError, match=words) as caught:
                opened.connect()
        assert caught.value.exit_code == 7
    assert not (tmp_path / "target").exists()


def test_an_object_replaced_while_it_is_read_is_never_mixed(bucket: Bucket) -> None:
    old, new = content(40 * MIB, seed=1), content(40 * MIB, seed=2)
    bucket.put("file", old)
    with connected(bucket.endpoint()) as connector, connector.reader().open("file") as download:
        blocks = download.blocks()
        got = bytearray(next(blocks))
        bucket.put("file", new)
        try:
            # The answer that was begun may well go on with the old object.
            for block in blocks:
                got += block
        except Drifted:
            assert old.startswith(got)
        else:
            assert got == old
        with pytest.raises(Drifted):
            list(download.blocks(MIB))
        bucket.delete("file")
        with pytest.raises(Vanished):
            list(download.blocks(MIB))


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


def test_bytes_that_are_not_those_of_the_etag_are_refused(bucket: Bucket) -> None:
    bucket.put("file", content(6 * MIB))
    with connected(bucket.endpoint()) as connector:
        assert read(connector.reader(), "file") == content(6 * MIB)
        download = connector.reader().open("file")
        download._body = io.BytesIO(b"?" + download._body.read()[1:])
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


def fetched(reader: Reader, path: str) -> bytes:
    [found] = reader.fetch_many([path], [10_000])
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
    shown = {f"x-amz-checksum-{algorithm}": base64.b64encode(digest).decode(), "x-amz-checksum-type": kind}
    for wrong in (False, True):
        made = made[:-1] + bytes([made[-1] ^ wrong])
        with Lying(made, shown) as server, connected(server.endpoint()) as connector:
            reader = connector.reader()
            with pytest.raises(VerifyFailed) if wrong and caught else nullcontext():
                found = fetched(reader, "file") if size < 10_000 else read(reader, "file")
                assert found == made


@pytest.mark.parametrize("lie", [{"shift": 1}, {"whole": True}], ids=["other bytes", "all of it"])
@pytest.mark.parametrize("start", [0, MIB])
def test_an_answer_of_other_bytes_than_asked_for_is_refused(lie: dict[str, Any], start: int) -> None:
    """Of the right length, for some; nothing of it is handed on."""
    with Lying(content(6 * MIB), **lie) as server, connected(server.endpoint()) as connector:
        download = connector.reader().open("file")
        with pytest.raises(StorageError, match="other bytes"):
            list(download.blocks(start, 5 * MIB) if start else download.blocks(0, MIB) and ranged(download))


def ranged(download: Download) -> Iterator[Buffer]:
    """The beginning, by a request of its own."""
    list(download.blocks(0, 1))
    return download.blocks(0, MIB)


def test_a_server_that_knows_no_ranges_may_give_all_that_was_asked_for() -> None:
    made = content(3 * MIB)
    with Lying(made, whole=True) as server, connected(server.endpoint()) as connector:
        download = connector.reader().open("file")
        for _ in range(2):
            assert b"".join(map(bytes, download.blocks())) == made


def test_a_time_is_read_however_the_header_is_written() -> None:
    with (
        Lying(b"x", {"X-Amz-Meta-Mtime": "5.25"}) as server,
        connected(server.endpoint()) as connector,
        connector.reader().open("file") as download,
    ):
        assert download.entry.mtime_ns == 5_250_000_000
        assert connector.reader().stat("file").mtime_ns == 5_250_000_000
        assert headers_of(download.answer)["Metadata"] == {"mtime": "5.25"}


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize(
    ("status", "error", "burst", "code", "words"),
    [
        (503, "SlowDown", 3, 0, ""),
        (503, "SlowDown", 10**6, 23, "busy"),
        (400, "ExpiredToken", 10**6, 23, "expired"),
        (403, "RequestTimeTooSkewed", 10**6, 23, "clock"),
        (403, "AccessDenied", 10**6, 23, "permission denied"),
    ],
    ids=["busy for a while", "busy for good", "expired token", "clock", "no permission"],
)
def test_refused_in_the_middle_of_a_run(
    bucket: Bucket,
    tmp_path: Path,
    direction: str,
    status: int,
    error: str,
    burst: int,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a server says to objects once the plan is made: so many requests, and no more."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "two").write_text("old one" if direction == "down" else "new")
    bucket.put("two", b"old one" if direction == "up" else b"new", mtime="5")
    if direction == "up":
        (folder / "one").write_text("new")
    else:
        bucket.put("one", b"new", mtime="5")
    left = 0

    def rule(method: str, path: str) -> tuple[int, str] | None:
        nonlocal left
        if not left or "list-type" in path:
            return None
        left -= 1
        return status, error

    with Between(bucket.server.port, rule) as front:
        # The signature is made for the address that is asked, which the real server is not told of.
        through = bucket.endpoint(endpoint_url=front.url, attempts=3)
        places = (local(folder), through) if direction == "up" else (through, local(folder))
        with session(*places, tmp_path / "state") as opened:
            plan = opened.make_plan()
            assert plan.totals.files == 2
            opened._retry = Retry(attempts=3, first_pause_s=0.01)
            left = burst
            engine = opened.start(plan)
            assert engine.wait(sessions.WAIT_S)
            left = 0
            assert engine.summary.exit_code == code
            failed = [one.error for one in opened.ledger.outcomes(engine.run_id) if one.error]
    assert 0 < front.refused < 100
    found = bucket.files() if direction == "up" else {one.name: one.read_bytes() for one in folder.iterdir()}
    if code:
        assert found == {"two": b"old one"}
        assert len(failed) == 2
        assert all(words in each for each in failed)
    else:
        assert found == {"one": b"new", "two": b"new"}
