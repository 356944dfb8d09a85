"""Our own files appear whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tui_sync.whole import written_whole


def test_it_takes_the_place_of_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    with written_whole(file, mode=0o640) as out:
        out.write(b"after")
        out.flush()
        assert file.read_text() == "before"
    assert file.read_text() == "after"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_fails_leaves_everything_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    file = tmp_path / "file"
    file.write_text("before")

    def write() -> None:
        with written_whole(file) as out:
            out.write(b"half of it")
            raise error

    with pytest.raises(error):
        write()
    assert file.read_text() == "before"
    assert os.listdir(tmp_path) == ["file"]


def test_a_name_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with written_whole(file, replace=False) as out:
        out.write(b"first")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError), written_whole(file, replace=False) as out:
        out.write(b"second")
    assert file.read_text() == "first"
    assert os.listdir(tmp_path) == ["file"]


def test_where_nothing_can_be_made_the_system_says_why(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), written_whole(tmp_path / "missing" / "file"):
        pytest.fail("there is nothing to write to")


@pytest.mark.parametrize("name", [".", "/", "", "sub"])
def test_a_folder_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    with pytest.raises(IsADirectoryError), written_whole(Path(name)):
        pytest.fail("there is nothing to write to")
    assert os.listdir(tmp_path) == ["sub"]


def test_a_file_system_without_modes_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    with written_whole(tmp_path / "file") as out:
        out.write(b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_name_that_a_folder_has_is_taken(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), written_whole(tmp_path, replace=False) as out:
        out.write(b"content")
    assert os.listdir(tmp_path) == []
