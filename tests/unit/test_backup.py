"""What a run replaces, in a trash of its own, and how long it stays there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.runs import engine_for, ledger_in, outcome_of, run, statuses
from tests.unit.planning import T0, S, plan
from tui_sync import names
from tui_sync.connectors.base import Features
from tui_sync.connectors.memory import MemoryConnector
from tui_sync.errors import ConnectionLost, NoSpace, StorageError
from tui_sync.ledger import Ledger
from tui_sync.model import Status, SyncOptions, WriteMode

DAY = 86_400
BACKUP = SyncOptions(backup=True)
LARGE = b"L" * 2_000_000


def places(**features: bool) -> tuple[MemoryConnector, MemoryConnector]:
    source = MemoryConnector({"a": b"new a", "dir/b": b"new b", "large": LARGE, "c": b"c"}, mtime_ns=T0)
    target = MemoryConnector(
        {"a": b"old a", "dir/b": b"old b", "large": b"old large"},
        mtime_ns=T0 - S,
        features=Features(checksums=("sha256",), **features),  # type: ignore[arg-type]
    )
    return source, target


def trashed(target: MemoryConnector) -> dict[str, bytes]:
    """Content by path, whatever the run."""
    return {
        path.split("/", 2)[2]: data
        for path, data in target.tree().items()
        if path.startswith(f"{names.TRASH}/") and data is not None
    }


def users(target: MemoryConnector) -> dict[str, bytes | None]:
    return {path: data for path, data in target.tree().items() if not path.startswith(names.TRASH)}


OLD = {"a": b"old a", "dir/b": b"old b", "large": b"old large"}


@pytest.mark.parametrize("write", WriteMode)
@pytest.mark.parametrize("backs_up", [True, False])
@pytest.mark.parametrize("workers", [1, 4])
def test_what_is_replaced_is_in_the_trash(
    tmp_path: Path, write: WriteMode, backs_up: bool, workers: int
) -> None:
    source, target = places(backs_up=backs_up)
    missing: list[str] = []

    def look(operation: str, path: str) -> None:
        missing.extend(each for each in OLD if each not in target.nodes)

    target.fault = look
    with ledger_in(tmp_path) as ledger:
        options = SyncOptions(backup=True, write=write, workers=workers)
        engine = run(engine_for(source, target, ledger, options=options))
        assert engine.summary.exit_code == 0
        assert engine.summary.trash == f"{names.TRASH}/{ledger.tag}-{engine.run_id}"
    assert trashed(target) == OLD
    assert users(target) == source.tree()
    if backs_up and write is WriteMode.ATOMIC:
        assert missing == [], "a name was missing for a moment"


def test_without_the_option_nothing_is_kept(tmp_path: Path) -> None:
    source, target = places()
    with ledger_in(tmp_path) as ledger:
        assert run(engine_for(source, target, ledger)).summary.trash == ""
    assert trashed(target) == {}


@pytest.mark.parametrize("fails", ["back_up", "make_dir"])
def test_a_file_that_cannot_be_kept_is_not_replaced(tmp_path: Path, fails: str) -> None:
    source, target = places()

    def fault(operation: str, path: str) -> None:
        if operation == fails and (fails == "back_up" or path.startswith(names.TRASH)) and path != "a":
            raise NoSpace("no space left")

    target.fault = fault
    with ledger_in(tmp_path) as ledger:
        engine = run(engine_for(source, target, ledger, options=BACKUP))
        found = statuses(ledger, engine)
        assert "could not be backed up: no space left" in outcome_of(ledger, engine, "dir/b").error
    assert (found["dir/b"], found["large"], found["c"]) == (Status.FAILED, Status.FAILED, Status.DONE)
    assert engine.summary.exit_code == 23
    assert (target.read("dir/b"), target.read("large")) == (OLD["dir/b"], OLD["large"])
    assert not [path for path in target.nodes if names.is_temporary(path, ledger.tag)]


@pytest.mark.parametrize("backs_up", [True, False])
@pytest.mark.parametrize("write", WriteMode)
@pytest.mark.parametrize("operation", ["publish", "upload", "finish"])
def test_a_replacement_that_fails_leaves_the_file_and_no_backup(
    tmp_path: Path, backs_up: bool, write: WriteMode, operation: str
) -> None:
    source, target = places(backs_up=backs_up)

    def fault(called: str, path: str) -> None:
        if called == operation and path in OLD:
            raise StorageError("refused")

    target.fault = fault
    with ledger_in(tmp_path) as ledger:
        options = SyncOptions(backup=True, write=write)
        engine = run(engine_for(source, target, ledger, options=options))
        assert engine.summary.failed == 3
    assert {path: target.read(path) for path in OLD if path in target.nodes} == OLD
    assert trashed(target) == {}


@pytest.mark.parametrize("lost", ["back_up", "rename", "publish"])
@pytest.mark.parametrize("backs_up", [True, False])
@pytest.mark.parametrize("after", [True, False])
def test_a_lost_answer_costs_neither_the_old_nor_the_new(
    tmp_path: Path, lost: str, backs_up: bool, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each operation is carried out and its answer lost, or cut off before, once for every file."""
    source, target = places(backs_up=backs_up)
    seen: set[tuple[str, str]] = set()

    def cut(operation: str, path: str) -> None:
        if operation == lost and (operation, path) not in seen:
            seen.add((operation, path))
            raise ConnectionLost("cut")

    if after:
        _cut_after(monkeypatch, lost, cut)
    else:
        target.fault = cut
    with ledger_in(tmp_path) as ledger:
        engine = run(engine_for(source, target, ledger, options=BACKUP))
        assert engine.summary.exit_code == 0, [one.error for one in ledger.outcomes(engine.run_id)]
    assert users(target) == source.tree()
    assert trashed(target) == OLD


