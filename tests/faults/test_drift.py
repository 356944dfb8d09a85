"""What changes between plan and act, and in the middle of the act; full disks, and clocks that jump."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.pair import Pair, leftovers, tree
from tests.faults.server import Asked, Honest
from tests.faults.test_lying_server import NEW, OLD, SERIAL, fill, put
from tests.support.batch import ROOT, environment
from tui_sync.connectors.sftp import wire
from tui_sync.ledger import open_ledger
from tui_sync.model import Mode

MIB = 1 << 20
LARGE = 5 * MIB


def while_reading(pair: Pair, path: str, act: Callable[[], object]) -> None:
    """``act`` once, when the first byte of a source's file is asked for."""
    done = []

    def lie(asked: Asked, _request: wire.Request, honest: Honest) -> wire.Response:
        answer = honest()
        if asked.name == "Read" and asked.path == f"/tree/{path}" and not done:
            done.append(act())
        return answer

    pair.source.lie = lie


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def rewrite(path: Path) -> None:
    """Same size, other bytes, another time."""
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    os.utime(path, (NEW + 7, NEW + 7))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replace_by_another(path: Path) -> None:
    other = path.with_name("other")
    put(other, b"another file", NEW + 9)
    other.rename(path)


@pytest.mark.parametrize("act", [append, rewrite, truncate, replace_by_another, Path.unlink])
@pytest.mark.parametrize("size", [10, LARGE])
@pytest.mark.parametrize("replaces", [False, True])
def test_a_source_that_is_written_to_while_it_is_read_is_not_published(
    pair: Pair, act: Callable[[Path], object], size: int, replaces: bool
) -> None:
    fill(pair)
    busy = pair.ours / "busy"
    put(busy, random.Random(4).randbytes(size))
    if replaces:
        put(pair.theirs / "busy", b"as it was", OLD)
    while_reading(pair, "busy", lambda: act(busy))
    ran = pair.sync(SERIAL, mode=Mode.COPY)
    assert ran.code == 24, ran.err
    assert ran.items["busy"]["status"] == ("vanished" if act is Path.unlink else "drifted")
    there = tree(pair.theirs)
    assert there.get("busy") == (b"as it was" if replaces else None)
    assert there["new"] == b"new"
    assert leftovers(pair.theirs) == []
    if act is not Path.unlink:
        assert pair.sync(SERIAL).code == 0
        assert tree(pair.theirs) == tree(pair.ours)


def target_edited(pair: Pair) -> None:
    put(pair.theirs / "changed", b"by somebody else", OLD + 100)


def target_removed(pair: Pair) -> None:
    (pair.theirs / "changed").unlink()


def target_appeared(pair: Pair) -> None:
    put(pair.theirs / "new", b"by somebody else", OLD)


def source_edited(pair: Pair) -> None:
    put(pair.ours / "new", b"newer", NEW + 100)


def source_removed(pair: Pair) -> None:
    (pair.ours / "new").unlink()


def source_became_a_folder(pair: Pair) -> None:
    (pair.ours / "new").unlink()
    (pair.ours / "new").mkdir()


def target_became_a_folder(pair: Pair) -> None:
    (pair.theirs / "changed").unlink()
    (pair.theirs / "changed").mkdir()


def extra_edited(pair: Pair) -> None:
    put(pair.theirs / "gone/extra", b"still of use", OLD + 100)


def extra_got_company(pair: Pair) -> None:
    put(pair.theirs / "gone/another", b"new here", OLD)


DRIFTS = [
    (target_edited, "changed", "drifted"),
    (target_removed, "changed", "vanished"),
    (target_appeared, "new", "drifted"),
    (source_edited, "new", "drifted"),
    (source_removed, "new", "vanished"),
    (source_became_a_folder, "new", "drifted"),
    (target_became_a_folder, "changed", "drifted"),
    (extra_edited, "gone/extra", "drifted"),
    (extra_got_company, "gone", "drifted"),
]


@pytest.mark.parametrize(("drift", "path", "status"), DRIFTS)
def test_each_drift_is_skipped_and_reported_and_the_rest_goes_on(
    pair: Pair, drift: Callable[[Pair], None], path: str, status: str
) -> None:
    fill(pair)
    plan = pair.home / "plan"
    assert pair.sync(SERIAL, save_plan=plan).code == 0
    drift(pair)
    before = tree(pair.theirs)
    ran = pair.sync(apply=plan)
    assert ran.code == 24, ran.err
    assert ran.items[path]["status"] == status
    after = tree(pair.theirs)
    assert after.get(path) == before.get(path), "what drifted was touched"
    assert after["folder/below"] == b"below"
    assert after["large"] == (pair.ours / "large").read_bytes()
    assert leftovers(pair.theirs) == []
    if drift is target_became_a_folder:
        assert pair.sync(SERIAL).code == 25, "a file on one side, a folder on the other"
        return
    assert pair.sync(SERIAL).code == 0
    assert tree(pair.theirs) == tree(pair.ours)


