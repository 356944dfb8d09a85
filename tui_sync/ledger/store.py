"""The ledger of one pair: its plans and their items, its runs and their outcomes, and what was last synced.

Safe for many threads and for a kill at any moment. Writes go through one connection, reads through another:
with SQLite's write-ahead log neither waits for the other, and every call is short. All failures are
LedgerError.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import platformdirs

from tui_sync.errors import LedgerError
from tui_sync.ledger import rows, schema
from tui_sync.ledger.maker import may_be_at_work, this_process
from tui_sync.ledger.pairlock import pair_lock
from tui_sync.model import (
    Action,
    FolderAttributes,
    Guard,
    Item,
    Outcome,
    Partial,
    Plan,
    Status,
    Summary,
    Synced,
    SyncOptions,
    Totals,
)
from tui_sync.names import ancestors, printable

RUNS_KEPT = 20
_INSERT_BATCH = 2000
_IN_TRASH = "in trash: "
_PLAN_KEPT_NS = 24 * 3600 * 10**9

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The head of a run. A run without ``finished_ns`` and ``summary`` is under way or was interrupted."""

    run_id: int
    plan_id: int
    started_ns: int
    finished_ns: int | None
    summary: Summary | None


def default_state_dir() -> Path:
    """The folder for what the program remembers, per user."""
    return platformdirs.user_state_path("tui-sync")


def pair_ledgers(state_dir: Path | None = None) -> list[Path]:
    """The ledgers of all pairs, sorted by name; empty where there are none."""
    with suppress(OSError):
        return sorted(_ledger_dir(state_dir).glob("*.sqlite"))
    return []


def ledger_path(pair_id: str, state_dir: Path | None = None) -> Path:
    """Where the ledger of a pair is, or would be."""
    return _ledger_dir(state_dir) / f"{pair_id}.sqlite"


def open_ledger(
    pair_id: str, *, source: str, target: str, state_dir: Path | None = None, tag: str | None = None
) -> Ledger:
    """Open the ledger of a pair, and make it if it is not there.

    ``pair_id`` is a file name without suffix; ``source`` and ``target`` are URLs without secrets. ``tag`` is
    for a new file that has a part in the work of another ledger: that one's. Raises LedgerError, with what to
    do, for a file that cannot be written, is damaged or is of a later version.
    """
    path = ledger_path(pair_id, state_dir)
    schema.create_file(path)
    return Ledger(path, source=source, target=target, tag=tag)


def _ledger_dir(state_dir: Path | None) -> Path:
    return (state_dir if state_dir is not None else default_state_dir()) / "ledgers"