def _cut_after(monkeypatch: pytest.MonkeyPatch, lost: str, cut: Callable[[str, str], None]) -> None:
    from tui_sync.connectors.memory import MemoryUpload, MemoryWriter

    kind = MemoryUpload if lost == "publish" else MemoryWriter
    real = getattr(kind, lost)

    def acted(self: object, *arguments: object, **named: object) -> object:
        result = real(self, *arguments, **named)
        cut(lost, str(arguments[0]) if arguments else str(result))
        return result

    monkeypatch.setattr(kind, lost, acted)


def test_what_drifted_is_neither_replaced_nor_kept(tmp_path: Path) -> None:
    source, target = places()
    with ledger_in(tmp_path) as ledger:
        engine = engine_for(source, target, ledger, options=BACKUP)
        target.add_file("a", b"edited", mtime_ns=T0 + S)
        target.add_file("large", b"edited", mtime_ns=T0 + S)
        found = statuses(ledger, run(engine))
    assert (found["a"], found["large"], found["dir/b"]) == (Status.DRIFTED, Status.DRIFTED, Status.DONE)
    assert trashed(target) == {"dir/b": b"old b"}
    assert target.read("a") == b"edited"


def test_backups_count_in_the_space_that_is_needed() -> None:
    source = MemoryConnector({"a": b"x" * 100}, mtime_ns=T0)
    target = MemoryConnector({"a": b"y" * 400}, mtime_ns=T0 - S)
    assert "free-space" in plan(source, target, BACKUP, free=99).guards()
    assert "free-space" not in plan(source, target, BACKUP, free=100).guards()


