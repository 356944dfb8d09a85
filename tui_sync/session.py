"""The façade: connect, scan, plan, run. All that a face needs, and nothing that knows a face."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from tui_sync.cancel import CancelToken
from tui_sync.connectors import following
from tui_sync.connectors.apart import check_apart
from tui_sync.connectors.base import Connector, Endpoint, Features, Prompts, Reader
from tui_sync.connectors.counted import CountsRequests
from tui_sync.connectors.digest import digest
from tui_sync.connectors.following import FollowingConnector, FollowingReader
from tui_sync.errors import GuardRefused, NotFound, TuiSyncError
from tui_sync.ledger import open_ledger
from tui_sync.ledger.exchange import export_plan, import_plan
from tui_sync.logins import Logins
from tui_sync.model import (
    Action,
    CompareBy,
    Entry,
    Guard,
    Item,
    Kind,
    Plan,
    Status,
    Symlinks,
    SyncOptions,
    WriteMode,
)
from tui_sync.names import ancestors, is_temporary, printable
from tui_sync.planning import plan as planner
from tui_sync.planning.compare import Links, compare
from tui_sync.planning.filters import Filters
from tui_sync.planning.folding import folds_names
from tui_sync.planning.scan import ScanCounters, scan
from tui_sync.planning.scanned import Scanned
from tui_sync.profiles import Profile
from tui_sync.transfer.engine import Engine
from tui_sync.transfer.part import Part
from tui_sync.transfer.recorder import Listener
from tui_sync.transfer.retry import Retry
from tui_sync.transfer.steady import SteadyReader
from tui_sync.transfer.transform import transform

_BATCH = 1000
_SHOWN_AFTER_S = 0.3
_LOGIN_ATTEMPTS = 3


class PlanProgress:
    """Polled by faces while a plan is made. ``phase``: ``connecting``, ``scanning``, then ``done``."""

    def __init__(self) -> None:
        self.phase = "connecting"
        self.source = ScanCounters()
        self.target = ScanCounters()


class Session:
    """One pair, from connecting to running. A face drives it from one thread; ``cancel`` comes from any.

    ``logins`` of the same profile, should a face have begun them already, are then the session's to close.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        prompts: Prompts,
        state_dir: Path | None = None,
        logins: Logins | None = None,
    ) -> None:
        self.profile = profile
        self.progress = PlanProgress()
        self.ledger = open_ledger(
            profile.pair_id, source=profile.source.url, target=profile.target.url, state_dir=state_dir
        )
        self._logins = logins or Logins(profile, prompts)
        self._cancel = CancelToken()
        self._retry = Retry()
        self._engine: Engine | None = None
        self._sent_before: Counter[str] = Counter()
        self._following: tuple[Connector, FollowingConnector] | None = None

    def connect(self) -> None:
        """Connect what is not connected, both sides at once. Raises the first side's ConnectError, NotFound,
        or Cancelled."""
        if self._logins.missing:
            self.progress.phase = "connecting"
            self._logins.wait()

    def source_reader(self) -> Reader:
        return self._source(self.profile.options).reader()

    def target_reader(self) -> Reader:
        return self._logins.connector("target").reader()

    def _source(self, options: SyncOptions) -> Connector:
        """The source as these options have it seen."""
        source = self._logins.connector("source")
        if options.symlinks is not Symlinks.FOLLOW or not source.reader().features.symlinks:
            return source
        if self._following is None or self._following[0] is not source:
            root = self._retry.call(source.place, self._cancel).root
            self._following = (source, FollowingConnector(source, (root, self.profile.source.path)))
        return self._following[1]

    def _links(self, source: Reader, target: Reader) -> Links:
        how = self.profile.options.symlinks
        if how is Symlinks.FOLLOW and isinstance(source, FollowingReader):
            return Links(why_not=source.why_not, faults=frozenset({following.LOOP, following.TOO_DEEP}))
        if how is Symlinks.COPY and not target.features.symlinks:
            return Links(why_not=lambda path: "symbolic link, and the target has none")
        return Links(copied=how is Symlinks.COPY)

    def requests(self) -> Counter[str]:
        """What was sent since the plan was begun to places where each request costs, by the operation's name;
        empty where neither side is one."""
        return self._sent() - self._sent_before

    def _sent(self) -> Counter[str]:
        sent: Counter[str] = Counter()
        for connector in self._logins.connectors():
            if isinstance(connector, CountsRequests):
                sent += connector.requests
        return sent

    def not_done(self) -> frozenset[str]:
        """The paths that the newest run tried or held back without getting them done. Raises NotFound where
        the pair has no run."""
        newest = self.ledger.runs(limit=1)
        if not newest:
            raise NotFound("there is no earlier run of this pair to retry: run it first")
        statuses = set(Status) - {Status.DONE}
        return frozenset(
            outcome.item.path for outcome in self.ledger.outcomes(newest[0].run_id, statuses=statuses)
        )

    def make_plan(
        self,
        *,
        keep_equal: bool = False,
        only: Collection[str] | None = None,
        watch: Callable[[Sequence[Item]], None] | None = None,
    ) -> Plan:
        """Scan both sides, compare, and store the plan. Writes nothing to either side.

        With ``keep_equal`` unchanged and excluded paths are stored too, for a face that shows whole trees.
        With ``only`` the plan holds no other paths than these and the folders they need; guards still see
        the whole. ``watch`` is called with the items as they come, some at a time.
        """
        self._sent_before = self._sent()
        self.connect()
        self.progress = PlanProgress()
        self.progress.phase = "scanning"
        try:
            source, target = self._logins.connector("source"), self._logins.connector("target")
            self._retry.call(lambda: check_apart(source, target), self._cancel)
            return self._scan_and_plan(self.source_reader(), self.target_reader(), keep_equal, only, watch)
        except TuiSyncError:
            self._cancel.check()
            raise
        finally:
            self.progress.phase = "done"

    def _scan_and_plan(
        self,
        source: Reader,
        target: Reader,
        keep_equal: bool,
        only: Collection[str] | None,
        watch: Callable[[Sequence[Item]], None] | None,
    ) -> Plan:
        options = self.profile.options
        how = transform(options.transform)
        filters = Filters(options.include, options.exclude)
        links = self._links(source, target)
        source = SteadyReader(source, self._retry, self._cancel)
        target = SteadyReader(target, self._retry, self._cancel)
        _expect_folder(source, self.profile.source, "source")
        target_exists = _target_exists(target, self.profile.target)
        with ExitStack() as scans:
            source_scan = scans.enter_context(
                closing(
                    scan(
                        source,
                        filters=filters,
                        cancel=self._cancel,
                        counters=self.progress.source,
                        rename=None if how.identity else how.target_name,
                    )
                )
            )
            target_scan = scans.enter_context(
                closing(scan(target, filters=filters, cancel=self._cancel, counters=self.progress.target))
                if target_exists
                else closing(_nothing())
            )
            changes = compare(
                source_scan,
                target_scan,
                by=options.compare,
                precision_ns=max(source.features.mtime_precision_ns, target.features.mtime_precision_ns),
                known=self.ledger.synced,
                digests=self._digests(source, target) if options.compare is CompareBy.CHECKSUM else None,
                sizes_comparable=how.identity,
                times=self._times(source, target),
                links=links,
            )
            return self._store_plan(
                options,
                only,
                watch,
                lambda add: planner.build(
                    changes,
                    options,
                    add=add,
                    keep_equal=keep_equal,
                    free_space=target.free_space,
                    target_exists=target_exists,
                    notes=_notes(options, target.features),
                    occupied=self._occupied,
                    folds=lambda: folds_names(target) if target_exists else None,
                ),
            )

    def _occupied(self, folder: str) -> bool:
        """Whether a folder on the target holds what is ours but not of this pair: nothing to be removed
        here."""
        ours = self.progress.target.ours.get(folder, ())
        return any(not is_temporary(name, self.ledger.tag) for name in ours)

    def _digests(self, source: Reader, target: Reader) -> Callable[[str, str], tuple[str, str]]:
        return lambda source_path, target_path: (
            self._retry.call(lambda: digest(source, source_path, self._cancel), self._cancel),
            self._retry.call(lambda: digest(target, target_path, self._cancel), self._cancel),
        )

    def _times(self, source: Reader, target: Reader) -> Callable[[Entry, Entry], tuple[Entry, Entry]] | None:
        if source.features.lists_mtime and target.features.lists_mtime:
            return None

        def timed(reader: Reader, entry: Entry) -> Entry:
            self._cancel.check()
            if entry.mtime_ns is not None or reader.features.lists_mtime:
                return entry
            found = reader.stat(entry.path)
            # One that was replaced since it was listed stays as it was: the run will find it has drifted.
            return entry._replace(mtime_ns=found.mtime_ns) if found.identity == entry.identity else entry

        return lambda source_entry, target_entry: (timed(source, source_entry), timed(target, target_entry))

    def _store_plan(
        self,
        options: SyncOptions,
        only: Collection[str] | None,
        watch: Callable[[Sequence[Item]], None] | None,
        build: Callable[[Callable[[Item], None]], planner.PlanDraft],
    ) -> Plan:
        plan_id = self.ledger.new_plan(self.profile.source.url, self.profile.target.url, options)
        waiting: list[Item] = []
        due = time.monotonic() + _SHOWN_AFTER_S
        needed = {folder for path in only or () for folder in ancestors(path)}

        def add(item: Item) -> None:
            self._cancel.check()
            for_another = item.action is Action.MKDIR and item.path in needed
            if only is not None and item.path not in only and not for_another:
                return
            waiting.append(item)
            if len(waiting) >= _BATCH or (watch is not None and time.monotonic() >= due):
                store()

        def store() -> None:
            nonlocal due
            self.ledger.add_items(plan_id, waiting)
            if watch is not None:
                watch(waiting)
            waiting.clear()
            due = time.monotonic() + _SHOWN_AFTER_S

        draft = build(add)
        store()
        plan = self.ledger.finish_plan(plan_id, draft.totals, draft.guards)
        if only is None:
            return plan
        totals = replace(self.ledger.totals(plan_id), conflicts=0)
        return self.ledger.finish_plan(plan_id, totals, draft.guards)

    def save_plan(self, plan: Plan, file: Path) -> None:
        """Write the plan, with what was taken out of it, to a file for ``load_plan``. Raises UsageError."""
        export_plan(self.ledger, plan, self.profile.pair_id, file)

    def load_plan(self, file: Path) -> Plan:
        """The plan of a file in place of one made now: its items, options and guards, not the profile's.

        Connects if needed, and scans nothing: every item is checked when its turn comes, as always. Raises
        UsageError for a file that is no whole, unchanged plan of this pair.
        """
        plan = import_plan(self.ledger, self.profile.pair_id, file, self._cancel.check)
        self._sent_before = self._sent()
        self.connect()
        source, target = self._logins.connector("source"), self._logins.connector("target")
        self._retry.call(lambda: check_apart(source, target), self._cancel)
        self.progress.phase = "done"
        return plan

    def start(
        self,
        plan: Plan,
        listener: Listener | None = None,
        *,
        override_guards: bool = False,
        part: Part | None = None,
    ) -> Engine:
        """Run an approved plan: what is included of it as the ledger has it now, and nothing else.

        ``part`` where it is a part of a larger run.

        Raises GuardRefused where a guard blocks it, PairLocked where the pair is being run already. The
        returned engine has been started.
        """
        if plan.refused and not override_guards:
            raise GuardRefused(" ".join(guard.message for guard in plan.refused))
        self._cancel.check()
        self.connect()
        held = ExitStack()
        held.enter_context(self.ledger.lock())
        try:
            engine = Engine(
                source=self._source(plan.options),
                target=self._logins.connector("target"),
                ledger=self.ledger,
                plan=replace(plan, totals=self.ledger.totals(plan.plan_id)),
                listener=listener,
                retry=self._retry,
                leftovers=self.progress.target.leftovers,
                at_end=held.close,
                requests=self.requests,
                part=part,
            )
        except BaseException:
            held.close()
            raise
        self._engine = engine
        engine.start()
        return engine

    def cancel(self) -> None:
        """Stop connecting, scanning or running. For good: a cancelled session is then closed."""
        self._cancel.cancel()
        engine = self._engine
        if engine is not None and not engine.wait(0):
            engine.cancel()
            return
        self._logins.close()

    def close(self) -> None:
        """Stop what is under way, close both sides and the ledger. May be called twice."""
        self.cancel()
        if self._engine is not None:
            self._engine.wait(5)
        self._logins.close()
        self.ledger.close()