class Ledger:
    """``tag``, 8 hexadecimal digits drawn at creation, marks this ledger's temporary files on the target.

    ``source`` and ``target`` are the URLs of the pair, as they were at creation.
    """

    def __init__(self, path: Path, *, source: str, target: str, tag: str | None = None) -> None:
        self.path = path
        meta = {
            "tag": (tag or secrets.token_hex(4)).encode("ascii"),
            "source": rows.text_to_blob(source),
            "target": rows.text_to_blob(target),
        }
        with _translated(path):
            writer = schema.connect(path)
            try:
                schema.prepare(writer, path, meta)
                with _decoded(path):
                    found = dict(writer.execute("SELECT key, value FROM meta"))
                    self.tag: str = found["tag"].decode("ascii")
                    self.source: str = rows.blob_to_text(found["source"])
                    self.target: str = rows.blob_to_text(found["target"])
                reader = schema.connect(path)
            except BaseException:
                writer.close()
                raise
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._writer = writer
        self._reader = reader

    def lock(self) -> AbstractContextManager[None]:
        """Hold the pair for one run. Raises PairLocked, naming the holder, where another run holds it."""
        return pair_lock(self.path)

    def new_plan(self, source: str, target: str, options: SyncOptions) -> int:
        """Begin a plan. Plans that never ran are dropped with their items: the newest scan is what counts.
        Those of another process that is still at work stay for a day: it may be about to run one."""
        with self._transaction() as db:
            _drop_idle_plans(db)
            # What a finished run left alone is no part of its receipt, and most of a plan made for the app.
            db.execute(
                """DELETE FROM items WHERE action = 'skip' AND kind IN ('equal', 'excluded')
                   AND plan_id IN (SELECT plan_id FROM runs)
                   AND plan_id NOT IN (SELECT plan_id FROM runs WHERE finished_ns IS NULL)"""
            )
            cursor = db.execute(
                "INSERT INTO plans (created_ns, maker, source, target, options) VALUES (?, ?, ?, ?, ?)",
                (
                    time.time_ns(),
                    this_process(),
                    rows.text_to_blob(source),
                    rows.text_to_blob(target),
                    rows.to_json(options),
                ),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def add_items(self, plan_id: int, items: Iterable[Item]) -> None:
        """Add items, in any order of their ``seq``, unique in a plan. Streams, in short transactions."""
        columns = ("plan_id", *rows.ITEM_COLUMNS)
        insert = f"INSERT INTO items ({', '.join(columns)}) VALUES ({_marks(columns)})"
        stream = iter(items)
        while batch := [(plan_id, *rows.item_to_row(item)) for item in islice(stream, _INSERT_BATCH)]:
            with self._transaction() as db:
                _require_plan(db, plan_id)
                db.executemany(insert, batch)

    def finish_plan(self, plan_id: int, totals: Totals, guards: Sequence[Guard]) -> Plan:
        """Complete a plan: only now can it run."""
        with self._transaction() as db:
            _require_plan(db, plan_id)
            db.execute(
                "UPDATE plans SET totals = ?, guards = ? WHERE plan_id = ?",
                (rows.to_json(totals), rows.guards_to_json(guards), plan_id),
            )
        return self.plan(plan_id)

    def plan(self, plan_id: int) -> Plan:
        """The head of a plan, with the totals it was finished with (all zero before that)."""
        with self._reading() as db:
            row = db.execute(
                "SELECT created_ns, source, target, options, totals, guards FROM plans WHERE plan_id = ?",
                (plan_id,),
            ).fetchone()
            if row is None:
                raise _plan_gone(plan_id)
            return Plan(
                plan_id=plan_id,
                created_ns=row[0],
                source=rows.blob_to_text(row[1]),
                target=rows.blob_to_text(row[2]),
                options=rows.json_to_options(row[3]),
                totals=rows.json_to_totals(row[4]) if row[4] else Totals(),
                guards=rows.json_to_guards(row[5]) if row[5] else (),
            )

    def items(
        self,
        plan_id: int,
        *,
        actions: Collection[Action] | None = None,
        included: bool | None = None,
        reverse: bool = False,
        batch: int = 500,
    ) -> Iterator[Item]:
        """The items ordered by ``seq``, fetched ``batch`` at a time.

        Nothing is held open in between: ``include`` may be called while iterating, and items not fetched yet
        come as it left them. Raises LedgerError for a plan that is not there, or not any more.
        """
        table, condition = "items", "plan_id = ?"
        parameters: list[int | str] = [plan_id]
        if actions is not None:
            if not actions:
                return iter(())
            if Action.SKIP not in actions:
                # Few items of a large plan do any work: this index holds only those.
                table = "items INDEXED BY items_work"
                condition += " AND action <> 'skip'"
            condition += f" AND action IN ({_marks(actions)})"
            parameters += [action.value for action in actions]
        if included is not None:
            condition += " AND included = ?"
            parameters.append(int(included))
        step, order = ("<", "DESC") if reverse else (">", "ASC")
        query = f"SELECT {', '.join(rows.ITEM_COLUMNS)} FROM {table} WHERE {condition}"
        first = f"{query} ORDER BY seq {order} LIMIT ?"
        following = f"{query} AND seq {step} ? ORDER BY seq {order} LIMIT ?"

        def fetch(after: Item | None) -> list[Item]:
            with self._reading() as db:
                found = (
                    db.execute(first, (*parameters, batch))
                    if after is None
                    else db.execute(following, (*parameters, after.seq, batch))
                )
                items = [rows.row_to_item(row) for row in found]
                if len(items) < batch:
                    # Nothing more, or nothing any more: a plan that was dropped is not to look short.
                    _require_plan(db, plan_id)
                return items

        return _in_batches(fetch, batch)

    def item(self, plan_id: int, path: str) -> Item | None:
        """The item of exactly this path, None where the plan has none."""
        with self._reading() as db:
            row = db.execute(
                f"""SELECT {", ".join(rows.ITEM_COLUMNS)} FROM items INDEXED BY items_path
                    WHERE plan_id = ? AND path = ? ORDER BY seq LIMIT 1""",
                (plan_id, rows.text_to_blob(path)),
            ).fetchone()
            if row is None:
                _require_plan(db, plan_id)
                return None
            return rows.row_to_item(row)

    def include(self, plan_id: int, path: str, included: bool) -> int:
        """Put the item at ``path`` and all below it into the plan, or take them out; ``""`` means all.

        What that needs is done too: including also includes the directories to be made above; taking out a
        delete also takes out the deletes of the directories above, which would not be empty. Skipped
        items have nothing to include. Returns the number of items that changed. A plan that was started is
        what was approved: changing it raises LedgerError.
        """
        blob = rows.text_to_blob(path)
        where = "1"
        below: tuple[bytes, ...] = ()
        if path:
            # The outer range is for the index; between ``dir`` and ``dir/`` lie ``dir.txt`` and the like.
            where = "path >= ? AND path < ? AND (path = ? OR path > ?)"
            below = (blob, blob + b"0", blob, blob + b"/")
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM runs WHERE plan_id = ?", (plan_id,)).fetchone() is not None:
                raise LedgerError(f"plan {plan_id} has been started and stays as approved: scan again")
            changed = db.execute(
                f"""UPDATE items SET included = ?
                    WHERE plan_id = ? AND {where} AND included <> ? AND action <> 'skip'""",
                (int(included), plan_id, *below, int(included)),
            ).rowcount
            if not included and not _has_deletes(db, plan_id, where, below):
                return changed
            action = Action.MKDIR if included else Action.DELETE
            for directory in ancestors(path):
                changed += db.execute(
                    """UPDATE items SET included = ?
                       WHERE plan_id = ? AND path = ? AND action = ? AND included <> ?""",
                    (int(included), plan_id, rows.text_to_blob(directory), action.value, int(included)),
                ).rowcount
            return changed

    def override(self, plan_id: int, path: str, action: Action) -> int:
        """Give the item at ``path``, and those below it, another action; they are included from then on.

        For what is safe to do by hand: the caller sees to it that an item of that kind can be so treated.
        Returns the number of items. Raises LedgerError for a plan that was started.
        """
        blob = rows.text_to_blob(path)
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM runs WHERE plan_id = ?", (plan_id,)).fetchone() is not None:
                raise LedgerError(f"plan {plan_id} has been started and stays as approved: scan again")
            return db.execute(
                """UPDATE items SET action = ?, included = 1
                   WHERE plan_id = ? AND path >= ? AND path < ? AND (path = ? OR path > ?)""",
                (action.value, plan_id, blob, blob + b"0", blob, blob + b"/"),
            ).rowcount

    def totals(self, plan_id: int) -> Totals:
        """The plan's totals with what it will make, copy and delete counted anew over the included items."""
        totals = self.plan(plan_id).totals
        # Split sums: no size that a server may claim makes SQLite's 64-bit sum overflow.
        with self._reading() as db:
            found = db.execute(
                """SELECT action, count(*),
                          coalesce(sum(s_size >> 20), 0), coalesce(sum(s_size & 0xFFFFF), 0),
                          coalesce(sum(t_size >> 20), 0), coalesce(sum(t_size & 0xFFFFF), 0)
                   FROM items INDEXED BY items_work
                   WHERE plan_id = ? AND action <> 'skip' AND included = 1 GROUP BY action""",
                (plan_id,),
            ).fetchall()
        count = {action: number for action, number, *_ in found}
        source = {action: (high << 20) + low for action, _, high, low, *_ in found}
        target = {action: (high << 20) + low for action, *_, high, low in found}
        return replace(
            totals,
            create=count.get(Action.CREATE, 0),
            update=count.get(Action.UPDATE, 0),
            delete=count.get(Action.DELETE, 0),
            mkdir=count.get(Action.MKDIR, 0),
            create_bytes=source.get(Action.CREATE, 0),
            update_bytes=source.get(Action.UPDATE, 0),
            delete_bytes=target.get(Action.DELETE, 0),
        )

    def start_run(self, plan_id: int) -> int:
        """Begin a run of a finished plan. Runs before the last 20 go, and the plans left without a run."""
        with self._transaction() as db:
            row = db.execute("SELECT totals FROM plans WHERE plan_id = ?", (plan_id,)).fetchone()
            if row is None:
                raise _plan_gone(plan_id)
            if row[0] is None:
                raise LedgerError(f"plan {plan_id} was never completed and cannot run: scan again")
            run_id = db.execute(
                "INSERT INTO runs (plan_id, started_ns) VALUES (?, ?)", (plan_id, time.time_ns())
            ).lastrowid
            old = db.execute(
                "SELECT run_id, plan_id FROM runs ORDER BY run_id DESC LIMIT -1 OFFSET ?", (RUNS_KEPT,)
            ).fetchall()
            for old_run, old_plan in old:
                db.execute("DELETE FROM runs WHERE run_id = ?", (old_run,))
                db.execute(
                    "DELETE FROM plans WHERE plan_id = ? AND plan_id NOT IN (SELECT plan_id FROM runs)",
                    (old_plan,),
                )
        assert run_id is not None
        return run_id

    def record(self, run_id: int, outcomes: Sequence[Outcome]) -> None:
        """Write down how items ended and what was synced by that, all or nothing.

        A further outcome of an item replaces the earlier one.
        """
        remembered, forgotten = [], []
        for outcome in outcomes:
            item = outcome.item
            if outcome.status is not Status.DONE:
                continue
            if item.action in (Action.CREATE, Action.UPDATE) and item.source and outcome.synced:
                synced = Synced(item.path, item.source.identity, outcome.synced.identity)
                remembered.append(rows.synced_to_row(synced))
            elif item.action in (Action.CREATE, Action.UPDATE, Action.DELETE):
                forgotten.append((rows.text_to_blob(item.path),))
        columns = ("run_id", *rows.OUTCOME_COLUMNS)
        with self._transaction() as db:
            db.executemany(
                f"INSERT OR REPLACE INTO outcomes ({', '.join(columns)}) VALUES ({_marks(columns)})",
                [(run_id, *rows.outcome_to_row(outcome)) for outcome in outcomes],
            )
            db.executemany(
                f"""INSERT OR REPLACE INTO synced ({", ".join(rows.SYNCED_COLUMNS)})
                    VALUES ({_marks(rows.SYNCED_COLUMNS)})""",
                remembered,
            )
            db.executemany("DELETE FROM synced WHERE path = ?", forgotten)

    def prune(self, keep: int) -> int:
        """Forget all runs but the newest ``keep``, with their plans; returns how many. What was last synced
        is remembered. The space goes back to the disk."""
        with self._transaction() as db:
            removed = db.execute(
                """DELETE FROM runs WHERE run_id NOT IN
                   (SELECT run_id FROM runs ORDER BY run_id DESC LIMIT ?)""",
                (keep,),
            ).rowcount
            _drop_idle_plans(db)
        with self._write_lock, _translated(self.path):
            self._writer.execute("VACUUM")
        return removed

    def finish_run(self, run_id: int, summary: Summary) -> None:
        with self._transaction() as db:
            db.execute(
                "UPDATE runs SET finished_ns = ?, summary = ? WHERE run_id = ?",
                (time.time_ns(), rows.to_json(summary), run_id),
            )

    def record_speeds(self, run_id: int, interval_s: float, samples: Sequence[int]) -> None:
        """Keep how fast a run was: bytes per second, one sample for each ``interval_s`` seconds."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO speeds (run_id, interval_s, samples) VALUES (?, ?, ?)",
                (run_id, interval_s, json.dumps(list(samples))),
            )

    def speeds(self, run_id: int) -> tuple[float, list[int]]:
        """What ``record_speeds`` was given; no samples where nothing was kept."""
        with self._reading() as db:
            row = db.execute("SELECT interval_s, samples FROM speeds WHERE run_id = ?", (run_id,)).fetchone()
            return (row[0], [int(sample) for sample in json.loads(row[1])]) if row else (1.0, [])

    def runs(self, limit: int = 50) -> list[RunRecord]:
        """The runs, newest first."""
        with self._reading() as db:
            found = db.execute(
                """SELECT run_id, plan_id, started_ns, finished_ns, summary FROM runs
                   ORDER BY run_id DESC LIMIT ?""",
                (limit,),
            )
            return [
                RunRecord(
                    run_id, plan_id, started_ns, finished_ns, rows.json_to_summary(text) if text else None
                )
                for run_id, plan_id, started_ns, finished_ns, text in found
            ]

    def outcome_seqs(self, run_id: int, *, statuses: Collection[Status] | None = None) -> array[int]:
        """The ``seq`` of each outcome of a run, in order: what a list of any length is paged by."""
        condition = "" if statuses is None else f" AND status IN ({_marks(statuses)})"
        wanted = () if statuses is None else tuple(status.value for status in statuses)
        with self._reading() as db:
            found = db.execute(
                f"SELECT seq FROM outcomes WHERE run_id = ?{condition} ORDER BY seq", (run_id, *wanted)
            )
            return array("q", (seq for (seq,) in found))

    def outcome_counts(self, run_id: int) -> dict[Status, int]:
        """How many items of a run ended how."""
        with self._reading() as db:
            found = db.execute(
                "SELECT status, count(*) FROM outcomes WHERE run_id = ? GROUP BY status", (run_id,)
            )
            return {Status(status): number for status, number in found}

    def outcomes(
        self,
        run_id: int,
        *,
        statuses: Collection[Status] | None = None,
        start: int | None = None,
        batch: int = 500,
    ) -> Iterator[Outcome]:
        """The receipt of a run ordered by ``seq``, from ``start`` on, fetched in batches as ``items`` are."""
        condition = "" if statuses is None else f" AND o.status IN ({_marks(statuses)})"
        wanted = () if statuses is None else tuple(status.value for status in statuses)
        columns = [f"o.{column}" for column in rows.OUTCOME_COLUMNS]
        columns += [f"i.{column}" for column in rows.ITEM_COLUMNS]
        # CROSS JOIN fixes the order of the loops: one outcome, its item by primary key.
        query = f"""SELECT {", ".join(columns)}
            FROM outcomes AS o CROSS JOIN runs AS r CROSS JOIN items AS i
            WHERE o.run_id = ? AND o.seq > ? AND r.run_id = o.run_id
              AND i.plan_id = r.plan_id AND i.seq = o.seq{condition}
            ORDER BY o.seq LIMIT ?"""
        split = len(rows.OUTCOME_COLUMNS)
        first = 1 - 2**63 if start is None else start

        def fetch(after: Outcome | None) -> list[Outcome]:
            seq = first - 1 if after is None else after.item.seq
            with self._reading() as db:
                return [
                    rows.row_to_outcome(row[:split], rows.row_to_item(row[split:]))
                    for row in db.execute(query, (run_id, seq, *wanted, batch))
                ]

        return _in_batches(fetch, batch)

    def synced(self, path: str) -> Synced | None:
        """What was last synced at this path, None where nothing was."""
        with self._reading() as db:
            row = db.execute(
                f"SELECT {', '.join(rows.SYNCED_COLUMNS)} FROM synced WHERE path = ?",
                (rows.text_to_blob(path),),
            ).fetchone()
            return None if row is None else rows.row_to_synced(row)

    def unfinished_folders(self) -> list[FolderAttributes]:
        """Folders on the target that an earlier run left without their attributes."""
        with self._reading() as db:
            found = db.execute("SELECT path, mtime_ns, mode FROM folders ORDER BY path")
            return [FolderAttributes(rows.blob_to_text(row[0]), row[1], row[2]) for row in found]

    def folder_unfinished(self, folder: FolderAttributes) -> None:
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO folders (path, mtime_ns, mode) VALUES (?, ?, ?)",
                (rows.text_to_blob(folder.path), folder.mtime_ns, folder.mode),
            )

    def folder_finished(self, path: str) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM folders WHERE path = ?", (rows.text_to_blob(path),))

    def trash_times(self) -> dict[int, int]:
        """Since when (ns) each run's folder in the trash is known to be there."""
        with self._reading() as db:
            found = db.execute("SELECT key, value FROM meta WHERE key GLOB ?", (f"{_IN_TRASH}*",))
            return {int(key.removeprefix(_IN_TRASH)): int(value) for key, value in found}

    def note_trash(self, run_id: int, since_ns: int) -> None:
        """Remember since when a run's folder in the trash is there, unless that is known."""
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (f"{_IN_TRASH}{run_id}", since_ns))

    def forget_trash(self, run_id: int) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM meta WHERE key = ?", (f"{_IN_TRASH}{run_id}",))

    def partial(self, path: str) -> Partial | None:
        """What is known of a file that is partly on its way to this path, None where none is."""
        with self._reading() as db:
            row = db.execute(
                f"SELECT {', '.join(rows.PARTIAL_COLUMNS)} FROM partials WHERE path = ?",
                (rows.text_to_blob(path),),
            ).fetchone()
            return None if row is None else rows.row_to_partial(row)

    def partials(self) -> list[Partial]:
        """All files that are partly on their way: as many as were in flight when runs were cut short."""
        with self._reading() as db:
            found = db.execute(f"SELECT {', '.join(rows.PARTIAL_COLUMNS)} FROM partials ORDER BY path")
            return [rows.row_to_partial(row) for row in found]

    def save_partial(self, partial: Partial) -> None:
        """Remember, in place of what was known of this path."""
        with self._transaction() as db:
            db.execute(
                f"""INSERT OR REPLACE INTO partials ({", ".join(rows.PARTIAL_COLUMNS)})
                    VALUES ({_marks(rows.PARTIAL_COLUMNS)})""",
                rows.partial_to_row(partial),
            )

    def drop_partial(self, path: str) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM partials WHERE path = ?", (rows.text_to_blob(path),))

    def save_copy(self, file: Path) -> None:
        """Write the ledger as it is at this moment to a new file, also while a run goes on."""
        with self._reading() as db, closing(sqlite3.connect(file)) as copy:
            db.backup(copy)
            # The copy is one file, whatever else the ledger itself is made of.
            copy.execute("PRAGMA journal_mode = DELETE")

    def close(self) -> None:
        """Close all connections, once calls under way have ended. May be called twice."""
        with self._write_lock, self._read_lock, _translated(self.path):
            self._reader.close()
            self._writer.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._read_lock, _translated(self.path), _decoded(self.path):
            yield self._reader

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._write_lock, _translated(self.path):
            db = self._writer
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                # SQLite ends the transaction itself on some errors, a full disk among them.
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise


