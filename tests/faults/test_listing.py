"""Several folders listed at a time, from servers that do not make it easy."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.server import Asked, Honest, Lie, LyingServer
from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Endpoint, Listed
from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.wire import StatusCode
from tui_sync.errors import NotFound, PermissionDenied, StorageError
from tui_sync.planning.filters import Filters
from tui_sync.planning.scan import scan
from tui_sync.planning.scanned import Scanned

FOLDERS = [f"folder {number:02}" for number in range(24)]
FAILURE = wire.Status(StatusCode.FAILURE, "Failure")


@pytest.fixture
def server(tmp_path: Path) -> LyingServer:
    served = LyingServer(tmp_path / "disk")
    for number, name in enumerate(FOLDERS):
        (served.folder / name).mkdir()
        for file in range(number * 5 % 9):
            (served.folder / name / f"file {file}").write_bytes(b"x" * file)
    (served.folder / "link").symlink_to("nowhere")
    return served


def listed(server: LyingServer, paths: list[str]) -> dict[str, list[Listed] | StorageError]:
    connector = server.connector(Endpoint("sftp://server/", "sftp", "/", "server"))
    try:
        reader = connector.reader()
        found = list(reader.list_many(paths))
        assert sorted(path for path, _ in found) == sorted(paths)
        for path, listing in found:
            if not isinstance(listing, StorageError):
                assert {child.name for child in listing} == set(children(server, path))
                assert len(listing) == len(children(server, path))
                assert sorted(listing) == sorted(reader.list_dir(path))
        return dict(found)
    finally:
        connector.close()


def children(server: LyingServer, path: str) -> list[str]:
    return [child.name for child in (server.folder / path).iterdir()]


def test_each_folder_has_its_own_answer(server: LyingServer) -> None:
    def lie(asked: Asked, request: wire.Request, honest: Honest) -> wire.Response:
        if asked.name in ("OpenDir", "ReadDir") and asked.path == "/folder 03":
            return wire.Status(StatusCode.PERMISSION_DENIED, "Permission denied")
        return honest()

    server.lie = lie
    found = listed(server, ["", "missing", *FOLDERS])
    errors = {path: type(answer) for path, answer in found.items() if isinstance(answer, StorageError)}
    assert errors == {"missing": NotFound, "folder 03": PermissionDenied}
    [link] = [child for child in found[""] if child.name == "link"]  # type: ignore[union-attr]
    assert link.link_target == "nowhere"


def holding(server: LyingServer, most: int) -> tuple[Lie, Counter[str]]:
    """A server that opens no more folders at a time, and how many it had open."""
    count: Counter[str] = Counter()

    def lie(asked: Asked, request: wire.Request, honest: Honest) -> wire.Response:
        if asked.name == "OpenDir":
            if count["open"] >= most:
                count["refused"] += 1
                return FAILURE
            count["open"] += 1
            count["most"] = max(count["most"], count["open"])
        count["open"] -= asked.name == "Close"
        return honest()

    return lie, count


def test_a_server_that_allows_few_handles_is_listed_in_full(server: LyingServer) -> None:
    server.lie, count = holding(server, 5)
    found = listed(server, FOLDERS)
    assert not any(isinstance(answer, StorageError) for answer in found.values())
    assert count["refused"]


def test_where_nothing_is_said_of_handles_all_threads_together_hold_few(server: LyingServer) -> None:
    for number in range(200):
        (server.folder / f"more {number}").mkdir()
    server.limits = None
    server.lie, count = holding(server, 8)
    connector = server.connector(Endpoint("sftp://server/", "sftp", "/", "server"))
    found = list(scan(connector.reader(), filters=Filters(), cancel=CancelToken()))
    connector.close()
    assert [one.error for one in found if isinstance(one, Scanned) and one.error] == []
    assert count["most"] <= 8


def test_who_has_heard_enough_leaves_no_folder_open(server: LyingServer) -> None:
    def lie(asked: Asked, request: wire.Request, honest: Honest) -> wire.Response:
        if asked.name == "OpenDir" and asked.path == "/folder 00":
            return wire.Status(StatusCode.PERMISSION_DENIED, "Permission denied")
        return honest()

    server.lie = lie
    connector = server.connector(Endpoint("sftp://server/", "sftp", "/", "server"))
    answers = connector.reader().list_many(FOLDERS[:16])
    assert next(iter(answers))[0] == "folder 00"
    answers.close()
    # Behind all that was sent before.
    connector.reader().stat("")
    asked = Counter(one.name for one in server.asked)
    assert asked["Close"] == asked["OpenDir"] - 1 == 15
    connector.close()


def test_as_many_are_opened_as_the_server_says(server: LyingServer) -> None:
    server.limits = wire.Limits(handles=48)
    server.lie, count = holding(server, 3)
    found = listed(server, FOLDERS)
    assert not any(isinstance(answer, StorageError) for answer in found.values())
    assert not count["refused"]
    assert count["most"] == 3


def test_one_bad_answer_is_no_matter_of_the_others(server: LyingServer) -> None:
    def lie(asked: Asked, request: wire.Request, honest: Honest) -> wire.Response:
        if asked.name == "ReadDir" and asked.path == "/folder 05":
            return wire.Attrs(wire.NO_ATTRIBUTES)
        return honest()

    server.lie = lie
    found = listed(server, FOLDERS)
    [(path, error)] = [(path, one) for path, one in found.items() if isinstance(one, StorageError)]
    assert path == "folder 05"
    assert "broke the SFTP protocol" in str(error)


def test_pages_that_come_after_the_end_are_not_lost(server: LyingServer) -> None:
    def lie(asked: Asked, request: wire.Request, honest: Honest) -> wire.Response:
        if asked.name == "ReadDir" and asked.time == 0:
            return wire.Status(StatusCode.EOF, "End of file")
        return honest()

    server.lie = lie
    found = dict(listed(server, FOLDERS[:3]))
    assert all(len(found[name]) == len(children(server, name)) for name in FOLDERS[:3])  # type: ignore[arg-type]


def test_a_large_folder_takes_pages_by_the_dozen(server: LyingServer) -> None:
    for number in range(900):
        (server.folder / "folder 00" / f"{number}").touch()
    found = listed(server, ["folder 00"])
    assert len(found["folder 00"]) == 900  # type: ignore[arg-type]
