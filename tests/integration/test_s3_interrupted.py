"""Uploads and downloads to and from S3 that are interrupted: cancelled, killed, cut off."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.support import content, read
from tests.faults.proxy import Direction, Harm, HarmfulProxy
from tests.support import s3, sessions
from tests.support.batch import started, tui_sync
from tests.support.s3 import Bucket, connected
from tests.support.sessions import local, session
from tui_sync.cancel import CancelToken
from tui_sync.connectors.s3 import download as s3_download
from tui_sync.connectors.s3 import stream
from tui_sync.demo.trees import make_large
from tui_sync.errors import Drifted
from tui_sync.transfer.partials import Partials

MIB = 1 << 20
PART_MIB = 5
# How large what is killed half-way is. More takes longer and shows the same.
KILLED_MIB = int(os.environ.get("TUI_SYNC_KILLED_UPLOAD_MIB", "32"))


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
    make_large(tmp_path / "source" / "large", size=KILLED_MIB * MIB)
    profile = tmp_path / "pair.toml"
    pair = f'[source]\nurl = "{tmp_path}/source"\n' + bucket.section("target", "/x")
    # As slow as leaves seconds between the second part and the last one.
    profile.write_text(f'{pair}[sync]\nbandwidth_limit = "{KILLED_MIB // 8}M"\n')
    with started("--batch", profile, home=tmp_path, **s3.environment()) as process:
        until(lambda: parts_of(bucket) >= 2)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert bucket.files() == {}
    assert bucket.unfinished() == ["x/large"]
    profile.write_text(pair)
    ran = tui_sync("--batch", "--json", profile, home=tmp_path, **s3.environment())
    assert ran.code == 0, ran.err
    assert 0 < ran.summary["requests"]["UploadPart"] < KILLED_MIB // PART_MIB, "it went on"
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
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
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
