"""The listing of one directory, checked and put in order.

What a server sends is hostile until each name has been looked at. In nearly every listing there is nothing to
be found, and that can be seen of all its names together, at a small part of the cost.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from itertools import groupby, islice
from operator import attrgetter, lt

from tui_sync import names
from tui_sync.connectors.base import Listed
from tui_sync.errors import UnsafeName
from tui_sync.model import Kind
from tui_sync.planning.filters import Filters
from tui_sync.planning.scanned import Scanned, Siblings

_TOGETHER = 1000
_SHOWN_NAME = 80


class Listing:
    """``children`` of ``folder`` in order, each directory among them as a Scanned; see ``scan``.

    ``count`` is how many they are, ``refused`` how many of them have an error; ``complete`` is False where
    there were names that cannot be used at all. ``ours`` are those left out as ours.
    """

    __slots__ = ("_filters", "_folder", "children", "complete", "count", "ours", "refused")

    def __init__(
        self, folder: str, listed: Sequence[Listed], filters: Filters, rename: Callable[[str], str] | None
    ) -> None:
        self._folder = folder
        self._filters = filters
        self.refused = 0
        self.complete = True
        self.ours: list[Listed] = []
        in_order = sorted(listed, key=attrgetter("name"))
        found = [child.name for child in in_order]
        each_once = all(map(lt, found, islice(found, 1, None)))
        ordered: Sequence[Listed | Scanned] = in_order
        if rename is not None or not each_once or not names.all_plain(found):
            ordered = self._name_by_name(listed, rename)
        self.count = len(ordered)
        self.children = list(self._grouped(ordered))

    def _grouped(self, ordered: Sequence[Listed | Scanned]) -> Iterator[Siblings | Scanned]:
        """With those left together that need no more than what was listed: of a directory of a million files
        that is much less to hold than an object of its own for each. Some at a time, so that they are let go
        as the walk passes them."""
        apart = [
            place
            for place, child in enumerate(ordered)
            if isinstance(child, Scanned) or child.kind is Kind.DIRECTORY
        ]
        first = 0
        for place in [*apart, len(ordered)]:
            for start in range(first, place, _TOGETHER):
                these = ordered[start : min(start + _TOGETHER, place)]
                yield from self._siblings([child for child in these if isinstance(child, Listed)])
            if place < len(ordered):
                child = ordered[place]
                yield child if isinstance(child, Scanned) else self._scanned(child.name, child)
            first = place + 1

    def _siblings(self, listed: list[Listed]) -> Iterator[Siblings]:
        if self._filters.leaves_out:
            for excluded, some in groupby(listed, self._excludes):
                yield Siblings(self._folder, list(some), excluded)
        else:
            yield Siblings(self._folder, listed)

    def _name_by_name(
        self, listed: Sequence[Listed], rename: Callable[[str], str] | None
    ) -> list[Listed | Scanned]:
        found: dict[str, Listed | Scanned] = {}
        refused: list[tuple[Listed, str]] = []
        for child in listed:
            if names.is_ours(child.name):
                self.ours.append(child)
                continue
            try:
                name = names.check_name(child.name)
                if rename is not None and child.kind is Kind.FILE:
                    name = names.check_name(rename(name))
            except UnsafeName as error:
                refused.append((child, str(error)))
                continue
            other = found.get(name)
            if other is not None:
                before = self._scanned(name, other) if isinstance(other, Listed) else other
                found[name] = _clash(before, self._scanned(name, child))
            elif name != child.name:
                found[name] = self._scanned(name, child)
            else:
                found[name] = child
        for child, why in refused:
            name = _stand_in(child.name, found)
            found[name] = Scanned(self._path(name), child.at(self._path(name)), error=why)
            self.complete = False
        self.refused = sum(isinstance(child, Scanned) and bool(child.error) for child in found.values())
        return [found[name] for name in sorted(found)]

    def _scanned(self, name: str, child: Listed) -> Scanned:
        """The child under the name that it has on the target."""
        return Scanned(self._path(name), child.at(self._path(child.name)), self._excludes(child))

    def _excludes(self, child: Listed) -> bool:
        return self._filters.excludes(self._path(child.name), directory=child.kind is Kind.DIRECTORY)

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}" if self._folder else name


def _clash(one: Scanned, other: Scanned) -> Scanned:
    """Two children of a directory that come to lie under one path of the target: neither is usable.

    Where at most one of them takes part in the sync, there is no question which one is meant.
    """
    if one.excluded or other.excluded:
        return other if one.excluded else one
    first, second = names.printable(one.entry.path), names.printable(other.entry.path)
    if first == second:
        error = f"“{first}” is listed twice"
    else:
        error = f"“{first}” and “{second}” would both become “{names.printable(one.path)}”"
    return Scanned(one.path, one.entry, error=error)


def _stand_in(name: str, taken: Container[str]) -> str:
    """A usable name that no sibling has, to show instead of an unsafe one."""
    shown = names.printable(name[:_SHOWN_NAME]).replace("/", "\\x2f")
    stand_in = shown if shown.strip(".") else f"(unsafe name {shown})"
    number = 1
    while stand_in in taken:
        number += 1
        stand_in = f"{shown} (unsafe name {number})"
    return stand_in