def _in_batches(fetch: Callable[[T | None], list[T]], size: int) -> Iterator[T]:
    found = fetch(None)
    while True:
        yield from found
        if len(found) < size:
            return
        found = fetch(found[-1])


def _has_deletes(db: sqlite3.Connection, plan_id: int, where: str, below: Sequence[bytes]) -> bool:
    query = f"SELECT 1 FROM items WHERE plan_id = ? AND {where} AND action = 'delete' LIMIT 1"
    return db.execute(query, (plan_id, *below)).fetchone() is not None


def _drop_idle_plans(db: sqlite3.Connection) -> None:
    """Those that never ran, and that nobody may be about to run."""
    oldest = time.time_ns() - _PLAN_KEPT_NS
    idle = db.execute(
        "SELECT plan_id, created_ns, maker FROM plans WHERE plan_id NOT IN (SELECT plan_id FROM runs)"
    ).fetchall()
    for plan_id, created_ns, maker in idle:
        if created_ns < oldest or not may_be_at_work(maker):
            db.execute("DELETE FROM plans WHERE plan_id = ?", (plan_id,))


def _require_plan(db: sqlite3.Connection, plan_id: int) -> None:
    if db.execute("SELECT 1 FROM plans WHERE plan_id = ?", (plan_id,)).fetchone() is None:
        raise _plan_gone(plan_id)


