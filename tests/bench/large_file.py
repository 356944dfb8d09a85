"""One large file over loopback: ours, over both transports, against rclone and against a pipe of two ssh.

Run from the repository: ``python -m tests.bench.large_file``. Exit code 1 below one of the ratios asked for.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys

from tests.bench.support import MIB, compare, machine, make_large, pair, same_files

TUNED = ("--sftp-chunk-size", "255k", "--sftp-concurrency", "64")
# Ours, the other, the ratio asked for.
REQUIRED = (
    ("openssh", "rclone tuned", 1.0),
    ("openssh", "ssh | ssh", 1.0),
    ("paramiko", "rclone", 1.0),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print(machine())
    with pair() as two:
        make_large(two.source.folder / "large", options.mib * MIB)
        os.sync()
        ways = {
            "openssh": two.ours(transport="openssh"),
            "paramiko": two.ours(transport="paramiko"),
            "rclone tuned": two.rclone(*TUNED),
            "ssh | ssh": two.pipe("large"),
            "rclone": two.rclone(),
        }
        took = compare(two, ways, runs=options.runs, unit="MiB", amount=options.mib, check=same_files(two))
    good = True
    for ours, other, asked in REQUIRED:
        ratio = statistics.median(
            one.seconds / own.seconds for own, one in zip(took[ours], took[other], strict=True)
        )
        good = good and ratio >= asked
        print(f"ratio {ratio:.2f} of {ours} against {other}, asked for {asked}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
