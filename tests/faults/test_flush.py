"""How files reach the server's disk: a large one while it is still being sent, many small ones together."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.support import store
from tests.faults.server import Asked, Honest, LyingServer
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
    """Takes the place of sync(1), and of a Linux that tells errors. Notes what it is asked for, and ends with
    the status in ``status``."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "status").write_text("0")
    (programs / "uname").write_text("#!/bin/sh\necho Linux 6.1.0-test\n")
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


def served(tmp_path: Path) -> tuple[LyingServer, SftpConnector]:
    server = LyingServer(tmp_path / "disk", shell=True)
    for folder in "ab":
        (tmp_path / "disk" / folder).mkdir()
    connector = connect(server)
    assert connector._remote.shell.works()
    return server, connector


def are_there(tmp_path: Path, several: Sequence[Parcel], staged: Sequence[Entry | StorageError]) -> None:
    for parcel, entry in zip(several, staged, strict=True):
        assert isinstance(entry, Entry), entry
        assert (tmp_path / "disk" / parcel.temporary).read_bytes() == parcel.data


def test_many_small_ones_are_flushed_together(tmp_path: Path, sync_program: Path) -> None:
    server, connector = served(tmp_path)
    several = parcels()
    are_there(tmp_path, several, connector.writer().stage_many(several))
    [asked] = flushed(sync_program)
    option, *files = asked.split()
    assert option == "-f"
    assert {Path(file).parent.name for file in files} == {"a", "b"}, "one for each folder"
    assert len(files) == 2
    assert fsyncs(server) == 0
    connector.close()


def test_a_few_are_made_durable_one_by_one(tmp_path: Path, sync_program: Path) -> None:
    server, connector = served(tmp_path)
    few = parcels(3)
    are_there(tmp_path, few, connector.writer().stage_many(few))
    assert (flushed(sync_program), fsyncs(server)) == ([], 3)
    connector.close()


def test_where_they_cannot_be_flushed_together_each_is_made_durable(
    tmp_path: Path, sync_program: Path
) -> None:
    server, connector = served(tmp_path)
    (sync_program / "status").write_text("1")
    several = parcels()
    are_there(tmp_path, several, connector.writer().stage_many(several))
    assert (len(flushed(sync_program)), fsyncs(server)) == (1, SMALL)
    handles = [one.name for one in server.asked if one.name in ("Open", "Close")]
    assert handles.count("Open") == handles.count("Close") == 2 * SMALL
    more = parcels(first=SMALL)
    are_there(tmp_path, more, connector.writer().stage_many(more))
    assert (len(flushed(sync_program)), fsyncs(server)) == (1, 2 * SMALL), "once is enough"
    connector.close()


def test_a_disk_that_refuses_one_of_them_is_told_of_that_one(tmp_path: Path, sync_program: Path) -> None:
    server, connector = served(tmp_path)
    (sync_program / "status").write_text("1")
    several = parcels()

    def lie(one: Asked, request: wire.Request, honest: Honest) -> wire.Response | None:
        if is_fsync(request) and one.path.endswith(several[4].temporary.rpartition("-")[2]):
            return wire.Status(StatusCode.FAILURE, "Input/output error")
        return honest()

    server.lie = lie
    staged = connector.writer().stage_many(several)
    assert isinstance(staged[4], StorageError)
    assert sum(isinstance(entry, Entry) for entry in staged) == SMALL - 1
    assert not (tmp_path / "disk" / several[4].temporary).exists()
    connector.close()


def test_a_flush_that_takes_long_is_the_last(
    tmp_path: Path, sync_program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "_QUICK_FLUSH_S", 0.0)
    server, connector = served(tmp_path)
    for first in (0, SMALL):
        several = parcels(first=first)
        are_there(tmp_path, several, connector.writer().stage_many(several))
    assert (len(flushed(sync_program)), fsyncs(server)) == (1, SMALL)
    connector.close()


