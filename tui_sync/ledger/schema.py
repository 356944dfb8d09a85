"""The ledger's tables, and opening a file that holds them.

Everything that may carry a remote name is a BLOB (see ``rows``), so that a path that is not UTF-8 survives
and paths sort by byte: what lies below ``dir`` is the range from ``dir/`` up to ``dir0``, as 0 follows the
slash. Columns of numbers have no type, so that SQLite never turns a large one into a float.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from pathlib import Path

from tui_sync.errors import LedgerError
from tui_sync.names import printable

APPLICATION_ID = 0x74737964
VERSION = 2

# Dropping a plan of a million items takes another process this long at worst.
BUSY_SECONDS = 30.0

_ENTRY = "{0}_path, {0}_kind TEXT, {0}_size, {0}_mtime_ns, {0}_mode, {0}_etag, {0}_link"

_SPEEDS = (
    """CREATE TABLE speeds (
        run_id INTEGER PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
        interval_s NOT NULL, samples TEXT NOT NULL)""",
)

_ERROR_KIND = ("ALTER TABLE outcomes ADD COLUMN error_kind TEXT NOT NULL DEFAULT ''",)

_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    """CREATE TABLE plans (
        plan_id INTEGER PRIMARY KEY AUTOINCREMENT,
        created_ns, maker TEXT, source, target, options TEXT NOT NULL, totals TEXT, guards TEXT)""",
    f"""CREATE TABLE items (
        plan_id INTEGER NOT NULL REFERENCES plans ON DELETE CASCADE,
        seq INTEGER NOT NULL, path NOT NULL, action TEXT NOT NULL, kind TEXT NOT NULL, reason,
        included INTEGER NOT NULL, {_ENTRY.format("s")}, {_ENTRY.format("t")},
        PRIMARY KEY (plan_id, seq)) WITHOUT ROWID""",
    "CREATE INDEX items_path ON items (plan_id, path)",
    "CREATE INDEX items_work ON items (plan_id, seq) WHERE action <> 'skip'",
    """CREATE TABLE runs (
        run_id INTEGER PRIMARY KEY AUTOINCREMENT,
        plan_id INTEGER NOT NULL REFERENCES plans ON DELETE CASCADE,
        started_ns NOT NULL, finished_ns, summary TEXT)""",
    f"""CREATE TABLE outcomes (
        run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        seq INTEGER NOT NULL, status TEXT NOT NULL, bytes, elapsed_s, verified TEXT, error, attempts,
        {_ENTRY.format("y")}, error_kind TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (run_id, seq)) WITHOUT ROWID""",
    """CREATE TABLE synced (
        path PRIMARY KEY,
        s_kind TEXT, s_size, s_mtime_ns, s_etag, t_kind TEXT, t_size, t_mtime_ns, t_etag) WITHOUT ROWID""",
    "CREATE TABLE folders (path PRIMARY KEY, mtime_ns, mode) WITHOUT ROWID",
    """CREATE TABLE partials (
        path PRIMARY KEY, s_kind TEXT, s_size, s_mtime_ns, s_etag, temporary, token, ranges TEXT)
        WITHOUT ROWID""",
    *_SPEEDS,
)
# What a ledger of a version lacks to be of the next.
_SINCE = {1: (*_SPEEDS, *_ERROR_KIND)}


def create_file(path: Path) -> None:
    """Make the file and its folder if missing, readable by nobody else whatever the umask.

    SQLite gives its ``-wal`` and ``-shm`` files the mode of the file itself. Raises LedgerError.
    """
    try:
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if stat.S_IMODE(path.parent.stat().st_mode) & 0o077:
            path.parent.chmod(0o700)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if stat.S_IMODE(os.fstat(handle).st_mode) & 0o077:
                os.fchmod(handle, 0o600)
        finally:
            os.close(handle)
    except OSError as error:
        raise LedgerError(
            f"cannot write the ledger {printable(str(path))} ({error.strerror}): make its folder writable, "
            "or name another state folder"
        ) from error


def connect(path: Path) -> sqlite3.Connection:
    """One connection to an existing file, for use by any thread under a lock. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _set_up(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    wal = _write_ahead(connection)
    # Without a write-ahead log (network file systems) only FULL survives a power cut.
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if wal else 'FULL'}")


def _write_ahead(connection: sqlite3.Connection) -> bool:
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            return True
        try:
            return bool(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal")
        except sqlite3.OperationalError as error:
            # The switch does not wait for another process that is just opening the same new file.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def prepare(connection: sqlite3.Connection, path: Path, meta: dict[str, bytes]) -> None:
    """Make the tables in a new file; check that an existing one is a ledger, and add what an earlier version
    lacks.

    ``meta`` is written to a new file only. One transaction: a kill leaves all or nothing. Raises LedgerError
    for a file of another program or of a later version, sqlite3.Error for what SQLite refuses.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if application == 0 and version == 0 and not _has_tables(connection):
            for statement in _TABLES:
                connection.execute(statement)
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        elif application != APPLICATION_ID:
            raise LedgerError(
                f"{printable(str(path))} is not a ledger of tui-sync: move that file away and try again"
            )
        elif version > VERSION:
            raise LedgerError(
                f"the ledger {printable(str(path))} was written by a later version of tui-sync (format "
                f"{version}, this one reads {VERSION}): update tui-sync, or move the file away to start anew"
            )
        elif version < VERSION:
            for older in range(version, VERSION):
                for statement in _SINCE[older]:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _has_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
