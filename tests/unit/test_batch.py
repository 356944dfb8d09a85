"""Batch mode against a session of our own making: what it writes, how it ends, how it stops."""

from __future__ import annotations

import base64
import io
import json
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

import tui_sync.batch.run as run_module
from tui_sync.batch import BatchOptions, run_batch
from tui_sync.batch.display import Live, Plain, display, snapshot_text
from tui_sync.batch.output import JsonOutput, TextOutput, totals_text
from tui_sync.batch.prompts import RefusingPrompts
from tui_sync.connectors.base import Endpoint
from tui_sync.errors import Cancelled, LedgerError, LoginRefused, NotFound, PairLocked, TuiSyncError
from tui_sync.export import lossless
from tui_sync.logins import Logins
from tui_sync.model import (
    Action,
    ChangeKind,
    Entry,
    FileProgress,
    Guard,
    Item,
    Kind,
    Mode,
    Outcome,
    Plan,
    RunState,
    Snapshot,
    Status,
    Summary,
    SyncOptions,
    Totals,
    Verify,
)

SUMMARY_KEYS = [
    *("event", "status", "exit_code", "created", "updated", "deleted", "unchanged", "skipped", "failed"),
    *("bytes", "elapsed_s", "verified"),
]


def item(seq: int, path: str, action: Action, kind: ChangeKind, reason: str = "", **more: Any) -> Item:
    entry = Entry(path, more.pop("entry_kind", Kind.FILE), size=10, mtime_ns=1)
    source = None if action is Action.DELETE or kind is ChangeKind.EXTRA else entry
    return Item(seq, action, path, kind, reason, source=source, target=None if source else entry, **more)


ITEMS = [
    item(1, "sub", Action.MKDIR, ChangeKind.NEW, "only on source", entry_kind=Kind.DIRECTORY),
    item(2, "sub/new\n[b]\x1b.txt", Action.CREATE, ChangeKind.NEW, "only on source"),
    item(3, "changed\u202e.txt", Action.UPDATE, ChangeKind.MODIFIED, "size 8 -> 10 bytes"),
    item(4, "bytes \udcff", Action.CREATE, ChangeKind.NEW),
    item(5, "gone", Action.DELETE, ChangeKind.EXTRA),
    item(6, "kept", Action.SKIP, ChangeKind.EXTRA),
    item(7, "broken", Action.SKIP, ChangeKind.ERROR, "folder was not listed in full"),
]
TOTALS = Totals(
    create=2, update=1, delete=1, mkdir=1, unchanged=4, conflicts=1, create_bytes=20, update_bytes=10
)


class FakeEngine:
    """Ends its items one per ``wait``; ``drain`` lets the next be the last, ``cancel`` ends at once."""

    def __init__(self, listener: Any, outcomes: Sequence[Outcome], summary: Summary) -> None:
        self.calls: list[str] = []
        self.error: TuiSyncError | None = None
        self.before_wait: Callable[[int], None] = lambda _number: None
        self._listener = listener
        self._left = list(outcomes)
        self._waits = 0
        self.summary = summary

    def wait(self, timeout: float | None = None) -> bool:
        self._waits += 1
        self.before_wait(self._waits)
        if self._left and "cancel" not in self.calls:
            self._listener.ended(self._left.pop(0))
        if "drain" in self.calls:
            self._left.clear()
        return not self._left or "cancel" in self.calls

    def drain(self) -> None:
        self.calls.append("drain")

    def cancel(self) -> None:
        self.calls.append("cancel")

    def snapshot(self) -> Snapshot:
        return Snapshot(state=RunState.RUNNING, files_total=3, files_done=1, bytes_total=30, bytes_done=10)


