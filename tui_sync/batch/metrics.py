"""``--metrics-file``: the last run's figures, for the textfile collector of Prometheus' node exporter.

The format is the Prometheus text exposition format 0.0.4.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tui_sync.errors import TuiSyncError, UsageError
from tui_sync.model import Item, Outcome, Plan, Snapshot, Summary
from tui_sync.names import printable
from tui_sync.profiles import Profile
from tui_sync.whole import written_whole

_HELP = {
    "last_run_timestamp_seconds": "When the last run ended.",
    "last_success_timestamp_seconds": "When the last run with exit code 0 ended.",
    "exit_code": "Exit code of the last run.",
    "duration_seconds": "How long the last run took.",
    "created_files": "Files the last run created.",
    "updated_files": "Files the last run replaced.",
    "deleted_files": "Files and folders the last run deleted.",
    "unchanged_files": "Files the last run found unchanged.",
    "failed_items": "Items of the last run that failed.",
    "skipped_items": "Items of the last run that drifted, vanished or were held back.",
    "conflicts": "Items of the last run that a person has to settle.",
    "copied_bytes": "Bytes the last run copied.",
}
_SUCCESS = "last_success_timestamp_seconds"


class Metrics:
    """``output.Output`` that keeps the summary and writes it on leaving, also after an error; does nothing
    where ``file`` is None, or for a dry run."""

    def __init__(self, file: Path | None, profile: Profile, dry_run: bool) -> None:
        self._file = None if dry_run else file
        self._profile = profile
        self._summary: Summary | None = None
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        if self._file is None:
            return self
        try:
            problem = "it is a folder" if self._file.is_dir() else ""
        except OSError as error:
            problem = error.strerror or "it cannot be looked at"
        if not os.access(self._file.absolute().parent, os.W_OK):
            problem = "its folder is missing or closed"
        if problem:
            raise UsageError(f"cannot write the metrics file {printable(str(self._file))}: {problem}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None:
            return
        summary = self._summary
        if summary is None:
            code = error.exit_code if isinstance(error, TuiSyncError) else 1
            summary = Summary("error", code, elapsed_s=time.monotonic() - self._started)
        try:
            self._write(self._file, summary)
        except OSError as failure:
            if error is None:
                raise UsageError(
                    f"cannot write the metrics file {printable(str(self._file))}: {failure.strerror}"
                ) from None

    def plan(self, plan: Plan, *, dry_run: bool) -> None:
        pass

    def planned(self, item: Item) -> None:
        pass

    def ended(self, outcome: Outcome) -> None:
        pass

    def progress(self, snapshot: Snapshot) -> None:
        pass

    def error(self, message: str) -> None:
        pass

    def summary(self, summary: Summary, plan: Plan, *, dry_run: bool) -> None:
        self._summary = summary

    def _write(self, file: Path, summary: Summary) -> None:
        """In one step: the collector may read at any moment."""
        now = time.time()
        pair, profile = _label(self._profile.pair_id), _label(self._profile.name)
        values: dict[str, float | None] = {
            "last_run_timestamp_seconds": now,
            _SUCCESS: now if summary.exit_code == 0 else _earlier_success(file),
            "exit_code": summary.exit_code,
            "duration_seconds": summary.elapsed_s,
            "created_files": summary.created,
            "updated_files": summary.updated,
            "deleted_files": summary.deleted,
            "unchanged_files": summary.unchanged,
            "failed_items": summary.failed,
            "skipped_items": summary.skipped,
            "conflicts": summary.conflicts,
            "copied_bytes": summary.bytes,
        }
        lines = []
        for name, value in values.items():
            if value is not None:
                full = f"tui_sync_{name}"
                lines += [f"# HELP {full} {_HELP[name]}", f"# TYPE {full} gauge"]
                lines.append(f'{full}{{pair="{pair}",profile="{profile}"}} {round(value, 3)}')
        # The collector is another user, and there is nothing in it to hide.
        with written_whole(file.absolute(), mode=0o644) as stream:
            stream.write(("\n".join(lines) + "\n").encode())


def _earlier_success(file: Path) -> float | None:
    with suppress(OSError, ValueError):
        match = re.search(rf"^tui_sync_{_SUCCESS}\{{.*\}} (\S+)$", file.read_text("utf-8"), re.MULTILINE)
        return float(match[1]) if match else None
    return None


def _label(text: str) -> str:
    """A label's value: backslash, quote and line feed escaped, anything else that is odd spelled out."""
    return printable(text).replace("\\", "\\\\").replace('"', '\\"')
