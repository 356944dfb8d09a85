"""10,000 small files (0-20 kB) over loopback: ours against the better of rclone's 4 and 32 transfers.

Run from the repository: ``python -m tests.bench.small_files``. Exit code 1 below the ratio that is asked for.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
from pathlib import Path

from tests.bench.support import Pair, best_of, compare, machine, pair, same_files

REQUIRED = 3.0
_PER_FOLDER = 100


def make_files(folder: Path, count: int, *, least: int = 0, most: int = 20_000) -> None:
    dice = random.Random(1)
    block = os.urandom(4 << 20)
    for number in range(count):
        inner = folder / f"folder {number // _PER_FOLDER:04}"
        inner.mkdir(exist_ok=True)
        size = dice.randint(least, most)
        start = dice.randrange(len(block) - size)
        (inner / f"file {number:06}.dat").write_bytes(block[start : start + size])


def ways(two: Pair, transport: str) -> dict[str, list[str]]:
    found = {"ours": two.ours(transport=transport)}
    for transfers in (4, 32):
        flags = ("--transfers", str(transfers), "--checkers", str(max(8, transfers)))
        found[f"rclone --transfers {transfers}"] = two.rclone(*flags)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--transport", default="auto", help="auto, openssh or paramiko")
    options = parser.parse_args()
    print(machine())
    with pair() as two:
        make_files(two.source.folder, options.files)
        took = compare(
            two,
            ways(two, options.transport),
            runs=options.runs,
            unit="files",
            amount=options.files,
            check=same_files(two),
        )
    better = best_of(took, [name for name in took if name != "ours"])
    ratio = statistics.median(
        other.seconds / own.seconds for own, other in zip(took["ours"], took[better], strict=True)
    )
    print(f"ratio {ratio:.2f} against {better}, asked for {REQUIRED}")
    return 0 if ratio >= REQUIRED else 1


if __name__ == "__main__":
    sys.exit(main())
