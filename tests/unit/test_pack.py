"""Small files travel together, and each keeps what a single one is promised."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.runs import engine_for, ledger_in, outcome_of, run, statuses
from tui_sync.connectors.base import Features
from tui_sync.connectors.memory import MemoryConnector
from tui_sync.errors import ConnectionLost, PermissionDenied
from tui_sync.ledger import Ledger
from tui_sync.model import Action, ChangeKind, Entry, Item, Kind, Status, SyncOptions, Verify
from tui_sync.names import is_ours
from tui_sync.transfer.pack import SMALL, packed

# With one worker and this many files they go in packs of a dozen.
NAMES = [f"d/f{number:02}" for number in range(24)]
ONE_WORKER = SyncOptions(workers=1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with ledger_in(tmp_path) as opened:
        yield opened


def memory(tree: dict[str, bytes | None]) -> MemoryConnector:
    return MemoryConnector(tree, mtime_ns=1_000_000_000, features=Features())


def sources() -> MemoryConnector:
    return memory({name: name.encode() * 10 for name in NAMES})


def targets(*updated: str) -> MemoryConnector:
    return memory({"d/x": b"", **dict.fromkeys(updated, b"old")})


def staged(target: MemoryConnector) -> list[str]:
    return [path for path in target.nodes if is_ours(path.rpartition("/")[2])]


def failing(operation: str, path: str, error: Exception, times: int = 10**9) -> Callable[[str, str], None]:
    left = [times]

    def fault(now: str, where: str) -> None:
        if now == operation and where == path and left[0] > 0:
            left[0] -= 1
            raise error

    return fault


def check_all_but(source: MemoryConnector, target: MemoryConnector, *but: str) -> None:
    for name in NAMES:
        if name not in but:
            assert target.read(name) == source.read(name)
    assert staged(target) == []


@given(
    sizes=st.lists(st.integers(0, 2 * SMALL), max_size=80),
    most=st.integers(1, 20),
)
def test_packs_keep_order_and_bounds(sizes: list[int], most: int) -> None:
    items = [
        Item(seq, Action.CREATE, f"f{seq}", ChangeKind.NEW, source=Entry(f"f{seq}", Kind.FILE, size))
        for seq, size in enumerate(sizes)
    ]
    packs = list(packed(items, most))
    assert sorted((item for pack in packs for item in pack), key=lambda item: item.seq) == items
    for pack in packs:
        assert 1 <= len(pack) <= most
        assert len(pack) == 1 or all(item.bytes <= SMALL for item in pack)
        assert [item.seq for item in pack] == sorted(item.seq for item in pack)
        assert sum(item.bytes for item in pack) <= 4 << 20


def test_small_files_go_together(ledger: Ledger) -> None:
    source, target = sources(), targets("d/f03", "d/f15")
    engine = engine_for(source, target, ledger, options=ONE_WORKER)
    most = []
    source.fault = lambda operation, path: most.append(
        max((file.files for file in engine.snapshot().active), default=0)
    )
    run(engine)
    check_all_but(source, target)
    assert max(most) == 12
    assert (engine.summary.created, engine.summary.updated, engine.summary.exit_code) == (22, 2, 0)
    assert engine.snapshot().files_done == 24
    known = ledger.synced("d/f03")
    assert known is not None
    assert known.target == target.reader().stat("d/f03").identity


@pytest.mark.parametrize("operation", ["open", "read", "upload", "write", "finish", "publish"])
def test_one_bad_file_hurts_no_other(ledger: Ledger, operation: str) -> None:
    source, target = sources(), targets()
    engine = engine_for(source, target, ledger, options=ONE_WORKER)
    side = source if operation in ("open", "read") else target
    side.fault = failing(operation, "d/f05", PermissionDenied("permission denied"))
    run(engine)
    check_all_but(source, target, "d/f05")
    assert outcome_of(ledger, engine, "d/f05").status is Status.FAILED
    assert "d/f05" not in target.nodes
    assert (engine.summary.created, engine.summary.failed) == (23, 1)


@pytest.mark.parametrize(
    "operation", ["open", "read", "restat", "upload", "write", "finish", "publish", "stat"]
)
def test_a_lost_connection_is_tried_again_one_by_one(ledger: Ledger, operation: str) -> None:
    source, target = sources(), targets("d/f05")
    engine = engine_for(source, target, ledger, options=ONE_WORKER)
    side = source if operation in ("open", "read", "restat") else target
    side.fault = failing(operation, "d/f05", ConnectionLost("cut"), times=1)
    run(engine)
    check_all_but(source, target)
    assert engine.summary.exit_code == 0


def test_a_publish_whose_answer_was_lost_counts_as_published(ledger: Ledger) -> None:
    source, target = sources(), targets("d/f00", "d/f05")
    engine = engine_for(source, target, ledger, options=ONE_WORKER)
    lost = threading.Event()

    def fault(operation: str, path: str) -> None:
        if operation == "publish" and path == "d/f07" and not lost.is_set():
            # The rename is done; only its answer and those of the following files never come.
            lost.set()
            [mine] = [name for name in staged(target) if target.nodes[name].data[:5] == b"d/f07"]
            target.nodes["d/f07"] = target.nodes.pop(mine)
            raise ConnectionLost("cut after the rename")

    target.fault = fault
    run(engine)
    check_all_but(source, target)
    assert set(statuses(ledger, engine).values()) == {Status.DONE}


def test_what_was_published_before_a_cancel_is_told_so(ledger: Ledger) -> None:
    source, target = sources(), targets()
    engine = engine_for(source, target, ledger, options=ONE_WORKER)

    def fault(operation: str, path: str) -> None:
        if operation == "publish" and path == "d/f05":
            engine.cancel()
            raise ConnectionLost("closed")

    target.fault = fault
    run(engine)
    done = {path for path, status in statuses(ledger, engine).items() if status is Status.DONE}
    assert done == set(NAMES[:5]) == {name for name in NAMES if name in target.nodes}
    assert engine.summary.created == 5


def test_drift_within_a_pack(ledger: Ledger) -> None:
    source, target = sources(), targets("d/f01", "d/f02", "d/f03")
    engine = engine_for(source, target, ledger, options=ONE_WORKER)
    target.add_file("d/f01", b"by somebody else", mtime_ns=5_000_000_000)
    target.remove("d/f02")
    target.add_file("d/f04", b"appeared", mtime_ns=5_000_000_000)
    source.add_file("d/f05", b"grown since the plan was made", mtime_ns=5_000_000_000)
    source.remove("d/f06")
    run(engine)
    found = {path: status for path, status in statuses(ledger, engine).items() if status is not Status.DONE}
    assert found == {
        "d/f01": Status.DRIFTED,
        "d/f02": Status.VANISHED,
        "d/f04": Status.DRIFTED,
        "d/f05": Status.DRIFTED,
        "d/f06": Status.VANISHED,
    }
    assert target.read("d/f01") == b"by somebody else"
    assert target.read("d/f04") == b"appeared"
    check_all_but(source, target, *found)
    assert engine.summary.exit_code == 24


def test_a_source_that_changes_while_it_is_read(ledger: Ledger) -> None:
    source, target = sources(), targets("d/f05")
    engine = engine_for(source, target, ledger, options=ONE_WORKER)

    def fault(operation: str, path: str) -> None:
        if operation == "restat" and path == "d/f05":
            source.nodes["d/f05"].mtime_ns = 9_000_000_000

    source.fault = fault
    run(engine)
    assert outcome_of(ledger, engine, "d/f05").status is Status.DRIFTED
    assert target.read("d/f05") == b"old"
    check_all_but(source, target, "d/f05")


@pytest.mark.parametrize("wish", [Verify.READBACK, Verify.CHECKSUM])
@pytest.mark.parametrize("own", [(), ("sha256",)])
def test_each_file_is_verified(ledger: Ledger, wish: Verify, own: tuple[str, ...]) -> None:
    source = sources()
    target = MemoryConnector({"d/x": b""}, features=Features(checksums=own))
    engine = engine_for(source, target, ledger, options=SyncOptions(workers=1, verify=wish))

    def corrupt(operation: str, path: str) -> None:
        if operation == "finish" and path == "d/f05":
            [mine] = [name for name in staged(target) if target.nodes[name].data[:5] == b"d/f05"]
            target.nodes[mine].data[7] ^= 1

    target.fault = corrupt
    run(engine)
    assert outcome_of(ledger, engine, "d/f05").status is Status.FAILED
    expected = Verify.CHECKSUM if wish is Verify.CHECKSUM and own else Verify.READBACK
    assert outcome_of(ledger, engine, "d/f06").verified is expected
    check_all_but(source, target, "d/f05")


def test_a_cancelled_pack_leaves_nothing_staged(ledger: Ledger) -> None:
    source, target = sources(), targets()
    engine = engine_for(source, target, ledger, options=ONE_WORKER)
    seen = threading.Event()

    def fault(operation: str, path: str) -> None:
        if operation == "finish" and path == "d/f08":
            seen.set()
            engine.cancel()

    target.fault = fault
    run(engine)
    assert seen.is_set()
    assert engine.summary.status == "interrupted"
    assert staged(target) == []
    assert [name for name in NAMES if name in target.nodes] == []
