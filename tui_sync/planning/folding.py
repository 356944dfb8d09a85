"""Names that are one to a storage which ignores case and Unicode form, and whether a place is such a one."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from tui_sync import names
from tui_sync.connectors.base import Reader
from tui_sync.errors import NotFound, StorageError, UnsafeName

_TRIED = 3


class FoldedNames:
    """The names in one folder, each added once."""

    __slots__ = ("_folded", "_names")

    def __init__(self) -> None:
        # Names that fold to themselves cannot be one with each other. Most folders have no others, and then
        # no need of a set.
        self._names: list[str] = []
        self._folded: set[str] | None = None

    def add_all(self, names: Sequence[str]) -> list[str]:
        """Those of these names, in order, that are one with a name that came before."""
        if self._folded is None:
            joined = "/".join(names)
            if joined.isascii() and joined.lower() == joined:
                self._names += names
                return []
            self._folded = set(self._names)
            self._names.clear()
        found = []
        for name in names:
            folded = name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()
            if folded in self._folded:
                found.append(name)
            self._folded.add(folded)
        return found


def folds_names(target: Reader) -> bool | None:
    """Whether the target takes names for one that differ in upper and lower case. Looks at names of the
    root's own children with their case swapped; None where nothing there can tell.

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
