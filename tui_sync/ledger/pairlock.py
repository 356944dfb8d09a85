"""One run per pair at a time, on this machine.

The lock is the operating system's own on ``LEDGER.lock`` and ends with its holder, however that ends. Who
holds it is written to ``LEDGER.holder``, for the message only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import filelock

from tui_sync.errors import LedgerError, PairLocked
from tui_sync.names import printable


@contextmanager
def pair_lock(ledger: Path) -> Iterator[None]:
    """Raises PairLocked, naming the holder's process, and LedgerError where no lock can be made."""
    # Not by thread: the one that ends a run need not be the one that began it.
    lock = filelock.FileLock(_beside(ledger, ".lock"), blocking=False, mode=0o600, thread_local=False)
    holder = _beside(ledger, ".holder")
    try:
        lock.acquire()
    except filelock.Timeout:
        raise PairLocked(
            f"another run of this pair is under way{_describe(holder)}: wait for its end, or stop it"
        ) from None
    except OSError as error:
        raise LedgerError(
            f"cannot lock the ledger {printable(str(ledger))} ({error.strerror}): make its folder writable"
        ) from error
    try:
        _write(holder)
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _beside(ledger: Path, suffix: str) -> Path:
    return ledger.with_name(ledger.name + suffix)


def _write(holder: Path) -> None:
    text = f"{os.getpid()} {datetime.now().astimezone():%Y-%m-%d %H:%M:%S}\n"
    # Only the message suffers from a holder file that could not be written.
    with suppress(OSError):
        handle = os.open(holder, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(handle, "w", encoding="ascii") as file:
            file.write(text)


def _describe(holder: Path) -> str:
    try:
        pid, _, since = holder.read_text("ascii").strip().partition(" ")
    except (OSError, ValueError):
        return ""
    return f" (process {pid}, since {since})" if pid.isdecimal() and since else ""
