"""Whether a place takes names for one that differ in upper and lower case: found out by looking alone."""

from __future__ import annotations

from tui_sync import names
from tui_sync.connectors.base import Reader
from tui_sync.errors import NotFound, StorageError, UnsafeName

_TRIED = 3


def folds_names(target: Reader) -> bool | None:
    """Looks at names of the root's own children with their case swapped; None where nothing there can tell.

    A place that ignores case ignores Unicode forms too, or may as well be taken to.
    """
    try:
        found = {child.name for child in target.list_dir("")}
    except StorageError:
        return None
    telling = (name for name in sorted(found) if name.isascii() and name.swapcase() not in {name, *found})
    folds: bool | None = None
    for _, name in zip(range(_TRIED), telling, strict=False):
        try:
            target.stat(names.join("", name.swapcase()))
        except NotFound:
            folds = folds or False
        except (StorageError, UnsafeName):
            continue
        else:
            return True
    return folds