@pytest.mark.parametrize("extensions", [True, False])
def test_a_folder_replaced_by_a_symlink_is_not_followed(pair: Pair, extensions: bool) -> None:
    """Neither for what is made, copied and replaced there, nor for what is deleted."""
    if not extensions:
        pair.target.extensions = ()
    fill(pair)
    put(pair.ours / "swapped/new", b"small")
    put(pair.ours / "swapped/large", bytes(LARGE))
    put(pair.ours / "swapped/changed", b"by the source")
    put(pair.ours / "swapped/deep/er/new", b"deeper")
    put(pair.theirs / "swapped/changed", b"was", OLD)
    put(pair.theirs / "swapped/extra", b"extra", OLD)
    put(pair.theirs / "swapped/gone/extra", b"extra", OLD)
    plan = pair.home / "plan"
    assert pair.sync(SERIAL, save_plan=plan).code == 0
    outside = pair.target.folder / "outside"
    shutil.copytree(pair.theirs / "swapped", outside)
    shutil.rmtree(pair.theirs / "swapped")
    (pair.theirs / "swapped").symlink_to("../outside")
    before = {path: (path.lstat().st_mtime_ns, path.lstat().st_mode) for path in outside.rglob("*")}
    ran = pair.sync(apply=plan)
    assert ran.code == 24, ran.err
    assert {path: (path.lstat().st_mtime_ns, path.lstat().st_mode) for path in outside.rglob("*")} == before
    inside = {path: record for path, record in ran.items.items() if path.startswith("swapped/")}
    assert len(inside) == 9
    assert {record["status"] for record in inside.values()} <= {"drifted", "held"}
    assert "has become a symbolic link" in inside["swapped/new"]["error"]
    assert tree(pair.theirs)["folder/below"] == b"below"


class JumpingClock:
    """Wall clock time that leaps hours back and forth; the monotonic clock is as ever."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._real = time.time_ns
        self._off = 0

    def time_ns(self) -> int:
        if self._dice.random() < 0.2:
            self._off = self._dice.randint(-48, 48) * 3600 * 10**9
        return self._real() + self._off

    def time(self) -> float:
        return self.time_ns() / 1e9


@pytest.mark.parametrize("seed", range(3))
def test_a_clock_that_jumps_changes_nothing(pair: Pair, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    fill(pair)
    clock = JumpingClock(seed)
    monkeypatch.setattr(time, "time", clock.time)
    monkeypatch.setattr(time, "time_ns", clock.time_ns)
    began = time.monotonic()
    ran = pair.sync(SERIAL, bandwidth_limit=4 * MIB)
    took = time.monotonic() - began
    assert ran.code == 0, f"seed {seed}: {ran.err}"
    assert tree(pair.theirs) == tree(pair.ours)
    assert 0 < ran.summary["elapsed_s"] <= took
    again = pair.sync(SERIAL)
    assert (again.summary["created"], again.summary["updated"], again.summary["deleted"]) == (0, 0, 0)
    profile = pair.profile(SERIAL)
    ledger = open_ledger(
        profile.pair_id, source=profile.source.url, target=profile.target.url, state_dir=pair.state
    )
    assert [run.run_id for run in ledger.runs()] == [2, 1], "newest first, whatever the clock said"
    ledger.close()


def _namespaces() -> bool:
    """Whether a mount of one's own can be made here, as root or in a user namespace."""
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        return False
    command = ["unshare", *_unshared(), "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def _unshared() -> list[str]:
    return ["-m"] if os.geteuid() == 0 else ["-r", "-m"]


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """The target is a file system of 16 MiB of which the guard is told nothing: others write there too."""
    if not _namespaces():
        pytest.skip("no mount can be made here: the lying server's full disk has to do")
    source, target, seen = tmp_path / "source", tmp_path / "target", tmp_path / "seen"
    target.mkdir()
    dice = random.Random(6)
    for number in range(5):
        put(source / f"{number}", dice.randbytes(MIB))
    put(source / "huge", dice.randbytes(5 * MIB))
    put(source / "small", b"small")
    # By one worker: how much is free when its turn comes is the same each time.
    batch = f"{sys.executable} -m tui_sync --batch"
    script = f"""
        mount -t tmpfs -o size=16m none {target}
        echo old > {target}/huge; touch -d 2001-01-01 {target}/huge
        {batch} --workers 1 --save-plan {tmp_path}/plan {source} {target} || exit 98
        head -c 12500000 /dev/zero > {target}/other
        {batch} --apply {tmp_path}/plan {source} {target}; code=$?
        cp -a {target}/. {seen}; exit $code
    """
    ran = subprocess.run(
        ["unshare", *_unshared(), "sh", "-c", script],
        env=environment(tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 23, ran.stdout + ran.stderr
    assert "o space left" in ran.stdout
    there = tree(seen)
    ours = tree(source)
    assert there["huge"] == b"old\n"
    assert there["small"] == b"small"
    for path, data in there.items():
        if path not in ("huge", "other"):
            assert data == ours[path], f"torn: {path}"
    assert leftovers(seen) == []
