"""A kill at any moment, a damaged file, a full disk, two runs at once: it opens, or says what to do."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tui_sync.errors import LedgerError, PairLocked
from tui_sync.ledger import Ledger, open_ledger, schema
from tui_sync.model import (
    Action,
    ChangeKind,
    Entry,
    Item,
    Kind,
    Outcome,
    Status,
    Summary,
    SyncOptions,
    Totals,
)

WRITER = """
import sys
from pathlib import Path
from tui_sync.ledger import open_ledger
from tui_sync.model import *

state, first = Path(sys.argv[1]), int(sys.argv[2])
print("started", flush=True)
ledger = open_ledger("pair", source="s", target="t", state_dir=state)
n = first
while True:
    items = [
        Item(seq, Action.CREATE, f"{n}-{seq}", ChangeKind.NEW, source=Entry(f"{n}-{seq}", Kind.FILE, seq, n))
        for seq in range(50)
    ]
    plan_id = ledger.new_plan("s", "t", SyncOptions())
    ledger.add_items(plan_id, items)
    ledger.finish_plan(plan_id, Totals(create=50), ())
    run_id = ledger.start_run(plan_id)
    for part in range(0, 50, 10):
        done = [Outcome(one, Status.DONE, synced=one.source) for one in items[part : part + 10]]
        ledger.record(run_id, done)
        print(n, part, flush=True)
    ledger.finish_run(run_id, Summary(created=50))
    n += 1
"""

LOCKER = """
import sys
from pathlib import Path
from tui_sync.ledger import open_ledger

ledger = open_ledger("pair", source="s", target="t", state_dir=Path(sys.argv[1]))
with ledger.lock():
    print("locked", flush=True)
    sys.stdin.read()
"""

OPENER = """
import sys
from pathlib import Path
from tui_sync.ledger import open_ledger

