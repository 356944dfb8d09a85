"""The planner over generated listings of millions of entries: time, peak memory, and size of the ledger.

Run from the repository: ``python -m tests.bench.planner --entries 5000000``. Nothing is listed over a network
and no file is made: what is measured is scan, merge, plan and ledger, in one process per case. Exit code 1
above the memory that is asked for, or where a plan is not what it has to be.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from tests.bench.support import ROOT
from tui_sync.connectors import registry
from tui_sync.connectors.base import Download, Endpoint, Features, Listed, Place, Prompts, Writer
from tui_sync.connectors.one_by_one import OneByOneReader
from tui_sync.errors import NotSupported
from tui_sync.model import Entry, Kind, SyncOptions
from tui_sync.profiles import Profile
from tui_sync.session import Session

MOST_MIB = 400
SCHEME = "generated"
_T0 = 1_700_000_000_000_000_000
_FOLDERS_PER_FOLDER = 100

CASES = {
    "equal": "both sides the same",
    "changed": "every tenth file changed",
    "new": "an empty target",
    "app": "both sides the same, every item kept for the app",
}


class Listings(OneByOneReader):
    """``entries`` files, ``per_folder`` in each folder of the last level, a hundred of those in each above.

    Every ``changed``-th file is older than on the other side; 0 for none.
    """

    features = Features()

    def __init__(self, entries: int, per_folder: int, changed: int) -> None:
        self._entries = entries
        self._per_folder = per_folder
        self._changed = changed

    def list_dir(self, path: str) -> list[Listed]:
        folders = -(-self._entries // self._per_folder)
        names = path.split("/") if path else []
        if folders == 1 and not names:
            return self._files(0)
        if len(names) == 2:
            return self._files(int(names[0][-4:]) * _FOLDERS_PER_FOLDER + int(names[1][-2:]))
        if len(names) == 1:
            first = int(names[0][-4:]) * _FOLDERS_PER_FOLDER
            inner = range(min(_FOLDERS_PER_FOLDER, folders - first))
            return [Listed(f"day {number:02}", Kind.DIRECTORY, 0, _T0, 0o755) for number in inner]
        outer = range(-(-folders // _FOLDERS_PER_FOLDER))
        return [Listed(f"series {number:04}", Kind.DIRECTORY, 0, _T0, 0o755) for number in outer]

    def _files(self, folder: int) -> list[Listed]:
        first = folder * self._per_folder
        last = min(first + self._per_folder, self._entries)
        changed = self._changed
        return [
            Listed(
                f"measurement {number:08}.dat",
                Kind.FILE,
                4096 + number % 1000,
                _T0 + number * 1_000_000 - (86_400 * 10**9 if changed and not number % changed else 0),
                0o644,
            )
            for number in range(first, last)
        ]

    def stat(self, path: str) -> Entry:
        return Entry(path, Kind.DIRECTORY)

    def open(self, path: str) -> Download:
        raise NotSupported("a generated file has no content")

    def checksum(self, path: str, algorithm: str) -> str | None:
        return None

    def free_space(self) -> int | None:
        return None


class Generated:
    """The connector of such listings."""

    def __init__(self, endpoint: Endpoint) -> None:
        entries, per_folder, changed = (int(part) for part in endpoint.path.split(","))
        self.label = self.server = endpoint.url
        self._reader = Listings(entries, per_folder, changed)

    def place(self) -> Place:
        return Place("/")

    def reader(self) -> Listings:
        return self._reader

    def writer(self) -> Writer:
        raise NotSupported("a generated listing cannot be written")

    def close(self) -> None:
        return


def connect(endpoint: Endpoint, prompts: Prompts) -> Generated:
    return Generated(endpoint)


class Nobody:
    """See ``base.Prompts``."""

    def secret(self, server: str, prompt: str) -> str | None:
        return None

    def trust(self, server: str, key: object) -> bool:
        return False


def endpoint(side: str, entries: int, per_folder: int, changed: int) -> Endpoint:
    return Endpoint(f"{SCHEME}://{side}", SCHEME, f"{entries},{per_folder},{changed}", host=side)


def measure(case: str, entries: int, per_folder: int) -> dict[str, float]:
    """Make one plan in this process, and read it once as a run does."""
    changed = 10 if case == "changed" else 0
    source = endpoint("source", entries, per_folder, changed=0)
    target = endpoint("target", 0 if case == "new" else entries, per_folder, changed=changed)
    with tempfile.TemporaryDirectory(prefix="tui-sync-bench-") as folder:
        profile = Profile(case, None, source, target, SyncOptions())
        session = Session(profile, prompts=Nobody(), state_dir=Path(folder))
        start = time.perf_counter()
        plan = session.make_plan(keep_equal=case == "app")
        made = time.perf_counter()
        items = sum(1 for _ in session.ledger.items(plan.plan_id))
        read = time.perf_counter()
        session.close()
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    totals = plan.totals
    expected = {"changed": -(-entries // 10), "new": entries}.get(case, 0)
    if (totals.source_files, totals.create + totals.update) != (entries, expected) or plan.refused:
        raise SystemExit(f"{case}: not the plan it has to be: {totals}")
    return {
        "seconds": made - start,
        "read": read - made,
        "items": items,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "ledger": size / 1e6,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=5_000_000, help="files per side (5,000,000)")
    parser.add_argument("--per-folder", type=int, default=1000, help="files in one folder (1,000)")
    parser.add_argument("--case", choices=CASES, action="append", help="only this one; may be repeated")
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_process:
        with patch.dict(registry._MODULES, {SCHEME: "tests.bench.planner"}):
            print(json.dumps(measure(options.case[0], options.entries, options.per_folder)))
        return 0
    print(f"{options.entries:,} files per side, {options.per_folder:,} in a folder")
    worst = 0.0
    for case in options.case or CASES:
        size = ["--entries", str(options.entries), "--per-folder", str(options.per_folder)]
        command = [sys.executable, "-m", "tests.bench.planner", "--in-process", "--case", case, *size]
        ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
        if ran.returncode:
            return ran.returncode
        took = json.loads(ran.stdout)
        worst = max(worst, took["peak"])
        print(
            f"{CASES[case]:40} {took['seconds']:6.1f} s  {options.entries / took['seconds']:8,.0f} files/s"
            f"  peak {took['peak']:4.0f} MiB  ledger {took['ledger']:8,.1f} MB  {took['items']:9,} items,"
            f" read in {took['read']:.1f} s",
            flush=True,
        )
    print(f"peak {worst:.0f} MiB, at most {MOST_MIB}")
    return 0 if worst < MOST_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
