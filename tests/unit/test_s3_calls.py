"""Waiting for requests: ended at once by a close, and never for ever."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from tui_sync.connectors.s3.calls import Budget, Calls
from tui_sync.errors import ConnectionLost

WAIT_S = 10.0


def test_results_and_errors_reach_the_one_who_waits() -> None:
    calls = Calls(2)
    assert calls.run(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        calls.run(lambda: 1 // 0)
    assert [future.result(WAIT_S) for future in [calls.start(lambda n=n: n) for n in range(50)]] == [
        *range(50)
    ]
    calls.close()


def test_a_job_may_call_where_every_thread_is_taken() -> None:
    calls = Calls(1)
    assert calls.start(lambda: calls.run(lambda: calls.run(lambda: 7))).result(WAIT_S) == 7
    calls.close()


def test_no_more_threads_than_allowed() -> None:
    calls = Calls(3)
    meeting = threading.Barrier(3)
    seen: set[str] = set()

    def job() -> None:
        seen.add(threading.current_thread().name)
        meeting.wait(WAIT_S)

    for future in [calls.start(job) for _ in range(12)]:
        future.result(WAIT_S)
    assert len(seen) == 3
    calls.close()


def test_close_lets_all_go_who_wait() -> None:
    calls = Calls(1)
    release, begun = threading.Event(), threading.Event()

    def stuck() -> None:
        begun.set()
        release.wait(WAIT_S)

    running, queued = calls.start(stuck), calls.start(lambda: 1)
    assert begun.wait(WAIT_S)
    calls.close()
    for future in (running, queued):
        with pytest.raises(ConnectionLost):
            future.result(0)
    with pytest.raises(ConnectionLost):
        calls.run(lambda: 1)
    release.set()


def test_an_idle_thread_keeps_nothing_alive() -> None:
    calls = Calls(1)

    class Block:
        pass

    def make() -> weakref.ref[Block]:
        block = Block()
        calls.start(lambda: block).result(WAIT_S)
        return weakref.ref(block)

    seen = make()
    calls.run(lambda: None)
    gc.collect()
    assert seen() is None
    calls.close()


def test_a_budget_lets_one_through_whatever_its_size() -> None:
    budget = Budget(10)
    budget.take(100)
    assert not budget.try_take(1)
    budget.give(100)
    assert budget.try_take(10)
    assert not budget.try_take(1)


def test_a_budget_waits_until_there_is_room() -> None:
    budget = Budget(10)
    budget.take(8)
    through = threading.Event()
    thread = threading.Thread(target=lambda: (budget.take(5), through.set()))
    thread.start()
    assert not through.is_set()
    budget.give(8)
    assert through.wait(WAIT_S)
    thread.join()


def test_a_closed_budget_lets_nobody_wait() -> None:
    budget = Budget(10)
    budget.take(8)
    failed = threading.Event()

    def take() -> None:
        with pytest.raises(ConnectionLost):
            budget.take(8)
        failed.set()

    thread = threading.Thread(target=take)
    thread.start()
    budget.close()
    assert failed.wait(WAIT_S)
    thread.join()
