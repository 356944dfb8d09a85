"""What batch mode writes to stdout: lines for people, or NDJSON for programs.

NDJSON is one object per line, in ASCII. ``path`` is the path on the target as it is, unless it holds bytes
that are not UTF-8: then ``path`` is its printable form and ``path_b64`` the bytes themselves in base64.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import humanize

from tui_sync.export import item_record, outcome_record
from tui_sync.model import Action, ChangeKind, Item, Kind, Outcome, Plan, Snapshot, Status, Summary, Totals
from tui_sync.names import printable

_CONFLICTS = (ChangeKind.ERROR, ChangeKind.TYPE_CHANGED)


def is_conflict(item: Item) -> bool:
    """True for an item that a person has to settle, and no run will."""
    return item.action is Action.SKIP and item.kind in _CONFLICTS


class Output(Protocol):
    """Data on stdout, in the order in which things happen. The summary is the last."""

    def plan(self, plan: Plan, *, dry_run: bool) -> None: ...

    def planned(self, item: Item) -> None:
        """An item that is not carried out: all of a dry run, the conflicts of a run."""

    def ended(self, outcome: Outcome) -> None: ...

    def progress(self, snapshot: Snapshot) -> None: ...

    def error(self, message: str) -> None: ...

    def summary(self, summary: Summary, plan: Plan, *, dry_run: bool) -> None: ...


class TextOutput:
    """``GLYPH PATH``, then after a tab the reason. A tab inside a path is shown as ``\\t``."""

    def __init__(self, write: Callable[[str], object], *, quiet: bool = False) -> None:
        self._write_text = write
        self._quiet = quiet

    def plan(self, plan: Plan, *, dry_run: bool) -> None:
        pass

    def planned(self, item: Item) -> None:
        if not self._quiet or is_conflict(item):
            self._line("!" if is_conflict(item) else item.glyph, item, item.reason)

    def ended(self, outcome: Outcome) -> None:
        if outcome.status is not Status.DONE:
            self._line(
                "!", outcome.item, f"{outcome.status}: {outcome.error}" if outcome.error else outcome.status
            )
        elif not self._quiet:
            self._line(outcome.item.glyph, outcome.item, outcome.item.reason)

    def progress(self, snapshot: Snapshot) -> None:
        pass

    def error(self, message: str) -> None:
        pass

    def summary(self, summary: Summary, plan: Plan, *, dry_run: bool) -> None:
        if dry_run:
            asked = f"; {requests_text(summary.requests)}" if summary.requests else ""
            self._write(f"plan: {totals_text(plan.totals)}; nothing was written{asked}")
        elif summary.status == "refused":
            self._write(f"refused: {totals_text(plan.totals)}; nothing was written")
        elif not self._quiet or summary.exit_code:
            self._write(f"{summary.status}: {summary_text(summary)}")

    def _line(self, glyph: str, item: Item, reason: str) -> None:
        path = printable(item.path) + ("/" if item.entry_kind is Kind.DIRECTORY else "")
        note = f"\t{printable(reason)}" if reason else ""
        self._write(f"{glyph} {path if item.path else './'}{note}")

    def _write(self, line: str) -> None:
        self._write_text(line + "\n")


class JsonOutput:
    """Records with ``event`` plan, item, progress, error, summary."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write_text = write

    def plan(self, plan: Plan, *, dry_run: bool) -> None:
        totals = plan.totals
        self._write(
            "plan",
            source=plan.source,
            target=plan.target,
            mode=plan.options.mode.value,
            compare=plan.options.compare.value,
            dry_run=dry_run,
            create=totals.create,
            update=totals.update,
            delete=totals.delete,
            mkdir=totals.mkdir,
            unchanged=totals.unchanged,
            conflicts=totals.conflicts,
            bytes=totals.bytes,
            delete_bytes=totals.delete_bytes,
            guards=[
                {"code": guard.code, "message": guard.message, "blocking": guard.blocking}
                for guard in plan.guards
            ],
        )

    def planned(self, item: Item) -> None:
        status = "conflict" if is_conflict(item) else "skipped" if item.action is Action.SKIP else "planned"
        self._write("item", status=status, **item_record(item), bytes=item.bytes)

    def ended(self, outcome: Outcome) -> None:
        self._write("item", **outcome_record(outcome))

    def progress(self, snapshot: Snapshot) -> None:
        self._write(
            "progress",
            state=snapshot.state.value,
            files_done=snapshot.files_done,
            files_total=snapshot.files_total,
            bytes_done=snapshot.bytes_done,
            bytes_total=snapshot.bytes_total,
            bytes_per_s=round(snapshot.speed),
            eta_s=None if snapshot.eta_s is None else round(snapshot.eta_s, 1),
            failed=snapshot.failed,
            elapsed_s=round(snapshot.elapsed_s, 3),
        )

    def error(self, message: str) -> None:
        self._write("error", message=message)

    def summary(self, summary: Summary, plan: Plan, *, dry_run: bool) -> None:
        self._write(
            "summary",
            status=summary.status,
            exit_code=summary.exit_code,
            created=summary.created,
            updated=summary.updated,
            deleted=summary.deleted,
            unchanged=summary.unchanged,
            skipped=summary.skipped,
            failed=summary.failed,
            bytes=summary.bytes,
            elapsed_s=round(summary.elapsed_s, 3),
            verified=summary.verified.value,
            directories=summary.directories,
            conflicts=summary.conflicts,
            dry_run=dry_run,
            requests=dict(summary.requests),
            trash=summary.trash,
        )

    def _write(self, event: str, **values: Any) -> None:
        # ASCII: every consumer decodes it, and no control or bidi character reaches a terminal.
        self._write_text(json.dumps({"event": event, **values}) + "\n")


