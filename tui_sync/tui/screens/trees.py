"""What can be done with the two trees without touching the plan: fold, filter by kind, sort, jump."""

from __future__ import annotations

from textual.widgets import Static

from tui_sync.tui.bridge import run_in_thread
from tui_sync.tui.rows import Only, Order, Rows
from tui_sync.tui.screens.base import FlowScreen
from tui_sync.tui.widgets.tree import CompareTree

# So many rows are sorted without a pause that could be felt.
_SORTED_AT_ONCE = 100_000


class TreesScreen(FlowScreen):
    """A screen with a ``CompareTree`` and a line, ``#view``, about what it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.hide_equal = False
        self.order = Order.NAME

    def show_totals(self) -> None:
        """Show what the rows come to, as they are now."""

    def show_details(self) -> None:
        """Show what is known of the row under the cursor."""

    @property
    def trees(self) -> CompareTree:
        return self.query_one(CompareTree)

    def show_view(self) -> None:
        """A line about how the rows are sorted and which of them are left out, where that is unusual."""
        rows = self.trees.rows
        parts = []
        if rows.only is not Only.ALL:
            what = "conflicts" if rows.only is Only.CONFLICT else f"what is {rows.only.value}"
            parts.append(f"Only {what} (v: the next view, Esc: all)")
        if self.order is not rows.order:
            parts.append(f"Sorting by {self.order.value} …")
        elif rows.order is not Order.NAME:
            parts.append(f"Sorted by {rows.order.value}")
        self.query_one("#view", Static).update(" · ".join(parts))
        self.set_class(bool(parts), "-viewing")

    def do_fold(self) -> None:
        rows, row = self.trees.rows, self.trees.row
        if row >= 0 and rows.has_children(row) and not rows.is_folded(row):
            rows.fold(row, True)
            self.trees.update(row)
        elif row >= 0 and rows.parents[row] >= 0:
            self.trees.update(rows.parents[row])

    def do_unfold(self) -> None:
        rows, row = self.trees.rows, self.trees.row
        if row >= 0 and rows.is_folded(row):
            rows.fold(row, False)
            self.trees.update(row)
        elif row >= 0 and rows.has_children(row):
            self.trees.move(1)

    def do_fold_all(self) -> None:
        rows, row = self.trees.rows, self.trees.row
        rows.fold_all(True)
        self.trees.update(max(0, row))

    def do_unfold_all(self) -> None:
        rows, row = self.trees.rows, self.trees.row
        rows.fold_all(False)
        self.trees.update(max(0, row))

    def do_hide_equal(self) -> None:
        rows, row = self.trees.rows, self.trees.row
        self.hide_equal = not rows.hide_equal
        rows.set_hide_equal(self.hide_equal)
        self.trees.update(max(0, row))
        self.show_totals()
        self.show_details()

    def do_only(self) -> None:
        """To the next view that shows anything."""
        rows = self.trees.rows
        views = list(Only)
        at = views.index(rows.only)
        for view in (*views[at + 1 :], *views[: at + 1]):
            if view is Only.ALL or rows.any_of(view):
                self.set_only(view)
                return

    def set_only(self, view: Only) -> None:
        rows, row = self.trees.rows, self.trees.row
        rows.set_only(view)
        if view is not Only.ALL and (row < 0 or not rows.is_of(view, row)):
            row = rows.first_of(view)
        self.trees.update(max(0, row))
        self.show_totals()
        self.show_details()

    def do_sort(self) -> None:
        rows = self.trees.rows
        orders = list(Order)
        self.order = order = orders[(orders.index(self.order) + 1) % len(orders)]
        if order is Order.NAME or len(rows) < _SORTED_AT_ONCE:
            self._show_sorted(rows, order)
            return
        self.show_view()
        run_in_thread(
            self,
            lambda: rows.sort_below(order),
            lambda _: self._show_sorted(rows, order),
            lambda sentence: self.say(sentence, warning=True),
            name="tui-sync-sort",
        )

    def _show_sorted(self, rows: Rows, order: Order) -> None:
        if rows is not self.trees.rows or order is not self.order:
            # Listed anew, or sorted otherwise meanwhile.
            return
        row = self.trees.row
        rows.set_order(order)
        self.trees.update(max(0, row))
        self.show_view()

    def do_next_change(self) -> None:
        self._jump(1)

    def do_previous_change(self) -> None:
        self._jump(-1)

    def _jump(self, step: int) -> None:
        rows = self.trees.rows
        row = rows.next_change(self.trees.row, step)
        if row < 0:
            self.say("No row differs.")
            return
        rows.reveal(row)
        self.trees.update(row)
