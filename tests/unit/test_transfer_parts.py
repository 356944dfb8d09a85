"""The engine's parts on their own: gate, throttle, retry, transforms, crew, verification levels, receipt."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Features
from tui_sync.errors import (
    Cancelled,
    ConnectError,
    ConnectionLost,
    LoginRefused,
    PermissionDenied,
    UnknownHostKey,
    UsageError,
)
from tui_sync.model import (
    Action,
    ChangeKind,
    DeleteLimit,
    Entry,
    Item,
    Kind,
    Outcome,
    Plan,
    RunState,
    Status,
    SyncOptions,
    Totals,
    Verify,
)
from tui_sync.transfer import verify
from tui_sync.transfer.crew import Crew
from tui_sync.transfer.gate import Gate
from tui_sync.transfer.progress import Progress
from tui_sync.transfer.receipt import Receipt
from tui_sync.transfer.retry import Retry
from tui_sync.transfer.throttle import Throttle
from tui_sync.transfer.transform import transform


def make_item(path: str, action: Action = Action.CREATE, size: int = 10, seq: int = 1) -> Item:
    entry = Entry(path, Kind.DIRECTORY if action is Action.MKDIR else Kind.FILE, size, 1, 0o644)
    if action is Action.DELETE:
        return Item(seq, action, path, ChangeKind.EXTRA, target=entry)
    return Item(seq, action, path, ChangeKind.NEW, source=entry)


def make_plan(totals: Totals) -> Plan:
    return Plan(1, 0, "file:///a", "file:///b", SyncOptions(max_delete=DeleteLimit()), totals)


class FakeClock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
        self.now = 100.0
        monkeypatch.setattr(f"{module}.time.monotonic", lambda: self.now)


class CountingToken(CancelToken):
    """Sleeping moves the clock instead."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.slept = 0.0

    def wait(self, seconds: float) -> None:
        self.check()
        self.clock.now += seconds
        self.slept += seconds


def test_gate_blocks_while_shut_and_lets_a_cancel_through() -> None:
    gate, token = Gate(), CancelToken()
    gate.pause()
    passed: list[str] = []

    def work() -> None:
        try:
            gate.wait(token)
            passed.append("through")
        except Cancelled:
            passed.append("cancelled")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(0.15)
    assert thread.is_alive()
    token.cancel()
    thread.join(5)
    assert passed == ["cancelled"]
    gate.resume()
    gate.wait(CancelToken())


@given(
    rate=st.integers(1_000, 10_000_000), blocks=st.lists(st.integers(1, 261_120), min_size=20, max_size=60)
)
def test_throttle_keeps_to_its_rate(rate: int, blocks: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        clock = FakeClock(patch, "tui_sync.transfer.throttle")
        token = CountingToken(clock)
        throttle = Throttle(rate)
        for block in blocks:
            throttle.take(block, token)
        # The last block may pass on credit, and a tenth of a second's worth may pass at once.
        fair = (sum(blocks) - blocks[-1]) / rate
        assert token.slept >= fair - 0.11
        assert token.slept <= fair + 0.11


def test_throttle_without_a_rate_never_waits_and_takes_a_new_rate_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock(monkeypatch, "tui_sync.transfer.throttle")
    token = CountingToken(clock)
    throttle = Throttle(None)
    throttle.take(10**12, token)
    assert token.slept == 0
    throttle.set_rate(100)
    throttle.take(50, token)
    throttle.take(1, token)
    assert token.slept == pytest.approx(0.5, abs=0.01)
    throttle.set_rate(None)
    throttle.take(10**12, token)
    assert token.slept == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ConnectionLost("x"), True),
        (ConnectError("x"), True),
        (LoginRefused("x"), False),
        (UnknownHostKey("x", host="h", key_type="t", fingerprint="f"), False),
        (PermissionDenied("x"), False),
    ],
)
def test_only_passing_troubles_are_tried_again(error: Exception, again: bool) -> None:
    retry = Retry(attempts=3, first_pause_s=0, longest_pause_s=0)
    assert retry.again(error, 1, CancelToken()) is again  # type: ignore[arg-type]


def test_retries_end_and_pauses_grow_and_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(monkeypatch, "tui_sync.transfer.throttle")
    token = CountingToken(clock)
    retry = Retry(attempts=4, first_pause_s=1, longest_pause_s=3)
    slept = []
    attempt = 1
    while retry.again(ConnectionLost("x"), attempt, token):
        slept.append(token.slept - sum(slept))
        attempt += 1
    assert attempt == 4
    assert 0.5 <= slept[0] <= 1
    assert all(1.5 <= pause <= 3 for pause in slept[1:])
    token.cancel()
    with pytest.raises(Cancelled):
        retry.again(ConnectionLost("x"), 1, token)


@given(blocks=st.lists(st.binary(max_size=300)))
def test_gzip_is_deterministic_and_readable_by_others(blocks: list[bytes]) -> None:
    one = b"".join(bytes(block) for block in transform("gzip").blocks(iter(blocks)))
    whole = b"".join(bytes(block) for block in transform("gzip").blocks(iter([b"".join(blocks)])))
    assert gzip.decompress(one) == b"".join(blocks) == gzip.decompress(whole)
    again = b"".join(bytes(block) for block in transform("gzip").blocks(iter(blocks)))
    assert again == one
    assert transform("gzip").target_name("a.csv") == "a.csv.gz"


