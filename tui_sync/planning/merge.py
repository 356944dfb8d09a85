"""Two sorted scans side by side: what each has under a path, and which files are the same on both.

Paths are looked at one by one where anything is to be said of one. Where both sides have the same files in a
folder there is nothing to be said, and those are passed over together (``EqualFiles``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import lt
from typing import NamedTuple, TypeAlias

from tui_sync import names
from tui_sync.connectors.base import Listed
from tui_sync.model import Change, ChangeKind
from tui_sync.planning.scanned import Scanned, Siblings

# Of files on the source and on the target: how many, up to the first two beside each other that are not the
# same file.
Same: TypeAlias = Callable[[Sequence[Listed], Sequence[Listed]], int]

_TOGETHER = 256


class Pair(NamedTuple):
    """One path with what each side has there."""

    path: str
    source: Scanned | None
    target: Scanned | None


@dataclass(frozen=True, slots=True)
class EqualFiles:
    """Files of one folder that are the same on both sides: they stand for an equal Change each, in order."""

    folder: str
    source: Sequence[Listed]
    target: Sequence[Listed]
    reason: str

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def changes(self) -> Iterator[Change]:
        for one, other in zip(self.source, self.target, strict=True):
            path = self.path(one.name)
            yield Change(path, ChangeKind.EQUAL, self.reason, one.at(path), other.at(path))

    def pairs(self) -> Iterator[Pair]:
        source, target = Siblings(self.folder, self.source), Siblings(self.folder, self.target)
        for one, other in zip(self.source, self.target, strict=True):
            yield Pair(self.path(one.name), source.scanned(one), target.scanned(other))


def merged(
    source: Iterable[Scanned | Siblings],
    target: Iterable[Scanned | Siblings],
    same: Same | None = None,
    reason: str = "",
) -> Iterator[Pair | EqualFiles]:
    """Every path of both sides once, in the order of ``names.sort_key`` in which both have to come.

    Files that are the ``same`` come together, with the ``reason``; without it each path comes by itself.
    """
    left, right = _Side(source), _Side(target)
    while left.key is not None or right.key is not None:
        one, other = left.siblings, right.siblings
        if same is not None and one is not None and other is not None and _beside(one, other):
            these = one.listed[left.at : left.at + _TOGETHER]
            those = other.listed[right.at : right.at + _TOGETHER]
            count = same(these, those)
            if count:
                left.skip(count)
                right.skip(count)
                yield EqualFiles(one.folder, these[:count], those[:count], reason)
                continue
        yield _next(left, right)


def _beside(one: Siblings, other: Siblings) -> bool:
    return one.folder == other.folder and not one.excluded and not other.excluded


def _next(left: _Side, right: _Side) -> Pair:
    if right.key is None or (left.key is not None and left.key < right.key):
        scanned = left.take()
        return Pair(scanned.path, scanned, None)
    if left.key is None or right.key < left.key:
        scanned = right.take()
        return Pair(scanned.path, None, scanned)
    scanned = left.take()
    return Pair(scanned.path, scanned, right.take())


class _Side:
    """One scan, from what comes next: ``key`` is that path's sort key, None at the end. Where it is the one
    at ``at`` of several siblings, ``siblings`` are those.

    A side out of order would make present files look deleted: it raises ValueError.
    """

    __slots__ = ("_coming", "_last", "_scanned", "_within", "at", "key", "siblings")

    def __init__(self, found: Iterable[Scanned | Siblings]) -> None:
        self._coming = iter(found)
        self._last: tuple[str, ...] | None = None
        self._within: tuple[str, ...] = ()
        self._scanned: Scanned | None = None
        self.siblings: Siblings | None = None
        self.at = 0
        self.key: tuple[str, ...] | None = None
        self._advance()

    def take(self) -> Scanned:
        """What comes next."""
        if self.siblings is None:
            scanned = self._scanned
            assert scanned is not None
            self._advance()
        else:
            scanned = self.siblings.scanned(self.siblings.listed[self.at])
            self.skip(1)
        return scanned

    def skip(self, count: int) -> None:
        """Leave out so many of the siblings."""
        assert self.siblings is not None
        self.at += count
        if self.at == len(self.siblings.listed):
            self._advance()
        else:
            self.key = (*self._within, self.siblings.listed[self.at].name)

    def _advance(self) -> None:
        coming = next(self._coming, None)
        self.siblings = self._scanned = self.key = None
        if coming is None:
            return
        if isinstance(coming, Siblings):
            found = [child.name for child in coming.listed]
            self._within = names.sort_key(coming.folder) if coming.folder else ()
            self.siblings, self.at = coming, 0
            self.key = (*self._within, found[0])
            self._in_order(self.key, (*self._within, found[-1]), all(map(lt, found, islice(found, 1, None))))
        else:
            self._scanned = coming
            self.key = names.sort_key(coming.path)
            self._in_order(self.key, self.key)

    def _in_order(self, first: tuple[str, ...], last: tuple[str, ...], among: bool = True) -> None:
        if not among or (self._last is not None and not self._last < first):
            raise ValueError(f"“{names.printable('/'.join(first))}” comes out of order")
        self._last = last
