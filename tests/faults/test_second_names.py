"""Backups and links on SFTP servers that offer less than OpenSSH's, or take a request the other way round."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.contract.support import TAG
from tests.faults.server import EXTENSIONS, Asked, Honest, LyingServer
from tui_sync import names
from tui_sync.connectors.base import Endpoint, Writer
from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.wire import StatusCode
from tui_sync.errors import NotSupported, StorageError
from tui_sync.model import Kind

OLD = 1_500_000_000


@pytest.fixture
def server(tmp_path: Path) -> LyingServer:
    server = LyingServer(tmp_path / "disk")
    (server.folder / "trash").mkdir()
    (server.folder / "file").write_bytes(b"precious")
    os.utime(server.folder / "file", (OLD, OLD))
    (server.folder / "file").chmod(0o640)
    return server


def writer(server: LyingServer) -> Writer:
    return server.connector(Endpoint("sftp://lying/", "sftp", "/", "lying")).writer()


def test_without_second_names_the_server_copies(server: LyingServer) -> None:
    server.extensions = (*EXTENSIONS, wire.COPY_DATA)
    assert writer(server).back_up_many([("file", "trash/file")]) == [None]
    kept = server.folder / "trash/file"
    assert kept.read_bytes() == b"precious"
    assert (int(kept.stat().st_mtime), kept.stat().st_mode & 0o777) == (OLD, 0o640)
    assert not kept.samefile(server.folder / "file")
    assert os.listdir(server.folder / "trash") == ["file"]


def test_a_second_name_that_is_refused_becomes_a_copy(server: LyingServer) -> None:
    def lie(asked: Asked, _request: wire.Request, honest: Honest) -> wire.Response:
        if asked.name == wire.HARDLINK:
            return wire.Status(StatusCode.FAILURE, "Failure")
        return honest()

    server.extensions, server.lie = (*EXTENSIONS, wire.HARDLINK, wire.COPY_DATA), lie
    assert writer(server).back_up_many([("file", "trash/file")]) == [None]
    assert (server.folder / "trash/file").read_bytes() == b"precious"


@pytest.mark.parametrize("fails", ["copy-data", "Rename", "Fstat"])
def test_a_copy_that_fails_half_way_leaves_nothing(server: LyingServer, fails: str) -> None:
    def lie(asked: Asked, _request: wire.Request, honest: Honest) -> wire.Response:
        return wire.Status(StatusCode.FAILURE, "Failure") if asked.name == fails else honest()

    server.extensions, server.lie = (*EXTENSIONS, wire.COPY_DATA), lie
    [error] = writer(server).back_up_many([("file", "trash/file")])
    assert isinstance(error, StorageError)
    assert os.listdir(server.folder / "trash") == []
    assert (server.folder / "file").read_bytes() == b"precious"


def test_a_server_that_offers_neither_says_so(server: LyingServer) -> None:
    connector = server.connector(Endpoint("sftp://lying/", "sftp", "/", "lying"))
    assert not connector.reader().features.backs_up
    [error] = connector.writer().back_up_many([("file", "trash/file")])
    assert isinstance(error, NotSupported)
    assert os.listdir(server.folder / "trash") == []


@pytest.mark.parametrize("path_first", [False, True])
@pytest.mark.parametrize("replace", [False, True])
def test_links_are_made_right_whichever_way_the_server_takes_them(
    server: LyingServer, path_first: bool, replace: bool
) -> None:
    """Were it sent the wrong way round, a link would stand where this text leads."""
    server.path_first = path_first
    outside = "/trash/planted"
    if replace:
        (server.folder / "link").symlink_to("old")
    made = writer(server).make_link(
        "link", outside, temporary=names.temporary("link", TAG), replace=replace, mtime_ns=None
    )
    assert (made.kind, made.link_target) == (Kind.SYMLINK, outside)
    assert os.readlink(server.folder / "link") == outside
    assert os.listdir(server.folder / "trash") == []
    assert sorted(os.listdir(server.folder)) == ["file", "link", "trash"]


def test_a_server_that_makes_another_link_is_found_out(server: LyingServer) -> None:
    def lie(asked: Asked, request: wire.Request, honest: Honest) -> wire.Response:
        answer = honest()
        if isinstance(request, wire.SymLink) and asked.path == "/link":
            (server.folder / "link").unlink()
            (server.folder / "link").symlink_to("/etc")
        return answer

    server.lie = lie
    with pytest.raises(StorageError, match="did not make"):
        writer(server).make_link(
            "link", "file", temporary=names.temporary("link", TAG), replace=False, mtime_ns=None
        )


def test_a_server_without_links_is_one_sentence(server: LyingServer) -> None:
    def lie(_asked: Asked, request: wire.Request, honest: Honest) -> wire.Response:
        if isinstance(request, wire.SymLink):
            return wire.Status(StatusCode.OP_UNSUPPORTED, "Unsupported")
        return honest()

    server.lie = lie
    with pytest.raises(NotSupported):
        writer(server).make_link(
            "link", "file", temporary=names.temporary("link", TAG), replace=False, mtime_ns=None
        )
