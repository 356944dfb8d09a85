"""The ledger gives back exactly what was put into it, and answers what the faces ask."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tui_sync.errors import LedgerError
from tui_sync.ledger import Ledger, open_ledger, store
from tui_sync.ledger.store import RUNS_KEPT, default_state_dir, pair_ledgers
from tui_sync.model import (
    Action,
    ChangeKind,
    CompareBy,
    DeleteLimit,
    DeleteTo,
    Entry,
    Guard,
    Identity,
    Item,
    Kind,
    Mode,
    Outcome,
    Status,
    Summary,
    Synced,
    SyncOptions,
    Totals,
    Verify,
    WriteMode,
)

AWKWARD = [
    "plain.txt",
    "with space/“quotes” 'n' \"more\".txt",
    "new\nline",
    "esc\x1b[31m",
    "bidi\u202egnp.exe",
    "caf\u00e9",
    "cafe\u0301",
    "bytes\udcff\udc80.bin",
    "[brackets]",
    "--dash",
    "..hidden",
    "a" * 255,
    "👾/deep/er",
]

CHANGES = {
    Action.CREATE: ChangeKind.NEW,
    Action.MKDIR: ChangeKind.NEW,
    Action.UPDATE: ChangeKind.MODIFIED,
    Action.DELETE: ChangeKind.EXTRA,
    Action.SKIP: ChangeKind.EQUAL,
}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = open_ledger("pair", source="file:///a", target="file:///b", state_dir=tmp_path)
    yield ledger
    ledger.close()


def item(seq: int, action: Action, path: str, size: int = 10, kind: Kind = Kind.FILE) -> Item:
    if action is Action.MKDIR:
        kind, size = Kind.DIRECTORY, 0
    entry = Entry(path, kind, size, 1_700_000_000_000_000_000 + seq, 0o644)
    return Item(
        seq,
        action,
        path,
        CHANGES[action],
        "why",
        source=None if action is Action.DELETE else entry,
        target=None if action in (Action.CREATE, Action.MKDIR) else entry,
    )


def planned(ledger: Ledger, items: list[Item], totals: Totals | None = None) -> int:
    plan_id = ledger.new_plan("file:///a", "file:///b", SyncOptions())
    ledger.add_items(plan_id, items)
    ledger.finish_plan(plan_id, totals or Totals(), ())
    return plan_id


def done(item: Item, **more: object) -> Outcome:
    return Outcome(item, Status.DONE, bytes=item.bytes, synced=item.source, **more)  # type: ignore[arg-type]


def included(ledger: Ledger, plan_id: int) -> list[str]:
    return [item.path for item in ledger.items(plan_id, included=True)]


def test_awkward_paths_come_back_as_they_were(ledger: Ledger) -> None:
    items = [item(seq, Action.CREATE, path) for seq, path in enumerate(AWKWARD)]
    plan_id = planned(ledger, items)
    assert list(ledger.items(plan_id)) == items
    assert [ledger.item(plan_id, path) for path in AWKWARD] == items
    assert ledger.item(plan_id, "none") is None


integers = st.none() | st.integers(-(2**70), 2**70)
texts = (
    st.none()
    | st.text(max_size=20)
    | st.binary(max_size=8).map(lambda b: b.decode("utf-8", "surrogateescape"))
)
entries = st.builds(
    Entry,
    path=texts.map(lambda text: text or "x"),
    kind=st.sampled_from(Kind),
    size=st.integers(0, 2**64),
    mtime_ns=integers,
    mode=st.none() | st.integers(0, 0o7777),
    etag=texts,
    link_target=texts,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=st.none() | entries, target=st.none() | entries, synced=st.none() | entries, text=texts)
def test_every_field_comes_back(
    ledger: Ledger, source: Entry | None, target: Entry | None, synced: Entry | None, text: str | None
) -> None:
    one = Item(
        -5, Action.UPDATE, text or "p", ChangeKind.TARGET_NEWER, text or "", source, target, included=False
    )
    plan_id = planned(ledger, [one])
    assert list(ledger.items(plan_id)) == [one]
    run_id = ledger.start_run(plan_id)
    outcome = Outcome(one, Status.FAILED, 2**64, 1.25, Verify.READBACK, text or "", 3, synced, "no-space")
    ledger.record(run_id, [outcome])
    assert list(ledger.outcomes(run_id)) == [outcome]


@pytest.mark.parametrize(
    "identity",
    [
        Identity(Kind.FILE, 0, 0),
        Identity(Kind.FILE, 2**63 - 1, 2**63 - 1, "etag\udcff"),
        Identity(Kind.FILE, 2**64 - 1, -(2**63)),
        Identity(Kind.SYMLINK, 1, -1, ""),
        Identity(Kind.FILE, 12, None, None),
    ],
)
def test_what_was_synced_is_remembered_exactly(ledger: Ledger, tmp_path: Path, identity: Identity) -> None:
    path = "dir/bytes\udcff"
    source = Entry("elsewhere", identity.kind, identity.size, identity.mtime_ns, 0o600, identity.etag)
    target = Entry(path, Kind.FILE, 7, 9)
    one = Item(0, Action.CREATE, path, ChangeKind.NEW, source=source)
    run_id = ledger.start_run(planned(ledger, [one]))
    ledger.record(run_id, [Outcome(one, Status.DONE, synced=target)])
    expected = Synced(path, source.identity, Identity(Kind.FILE, 7, 9))
    assert ledger.synced(path) == expected
    ledger.close()
    reopened = open_ledger("pair", source="", target="", state_dir=tmp_path)
    try:
        assert reopened.synced(path) == expected
    finally:
        reopened.close()


def test_what_is_synced_follows_what_was_done(ledger: Ledger) -> None:
    create = item(0, Action.CREATE, "a")
    run_id = ledger.start_run(planned(ledger, [create]))
    ledger.record(run_id, [Outcome(create, Status.FAILED, error="broken", synced=create.source)])
    assert ledger.synced("a") is None
    ledger.record(run_id, [done(create)])
    assert ledger.synced("a") is not None
    assert list(ledger.outcomes(run_id)) == [done(create)]

    delete = item(0, Action.DELETE, "a")
    run_id = ledger.start_run(planned(ledger, [delete]))
    ledger.record(run_id, [Outcome(delete, Status.DRIFTED)])
    assert ledger.synced("a") is not None
    ledger.record(run_id, [Outcome(delete, Status.DONE)])
    assert ledger.synced("a") is None


def test_a_written_file_that_could_not_be_seen_again_is_not_remembered(ledger: Ledger) -> None:
    create = item(0, Action.CREATE, "a")
    run_id = ledger.start_run(planned(ledger, [create]))
    ledger.record(run_id, [done(create)])
    ledger.record(run_id, [Outcome(create, Status.DONE, synced=None)])
    assert ledger.synced("a") is None


def test_items_come_by_seq_in_batches_and_filtered(ledger: Ledger) -> None:
    actions = [Action.MKDIR, Action.CREATE, Action.SKIP, Action.UPDATE, Action.DELETE]
    items = [item(seq, actions[seq % 5], f"p{seq:03}") for seq in range(57)]
    plan_id = planned(ledger, items[::-1])
    for batch in (1, 7, 57, 500):
        assert list(ledger.items(plan_id, batch=batch)) == items
        assert list(ledger.items(plan_id, batch=batch, reverse=True)) == items[::-1]
        deletes = [one for one in items if one.action is Action.DELETE]
        assert (
            list(ledger.items(plan_id, actions={Action.DELETE}, reverse=True, batch=batch)) == deletes[::-1]
        )
        some = {Action.SKIP, Action.CREATE}
        expected = [one for one in items if one.action in some]
        assert list(ledger.items(plan_id, actions=some, included=True, batch=batch)) == expected
    assert list(ledger.items(plan_id, actions=())) == []
    assert list(ledger.items(plan_id, included=False)) == []
    with pytest.raises(LedgerError, match="scan again"):
        list(ledger.items(plan_id + 1))


def test_items_may_change_while_they_are_read(ledger: Ledger) -> None:
    plan_id = planned(ledger, [item(seq, Action.CREATE, f"p{seq}") for seq in range(10)])
    reading = ledger.items(plan_id, included=True, batch=3)
    first = [next(reading).path for _ in range(3)]
    assert ledger.include(plan_id, "p5", False) == 1
    assert first + [one.path for one in reading] == [f"p{n}" for n in range(10) if n != 5]


@pytest.fixture
def tree(ledger: Ledger) -> int:
    return planned(
        ledger,
        [
            item(0, Action.MKDIR, ""),
            item(1, Action.MKDIR, "dir"),
            item(2, Action.MKDIR, "dir/sub"),
            item(3, Action.CREATE, "dir/sub/file", 100),
            item(4, Action.SKIP, "dir/sub/same"),
            item(5, Action.CREATE, "dir!"),
            item(6, Action.CREATE, "dir-2/file"),
            item(7, Action.UPDATE, "dir.txt", 5),
            item(8, Action.CREATE, "dir0"),
            item(9, Action.DELETE, "old", 0, Kind.DIRECTORY),
            item(10, Action.DELETE, "old/a", 70),
            item(11, Action.DELETE, "old/b", 7),
        ],
        Totals(skip=1, unchanged=9, source_files=5, create=99),
    )


def test_taking_out_a_folder_takes_out_what_is_below_it_alone(ledger: Ledger, tree: int) -> None:
    before = included(ledger, tree)
    assert ledger.include(tree, "dir", False) == 3
    assert set(before) - set(included(ledger, tree)) == {"dir", "dir/sub", "dir/sub/file"}
    assert ledger.include(tree, "dir", False) == 0
    assert ledger.include(tree, "dir", True) == 3
    assert included(ledger, tree) == before


def test_including_a_file_includes_the_folders_to_be_made_above_it(ledger: Ledger, tree: int) -> None:
    ledger.include(tree, "", False)
    assert included(ledger, tree) == ["dir/sub/same"]
    assert ledger.include(tree, "dir/sub/file", True) == 4
    assert included(ledger, tree) == ["", "dir", "dir/sub", "dir/sub/file", "dir/sub/same"]


def test_keeping_a_file_keeps_the_folder_it_is_in(ledger: Ledger, tree: int) -> None:
    assert ledger.include(tree, "old/a", False) == 2
    deletes = [one.path for one in ledger.items(tree, actions={Action.DELETE}, included=True)]
    assert deletes == ["old/b"]
    assert ledger.include(tree, "old/a", True) == 1
    deletes = [one.path for one in ledger.items(tree, actions={Action.DELETE}, included=True)]
    assert deletes == ["old/a", "old/b"]


def test_skipped_items_have_nothing_to_include(ledger: Ledger, tree: int) -> None:
    assert ledger.include(tree, "dir/sub/same", False) == 0
    assert ledger.include(tree, "nothing here", False) == 0


def test_totals_follow_what_is_included(ledger: Ledger, tree: int) -> None:
    assert ledger.plan(tree).totals.create == 99
    everything = Totals(
        create=4,
        update=1,
        delete=3,
        mkdir=3,
        skip=1,
        unchanged=9,
        create_bytes=130,
        update_bytes=5,
        delete_bytes=77,
        source_files=5,
    )
    assert ledger.totals(tree) == everything
    ledger.include(tree, "old", False)
    ledger.include(tree, "dir", False)
    rest = ledger.totals(tree)
    assert (rest.create, rest.update, rest.delete, rest.mkdir, rest.create_bytes) == (3, 1, 0, 1, 30)


def test_a_size_beyond_belief_breaks_no_sum(ledger: Ledger) -> None:
    sizes = [2**64 - 1, 2**63 - 1, 2**63 - 1]
    plan_id = planned(ledger, [item(n, Action.CREATE, str(n), size) for n, size in enumerate(sizes)])
    assert ledger.totals(plan_id).create_bytes >= 3 * (2**63 - 1)


def test_the_head_of_a_plan_comes_back(ledger: Ledger) -> None:
    options = SyncOptions(
        Mode.MIRROR,
        CompareBy.CHECKSUM,
        ("*.c",),
        ("*.tmp", "ü\udcff"),
        DeleteTo.PERMANENT,
        DeleteLimit(7, percent=False),
        Verify.READBACK,
        WriteMode.DIRECT,
        "gzip",
        12,
        5_000_000,
    )
    guards = (Guard("max-delete", "too many: “x\udcff”"), Guard("note", "so be it", blocking=False))
    plan_id = ledger.new_plan("file:///a\udcff", "sftp://h/b", options)
    assert ledger.plan(plan_id).totals == Totals()
    plan = ledger.finish_plan(plan_id, Totals(create=3, create_bytes=2**62), guards)
    assert plan == ledger.plan(plan_id)
    assert (plan.plan_id, plan.source, plan.target) == (plan_id, "file:///a\udcff", "sftp://h/b")
    assert (plan.options, plan.guards) == (options, guards)
    assert plan.totals == Totals(create=3, create_bytes=2**62)


def test_a_newer_plan_replaces_one_that_never_ran(ledger: Ledger) -> None:
    old = planned(ledger, [item(0, Action.CREATE, "a")])
    new = ledger.new_plan("s", "t", SyncOptions())
    assert new > old
    for attempt in (
        lambda: ledger.plan(old),
        lambda: list(ledger.items(old)),
        lambda: ledger.item(old, "a"),
        lambda: ledger.start_run(old),
        lambda: ledger.totals(old),
        lambda: ledger.add_items(old, [item(1, Action.CREATE, "b")]),
        lambda: ledger.finish_plan(old, Totals(), ()),
    ):
        with pytest.raises(LedgerError, match="newer scan has replaced it: scan again"):
            attempt()


_DRY_RUN = """
import sys
from pathlib import Path
from tui_sync.ledger import open_ledger
from tui_sync.model import SyncOptions
ledger = open_ledger("pair", source="", target="", state_dir=Path(sys.argv[1]))
print(ledger.new_plan("s", "t", SyncOptions()), flush=True)
sys.stdin.read()
"""


def test_a_plan_of_another_process_stays_while_that_is_at_work(ledger: Ledger, tmp_path: Path) -> None:
    mine = planned(ledger, [item(0, Action.CREATE, "a"), item(1, Action.SKIP, "same")])
    other = subprocess.Popen(
        [sys.executable, "-c", _DRY_RUN, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    try:
        theirs = int(other.stdout.readline())
        assert len(list(ledger.items(mine))) == 2
        ledger.start_run(mine)
        planned(ledger, [])
        ledger.prune(5)
        assert ledger.plan(theirs).plan_id == theirs
    finally:
        other.communicate(timeout=30)
    planned(ledger, [])
    with pytest.raises(LedgerError, match="scan again"):
        ledger.plan(theirs)


def test_a_plan_of_another_process_goes_after_a_day(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "this_process", lambda: "1 another elsewhere")
    long_ago = time.time_ns() - 25 * 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: long_ago)
    old = planned(ledger, [])
    monkeypatch.undo()
    monkeypatch.setattr(store, "this_process", lambda: "1 another elsewhere")
    new = planned(ledger, [])
    planned(ledger, [])
    assert ledger.plan(new).plan_id == new
    with pytest.raises(LedgerError, match="scan again"):
        ledger.plan(old)


def test_an_unfinished_plan_does_not_run(ledger: Ledger) -> None:
    plan_id = ledger.new_plan("s", "t", SyncOptions())
    with pytest.raises(LedgerError, match="never completed"):
        ledger.start_run(plan_id)


def test_runs_come_newest_first_and_tell_an_interrupted_one(ledger: Ledger) -> None:
    plan_id = planned(ledger, [item(0, Action.CREATE, "a")])
    first, second = ledger.start_run(plan_id), ledger.start_run(plan_id)
    summary = Summary("partial", 23, created=4, failed=1, bytes=2**40, elapsed_s=1.5, verified=Verify.SIZE)
    ledger.finish_run(first, summary)
    newest, oldest = ledger.runs()
    assert (newest.run_id, newest.finished_ns, newest.summary) == (second, None, None)
    assert (oldest.run_id, oldest.plan_id, oldest.summary) == (first, plan_id, summary)
    assert oldest.finished_ns is not None
    assert oldest.finished_ns >= oldest.started_ns
    assert [run.run_id for run in ledger.runs(limit=1)] == [second]


def test_a_receipt_outlives_later_plans(ledger: Ledger) -> None:
    items = [item(seq, Action.CREATE, f"p{seq:04}") for seq in range(1200)]
    items.append(item(1200, Action.SKIP, "same"))
    run_id = ledger.start_run(planned(ledger, items))
    outcomes = [
        done(one) if one.seq % 3 else Outcome(one, Status.FAILED, error="refused") for one in items[:1200]
    ]
    ledger.record(run_id, outcomes[600:])
    ledger.record(run_id, outcomes[:600])
    ledger.finish_run(run_id, Summary())
    planned(ledger, [])
    assert list(ledger.outcomes(run_id)) == outcomes
    failed = list(ledger.outcomes(run_id, statuses={Status.FAILED}))
    assert failed == [one for one in outcomes if one.status is Status.FAILED]
    assert list(ledger.outcomes(run_id, statuses={Status.CANCELLED})) == []


def test_equal_items_of_a_finished_run_do_not_pile_up(ledger: Ledger) -> None:
    items = [item(0, Action.CREATE, "a"), item(1, Action.SKIP, "same")]
    plan_id = planned(ledger, items)
    run_id = ledger.start_run(plan_id)
    planned(ledger, [])
    assert list(ledger.items(plan_id)) == items
    ledger.finish_run(run_id, Summary())
    planned(ledger, [])
    assert list(ledger.items(plan_id)) == items[:1]


def test_old_runs_go_with_their_plans(ledger: Ledger, tmp_path: Path) -> None:
    runs = []
    for n in range(RUNS_KEPT + 5):
        one = item(0, Action.CREATE, f"p{n}")
        plan_id = planned(ledger, [one])
        run_id = ledger.start_run(plan_id)
        ledger.record(run_id, [done(one)])
        ledger.finish_run(run_id, Summary(created=n))
        runs.append((run_id, plan_id))
    assert [run.run_id for run in ledger.runs()] == [run_id for run_id, _ in reversed(runs[5:])]
    assert list(ledger.outcomes(runs[4][0])) == []
    with pytest.raises(LedgerError, match="scan again"):
        list(ledger.items(runs[4][1]))
    assert len(list(ledger.outcomes(runs[5][0]))) == 1
    assert len(list(ledger.items(runs[5][1]))) == 1
    assert ledger.synced("p0") is not None


def test_a_plan_stays_while_one_of_its_runs_does(ledger: Ledger) -> None:
    one = item(0, Action.CREATE, "a")
    plan_id = planned(ledger, [one])
    runs = [ledger.start_run(plan_id) for _ in range(RUNS_KEPT + 1)]
    ledger.record(runs[-1], [done(one)])
    assert len(ledger.runs()) == RUNS_KEPT
    assert list(ledger.outcomes(runs[-1])) == [done(one)]


def test_many_threads_read_while_others_write(ledger: Ledger) -> None:
    items = [item(seq, Action.CREATE, f"p{seq}") for seq in range(600)]
    plan_id = planned(ledger, items)
    run_id = ledger.start_run(plan_id)
    finished = threading.Event()
    errors: list[BaseException] = []
    rounds = [0] * 4

    def write(part: int) -> None:
        for n in range(part, 600, 3):
            ledger.record(run_id, [done(items[n])])

    def read(slot: int) -> None:
        while True:
            last = finished.is_set()
            assert sum(1 for _ in ledger.items(plan_id, batch=50)) == 600
            assert all(one.status is Status.DONE for one in ledger.outcomes(run_id))
            ledger.totals(plan_id)
            ledger.synced("p1")
            rounds[slot] += 1
            if last:
                return

    def guarded(work: object, argument: int) -> None:
        try:
            work(argument)  # type: ignore[operator]
        except BaseException as error:
            errors.append(error)

    writers = [threading.Thread(target=guarded, args=(write, part)) for part in range(3)]
    readers = [threading.Thread(target=guarded, args=(read, slot)) for slot in range(4)]
    for thread in writers + readers:
        thread.start()
    for thread in writers:
        thread.join()
    finished.set()
    for thread in readers:
        thread.join()
    assert errors == []
    assert all(rounds)
    assert len(list(ledger.outcomes(run_id))) == 600


def test_nobody_else_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    before = os.umask(0)
    try:
        ledger = open_ledger("pair", source="s", target="t", state_dir=state)
        planned(ledger, [item(0, Action.CREATE, "a")])
        with ledger.lock():
            folder = state / "ledgers"
            files = sorted(folder.iterdir())
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files}
    finally:
        os.umask(before)
    ledger.close()
    assert {"pair.sqlite", "pair.sqlite-wal", "pair.sqlite-shm", "pair.sqlite.lock"} <= set(modes)
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_a_file_left_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "ledgers"
    folder.mkdir(mode=0o755)
    (folder / "pair.sqlite").touch(mode=0o644)
    ledger = open_ledger("pair", source="s", target="t", state_dir=tmp_path)
    ledger.close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "pair.sqlite").stat().st_mode) == 0o600


def test_each_ledger_has_a_tag_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    tags = []
    for pair, source in (("one", "s\udcff"), ("two", "s"), ("one", "")):
        ledger = open_ledger(pair, source=source, target="t", state_dir=tmp_path)
        tags.append(ledger.tag)
        assert (ledger.source, ledger.target) == ("s\udcff" if pair == "one" else "s", "t")
        assert ledger.path == tmp_path / "ledgers" / f"{pair}.sqlite"
        ledger.close()
    assert tags[0] == tags[2] != tags[1]
    assert all(len(tag) == 8 and int(tag, 16) >= 0 for tag in tags)
    assert [path.stem for path in pair_ledgers(tmp_path)] == ["one", "two"]
    assert pair_ledgers(tmp_path / "none") == []


def test_the_state_folder_follows_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_state_dir() == tmp_path / "tui-sync"


def test_closing_twice_is_fine_and_using_it_afterwards_is_an_error(ledger: Ledger) -> None:
    reading = ledger.items(planned(ledger, [item(seq, Action.CREATE, str(seq)) for seq in range(3)]), batch=1)
    next(reading)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError):
        next(reading)
    with pytest.raises(LedgerError):
        ledger.new_plan("s", "t", SyncOptions())


def test_large_plans_are_read_by_index(ledger: Ledger) -> None:
    statements: list[str] = []
    plan_id = planned(ledger, [item(0, Action.CREATE, "a")])
    for connection in (ledger._reader, ledger._writer):
        connection.set_trace_callback(statements.append)
    list(ledger.items(plan_id))
    list(ledger.items(plan_id, actions={Action.DELETE}, reverse=True))
    ledger.item(plan_id, "a")
    ledger.synced("a")
    ledger.totals(plan_id)
    ledger.include(plan_id, "a/b", True)
    list(ledger.outcomes(ledger.start_run(plan_id)))
    for connection in (ledger._reader, ledger._writer):
        connection.set_trace_callback(None)
    asked = [one for one in statements if "items" in one or "outcomes" in one or "synced" in one]
    assert len(asked) >= 8
    for statement in asked:
        steps = [row[3] for row in ledger._reader.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert steps
        assert not [
            step for step in steps if step.startswith("SCAN") or "TEMP B-TREE FOR ORDER BY" in step
        ], statement
