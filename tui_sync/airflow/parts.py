"""The tasks that write: the folders, each shard of the files, and at last the deletes.

A part is carried out by the engine, with a ledger of its own of which a copy goes to storage every few
seconds. So an attempt that is cut short, however it ends, is gone on with by the next one, on any worker.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowException

from tui_sync.airflow.places import Pair
from tui_sync.airflow.plan import DELETES, FOLDERS, Run
from tui_sync.airflow.storage import Folder, scratch
from tui_sync.airflow.worker import opened, told
from tui_sync.errors import UsageError
from tui_sync.ledger import Ledger, ledger_path
from tui_sync.model import Action, FolderAttributes, Plan, Status, Summary
from tui_sync.names import printable
from tui_sync.session import Session
from tui_sync.transfer.engine import Engine
from tui_sync.transfer.part import Part

_log = logging.getLogger(__name__)

_TICK_S = 1.0
_SAVE_S = 5.0
_TELL_S = 30.0
# An attempt looks this often whether it is still the newest; a newer one waits until it must have seen it.
_LOOK_S = 2.0
_TAKE_OVER_S = 6.0


def carry_out(pair: Pair, run: str, part: str) -> dict[str, Any]:
    """Carry out one part of the run stored at ``run``, or go on with it. Returns its status and exit code.

    Raises AirflowException where another attempt may do better; an item that failed is told in the receipt
    and does not make the task fail.
    """
    with told(pair), scratch() as here:
        folder = Folder(run)
        head = Run.of(folder)
        if part not in head.parts:
            _log.info("nothing to do")
            return {"part": part, "status": "ok", "exit_code": 0}
        profile = pair.profile(here)
        attempt = _Attempt(folder, part)
        again = attempt.begin()
        state = ledger_path(profile.pair_id, here)
        found = folder.fetch(f"{part}.sqlite", state)
        if not found and part == DELETES:
            folder.fetch(f"{FOLDERS}.sqlite", state)
        plan_file = here / f"{part}.plan"
        folder.fetch(plan_file.name, plan_file)
        with opened(profile, here, head.tag, stored=f"{folder.url}/{part}.sqlite") as session:
            keeper = _Keeper(session.ledger, folder, part, here)
            plan = _load(session, plan_file, folder)
            how = _part(head, folder, part, session.ledger, again=again)
            keeper.save()
            with _stoppable(session) as stopped:
                engine = session.start(plan, part=how)
                _follow(engine, keeper, attempt, stopped)
            keeper.save()
            summary = _ended(engine, session, folder, part)
        attempt.end()
        return {"part": part, "status": summary.status, "exit_code": summary.exit_code}


def result_of(folder: Folder, part: str) -> dict[str, Any]:
    """What a part that came to its end left to know for others; empty where it did not."""
    found: dict[str, Any] | None = folder.read(f"{part}.json")
    return found or {}


def _load(session: Session, file: Path, folder: Folder) -> Plan:
    try:
        return session.load_plan(file)
    except UsageError as error:
        _log.info("%s", error)
        raise UsageError(
            f"{printable(folder.url)}/{file.name} is not as the plan task stored it, and nothing of it was "
            "done: start the run anew"
        ) from None


def _part(head: Run, folder: Folder, part: str, ledger: Ledger, *, again: bool) -> Part:
    unmade = frozenset(result_of(folder, FOLDERS).get("unmade", ()))
    if part != DELETES:
        return Part(head.run, again=again, unmade=unmade)
    # A task that was marked as a success by hand has no result: nobody knows what became of its files.
    results = [result_of(folder, name) or {"uncopied": name} for name in head.parts if name != DELETES]
    waiting = {known.path for known in ledger.unfinished_folders()}
    for result in results:
        for raw in result.get("folders", ()):
            # What the making of a folder asks for is what counts, not how it was opened for a file.
            if raw["path"] not in waiting:
                ledger.folder_unfinished(FolderAttributes(**raw))
    uncopied = next((result["uncopied"] for result in results if result.get("uncopied")), None)
    return Part(head.run, last=True, again=again, leftovers=head.leftovers, uncopied=uncopied)


def _follow(engine: Engine, keeper: _Keeper, attempt: _Attempt, stopped: threading.Event) -> None:
    """Until the end of the engine, which is not left running whatever happens here."""
    parent = os.getppid()
    looked = told_at = time.monotonic()
    try:
        while not engine.wait(_TICK_S):
            if stopped.is_set():
                raise AirflowException("stopped: the next attempt goes on from here")
            if os.getppid() != parent:
                # Whoever started this process is gone, and will start the part anew.
                raise AirflowException("the worker is gone: the next attempt goes on from here")
            now = time.monotonic()
            if now - looked >= _LOOK_S:
                looked = now
                attempt.check()
            if now - told_at >= _TELL_S:
                told_at = now
                _tell(engine)
            keeper.save_in_time()
    except BaseException:
        # Also where the task is killed politely: what was done is kept for the next attempt.
        engine.cancel()
        engine.wait(5)
        # A newer attempt has its own copy to keep.
        if attempt.newest():
            keeper.save()
        raise


def _tell(engine: Engine) -> None:
    now = engine.snapshot()
    _log.info(
        "%s: %s of %s files, %s of %s bytes, %s bytes/s, %s failed",
        now.phase,
        *(f"{n:,}" for n in (now.files_done, now.files_total, now.bytes_done, now.bytes_total)),
        f"{now.speed:,.0f}",
        f"{now.failed:,}",
    )


def _ended(engine: Engine, session: Session, folder: Folder, part: str) -> Summary:
    summary, ledger = engine.summary, session.ledger
    bad = list(ledger.outcomes(engine.run_id, statuses=set(Status) - {Status.DONE}))
    for outcome in bad[:50]:
        _log.warning(
            "%s: %s: %s", printable(outcome.item.path), outcome.status.value, printable(outcome.error)
        )
    if engine.error is not None:
        raise engine.error
    if engine.lost:
        raise AirflowException("a connection was lost and could not be restored")
    unfinished = ledger.unfinished_folders()
    if part == DELETES and unfinished:
        raise AirflowException(
            f"{len(unfinished)} folders did not get their attributes, “{printable(unfinished[0].path)}” "
            "among them"
        )
    undone = [outcome.item for outcome in bad if outcome.item.action is not Action.DELETE]
    folder.write(
        f"{part}.json",
        {
            "uncopied": (undone[0].path or "/") if undone else None,
            "unmade": [item.path for item in undone if item.action is Action.MKDIR],
            # Those that were made are in the ledger, with which the last part begins.
            "folders": [] if part == FOLDERS else [asdict(opened_one) for opened_one in unfinished],
        },
    )
    _log.info("%s: %s", part, summary.status)
    return summary


class _Keeper:
    """Keeps the copy of a part's ledger in storage new, at a few per cent of the time."""

    def __init__(self, ledger: Ledger, folder: Folder, part: str, here: Path) -> None:
        self._ledger = ledger
        self._folder = folder
        self._name = f"{part}.sqlite"
        self._copy = here / "copy.sqlite"
        self._due = 0.0

    def save_in_time(self) -> None:
        if time.monotonic() >= self._due:
            self.save()

    def save(self) -> None:
        began = time.monotonic()
        self._copy.unlink(missing_ok=True)
        self._ledger.save_copy(self._copy)
        self._folder.put(self._name, self._copy)
        ended = time.monotonic()
        self._due = ended + max(_SAVE_S, 20 * (ended - began))


