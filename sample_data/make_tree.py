"""Make a nested tree of small files, the same for the same seed.

Example: python sample_data/make_tree.py /tmp/tree --files 300 --depth 4 --seed 1 --awkward-names
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from common import Bar, run, size

from tui_sync.demo.trees import make_tree


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="where to put it; must be new or empty")
    parser.add_argument("--files", type=int, default=300, metavar="N", help="number of files (300)")
    parser.add_argument("--depth", type=int, default=4, metavar="N", help="deepest level of folders (4)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another seed, another tree (1)")
    parser.add_argument("--max-size", type=size, default=20 * 1024, metavar="SIZE", help="largest file (20k)")
    parser.add_argument("--awkward-names", action="store_true", help="with names that programs trip over")
    parser.add_argument("--force", action="store_true", help="write into a folder that holds something")
    args = parser.parse_args()
    made = make_tree(
        args.folder,
        files=args.files,
        depth=args.depth,
        seed=args.seed,
        awkward=args.awkward_names,
        max_size=args.max_size,
        force=args.force,
        progress=Bar(args.files),
    )
    print(f"{made.files} files, {made.directories} folders, {made.bytes:,} bytes", file=sys.stderr)
    for name in made.refused:
        print(f"left out, the file system does not take this name: {name}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run(main))