def _nothing() -> Generator[Scanned, None, None]:
    yield from ()


def _root(reader: Reader) -> Entry | None:
    try:
        return reader.stat("")
    except NotFound:
        return None


def _expect_folder(reader: Reader, endpoint: Endpoint, side: str) -> None:
    root = _root(reader)
    if root is None:
        raise NotFound(f"the {side} folder {printable(endpoint.url)} does not exist: check its path")
    if root.kind is not Kind.DIRECTORY:
        raise NotFound(f"the {side} {printable(endpoint.url)} is no folder: name the folder that holds it")


def _target_exists(reader: Reader, endpoint: Endpoint) -> bool:
    """False where the folder has yet to be made, which the plan then shows as its first item."""
    if _root(reader) is None:
        return False
    _expect_folder(reader, endpoint, "target")
    return True


def _notes(options: SyncOptions, target: Features) -> list[Guard]:
    notes = []
    if not target.atomic_replace and options.write is WriteMode.ATOMIC:
        notes.append(
            Guard(
                "no-atomic-replace",
                "The target cannot replace a file in one step: an updated file is away for a moment.",
                blocking=False,
            )
        )
    if options.backup and not target.backs_up:
        notes.append(
            Guard(
                "backup-moves",
                "The target can neither link nor copy a file: with a backup, an updated file is away for a "
                "moment.",
                blocking=False,
            )
        )
    if options.write is WriteMode.DIRECT:
        notes.append(
            Guard(
                "direct-write",
                "Files are written under their final names: one that is cut off half-way is left torn.",
                blocking=False,
            )
        )
    if options.transform != "none":
        notes.append(
            Guard("transform", f"Content is transformed on its way: {options.transform}.", blocking=False)
        )
    return notes
