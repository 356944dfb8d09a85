"""Folder and bucket equal, 2,000 objects: time to find that out, with the ledger and without, against rclone.

Run from the repository: ``python -m tests.bench.s3_nothing_to_do``. rclone asks for the time of each object,
ours only where it has lost its ledger. Exit code 1 below the ratio that is asked for.
"""

from __future__ import annotations

import argparse
import statistics
import sys

from tests.bench.s3_support import Route, stand
from tests.bench.small_files import make_files
from tests.bench.support import machine, run

REQUIRED = 3.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    print(machine())
    with stand() as two:
        local = two.folder("local")
        make_files(local.path, options.files)
        route = Route(two.base, local, two.prefix())
        route.reset()
        home = two.base / "home"
        run(route.ours(), home)
        ways = {
            "ours": route.ours(),
            "rclone": route.rclone(),
            "rclone --checkers 32": route.rclone("--checkers", "32"),
            # Last, as it forgets what the others are to remember; what it finds, it remembers again.
            "ours, no ledger": route.ours(),
        }
        took: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(options.runs):
            for name, command in ways.items():
                if name == "ours, no ledger":
                    route.forget()
                found = run(command, home)
                took[name].append(found.seconds)
                print(
                    f"run {number + 1}  {name:20} {found.seconds:6.2f} s  peak {found.memory:4.0f} MiB",
                    flush=True,
                )
            route.forget()
            route.target.clear()
            run(route.ours(), home)
    good = True
    for name in ("ours", "ours, no ledger"):
        for other in ("rclone", "rclone --checkers 32"):
            ratio = statistics.median(b / a for a, b in zip(took[name], took[other], strict=True))
            print(f"{name}: {ratio:.2f} times as fast as {other}")
            good = good and (ratio >= REQUIRED or name != "ours")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