class Outputs:
    """Several outputs as one."""

    def __init__(self, *outputs: Output) -> None:
        self._outputs = outputs

    def plan(self, plan: Plan, *, dry_run: bool) -> None:
        for output in self._outputs:
            output.plan(plan, dry_run=dry_run)

    def planned(self, item: Item) -> None:
        for output in self._outputs:
            output.planned(item)

    def ended(self, outcome: Outcome) -> None:
        for output in self._outputs:
            output.ended(outcome)

    def progress(self, snapshot: Snapshot) -> None:
        for output in self._outputs:
            output.progress(snapshot)

    def error(self, message: str) -> None:
        for output in self._outputs:
            output.error(message)

    def summary(self, summary: Summary, plan: Plan, *, dry_run: bool) -> None:
        for output in self._outputs:
            output.summary(summary, plan, dry_run=dry_run)


def size_text(size: float) -> str:
    """``12.3 MB``."""
    return humanize.naturalsize(size)


def totals_text(totals: Totals) -> str:
    """``3 to create (1.2 MB), 1 to update (3 Bytes), 40 unchanged``: what is zero is left out."""
    parts = [
        f"{totals.create:,} to create ({size_text(totals.create_bytes)})" if totals.create else "",
        f"{totals.update:,} to update ({size_text(totals.update_bytes)})" if totals.update else "",
        f"{totals.delete:,} to delete ({size_text(totals.delete_bytes)})" if totals.delete else "",
        _count(totals.mkdir, "folder to make", "folders to make"),
        _count(totals.conflicts, "conflict", "conflicts"),
    ]
    found = [part for part in parts if part] or ["nothing to do"]
    return ", ".join([*found, f"{totals.unchanged:,} unchanged"])


def summary_text(summary: Summary) -> str:
    """The numbers of a run in one line."""
    speed = f", {size_text(summary.bytes / summary.elapsed_s)}/s" if summary.elapsed_s >= 0.1 else ""
    parts = [
        f"{summary.created:,} created",
        f"{summary.updated:,} updated",
        f"{summary.deleted:,} deleted",
        f"{summary.unchanged:,} unchanged",
        _count(summary.skipped, "skipped", "skipped"),
        f"{summary.failed:,} failed",
        _count(summary.conflicts, "conflict", "conflicts"),
    ]
    counts = ", ".join(part for part in parts if part)
    moved = f"{size_text(summary.bytes)} in {summary.elapsed_s:.1f} s{speed}"
    asked = f"; {requests_text(summary.requests)}" if summary.requests else ""
    trash = f"; in the trash: {summary.trash}" if summary.trash else ""
    return f"{counts}; {moved}; verified: {summary.verified.value}{trash}{asked}"


def requests_text(requests: Mapping[str, int]) -> str:
    """``1,012 requests to S3: PutObject 1,000, ListObjectsV2 12``: the most frequent first."""
    ranked = sorted(requests.items(), key=lambda one: (-one[1], one[0]))
    kinds = ", ".join(f"{name} {number:,}" for name, number in ranked)
    return f"{_count(sum(requests.values()), 'request', 'requests')} to S3: {kinds}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}" if number else ""
