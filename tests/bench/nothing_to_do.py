"""Both sides equal, 100,000 files in 1,000 directories: time and memory to find that out, against rclone.

Run from the repository: ``python -m tests.bench.nothing_to_do``. Exit code 1 below the ratio that is asked
for, or above the memory. ``--rtt-ms`` puts a long line before each server.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path

from tests.bench.support import compare, machine, pair

REQUIRED = 1.0
MOST_MIB = 150
_MTIME = 1_600_000_000


def make_equal(folders: tuple[Path, Path], count: int, per_folder: int) -> None:
    for folder in folders:
        for number in range(count):
            inner = folder / f"folder {number // per_folder:04}"
            inner.mkdir(exist_ok=True)
            file = inner / f"file {number:06}.dat"
            file.write_bytes(b"x")
            os.utime(file, (_MTIME, _MTIME))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--per-folder", type=int, default=100)
    parser.add_argument("--rtt-ms", type=float, default=0.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--transport", default="auto", help="auto, openssh or paramiko")
    options = parser.parse_args()
    print(machine())
    with pair(rtt_s=options.rtt_ms / 1000) as two:
        make_equal((two.source.folder, two.target.folder), options.files, options.per_folder)
        ways = {
            "ours": two.ours(transport=options.transport),
            "rclone": two.rclone(),
            "rclone --checkers 32": two.rclone("--checkers", "32"),
        }
        took = compare(
            two,
            ways,
            runs=options.runs,
            unit="files",
            amount=options.files,
            check=lambda: None,
            keep_target=True,
        )
    ratio = min(
        statistics.median(
            one.seconds / own.seconds for own, one in zip(took["ours"], took[name], strict=True)
        )
        for name in list(ways)[1:]
    )
    memory = max(one.memory for one in took["ours"])
    print(f"ratio {ratio:.2f}, asked for {REQUIRED}; peak {memory:.0f} MiB, at most {MOST_MIB}")
    return 0 if ratio >= REQUIRED and memory < MOST_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
