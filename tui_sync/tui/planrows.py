"""The items of one plan as the rows of a tree: compact columns, and what rows and folders come to.

No Textual in here. Rows are numbered in plan order, which is preorder: the rows below row ``i`` are
``i + 1 … ends[i] - 1``. Folders carry sums over everything below them. Rows may be added on one thread while
another one draws those that are there.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tui_sync.model import GLYPHS, Action, ChangeKind, Item, Kind
from tui_sync.tui.columns import Names, picking, rows_of

NO_TIME = -(2**63)
_LARGEST = 2**63 - 1
KINDS = tuple(Kind)
CHANGES = tuple(ChangeKind)
ACTIONS = tuple(Action)

_KIND_CODE = {kind: code for code, kind in enumerate(KINDS, 1)}
CHANGE_CODE = {kind: code for code, kind in enumerate(CHANGES)}
_ACTION_CODE = {action: code for code, action in enumerate(ACTIONS)}
_DIRECTORY = _KIND_CODE[Kind.DIRECTORY]
_FILE = _KIND_CODE[Kind.FILE]
EQUAL = CHANGE_CODE[ChangeKind.EQUAL]
_EXCLUDED = CHANGE_CODE[ChangeKind.EXCLUDED]
_EXTRA = CHANGE_CODE[ChangeKind.EXTRA]
_SKIP = _ACTION_CODE[Action.SKIP]
_DELETE = _ACTION_CODE[Action.DELETE]
QUIET = (EQUAL, _EXCLUDED)
_CONFLICTS = tuple(
    CHANGE_CODE[kind] for kind in (ChangeKind.TYPE_CHANGED, ChangeKind.ERROR, ChangeKind.TARGET_NEWER)
)
CHANGED_INSIDE = GLYPHS[ChangeKind.MODIFIED]

# What becomes of a row: nothing, its action, nothing for a reason that wants a look, or nothing by choice.
_STILL, _CREATES, _UPDATES, _DELETES, _MAKES, _CONFLICT, _OUT = range(7)
_WORK = (_CREATES, _UPDATES, _DELETES, _MAKES)
_DOES = {
    _ACTION_CODE[Action.CREATE]: _CREATES,
    _ACTION_CODE[Action.UPDATE]: _UPDATES,
    _ACTION_CODE[Action.DELETE]: _DELETES,
    _ACTION_CODE[Action.MKDIR]: _MAKES,
}
_TAKEN_OUT = bytes(_OUT if code in _WORK else code for code in range(256))


class Only(StrEnum):
    """Which rows to show, by what becomes of them."""

    ALL = "all"
    CREATE = "to create"
    UPDATE = "to replace"
    DELETE = "to delete"
    CONFLICT = "conflicts"
    OUT = "taken out"


ONLY: dict[Only, tuple[int, ...]] = {
    Only.CREATE: (_CREATES, _MAKES),
    Only.UPDATE: (_UPDATES,),
    Only.DELETE: (_DELETES,),
    Only.CONFLICT: (_CONFLICT,),
    Only.OUT: (_OUT,),
}


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


class PlanRows:
    """All rows of a plan. ``growing`` as long as more are to come by ``add``."""

    def __init__(self) -> None:
        self.names = Names()
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
        self.growing = True
        self._folders = array("i")
        self._state = bytearray()
        self._stack: list[tuple[str, int]] = []
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self.parents)

    def add(self, items: Iterable[Item]) -> None:
        """Rows for items in plan order; a directory may come after what is in it."""
        with self._lock:
            for item in items:
                self._add(item)
            # As far as is known by now, the folders that are open end here.
            for _, row in self._stack:
                self.ends[row] = len(self.parents)

    def _add(self, item: Item) -> None:
        path = item.path
        if not path:
            self.root = item
            return
        folder, _, name = path.rpartition("/")
        stack = self._stack
        while stack and stack[-1][0] != folder:
            top = stack[-1][0]
            if top == path:
                self._settle(stack[-1][1], item)
                return
            if folder.startswith(f"{top}/"):
                break
            self._close()
        if folder and (not stack or stack[-1][0] != folder):
            self._fill_in(folder)
        row = self._append(name)
        self._settle(row, item)
        if _DIRECTORY in (self.source_kinds[row], self.target_kinds[row]):
            self._open(path, row)
        elif stack:
            self._sum(row, stack[-1][1])

    def _fill_in(self, folder: str) -> None:
        """Rows for the ancestors of an item that are not there yet; they may come later, or be none."""
        stack = self._stack
        have = f"{stack[-1][0]}/" if stack else ""
        path = have
        for name in folder[len(have) :].split("/"):
            path += name
            row = self._append(name)
            self.source_kinds[row] = self.target_kinds[row] = _DIRECTORY
            self._open(path, row)
            path += "/"

    def finish(self) -> None:
        """There are no more."""
        with self._lock:
            while self._stack:
                self._close()
            self.growing = False

    def _append(self, name: str) -> int:
        row = len(self.parents)
        parent = self._stack[-1][1] if self._stack else -1
        self.names.append(name)
        self.depths.append(min(65_535, self.depths[parent] + 1) if parent >= 0 else 0)
        self.ends.append(row + 1)
        self.kinds.append(EQUAL)
        self.actions.append(_SKIP)
        self.included.append(1)
        self.source_kinds.append(0)
        self.target_kinds.append(0)
        self.source_sizes.append(0)
        self.target_sizes.append(0)
        self.source_times.append(NO_TIME)
        self.target_times.append(NO_TIME)
        self._state.append(_STILL)
        # Last, as the number of rows is told by it.
        self.parents.append(parent)
        return row

    def _settle(self, row: int, item: Item) -> None:
        """Put an item's own values into its row."""
        self.kinds[row] = CHANGE_CODE[item.kind]
        self.actions[row] = _ACTION_CODE[item.action]
        self.included[row] = item.included
        for entry, kinds, sizes, times in (
            (item.source, self.source_kinds, self.source_sizes, self.source_times),
            (item.target, self.target_kinds, self.target_sizes, self.target_times),
        ):
            kinds[row] = 0 if entry is None else _KIND_CODE[entry.kind]
            if entry is None:
                continue
            if entry.kind is not Kind.DIRECTORY:
                sizes[row] = entry.size if 0 <= entry.size <= _LARGEST else 0
            if entry.mtime_ns is not None and NO_TIME < entry.mtime_ns <= _LARGEST:
                times[row] = entry.mtime_ns
        self._state[row] = self._state_of(row)

    def _state_of(self, row: int) -> int:
        action = self.actions[row]
        if action == _SKIP:
            return _CONFLICT if self.kinds[row] in _CONFLICTS else _STILL
        return _DOES[action] if self.included[row] else _OUT

    def _open(self, path: str, row: int) -> None:
        self._stack.append((path, row))
        self._folders.append(row)

    def _close(self) -> int:
        """The folder opened last is complete; returns its row."""
        row = self._stack.pop()[1]
        self.ends[row] = len(self.parents)
        if self._stack:
            self._sum(row, self._stack[-1][1])
        return row

    def _sum(self, row: int, parent: int) -> None:
        """Add the sizes of a row to the folder above, on the sides on which that is one."""
        for kinds, sizes in (
            (self.source_kinds, self.source_sizes),
            (self.target_kinds, self.target_sizes),
        ):
            if sizes[row] and kinds[parent] in (0, _DIRECTORY):
                sizes[parent] = min(sizes[parent] + sizes[row], _LARGEST)

    def has_changes(self, row: int) -> bool:
        """Whether a row or anything below it differs."""
        end = self.ends[row]
        quiet = self.kinds.count(EQUAL, row, end) + self.kinds.count(_EXCLUDED, row, end)
        return quiet < end - row

    def counts(self, row: int) -> Counts:
        """The sums of a row and everything below it."""
        end, state = self.ends[row], self._state
        return Counts(
            *(state.count(what, row, end) for what in (_CREATES, _UPDATES, _DELETES, _CONFLICT, _OUT))
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
        row, start, end = -1, 0, len(self)
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
        kind = self.kinds[row]
        if kind == EQUAL and (action != _SKIP or (self.ends[row] > row + 1 and self.has_changes(row))):
            return CHANGED_INSIDE
        return GLYPHS[CHANGES[kind]]

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
        end = self.ends[row]
        return any(self._state.find(what, row, end) >= 0 for what in _WORK)

    def set_included(self, row: int, included: bool, also: Sequence[tuple[int, bool]] = ()) -> None:
        """Include or exclude a row and everything below it; ``also`` are further single rows (ancestors that
        the ledger changed with it)."""
        end = self.ends[row]
        self.included[row:end] = bytes((included,)) * (end - row)
        if included:
            out = picking(self._state[row:end], (_OUT,))
            for number in rows_of(out):
                self._state[row + number] = self._state_of(row + number)
        else:
            self._state[row:end] = self._state[row:end].translate(_TAKEN_OUT)
        for other, value in also:
            self.included[other] = value
            self._state[other] = self._state_of(other)

    def set_action(self, row: int, action: Action, of: Callable[[int], bool] = lambda row: True) -> None:
        """Another action for a row and those below it that ``of`` picks; it is included from then on."""
        code = _ACTION_CODE[action]
        for number in range(row, self.ends[row]):
            if of(number):
                self.actions[number], self.included[number] = code, 1
                self._state[number] = self._state_of(number)

    def group(self, *actions: Action) -> array[int]:
        """The rows with one of these actions, in plan order."""
        return rows_of(picking(self.actions, [_ACTION_CODE[action] for action in actions]))

    def conflicts(self) -> array[int]:
        """The rows that are left alone for a reason that wants a look."""
        return rows_of(picking(self._state, (_CONFLICT,)))

    def any_of(self, only: Only) -> bool:
        """Whether there are rows of a kind."""
        return self.first_of(only) >= 0

    def first_of(self, only: Only) -> int:
        """The first row of a kind, -1 for none."""
        found = [at for code in ONLY[only] if (at := self._state.find(code)) >= 0]
        return min(found, default=-1)

    def is_of(self, only: Only, row: int) -> bool:
        return self._state[row] in ONLY[only]

    def filtered_out(self) -> int:
        """How many paths the profile's filters (or a policy) leave out."""
        return self.kinds.count(_EXCLUDED)

    def taken_out(self) -> int:
        """How many items a person has taken out."""
        return self._state.count(_OUT)

    def all_extra(self, row: int) -> bool:
        """Whether a row and everything below it is only on the target and known in full."""
        end = self.ends[row]
        return self.kinds.count(_EXTRA, row, end) == end - row
