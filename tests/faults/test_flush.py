"""How files reach the server's disk: a large one while it is still being sent, many small ones together."""

from __future__ import annotations

import hashlib
import math
import os
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.support import store
from tests.faults.server import LIMITS, Asked, Honest, LyingServer
from tui_sync import names
from tui_sync.connectors.base import Endpoint, Parcel
from tui_sync.connectors.sftp import flush, shell, wire
from tui_sync.connectors.sftp.connector import SftpConnector
from tui_sync.connectors.sftp.pool import SessionPool
from tui_sync.connectors.sftp.wire import StatusCode
from tui_sync.errors import NotSupported, StorageError
from tui_sync.model import Entry

STEP = 1 << 20
DATA = random.Random(5).randbytes(8 * STEP)


@pytest.fixture(autouse=True)
def small_steps_nearby(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine round trips take as long as over a line, where all channels are opened at once."""
    monkeypatch.setattr("tui_sync.connectors.sftp.pool.FAR_S", math.inf)
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
    lent = pool.spare()
    assert lent is taken[0], "nobody else has it"
    fourth = pool.acquire()
    assert fourth not in taken, "what is lent is the last to be shared"
    assert pool.acquire() is not lent
    pool.release(lent)
    assert pool.acquire() is lent
    pool.close()


SMALL = 20
MTIME = 1_600_000_000_000_000_000


@pytest.fixture
def sync_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Takes the place of sync(1) on a Linux. Notes what it is asked for, and ends with the status in
    ``status``."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "status").write_text("0")
    (programs / "uname").write_text("#!/bin/sh\necho Linux\n")
    (programs / "sync").write_text(
        f"""#!/bin/sh
if test "$1" = --help; then echo "  -f, --file-system  all of it"; exit; fi
echo "$@" >> {programs}/asked
exit $(cat {programs}/status)
"""
    )
    for name in ("sync", "uname"):
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return programs


def flushed(programs: Path) -> list[str]:
    asked = programs / "asked"
    return asked.read_text().splitlines() if asked.exists() else []


def fsyncs(server: LyingServer) -> int:
    return sum(one.name == wire.FSYNC for one in server.asked)


def parcels(count: int = SMALL, first: int = 0) -> list[Parcel]:
    paths = [f"{'ab'[number % 2]}/f {number}" for number in range(first, first + count)]
    return [
        Parcel(path, names.temporary(path, "0badcafe"), path.encode(), MTIME, 0o640, replace=False)
        for path in paths
    ]


def served(tmp_path: Path, limits: wire.Limits = LIMITS) -> tuple[LyingServer, SftpConnector]:
    server = LyingServer(tmp_path / "disk", shell=True, limits=limits)
    for folder in "ab":
        (tmp_path / "disk" / folder).mkdir()
    connector = connect(server)
    assert connector._remote.shell.works()
    return server, connector


def are_there(tmp_path: Path, several: Sequence[Parcel], staged: Sequence[Entry | StorageError]) -> None:
    for parcel, entry in zip(several, staged, strict=True):
        assert isinstance(entry, Entry), entry
        assert (tmp_path / "disk" / parcel.temporary).read_bytes() == parcel.data


def test_many_small_ones_are_flushed_together_before_each_is_made_durable(
    tmp_path: Path, sync_program: Path
) -> None:
    server, connector = served(tmp_path)
    several = parcels()
    before: list[int] = []

    def lie(one: Asked, request: wire.Request, honest: Honest) -> wire.Response | None:
        if is_fsync(request):
            before.append(len(flushed(sync_program)))
        return honest()

    server.lie = lie
    are_there(tmp_path, several, connector.writer().stage_many(several))
    [asked] = flushed(sync_program)
    option, *files = asked.split()
    assert option == "-f"
    assert {Path(file).parent.name for file in files} == {"a", "b"}, "one for each folder"
    assert len(files) == 2
    assert before == [1] * SMALL
    names_asked = [one.name for one in server.asked]
    assert names_asked.count("Open") == names_asked.count("Close") == SMALL, "by the handle that wrote it"
    connector.close()


def test_what_the_disk_lost_is_told_by_the_file_s_own_handle(tmp_path: Path, sync_program: Path) -> None:
    """A flush that went well says nothing: another program may have been told of the error before."""
    server, connector = served(tmp_path)
    several = parcels()

    def lie(one: Asked, request: wire.Request, honest: Honest) -> wire.Response | None:
        if is_fsync(request) and one.path.endswith(several[4].temporary.rpartition("-")[2]):
            return wire.Status(StatusCode.FAILURE, "Input/output error")
        return honest()

    server.lie = lie
    staged = connector.writer().stage_many(several)
    assert len(flushed(sync_program)) == 1
    assert isinstance(staged[4], StorageError)
    assert "Input/output error" in str(staged[4])
    assert sum(isinstance(entry, Entry) for entry in staged) == SMALL - 1
    assert not (tmp_path / "disk" / several[4].temporary).exists()
    connector.close()


def test_a_few_are_made_durable_one_by_one(tmp_path: Path, sync_program: Path) -> None:
    server, connector = served(tmp_path)
    few = parcels(3)
    are_there(tmp_path, few, connector.writer().stage_many(few))
    assert (flushed(sync_program), fsyncs(server)) == ([], 3)
    connector.close()


def test_where_they_cannot_be_flushed_together_none_is_flushed_any_more(
    tmp_path: Path, sync_program: Path
) -> None:
    server, connector = served(tmp_path)
    (sync_program / "status").write_text("1")
    for number in (1, 2):
        several = parcels(first=number * SMALL)
        are_there(tmp_path, several, connector.writer().stage_many(several))
        assert (len(flushed(sync_program)), fsyncs(server)) == (1, number * SMALL)
    connector.close()


def test_a_flush_that_takes_long_is_the_last(
    tmp_path: Path, sync_program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "_QUICK_FLUSH_S", 0.0)
    server, connector = served(tmp_path)
    for first in (0, SMALL):
        several = parcels(first=first)
        are_there(tmp_path, several, connector.writer().stage_many(several))
    assert (len(flushed(sync_program)), fsyncs(server)) == (1, 2 * SMALL)
    connector.close()


def test_a_shell_that_sees_other_files_is_not_believed(tmp_path: Path, sync_program: Path) -> None:
    """SFTP may be in a root of its own, where the same path leads to another file."""
    _, connector = served(tmp_path)
    file = tmp_path / "disk" / "a" / "file"
    file.write_bytes(b"another one")
    seen = shell.Hashed(f"{file}", file.stat().st_size, int(file.stat().st_mtime))
    connector._remote.shell.flush([seen._replace(full="/a/file")])
    assert connector._remote.shell.can_flush()
    connector._remote.shell.flush([seen._replace(full="/a/file", size=3)])
    assert not connector._remote.shell.can_flush()
    connector.close()


def test_they_are_flushed_as_many_at_a_time_as_may_be_open(tmp_path: Path, sync_program: Path) -> None:
    server, connector = served(tmp_path, wire.Limits(handles=4 * 2 * SMALL))
    several = parcels(4 * SMALL)
    most = 0

    def lie(one: Asked, request: wire.Request, honest: Honest) -> wire.Response | None:
        nonlocal most
        with server.lock:
            handles = [asked.name for asked in server.asked if asked.name in ("Open", "Close")]
        most = max(most, handles.count("Open") - handles.count("Close"))
        return honest()

    server.lie = lie
    are_there(tmp_path, several, connector.writer().stage_many(several))
    assert most == 2 * SMALL
    assert (len(flushed(sync_program)), fsyncs(server)) == (2, 4 * SMALL)
    connector.close()


def test_a_flush_that_fails_says_nothing_of_hashing(
    tmp_path: Path, sync_program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, connector = served(tmp_path)
    asked = connector._remote.shell
    file = tmp_path / "disk" / "a" / "file"
    file.write_bytes(b"content")
    seen = shell.Hashed("/a/file", 7, int(file.stat().st_mtime))
    (sync_program / "sync").write_text("#!/bin/sh\nsleep 1\n")
    with monkeypatch.context() as patched:
        patched.setattr(shell, "_ANSWER_S", 0.2)
        for _ in range(3):
            asked.flush([seen])
    assert not asked.can_flush()
    assert asked.works()
    assert asked.digests([seen]) == [hashlib.sha256(b"content").hexdigest()]
    connector.close()


@pytest.mark.parametrize(
    ("system", "manual", "can"),
    [
        ("Linux", "--file-system", True),
        ("Linux", "Usage: sync", False),
        ("Darwin", "--file-system", False),
    ],
)
def test_only_a_sync_that_can_is_asked_to_flush(
    tmp_path: Path, sync_program: Path, system: str, manual: str, can: bool
) -> None:
    (sync_program / "uname").write_text(f"#!/bin/sh\necho {system}\n")
    (sync_program / "sync").write_text(f"#!/bin/sh\necho '{manual}'\n")
    _, connector = served(tmp_path)
    assert connector._remote.shell.can_flush() is can
    connector.close()


def test_who_comes_while_a_flush_is_under_way_shares_the_next(tmp_path: Path, sync_program: Path) -> None:
    _, connector = served(tmp_path)
    asked = connector._remote.shell
    seen = []
    for number in range(6):
        file = tmp_path / "disk" / "a" / f"file {number}"
        file.write_bytes(b"content")
        seen.append(shell.Hashed(f"/a/file {number}", 7, int(file.stat().st_mtime)))
    (sync_program / "sync").write_text(
        f'#!/bin/sh\necho "$@" >> {sync_program}/asked\n'
        f"while ! test -e {sync_program}/go; do sleep 0.01; done\n"
    )
    with ThreadPoolExecutor() as threads:
        first = threads.submit(asked.flush, seen[:1])
        while not flushed(sync_program):
            time.sleep(0.01)
        others = [threads.submit(asked.flush, [one]) for one in seen[1:]]
        while len(asked._wishes) < len(others):
            time.sleep(0.01)
        (sync_program / "go").touch()
        for one in (first, *others):
            one.result(10)
    requests = flushed(sync_program)
    assert [line.count("/a/file") for line in requests] == [1, 5]
    connector.close()


def test_a_flush_does_not_wait_for_those_who_hash(
    tmp_path: Path, sync_program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "_PATIENCE_S", 0.01)
    server, connector = served(tmp_path)
    places = connector._remote.shell._places
    several = parcels()
    while places.acquire(blocking=False):
        pass
    are_there(tmp_path, several, connector.writer().stage_many(several))
    assert (flushed(sync_program), fsyncs(server)) == ([], SMALL)
    for _ in range(shell._CHANNELS):
        places.release()
    more = parcels(first=SMALL)
    are_there(tmp_path, more, connector.writer().stage_many(more))
    assert len(flushed(sync_program)) == 1
    connector.close()


def test_a_folder_of_files_that_nobody_may_read_is_not_flushed(tmp_path: Path, sync_program: Path) -> None:
    server, connector = served(tmp_path)
    several = [one._replace(mode=0 if one.path.startswith("a/") else 0o640) for one in parcels()]
    staged = connector.writer().stage_many(several)
    assert all(isinstance(entry, Entry) for entry in staged)
    [asked] = flushed(sync_program)
    assert [Path(file).parent.name for file in asked.split()[1:]] == ["b"]
    assert fsyncs(server) == SMALL
    connector.close()
