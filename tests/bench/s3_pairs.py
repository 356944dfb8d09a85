"""1,000 mixed files and one large one, between S3, SFTP and local folders: all that has to hold of it.

Run from the repository: ``python -m tests.bench.s3_pairs``. For each of the five pairs: how long the run
took, its peak memory, what rclone finds by comparing content, and a second run, which has to plan nothing.
Exit code 1 where something of it does not hold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from tests.bench.s3_support import Route, Stand, judge, stand
from tests.bench.sftp_loop import parse_size
from tests.bench.support import MIB, machine, make_large
from tests.support.batch import Ran, tui_sync
from tests.support.s3 import environment
from tui_sync.demo.trees import make_tree

MOST_MIB = 250
_LARGEST_SMALL = 256 << 10


def routes(two: Stand) -> dict[str, Route]:
    """In an order in which each source is filled before its turn."""
    source, bucket = two.folder("source"), two.prefix()
    pairs = {
        "local -> S3": (source, bucket),
        "S3 -> SFTP": (bucket, two.sftp("from-s3")),
        "SFTP -> S3": (two.sftp("source"), two.prefix()),
        "S3 -> local": (bucket, two.folder("back")),
        "S3 -> S3": (bucket, two.prefix()),
    }
    return {name: Route(two.base, *places) for name, places in pairs.items()}


def run(route: Route) -> Ran:
    ran = tui_sync(*route.ours("--json")[3:], home=route.base / "home", timeout=900, **environment())
    if ran.code:
        raise SystemExit(f"exit code {ran.code}: {ran.err[-2000:]}")
    return ran


def holds(name: str, route: Route, files: int, size: int) -> bool:
    """Run twice, print what there is to say, and whether all of it is as it has to be."""
    route.forget()
    first = run(route)
    checked = subprocess.run(judge(route), capture_output=True, text=True, check=False)
    again = run(route)
    peak = max(first.memory, again.memory) / MIB
    done = first.summary
    good = {
        "all copied": done["created"] == files,
        "identical": checked.returncode == 0 and "0 differences found" in checked.stderr,
        "second run empty": again.summary["unchanged"] == files and not again.summary["created"],
        f"under {MOST_MIB} MiB": peak < MOST_MIB,
    }
    print(
        f"{name:12} {done['elapsed_s']:6.1f} s {size / MIB / done['elapsed_s']:6.1f} MiB/s  "
        f"peak {first.memory / MIB:.0f} MiB, again {again.memory / MIB:.0f} MiB  "
        f"verified: {done['verified']}  "
        + ", ".join(what if held else f"NOT {what}" for what, held in good.items()),
        flush=True,
    )
    for ran in (first, again):
        print(f"{'':12} requests: {json.dumps(ran.summary.get('requests', {}))}", flush=True)
    if not all(good.values()):
        print(checked.stderr[-2000:])
    return all(good.values())


def fill(folder: Path, files: int, large: int) -> int:
    """Bytes made."""
    made = make_tree(folder, files=files - 1, max_size=_LARGEST_SMALL, force=True)
    make_large(folder / "large.bin", large)
    return made.bytes + large


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=1_001)
    parser.add_argument("--large", default="512M", help="size of the large one (default 512M)")
    parser.add_argument("--only", default="", help="such pairs alone, and those they need")
    options = parser.parse_args()
    print(machine())
    with stand() as two:
        pairs = routes(two)
        size = fill(two.base / "source", options.files, parse_size(options.large))
        print(f"{options.files} files, {size / MIB:.0f} MiB")
        chosen = {name for name in pairs if options.only in name} | {"local -> S3"}
        held = [holds(name, route, options.files, size) for name, route in pairs.items() if name in chosen]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