class _Attempt:
    """One attempt at a part: never two at a time, as far as both reach the storage.

    Airflow starts a new one where it has lost sight of the old one, which may yet be alive.
    """

    def __init__(self, folder: Folder, part: str) -> None:
        self._folder = folder
        self._name = f"{part}.attempt.json"
        self._token = secrets.token_hex(8)

    def begin(self) -> bool:
        """Take over, and say whether there was an earlier attempt. One that has not come to its own end is
        given the time to notice."""
        earlier = self._folder.read(self._name)
        self._write(ended=False)
        if earlier is not None and not earlier.get("ended"):
            _log.info("an earlier attempt was cut short: going on with it")
            time.sleep(_TAKE_OVER_S)
        return earlier is not None

    def newest(self) -> bool:
        found = self._folder.read(self._name)
        return found is not None and found.get("token") == self._token

    def check(self) -> None:
        """Raises AirflowException where a newer attempt has taken over."""
        if not self.newest():
            raise AirflowException("a newer attempt at this part has taken over")

    def end(self) -> None:
        self._write(ended=True)

    def _write(self, *, ended: bool) -> None:
        self._folder.write(self._name, {"token": self._token, "ended": ended})


@contextmanager
def _stoppable(session: Session) -> Iterator[threading.Event]:
    """Set where Airflow wants the task to end: what is half done is then left so that it can be gone on
    with."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {
        number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
