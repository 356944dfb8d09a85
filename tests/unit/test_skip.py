"""Giving up one file in flight: the others go on, and its target stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs import engine_for, ledger_in, outcome_of, run, statuses
from tui_sync.connectors.base import Features
from tui_sync.connectors.memory import MemoryConnector
from tui_sync.ledger import Ledger
from tui_sync.model import Status

LARGE = b"x" * 600_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with ledger_in(tmp_path) as opened:
        yield opened


def memory(tree: dict[str, bytes | None]) -> MemoryConnector:
    return MemoryConnector(tree, mtime_ns=1_000_000_000, features=Features())


def test_a_skipped_file_is_left_as_it_was_and_the_others_arrive(ledger: Ledger) -> None:
    source = memory({"d": None, "d/a": LARGE, "d/b": LARGE + b"b"})
    target = memory({"d": None, "d/a": b"old", "d/gone": b"gone"})
    engine = engine_for(source, target, ledger, mirror=True)
    answers: list[bool] = []

    def fault(operation: str, path: str) -> None:
        if operation == "read" and path == "d/a" and not answers:
            answers.append(engine.skip("d/a"))
            answers.append(engine.skip("d/a"))

    source.fault = fault
    run(engine)
    assert answers == [True, False]
    assert target.tree()["d/a"] == b"old"
    assert target.tree()["d/b"] == LARGE + b"b"
    assert statuses(ledger, engine) == {
        "d/a": Status.CANCELLED,
        "d/b": Status.DONE,
        "d/gone": Status.HELD,
    }
    assert "skipped by you" in outcome_of(ledger, engine, "d/a").error
    assert (engine.summary.status, engine.summary.exit_code, engine.summary.skipped) == ("partial", 23, 2)
    now = engine.snapshot()
    assert now.bytes_done == now.bytes_total
    assert (now.items_done, now.items_total) == (3, 3)
    assert now.skipped == 2


def test_a_skipped_file_is_copied_by_the_next_run(ledger: Ledger) -> None:
    source, target = memory({"a": LARGE}), memory({})
    first = engine_for(source, target, ledger)
    source.fault = lambda operation, path: first.skip(path) if operation == "read" else None  # type: ignore[assignment, return-value]
    run(first)
    assert "a" not in target.tree()
    source.fault = None
    assert run(engine_for(source, target, ledger)).summary.status == "ok"
    assert target.tree()["a"] == LARGE


def test_only_a_file_in_flight_can_be_skipped(ledger: Ledger) -> None:
    source, target = memory({"a": LARGE}), memory({})
    engine = engine_for(source, target, ledger)
    assert not engine.skip("a")
    run(engine)
    assert not engine.skip("a")
    assert engine.summary.status == "ok"


def test_a_run_of_nothing_but_deletes_counts_its_items(ledger: Ledger) -> None:
    source, target = memory({}), memory({"a": b"1", "b": b"2"})
    engine = engine_for(source, target, ledger, mirror=True)
    assert engine.snapshot().items_total == 2
    run(engine)
    assert engine.snapshot().items_done == 2
