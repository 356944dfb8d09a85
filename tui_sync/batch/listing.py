"""Prints what is on record: profiles, and the runs and receipts of the ledgers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from tui_sync import profiles
from tui_sync.batch.output import TextOutput, summary_text
from tui_sync.connectors.base import Endpoint
from tui_sync.errors import LedgerError, NotFound, ProfileError, UsageError
from tui_sync.ledger import Ledger, open_ledger
from tui_sync.ledger.store import RunRecord, pair_ledgers
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
            _print(f"{printable(item.name)}\t{pair}")
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
        _print(f"# {printable(str(profile.file))}")
    for side, endpoint in (("source", profile.source), ("target", profile.target)):
        _print(f"[{side}]")
        for line in _endpoint_lines(endpoint):
            _print(line)
        _print("")
    _print("[sync]")
    for line in _option_lines(profile.options):
        _print(line)
    return 0


def profiles_path() -> int:
    """The profiles folder."""
    _print(printable(str(profiles.folder())))
    return 0


def list_runs(state_dir: Path | None = None) -> int:
    """All pairs' runs, newest first: name, start, end of the run, its numbers. A ledger that cannot be read
    is told on stderr, and the exit code is that of a LedgerError."""
    found: list[tuple[int, str]] = []
    code = 0
    for path in pair_ledgers(state_dir):
        try:
            with _opened(path, state_dir) as ledger:
                for run in ledger.runs():
                    found.append((run.started_ns, f"{printable(path.stem)}/{run.run_id}\t{_run_text(run)}"))
        except LedgerError as error:
            sys.stderr.write(f"error: {error}\n")
            code = error.exit_code
    if not found and not code:
        sys.stderr.write("no runs yet\n")
    for _, line in sorted(found, reverse=True):
        _print(line)
    return code


def show_run(name: str, state_dir: Path | None = None) -> int:
    """The receipt of the run ``PAIR/RUN``: a line per item, then the numbers."""
    pair, _, number = name.rpartition("/")
    if not pair or not number.isdecimal():
        raise UsageError(f"“{printable(name)}” names no run: write PAIR/RUN as “tui-sync runs list” does")
    path = next((path for path in pair_ledgers(state_dir) if path.stem == pair), None)
    if path is None:
        raise NotFound(f"there is no pair “{printable(pair)}”: see “tui-sync runs list”")
    with _opened(path, state_dir) as ledger:
        run = next((run for run in ledger.runs() if run.run_id == int(number)), None)
        if run is None:
            raise NotFound(f"the pair “{printable(pair)}” has no run {number}: see “tui-sync runs list”")
        plan = ledger.plan(run.plan_id)
        _print(f"# {printable(plan.source)} -> {printable(plan.target)}")
        output = TextOutput(sys.stdout.write)
        for outcome in ledger.outcomes(run.run_id):
            output.ended(outcome)
    _print(f"# {_run_text(run)}")
    return 0


@contextmanager
def _opened(path: Path, state_dir: Path | None) -> Iterator[Ledger]:
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


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
