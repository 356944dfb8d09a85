"""Runs one plan: folders, then files in parallel, then deletes, then the folders' own attributes.

One failure stops no other item. A face starts, pauses, drains, cancels and polls, and never waits for a
worker.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby

from tui_sync import names
from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Connector, CopiesOnServer
from tui_sync.errors import (
    Cancelled,
    ConnectError,
    ConnectionLost,
    Drifted,
    NotFound,
    PermissionDenied,
    TuiSyncError,
    Vanished,
)
from tui_sync.ledger import Ledger
from tui_sync.model import (
    Action,
    CompareBy,
    Item,
    Kind,
    Outcome,
    Plan,
    RunState,
    Snapshot,
    Status,
    Summary,
    WriteMode,
)
from tui_sync.transfer import verify
from tui_sync.transfer.copy import Copied, Copier, Earlier
from tui_sync.transfer.crew import Crew
from tui_sync.transfer.deletes import Deleter
from tui_sync.transfer.folders import Folders, FolderUnfinished
from tui_sync.transfer.gate import Gate
from tui_sync.transfer.links import Linker
from tui_sync.transfer.pack import MOST_FILES, Pack, Packer, Result, packed
from tui_sync.transfer.parents import Parents
from tui_sync.transfer.part import DoneBefore, Part
from tui_sync.transfer.partials import Partials
from tui_sync.transfer.progress import Progress, Slot
from tui_sync.transfer.receipt import Receipt
from tui_sync.transfer.recorder import Listener, Recorder
from tui_sync.transfer.retention import Retention
from tui_sync.transfer.retry import Retry
from tui_sync.transfer.speeds import Speeds
from tui_sync.transfer.throttle import Throttle
from tui_sync.transfer.transform import transform
from tui_sync.transfer.trash import Backups, Trash

_log = logging.getLogger(__name__)

AUTO_WORKERS = 8
# Where a server copies by itself, workers only wait for its answers.
_AUTO_ON_SERVER = 32
# Cancelled workers get this long to clean up behind them before their connections are cut.
_GRACE_S = 1.2
# So many items in a row lost to a dead connection, and the rest is not tried.
_LOST_IN_A_ROW = 8
# An attempt that began so many bytes farther on than those before has achieved something.
_PROGRESS = 64 << 10


class _Keep:
    """The default of ``set_limit``: leave as it is."""


KEEP = _Keep()


class Engine:
    """One run of one plan, on threads of its own. All public methods may be called from any thread."""

    def __init__(
        self,
        *,
        source: Connector,
        target: Connector,
        ledger: Ledger,
        plan: Plan,
        listener: Listener | None = None,
        retry: Retry | None = None,
        leftovers: Sequence[str] = (),
        at_end: Callable[[], None] | None = None,
        requests: Callable[[], Mapping[str, int]] = dict,
        part: Part | None = None,
    ) -> None:
        options = plan.options
        self._source = source
        self._target = target
        self._ledger = ledger
        self._plan = plan
        self._retry = retry or Retry()
        self._at_end = at_end
        self._requests = requests
        self._reader = target.reader()
        self._writer = target.writer()
        self._cancel = CancelToken()
        self._draining = threading.Event()
        self._finished = threading.Event()
        self._gate = Gate()
        self._throttle = Throttle(options.bandwidth_limit)
        self._crew = Crew(options.workers or AUTO_WORKERS)
        self._progress = Progress(plan.totals)
        self._speeds = Speeds(lambda: self._progress.bytes_done)
        self._part = part
        self._receipt = Receipt(
            verify.level(options.verify, self._reader.features),
            unmade=part.unmade if part is not None else (),
            uncopied=part.uncopied if part is not None else None,
        )
        self._lost_in_a_row = 0
        self._fatal: TuiSyncError | None = None
        self._lock = threading.Lock()
        self._summary: Summary | None = None
        self.run_id = ledger.start_run(plan.plan_id)
        self._recorder = Recorder(ledger, self.run_id, listener, self._stop_for)
        self._leftovers = leftovers if part is None else part.leftovers
        self._partials = Partials(
            ledger,
            self._reader,
            self._writer,
            self._cancel,
            # Who compares by content does not trust the times that tell a changed source.
            across_runs=options.compare is not CompareBy.CHECKSUM,
        )
        self._parents = Parents(self._reader)
        self._trash = Trash(
            self._reader, self._writer, f"{ledger.tag}-{self.run_id if part is None else part.run}"
        )
        backups = Backups(self._trash, self._reader, self._writer) if options.backup else None
        self._verifier = verify.Verifier(options.verify, self._reader, self._cancel)
        self._copier = Copier(
            source=source.reader(),
            target=self._reader,
            writer=self._writer,
            transform=transform(options.transform),
            verifier=self._verifier,
            write=options.write,
            partials=self._partials,
            backups=backups,
            parents=self._parents,
            throttle=self._throttle,
            gate=self._gate,
            cancel=self._cancel,
        )
        self._linker = Linker(
            source=source.reader(),
            target=self._reader,
            writer=self._writer,
            backups=backups,
            tag=ledger.tag,
        )
        self._packer = Packer(
            source=source.reader(),
            target=self._reader,
            writer=self._writer,
            verifier=self._verifier,
            backups=backups,
            parents=self._parents,
            tag=ledger.tag,
            throttle=self._throttle,
            gate=self._gate,
            cancel=self._cancel,
        )
        again = part is not None and part.again
        self._folders = Folders(ledger, self._reader, self._writer, self._retry, again=again)
        self._deleter = Deleter(
            # A transform gives files other names on the target: there is no telling what they were.
            source.reader() if transform(options.transform).identity else None,
            self._reader,
            self._writer,
            options.delete,
            self._trash,
            again=again,
        )
        self._done_before: set[int] = set()
        self._thread = threading.Thread(target=self._run, name="tui-sync-engine", daemon=True)

    def start(self) -> None:
        """Begin; returns at once. Once only."""
        self._recorder.start()
        self._speeds.start()
        self._thread.start()

    def pause(self) -> None:
        """Stop at the next block; connections stay open."""
        self._gate.pause()

    def resume(self) -> None:
        self._gate.resume()

    def drain(self) -> None:
        """Finish the items in flight and begin no more."""
        self._draining.set()
        self._gate.resume()

    def cancel(self) -> None:
        """Stop now: nothing half-written stays under a final name. ``wait`` returns within two seconds."""
        if self._cancel.cancelled:
            return
        self._cancel.cancel()
        threading.Thread(target=self._cut_after_grace, name="tui-sync-cancel", daemon=True).start()

    def skip(self, path: str) -> bool:
        """Give up one file in flight and go on with the others; its target stays as it is.

        False where no such file is in flight, or where it travels with others and is as good as done.
        """
        return self._progress.skip(path)

    def set_limit(self, *, workers: int | None = None, bandwidth: int | _Keep | None = KEEP) -> None:
        """Change the number of workers and the bytes per second (None: no limit) while running."""
        if workers is not None:
            self._crew.set_limit(workers)
        if not isinstance(bandwidth, _Keep):
            self._throttle.set_rate(bandwidth)

    def snapshot(self) -> Snapshot:
        return self._progress.snapshot(
            self._state(), workers=self._crew.limit, bandwidth_limit=self._throttle.rate
        )

    def wait(self, timeout: float | None = None) -> bool:
        """True once the run has ended and its receipt is written."""
        return self._finished.wait(timeout)

    @property
    def summary(self) -> Summary:
        """How the run ended; only after its end."""
        if self._summary is None:
            raise RuntimeError("the run has not ended")
        return self._summary

    @property
    def error(self) -> TuiSyncError | None:
        """What ended the whole run early, if anything did."""
        return self._fatal

    @property
    def lost(self) -> bool:
        """Whether items were not tried because a connection was lost for good."""
        return self._lost_in_a_row >= _LOST_IN_A_ROW

    def _state(self) -> RunState:
        if self._finished.is_set():
            return RunState.FINISHED
        if self._cancel.cancelled:
            return RunState.CANCELLING
        if self._draining.is_set():
            return RunState.DRAINING
        return RunState.PAUSED if self._gate.shut else RunState.RUNNING

    def _stopped(self) -> bool:
        return self._cancel.cancelled or self._draining.is_set()

    def _stop_for(self, error: TuiSyncError) -> None:
        self._fatal = error
        self.cancel()

    def _cut_after_grace(self) -> None:
        if not self._finished.wait(_GRACE_S):
            self._source.close()
            self._target.close()

    def _run(self) -> None:
        try:
            totals = self._plan.totals
            if totals.files:
                # At least one is no larger than the mean.
                self._verifier.prepare(totals.bytes // totals.files)
            self._partials.clear(self._items(Action.CREATE, Action.UPDATE), self._leftovers)
            self._make_folders()
            self._settle_what_is_done()
            self._copy_files()
            if not self._stopped():
                self._delete()
            if not self._cancel.cancelled and (self._part is None or self._part.last):
                self._finish_folders()
            self._clear_trash()
        except TuiSyncError as error:
            self._fatal = self._fatal or error
        except Exception as error:  # noqa: BLE001 - a bug must still end in a receipt and a released lock
            self._fatal = TuiSyncError(
                f"the run stopped on an internal error: {type(error).__name__}: {error}"
            )
        finally:
            self._end()

    def _end(self) -> None:
        self._speeds.stop()
        self._recorder.close()
        self._progress.phase = ""
        self._progress.finish()
        summary = self._receipt.summary(
            self._plan, elapsed_s=self._progress.elapsed_s, stopped=self._stopped(), fatal=self._fatal
        )
        summary = replace(summary, requests=dict(self._requests()))
        if self._trash.used:
            summary = replace(summary, trash=self._trash.root)
        try:
            self._ledger.record_speeds(self.run_id, self._speeds.interval_s, self._speeds.samples)
            self._ledger.finish_run(self.run_id, summary)
        except TuiSyncError as error:
            self._fatal = self._fatal or error
            summary = summary.with_status("error", error.exit_code)
        self._summary = summary
        try:
            if self._at_end is not None:
                self._at_end()
        finally:
            self._finished.set()

    def _items(self, *actions: Action, reverse: bool = False) -> Iterator[Item]:
        return self._ledger.items(self._plan.plan_id, actions=actions, included=True, reverse=reverse)

    def _make_folders(self) -> None:
        self._progress.phase = "folders"
        folders = sorted(self._items(Action.MKDIR), key=lambda item: _depth(item.path))
        for _, level in groupby(folders, key=lambda item: _depth(item.path)):
            self._crew.run(level, lambda item: self._carry_out(item, self._make_folder), self._stopped)

    def _settle_what_is_done(self) -> None:
        """Files that an earlier attempt at the same part has copied."""
        if self._part is None or not self._part.again or self._stopped():
            return
        done = DoneBefore(
            self._ledger,
            self.run_id,
            source=self._source.reader(),
            target=self._reader,
            stat_many=lambda paths: self._retry.call(lambda: self._reader.stat_many(paths), self._cancel),
            options=self._plan.options,
            cancel=self._cancel,
        )
        for outcome in done.among(self._items(Action.CREATE, Action.UPDATE)):
            self._done_before.add(outcome.item.seq)
            self._settle(None, outcome)

    def _to_copy(self) -> Iterator[Item]:
        for item in self._items(Action.CREATE, Action.UPDATE):
            if item.seq not in self._done_before:
                self._verifier.prepare(item.bytes)
                yield item

    def _copy_files(self) -> None:
        self._progress.phase = "files"
        totals, options = self._plan.totals, self._plan.options
        plain = options.write is WriteMode.ATOMIC and transform(options.transform).identity
        # A pack comes through here; where the server can copy, nothing need.
        on_server = (
            plain
            and isinstance(self._writer, CopiesOnServer)
            and self._writer.copies_from(self._source.reader())
        )
        if on_server and options.workers is None and self._crew.limit == AUTO_WORKERS:
            self._crew.set_limit(_AUTO_ON_SERVER)
        together = plain and not on_server
        # No larger than lets every worker have some.
        most = min(MOST_FILES, -(-totals.files // (2 * self._crew.limit))) if together else 1
        packs = packed(self._to_copy(), max(1, most))
        self._crew.run(packs, self._copy_pack, self._stopped)

    def _copy_pack(self, pack: Pack) -> None:
        if len(pack) == 1:
            link = pack[0].entry_kind is Kind.SYMLINK
            act = self._linker.make if link else self._copier.copy
            self._carry_out(pack[0], partial(act, earlier=Earlier()))
            return
        tried = tuple(item for item in pack if not self._hold(item))
        if not tried:
            return
        for item in tried:
            self._recorder.started(item)
        slot = self._progress.begin_pack(tried)
        results: Sequence[Result] = [None] * len(tried)
        try:
            results = self._packer.copy(tried, slot)
        except TuiSyncError:
            # Cancelled, or one trouble for all: what becomes of each is found out one by one.
            pass
        except Exception:  # noqa: BLE001 - a bug in the fast way is no reason to lose the files
            _log.exception("a pack failed")
        finally:
            self._progress.leave(slot)
        elapsed = slot.elapsed_s / len(tried)
        ended: list[Outcome] = []
        again: list[tuple[Item, Earlier]] = []
        for item, result in zip(tried, results, strict=True):
            if isinstance(result, Copied):
                ended.append(self._done(item, elapsed, result, 1))
            elif isinstance(result, TuiSyncError) and not result.retryable and not _may_open(result):
                ended.append(_ended_by(item, result, 1))
            else:
                again.append((item, result if isinstance(result, Earlier) else Earlier()))
        self._settle(None, *ended)
        for item, earlier in again:
            self._carry_out(item, partial(self._copier.copy, earlier=earlier), told=True)

    def _delete(self) -> None:
        self._progress.phase = "deletes"
        folders: list[Item] = []

        def files() -> Iterator[Item]:
            for item in self._items(Action.DELETE, reverse=True):
                if item.entry_kind is Kind.DIRECTORY:
                    folders.append(item)
                else:
                    yield item

        self._crew.run(files(), lambda item: self._carry_out(item, self._delete_one), self._stopped)
        folders.sort(key=lambda item: _depth(item.path), reverse=True)
        for _, level in groupby(folders, key=lambda item: _depth(item.path)):
            self._crew.run(level, lambda item: self._carry_out(item, self._delete_one), self._stopped)

    def _finish_folders(self) -> None:
        """Folders get their attributes last: what is put into them changes their mtime, and a read-only one
        could not have been filled."""
        self._progress.phase = "attributes"
        for level in self._folders.to_finish():
            self._crew.run(iter(level), self._finish_folder, lambda: self._cancel.cancelled)

    def _finish_folder(self, path: str) -> None:
        try:
            self._retry.call(lambda: self._parents.check(path), self._cancel)
        except TuiSyncError:
            # Not a folder of this tree any more, or out of reach: the next run has another look.
            return
        try:
            self._folders.finish(path, self._cancel)
        except FolderUnfinished as unfinished:
            if self._cancel.cancelled:
                return
            outcome = Outcome(
                unfinished.item, Status.FAILED, error=str(unfinished), error_kind=unfinished.cause
            )
            self._receipt.took_back(outcome)
            self._recorder.put((outcome,))

    def _clear_trash(self) -> None:
        """What is in the trash for long enough goes at the end of a run that went well, and of no other."""
        if self._trash.used:
            self._ledger.note_trash(self.run_id if self._part is None else self._part.run, time.time_ns())
        keep_s = self._plan.options.trash_keep
        whole = self._part is None or (self._part.last and not self._part.unmade and not self._part.uncopied)
        if keep_s is None or not whole or self._stopped() or self._fatal is not None:
            return
        so_far = self._receipt.summary(self._plan, elapsed_s=0.0, stopped=False, fatal=None)
        if so_far.exit_code == 0:
            self._progress.phase = "trash"
            Retention(self._ledger, self._reader, self._writer, self._cancel, keep_s).apply(time.time_ns())

    def _hold(self, item: Item) -> bool:
        """Settle an item that must not be tried, and say whether it is one."""
        held = self._held(item)
        if held:
            self._settle(None, Outcome(item, Status.HELD, error=held))
        return bool(held)

    def _carry_out(
        self, item: Item, act: Callable[[Item, Slot], Copied | None], *, told: bool = False
    ) -> None:
        """One item from start to outcome. Contains every error. ``told``: its start has been announced."""
        if self._hold(item):
            return
        if not told:
            self._recorder.started(item)
        slot = self._progress.begin(item)
        attempt = attempts = 0
        farthest = 0
        while True:
            attempt += 1
            attempts += 1
            slot.restart()
            try:
                self._gate.wait(self._cancel)
                self._parents.check(item.path)
                copied = act(item, slot)
                outcome = self._done(item, slot.elapsed_s, copied, attempts)
                break
            except Cancelled:
                outcome = _given_up(item, slot, attempts)
                break
            except TuiSyncError as error:
                if self._cancel.cancelled or slot.skipped:
                    outcome = _given_up(item, slot, attempts)
                    break
                if _may_open(error) and self._folders.open_for(item.path):
                    continue
                if slot.resumed >= farthest + _PROGRESS:
                    # Cut again, but farther on: that is no failing attempt.
                    farthest, attempt = slot.resumed, 1
                try:
                    if self._retry.again(error, attempt, self._cancel):
                        continue
                except Cancelled:
                    outcome = _given_up(item, slot, attempts)
                    break
                outcome = _ended_by(item, error, attempts)
                self._count_lost(error)
                break
            except Exception as error:  # noqa: BLE001 - one failure stops no other, not even a bug's
                outcome = Outcome(
                    item,
                    Status.FAILED,
                    error=f"internal error: {type(error).__name__}: {error}",
                    attempts=attempts,
                    error_kind="internal",
                )
                break
        self._settle(slot, outcome)

    def _done(self, item: Item, elapsed: float, copied: Copied | None, attempt: int) -> Outcome:
        self._lost_in_a_row = 0
        if copied is None:
            return Outcome(item, Status.DONE, elapsed_s=elapsed, attempts=attempt)
        return Outcome(
            item,
            Status.DONE,
            bytes=copied.bytes,
            elapsed_s=elapsed,
            verified=copied.verified,
            attempts=attempt,
            synced=copied.entry,
        )

    def _count_lost(self, error: TuiSyncError) -> None:
        if isinstance(error, ConnectError | ConnectionLost):
            self._lost_in_a_row += 1

    def _held(self, item: Item) -> str:
        """Why an item must not be tried, empty if it may."""
        if self.lost:
            return "not tried: the connection was lost and could not be restored"
        if item.action is Action.DELETE:
            missing = self._receipt.uncopied
            if missing is not None:
                return f"not deleted: not everything was copied, “{names.printable(missing)}” among it"
            return "not deleted: something in it was kept" if self._receipt.keeps_something(item.path) else ""
        folder = self._receipt.missing_folder(item.path)
        return f"not tried: the folder “{names.printable(folder)}” could not be made" if folder else ""

    def _settle(self, slot: Slot | None, *outcomes: Outcome) -> None:
        for outcome in outcomes:
            self._receipt.add(outcome)
            self._progress.end(slot, outcome)
        self._recorder.put(outcomes)

    def _make_folder(self, item: Item, _slot: Slot) -> None:
        self._folders.make(item)

    def _delete_one(self, item: Item, _slot: Slot) -> None:
        self._deleter.delete(item)


def _depth(path: str) -> int:
    return path.count("/") + 1 if path else 0


def _may_open(error: TuiSyncError) -> bool:
    """Whether the folder may be to blame, which can be opened for writing."""
    return isinstance(error, PermissionDenied)


def _given_up(item: Item, slot: Slot, attempts: int) -> Outcome:
    error = "skipped by you while it was copied" if slot.skipped else ""
    return Outcome(item, Status.CANCELLED, error=error, attempts=attempts)


def _ended_by(item: Item, error: TuiSyncError, attempt: int) -> Outcome:
    if isinstance(error, Vanished):
        status = Status.VANISHED
    elif isinstance(error, Drifted):
        status = Status.DRIFTED
    elif item.action is Action.DELETE and isinstance(error, NotFound):
        status = Status.VANISHED
    else:
        status = Status.FAILED
    return Outcome(item, status, error=str(error), attempts=attempt, error_kind=error.kind)