sys.stdin.readline()
print(open_ledger("pair", source="s", target="t", state_dir=Path(sys.argv[1])).tag)
"""


def opened(state: Path) -> Ledger:
    return open_ledger("pair", source="s", target="t", state_dir=state)


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def filled(state: Path) -> Path:
    """A closed ledger with a run of 300 items."""
    ledger = opened(state)
    items = [
        Item(
            seq,
            Action.CREATE,
            f"path-{seq}",
            ChangeKind.NEW,
            "new",
            Entry(f"path-{seq}", Kind.FILE, seq, seq),
        )
        for seq in range(300)
    ]
    plan_id = ledger.new_plan("s", "t", SyncOptions())
    ledger.add_items(plan_id, items)
    ledger.finish_plan(plan_id, Totals(create=300), ())
    run_id = ledger.start_run(plan_id)
    ledger.record(run_id, [Outcome(one, Status.DONE, synced=one.source) for one in items])
    ledger.finish_run(run_id, Summary(created=300))
    ledger.close()
    return ledger.path


def use_everything(state: Path) -> None:
    ledger = opened(state)
    try:
        for run in ledger.runs():
            ledger.plan(run.plan_id)
            list(ledger.items(run.plan_id))
            list(ledger.outcomes(run.run_id))
            ledger.totals(run.plan_id)
        for seq in range(300):
            ledger.synced(f"path-{seq}")
        plan_id = ledger.new_plan("s", "t", SyncOptions())
        ledger.add_items(plan_id, [Item(0, Action.DELETE, "p", ChangeKind.EXTRA)])
        ledger.include(plan_id, "p", False)
    finally:
        ledger.close()


def test_it_opens_after_a_kill_at_any_moment(tmp_path: Path) -> None:
    moments = random.Random(20)
    tags = set()
    for attempt in range(12):
        first = attempt * 1_000_000
        lines_wanted = moments.choice([1, 1, 2, 5, 12, 30])
        process = python(WRITER, tmp_path, first)
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(lines_wanted)]
        for _ in range(moments.randrange(20_000)):
            pass
        process.send_signal(signal.SIGKILL)
        seen += process.communicate()[0].splitlines()
        acknowledged = [tuple(map(int, line.split())) for line in seen if line.strip().count(" ") == 1]

        ledger = opened(tmp_path)
        tags.add(ledger.tag)
        for n, part in acknowledged:
            for seq in range(part, part + 10):
                synced = ledger.synced(f"{n}-{seq}")
                assert synced is not None
                assert (synced.source.size, synced.source.mtime_ns) == (seq, n)
        for run in ledger.runs():
            outcomes = list(ledger.outcomes(run.run_id))
            assert len(outcomes) % 10 == 0
            assert run.summary is None or len(outcomes) == 50
            assert ledger.plan(run.plan_id).totals.create == 50
        assert ledger._reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert ledger._reader.execute("PRAGMA foreign_key_check").fetchall() == []
        ledger.close()
    assert len(tags) == 1


@pytest.mark.parametrize("keep", [50, 99, 100, 512, 4096, 5000, 12_288, 40_000])
def test_a_truncated_file_is_named_with_a_remedy(tmp_path: Path, keep: int) -> None:
    path = filled(tmp_path)
    assert path.stat().st_size > keep
    os.truncate(path, keep)
    with pytest.raises(LedgerError) as caught:
        use_everything(tmp_path)
    message = str(caught.value)
    assert str(path) in message
    assert "damaged" in message
    assert "move the file away" in message


@pytest.mark.parametrize(
    "content",
    [b"not a database, but long enough to look like one" * 100, random.Random(1).randbytes(8192)],
    ids=["text", "random"],
)
def test_random_bytes_are_named_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    path = filled(tmp_path)
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"damaged.*move the file away"):
        opened(tmp_path)


def test_flipped_bytes_never_surprise(tmp_path: Path) -> None:
    path = filled(tmp_path)
    good = path.read_bytes()
    damage = random.Random(5)
    messages = []
    for _ in range(60):
        broken = bytearray(good)
        start = damage.randrange(len(broken) - 64)
        broken[start : start + 64] = damage.randbytes(64)
        shutil.rmtree(tmp_path / "ledgers")
        path.parent.mkdir()
        path.write_bytes(broken)
        try:
            use_everything(tmp_path)
        except LedgerError as error:
            messages.append(str(error))
    assert len(messages) > 10
    assert all(str(path) in message for message in messages)


@pytest.mark.parametrize("keep", [0, 1])
def test_an_empty_file_becomes_a_new_ledger(tmp_path: Path, keep: int) -> None:
    path = filled(tmp_path)
    os.truncate(path, keep)
    ledger = opened(tmp_path)
    assert ledger.runs() == []
    ledger.close()


def test_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = filled(tmp_path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"later version of tui-sync.*update tui-sync"):
        opened(tmp_path)
    assert path.read_bytes() == before


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "ledgers"
    folder.mkdir()
    connection = sqlite3.connect(folder / "pair.sqlite")
    connection.execute("CREATE TABLE precious (data)")
    connection.close()
    with pytest.raises(LedgerError, match="not a ledger of tui-sync"):
        opened(tmp_path)
    connection = sqlite3.connect(folder / "pair.sqlite")
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("precious",)]
    connection.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LedgerError, match=r"cannot write the ledger .*pair\.sqlite .*writable"):
        opened(tmp_path / "file" / "state")


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledgers" / "pair.sqlite").mkdir(parents=True)
    with pytest.raises(LedgerError, match="cannot write the ledger"):
        opened(tmp_path)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    filled(tmp_path)
    ledger = opened(tmp_path)
    # Root may write anywhere, so SQLite itself has to refuse.
    ledger._writer.execute("PRAGMA query_only = ON")
    with pytest.raises(LedgerError, match=r"cannot write the ledger .*make the file and its folder writable"):
        ledger.new_plan("s", "t", SyncOptions())
    ledger.close()


def test_a_full_disk_loses_nothing_that_was_there(tmp_path: Path) -> None:
    filled(tmp_path)
    ledger = opened(tmp_path)
    plan_id = ledger.new_plan("s", "t", SyncOptions())
    pages = ledger._writer.execute("PRAGMA page_count").fetchone()[0]
    ledger._writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    many = [Item(seq, Action.CREATE, f"{seq}" * 40, ChangeKind.NEW) for seq in range(2000)]
    with pytest.raises(LedgerError, match=r"no space left for the ledger .*free some space"):
        ledger.add_items(plan_id, many)
    assert len(list(ledger.outcomes(ledger.runs()[0].run_id))) == 300
    assert ledger.synced("path-7") is not None
    ledger._writer.execute("PRAGMA max_page_count = 1000000")
    ledger.add_items(plan_id, many)
    assert len(list(ledger.items(plan_id))) == 2000
    ledger.close()


def test_another_program_that_keeps_it_locked_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = filled(tmp_path)
    ledger = opened(tmp_path)
    ledger._writer.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match="stayed locked by another program"):
        ledger.new_plan("s", "t", SyncOptions())
    assert len(ledger.runs()) == 1
    other.close()
    ledger.new_plan("s", "t", SyncOptions())
    ledger.close()


def test_many_processes_may_open_a_new_ledger_at_once(tmp_path: Path) -> None:
    processes = [python(OPENER, tmp_path) for _ in range(6)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    tags = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 6
    assert len(tags) == 1


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = python(LOCKER, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_refused_and_told_who_runs(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    ledger = opened(tmp_path)
    with (
        pytest.raises(PairLocked, match=rf"under way \(process {holder.pid}, since \d{{4}}-\d\d-\d\d "),
        ledger.lock(),
    ):
        pass
    holder.communicate("")
    with ledger.lock():
        pass
    ledger.close()


def test_a_killed_run_holds_nothing(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    ledger = opened(tmp_path)
    with ledger.lock():
        pass
    ledger.close()


def test_the_lock_holds_within_one_process_and_ends_with_an_error(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)

    def failing_run() -> None:
        with first.lock():
            with pytest.raises(PairLocked, match=f"process {os.getpid()}"), second.lock():
                pass
            with pytest.raises(PairLocked), first.lock():
                pass
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing_run()
    with second.lock():
        pass
    first.close()
    second.close()


def test_the_thread_that_ends_a_run_need_not_have_begun_it(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    lock = ledger.lock()
    lock.__enter__()
    thread = threading.Thread(target=lock.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    with ledger.lock():
        pass
    ledger.close()