def test_a_shell_that_sees_other_files_is_not_believed(tmp_path: Path, sync_program: Path) -> None:
    """SFTP may be in a root of its own, where the same path leads to another file."""
    _, connector = served(tmp_path)
    file = tmp_path / "disk" / "a" / "file"
    file.write_bytes(b"another one")
    seen = shell.Hashed(f"{file}", file.stat().st_size, int(file.stat().st_mtime))
    assert connector._remote.shell.flush([seen._replace(full="/a/file")])
    assert not connector._remote.shell.flush([seen._replace(full="/a/file", size=3)])
    assert not connector._remote.shell.can_flush()
    connector.close()


def test_a_file_that_nobody_may_read_is_made_durable_while_it_is_open(
    tmp_path: Path, sync_program: Path
) -> None:
    server, connector = served(tmp_path)
    several = parcels()
    several[0] = replace(several[0], mode=0)
    several[3] = replace(several[3], mode=0o200)
    staged = connector.writer().stage_many(several)
    assert all(isinstance(entry, Entry) for entry in staged)
    assert (len(flushed(sync_program)), fsyncs(server)) == (1, 2)
    assert sum(one.name == "Open" for one in server.asked) == SMALL, "none is opened again"
    connector.close()


def test_a_file_system_that_is_a_program_is_not_flushed(tmp_path: Path, sync_program: Path) -> None:
    """It would not hear of it."""
    stat = shutil.which("stat")
    (sync_program / "stat").write_text(
        f"""#!/bin/sh
if test "$1" = -f; then echo fuseblk; else exec {stat} "$@"; fi
"""
    )
    (sync_program / "stat").chmod(0o755)
    server, connector = served(tmp_path)
    several = parcels()
    are_there(tmp_path, several, connector.writer().stage_many(several))
    assert (flushed(sync_program), fsyncs(server)) == ([], SMALL)
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
        assert [asked.flush([seen]) for _ in range(3)] == [False] * 3
    assert asked.works()
    assert asked.digests([seen]) == [hashlib.sha256(b"content").hexdigest()]
    connector.close()


@pytest.mark.parametrize(
    ("kernel", "manual", "can"),
    [
        ("Linux 5.8.0-1", "--file-system", True),
        ("Linux 5.15.0", "--file-system", True),
        ("Linux 10.0", "--file-system", True),
        ("Linux 5.7.19", "--file-system", False),
        ("Linux 5.1.0", "--file-system", False),
        ("Linux 4.18.0-553", "--file-system", False),
        ("Darwin 24.0", "--file-system", False),
        ("Linux 6.1.0", "Usage: sync", False),
    ],
)
def test_flushed_is_only_where_it_is_waited_for(
    tmp_path: Path, sync_program: Path, kernel: str, manual: str, can: bool
) -> None:
    (sync_program / "uname").write_text(f"#!/bin/sh\necho {kernel}\n")
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
        assert all(one.result(10) for one in (first, *others))
    requests = flushed(sync_program)
    assert [line.count("/a/file") for line in requests] == [1, 5]
    connector.close()


def test_a_flush_that_fails_has_failed_for_all_who_wait(tmp_path: Path, sync_program: Path) -> None:
    """The error of a disk is told once: a second flush would hear of none."""
    _, connector = served(tmp_path)
    asked = connector._remote.shell
    file = tmp_path / "disk" / "a" / "file"
    file.write_bytes(b"content")
    seen = [shell.Hashed("/a/file", 7, int(file.stat().st_mtime))]
    (sync_program / "sync").write_text(
        f'#!/bin/sh\necho "$@" >> {sync_program}/asked\n'
        f"while ! test -e {sync_program}/go; do sleep 0.01; done\n"
        f"rm {sync_program}/sync; ln -s /bin/true {sync_program}/sync; exit 1\n"
    )
    with ThreadPoolExecutor() as threads:
        first = threads.submit(asked.flush, seen)
        while not flushed(sync_program):
            time.sleep(0.01)
        others = [threads.submit(asked.flush, seen) for _ in range(3)]
        while len(asked._wishes) < len(others):
            time.sleep(0.01)
        (sync_program / "go").touch()
        assert [one.result(10) for one in (first, *others)] == [False] * 4
    assert not asked.flush(seen)
    connector.close()
