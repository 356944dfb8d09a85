"""What is passed over together leaves the same plan as if each path were looked at by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.planning import T0, Planned, S, plan
from tui_sync.connectors.base import Download, Features, Listed
from tui_sync.connectors.memory import MemoryConnector
from tui_sync.connectors.one_by_one import OneByOneReader
from tui_sync.errors import PermissionDenied, UnsafeName
from tui_sync.model import (
    ChangeKind,
    CompareBy,
    DeleteLimit,
    Entry,
    Identity,
    Kind,
    Mode,
    Symlinks,
    Synced,
    SyncOptions,
)
from tui_sync.names import all_plain, check_name, is_ours
from tui_sync.planning.filters import Filters
from tui_sync.planning.listing import Listing
from tui_sync.planning.merge import EqualFiles, merged
from tui_sync.planning.scanned import Scanned, Siblings, one_by_one

GOOD = ["a", "A", "b", "B", "a-", "é", "É", "e\u0301", "ß", "ss", "SS", "c.tmp", "c.TMP", "\udcff", "build"]
HOSTILE = ["", ".", "..", "x/y", "../a", "n\0", "\ud800", ".tui-sync-t-1.part", ".tui-sync"]
PATTERNS = ["*.tmp", "a", "/b", "build/", "!a", "build/**"]
TIMES = [T0, T0 + S, T0 + S // 2, T0 - 90 * S, None]

names = st.sampled_from([*GOOD, *GOOD, *HOSTILE])
files = st.builds(
    Listed,
    names,
    st.just(Kind.FILE),
    st.sampled_from([0, 1, 2]),
    st.sampled_from(TIMES),
    st.sampled_from([0o644, 0o600]),
    st.sampled_from([None, None, "e"]),
)
others = st.builds(
    Listed,
    names,
    st.sampled_from([Kind.DIRECTORY, Kind.DIRECTORY, Kind.SYMLINK, Kind.OTHER]),
    mtime_ns=st.sampled_from(TIMES),
    link_target=st.sampled_from([None, "a", "../../x"]),
)


@dataclass
class Tree(OneByOneReader):
    """Listings by folder, as a server may send them; None for a folder that it does not list."""

    listings: dict[str, list[Listed] | None] = field(default_factory=dict)
    features = Features()

    def reader(self) -> Tree:
        return self

    def list_dir(self, path: str) -> list[Listed]:
        found = self.listings.get(path, [])
        if found is None:
            raise PermissionDenied("not for you")
        return list(found)

    def stat(self, path: str) -> Entry:
        return Entry(path, Kind.DIRECTORY)

    def open(self, path: str) -> Download:
        raise PermissionDenied("not for you")

    def checksum(self, path: str, algorithm: str) -> str | None:
        return "the same"


@st.composite
def altered(draw: st.DrawFn, one: Listed) -> list[Listed]:
    """A child of the source as the target may have it instead."""
    other = draw(st.one_of(files, others))
    part = draw(st.sampled_from([*Listed._fields, "nothing", "all"]))
    if part in ("nothing", "all"):
        return [other] if part == "all" else []
    return [one._replace(**{part: getattr(other, part)})]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tree, Tree]:
    """Two trees, the second mostly a copy of the first with some of it changed."""
    source, target = Tree(), Tree()
    folders = [""]
    while folders:
        folder = folders.pop()
        found = draw(st.lists(files, max_size=8)) + draw(st.lists(others, max_size=3))
        copy = list(found)
        for _ in range(draw(st.integers(0, 2))):
            at = draw(st.integers(0, len(copy)))
            copy[at : at + 1] = draw(altered(copy[at])) if at < len(copy) else [draw(files)]
        source.listings[folder] = found
        target.listings[folder] = draw(st.permutations(copy))
        for side in (source, target):
            if folder and draw(st.integers(0, 15)) == 0:
                side.listings[folder] = None
        for name in {one.name for one in (*found, *copy) if one.kind is Kind.DIRECTORY}:
            path = f"{folder}/{name}" if folder else name
            if path.count("/") < 2 and path not in source.listings:
                folders.append(path)
    return source, target


OPTIONS = st.builds(
    SyncOptions,
    mode=st.sampled_from(Mode),
    compare=st.sampled_from(CompareBy),
    include=st.lists(st.sampled_from(PATTERNS), max_size=1).map(tuple),
    exclude=st.lists(st.sampled_from(PATTERNS), max_size=2).map(tuple),
    max_delete=st.just(DeleteLimit(20)),
    symlinks=st.sampled_from([Symlinks.SKIP, Symlinks.COPY]),
    backup=st.booleans(),
)


def known(path: str) -> Synced | None:
    """Some differences are as they were left by the run before."""
    if not path.endswith(("b", "ss")):
        return None
    return Synced(path, Identity(Kind.FILE, 1, T0), Identity(Kind.FILE, 2, T0 + S))


@settings(deadline=None, max_examples=120)
@given(pair=pairs(), options=OPTIONS, precision_ns=st.sampled_from([1, S]), keep_equal=st.booleans())
def test_together_or_each_by_itself(
    pair: tuple[Tree, Tree], options: SyncOptions, precision_ns: int, keep_equal: bool
) -> None:
    def planned(*, each_by_itself: bool) -> Planned:
        return plan(
            *pair,  # type: ignore[arg-type]
            options,
            keep_equal=keep_equal,
            known=known,
            each_by_itself=each_by_itself,
            precision_ns=precision_ns,
        )

    together, apart = planned(each_by_itself=False), planned(each_by_itself=True)
    assert together.changes == apart.changes
    assert together.items == apart.items
    assert together.draft == apart.draft
    assert not apart.together


@given(st.lists(st.one_of(files, others), max_size=8), st.sampled_from([[], ["*.tmp", "build/"]]))
def test_a_listing_is_checked_together_as_name_by_name(found: list[Listed], patterns: list[str]) -> None:
    filters = Filters(exclude=patterns)
    together, apart = (Listing("d", found, filters, rename) for rename in (None, lambda name: name))
    assert list(one_by_one(together.children)) == list(one_by_one(apart.children))
    for what in ("count", "complete", "refused", "ours"):
        assert getattr(together, what) == getattr(apart, what)


@given(st.lists(st.one_of(names, st.text(max_size=3)), max_size=6))
def test_names_are_plain_together_where_each_is(found: list[str]) -> None:
    def plain(name: str) -> bool:
        try:
            return not is_ours(check_name(name))
        except UnsafeName:
            return False

    assert all_plain(found) is all(map(plain, found))


@pytest.mark.parametrize("name", HOSTILE)
def test_one_bad_name_is_found_among_many(name: str) -> None:
    good = [f"file {number}" for number in range(10_000)]
    assert all_plain(good)
    for at in (0, 5_000, 10_000):
        assert not all_plain([*good[:at], name, *good[at:]])


def test_equal_files_are_passed_over_together() -> None:
    tree = {f"d{folder}/{name:04}": b"x" for folder in range(3) for name in range(600)}
    source, target = MemoryConnector(tree, mtime_ns=T0), MemoryConnector(tree, mtime_ns=T0)
    target.add_file("d1/0300", b"xy", mtime_ns=T0)
    target.add_file("d2/0300-", b"xy", mtime_ns=T0)
    planned = plan(source, target)
    assert planned.together == 1_799
    assert planned.draft.totals.unchanged == 1_799
    assert [(item.path, item.seq) for item in planned.items] == [("d1/0300", 903), ("d2/0300-", 1505)]


def test_names_that_differ_in_case_are_found_among_equal_files() -> None:
    tree = dict.fromkeys(["d/a", "d/B", "d/b", "e/É", "e/é", "e/x"], b"x")
    source, target = MemoryConnector(tree, mtime_ns=T0), MemoryConnector(tree, mtime_ns=T0)
    planned = plan(source, target)
    assert planned.together == 6
    assert "“d/b”" in planned.guard("collision").message
    assert "2 paths" in planned.guard("collision").message


def test_a_name_that_folds_to_an_earlier_one_is_found_among_later_files() -> None:
    tree = dict.fromkeys(["d/ss", "d/st", "d/x", "d/ß"], b"x")
    source, target = MemoryConnector(tree, mtime_ns=T0), MemoryConnector(tree, mtime_ns=T0)
    target.add_file("d/st", b"xy", mtime_ns=T0)
    planned = plan(source, target)
    assert planned.together == 3
    assert "“d/ß”" in planned.guard("collision").message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Listed("a", Kind.FILE, 0, T0), Listed("a", Kind.OTHER, 0, T0)),
        (Listed("a", Kind.SYMLINK, 0, T0), Listed("a", Kind.FILE, 0, T0)),
        (Listed("a", Kind.SYMLINK, 0, T0), Listed("a", Kind.SYMLINK, 0, T0)),
        (Listed("a", Kind.FILE, 0, T0), Listed("b", Kind.FILE, 0, T0)),
        (Listed("a", Kind.FILE, 0, None), Listed("a", Kind.FILE, 0, None)),
        (Listed("a", Kind.FILE, 0, T0), Listed("a", Kind.FILE, 1, T0)),
        (Listed("a", Kind.FILE, 0, T0), Listed("a", Kind.FILE, 0, T0 + 1)),
    ],
)
def test_what_is_not_the_same_file_is_looked_at_by_itself(one: Listed, other: Listed) -> None:
    sides = Tree({"": [one]}), Tree({"": [other]})
    assert not plan(*sides).together  # type: ignore[arg-type]


def test_files_of_two_folders_are_not_each_others() -> None:
    source, target = Tree({"": [Listed("d", Kind.DIRECTORY)], "d": [Listed("z", Kind.FILE, 1, T0)]}), Tree()
    target.listings[""] = [Listed("z", Kind.FILE, 1, T0)]
    planned = plan(source, target)  # type: ignore[arg-type]
    assert planned.kinds == {"d": ChangeKind.NEW, "d/z": ChangeKind.NEW, "z": ChangeKind.EXTRA}


def siblings(*found: str, folder: str = "d", excluded: bool = False) -> Siblings:
    return Siblings(folder, [Listed(name, Kind.FILE, 1, T0) for name in found], excluded)


@pytest.mark.parametrize(
    "side",
    [
        [siblings("b", "a")],
        [siblings("a", "a")],
        [siblings("a", "c"), siblings("b")],
        [siblings("b"), Scanned("d/a", Entry("d/a", Kind.FILE))],
        [siblings("a", folder="e"), siblings("b", folder="d")],
    ],
)
def test_siblings_out_of_order_are_refused(side: list[Scanned | Siblings]) -> None:
    with pytest.raises(ValueError, match="out of order"):
        list(merged(side, [], lambda one, other: min(len(one), len(other))))


def test_excluded_files_are_never_passed_over() -> None:
    sides = [siblings("a", excluded=True)], [siblings("a", excluded=True)]
    assert not any(
        isinstance(one, EqualFiles) for one in merged(*sides, lambda one, other: min(len(one), len(other)))
    )
    assert plan(
        MemoryConnector({"a": b""}, mtime_ns=T0),
        MemoryConnector({"a": b""}, mtime_ns=T0),
        SyncOptions(exclude=("a",)),
    ).kinds == {"a": ChangeKind.EXCLUDED}
