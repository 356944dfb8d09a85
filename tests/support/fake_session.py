"""A session without servers, threads of its own or a clock: it holds what a test puts into it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tui_sync.connectors.base import Endpoint, HostKey, Prompts
from tui_sync.errors import Cancelled, GuardRefused
from tui_sync.ledger.store import Ledger, open_ledger
from tui_sync.model import (
    Action,
    ChangeKind,
    Entry,
    FileProgress,
    Guard,
    Item,
    Kind,
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
from tui_sync.profiles import Profile

NOW_NS = 1_750_000_000_000_000_000
DAY_NS = 86_400_000_000_000


def endpoint(url: str) -> Endpoint:
    return Endpoint(url=url, scheme=url.partition("://")[0], path="/upload", host="127.0.0.1")


def profile(name: str = "photos", **options: object) -> Profile:
    return Profile(
        name,
        None,
        endpoint("sftp://sourceuser@files.example.org:2222/upload"),
        endpoint("sftp://targetuser@backup.example.org/archive/upload"),
        replace(SyncOptions(), **options),  # type: ignore[arg-type]
    )


def file(path: str, size: int, days: float = 3.0, mode: int = 0o644) -> Entry:
    return Entry(path, Kind.FILE, size, NOW_NS - int(days * DAY_NS), mode)


def folder(path: str) -> Entry:
    return Entry(path, Kind.DIRECTORY, 4096, NOW_NS - 5 * DAY_NS, 0o755)


def new(path: str, size: int, days: float = 3.0) -> tuple[Action, ChangeKind, str, Entry, None]:
    return Action.CREATE, ChangeKind.NEW, "only on source", file(path, size, days), None


def changed(path: str, before: int, after: int) -> tuple[Action, ChangeKind, str, Entry, Entry]:
    reason = f"size {before} -> {after} bytes, source is newer by 6 days"
    return Action.UPDATE, ChangeKind.MODIFIED, reason, file(path, after, 2), file(path, before, 8)


def equal(path: str, size: int) -> tuple[Action, ChangeKind, str, Entry, Entry]:
    return Action.SKIP, ChangeKind.EQUAL, "same size and mtime", file(path, size, 30), file(path, size, 30)


def same_folder(path: str) -> tuple[Action, ChangeKind, str, Entry, Entry]:
    return Action.SKIP, ChangeKind.EQUAL, "", folder(path), folder(path)


def new_folder(path: str) -> tuple[Action, ChangeKind, str, Entry, None]:
    return Action.MKDIR, ChangeKind.NEW, "only on source", folder(path), None


def gone(path: str, size: int) -> tuple[Action, ChangeKind, str, None, Entry]:
    return Action.DELETE, ChangeKind.EXTRA, "only on target", None, file(path, size, 90)


def sample_items() -> list[Item]:
    """A small pair with every kind of change and names to be wary of."""
    rows = [
        same_folder("docs"),
        equal("docs/guide.md", 48_213),
        changed("docs/notes.md", 1_204, 2_310),
        same_folder("docs/old"),
        equal("docs/old/2019.md", 8_200),
        equal("docs/old/2020.md", 9_100),
        same_folder("empty"),
        new_folder("media"),
        new_folder("media/2025"),
        new("media/2025/Überblick – façade.jpg", 4_310_221, 1),
        new("media/2025/写真の一覧と長い名前.jpg", 2_755_102, 1),
        new("media/2025/evil\x1b[31m\u202egnp.exe", 512, 0.1),
        new("media/holiday-with-a-really-long-name-that-does-not-fit-anywhere.mp4", 734_003_200, 0.5),
        same_folder("site"),
        (
            Action.SKIP,
            ChangeKind.ERROR,
            "permission denied",
            folder("site/private"),
            folder("site/private"),
        ),
        gone("site/.cache.tmp", 8_193),
        changed("site/foo[/bar].txt", 10, 12),
        (
            Action.UPDATE,
            ChangeKind.TARGET_NEWER,
            "target is newer by 3 h",
            file("site/index.html", 5_120, 1),
            file("site/index.html", 5_180, 0.9),
        ),
        (
            Action.SKIP,
            ChangeKind.EXCLUDED,
            "filtered out",
            file("site/scratch.tmp", 77),
            None,
        ),
        equal("site/style.css", 2_048),
        (
            Action.SKIP,
            ChangeKind.TYPE_CHANGED,
            "file on source, folder on target",
            file("site/upload", 20),
            folder("site/upload"),
        ),
        gone("zz-left-over.iso", 1_073_741_824),
    ]
    return items(rows)


def items(rows: Iterable[tuple[Action, ChangeKind, str, Entry | None, Entry | None]]) -> list[Item]:
    made = []
    for seq, (action, kind, reason, source, target) in enumerate(rows, 1):
        path = (source or target).path  # type: ignore[union-attr]
        made.append(Item(seq, action, path, kind, reason, source, target))
    return sorted(made, key=lambda item: item.path.split("/"))


def totals_of(rows: Sequence[Item]) -> Totals:
    def pick(action: Action) -> list[Item]:
        return [item for item in rows if item.action is action and item.included]

    create, update, delete = pick(Action.CREATE), pick(Action.UPDATE), pick(Action.DELETE)
    return Totals(
        create=len(create),
        update=len(update),
        delete=len(delete),
        mkdir=len(pick(Action.MKDIR)),
        unchanged=sum(item.kind is ChangeKind.EQUAL and item.entry_kind is Kind.FILE for item in rows),
        conflicts=sum(
            item.action is Action.SKIP and item.kind in (ChangeKind.TYPE_CHANGED, ChangeKind.ERROR)
            for item in rows
        ),
        create_bytes=sum(item.bytes for item in create),
        update_bytes=sum(item.bytes for item in update),
        delete_bytes=sum(item.target.size for item in delete if item.target is not None),
    )


@dataclass
class Counters:
    directories: int = 0
    entries: int = 0
    errors: int = 0


@dataclass
class Progress:
    phase: str = "connecting"
    source: Counters = field(default_factory=Counters)
    target: Counters = field(default_factory=Counters)


class FakeEngine:
    """Shows the snapshot it is given; ends when told to."""

    def __init__(self, ledger: Ledger, plan: Plan) -> None:
        self.run_id = ledger.start_run(plan.plan_id)
        self.ledger = ledger
        self.plan = plan
        self.calls: list[str] = []
        self.workers = 8
        self.error: Exception | None = None
        self._ended = threading.Event()
        self._summary: Summary | None = None
        totals = plan.totals
        self.now = Snapshot(
            RunState.RUNNING,
            phase="files",
            files_total=totals.files,
            bytes_total=totals.bytes,
            items_total=totals.work,
            workers=self.workers,
        )

    def start(self) -> None:
        self.calls.append("start")

    def pause(self) -> None:
        self.calls.append("pause")
        self.now = replace(self.now, state=RunState.PAUSED, eta_s=None)

    def resume(self) -> None:
        self.calls.append("resume")
        self.now = replace(self.now, state=RunState.RUNNING)

    def drain(self) -> None:
        self.calls.append("drain")
        self.now = replace(self.now, state=RunState.DRAINING)

    def cancel(self) -> None:
        self.calls.append("cancel")
        if self._summary is None:
            self.finish(status="interrupted", exit_code=130)

    def skip(self, path: str) -> bool:
        self.calls.append(f"skip {path}")
        found = any(file.path == path for file in self.now.active)
        self.now = replace(self.now, active=tuple(file for file in self.now.active if file.path != path))
        return found

    def set_limit(self, *, workers: int | None = None, bandwidth: int | str | None = "keep") -> None:
        if workers is not None:
            self.workers = workers
            self.now = replace(self.now, workers=workers)
        if not isinstance(bandwidth, str):
            self.now = replace(self.now, bandwidth_limit=bandwidth)

    def snapshot(self) -> Snapshot:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        return self._ended.wait(timeout)

    @property
    def summary(self) -> Summary:
        assert self._summary is not None
        return self._summary

    def finish(
        self, *, status: str = "ok", exit_code: int = 0, outcomes: Sequence[Outcome] = (), **counts: object
    ) -> None:
        """End the run with this summary and these outcomes."""
        self.ledger.record(self.run_id, outcomes)
        summary = Summary(status=status, exit_code=exit_code, **counts)  # type: ignore[arg-type]
        self.ledger.finish_run(self.run_id, summary)
        self._summary = summary
        self.now = replace(self.now, state=RunState.FINISHED, active=())
        self._ended.set()


class FakeReader:
    """Knows how much room there is, and nothing else."""

    def free_space(self) -> int:
        return 412_000_000_000


class FakeSession:
    """The API of ``tui_sync.session.Session`` over items given by a test, and a real ledger."""

    def __init__(
        self,
        profile: Profile,
        *,
        prompts: Prompts,
        state_dir: Path | None = None,
        items: Sequence[Item] | None = None,
        guards: Sequence[Guard] = (),
        target_files: int = 0,
    ) -> None:
        self.profile = profile
        self.prompts = prompts
        self.progress = Progress()
        self.ledger = open_ledger(
            profile.pair_id, source=profile.source.url, target=profile.target.url, state_dir=state_dir
        )
        self.items = list(sample_items() if items is None else items)
        self.guards = tuple(guards)
        self.target_files = target_files
        self.early: list[Item] = []
        self.go = threading.Event()
        self.go.set()
        self.error: Exception | None = None
        self.before_scan: Callable[[FakeSession], None] | None = None
        self.engine: FakeEngine | None = None
        self.scans = 0
        self.overridden = False
        self.closed = False
        self.only: Collection[str] | None = None
        self._cancelled = False

    def connect(self) -> None:
        if self.before_scan is not None:
            self.before_scan(self)
        if self.error is not None:
            raise self.error

    def make_plan(
        self,
        *,
        keep_equal: bool = False,
        only: Collection[str] | None = None,
        watch: Callable[[Sequence[Item]], None] | None = None,
    ) -> Plan:
        self.connect()
        if watch is not None:
            watch(self.early)
        assert self.go.wait(30)
        if self._cancelled:
            raise Cancelled("stopped before the end")
        self.scans += 1
        plan_id = self.ledger.new_plan(self.profile.source.url, self.profile.target.url, self.profile.options)
        self.only = only
        kept = [item for item in self.items if keep_equal or item.action is not Action.SKIP]
        kept = [item for item in kept if only is None or item.path in only]
        self.ledger.add_items(plan_id, kept)
        if watch is not None:
            watch([item for item in kept if item not in self.early])
        self.progress.phase = "done"
        totals = replace(totals_of(kept), target_files=self.target_files)
        return self.ledger.finish_plan(plan_id, totals, self.guards)

    def source_reader(self) -> FakeReader:
        return FakeReader()

    target_reader = source_reader

    def start(self, plan: Plan, listener: object = None, *, override_guards: bool = False) -> FakeEngine:
        if plan.refused and not override_guards:
            raise GuardRefused(" ".join(guard.message for guard in plan.refused))
        self.overridden = override_guards
        self.engine = FakeEngine(self.ledger, replace(plan, totals=self.ledger.totals(plan.plan_id)))
        self.engine.start()
        return self.engine

    def cancel(self) -> None:
        self._cancelled = True
        self.go.set()
        if self.engine is not None and not self.engine.wait(0):
            self.engine.cancel()

    def close(self) -> None:
        self.cancel()
        if not self.closed:
            self.closed = True
            self.ledger.close()


class Sessions:
    """A session factory that remembers what it made; ``prepare`` sees each session before it is used."""

    def __init__(self, prepare: Callable[[FakeSession], None] | None = None, **given: object) -> None:
        self.made: list[FakeSession] = []
        self._prepare = prepare
        self._given = given

    def __call__(self, profile: Profile, *, prompts: Prompts, state_dir: Path | None = None) -> FakeSession:
        session = FakeSession(profile, prompts=prompts, state_dir=state_dir, **self._given)  # type: ignore[arg-type]
        if self._prepare is not None:
            self._prepare(session)
        self.made.append(session)
        return session

    @property
    def last(self) -> FakeSession:
        return self.made[-1]


def host_key() -> HostKey:
    return HostKey(
        "[files.example.org]:2222",
        "ssh-ed25519",
        "SHA256:1qxuUhKqJLQ5zE7pVYxqv6XZzKJ0hRwT5Yt3mB2nC8s",
        "[files.example.org]:2222 ssh-ed25519 AAAA",
    )


def busy_snapshot(engine: FakeEngine) -> Snapshot:
    """A run in its middle."""
    total = engine.plan.totals.bytes
    return replace(
        engine.now,
        state=RunState.RUNNING,
        phase="files",
        files_done=3,
        items_done=5,
        bytes_done=total * 62 // 100,
        created=2,
        updated=1,
        directories=2,
        failed=1,
        elapsed_s=14.2,
        speed=84_200_000.0,
        eta_s=8.4,
        active=(
            FileProgress(
                "media/holiday-with-a-really-long-name-that-does-not-fit-anywhere.mp4",
                734_003_200,
                401_000_000,
                "copy",
                61_300_000.0,
            ),
            FileProgress("media/2025/写真の一覧と長い名前.jpg", 2_755_102, 2_755_102, "verify", 0.0),
            FileProgress("media/2025/evil\x1b[31m\u202egnp.exe", 512, 128, "copy", 22_900_000.0),
        ),
        errors=failures(engine.plan, engine.ledger)[:1],
    )


def failures(plan: Plan, ledger: Ledger) -> tuple[Outcome, ...]:
    """Two items of the sample that did not go through."""
    broken = ledger.item(plan.plan_id, "site/foo[/bar].txt")
    moved = ledger.item(plan.plan_id, "docs/notes.md")
    assert broken is not None
    assert moved is not None
    return (
        Outcome(moved, Status.DRIFTED, error="the source was changed after the plan was made"),
        Outcome(
            broken,
            Status.FAILED,
            error="permission denied on the target",
            attempts=3,
            error_kind="permission-denied",
        ),
    )


def finished_items(ledger: Ledger, plan_id: int, actions: Collection[Action]) -> Iterator[Outcome]:
    for item in ledger.items(plan_id, actions=actions, included=True):
        yield Outcome(item, Status.DONE, bytes=item.bytes, verified=Verify.SIZE)
