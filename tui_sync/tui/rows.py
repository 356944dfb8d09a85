"""The items of one plan as the rows of two aligned trees: compact columns, folding, filtering, aggregation.

No Textual in here. Rows are numbered in plan order, which is preorder: the rows below row ``i`` are
``i + 1 … ends[i] - 1``. Folders carry sums over everything below them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tui_sync.model import GLYPHS, Action, ChangeKind, Item, Kind
from tui_sync.names import printable

NO_TIME = -(2**63)
KINDS = tuple(Kind)
CHANGES = tuple(ChangeKind)
ACTIONS = tuple(Action)

_KIND_CODE = {kind: code for code, kind in enumerate(KINDS, 1)}
_CHANGE_CODE = {kind: code for code, kind in enumerate(CHANGES)}
_ACTION_CODE = {action: code for code, action in enumerate(ACTIONS)}
_DIRECTORY = _KIND_CODE[Kind.DIRECTORY]
_EQUAL = _CHANGE_CODE[ChangeKind.EQUAL]
_EXCLUDED = _CHANGE_CODE[ChangeKind.EXCLUDED]
_EXTRA = _CHANGE_CODE[ChangeKind.EXTRA]
_SKIP = _ACTION_CODE[Action.SKIP]
_CREATE = _ACTION_CODE[Action.CREATE]
_UPDATE = _ACTION_CODE[Action.UPDATE]
_DELETE = _ACTION_CODE[Action.DELETE]
_QUIET = (_EQUAL, _EXCLUDED)
_CONFLICTS = tuple(
    _CHANGE_CODE[kind] for kind in (ChangeKind.TYPE_CHANGED, ChangeKind.ERROR, ChangeKind.TARGET_NEWER)
)
CHANGED_INSIDE = GLYPHS[ChangeKind.MODIFIED]


@dataclass(frozen=True, slots=True)
class Counts:
    """What a row and everything below it come to: items that will run, and those that will not."""

    create: int = 0
    update: int = 0
    delete: int = 0
    conflicts: int = 0
    out: int = 0

    def __bool__(self) -> bool:
        return bool(self.create or self.update or self.delete or self.conflicts or self.out)


class Rows:
    """All rows of a plan, and which of them are visible."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self.names: list[str] = []
        self.parents = array("i")
        self.depths = array("H")
        self.ends = array("i")
        self.kinds = bytearray()
        self.actions = bytearray()
        self.included = bytearray()
        self.source_kinds = bytearray()
        self.target_kinds = bytearray()
        self.source_sizes = array("q")
        self.target_sizes = array("q")
        self.source_times = array("q")
        self.target_times = array("q")
        self.root: Item | None = None
        self._load(items)
        length = len(self.names)
        self.changes = array("i", bytes(4 * length))
        self._create = array("i", bytes(4 * length))
        self._update = array("i", bytes(4 * length))
        self._delete = array("i", bytes(4 * length))
        self._conflict = array("i", bytes(4 * length))
        self._out = array("i", bytes(4 * length))
        self._aggregate()
        self._folded = bytearray(length)
        self._search: list[str] | None = None
        self._shown: bytearray | None = None
        self.first_match = -1
        self._folded_before: bytearray | None = None
        self.filter = ""
        self.hide_equal = False
        self.visible = array("i")
        self.fold_unchanged()

    def __len__(self) -> int:
        return len(self.names)

    def _load(self, items: Iterable[Item]) -> None:
        stack: list[tuple[str, int]] = []
        for item in items:
            path = item.path
            if not path:
                self.root = item
                continue
            folder, _, name = path.rpartition("/")
            while stack and stack[-1][0] != folder:
                if folder.startswith(stack[-1][0] + "/"):
                    break
                self.ends[stack.pop()[1]] = len(self.names)
            if folder and (not stack or stack[-1][0] != folder):
                self._fill_in(folder, stack)
            source, target = item.source, item.target
            self._append(
                name,
                stack[-1][1] if stack else -1,
                _CHANGE_CODE[item.kind],
                _ACTION_CODE[item.action],
                item.included,
                (_KIND_CODE[source.kind], source.size, source.mtime_ns) if source else (0, 0, None),
                (_KIND_CODE[target.kind], target.size, target.mtime_ns) if target else (0, 0, None),
            )
            stack.append((path, len(self.names) - 1))
        while stack:
            self.ends[stack.pop()[1]] = len(self.names)

    def _fill_in(self, folder: str, stack: list[tuple[str, int]]) -> None:
        """Rows for ancestors that are no items themselves."""
        have = stack[-1][0] + "/" if stack else ""
        path = have
        for name in folder[len(have) :].split("/"):
            path += name
            both = (_DIRECTORY, 0, None)
            self._append(name, stack[-1][1] if stack else -1, _EQUAL, _SKIP, True, both, both)
            stack.append((path, len(self.names) - 1))
            path += "/"

    def _append(
        self,
        name: str,
        parent: int,
        kind: int,
        action: int,
        included: bool,
        source: tuple[int, int, int | None],
        target: tuple[int, int, int | None],
    ) -> None:
        self.names.append(name)
        self.parents.append(parent)
        self.depths.append(min(65_535, self.depths[parent] + 1) if parent >= 0 else 0)
        self.ends.append(len(self.names))
        self.kinds.append(kind)
        self.actions.append(action)
        self.included.append(included)
        for (code, size, mtime), kinds, sizes, times in (
            (source, self.source_kinds, self.source_sizes, self.source_times),
            (target, self.target_kinds, self.target_sizes, self.target_times),
        ):
            kinds.append(code)
            sizes.append(size if code != _DIRECTORY and 0 <= size < 2**63 else 0)
            times.append(mtime if mtime is not None and NO_TIME < mtime < 2**63 else NO_TIME)

    def _aggregate(self) -> None:
        """Sum every row into its parent, from the last row up: children before their parent."""
        parents, sources, targets, changes = self.parents, self.source_sizes, self.target_sizes, self.changes
        kinds = self.kinds
        for row in range(len(self.names) - 1, -1, -1):
            if kinds[row] not in _QUIET:
                changes[row] += 1
            parent = parents[row]
            if parent >= 0:
                if self.source_kinds[parent] in (0, _DIRECTORY):
                    sources[parent] += sources[row]
                if self.target_kinds[parent] in (0, _DIRECTORY):
                    targets[parent] += targets[row]
                changes[parent] += changes[row]
        self._count(0, len(self.names))

    def _count(self, start: int, end: int) -> None:
        """Recount rows ``start`` to ``end`` (a whole subtree, or all) and sum them up within."""
        columns = (self._create, self._update, self._delete, self._conflict, self._out)
        for column in columns:
            column[start:end] = array("i", bytes(4 * (end - start)))
        actions, kinds, included, parents = self.actions, self.kinds, self.included, self.parents
        create, update, delete, conflict, out = columns
        for row in range(end - 1, start - 1, -1):
            if kinds[row] == _EQUAL and self.ends[row] == row + 1:
                continue
            action = actions[row]
            if action == _SKIP:
                conflict[row] += kinds[row] in _CONFLICTS
            elif not included[row]:
                out[row] += 1
            elif action == _CREATE:
                create[row] += 1
            elif action == _UPDATE:
                update[row] += 1
            elif action == _DELETE:
                delete[row] += 1
            parent = parents[row]
            if parent >= start:
                for column in columns:
                    if column[row]:
                        column[parent] += column[row]

    def counts(self, row: int) -> Counts:
        """The sums of a row and everything below it."""
        return Counts(
            self._create[row], self._update[row], self._delete[row], self._conflict[row], self._out[row]
        )

    def path(self, row: int) -> str:
        """The row's path on the target."""
        parts = []
        while row >= 0:
            parts.append(self.names[row])
            row = self.parents[row]
        return "/".join(reversed(parts))

    def find(self, path: str) -> int:
        """The row of a path, or of its nearest ancestor that has one; -1 where there is none."""
        row, start, end = -1, 0, len(self.names)
        for name in path.split("/"):
            child = start
            while child < end and self.names[child] != name:
                child = self.ends[child]
            if child >= end:
                break
            row, start, end = child, child + 1, self.ends[child]
        return row

    def action(self, row: int) -> Action:
        return ACTIONS[self.actions[row]]

    def kind(self, row: int) -> ChangeKind:
        return CHANGES[self.kinds[row]]

    def is_folder(self, row: int) -> bool:
        """Whether the row is a directory on a side that has it, or has rows below it."""
        return (
            self.ends[row] > row + 1
            or (self.source_kinds[row] or self.target_kinds[row]) == _DIRECTORY
            or self.target_kinds[row] == _DIRECTORY
        )

    def has_children(self, row: int) -> bool:
        return self.ends[row] > row + 1

    def side_kind(self, row: int, side: int) -> Kind | None:
        """What the path is on a side (0 source, 1 target), None where it is missing there."""
        code = (self.target_kinds if side else self.source_kinds)[row]
        return KINDS[code - 1] if code else None

    def side_size(self, row: int, side: int) -> int:
        """Size in bytes on a side; of a folder, the sum of the files below it."""
        return (self.target_sizes if side else self.source_sizes)[row]

    def side_time(self, row: int, side: int) -> int | None:
        """mtime in nanoseconds on a side, None where unknown."""
        value = (self.target_times if side else self.source_times)[row]
        return None if value == NO_TIME else value

    def glyph(self, row: int) -> str:
        """One character for the gutter: the row's own change; for a folder that stays, ``M`` when there is a
        change below it."""
        action = self.actions[row]
        if action != _SKIP and not self.included[row]:
            return "x"
        if action == _DELETE:
            return "-"
        if self.kinds[row] == _EQUAL and self.changes[row]:
            return CHANGED_INSIDE
        return GLYPHS[CHANGES[self.kinds[row]]]

    def ancestors(self, row: int) -> list[int]:
        """The rows above a row, nearest first."""
        found = []
        row = self.parents[row]
        while row >= 0:
            found.append(row)
            row = self.parents[row]
        return found

    def has_work(self, row: int) -> bool:
        """Whether an item that changes the target is at the row or below it."""
        skip = self.actions.count(_SKIP, row, self.ends[row])
        return skip < self.ends[row] - row

    def is_in(self, row: int) -> bool:
        """Whether any item that changes the target, at the row or below it, is included."""
        return any(self.included[i] and self.actions[i] != _SKIP for i in range(row, self.ends[row]))

    def set_included(self, row: int, included: bool, also: Sequence[tuple[int, bool]] = ()) -> None:
        """Include or exclude a row and everything below it; ``also`` are further single rows (ancestors that
        the ledger changed with it)."""
        end = self.ends[row]
        self.included[row:end] = bytes((included,)) * (end - row)
        top = row
        for other, value in also:
            self.included[other] = value
            top = min(top, other)
        columns = (self._create, self._update, self._delete, self._conflict, self._out)
        before = [column[top] for column in columns]
        self._count(top, self.ends[top])
        for above in self.ancestors(top):
            for column, old in zip(columns, before, strict=True):
                column[above] += column[top] - old

    def is_folded(self, row: int) -> bool:
        return bool(self._folded[row])

    def fold(self, row: int, folded: bool) -> None:
        if self.has_children(row) and bool(self._folded[row]) != folded:
            self._folded[row] = folded
            self.refresh()

    def fold_all(self, folded: bool) -> None:
        self._folded = bytearray(folded and self.ends[row] > row + 1 for row in range(len(self.names)))
        self.refresh()

    def fold_unchanged(self) -> None:
        """Fold the folders that hold no change: the beginning."""
        changes, ends = self.changes, self.ends
        self._folded = bytearray(ends[row] > row + 1 and not changes[row] for row in range(len(self.names)))
        self.refresh()

    def reveal(self, row: int) -> None:
        """Unfold what is above a row."""
        folded = [above for above in self.ancestors(row) if self._folded[above]]
        for above in folded:
            self._folded[above] = False
        if folded:
            self.refresh()

    def set_filter(self, text: str) -> None:
        """Show only rows whose name (or, with a slash in ``text``, path) holds ``text``, with what is above
        and below them. Folding starts afresh while a filter is on and returns with its end."""
        text = text.casefold()
        if text == self.filter:
            return
        if text and not self.filter:
            self._folded_before, self._folded = self._folded, bytearray(len(self.names))
        elif not text and self._folded_before is not None:
            self._folded, self._folded_before = self._folded_before, None
        self.filter = text
        self.first_match = -1
        self._shown = self._matches(text) if text else None
        self.refresh()

    def _matches(self, text: str) -> bytearray:
        if self._search is None:
            self._search = [printable(name).casefold() for name in self.names]
        shown = bytearray(len(self.names))
        if "/" in text:
            hits = self._path_matches(text)
        else:
            hits = [row for row, name in enumerate(self._search) if text in name]
        self.first_match = hits[0] if hits else -1
        for row in hits:
            end = self.ends[row]
            shown[row:end] = b"\1" * (end - row)
            above = self.parents[row]
            while above >= 0 and not shown[above]:
                shown[above] = 1
                above = self.parents[above]
        return shown

    def _path_matches(self, text: str) -> list[int]:
        assert self._search is not None
        hits: list[int] = []
        trail: list[str] = []
        for row, name in enumerate(self._search):
            del trail[self.depths[row] :]
            path = f"{trail[-1]}/{name}" if trail else name
            trail.append(path)
            if text in path:
                hits.append(row)
        return hits

    def set_hide_equal(self, hide: bool) -> None:
        self.hide_equal = hide
        self.refresh()

    def is_shown(self, row: int) -> bool:
        """Whether filter and hiding let a row through, folding aside."""
        if self.hide_equal and self.kinds[row] == _EQUAL and not self.changes[row]:
            return False
        return self._shown is None or bool(self._shown[row])

    def refresh(self) -> None:
        """Work out ``visible`` again."""
        ends, folded, shown = self.ends, self._folded, self._shown
        visible = array("i")
        row, length = 0, len(self.names)
        while row < length:
            if (self.hide_equal and not self.is_shown(row)) or (shown is not None and not shown[row]):
                row = ends[row]
                continue
            visible.append(row)
            row = ends[row] if folded[row] else row + 1
        self.visible = visible

    def position(self, row: int) -> int:
        """Where a row, or what stands for it while it is hidden, is in ``visible``; 0 in an empty one."""
        at = bisect_left(self.visible, row)
        if at < len(self.visible) and self.visible[at] == row:
            return at
        return max(0, at - 1)

    def next_change(self, row: int, step: int) -> int:
        """The next row with a change of its own, ``step`` 1 down or -1 up, round the end; -1 for none."""
        length = len(self.names)
        for distance in range(1, length + 1):
            other = (row + step * distance) % length
            if self.kinds[other] not in _QUIET and self.is_shown(other):
                return other
        return -1

    def group(self, *actions: Action) -> array[int]:
        """The rows with one of these actions, in plan order."""
        codes = {_ACTION_CODE[action] for action in actions}
        return array("i", [row for row, action in enumerate(self.actions) if action in codes])

    def conflicts(self) -> array[int]:
        """The rows that are left alone for a reason that wants a look."""
        return array(
            "i",
            [row for row, kind in enumerate(self.kinds) if kind in _CONFLICTS and self.actions[row] == _SKIP],
        )

    def filtered_out(self) -> int:
        """How many paths the profile's filters (or a policy) leave out."""
        return self.kinds.count(_EXCLUDED)

    def taken_out(self) -> int:
        """How many items a person has taken out."""
        return sum(1 for row, action in enumerate(self.actions) if action != _SKIP and not self.included[row])
