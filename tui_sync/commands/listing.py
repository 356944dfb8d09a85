"""Prints what is on record: profiles, and the runs and receipts of the ledgers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from tui_sync import profiles
from tui_sync.batch.output import TextOutput, summary_text
from tui_sync.commands.terminal import say
from tui_sync.connectors.base import Endpoint
from tui_sync.errors import LedgerError, NotFound, ProfileError, UsageError
from tui_sync.export import find_run
from tui_sync.ledger import Ledger, RunRecord, open_ledger
from tui_sync.ledger.store import pair_ledgers
from tui_sync.model import SyncOptions
from tui_sync.names import printable

_NS = 1_000_000_000


def list_profiles() -> int:
    """All profiles of the folder by name; on stderr what is wrong with one that cannot be read, and then the
    exit code is that of a ProfileError."""
    found = profiles.available()
    for item in found:
        if item.profile is not None:
            pair = f"{printable(item.profile.source.url)} -> {printable(item.profile.target.url)}"
            say(f"{printable(item.name)}\t{pair}")
    broken = [item.error for item in found if item.error is not None]
    for error in broken:
        sys.stderr.write(f"error: {error}\n")
    if not found:
        sys.stderr.write(f"no profiles in {printable(str(profiles.folder()))}\n")
    return ProfileError.exit_code if broken else 0


def show_profile(name: str) -> int:
    """One profile as it is understood. Secrets are never resolved: only that there is one is shown."""
    profile = profiles.find(name)
    if profile.file is not None:
        say(f"# {printable(str(profile.file))}")
    for side, endpoint in (("source", profile.source), ("target", profile.target)):
        say(f"[{side}]")
        for line in _endpoint_lines(endpoint):
            say(line)
        say("")
    say("[sync]")
    for line in _option_lines(profile.options):
        say(line)
    return 0


def profiles_path() -> int:
    """The profiles folder."""
    say(printable(str(profiles.folder())))
    return 0


def list_runs(state_dir: Path | None = None) -> int:
    """All pairs' runs, newest first: name, start, end of the run, its numbers. A ledger that cannot be read
    is told on stderr, and the exit code is that of a LedgerError."""
    found: list[tuple[int, str]] = []
    code = 0
    for path in pair_ledgers(state_dir):
        try:
            with opened(path, state_dir) as ledger:
                for run in ledger.runs():
                    found.append((run.started_ns, f"{printable(path.stem)}/{run.run_id}\t{_run_text(run)}"))
        except LedgerError as error:
            sys.stderr.write(f"error: {error}\n")
            code = error.exit_code
    if not found and not code:
        sys.stderr.write("no runs yet\n")
    for _, line in sorted(found, reverse=True):
        say(line)
    return code


def show_run(name: str, state_dir: Path | None = None) -> int:
    """The receipt of a run: a line per item, then the numbers."""
    with opened_run(name, state_dir) as (ledger, run):
        plan = ledger.plan(run.plan_id)
        say(f"# {printable(plan.source)} -> {printable(plan.target)}")
        output = TextOutput(sys.stdout.write)
        for outcome in ledger.outcomes(run.run_id):
            output.ended(outcome)
    say(f"# {_run_text(run)}")
    return 0


@contextmanager
def opened_run(name: str, state_dir: Path | None = None) -> Iterator[tuple[Ledger, RunRecord]]:
    """The run ``PAIR/RUN``, ``PAIR/last`` or ``last``. Raises UsageError, NotFound."""
    pair, _, number = name.rpartition("/")
    if not (number == "last" or (pair and number.isdecimal())):
        raise UsageError(
            f"“{printable(name)}” names no run: write last, or PAIR/RUN as “tui-sync runs list” does"
        )
    path = _ledger_path(pair, state_dir)
    with opened(path, state_dir) as ledger:
        if number != "last":
            yield ledger, find_run(ledger, int(number))
            return
        newest = ledger.runs(limit=1)
        if not newest:
            raise NotFound(f"the pair “{printable(path.stem)}” has no run yet: see “tui-sync runs list”")
        yield ledger, newest[0]


def _ledger_path(pair: str, state_dir: Path | None) -> Path:
    """The ledger of a pair, for ``""`` the one with the newest run."""
    paths = pair_ledgers(state_dir)
    if pair:
        found = next((path for path in paths if path.stem == pair), None)
        if found is None:
            raise NotFound(f"there is no pair “{printable(pair)}”: see “tui-sync runs list”")
        return found
    newest: tuple[int, Path] | None = None
    for path in paths:
        with suppress(LedgerError), opened(path, state_dir) as ledger:
            runs = ledger.runs(limit=1)
            if runs and (newest is None or runs[0].started_ns > newest[0]):
                newest = runs[0].started_ns, path
    if newest is None:
        raise NotFound("there are no runs yet")
    return newest[1]


@contextmanager
def opened(path: Path, state_dir: Path | None) -> Iterator[Ledger]:
    """The ledger in a file; closed at the end of the block."""
    ledger = open_ledger(path.stem, source="", target="", state_dir=state_dir)
    try:
        yield ledger
    finally:
        ledger.close()


def _run_text(run: RunRecord) -> str:
    started = datetime.fromtimestamp(run.started_ns / _NS).astimezone()
    if run.summary is None:
        return f"{started:%Y-%m-%d %H:%M:%S}\tunfinished: under way, or ended without a word"
    return f"{started:%Y-%m-%d %H:%M:%S}\t{run.summary.status}: {summary_text(run.summary)}"


def _endpoint_lines(endpoint: Endpoint) -> Iterator[str]:
    yield f'url = "{printable(endpoint.url)}"'
    for key, value in sorted(endpoint.options.items()):
        yield f'{key} = "{printable(str(value))}"'
    for key in sorted(endpoint.secrets):
        yield f'{key} = "********"'


def _option_lines(options: SyncOptions) -> Iterator[str]:
    for key in SyncOptions.__dataclass_fields__:
        value = getattr(options, key)
        if value is None:
            text = '"auto"' if key == "workers" else '"none"'
        elif isinstance(value, tuple):
            text = "[" + ", ".join(f'"{printable(part)}"' for part in value) + "]"
        elif isinstance(value, int):
            text = str(value)
        else:
            text = f'"{printable(str(value))}"'
        yield f"{key} = {text}"
