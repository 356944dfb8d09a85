"""S3 to SFTP, one large object or many small ones: ours against the best of rclone's ways.

Run from the repository: ``python -m tests.bench.s3_to_sftp small`` and ``… large``. Exit code 1 below the
ratio that is asked for.
"""

from __future__ import annotations

import argparse
import statistics
import sys

from tests.bench.s3_support import Route, stand
from tests.bench.sftp_loop import parse_size
from tests.bench.small_files import make_files
from tests.bench.support import GCM, MIB, best_of, compare, machine, make_large, run, same_folders

REQUIRED = 1.0
MOST_MIB = 250
_TRANSFERS = (4, 16, 32, 64)
_SFTP = ("--sftp-chunk-size", "255k", "--sftp-concurrency", "64", "--sftp-ciphers", GCM)


def ways(route: Route, kind: str) -> dict[str, list[str]]:
    found = {"ours": route.ours()}
    if kind == "small":
        for number in _TRANSFERS:
            flags = ("--transfers", str(number), "--checkers", str(max(8, number)))
            found[f"rclone --transfers {number}"] = route.rclone(*flags)
        return found
    found["rclone"] = route.rclone()
    found["rclone, SFTP tuned"] = route.rclone(*_SFTP)
    for number in (4, 16):
        flags = ("--multi-thread-streams", str(number), "--multi-thread-cutoff", "16M")
        found[f"rclone, SFTP tuned, {number} streams"] = route.rclone(*_SFTP, *flags)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("small", "large"))
    parser.add_argument("--files", type=int, default=2_000, help="how many small ones (default 2000)")
    parser.add_argument("--size", default="512M", help="size of the large one (default 512M)")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    small = options.kind == "small"
    print(machine())
    with stand() as two:
        local = two.folder("local")
        bucket, sftp = two.prefix(), two.sftp("target")
        if small:
            make_files(local.path, options.files)
        else:
            make_large(local.path / "large.bin", parse_size(options.size))
        filling = Route(two.base, local, bucket)
        filling.reset()
        run(filling.ours(), two.base / "home")
        route = Route(two.base, bucket, sftp)
        took = compare(
            route,
            ways(route, options.kind),
            runs=options.runs,
            unit="files" if small else "MiB",
            amount=options.files if small else parse_size(options.size) / MIB,
            check=same_folders(local.path, sftp.path),
        )
    better = best_of(took, [name for name in took if name != "ours"])
    ratio = statistics.median(
        other.seconds / own.seconds for own, other in zip(took["ours"], took[better], strict=True)
    )
    memory = max(one.memory for one in took["ours"])
    print(
        f"ratio {ratio:.2f} against {better}, asked for {REQUIRED}; peak {memory:.0f} MiB, at most {MOST_MIB}"
    )
    return 0 if ratio >= REQUIRED and memory < MOST_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