def _plan_gone(plan_id: int) -> LedgerError:
    return LedgerError(f"plan {plan_id} is no longer in the ledger, a newer scan has replaced it: scan again")


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into a LedgerError that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise LedgerError(_explain(error, path)) from error


@contextmanager
def _decoded(path: Path) -> Iterator[None]:
    """Turn what a damaged row raises into a LedgerError."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # This program wrote the values: one that cannot be read back was damaged on disk.
        raise LedgerError(_damaged(path, str(error))) from error


def _explain(error: sqlite3.Error, path: Path) -> str:
    name = printable(str(path))
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return f"the ledger {name} cannot be used: {error}"
    match code & 0xFF:
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return _damaged(path, str(error))
        case sqlite3.SQLITE_FULL:
            return f"no space left for the ledger {name}: free some space on that disk and run again"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return f"cannot write the ledger {name} ({error}): make the file and its folder writable"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return (
                f"the ledger {name} stayed locked by another program: wait until that has ended and try again"
            )
        case sqlite3.SQLITE_IOERR:
            return f"cannot read or write the ledger {name} ({error}): check the disk and its free space"
    return f"the ledger {name} cannot be used: {error}"


def _damaged(path: Path, detail: str) -> str:
    return (
        f"the ledger {printable(str(path))} is damaged ({printable(detail)}): move the file away, and the "
        "next run starts a new one"
    )
