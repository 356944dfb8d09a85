"""The demo's two trees: together they show every kind of change and names that programs trip over."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from tui_sync.demo.trees import make_large

EXCLUDE = ("*.tmp", ".cache/")
_DAY_NS = 24 * 3600 * 1_000_000_000

_TEXT = """\
# Field notes

The station stands on the north ridge. Readings are taken at six and at eighteen hours.

## Instruments
- thermometer, replaced in {year}
- barometer
- rain gauge, {gauge}

## Contact
Write to the office before coming up; the road is closed from November to April.
"""

_AWKWARD = (
    "two  spaces.txt",
    "brackets [red]not red[.txt",
    "new\nline.txt",
    "escape \x1b[31mred\x1b[0m.txt",
    "right-to-left \u202etxt.exe",
    "caf\u00e9 \u2615 \u65e5\u672c\u8a9e.txt",
    "undecodable \udcff.bin",
    "-rf",
    "..hidden",
)


def make_pair(source: Path, target: Path, *, size: int, conflict: bool = False) -> None:
    """Fill two new folders. ``size`` is that of the large file, which only the source has. ``conflict`` adds
    a path that is a file on one side and a folder on the other, for which a plan is refused.

    Needs ``size`` bytes and a little more, and as much again once it is synced. Raises NoSpace.
    """
    pair = _Pair(source, target)
    pair.equal()
    pair.changed()
    pair.only_on_source()
    pair.only_on_target()
    pair.left_alone()
    if conflict:
        pair.conflict()
    (source / "video").mkdir()
    make_large(source / "video" / "ridge-timelapse.mp4", size=size)
    pair.settle()


class _Pair:
    def __init__(self, source: Path, target: Path) -> None:
        self._source = source
        self._target = target
        self._dice = random.Random(20)
        self._now = time.time_ns()

    def equal(self) -> None:
        for name in ("LICENSE.txt", "docs/handbook.txt", "docs/tables/rain.csv", "docs/tables/wind.csv"):
            self._both(name, self._bytes(4_000))
        for number in range(1, 25):
            self._both(f"photos/2023/IMG_{number:04d}.jpg", self._bytes(30_000))
        self._both("empty.txt", b"")
        for root in (self._source, self._target):
            (root / "spare folder").mkdir()

    def changed(self) -> None:
        old = _TEXT.format(year=2019, gauge="leaking")
        new = _TEXT.format(year=2024, gauge="mended in May")
        self._put(self._target, "docs/field notes.md", old.encode(), days=90)
        self._put(self._source, "docs/field notes.md", new.encode(), days=2)
        self._put(self._target, "data/readings.csv", self._table(200), days=30)
        self._put(self._source, "data/readings.csv", self._table(260), days=1)
        self._put(self._target, "data/same size.bin", self._bytes(8_192), days=30)
        self._put(self._source, "data/same size.bin", self._bytes(8_192), days=1)
        self._put(self._source, "docs/edited on target.txt", b"as it was\n", days=20)
        self._put(self._target, "docs/edited on target.txt", b"as somebody made it on the target\n", days=3)

    def only_on_source(self) -> None:
        for number in range(25, 85):
            self._put(self._source, f"photos/2024/IMG_{number:04d}.jpg", self._bytes(120_000), days=5)
        for name in _AWKWARD:
            self._put(self._source, f"awkward names/{name}", self._bytes(2_000), days=7)
        self._put(self._source, "foo[/bar].txt", b"[bold]no markup[/bold]\n", days=7)
        self._put(self._source, "new and empty.txt", b"", days=1)
        (self._source / "new empty folder").mkdir()

    def only_on_target(self) -> None:
        for name in ("photos/2022/IMG_0001.jpg", "photos/2022/IMG_0002.jpg", "old plan.txt"):
            self._put(self._target, name, self._bytes(20_000), days=400)

    def left_alone(self) -> None:
        self._put(self._source, "data/half written.tmp", self._bytes(500), days=1)
        self._put(self._source, ".cache/thumbnails.db", self._bytes(9_000), days=1)
        os.symlink("docs/handbook.txt", self._source / "latest handbook")

    def conflict(self) -> None:
        self._put(self._source, "docs/minutes", b"all minutes in one file\n", days=4)
        self._put(self._target, "docs/minutes/2019.txt", b"one file per year\n", days=90)

    def settle(self) -> None:
        """Give the folders times of their own: making what is in them has changed those."""
        for root in (self._source, self._target):
            for path, _, _ in os.walk(os.fsencode(root), topdown=False):
                os.utime(path, ns=(self._now - _DAY_NS, self._now - _DAY_NS))

    def _both(self, name: str, data: bytes) -> None:
        self._put(self._source, name, data, days=200)
        self._put(self._target, name, data, days=200)

    def _put(self, root: Path, name: str, data: bytes, *, days: int) -> None:
        path = os.path.join(os.fsencode(root), name.encode("utf-8", "surrogateescape"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            with open(path, "xb") as file:
                file.write(data)
        except OSError as error:
            # Some file systems take only names in UTF-8.
            if name.isprintable() or isinstance(error, FileExistsError):
                raise
            return
        when = self._now - days * _DAY_NS
        os.utime(path, ns=(when, when))

    def _bytes(self, most: int) -> bytes:
        return self._dice.randbytes(self._dice.randint(most // 2, most) if most != 8_192 else most)

    def _table(self, rows: int) -> bytes:
        dice = random.Random(rows)
        lines = (f"{day},{dice.uniform(-12, 24):.1f},{dice.randrange(900, 1040)}" for day in range(rows))
        return ("day,temperature,pressure\n" + "\n".join(lines) + "\n").encode()