def test_the_default_transform_hands_on_the_very_blocks() -> None:
    blocks = [b"a", b"b"]
    identity = transform("none")
    assert identity.identity
    assert [*identity.blocks(iter(blocks))] == blocks
    assert identity.target_name("x") == "x"
    with pytest.raises(UsageError, match="gzip"):
        transform("rot13")


def test_crew_runs_everything_once_within_its_limit() -> None:
    items = [make_item(f"f{n}", seq=n) for n in range(300)]
    lock = threading.Lock()
    seen: list[int] = []
    busy = most = 0

    def act(item: Item) -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        with lock:
            seen.append(item.seq)
            busy -= 1

    Crew(4).run(iter(items), act, lambda: False)
    assert sorted(seen) == list(range(300))
    assert most <= 4


def test_crew_stops_when_told_and_hands_on_the_error_of_its_items() -> None:
    done: list[int] = []
    Crew(1).run(iter([make_item("a"), make_item("b")]), lambda item: done.append(1), lambda: len(done) >= 1)
    assert done == [1]

    def broken() -> Iterator[Item]:
        yield make_item("a")
        raise ConnectionLost("the ledger is gone")

    with pytest.raises(ConnectionLost, match="ledger"):
        Crew(3).run(broken(), lambda item: None, lambda: False)


def test_crew_grows_while_it_works() -> None:
    crew = Crew(1)
    both = threading.Barrier(2, timeout=10)

    def act(item: Item) -> None:
        crew.set_limit(2)
        both.wait()

    crew.run(iter([make_item("a"), make_item("b")]), act, lambda: False)
    assert crew.limit == 2


def test_verification_levels_are_never_weaker_than_asked() -> None:
    plain, hashing = Features(), Features(checksums=("sha256",))
    assert verify.level(Verify.AUTO, plain) is Verify.SIZE
    assert verify.level(Verify.AUTO, hashing) is Verify.CHECKSUM
    assert verify.level(Verify.CHECKSUM, plain) is Verify.READBACK
    assert verify.level(Verify.READBACK, hashing) is Verify.READBACK


def test_receipt_names_the_weakest_level_and_the_exit_code() -> None:
    receipt = Receipt(Verify.READBACK)
    plan = make_plan(Totals(create=3, unchanged=7))
    assert receipt.summary(plan, elapsed_s=1, stopped=False, fatal=None).verified is Verify.READBACK
    receipt.add(Outcome(make_item("a"), Status.DONE, bytes=10, verified=Verify.READBACK))
    receipt.add(Outcome(make_item("b"), Status.DONE, bytes=10, verified=Verify.SIZE))
    summary = receipt.summary(plan, elapsed_s=1, stopped=False, fatal=None)
    assert (summary.created, summary.bytes, summary.unchanged, summary.verified) == (2, 20, 7, Verify.SIZE)
    assert receipt.summary(plan, elapsed_s=1, stopped=True, fatal=None).exit_code == 130
    receipt.add(Outcome(make_item("d/c"), Status.DRIFTED, error="changed"))
    assert receipt.summary(plan, elapsed_s=1, stopped=True, fatal=None).exit_code == 24
    receipt.add(Outcome(make_item("d/e"), Status.FAILED, error="no"))
    failed = receipt.summary(plan, elapsed_s=1, stopped=False, fatal=None)
    assert (failed.status, failed.exit_code, failed.failed, failed.skipped) == ("partial", 23, 1, 1)
    fatal = receipt.summary(plan, elapsed_s=1, stopped=True, fatal=ConnectError("x"))
    assert (fatal.status, fatal.exit_code) == ("error", 7)


def test_receipt_knows_where_deletes_would_be_dangerous() -> None:
    receipt = Receipt(Verify.SIZE)
    receipt.add(Outcome(make_item("a/b/file"), Status.FAILED, error="no"))
    assert receipt.uncopied == "a/b/file"
    receipt.add(Outcome(make_item("n", Action.MKDIR), Status.FAILED, error="no"))
    assert receipt.missing_folder("n/x/y") == "n"
    assert receipt.missing_folder("m/x") is None


def test_conflicts_of_the_plan_end_in_23() -> None:
    plan = make_plan(Totals(conflicts=1))
    assert Receipt(Verify.SIZE).summary(plan, elapsed_s=0, stopped=False, fatal=None).exit_code == 23


def test_progress_counts_bytes_in_flight_and_goes_back_after_a_failed_attempt() -> None:
    progress = Progress(Totals(create=2, create_bytes=20))
    slot = progress.begin(make_item("a"))
    slot.done = 6

    def now() -> tuple[int, int]:
        snapshot = progress.snapshot(RunState.RUNNING, workers=1, bandwidth_limit=None)
        return snapshot.bytes_done, snapshot.files_done

    assert now() == (6, 0)
    slot.restart()
    assert now() == (0, 0)
    progress.end(slot, Outcome(make_item("a"), Status.FAILED, error="no"))
    assert now() == (10, 1)
    snapshot = progress.snapshot(RunState.RUNNING, workers=1, bandwidth_limit=5)
    assert (snapshot.failed, snapshot.active, len(snapshot.errors)) == (1, (), 1)
    assert (snapshot.bytes_total, snapshot.files_total, snapshot.bandwidth_limit) == (20, 2, 5)
