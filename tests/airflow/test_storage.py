"""The folder that tasks share: on a disk, and on what is no disk."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("airflow.sdk", reason="Airflow is not installed (pip install 'tui-sync[airflow]')")

from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from tui_sync.airflow import storage
from tui_sync.airflow.storage import Folder, default_storage, scratch, slug
from tui_sync.errors import StorageError


@pytest.fixture(params=["file", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    url = f"file://{tmp_path / 'shared'}" if request.param == "file" else f"memory://shared{tmp_path}"
    attach("memory", fs=MemoryFileSystem())
    return Folder(url).child("pair")


def test_what_is_stored_comes_back(folder: Folder, tmp_path: Path) -> None:
    file, back = tmp_path / "file", tmp_path / "a" / "back"
    assert not folder.fetch("plan", back)
    for content in (b"one", b"another"):
        file.write_bytes(content)
        folder.put("plan", file)
        assert folder.fetch("plan", back)
        assert back.read_bytes() == content
    assert folder.read("value.json") is None
    folder.write("value.json", {"name": "\udcff"})
    assert folder.read("value.json") == {"name": "\udcff"}


def test_folders_are_told_and_go(folder: Folder) -> None:
    assert folder.folders() == []
    for name in ("000002-b", "000001-a"):
        folder.child(name).write("value.json", 1)
    assert folder.folders() == ["000001-a", "000002-b"]
    folder.child("000001-a").remove()
    folder.child("000001-a").remove()
    assert folder.folders() == ["000002-b"]


def test_on_a_disk_it_is_for_nobody_else(tmp_path: Path) -> None:
    Folder(f"file://{tmp_path / 'shared'}").write("value.json", 1)
    assert (tmp_path / "shared").stat().st_mode & 0o077 == 0
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["value.json"]


def test_a_storage_that_cannot_be_used_ends_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot be used .* let \[tui_sync\] storage name a folder"):
        Folder(f"file://{tmp_path / 'file' / 'below'}").write("value.json", 1)


def test_a_scheme_that_is_not_there_ends_in_a_sentence() -> None:
    with pytest.raises(StorageError, match="cannot be used"):
        Folder("carrier-pigeon://loft/tui-sync").write("value.json", 1)


def test_the_default_is_below_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", "/opt/airflow")
    assert default_storage() == "file:///opt/airflow/tui-sync"
    monkeypatch.setenv("AIRFLOW__TUI_SYNC__STORAGE", "s3://conn@bucket/tui-sync")
    assert default_storage() == "s3://conn@bucket/tui-sync"


def test_what_killed_processes_left_is_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "gettempdir", lambda: str(tmp_path))
    left = tmp_path / f"tui-sync-airflow-{2**22 + 1}-x"
    left.mkdir()
    (left / "key-conn").write_text("private")
    other = tmp_path / "tui-sync-airflow-not-a-number"
    other.mkdir()
    with scratch() as here:
        assert here.exists()
        assert not left.exists()
    assert not here.exists()
    assert other.exists()


def test_a_run_s_name_as_a_folder() -> None:
    assert slug("manual__2026-11-22T18:08:21.465550+00:00") == "manual__2026-11-22T18-08-21.465550-00-00"
    assert slug("../..") == "run"
