"""Why nothing can be done with a row of the trees, as sentences."""

from __future__ import annotations

from tui_sync.model import ChangeKind
from tui_sync.tui.rows import Rows


def why_not_include(rows: Rows, row: int) -> str:
    """Of a row without work: why there is nothing to take out."""
    kind = rows.kind(row)
    if kind is ChangeKind.EQUAL:
        return "Nothing to take out here: it is equal on both sides."
    if kind is ChangeKind.EXCLUDED:
        return "A filter of the profile leaves this out: change the profile to have it in."
    if kind is ChangeKind.EXTRA:
        return "This stays as it is: in copy mode nothing is deleted."
    return "This is left alone anyway: the reason stands below."


def why_not_override(rows: Rows, row: int) -> str:
    """Of a row for which there is no other action: why."""
    if rows.kind(row) is ChangeKind.EXTRA:
        return "Not all of this is known well enough to delete it."
    if rows.has_work(row):
        return "Space takes this out of the plan; there is nothing else to do with it."
    if rows.is_folder(row):
        return "Only for files, and for folders that only the target has."
    return "There is nothing else that could safely be done here: the reason stands below."
