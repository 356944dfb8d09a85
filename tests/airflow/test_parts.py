"""The tasks' own work without a DAG: parts that are cut short, tried again, or met by what changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("airflow.sdk", reason="Airflow is not installed (pip install 'tui-sync[airflow]')")

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from tests.airflow.conftest import put
from tests.support.sshd import Sshd
from tui_sync import names
from tui_sync.airflow import parts
from tui_sync.airflow.parts import carry_out
from tui_sync.airflow.places import FromProfile
from tui_sync.airflow.plan import make_plan
from tui_sync.airflow.report import make_report
from tui_sync.airflow.storage import Folder
from tui_sync.ledger import Ledger
from tui_sync.planning.shards import ShardLimits

MIB = 1 << 20
CODE = """
import sys
from tui_sync.airflow import parts
from tui_sync.airflow.places import FromProfile
parts._SAVE_S = parts._TICK_S = 0.1
parts.carry_out(FromProfile(sys.argv[1]), sys.argv[2], sys.argv[3])
"""


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_TAKE_OVER_S", 0.0)


@pytest.fixture
def profile(servers: tuple[Sshd, Sshd], pair: Path) -> Path:
    sides = zip(("source", "target"), servers, strict=True)
    text = "".join(
        f'[{side}]\nurl = "{server.url(pair / side)}"\n'
        f'identity_file = "{server.identity_file}"\nknown_hosts = "{server.known_hosts}"\n'
        for side, server in sides
    )
    file = pair / "pair.toml"
    file.write_text(text + "[sync]\n")
    return file


def planned(profile: Path, **limits: int) -> tuple[FromProfile, str, list[str]]:
    pair = FromProfile(str(profile))
    storage = f"file://{profile.parent / 'storage'}"
    run, shards = make_plan(pair, storage=storage, limits=ShardLimits(**limits), side_by_side=1, name="test")
    return pair, run, shards


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.02)


def partials(run: str, part: str) -> int:
    """How much of its files a part has written down to be on their way, in bytes."""
    file = Path(run.removeprefix("file://")) / f"{part}.sqlite"
    if not file.exists():
        return 0
    ledger = Ledger(file, source="", target="")
    try:
        return sum(stop - start for partial in ledger.partials() for start, stop in partial.ranges)
    finally:
        ledger.close()


def test_a_shard_that_is_killed_is_gone_on_with(profile: Path) -> None:
    folder = profile.parent
    (folder / "source" / "large").write_bytes(os.urandom(24 * MIB))
    put(folder / "source" / "a-small-one", "small")
    profile.write_text(profile.read_text() + 'bandwidth_limit = "2M"\n')
    pair, run, [shard] = planned(profile)
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(profile), run, shard], stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: partials(run, shard) >= 4 * MIB)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    [staged] = (folder / "target").glob(".tui-sync-*.part")
    inode = staged.stat().st_ino
    assert not (folder / "target" / "large").exists()
    assert (folder / "target" / "a-small-one").read_text() == "small"
    # The limit is in the plan that was stored; what is left need not take as long.
    stored = Path(run.removeprefix("file://")) / f"{shard}.plan"
    unlimited(stored)
    assert carry_out(pair, run, shard)["status"] == "ok"
    assert (folder / "target" / "large").read_bytes() == (folder / "source" / "large").read_bytes()
    assert (folder / "target" / "large").stat().st_ino == inode
    carry_out(pair, run, "deletes")
    assert make_report(run, drift_fails=True)["summary"]["created"] == 2
    assert planned(profile)[2] == []


def unlimited(plan: Path) -> None:
    import hashlib

    head, *items, _ = plan.read_bytes().splitlines(keepends=True)
    raw = json.loads(head)
    raw["options"]["bandwidth_limit"] = None
    body = json.dumps(raw).encode() + b"\n" + b"".join(items)
    plan.write_bytes(body + json.dumps({"sha256": hashlib.sha256(body).hexdigest()}).encode() + b"\n")


def test_an_attempt_ends_where_a_newer_one_has_taken_over(
    profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = profile.parent
    (folder / "source" / "large").write_bytes(os.urandom(8 * MIB))
    profile.write_text(profile.read_text() + 'bandwidth_limit = "1M"\n')
    pair, run, [shard] = planned(profile)
    monkeypatch.setattr(parts, "_LOOK_S", 0.0)
    monkeypatch.setattr(parts, "_TICK_S", 0.05)
    check = parts._Attempt.check

    def taken_over(attempt: parts._Attempt) -> None:
        Folder(run).write(f"{shard}.attempt.json", {"token": "another", "ended": False})
        check(attempt)

    monkeypatch.setattr(parts._Attempt, "check", taken_over)
    with pytest.raises(AirflowException, match="newer attempt"):
        carry_out(pair, run, shard)
    assert not (folder / "target" / "large").exists()


def test_what_a_failed_run_left_half_way_the_next_run_goes_on_with(profile: Path) -> None:
    folder = profile.parent
    (folder / "source" / "large").write_bytes(os.urandom(24 * MIB))
    profile.write_text(profile.read_text() + 'bandwidth_limit = "2M"\n')
    _, run, [shard] = planned(profile)
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(profile), run, shard], stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: partials(run, shard) > 0)
    finally:
        process.terminate()
        assert process.wait(10) == 1
    with pytest.raises(AirflowFailException, match="interrupted"):
        make_report(run, drift_fails=True)
    [staged] = (folder / "target").glob(".tui-sync-*.part")
    inode = staged.stat().st_ino
    profile.write_text(profile.read_text().replace('bandwidth_limit = "2M"\n', ""))
    pair, again, [shard] = planned(profile)
    assert again != run
    assert carry_out(pair, again, shard)["status"] == "ok"
    assert (folder / "target" / "large").stat().st_ino == inode
    assert (folder / "target" / "large").read_bytes() == (folder / "source" / "large").read_bytes()


def test_a_part_may_be_done_again(profile: Path) -> None:
    folder = profile.parent
    for number in range(2):
        put(folder / "source" / "d" / f"f{number}", str(number))
    pair, run, shards = planned(profile, files=1)
    assert len(shards) == 2
    for part in ("folders", *shards, "deletes"):
        assert carry_out(pair, run, part)["exit_code"] == 0
    before = {path: path.stat().st_ino for path in (folder / "target").rglob("*")}
    for part in ("folders", *shards, "deletes"):
        assert carry_out(pair, run, part)["exit_code"] == 0
    assert {path: path.stat().st_ino for path in (folder / "target").rglob("*")} == before
    assert make_report(run, drift_fails=True)["summary"]["created"] == 2
    assert make_report(run, drift_fails=True)["summary"]["created"] == 2


@pytest.mark.parametrize("fails", [True, False])
def test_what_changed_after_the_plan_is_skipped_and_told(profile: Path, fails: bool) -> None:
    folder = profile.parent
    put(folder / "source" / "a", "a")
    put(folder / "source" / "b", "b")
    pair, run, [shard] = planned(profile)
    put(folder / "source" / "b", "changed", mtime=1_700_000_000)
    assert carry_out(pair, run, shard)["exit_code"] == 24
    carry_out(pair, run, "deletes")
    if fails:
        with pytest.raises(AirflowFailException, match=r"1 created, .* 1 skipped"):
            make_report(run, drift_fails=True)
    else:
        assert make_report(run, drift_fails=False)["summary"]["status"] == "drifted"
    assert not (folder / "target" / "b").exists()


def test_a_folder_that_could_not_be_made_is_told_once_and_holds_its_files(profile: Path) -> None:
    folder = profile.parent
    put(folder / "source" / "d" / "f", "f")
    put(folder / "source" / "g", "g")
    pair, run, [shard] = planned(profile)
    # It has come in between.
    put(folder / "target" / "d", "a file")
    assert carry_out(pair, run, "folders")["exit_code"] == 24
    assert carry_out(pair, run, shard)["exit_code"] == 23
    carry_out(pair, run, "deletes")
    with pytest.raises(AirflowFailException, match="drifted: 1 created, 0 updated, 0 deleted, 2 skipped"):
        make_report(run, drift_fails=True)
    assert (folder / "target" / "d").read_text() == "a file"


def test_storage_that_is_gone_ends_in_a_sentence(profile: Path) -> None:
    with pytest.raises(AirflowFailException, match="holds no plan"):
        carry_out(FromProfile(str(profile)), f"file://{profile.parent}/nowhere", "shard-0001")
    with pytest.raises(AirflowFailException, match="there is no plan"):
        make_report(None, drift_fails=True)


def test_nothing_is_deleted_where_nobody_knows_of_a_shard(profile: Path) -> None:
    """As where its task was marked as a success by hand."""
    folder = profile.parent
    profile.write_text(profile.read_text() + 'mode = "mirror"\nmax_delete = "100%"\n')
    put(folder / "source" / "f", "f")
    put(folder / "target" / "extra", "extra")
    pair, run, [shard] = planned(profile)
    assert carry_out(pair, run, "deletes")["exit_code"] == 23
    assert (folder / "target" / "extra").read_text() == "extra"
    assert carry_out(pair, run, shard)["exit_code"] == 0
    assert carry_out(pair, run, "deletes")["exit_code"] == 0
    assert not (folder / "target" / "extra").exists()


def test_a_retry_that_knows_nothing_of_the_first_attempt_overwrites_no_change(
    profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = profile.parent
    for name in ("a", "b", "c"):
        put(folder / "source" / name, name)
    pair, run, [shard] = planned(profile)
    with monkeypatch.context() as patch:
        patch.setattr(parts, "_ended", lambda *_: (_ for _ in ()).throw(AirflowException("cut short")))
        with pytest.raises(AirflowException, match="cut short"):
            carry_out(pair, run, shard)
    (Path(run.removeprefix("file://")) / f"{shard}.sqlite").unlink()
    put(folder / "source" / "a", "changed", mtime=1_700_000_000)
    put(folder / "target" / "b", "another's", mtime=1_700_000_000)
    assert carry_out(pair, run, shard)["exit_code"] == 24
    assert {path.name: path.read_text() for path in (folder / "target").iterdir()} == {
        **{"a": "a", "b": "another's", "c": "c"}
    }


def test_a_part_that_is_not_as_it_was_stored_is_not_begun(profile: Path) -> None:
    folder = profile.parent
    put(folder / "source" / "f", "f")
    (folder / "other").mkdir()
    pair, run, [shard] = planned(profile)
    another = folder / "another.toml"
    another.write_text(profile.read_text().replace(f"{folder}/target", f"{folder}/other"))
    stored = Path(run.removeprefix("file://")) / f"{shard}.plan"
    good = stored.read_bytes()
    with pytest.raises(AirflowFailException, match=rf"{shard}.plan is not as .*: start the run anew"):
        carry_out(FromProfile(str(another)), run, shard)
    for damaged in (good.replace(b'"f"', b'"g"'), good[: len(good) // 2], b"", None):
        stored.unlink()
        if damaged is not None:
            stored.write_bytes(damaged)
        with pytest.raises(AirflowFailException, match=f"^{run}/{shard}.plan is not as .*: start the run"):
            carry_out(pair, run, shard)
    assert not list((folder / "target").iterdir())
    assert not list((folder / "other").iterdir())


def test_what_is_damaged_is_told_by_where_it_is_stored(profile: Path) -> None:
    pair, run, _ = planned(profile)
    home = Path(run.removeprefix("file://")).parent
    head = Path(run.removeprefix("file://")) / "run.json"
    for damaged, said in ((b"{", "is damaged"), (b"{}", "is not as"), (b"[]", "is not as")):
        head.write_bytes(damaged)
        with pytest.raises(AirflowException, match=f"^{run}/run.json {said}.*: start the run anew"):
            carry_out(pair, run, "deletes")
    (home / "ledger.sqlite").write_bytes(b"rubbish" * 500)
    with pytest.raises(AirflowException, match=f"the ledger file://{home}/ledger.sqlite is damaged"):
        planned(profile)


def test_a_profile_that_is_not_there_is_not_tried_again(profile: Path) -> None:
    with pytest.raises(AirflowFailException, match="nowhere"):
        make_plan(
            FromProfile(str(profile.parent / "nowhere.toml")),
            storage=f"file://{profile.parent / 'storage'}",
            limits=ShardLimits(),
            side_by_side=1,
            name="test",
        )


def test_old_runs_go(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_sync.airflow.report._RUNS_KEPT", 2)
    runs = [planned(profile)[1] for _ in range(4)]
    make_report(runs[-1], drift_fails=True)
    kept = sorted(path.parent for path in (profile.parent / "storage").rglob("run.json"))
    assert kept == [Path(run.removeprefix("file://")) for run in runs[-2:]]


def test_leftovers_of_earlier_runs_are_cleared_away(profile: Path) -> None:
    folder = profile.parent
    put(folder / "source" / "a", "a")
    pair, run, [shard] = planned(profile)
    carry_out(pair, run, shard)
    [file] = (folder / "storage").glob("*/ledger.sqlite")
    ledger = Ledger(file, source="", target="")
    left = folder / "target" / names.temporary("gone-since", ledger.tag)
    ledger.close()
    left.write_text("half")
    pair, run, shards = planned(profile)
    assert shards == []
    carry_out(pair, run, "deletes")
    assert not left.exists()
