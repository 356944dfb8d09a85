"""Over lines of 50 ms round trip on each side: 1,000 files of 4 KiB, and one file of 256 MiB, against rclone.

Run from the repository: ``python -m tests.bench.far small`` or ``large``. Exit code 1 below the ratio that is
asked for.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys

from tests.bench.large_file import TUNED
from tests.bench.small_files import make_files
from tests.bench.support import MIB, compare, machine, make_large, pair, same_files

_RTT_S = 0.05
_SIZE = 4096


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["small", "large"])
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--transport", default="auto", help="auto, openssh or paramiko")
    options = parser.parse_args()
    print(machine())
    with pair(rtt_s=_RTT_S) as two:
        ours = {"ours": two.ours(transport=options.transport)}
        if options.what == "small":
            make_files(two.source.folder, options.files, least=_SIZE, most=_SIZE)
            other, asked, unit, amount = "rclone --transfers 64", 8.0, "files", options.files
            ways = {**ours, other: two.rclone(*TUNED, "--transfers", "64", "--checkers", "64")}
        else:
            make_large(two.source.folder / "large", options.mib * MIB)
            other, asked, unit, amount = "rclone tuned", 2.0, "MiB", options.mib
            ways = {**ours, other: two.rclone(*TUNED)}
        os.sync()
        took = compare(two, ways, runs=options.runs, unit=unit, amount=amount, check=same_files(two))
    ratio = statistics.median(
        one.seconds / own.seconds for own, one in zip(took["ours"], took[other], strict=True)
    )
    print(f"ratio {ratio:.2f} against {other}, asked for {asked}")
    return 0 if ratio >= asked else 1


if __name__ == "__main__":
    sys.exit(main())
