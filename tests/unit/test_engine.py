"""The engine over memory connectors: what must hold whatever goes wrong."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.runs import (
    differing,
    engine_for,
    entries,
    ledger_in,
    outcome_of,
    run,
    statuses,
)
from tui_sync.connectors.base import Features
from tui_sync.connectors.memory import MemoryConnector, MemoryUpload
from tui_sync.errors import ConnectError, ConnectionLost, LedgerError, NoSpace, PermissionDenied
from tui_sync.ledger import Ledger
from tui_sync.model import (
    Action,
    DeleteTo,
    Item,
    Outcome,
    RunState,
    Status,
    SyncOptions,
    Verify,
    WriteMode,
)

PLAIN = Features()
# Longer than anything takes here that waits for no server, and shorter than what hangs does.
PATIENCE_S = 10.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with ledger_in(tmp_path) as opened:
        yield opened


def memory(tree: dict[str, bytes | None], **more: object) -> MemoryConnector:
    return MemoryConnector(tree, mtime_ns=1_000_000_000, features=PLAIN, **more)  # type: ignore[arg-type]


def user_tree(place: MemoryConnector) -> dict[str, bytes | None]:
    return {path: data for path, data in place.tree().items() if not path.startswith(".tui-sync")}


def failing(operation: str, path: str, error: Exception, times: int = 10**9) -> Callable[[str, str], None]:
    left = [times]

    def fault(now: str, where: str) -> None:
        if now == operation and where == path and left[0] > 0:
            left[0] -= 1
            raise error

    return fault


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.005)


def test_a_whole_run(ledger: Ledger) -> None:
    source = memory(
        {"d/new": b"n" * 200_000, "d/empty": b"", "changed": b"after", "same": b"s", "hollow": None}
    )
    target = memory({"changed": b"before", "same": b"s", "old/gone": b"x", "old/deep/gone": b"y"})
    source.nodes["d/new"].mode = 0o640
    source.nodes["d"].mtime_ns = 77_000_000_000
    source.nodes["d"].mode = 0o500
    engine = run(engine_for(source, target, ledger, mirror=True))
    assert user_tree(target) == source.tree()
    assert entries(target)["d/new"] == entries(source)["d/new"]
    assert (target.nodes["d"].mtime_ns, target.nodes["d"].mode) == (77_000_000_000, 0o500)
    summary = engine.summary
    assert (summary.created, summary.updated, summary.deleted, summary.directories) == (2, 1, 4, 2)
    assert (summary.status, summary.exit_code, summary.bytes) == ("ok", 0, 200_005)
    trash = {path: data for path, data in target.tree().items() if path.startswith(".tui-sync-trash/")}
    assert sorted(data for data in trash.values() if data is not None) == [b"x", b"y"]
    known = ledger.synced("d/new")
    assert known is not None
    assert known.source == entries(source)["d/new"].identity
    assert known.target == entries(target)["d/new"].identity
    assert differing(source, target, mirror=True) == []
    assert ledger.runs()[0].summary == summary


def test_permanent_deletes_leave_no_trash(ledger: Ledger) -> None:
    source, target = memory({"a": b"1"}), memory({"a": b"1", "old/x": b"2"})
    run(engine_for(source, target, ledger, mirror=True, options=SyncOptions(delete=DeleteTo.PERMANENT)))
    assert target.tree() == {"a": b"1"}


def test_one_failure_stops_no_other(ledger: Ledger) -> None:
    source = memory({f"f{n}": bytes([n]) * 1000 for n in range(40)})
    source.fault = failing("read", "f7", PermissionDenied("cannot read “f7”: permission denied"))
    target = memory({"f7": b"old"})
    engine = run(engine_for(source, target, ledger))
    assert engine.summary.failed == 1
    assert (engine.summary.created, engine.summary.exit_code) == (39, 23)
    assert target.read("f7") == b"old"
    outcome = outcome_of(ledger, engine, "f7")
    assert (outcome.status, outcome.attempts) == (Status.FAILED, 1)
    assert "permission denied" in outcome.error


@pytest.mark.parametrize(
    "operation", ["stat", "upload", "write", "finish", "publish", "open", "read", "restat"]
)
@pytest.mark.parametrize("action", ["create", "update"])
def test_a_lost_connection_anywhere_is_tried_again(ledger: Ledger, operation: str, action: str) -> None:
    big = b"x" * 1_500_000
    source = memory({"f": big})
    target = memory({"f": b"old"} if action == "update" else {"other": b""})
    engine = engine_for(source, target, ledger)
    fault = failing(operation, "f", ConnectionLost("cut"), times=1)
    side = source if operation in ("open", "read", "restat") else target
    side.fault = fault
    run(engine)
    assert target.read("f") == big
    assert engine.summary.exit_code == 0
    assert not [path for path in target.nodes if path.startswith(".tui-sync")]


@pytest.mark.parametrize("operation", ["stat", "upload", "write", "finish", "publish"])
def test_the_old_file_stays_whatever_fails(ledger: Ledger, operation: str) -> None:
    source, target = memory({"f": b"new" * 600_000}), memory({"f": b"old"})
    engine = engine_for(source, target, ledger)
    target.fault = failing(operation, "f", NoSpace("no space left"))
    run(engine)
    assert target.tree() == {"f": b"old"}
    assert statuses(ledger, engine) == {"f": Status.FAILED}


def test_a_publish_whose_answer_was_lost_counts_as_published(ledger: Ledger) -> None:
    source, target = memory({"f": b"new"}), memory({"x": b""})
    engine = engine_for(source, target, ledger)

    def fault(operation: str, path: str) -> None:
        if operation == "publish":
            target.fault = None
            temporary = next(name for name in target.nodes if name.startswith(".tui-sync"))
            target.nodes["f"] = target.nodes.pop(temporary)
            raise ConnectionLost("cut after the rename")

    target.fault = fault
    run(engine)
    assert (engine.summary.exit_code, engine.summary.created) == (0, 1)
    assert target.read("f") == b"new"


def test_drift_is_skipped_and_reported(ledger: Ledger) -> None:
    def tree(word: bytes) -> dict[str, bytes | None]:
        return {
            name: word * 3
            for name in ("changed-source", "changed-target", "gone-source", "gone-target", "fine")
        }

    source, target = memory({**tree(b"n"), "appeared": b"mine"}), memory({**tree(b"o"), "old": b"x"})
    engine = engine_for(source, target, ledger, mirror=True)
    source.add_file("changed-source", b"later, longer", mtime_ns=5_000_000_000)
    source.remove("gone-source")
    target.add_file("changed-target", b"by somebody else", mtime_ns=6_000_000_000)
    target.remove("gone-target")
    target.add_file("appeared", b"theirs")
    target.add_file("old", b"touched since", mtime_ns=7_000_000_000)
    before = {
        name: target.tree().get(name) for name in ("changed-source", "changed-target", "appeared", "old")
    }
    run(engine)
    found = statuses(ledger, engine)
    assert found.pop("fine") is Status.DONE
    # The delete in the root is held back: not everything planned beside it was copied.
    assert found == {
        "changed-source": Status.DRIFTED,
        "changed-target": Status.DRIFTED,
        "gone-source": Status.VANISHED,
        "gone-target": Status.VANISHED,
        "appeared": Status.DRIFTED,
        "old": Status.HELD,
    }
    assert engine.summary.exit_code == 24
    assert {name: target.tree().get(name) for name in before} == before
    assert "gone-target" not in target.tree()


def test_a_delete_of_what_changed_since_is_skipped(ledger: Ledger) -> None:
    source, target = memory({"keep": b""}), memory({"keep": b"", "old": b"x", "gone": b"y"})
    engine = engine_for(source, target, ledger, mirror=True)
    target.add_file("old", b"somebody's new work", mtime_ns=9_000_000_000)
    target.remove("gone")
    run(engine)
    assert statuses(ledger, engine) == {"old": Status.DRIFTED, "gone": Status.VANISHED}
    assert target.read("old") == b"somebody's new work"
    assert engine.summary.exit_code == 24


@pytest.mark.parametrize("change", ["grow", "shrink", "touch", "remove"])
def test_a_source_that_changes_while_it_is_copied(ledger: Ledger, change: str) -> None:
    source, target = memory({"f": b"n" * 300_000}), memory({"f": b"old"})
    engine = engine_for(source, target, ledger)
    reads = [0]

    def fault(operation: str, path: str) -> None:
        if operation != "read":
            return
        reads[0] += 1
        if reads[0] == 3:
            node = source.nodes["f"]
            if change == "grow":
                node.data.extend(b"x" * 100_000)
            elif change == "shrink":
                del node.data[200_000:]
            elif change == "touch":
                node.mtime_ns = 2_000_000_000
            else:
                source.remove("f")

    source.fault = fault
    run(engine)
    expected = Status.VANISHED if change == "remove" else Status.DRIFTED
    assert statuses(ledger, engine) == {"f": expected}
    assert target.tree() == {"f": b"old"}
    assert engine.summary.exit_code == 24


def test_deletes_are_held_back_where_a_copy_failed(ledger: Ledger) -> None:
    source = memory({"a/b/new": b"n", "c/new": b"n"})
    target = memory({"a/old": b"1", "a/b/old": b"2", "c/old": b"3", "d/old": b"4"})
    engine = engine_for(source, target, ledger, mirror=True)
    source.fault = failing("open", "a/b/new", PermissionDenied("no"))
    run(engine)
    found = statuses(ledger, engine)
    assert {found[path] for path in ("a/old", "a/b/old", "c/old", "d/old", "d")} == {Status.HELD}
    assert found["c/new"] is Status.DONE
    assert engine.summary.exit_code == 23


def test_a_moved_file_is_not_deleted_where_it_was_before_it_is_where_it_goes(ledger: Ledger) -> None:
    source, target = memory({"new/film": b"only copy"}), memory({"old/film": b"only copy"})
    engine = engine_for(source, target, ledger, mirror=True)
    target.fault = failing("upload", "new/film", NoSpace("no space left"))
    run(engine)
    assert target.read("old/film") == b"only copy"


def test_what_the_source_has_got_since_is_not_deleted(ledger: Ledger) -> None:
    source, target = memory({"keep": b""}), memory({"keep": b"", "d/back": b"x"})
    engine = engine_for(source, target, ledger, mirror=True)
    source.add_file("d/back", b"x")
    run(engine)
    assert target.read("d/back") == b"x"
    assert statuses(ledger, engine) == {"d/back": Status.DRIFTED, "d": Status.HELD}


def test_an_answer_lost_twice_is_no_drift(ledger: Ledger) -> None:
    source, target = memory({"f": b"new"}), memory({"x": b""})
    engine = engine_for(source, target, ledger)
    stats = [1]

    def fault(operation: str, path: str) -> None:
        if operation == "publish" and "f" not in target.nodes:
            temporary = next(name for name in target.nodes if name.startswith(".tui-sync"))
            target.nodes["f"] = target.nodes.pop(temporary)
            raise ConnectionLost("cut after the rename")
        if operation == "stat" and path == "f" and stats[0]:
            stats[0] -= 1
            raise ConnectionLost("still down")

    target.fault = fault
    run(engine)
    assert (engine.summary.exit_code, engine.summary.created) == (0, 1)
    assert stats == [0]
    assert ledger.synced("f") is not None


def test_a_torn_file_of_direct_writing_is_written_again(ledger: Ledger) -> None:
    source, target = memory({"f": b"n" * 500_000}), memory({"f": b"old"})
    engine = engine_for(source, target, ledger, options=SyncOptions(write=WriteMode.DIRECT))
    blocks = [0]

    def fault(operation: str, path: str) -> None:
        if operation == "write":
            blocks[0] += 1
            if blocks[0] == 3:
                raise ConnectionLost("cut")

    target.fault = fault
    run(engine)
    assert engine.summary.exit_code == 0
    assert target.read("f") == b"n" * 500_000


def test_a_read_only_folder_is_opened_for_the_run(ledger: Ledger) -> None:
    source, target = memory({"d/new": b"n"}), memory({"d/old": b"o"})
    target.nodes["d"].mode = 0o555
    engine = engine_for(source, target, ledger, mirror=True)

    def fault(operation: str, path: str) -> None:
        if operation in ("upload", "rename", "remove_file") and path.startswith("d/"):
            mode = target.nodes["d"].mode or 0
            if not mode & 0o200:
                raise PermissionDenied("the folder is read-only")

    target.fault = fault
    run(engine)
    assert engine.summary.exit_code == 0
    assert user_tree(target) == {"d": None, "d/new": b"n"}
    assert target.nodes["d"].mode == 0o555
    assert ledger.unfinished_folders() == []


def test_a_folder_that_an_interrupted_run_made_gets_its_attributes_in_the_next(ledger: Ledger) -> None:
    source, target = memory({"d/f": b"1", "d/g": b"2"}), memory({"x": b""})
    source.nodes["d"].mtime_ns, source.nodes["d"].mode = 77_000_000_000, 0o500
    engine = engine_for(source, target, ledger)

    def fault(operation: str, path: str) -> None:
        if operation == "finish":
            engine.cancel()

    target.fault = fault
    run(engine)
    target.fault = None
    assert target.nodes["d"].mode == 0o700
    run(engine_for(source, target, ledger))
    assert (target.nodes["d"].mtime_ns, target.nodes["d"].mode) == (77_000_000_000, 0o500)
    assert ledger.unfinished_folders() == []


def test_nothing_is_tried_in_a_folder_that_could_not_be_made(ledger: Ledger) -> None:
    source, target = memory({"d/e/f": b"1", "g": b"2"}), memory({"x": b""})
    engine = engine_for(source, target, ledger)
    target.fault = failing("make_dir", "d", PermissionDenied("no"))
    run(engine)
    assert statuses(ledger, engine) == {
        "d": Status.FAILED,
        "d/e": Status.HELD,
        "d/e/f": Status.HELD,
        "g": Status.DONE,
    }


def test_a_connection_that_never_comes_back_ends_the_run_soon(ledger: Ledger) -> None:
    source = memory({f"f{n:03}": b"x" for n in range(200)})
    target = memory({"x": b""})
    engine = engine_for(source, target, ledger, options=SyncOptions(workers=2))

    def fault(operation: str, path: str) -> None:
        if operation == "open":
            raise ConnectError("cannot connect to 127.0.0.1 port 2222: connection refused")

    source.fault = fault
    run(engine)
    found = list(statuses(ledger, engine).values())
    assert len(found) == 200
    assert found.count(Status.FAILED) <= 10
    assert found.count(Status.HELD) >= 190
    assert engine.summary.exit_code == 23


def test_only_included_items_run(ledger: Ledger) -> None:
    source, target = memory({"a/1": b"1", "a/2": b"2", "b": b"3"}), memory({"x": b""})
    engine = engine_for(source, target, ledger, without=("a/1",))
    plan_id = ledger.runs()[0].plan_id
    with pytest.raises(LedgerError, match="stays as approved"):
        ledger.include(plan_id, "a/1", True)
    run(engine)
    assert target.tree() == {"x": b"", "a": None, "a/2": b"2", "b": b"3"}


class Blocking:
    """A fault that blocks one operation until the connector is closed or it is let go."""

    def __init__(self, place: MemoryConnector, operation: str) -> None:
        self.place = place
        self.operation = operation
        self.reached = threading.Event()
        self.go = threading.Event()
        close = place.close

        def close_and_release() -> None:
            close()
            self.go.set()

        place.close = close_and_release  # type: ignore[method-assign]

    def __call__(self, operation: str, path: str) -> None:
        if operation == self.operation:
            self.reached.set()
            self.go.wait(60)


@pytest.mark.parametrize("operation", ["open", "read", "write", "finish", "publish", "upload"])
def test_cancel_waits_for_no_server_that_hangs(ledger: Ledger, operation: str) -> None:
    source, target = memory({"f": b"n" * 300_000, "g": b"2"}), memory({"f": b"old"})
    engine = engine_for(source, target, ledger)
    side = source if operation in ("open", "read") else target
    blocking = Blocking(side, operation)
    side.fault = blocking
    engine.start()
    assert blocking.reached.wait(10)
    engine.cancel()
    assert engine.snapshot().state is RunState.CANCELLING
    assert engine.wait(PATIENCE_S)
    assert engine.summary.status == "interrupted"
    assert engine.summary.exit_code == 130
    assert target.tree()["f"] in (b"old", b"n" * 300_000)


def test_cancel_removes_what_was_staged(ledger: Ledger) -> None:
    source, target = memory({"f": b"n" * 3_000_000}), memory({"f": b"old"})
    engine = engine_for(source, target, ledger, options=SyncOptions(bandwidth_limit=100_000))
    engine.start()
    wait_until(lambda: any(path.startswith(".tui-sync") for path in list(target.nodes)))
    engine.cancel()
    assert engine.wait(PATIENCE_S)
    assert target.tree() == {"f": b"old"}


def test_drain_finishes_what_is_in_flight_and_begins_no_more(ledger: Ledger) -> None:
    source = memory({f"f{n}": b"x" * 200_000 for n in range(20)})
    target = memory({"old": b"x"})
    engine = engine_for(source, target, ledger, options=SyncOptions(workers=1), mirror=True)
    blocking = Blocking(source, "read")
    source.fault = blocking
    engine.start()
    assert blocking.reached.wait(10)
    engine.drain()
    assert engine.snapshot().state is RunState.DRAINING
    blocking.go.set()
    assert engine.wait(10)
    assert engine.summary.created == 1
    assert (engine.summary.status, engine.summary.exit_code) == ("interrupted", 130)
    assert target.read("old") == b"x", "a drained run deletes nothing"


def test_pause_stops_the_bytes_and_resume_lets_them_flow(ledger: Ledger) -> None:
    source, target = memory({"f": b"x" * 2_000_000}), memory({"x": b""})
    engine = engine_for(source, target, ledger)
    engine.pause()
    engine.start()
    wait_until(lambda: engine.snapshot().phase == "files")
    assert engine.snapshot().state is RunState.PAUSED
    assert engine.snapshot().bytes_done == 0
    assert not engine.wait(0.3)
    engine.resume()
    assert engine.wait(10)
    assert target.read("f") == source.read("f")


def test_limits_change_while_running(ledger: Ledger) -> None:
    source = memory({f"f{n}": b"x" * 200_000 for n in range(30)})
    target = memory({"x": b""})
    engine = engine_for(source, target, ledger, options=SyncOptions(workers=1, bandwidth_limit=10_000))
    engine.start()
    wait_until(lambda: engine.snapshot().bytes_done > 0)
    assert not engine.wait(0.2)
    engine.set_limit(workers=4, bandwidth=None)
    assert engine.wait(10)
    snapshot = engine.snapshot()
    assert (snapshot.workers, snapshot.bandwidth_limit, snapshot.state) == (4, None, RunState.FINISHED)
    assert (snapshot.files_done, snapshot.bytes_done) == (30, 6_000_000)


@pytest.mark.parametrize("wish", [Verify.READBACK, Verify.CHECKSUM])
def test_a_target_that_stores_other_bytes_is_found_out(ledger: Ledger, wish: Verify) -> None:
    source, target = memory({"f": b"n" * 1000}), memory({"f": b"old"})
    engine = engine_for(source, target, ledger, options=SyncOptions(verify=wish))

    def corrupt(operation: str, path: str) -> None:
        if operation == "finish":
            staged = next(node for name, node in target.nodes.items() if name.startswith(".tui-sync"))
            staged.data[500] ^= 1

    target.fault = corrupt
    run(engine)
    outcome = outcome_of(ledger, engine, "f")
    assert (outcome.status, outcome.attempts) == (Status.FAILED, 3)
    assert "other bytes" in outcome.error
    assert target.tree() == {"f": b"old"}


@pytest.mark.parametrize(
    ("wish", "own", "reached"),
    [
        (Verify.AUTO, (), Verify.SIZE),
        (Verify.AUTO, ("sha256",), Verify.CHECKSUM),
        (Verify.CHECKSUM, (), Verify.READBACK),
        (Verify.READBACK, ("sha256",), Verify.READBACK),
    ],
)
def test_the_receipt_says_how_far_each_file_was_verified(
    ledger: Ledger, wish: Verify, own: tuple[str, ...], reached: Verify
) -> None:
    source = memory({"f": b"n" * 1000})
    target = MemoryConnector({"x": b""}, features=Features(checksums=own))
    engine = run(engine_for(source, target, ledger, options=SyncOptions(verify=wish)))
    assert outcome_of(ledger, engine, "f").verified is reached
    assert engine.summary.verified is reached


def test_direct_writing_uses_no_temporary_name(ledger: Ledger) -> None:
    source, target = memory({"f": b"new", "g": b"2"}), memory({"f": b"old"})
    seen: list[set[str]] = []
    target.fault = lambda operation, path: seen.append(set(target.nodes))
    engine = run(engine_for(source, target, ledger, options=SyncOptions(write=WriteMode.DIRECT)))
    assert engine.summary.exit_code == 0
    assert target.tree() == {"f": b"new", "g": b"2"}
    assert not [name for names in seen for name in names if name.startswith(".tui-sync")]


def test_gzip_transform(ledger: Ledger) -> None:
    source, target = memory({"a.csv": b"line\n" * 10_000}), memory({"x": b""})
    entry = entries(source)["a.csv"]
    item = Item(
        1, Action.CREATE, "a.csv.gz", differing(source, target, mirror=False)[0].kind, "", entry, None
    )
    engine = run(engine_for(source, target, ledger, items=[item], options=SyncOptions(transform="gzip")))
    assert engine.summary.exit_code == 0
    assert gzip.decompress(target.read("a.csv.gz")) == source.read("a.csv")
    assert engine.summary.bytes == len(target.read("a.csv.gz"))


def test_a_listener_hears_everything_and_its_bugs_hurt_nobody(ledger: Ledger) -> None:
    class Deaf:
        def __init__(self) -> None:
            self.began: list[str] = []
            self.heard: list[str] = []

        def started(self, item: Item) -> None:
            self.began.append(item.path)
            raise ValueError("a bug in a face")

        def ended(self, outcome: Outcome) -> None:
            self.heard.append(outcome.item.path)
            raise ValueError("a bug in a face")

    listener = Deaf()
    source, target = memory({f"f{n}": b"x" for n in range(10)}), memory({"x": b""})
    engine = run(engine_for(source, target, ledger, listener=listener))
    assert engine.summary.created == 10
    assert sorted(listener.began) == sorted(listener.heard) == sorted(source.nodes)


def test_without_a_receipt_the_run_stops(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(run_id: int, outcomes: object) -> None:
        raise LedgerError("the ledger cannot be written: the disk is full")

    monkeypatch.setattr(ledger, "record", broken)
    source, target = memory({f"f{n}": b"x" * 100_000 for n in range(50)}), memory({"x": b""})
    options = SyncOptions(bandwidth_limit=1_000_000, workers=1)
    engine = run(engine_for(source, target, ledger, options=options))
    assert (engine.summary.status, engine.summary.exit_code) == ("error", 1)
    assert "disk is full" in str(engine.error)
    assert len(target.nodes) < 50


def test_an_internal_error_fails_one_item_and_is_named(ledger: Ledger) -> None:
    source, target = memory({"f": b"1", "g": b"2"}), memory({"x": b""})
    source.fault = failing("open", "f", ZeroDivisionError("oops"))
    engine = run(engine_for(source, target, ledger))
    assert statuses(ledger, engine) == {"f": Status.FAILED, "g": Status.DONE}
    assert "ZeroDivisionError" in outcome_of(ledger, engine, "f").error


def test_a_link_planted_as_the_trash_leads_nothing_out(ledger: Ledger) -> None:
    source, target = memory({"keep": b""}), memory({"keep": b"", "old": b"x"})
    engine = engine_for(source, target, ledger, mirror=True)
    target.add_symlink(".tui-sync-trash", "/elsewhere")
    run(engine)
    assert statuses(ledger, engine) == {"old": Status.FAILED}
    assert target.read("old") == b"x"


@pytest.mark.parametrize(
    ("wish", "reached"), [(Verify.READBACK, Verify.READBACK), (Verify.AUTO, Verify.CHECKSUM)]
)
def test_readback_is_no_less_where_the_storage_checks_uploads(
    ledger: Ledger, wish: Verify, reached: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryUpload, "staged_path", None)
    source = memory({"f": b"n" * 1000})
    target = MemoryConnector({"x": b""}, features=Features(checks_uploads=True))
    engine = run(engine_for(source, target, ledger, options=SyncOptions(verify=wish)))
    assert outcome_of(ledger, engine, "f").verified is reached
    assert ("read" in target.calls) is (wish is Verify.READBACK)
