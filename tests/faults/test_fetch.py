"""Many small files at a time, while others are at them: what is told of a file is told of what was read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.server import Asked, Honest, LyingServer
from tui_sync.connectors.base import Endpoint, Fetched
from tui_sync.connectors.sftp import wire
from tui_sync.errors import StorageError

OLD = 1_600_000_000
NEW = 1_700_000_000


def put(path: Path, data: bytes, mtime: int = OLD) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (mtime, mtime))


def test_another_file_in_its_place_for_the_moment_it_is_opened_is_seen(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    for number in range(3):
        put(disk / f"f{number}", b"A" * 100)
    put(disk / "other", b"B" * 100, NEW)
    server = LyingServer(disk)

    def lie(one: Asked, _request: wire.Request, honest: Honest) -> wire.Response | None:
        if one.name != "Open" or not one.path.endswith("f1"):
            return honest()
        (disk / "f1").rename(disk / "away")
        (disk / "other").rename(disk / "f1")
        opened = honest()
        (disk / "f1").rename(disk / "other")
        (disk / "away").rename(disk / "f1")
        return opened

    server.lie = lie
    connector = server.connector(Endpoint("sftp://h/", "sftp", "/", "h"))
    names = ["f0", "f1", "f2"]
    found = connector.reader().fetch_many(names, [100] * 3)
    told = [(one.data[:1], one.after == one.before) for one in found if isinstance(one, Fetched)]
    assert told == [(b"A", True), (b"B", False), (b"A", True)]
    connector.close()


@pytest.mark.parametrize("by_name", [False, True])
def test_one_that_changes_while_it_is_read_is_seen(tmp_path: Path, *, by_name: bool) -> None:
    disk = tmp_path / "disk"
    put(disk / "f", b"A" * 100)
    server = LyingServer(disk)

    def lie(one: Asked, _request: wire.Request, honest: Honest) -> wire.Response | None:
        answer = honest()
        if one.name == "Read":
            if by_name:
                (disk / "f").unlink()
            put(disk / "f", b"C" * 100, NEW)
        return answer

    server.lie = lie
    connector = server.connector(Endpoint("sftp://h/", "sftp", "/", "h"))
    [found] = connector.reader().fetch_many(["f"], [100])
    assert isinstance(found, Fetched)
    assert (found.data, found.before == found.after) == (b"A" * 100, False)
    connector.close()


def test_one_that_has_grown_since_it_was_asked_for_is_not_read(tmp_path: Path) -> None:
    """So that many of them do not fill the memory."""
    disk = tmp_path / "disk"
    put(disk / "small", b"x" * 10)
    put(disk / "grown", b"x" * 11)
    server = LyingServer(disk)
    connector = server.connector(Endpoint("sftp://h/", "sftp", "/", "h"))
    small, grown = connector.reader().fetch_many(["small", "grown"], [10, 10])
    assert isinstance(small, Fetched)
    assert isinstance(grown, StorageError)
    assert [one.path.rpartition("/")[2] for one in server.asked if one.name == "Open"] == ["small"]
    connector.close()