class FakeSession:
    """``make_plan`` returns ``the_plan`` or raises ``error``; ``block`` makes it wait for ``cancel``."""

    totals = TOTALS
    guards: tuple[Guard, ...] = ()
    error: TuiSyncError | None = None
    start_error: TuiSyncError | None = None
    items: ClassVar[list[Item]] = ITEMS
    outcomes: tuple[Outcome, ...] = ()
    summary = Summary(created=2, updated=1, deleted=1, unchanged=4, bytes=30, verified=Verify.SIZE)
    block = False
    prepare: Callable[[FakeEngine], None] = staticmethod(lambda _engine: None)

    def __init__(self, profile: Any, *, prompts: Any, state_dir: Path | None, logins: Any) -> None:
        self.profile, self.prompts = profile, prompts
        counters = SimpleNamespace(entries=12, directories=1, errors=0)
        self.progress = SimpleNamespace(phase="scanning", source=counters, target=counters)
        self.ledger = SimpleNamespace(items=self._items)
        self.cancelled = threading.Event()
        self.closed = False
        self.engine: FakeEngine | None = None
        type(self).made.append(self)

    made: ClassVar[list[FakeSession]] = []

    def _items(self, _plan: int, *, actions: Collection[Action] | None = None) -> Iterator[Item]:
        return iter([one for one in self.items if actions is None or one.action in actions])

    def requests(self) -> dict[str, int]:
        return {}

    def make_plan(self) -> Plan:
        if self.block:
            if not self.cancelled.wait(20):
                raise AssertionError("nobody cancelled")
            raise Cancelled("stopped before the end")
        if self.error is not None:
            raise self.error
        return Plan(1, 0, "sftp://a/", "sftp://b/", SyncOptions(mode=Mode.MIRROR), self.totals, self.guards)

    def start(self, plan: Plan, listener: Any) -> FakeEngine:
        assert not plan.refused
        if self.start_error is not None:
            raise self.start_error
        self.engine = FakeEngine(listener, self.outcomes, self.summary)
        type(self).prepare(self.engine)
        return self.engine

    def cancel(self) -> None:
        self.cancelled.set()

    def close(self) -> None:
        self.closed = True


PROFILE = SimpleNamespace(
    source=Endpoint("sftp://a/", "sftp", "/", "a"), target=Endpoint("sftp://b/", "sftp", "/", "b")
)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., type[FakeSession]]:
    """Puts a FakeSession with the attributes given into batch mode's hands."""

    def put(**attributes: Any) -> type[FakeSession]:
        made = type("Fake", (FakeSession,), {**attributes, "made": []})
        monkeypatch.setattr(run_module, "Session", made)
        monkeypatch.setattr(Logins, "begin", lambda self: None)
        return made

    return put


def batch(**options: Any) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = run_batch(PROFILE, BatchOptions(stdout=out, stderr=err, **options))  # type: ignore[arg-type]
    return code, out.getvalue(), err.getvalue()


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


OUTCOMES = [
    Outcome(ITEMS[0], Status.DONE),
    Outcome(ITEMS[1], Status.DONE, bytes=10, verified=Verify.SIZE),
    Outcome(ITEMS[2], Status.FAILED, error="permission denied"),
    Outcome(ITEMS[4], Status.DRIFTED, error="changed since the plan"),
]


def test_a_dry_run_prints_every_item_and_starts_nothing(fake: Any) -> None:
    made = fake(prepare=staticmethod(lambda _engine: pytest.fail("started")))
    code, out, _ = batch(dry_run=True)
    assert code == 0
    assert out.splitlines() == [
        "+ sub/\tonly on source",
        "+ sub/new\\n[b]\\x1b.txt\tonly on source",
        "M changed\\u202e.txt\tsize 8 -> 10 bytes",
        "+ bytes \\xff",
        "- gone",
        ". kept",
        "! broken\tfolder was not listed in full",
        "plan: 2 to create (20 Bytes), 1 to update (10 Bytes), 1 to delete (0 Bytes), 1 folder to make, "
        "1 conflict, 4 unchanged; nothing was written",
    ]
    assert made.made[0].closed


def test_requests_to_s3_are_told_the_most_frequent_first() -> None:
    told: list[str] = []
    summary = Summary(requests={"ListObjectsV2": 2, "PutObject": 1_000})
    plan = Plan(1, 0, "s3://a/", "/b", SyncOptions(), Totals(), ())
    TextOutput(told.append).summary(summary, plan, dry_run=False)
    assert told[0].endswith("; 1,002 requests to S3: PutObject 1,000, ListObjectsV2 2\n")
    JsonOutput(told.append).summary(summary, plan, dry_run=False)
    assert json.loads(told[1])["requests"] == summary.requests


def test_a_run_prints_items_as_they_end_and_the_summary_last(fake: Any) -> None:
    summary = Summary(
        "partial", 23, created=1, failed=1, skipped=1, conflicts=1, bytes=10, verified=Verify.SIZE
    )
    made = fake(outcomes=OUTCOMES, summary=summary)
    code, out, err = batch()
    assert code == 23
    lines = out.splitlines()
    assert lines[:-1] == [
        "! broken\tfolder was not listed in full",
        "+ sub/\tonly on source",
        "+ sub/new\\n[b]\\x1b.txt\tonly on source",
        "! changed\\u202e.txt\tfailed: permission denied",
        "! gone\tdrifted: changed since the plan",
    ]
    assert lines[-1].startswith("partial: 1 created, 0 updated")
    assert "plan: 2 to create" in err
    assert "1 failed" in err
    assert made.made[0].closed


