"""Make one very large file, the same for the same seed.

Example: python sample_data/make_large.py /tmp/large.bin --size 10G --sparse
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from common import Bar, run, size

from tui_sync.demo.trees import make_large


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the file to write; must be new")
    parser.add_argument("--size", type=size, default=10 * 1024**3, metavar="SIZE", help="its size (10G)")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--sparse", action="store_true", help="4 KiB of data every 64 MiB, holes between")
    kind.add_argument("--random", action="store_true", help="no holes, does not compress (the default)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another seed, other bytes (1)")
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    args = parser.parse_args()
    make_large(
        args.file,
        size=args.size,
        seed=args.seed,
        sparse=args.sparse,
        force=args.force,
        progress=Bar(args.size),
    )
    print(f"{args.size:,} bytes in {args.file}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run(main))
