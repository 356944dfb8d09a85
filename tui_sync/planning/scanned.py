"""What a scan is made of: one path, or the files of a folder together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tui_sync.connectors.base import Listed
from tui_sync.model import Entry


class Scanned(NamedTuple):
    """One path of one side.

    ``path`` is where it is on the target, ``entry.path`` where it is on its own side; only renamed files
    differ. ``excluded``: filtered out, and not descended into. ``error``: why the path cannot be used, or
    for a directory why it could not be listed; then nothing follows from below it. ``complete`` is False for
    a directory whose listing held a name that had to be refused: what follows from below it is right, but it
    is not all. A root of which that is true is yielded first, with the path ``""``; otherwise it is not.
    """

    path: str
    entry: Entry
    excluded: bool = False
    error: str = ""
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Siblings:
    """Neighbours in one folder that are no folders themselves, in order, just as they were listed.

    They stand for a Scanned each, which mostly is never made: of files that are the same on both sides nobody
    wants to know more than how many they are, and to make three objects for each would be most of the work of
    a plan. ``excluded`` holds for all of them. There is one at least.
    """

    folder: str
    listed: Sequence[Listed]
    excluded: bool = False

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def scanned(self, child: Listed) -> Scanned:
        entry = child.at(self.path(child.name))
        return Scanned(entry.path, entry, self.excluded)


def one_by_one(found: Iterable[Scanned | Siblings]) -> Iterator[Scanned]:
    """Each path by itself."""
    for one in found:
        if isinstance(one, Siblings):
            yield from map(one.scanned, one.listed)
        else:
            yield one