def test_quiet_leaves_problems_and_the_summary(fake: Any) -> None:
    fake(outcomes=OUTCOMES, summary=Summary("partial", 23, failed=1))
    _, out, err = batch(quiet=True)
    assert [line[:1] for line in out.splitlines()[:-1]] == ["!", "!", "!"]
    assert "plan:" not in err


def test_json_is_plan_items_progress_and_summary_with_the_documented_keys(fake: Any) -> None:
    fake(outcomes=OUTCOMES)
    code, out, _ = batch(as_json=True)
    found = records(out)
    assert code == 0
    assert found[0]["event"] == "plan"
    assert found[0]["mode"] == "mirror"
    assert {record["event"] for record in found} == {"plan", "item", "progress", "summary"}
    items = {record["path"]: record for record in found if record["event"] == "item"}
    assert items["sub/new\n[b]\x1b.txt"]["status"] == "done"
    assert items["changed\u202e.txt"]["error"] == "permission denied"
    assert items["broken"]["status"] == "conflict"
    assert list(found[-1])[: len(SUMMARY_KEYS)] == SUMMARY_KEYS
    assert found[-1]["verified"] == "size"
    assert out.isascii()
    assert "\x1b" not in out


def test_json_of_a_dry_run_says_what_would_be(fake: Any) -> None:
    fake()
    code, out, _ = batch(as_json=True, dry_run=True)
    found = records(out)
    assert code == 0
    status = {record["path"]: record["status"] for record in found if record["event"] == "item"}
    assert status["gone"] == "planned"
    assert status["kept"] == "skipped"
    assert found[-1]["event"] == "summary"
    assert found[-1]["created"] == 0
    assert found[-1]["dry_run"] is True


def test_a_name_that_is_not_utf_8_comes_with_its_bytes() -> None:
    assert lossless("caf\u00e9\n") == {"path": "caf\u00e9\n"}
    found = lossless("d/bytes \udcff")
    assert found["path"] == "d/bytes \\xff"
    assert base64.b64decode(found["path_b64"]) == b"d/bytes \xff"


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_refused_plan_ends_in_25_with_the_guards_words(fake: Any, as_json: bool, dry_run: bool) -> None:
    guards = (
        Guard("max-delete", "9 of 10 files would be deleted."),
        Guard("note", "A note.", blocking=False),
    )
    fake(guards=guards, prepare=staticmethod(lambda _engine: pytest.fail("started")))
    code, out, err = batch(as_json=as_json, dry_run=dry_run)
    assert code == 25
    assert "9 of 10 files would be deleted." in err
    assert "note: A note." in err
    if as_json:
        found = records(out)
        assert [record["message"] for record in found if record["event"] == "error"] == [guards[0].message]
        assert (found[-1]["event"], found[-1]["status"], found[-1]["exit_code"]) == ("summary", "refused", 25)
        assert found[-1]["created"] == 0


def test_an_error_before_the_plan_is_raised_and_leaves_no_summary(fake: Any) -> None:
    made = fake(error=NotFound("the source folder does not exist"))
    out = io.StringIO()
    with pytest.raises(NotFound):
        run_batch(PROFILE, BatchOptions(as_json=True, stdout=out, stderr=io.StringIO()))  # type: ignore[arg-type]
    assert out.getvalue() == ""
    assert made.made[0].closed


def test_an_error_after_the_plan_still_ends_in_a_summary(fake: Any) -> None:
    fake(start_error=PairLocked("another run of this pair is under way"))
    code, out, err = batch(as_json=True)
    found = records(out)
    assert code == 1
    assert found[-2] == {"event": "error", "message": "another run of this pair is under way"}
    assert (found[-1]["status"], found[-1]["exit_code"]) == ("error", 1)
    assert "another run of this pair" in err


def test_what_ended_the_run_early_is_told(fake: Any) -> None:
    def broken(engine: FakeEngine) -> None:
        engine.error = LedgerError("no space left for the ledger")

    fake(prepare=staticmethod(broken), summary=Summary("error", 1))
    code, out, err = batch(as_json=True)
    assert code == 1
    assert {"event": "error", "message": "no space left for the ledger"} in records(out)
    assert "no space left for the ledger" in err


def raising(*numbers: int, kind: signal.Signals = signal.SIGINT) -> Callable[[FakeEngine], None]:
    """Prepares an engine so that the process gets a signal at those waits."""

    def prepare(engine: FakeEngine) -> None:
        engine.before_wait = lambda number: signal.raise_signal(kind) if number in numbers else None

    return prepare


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_drains(fake: Any, kind: signal.Signals) -> None:
    made = fake(
        outcomes=OUTCOMES, prepare=staticmethod(raising(1, kind=kind)), summary=Summary("interrupted", 130)
    )
    before = signal.getsignal(kind)
    code, _, err = batch()
    assert code == 130
    assert made.made[0].engine.calls == ["drain"]
    assert "once more stops at once" in err
    assert signal.getsignal(kind) == before


