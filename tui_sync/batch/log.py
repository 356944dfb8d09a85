"""``--log-file``: what every run did, in a file that rotates by itself."""

from __future__ import annotations

import logging
import os
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Self

from tui_sync.batch.output import is_conflict, summary_text, totals_text
from tui_sync.errors import TuiSyncError, UsageError
from tui_sync.model import Item, Kind, Outcome, Plan, Snapshot, Status, Summary
from tui_sync.names import printable
from tui_sync.profiles import Profile

LARGEST = 5_000_000
KEPT = 5
_FORMAT = "%(asctime)s %(levelname)s [%(process)d] %(message)s"


class _Handler(RotatingFileHandler):
    """Readable by its owner alone, for it names files; and full disks are no reason to stop a run."""

    def _open(self) -> TextIOWrapper:
        handle = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return open(handle, "a", encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:
        pass


class RunLog:
    """``output.Output`` into a log file; does nothing where ``file`` is None. Names are printable in it.

    Entering raises UsageError for a file that cannot be written. An error that passes through is logged.
    """

    def __init__(self, file: Path | None, profile: Profile) -> None:
        self._file = file
        self._profile = profile
        # Not in the tree of loggers: nobody else's handlers are to see it, nor this one theirs.
        self._log = logging.Logger("tui_sync.run", logging.INFO)
        self._handler: logging.Handler = logging.NullHandler()

    def __enter__(self) -> Self:
        self._log.addHandler(self._handler)
        if self._file is None:
            self._log.disabled = True
            return self
        try:
            handler = _Handler(self._file, maxBytes=LARGEST, backupCount=KEPT)
        except OSError as error:
            raise UsageError(
                f"cannot write the log file {printable(str(self._file))}: {error.strerror}"
            ) from None
        handler.setFormatter(logging.Formatter(_FORMAT))
        self._log.addHandler(handler)
        self._handler = handler
        pair = f"{printable(self._profile.source.url)} -> {printable(self._profile.target.url)}"
        self._log.info("start: %s: %s", printable(self._profile.name), pair)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, TuiSyncError):
            self._log.error("%s", printable(str(error)))
        elif error is not None:
            self._log.error("ended by %s", type(error).__name__)
        self._handler.close()

    def plan(self, plan: Plan, *, dry_run: bool) -> None:
        self._log.info("%s: %s", "dry run" if dry_run else "plan", totals_text(plan.totals))

    def planned(self, item: Item) -> None:
        if is_conflict(item):
            self._log.warning("conflict: %s: %s", _path(item), printable(item.reason))

    def ended(self, outcome: Outcome) -> None:
        if self._log.disabled:
            return
        item = outcome.item
        if outcome.status is Status.DONE:
            self._log.info("%s: %s", item.action, _path(item))
        else:
            self._log.warning(
                "%s: %s %s: %s", outcome.status, item.action, _path(item), printable(outcome.error)
            )

    def progress(self, snapshot: Snapshot) -> None:
        pass

    def error(self, message: str) -> None:
        self._log.error("%s", printable(message))

    def summary(self, summary: Summary, plan: Plan, *, dry_run: bool) -> None:
        self._log.info("end: %s (exit code %d): %s", summary.status, summary.exit_code, summary_text(summary))


def _path(item: Item) -> str:
    return printable(item.path or ".") + ("/" if item.entry_kind is Kind.DIRECTORY else "")