class Trashes:
    """A target with folders in its trash, and a run that has nothing to do but that."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.source = MemoryConnector({"same": b"same"}, mtime_ns=T0)
        self.target = MemoryConnector({"same": b"same"}, mtime_ns=T0)

    def put(self, *folders: str) -> None:
        for folder in folders:
            self.target.add_file(f"{names.TRASH}/{folder}/deep/file", b"precious")
            self.target.add_symlink(f"{names.TRASH}/{folder}/link", "/same")

    def run(self, *, keep: int | None = 30 * DAY) -> int:
        options = SyncOptions(trash_keep=keep, delete=SyncOptions().delete)
        return run(engine_for(self.source, self.target, self.ledger, options=options)).summary.exit_code

    @property
    def folders(self) -> set[str]:
        prefix = f"{names.TRASH}/"
        return {path[len(prefix) :].split("/")[0] for path in self.target.nodes if path.startswith(prefix)}


def test_only_our_own_old_folders_go_and_the_newest_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ledger_in(tmp_path) as ledger:
        tag, there = ledger.tag, Trashes(ledger)
        others = {"0badcafe-1", "notes", f"{tag}-x", f"{tag}-2-old", f"{tag}-07", f"{tag}", f"x{tag}-3"}
        ours = {f"{tag}-{number}" for number in (3, 5, 7)} | {f"{tag}-3-undone"}
        there.put(*others, *ours)
        there.target.add_file(f"{names.TRASH}/{tag}-4", b"no folder")
        assert there.run() == 0
        assert there.folders == others | ours | {f"{tag}-4"}, "nobody knew of them: they begin now"
        now = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: now + 29 * DAY * S)
        assert there.run() == 0
        assert ours <= there.folders
        monkeypatch.setattr(time, "time_ns", lambda: now + 31 * DAY * S)
        assert there.run() == 0
        assert there.folders == others | {f"{tag}-7", f"{tag}-4"}
        assert set(ledger.trash_times()) == {7}
        monkeypatch.setattr(time, "time_ns", lambda: now + 10_000 * DAY * S)
        assert there.run() == 0
        assert f"{tag}-7" in there.folders, "a clock that leaps takes the newest from nobody"
        assert users(there.target) == {"same": b"same"}


def test_a_clock_that_goes_back_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ledger_in(tmp_path) as ledger:
        there = Trashes(ledger)
        there.put(f"{ledger.tag}-1", f"{ledger.tag}-2")
        there.run()
        monkeypatch.setattr(time, "time_ns", lambda: T0)
        there.run()
        assert len(there.folders) == 2


def test_it_stays_forever_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ledger_in(tmp_path) as ledger:
        there = Trashes(ledger)
        there.put(f"{ledger.tag}-1", f"{ledger.tag}-2")
        there.run()
        now = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: now + 10_000 * DAY * S)
        there.run(keep=None)
        assert len(there.folders) == 2
        assert SyncOptions().trash_keep is None


@pytest.mark.parametrize("trouble", ["failed", "drifted"])
def test_a_run_that_did_not_go_well_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    with ledger_in(tmp_path) as ledger:
        there = Trashes(ledger)
        there.put(f"{ledger.tag}-1", f"{ledger.tag}-2")
        there.run()
        now = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: now + 365 * DAY * S)
        there.source.add_file("new", b"new")
        engine = engine_for(there.source, there.target, ledger, options=SyncOptions(trash_keep=DAY))
        if trouble == "drifted":
            there.source.add_file("new", b"another")
        else:
            there.source.fault = lambda operation, path: _refuse(operation)
        assert run(engine).summary.exit_code == (24 if trouble == "drifted" else 23)
        assert len(there.folders) == 2
        there.source.fault = None
        assert there.run(keep=DAY) == 0
        assert there.folders == {f"{ledger.tag}-2"}


def _refuse(operation: str) -> None:
    if operation == "open":
        raise StorageError("refused")


def test_a_trash_that_cannot_be_cleared_fails_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ledger_in(tmp_path) as ledger:
        there = Trashes(ledger)
        there.put(f"{ledger.tag}-1", f"{ledger.tag}-2")
        there.run()
        now = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: now + 365 * DAY * S)

        def fault(operation: str, path: str) -> None:
            if operation == "remove_file":
                raise StorageError("refused")

        there.target.fault = fault
        assert there.run() == 0
        there.target.fault = None
        assert there.run() == 0
        assert there.folders == {f"{ledger.tag}-2"}
