"""The report task: the receipts of all parts become the pair's, and the run fails where items failed."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from tui_sync.airflow.parts import result_of
from tui_sync.airflow.plan import DELETES, FOLDERS, LEDGER, Run
from tui_sync.airflow.storage import Folder, scratch
from tui_sync.airflow.worker import named_as_stored, told
from tui_sync.errors import LedgerError
from tui_sync.export import FORMS, export
from tui_sync.ledger import Ledger, ledger_path, open_ledger
from tui_sync.model import FolderAttributes, Partial, Status, Summary, Verify
from tui_sync.names import printable
from tui_sync.transfer.receipt import Receipt

_log = logging.getLogger(__name__)

_BATCH = 500
_SHOWN = 20
_RUNS_KEPT = 20
_DRIFTED = 24


def make_report(run: str | None, *, drift_fails: bool) -> dict[str, Any]:
    """Merge the receipts of the run stored at ``run`` into the pair's ledger, and store them as files.

    Returns where they are, and the summary. Raises AirflowFailException where the run did not end well;
    with ``drift_fails`` also where items had changed since the plan and were skipped.
    """
    if run is None:
        raise AirflowFailException("there is no plan, and nothing was written: see the plan task")
    with told(), scratch() as here:
        folder = Folder(run)
        head = Run.of(folder)
        home = Folder(run.rpartition("/")[0])
        if not home.fetch(LEDGER, ledger_path(head.pair, here)):
            raise LedgerError(
                f"the ledger of the pair is gone from {printable(home.url)}: start the run anew"
            )
        with (
            named_as_stored(ledger_path(head.pair, here), f"{home.url}/{LEDGER}"),
            closing(_open(head, here)) as ledger,
        ):
            summary = _merge(ledger, head, folder, here)
            _store(ledger, head, folder, home, here)
            bad = ledger.outcomes(head.run, statuses=set(Status) - {Status.DONE})
            shown = [
                f"{printable(one.item.path)}: {one.error or one.status.value}" for one in islice(bad, _SHOWN)
            ]
        for name in home.folders()[:-_RUNS_KEPT]:
            home.child(name).remove()
    for line in shown:
        _log.warning("%s", line)
    sentence = _sentence(summary) + f"; receipt: {folder.url}/receipt.html"
    _log.info("%s", sentence)
    if summary.exit_code and (summary.exit_code != _DRIFTED or drift_fails):
        raise AirflowFailException(sentence)
    return {"receipt": folder.url, "summary": asdict(summary)}


def _open(head: Run, state_dir: Path) -> Ledger:
    """A ledger that is there, and knows its places."""
    return open_ledger(head.pair, source="", target="", state_dir=state_dir)


def _merge(ledger: Ledger, head: Run, folder: Folder, here: Path) -> Summary:
    """All outcomes under the run's number, and what is left to go on with. May be done again."""
    partials: dict[str, Partial] = {}
    folders: dict[str, FolderAttributes] = {}
    finished = bool(result_of(folder, DELETES))
    for name in (FOLDERS, *head.parts):
        part_dir = here / name
        file = ledger_path(head.pair, part_dir)
        if name == FOLDERS and FOLDERS in head.parts and part_dir.exists():
            continue
        if not folder.fetch(f"{name}.sqlite", file):
            continue
        with named_as_stored(file, f"{folder.url}/{name}.sqlite"), closing(_open(head, part_dir)) as part:
            _take_outcomes(ledger, head.run, part)
            if finished and name == FOLDERS:
                # What it knew to be left was taken up by the last part.
                continue
            partials |= {partial.path: partial for partial in part.partials()}
            for unfinished in part.unfinished_folders():
                if unfinished.path not in folders or unfinished.mtime_ns is not None:
                    folders[unfinished.path] = unfinished
            if finished and name == DELETES:
                folders = {left.path: left for left in part.unfinished_folders()}
        file.unlink()
    for known in ledger.partials():
        ledger.drop_partial(known.path)
    for partial in partials.values():
        ledger.save_partial(partial)
    for left in ledger.unfinished_folders():
        ledger.folder_finished(left.path)
    for waiting in folders.values():
        ledger.folder_unfinished(waiting)
    return _summary(ledger, head)


def _take_outcomes(ledger: Ledger, run_id: int, part: Ledger) -> None:
    # The oldest attempt first: what a later one says of an item replaces it.
    for record in reversed(part.runs()):
        batch = []
        for outcome in part.outcomes(record.run_id):
            batch.append(outcome)
            if len(batch) >= _BATCH:
                ledger.record(run_id, batch)
                batch.clear()
        ledger.record(run_id, batch)


def _summary(ledger: Ledger, head: Run) -> Summary:
    plan = ledger.plan(head.plan)
    receipt = Receipt(Verify.SIZE)
    for outcome in ledger.outcomes(head.run):
        receipt.add(outcome)
    record = next(one for one in ledger.runs() if one.run_id == head.run)
    elapsed = (time.time_ns() - record.started_ns) / 1e9
    # Items without an outcome are those of parts that never came to their end.
    summary = receipt.summary(plan, elapsed_s=elapsed, stopped=True, fatal=None)
    ledger.finish_run(head.run, summary)
    return summary


def _store(ledger: Ledger, head: Run, folder: Folder, home: Folder, here: Path) -> None:
    for form in FORMS:
        file = here / f"receipt.{form}"
        with file.open("w", encoding="utf-8", newline="") as out:
            export(ledger, head.run, form, out)
        folder.put(file.name, file)
    copy = here / LEDGER
    ledger.save_copy(copy)
    home.put(LEDGER, copy)


def _sentence(summary: Summary) -> str:
    done = f"{summary.created} created, {summary.updated} updated, {summary.deleted} deleted"
    if not (
        summary.exit_code or summary.created or summary.updated or summary.deleted or summary.directories
    ):
        return "nothing to do"
    bad = "".join(
        f", {count} {what}"
        for count, what in (
            (summary.failed, "failed"),
            (summary.skipped, "skipped"),
            (summary.conflicts, "in conflict"),
        )
        if count
    )
    return f"{summary.status}: {done}{bad}; verified: {summary.verified.value}"