def test_under_nohup_a_terminal_may_go(fake: Any) -> None:
    fake(outcomes=OUTCOMES, prepare=staticmethod(raising(1, kind=signal.SIGHUP)))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert batch()[0] == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_second_signal_cancels(fake: Any) -> None:
    slow = [Outcome(ITEMS[0], Status.DONE)] * 5

    def prepare(engine: FakeEngine) -> None:
        raising(1, 2)(engine)
        engine.drain = lambda: engine.calls.append("drained slowly")  # type: ignore[method-assign]

    made = fake(outcomes=slow, prepare=staticmethod(prepare), summary=Summary("interrupted", 130))
    code, _, _ = batch()
    assert code == 130
    assert made.made[0].engine.calls == ["drained slowly", "cancel"]


def test_a_signal_while_planning_cancels_the_session(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fake(block=True)
    told = Plain.planning

    def planning(self: Plain, progress: Any) -> None:
        told(self, progress)
        if not made.made[0].cancelled.is_set():
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Plain, "planning", planning)
    with pytest.raises(Cancelled):
        batch()
    assert made.made[0].cancelled.is_set()
    assert made.made[0].closed


class ClosedPipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_run_whose_output_nobody_reads_is_cancelled(fake: Any) -> None:
    made = fake(outcomes=OUTCOMES, items=[])
    with pytest.raises(BrokenPipeError):
        run_batch(PROFILE, BatchOptions(stdout=ClosedPipe(), stderr=io.StringIO()))  # type: ignore[arg-type]
    assert made.made[0].engine.calls == ["cancel"]
    assert made.made[0].closed


def test_nothing_to_do_is_said_so() -> None:
    assert totals_text(Totals(unchanged=1200)) == "nothing to do, 1,200 unchanged"


def test_a_secret_is_refused_with_the_key_to_set() -> None:
    prompts = RefusingPrompts()
    with pytest.raises(LoginRefused, match='password = "env:NAME"') as refused:
        prompts.secret("me@host", "Password: ")
    assert refused.value.exit_code == 7
    with pytest.raises(LoginRefused, match="set passphrase in the profile"):
        prompts.secret("me@host", "Passphrase for key id_ed25519")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_display_fits_the_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    assert isinstance(display(io.StringIO(), io.StringIO(), as_json=False, quiet=False), Plain)
    assert isinstance(display(Terminal(), Terminal(), as_json=True, quiet=False), Plain)
    assert isinstance(display(Terminal(), io.StringIO(), as_json=False, quiet=True), Plain)
    live = display(Terminal(), io.StringIO(), as_json=True, quiet=False)
    live.close()
    assert isinstance(live, Live)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(display(Terminal(), io.StringIO(), as_json=False, quiet=False), Plain)


def test_the_live_display_shows_bars_and_no_name_does_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    screen = Terminal()
    live = Live(screen, screen)
    active = (FileProgress("a[/b] :smile:\x1b[31m.txt", 100, 50, speed=10.0),)
    snapshot = Snapshot(
        RunState.RUNNING, files_total=2, bytes_total=200, bytes_done=50, active=active, eta_s=5
    )
    live.running(snapshot)
    live._progress.refresh()
    live.write("+ [bold]x[/]\ty\n")
    live.running(Snapshot(RunState.FINISHED, files_total=2, files_done=2, bytes_total=200, bytes_done=200))
    live.close()
    shown = screen.getvalue()
    assert "a[/b] :smile:\\x1b[31m.txt" in shown
    assert "\x1b[31m.txt" not in shown
    assert "+ [bold]x[/]" in shown
    assert "50%" in shown


def test_a_snapshot_in_one_line() -> None:
    snapshot = Snapshot(
        RunState.DRAINING, files_total=3, files_done=1, bytes_total=2048, bytes_done=1024, speed=512, eta_s=2
    )
    expected = "1 of 3 files, 1.0 kB of 2.0 kB, 512 Bytes/s, 2 seconds left, finishing what is in flight"
    assert snapshot_text(snapshot) == expected


def test_outputs_take_an_item_of_the_root() -> None:
    lines: list[str] = []
    root = item(0, "", Action.MKDIR, ChangeKind.NEW, "only on source", entry_kind=Kind.DIRECTORY)
    TextOutput(lines.append).planned(root)
    JsonOutput(lines.append).planned(root)
    assert lines[0] == "+ ./\tonly on source\n"
    assert json.loads(lines[1])["path"] == ""
