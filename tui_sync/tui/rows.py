"""The rows of a plan as two aligned trees show them: folding, filtering, sorting. No Textual in here."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from enum import StrEnum
from itertools import compress

from tui_sync.model import ChangeKind, Item
from tui_sync.names import printable
from tui_sync.tui.columns import Numbers, Search, both, picking, rows_of
from tui_sync.tui.planrows import CHANGE_CODE, CHANGES, EQUAL, ONLY, QUIET, Counts, Only, PlanRows

__all__ = ["Counts", "Only", "Order", "Rows"]


class Order(StrEnum):
    """How the rows of a folder are sorted."""

    NAME = "name"
    SIZE = "size"
    CHANGE = "change"


# The order of changes: what wants a look first.
_RANK = {
    CHANGE_CODE[kind]: rank
    for rank, kind in enumerate(
        (
            ChangeKind.ERROR,
            ChangeKind.TYPE_CHANGED,
            ChangeKind.TARGET_NEWER,
            ChangeKind.EXTRA,
            ChangeKind.MODIFIED,
            ChangeKind.NEW,
            ChangeKind.EXCLUDED,
            ChangeKind.EQUAL,
        )
    )
}


_RANKS = bytes(_RANK.get(code, 0) for code in range(256))


class Rows(PlanRows):
    """All rows of a plan, and which of them are visible."""

    def __init__(self, items: Iterable[Item] = (), *, growing: bool = False) -> None:
        """``growing``: more are to come by ``add``, the last of them followed by ``finish``."""
        super().__init__()
        self._folded = bytearray()
        self._search = Search()
        self._numbers = Numbers()
        self._sorted_below: dict[tuple[int, Order], array[int]] = {}
        self._shown: bytearray | None = None
        self._folded_before: bytearray | None = None
        self.first_match = -1
        self.filter = ""
        self.only = Only.ALL
        self.order = Order.NAME
        self.hide_equal = False
        self.visible = array("i")
        self.add(items)
        if not growing:
            self.finish()

    def finish(self) -> None:
        with self._lock:
            super().finish()
            self._sorted_below.clear()
            self._match()

    def add(self, items: Iterable[Item]) -> None:
        with self._lock:
            self._sorted_below.clear()
            super().add(items)

    def _append(self, name: str) -> int:
        self._search.append(name)
        self._folded.append(0)
        return super()._append(name)

    def _close(self) -> int:
        row = super()._close()
        self._folded[row] = self.ends[row] > row + 1 and not self.has_changes(row)
        return row

    def is_folded(self, row: int) -> bool:
        return bool(self._folded[row])

    def fold(self, row: int, folded: bool) -> None:
        if self.has_children(row) and bool(self._folded[row]) != folded:
            self._folded[row] = folded
            self.refresh()

    def fold_all(self, folded: bool) -> None:
        with self._lock:
            self._folded = bytearray(len(self))
            if folded:
                for row in self._folders:
                    self._folded[row] = self.ends[row] > row + 1
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
        if text != self.filter:
            self._restart_folds(bool(text) or self.only is not Only.ALL)
            self.filter = text
            self._match()

    def set_only(self, only: Only) -> None:
        """Show only rows of which that becomes, with what is above them."""
        if only is not self.only:
            self._restart_folds(bool(self.filter) or only is not Only.ALL)
            self.only = only
            self._match()

    def set_order(self, order: Order) -> None:
        if order is not self.order:
            self.order = order
            self.refresh()

    def _restart_folds(self, narrowed: bool) -> None:
        if narrowed and self._folded_before is None:
            self._folded_before, self._folded = self._folded, bytearray(len(self))
        elif not narrowed and self._folded_before is not None:
            self._folded, self._folded_before = self._folded_before, None

    def _match(self) -> None:
        """Work out which rows filter and kind let through."""
        with self._lock:
            self.first_match = -1
            self._shown = None
            if self.filter:
                hits = (
                    self._path_hits(self.filter) if "/" in self.filter else self._search.holding(self.filter)
                )
                self.first_match = hits.find(1)
                self._shown = self._with_below(hits)
            if self.only is not Only.ALL:
                rows = picking(self._state, ONLY[self.only])
                self._shown = rows if self._shown is None else both(rows, self._shown)
                self.first_match = self._shown.find(1)
            if self._shown is not None:
                self._show_above(self._shown)
            self.refresh()

    def _path_hits(self, text: str) -> bytearray:
        """Rows that complete ``text``: what precedes its last slash ends the path of the folder, what follows
        begins the name."""
        head, _, tail = text.rpartition("/")
        hits = self._search.beginning(tail)
        fits: dict[int, bool] = {}
        for row in rows_of(hits):
            parent = self.parents[row]
            if parent not in fits:
                path = printable(self.path(parent)).casefold() if parent >= 0 else ""
                fits[parent] = parent >= 0 and path.endswith(head)
            hits[row] = fits[parent]
        return hits

    def _with_below(self, hits: bytearray) -> bytearray:
        shown = bytearray(hits)
        done = -1
        for row in self._folders:
            if row >= done and hits[row]:
                done = self.ends[row]
                shown[row:done] = b"\1" * (done - row)
        return shown

    def _show_above(self, shown: bytearray) -> None:
        ends = self.ends
        for row in self._folders:
            if not shown[row] and shown.find(1, row + 1, ends[row]) >= 0:
                shown[row] = 1

    def set_hide_equal(self, hide: bool) -> None:
        if hide is not self.hide_equal:
            self.hide_equal = hide
            self.refresh()

    def is_shown(self, row: int) -> bool:
        """Whether filter and hiding let a row through, folding aside."""
        if self.hide_equal and self.kinds[row] == EQUAL and not self.has_changes(row):
            return False
        return self._shown is None or bool(self._shown[row])

    def refresh(self) -> None:
        """Work out ``visible`` again."""
        with self._lock:
            length = len(self)
            mask = bytearray(b"\1" * length) if self._shown is None else bytearray(self._shown)
            mask.extend(bytes(length - len(mask)))
            if self.hide_equal:
                differing = picking(self.kinds, [code for code in range(len(CHANGES)) if code != EQUAL])
                self._show_above(differing)
                mask = both(mask, differing)
            if self.order is not Order.NAME:
                self.visible = self._sorted(mask)
                return
            ends, folded, done = self.ends, self._folded, 0
            for row in self._folders if folded.find(1) >= 0 else ():
                if row >= done and folded[row]:
                    done = ends[row]
                    mask[row + 1 : done] = bytes(done - row - 1)
            self.visible = self._numbers.of(mask)

    def sort_below(self, order: Order) -> None:
        """Sort all folders for an order to come, which is then taken up at once. May run on a thread."""
        for row in (-1, *self._folders):
            self._below(row, order)

    def _sorted(self, mask: bytearray) -> array[int]:
        """The visible rows, each folder's own in the order that is set."""
        visible = array("i")
        narrowed = mask.find(0) >= 0
        waiting = [iter(self._below(-1, self.order))]
        while waiting:
            row = next(waiting[-1], -1)
            if row < 0:
                waiting.pop()
            elif mask[row]:
                visible.append(row)
                if self.ends[row] > row + 1 and not self._folded[row]:
                    below = self._below(row, self.order)
                    if not self._is_flat(row + 1, self.ends[row]):
                        waiting.append(iter(below))
                    elif narrowed:
                        visible.extend(compress(below, map(mask.__getitem__, below)))
                    else:
                        visible += below
        return visible

    def _is_flat(self, start: int, end: int) -> bool:
        """Whether there is no folder among some rows."""
        at = bisect_left(self._folders, start)
        return at == len(self._folders) or self._folders[at] >= end

    def _below(self, folder: int, order: Order) -> array[int]:
        """A folder's own rows (of -1, those on top) in an order, sorted once."""
        known = self._sorted_below.get((folder, order))
        if known is None:
            known = self._sorted_below[folder, order] = self._sort(folder, order)
        return known

    def _sort(self, folder: int, order: Order) -> array[int]:
        start, end = folder + 1, self.ends[folder] if folder >= 0 else len(self)
        found: Iterable[int] = range(start, end)
        if not self._is_flat(start, end):
            found = self._own(start, end)
        if order is Order.CHANGE:
            ranks = self.kinds[start:end].translate(_RANKS)
            for row in found if not isinstance(found, range) else ():
                if self.kinds[row] == EQUAL and self.has_children(row) and self.has_changes(row):
                    # A folder goes with the changes in it.
                    ranks[row - start] = _RANK[CHANGE_CODE[ChangeKind.MODIFIED]]
            places = sorted((row - start for row in found), key=ranks.__getitem__)
        else:
            sizes = list(map(max, self.source_sizes[start:end], self.target_sizes[start:end]))
            places = sorted((row - start for row in found), key=sizes.__getitem__, reverse=True)
        return array("i", [place + start for place in places])

    def _own(self, start: int, end: int) -> list[int]:
        found = []
        while start < end:
            found.append(start)
            start = self.ends[start]
        return found

    def position(self, row: int) -> int:
        """Where a row, or what stands for it while it is hidden, is in ``visible``; 0 in an empty one."""
        if self.order is not Order.NAME:
            for candidate in (row, *self.ancestors(row)) if 0 <= row < len(self) else ():
                try:
                    return self.visible.index(candidate)
                except ValueError:
                    continue
            return 0
        at = bisect_left(self.visible, row)
        if at < len(self.visible) and self.visible[at] == row:
            return at
        return max(0, at - 1)

    def next_change(self, row: int, step: int) -> int:
        """The next row with a change of its own, ``step`` 1 down or -1 up, round the end; -1 for none."""
        differing = picking(self.kinds, [code for code in range(len(CHANGES)) if code not in QUIET])
        if self._shown is not None:
            differing = both(differing, self._shown)
        if step > 0:
            found = differing.find(1, row + 1)
            return found if found >= 0 else differing.find(1)
        found = differing.rfind(1, 0, max(0, row))
        return found if found >= 0 else differing.rfind(1)
