"""Whole runs of the DAGs that are delivered, and of others like them, against real servers."""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("airflow.sdk", reason="Airflow is not installed (pip install 'tui-sync[airflow]')")

from tests.airflow.conftest import DAGS, OLD, put
from tests.integration.test_sync_sshd import differences, modes_and_mtimes
from tests.support import s3
from tui_sync import names
from tui_sync.demo.trees import make_tree
from tui_sync.ledger import Ledger

SECRET = "a-secret-that-nothing-keeps"
pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.timeout(120)]


class Ran:
    """What became of a run: the ``states`` of its tasks, those of mapped ones in a list."""

    def __init__(self, name: str) -> None:
        run = runpy.run_path(str(DAGS / f"{name}.py"))["dag"].test()
        self.state = str(run.state)
        self.states: dict[str, Any] = {"shard": []}
        for instance in run.get_task_instances():
            if instance.map_index >= 0:
                self.states["shard"].append(str(instance.state))
            elif instance.task_id != "shard":
                self.states[instance.task_id] = str(instance.state)


def ledger_of(folder: Path) -> Ledger:
    [file] = (folder / "storage").glob("*/ledger.sqlite")
    return Ledger(file, source="", target="")


def newest(folder: Path) -> Path:
    """The folder of the newest run."""
    return max((folder / "storage").glob("*/0*"))


def receipt(folder: Path) -> dict[str, str]:
    """How each item of the newest run ended."""
    found = json.loads((newest(folder) / "receipt.json").read_text())
    return {item["path"]: item["status"] for item in found["items"]}


def test_sftp_to_sftp_is_identical_and_the_second_run_has_no_shards(pair: Path) -> None:
    make_tree(pair / "source", files=60, depth=3, seed=3, awkward=True)
    (pair / "source" / "read-only").mkdir()
    put(pair / "source" / "read-only" / "file", "x")
    (pair / "source" / "read-only").chmod(0o555)
    ran = Ran("airflow_sftp_sync_dag")
    assert (ran.state, ran.states["shard"]) == ("success", ["success"])
    assert differences(pair / "source", pair / "target") == ""
    assert modes_and_mtimes(pair / "source") == modes_and_mtimes(pair / "target")
    again = Ran("airflow_sftp_sync_dag")
    assert (again.state, again.states["shard"]) == ("success", [])
    assert again.states["report"] == "success"
    assert receipt(pair) == {}


def test_a_failing_file_fails_alone_and_so_the_run(pair: Path) -> None:
    put(pair / "source" / "first", "1")
    assert Ran("airflow_sftp_sync_dag").state == "success"
    put(pair / "source" / "good", "good")
    put(pair / "source" / "bad", "bad")
    in_the_way = pair / "target" / names.temporary("bad", ledger_of(pair).tag)
    put(in_the_way / "something", "")
    ran = Ran("airflow_sftp_sync_dag")
    assert ran.state == "failed"
    assert ran.states == {
        **{"plan": "success", "folders": "success", "deletes": "success"},
        **{"shard": ["success"], "report": "failed"},
    }
    assert receipt(pair) == {"bad": "failed", "good": "done"}
    assert (pair / "target" / "good").read_text() == "good"
    assert not (pair / "target" / "bad").exists()


def test_a_refused_guard_fails_the_plan_task_and_nothing_is_written(
    pair: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(pair / "source" / "new", "new")
    put(pair / "source" / "clash", "a file here")
    put(pair / "target" / "clash" / "inside", "a folder there")
    before = modes_and_mtimes(pair / "target")
    ran = Ran("airflow_sftp_sync_dag")
    assert ran.state == "failed"
    assert ran.states == {
        **{"plan": "failed", "folders": "upstream_failed", "deletes": "upstream_failed"},
        **{"shard": [], "report": "failed"},
    }
    assert modes_and_mtimes(pair / "target") == before
    assert not list((pair / "storage").rglob("*.plan"))


def test_s3_to_sftp_is_identical_and_the_second_run_has_no_shards(
    pair: Path, bucket: s3.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"d{number % 3}/f{number}": f"{number}".encode() * number for number in range(30)}
    for key, data in files.items():
        bucket.put(f"upload/{key}", data, mtime=str(OLD))
    files["large"] = os.urandom(9 << 20)
    bucket.put("upload/large", files["large"])
    bucket.put("beside-the-prefix")
    connection = {
        "conn_type": "aws",
        "login": s3.ADMIN.access_key,
        "password": s3.ADMIN.secret_key,
        "extra": {"endpoint_url": bucket.server.endpoint_url, "region_name": "us-east-1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE_S3_CONN", json.dumps(connection))
    monkeypatch.setenv("SOURCE_BUCKET", bucket.name)
    ran = Ran("airflow_s3_sync_dag")
    assert (ran.state, ran.states["shard"]) == ("success", ["success"])
    found = {
        str(path.relative_to(pair / "target")): path.read_bytes()
        for path in (pair / "target").rglob("*")
        if path.is_file()
    }
    assert found == files
    again = Ran("airflow_s3_sync_dag")
    assert (again.state, again.states["shard"]) == ("success", [])


def test_several_shards_deletes_and_folder_times(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        put(pair / "source" / f"d{number % 2}" / f"f{number}", "x" * number)
    put(pair / "target" / "old" / "gone", "gone")
    put(pair / "target" / "d0" / "kept", "gone too")
    for folder in ("d0", "d1"):
        os.utime(pair / "source" / folder, (OLD, OLD))
    fields = json.loads(os.environ["AIRFLOW_CONN_TARGET_SFTP_CONN"])
    monkeypatch.setenv("AIRFLOW_CONN_TARGET_SFTP_CONN", json.dumps({**fields, "password": SECRET}))
    ran = Ran("mirror_dag")
    assert (ran.state, ran.states["shard"]) == ("success", ["success"] * 4)
    [trash] = (pair / "target" / names.TRASH).iterdir()
    assert (trash / "old" / "gone").read_text() == "gone"
    assert differences(pair / "source", pair / "target") == f"Only in {pair / 'target'}: {names.TRASH}\n"
    assert int((pair / "target" / "d1").stat().st_mtime) == OLD
    with_limit = json.loads((newest(pair) / "shard-0001.plan").read_text().splitlines()[0])
    assert with_limit["options"]["bandwidth_limit"] == (100 << 20) // 4
    ledger = ledger_of(pair)
    [run] = ledger.runs()
    assert trash.name == f"{ledger.tag}-{run.run_id}"
    assert run.summary is not None
    assert (run.summary.created, run.summary.deleted, run.summary.exit_code) == (12, 3, 0)
    ledger.close()
    # Airflow's database with all XComs and rendered fields, its logs, and the storage.
    kept = [file for folder in (DAGS.parent, pair) for file in folder.rglob("*") if file.is_file()]
    assert any(file.name == "airflow.db" for file in kept)
    assert [file for file in kept if SECRET.encode() in file.read_bytes()] == []


def test_no_deletes_after_a_file_was_not_copied(pair: Path) -> None:
    put(pair / "source" / "first", "1")
    assert Ran("mirror_dag").state == "success"
    put(pair / "source" / "bad", "bad")
    put(pair / "target" / "extra", "extra")
    put(pair / "target" / names.temporary("bad", ledger_of(pair).tag) / "in-the-way", "")
    ran = Ran("mirror_dag")
    assert (ran.states["deletes"], ran.states["report"]) == ("success", "failed")
    assert receipt(pair) == {"bad": "failed", "extra": "held"}
    assert (pair / "target" / "extra").read_text() == "extra"
