"""Large files go on where they stopped, in the same run and in the next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs import engine_for, ledger_in, outcome_of, run
from tui_sync.connectors.base import Features
from tui_sync.connectors.memory import BLOCK, MemoryConnector
from tui_sync.errors import ConnectionLost, NoSpace
from tui_sync.ledger import Ledger
from tui_sync.model import CompareBy, Status, SyncOptions, Verify
from tui_sync.names import is_ours, temporary
from tui_sync.transfer.engine import Engine

MIB = 1 << 20
BIG = bytes(range(251)) * (24 * MIB // 251)
HALF = 12 * MIB


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with ledger_in(tmp_path) as opened:
        yield opened


def memory(tree: dict[str, bytes | None]) -> MemoryConnector:
    return MemoryConnector(tree, mtime_ns=1_000_000_000, features=Features())


class Cuts:
    """Counts the blocks written, and cuts before chosen ones."""

    def __init__(self, *at: int, error: Exception | None = None) -> None:
        self.at = set(at)
        self.written = 0
        self.error = error or ConnectionLost("cut")

    def __call__(self, operation: str, path: str) -> None:
        if operation == "write":
            if self.written in self.at:
                self.at.remove(self.written)
                raise self.error
            self.written += 1


def stop_half_way(source: MemoryConnector, target: MemoryConnector, ledger: Ledger) -> Engine:
    """A run that is cancelled when half of the large file is on its way."""
    engine = engine_for(source, target, ledger)
    blocks = [0]

    def fault(operation: str, path: str) -> None:
        if operation == "write":
            blocks[0] += 1
            if blocks[0] == HALF // BLOCK:
                engine.cancel()

    target.fault = fault
    run(engine)
    target.fault = None
    assert engine.summary.status == "interrupted"
    return engine


def staged(target: MemoryConnector) -> list[str]:
    return [path for path in target.nodes if is_ours(path.rpartition("/")[2])]


def test_a_cut_costs_nothing_that_was_acknowledged(ledger: Ledger) -> None:
    source, target = memory({"big": BIG}), memory({"x": b""})
    cuts = Cuts(*range(20, 380, 20))
    engine = engine_for(source, target, ledger)
    target.fault = cuts
    run(engine)
    assert engine.summary.exit_code == 0
    assert target.read("big") == BIG
    # As many blocks as the file has: not one was sent twice, whatever the number of cuts.
    assert cuts.written == -(-len(BIG) // BLOCK)
    assert outcome_of(ledger, engine, "big").attempts == 19
    assert staged(target) == []
    assert ledger.partials() == []


def test_the_next_run_goes_on_with_what_a_cancelled_one_left(ledger: Ledger) -> None:
    source, target = memory({"big": BIG}), memory({"big": b"old"})
    stop_half_way(source, target, ledger)
    assert target.read("big") == b"old"
    assert len(staged(target)) == 1
    cuts = Cuts()
    engine = engine_for(source, target, ledger)
    target.fault = cuts
    run(engine)
    assert engine.summary.exit_code == 0
    assert target.read("big") == BIG
    assert cuts.written <= (len(BIG) - HALF) // BLOCK + 2
    assert staged(target) == []
    assert ledger.partials() == []


@pytest.mark.parametrize("wish", [Verify.READBACK, Verify.SIZE])
def test_a_resumed_file_is_verified_as_a_whole(ledger: Ledger, wish: Verify) -> None:
    source, target = memory({"big": BIG}), memory({"x": b""})
    stop_half_way(source, target, ledger)
    [path] = staged(target)
    target.nodes[path].data[5] ^= 1  # too early for the look at the end of what is held
    engine = run(engine_for(source, target, ledger, options=SyncOptions(verify=wish)))
    if wish is Verify.READBACK:
        assert target.read("big") == BIG
        assert engine.summary.verified is Verify.READBACK
    else:
        # What the level promises, and no more: the receipt says so.
        assert engine.summary.verified is Verify.SIZE


def test_a_changed_source_starts_over(ledger: Ledger) -> None:
    source, target = memory({"big": BIG}), memory({"x": b""})
    stop_half_way(source, target, ledger)
    other = bytes(reversed(BIG))
    source.add_file("big", other, mtime_ns=2_000_000_000)
    engine = run(engine_for(source, target, ledger))
    assert engine.summary.exit_code == 0
    assert target.read("big") == other
    assert staged(target) == []


def test_a_damaged_end_starts_over(ledger: Ledger) -> None:
    source, target = memory({"big": BIG}), memory({"x": b""})
    stop_half_way(source, target, ledger)
    [path] = staged(target)
    target.nodes[path].data[-1] ^= 1
    engine = run(engine_for(source, target, ledger))
    assert engine.summary.exit_code == 0
    assert target.read("big") == BIG


def test_a_staged_file_longer_than_the_source_starts_over(ledger: Ledger) -> None:
    source, target = memory({"big": BIG}), memory({"x": b""})
    stop_half_way(source, target, ledger)
    [path] = staged(target)
    target.nodes[path].data = bytearray(BIG + b"more")
    run(engine_for(source, target, ledger))
    assert target.read("big") == BIG


def test_who_compares_by_content_goes_on_only_within_a_run(ledger: Ledger) -> None:
    source, target = memory({"big": BIG}), memory({"x": b""})
    stop_half_way(source, target, ledger)
    # Another content, of the same size and time: nothing but its bytes tell.
    source.nodes["big"].data[:] = bytes(HALF) + BIG[HALF:]
    options = SyncOptions(compare=CompareBy.CHECKSUM)
    engine = engine_for(source, target, ledger, options=options)
    cuts = Cuts(300)
    target.fault = cuts
    run(engine)
    assert target.read("big") == source.read("big")
    assert cuts.written == -(-len(BIG) // BLOCK)


def test_what_nobody_goes_on_with_is_cleared_away(ledger: Ledger) -> None:
    source, target = memory({"big": BIG, "a": b"1"}), memory({"x": b""})
    stop_half_way(source, target, ledger)
    assert len(staged(target)) == 1
    source.remove("big")
    theirs = temporary("other", "ffffffff")
    target.add_file(theirs, b"of another machine")
    engine = run(engine_for(source, target, ledger))
    assert engine.summary.exit_code == 0
    assert staged(target) == [theirs]
    assert ledger.partials() == []


def test_leftovers_that_the_scan_saw_are_cleared_away_ours_only(ledger: Ledger) -> None:
    source, target = memory({"a": b"1"}), memory({"d/x": b""})
    ours, theirs = temporary("d/gone", ledger.tag), temporary("d/gone", "ffffffff")
    for path in (ours, theirs):
        target.add_file(path, b"left")
    engine = engine_for(source, target, ledger, leftovers=(ours, theirs, "d/x"))
    run(engine)
    assert staged(target) == [theirs]
    assert target.read("d/x") == b""


def test_a_full_target_keeps_nothing_staged(ledger: Ledger) -> None:
    source, target = memory({"big": BIG}), memory({"x": b""})
    engine = engine_for(source, target, ledger)
    target.fault = Cuts(50, error=NoSpace("no space left"))
    run(engine)
    assert outcome_of(ledger, engine, "big").status is Status.FAILED
    assert staged(target) == []
    assert ledger.partials() == []
