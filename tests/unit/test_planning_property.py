"""Whole plans of random pairs of trees against a simple model of what must happen."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.planning import T0, S, execute, plan
from tui_sync import names
from tui_sync.connectors.memory import MemoryConnector
from tui_sync.errors import PermissionDenied
from tui_sync.model import Action, ChangeKind, CompareBy, DeleteLimit, Kind, Mode, Symlinks, SyncOptions
from tui_sync.planning.filters import Filters

NAMES = ["a", "b", "a.txt", "b.tmp", "a-", "é", "e\u0301", "n\n", "\udcff", "build"]
PATTERNS = ["*.txt", "*.tmp", "build/", "a", "/b", "a/**", "!a.txt", "b/*/a", "n*", "**/a/"]
TEXTS = ["nowhere", "a", "../b", "/etc", "build/a.txt"]
FILE = st.tuples(st.sampled_from([b"", b"1", b"2", b"333"]), st.sampled_from([T0, T0 + S, T0 - 90 * S]))


@dataclass
class Side:
    """Path to (content, mtime), None for a directory, or the text of a symlink; unreadable directories."""

    tree: dict[str, object] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)

    def connector(self) -> MemoryConnector:
        def fault(operation: str, path: str) -> None:
            if operation == "list_dir" and path in self.unreadable:
                raise PermissionDenied("not for you")

        made = MemoryConnector(fault=fault, clock=lambda: T0)
        for path, what in self.tree.items():
            if what is None:
                made.add_dir(path)
            elif isinstance(what, str):
                made.add_symlink(path, what)
            else:
                data, mtime_ns = what  # type: ignore[misc]
                made.add_file(path, data, mtime_ns=mtime_ns)
        return made

    def below(self, path: str) -> set[str]:
        """Direct children."""
        return {other for other in self.tree if names.parent(other) == path}

    def kind(self, path: str) -> Kind:
        what = self.tree[path]
        return Kind.DIRECTORY if what is None else Kind.SYMLINK if isinstance(what, str) else Kind.FILE


@st.composite
def sides(draw: st.DrawFn) -> Side:
    side = Side()
    directories = [""]
    for _ in range(draw(st.integers(0, 14))):
        above = draw(st.sampled_from(directories))
        name = draw(st.sampled_from(NAMES))
        path = f"{above}/{name}" if above else name
        if path in side.tree:
            continue
        what = draw(st.sampled_from(["file", "file", "directory", "directory", "symlink"]))
        if what == "directory":
            side.tree[path] = None
            if path.count("/") < 3:
                directories.append(path)
            if draw(st.integers(0, 11)) == 0:
                side.unreadable.add(path)
        else:
            side.tree[path] = draw(FILE) if what == "file" else draw(st.sampled_from(TEXTS))
    return side


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Side, Side]:
    """Two trees, the second often a changed copy of the first."""
    source, target = draw(sides()), draw(sides())
    if draw(st.booleans()):
        merged = dict(source.tree)
        for path, what in target.tree.items():
            above = names.parent(path)
            if not above or (above in merged and merged[above] is None):
                if what is not None and merged.get(path, 0) is None:
                    for other in [each for each in merged if each.startswith(f"{path}/")]:
                        del merged[other]
                merged[path] = what
        target = Side(merged, {path for path in target.unreadable if merged.get(path, 0) is None})
    return source, target


OPTIONS = st.builds(
    SyncOptions,
    mode=st.sampled_from(Mode),
    compare=st.sampled_from(CompareBy),
    include=st.lists(st.sampled_from(PATTERNS), max_size=2).map(tuple),
    exclude=st.lists(st.sampled_from(PATTERNS), max_size=2).map(tuple),
    max_delete=st.just(DeleteLimit(100)),
    symlinks=st.sampled_from([Symlinks.SKIP, Symlinks.COPY]),
)


class Oracle:
    """What has to happen, by plain recursion over both trees."""

    def __init__(self, source: Side, target: Side, options: SyncOptions) -> None:
        self.source, self.target, self.options = source, target, options
        self.filters = Filters(options.include, options.exclude)
        self.actions: dict[str, Action] = {}
        self.both("")

    def out(self, side: Side, path: str) -> bool:
        kind = side.kind(path)
        link = kind is Kind.SYMLINK and self.options.symlinks is Symlinks.SKIP
        return link or self.filters.excludes(path, directory=kind is Kind.DIRECTORY)

    def both(self, path: str) -> None:
        if path in self.source.unreadable or path in self.target.unreadable:
            return
        mine, theirs = self.source.below(path), self.target.below(path)
        for child in mine - theirs:
            self.copy(child)
        if self.options.mode is Mode.MIRROR:
            for child in theirs - mine:
                self.remove(child)
        for child in mine & theirs:
            if self.out(self.source, child) or self.source.kind(child) is not self.target.kind(child):
                continue
            if self.source.kind(child) is Kind.DIRECTORY:
                self.both(child)
            elif not self.same(child):
                self.actions[child] = Action.UPDATE

    def same(self, path: str) -> bool:
        if self.source.kind(path) is Kind.SYMLINK:
            return self.source.tree[path] == self.target.tree[path]
        one, mtime = self.source.tree[path]  # type: ignore[misc]
        other, other_mtime = self.target.tree[path]  # type: ignore[misc]
        return {
            CompareBy.AUTO: len(one) == len(other) and mtime == other_mtime,
            CompareBy.SIZE: len(one) == len(other),
            CompareBy.MTIME: mtime == other_mtime,
            CompareBy.CHECKSUM: one == other,
        }[self.options.compare]

    def copy(self, path: str) -> bool:
        if self.out(self.source, path):
            return False
        if self.source.kind(path) is not Kind.DIRECTORY:
            self.actions[path] = Action.CREATE
            return True
        if path in self.source.unreadable:
            return False
        made = [self.copy(child) for child in self.source.below(path)]
        if any(made) or self.filters.wants_directory(path):
            self.actions[path] = Action.MKDIR
            return True
        return False

    def remove(self, path: str) -> tuple[bool, bool]:
        """Whether it goes as a whole, and whether anything in it goes."""
        if self.out(self.target, path) or path in self.target.unreadable:
            return False, False
        inside = [self.remove(child) for child in self.target.below(path)]
        some = any(used for _, used in inside)
        if self.target.kind(path) is Kind.DIRECTORY and not (self.filters.wants_directory(path) or some):
            return False, False
        whole = all(gone for gone, _ in inside)
        if whole:
            self.actions[path] = Action.DELETE
        return whole, some or whole


@settings(deadline=None, max_examples=300)
@given(pair=pairs(), options=OPTIONS)
def test_the_plan_is_what_the_model_says(pair: tuple[Side, Side], options: SyncOptions) -> None:
    source, target = pair[0].connector(), pair[1].connector()
    planned = plan(source, target, options, keep_equal=True)
    assert planned.actions == Oracle(*pair, options).actions
    assert not source.writes
    assert not target.writes


@settings(deadline=None, max_examples=150)
@given(pair=pairs(), options=OPTIONS)
def test_every_path_comes_once_and_in_order(pair: tuple[Side, Side], options: SyncOptions) -> None:
    planned = plan(pair[0].connector(), pair[1].connector(), options, keep_equal=True)
    paths = [change.path for change in planned.changes]
    assert paths == sorted(set(paths), key=names.sort_key)
    items = sorted(planned.items, key=lambda item: item.seq)
    assert [item.path for item in items] == paths
    totals = planned.draft.totals
    equal_directories = sum(
        change.kind is ChangeKind.EQUAL and change.source is not None and change.source.kind is Kind.DIRECTORY
        for change in planned.changes
    )
    counted = totals.work + totals.skip + totals.unchanged + totals.conflicts
    assert counted + equal_directories == len(paths)
    few = plan(pair[0].connector(), pair[1].connector(), options)
    assert few.draft == planned.draft
    left_out = {item.path for item in planned.items} - {item.path for item in few.items}
    assert {planned.item(path).kind for path in left_out} <= {ChangeKind.EQUAL, ChangeKind.EXCLUDED}


@settings(deadline=None, max_examples=150)
@given(pair=pairs(), options=OPTIONS)
def test_a_plan_can_be_carried_out_and_leaves_nothing_to_do(
    pair: tuple[Side, Side], options: SyncOptions
) -> None:
    source, target = pair[0].connector(), pair[1].connector()
    planned = plan(source, target, options)
    before = target.tree()
    execute(planned, source, target)
    after = target.tree()
    for path, data in after.items():
        if planned.actions.get(path) in (Action.CREATE, Action.UPDATE):
            assert data == source.read(path)
        elif planned.actions.get(path) is not Action.MKDIR:
            assert data == before[path]
    for path in before:
        assert path in after or planned.actions[path] is Action.DELETE
    if options.mode is Mode.COPY:
        assert set(before) <= set(after)
    assert plan(source, target, options).actions == {}


@settings(deadline=None, max_examples=100)
@given(pair=pairs())
def test_a_mirror_without_obstacles_is_a_copy(pair: tuple[Side, Side]) -> None:
    sides = [
        Side({path: what for path, what in side.tree.items() if not isinstance(what, str)}) for side in pair
    ]
    source, target = sides[0].connector(), sides[1].connector()
    planned = plan(source, target, SyncOptions(mode=Mode.MIRROR, compare=CompareBy.CHECKSUM))
    if "type-conflict" in planned.guards():
        return
    execute(planned, source, target)
    assert target.tree() == source.tree()


@settings(deadline=None, max_examples=100)
@given(pair=pairs(), options=OPTIONS)
def test_nothing_is_deleted_in_what_was_not_listed_in_full(
    pair: tuple[Side, Side], options: SyncOptions
) -> None:
    planned = plan(pair[0].connector(), pair[1].connector(), options)
    unreadable = pair[0].unreadable | pair[1].unreadable
    for path, action in planned.actions.items():
        if action is Action.DELETE:
            for bad in unreadable:
                assert not f"{path}/".startswith(f"{bad}/")
                # Nor anything above what could not be looked into, where the target has it.
                assert bad not in pair[1].unreadable or not bad.startswith(f"{path}/")
