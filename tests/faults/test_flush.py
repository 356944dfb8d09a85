"""A large file reaches the server's disk while it is still being sent."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from tests.contract.support import store
from tests.faults.server import Asked, Honest, LyingServer
from tui_sync.connectors.base import Endpoint
from tui_sync.connectors.sftp import flush, wire
from tui_sync.connectors.sftp.connector import SftpConnector
from tui_sync.connectors.sftp.pool import SessionPool
from tui_sync.connectors.sftp.wire import StatusCode
from tui_sync.errors import NotSupported

STEP = 1 << 20
DATA = random.Random(5).randbytes(8 * STEP)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flush, "_STEP", STEP)
    monkeypatch.setattr(flush, "_LEAST_SIZE", 4 * STEP)


def connect(server: LyingServer) -> SftpConnector:
    return server.connector(Endpoint("sftp://h/", "sftp", "/", "h"))


def is_fsync(request: wire.Request) -> bool:
    return isinstance(request, wire.Extended) and request.name == wire.FSYNC


def test_it_is_flushed_on_a_channel_of_its_own(tmp_path: Path) -> None:
    flushing, seen = threading.Event(), []

    def lie(one: Asked, request: wire.Request, honest: Honest) -> wire.Response | None:
        if is_fsync(request):
            seen.append(one.path)
            flushing.set()
        elif isinstance(request, wire.Write) and request.offset >= 6 * STEP:
            # This channel says nothing more until the other one was asked.
            assert flushing.wait(10)
        return honest()

    server = LyingServer(tmp_path / "disk", lie)
    connector = connect(server)
    entry = store(connector, "file", DATA)
    assert entry.size == len(DATA)
    assert (tmp_path / "disk" / "file").read_bytes() == DATA
    # The last time is for the whole, before it is published.
    assert len(seen) >= 2
    assert set(seen) == {seen[0]}
    for thread in threading.enumerate():
        if thread.name == "tui-sync-flush":
            thread.join(10)
    assert connector._pool.leases == 0
    connector.close()


def test_a_small_one_is_flushed_once(tmp_path: Path) -> None:
    server = LyingServer(tmp_path / "disk")
    connector = connect(server)
    store(connector, "file", DATA[: 3 * STEP])
    assert sum(one.name == wire.FSYNC for one in server.asked) == 1
    assert connector._pool.channels == 1
    connector.close()


def test_trouble_with_it_is_of_no_account_but_for_the_whole(tmp_path: Path) -> None:
    tried = threading.Event()

    def lie(one: Asked, request: wire.Request, honest: Honest) -> wire.Response | None:
        if is_fsync(request) and not tried.is_set():
            tried.set()
            return wire.Status(StatusCode.FAILURE, "Input/output error")
        if isinstance(request, wire.Write) and request.offset >= 6 * STEP:
            assert tried.wait(10)
        return honest()

    connector = connect(LyingServer(tmp_path / "disk", lie))
    store(connector, "file", DATA)
    assert (tmp_path / "disk" / "file").read_bytes() == DATA
    connector.close()


def test_where_the_server_grants_no_further_channel_it_goes_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = LyingServer(tmp_path / "disk")
    connector = connect(server)
    refused = threading.Event()

    def refuse() -> None:
        refused.set()
        raise NotSupported("the server refuses a further session")

    monkeypatch.setattr(connector._pool._transport, "open_sftp", refuse)
    store(connector, "file", DATA)
    assert refused.wait(10)
    assert (tmp_path / "disk" / "file").read_bytes() == DATA
    assert connector._pool.channels == 1
    connector.close()


def test_no_channel_is_taken_from_other_files(tmp_path: Path) -> None:
    pool = SessionPool(LyingServer(tmp_path / "disk")._dial, channels=4)
    taken = [pool.acquire()]
    first = pool.spare()
    assert first is not None
    assert first not in taken
    taken += [first, pool.acquire()]
    assert pool.channels == 3
    assert pool.spare() is None, "the rest is for files"
    pool.release(taken[0])
    assert pool.spare() is taken[0], "nobody else has it"
    pool.close()
