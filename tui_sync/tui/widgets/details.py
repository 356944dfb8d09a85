"""The strip below the trees: everything about the row under the cursor."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment

from tui_sync.model import Action, ChangeKind, DeleteTo, Entry, Item, Kind, SyncOptions
from tui_sync.names import printable
from tui_sync.tui import text
from tui_sync.tui.rows import Counts
from tui_sync.tui.widgets.lines import Line, Painted
from tui_sync.tui.widgets.tree import TONES

_KIND = {
    Kind.FILE: "file",
    Kind.DIRECTORY: "folder",
    Kind.SYMLINK: "symbolic link",
    Kind.OTHER: "special file",
}
_LEFT_ALONE = {
    ChangeKind.EQUAL: "stays as it is",
    ChangeKind.EXCLUDED: "left out",
    ChangeKind.EXTRA: "kept: nothing is deleted in copy mode",
    ChangeKind.ERROR: "left alone",
    ChangeKind.TYPE_CHANGED: "left alone: make room for it by hand",
    ChangeKind.TARGET_NEWER: "left alone: the target is newer",
}


def action_words(item: Item, options: SyncOptions) -> str:
    """What the plan does with an item, in words."""
    if item.action is Action.SKIP:
        return _LEFT_ALONE.get(item.kind, "left alone")
    if not item.included:
        return f"taken out by you (would {_verb(item, options)})"
    return _verb(item, options)


def _verb(item: Item, options: SyncOptions) -> str:
    if item.action is Action.DELETE:
        gone = "move to the trash" if options.delete is DeleteTo.TRASH else "delete for good"
        return f"{gone} on the target"
    return {
        Action.CREATE: "copy to the target",
        Action.UPDATE: "replace on the target",
        Action.MKDIR: "make the folder",
    }.get(item.action, item.action.value)


class Details(Painted):
    """Path, reason, planned action, and both sides of one row."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *TONES.values(),
        "details--path",
        "details--label",
        "details--words",
        "details--same",
    }

    def __init__(self) -> None:
        super().__init__()
        self._item: Item | None = None
        self._path = ""
        self._glyph = "="
        self._counts = Counts()
        self._sizes = (0, 0)
        self._options = SyncOptions()
        self._empty = "No row matches."
        self._is_folder = False

    def clear(self, why: str) -> None:
        """There is no row; ``why`` is a sentence."""
        self._empty = why
        self.refresh()

    def show(
        self,
        path: str,
        item: Item | None,
        folder: bool,
        glyph: str,
        counts: Counts,
        sizes: tuple[int, int],
        options: SyncOptions,
    ) -> None:
        """``path`` on the active side; ``counts`` and ``sizes`` are sums over what is below a folder."""
        self._path, self._item, self._glyph, self._counts = path, item, glyph, counts
        self._is_folder = folder
        self._sizes, self._options, self._empty = sizes, options, ""
        self.refresh()

    def paint(self, width: int, height: int) -> list[Line]:
        if self._empty:
            return [[], [Segment(f"  {self._empty}", self.ink("details--words"))]]
        item = self._item
        room = width - 4
        inside = self._inside()
        left = room - sum(cell_len(segment.text) for segment in inside)
        lines: list[Line] = [
            [
                Segment(f" {self._glyph} ", self.ink(TONES[self._glyph])),
                Segment(text.shorten(printable(self._path), max(12, left)), self.ink("details--path")),
            ]
        ]
        lines[0] += inside
        if item is None:
            return lines
        folder = Kind.DIRECTORY in (item.source and item.source.kind, item.target and item.target.kind)
        reason = printable(item.reason) or ("folder on both sides" if folder else item.kind.value)
        action = action_words(item, self._options)
        left = max(0, room - 12 - cell_len(action))
        lines.append(
            [
                Segment("   Why     ", self.ink("details--label")),
                Segment(text.shorten(reason, max(20, left - 10)), self.ink("details--words")),
                Segment("   Plan  ", self.ink("details--label")),
                Segment(action, self.ink("details--words")),
            ]
        )
        for label, entry, size in (
            ("Source", item.source, self._sizes[0]),
            ("Target", item.target, self._sizes[1]),
        ):
            lines.append(self._side(label, entry, size, item.source if label == "Target" else item.target))
        return lines[:height]

    def _inside(self) -> Line:
        """What is below a folder."""
        counts = self._counts if self._is_folder else Counts()
        parts = [
            (counts.create, "+", f"{counts.create:,} to create"),
            (counts.update, "M", f"{counts.update:,} to update"),
            (counts.delete, "-", f"{counts.delete:,} to delete"),
            (counts.conflicts, "!", text.count(counts.conflicts, "conflict")),
            (counts.out, "x", f"{counts.out:,} taken out"),
        ]
        line: Line = []
        for number, glyph, words in parts:
            if number:
                line.append(Segment(f"   {glyph} ", self.ink(TONES[glyph])))
                line.append(Segment(words, self.ink("details--words")))
        return line

    def _side(self, label: str, entry: Entry | None, size: int, other: Entry | None) -> Line:
        """Kind, size, mtime and mode; what differs from the other side stands out."""
        line: Line = [Segment(f"   {label}  ", self.ink("details--label"))]
        if entry is None:
            return [*line, Segment("–", self.ink("details--same"))]

        def put(words: str, width: int, differs: bool) -> None:
            style = self.ink("details--words" if differs or other is None else "details--same")
            line.append(Segment(text.pad(words, width) + "  ", style))

        put(_KIND[entry.kind], 6, other is not None and other.kind is not entry.kind)
        folder = entry.kind is Kind.DIRECTORY
        amount = size if folder else entry.size
        exact = "" if folder or amount < 1000 else f" ({amount:,} bytes)"
        put(f"{text.size(amount)}{exact}", 24, other is not None and other.size != entry.size)
        put(
            text.stamp(entry.mtime_ns, seconds=True),
            19,
            other is not None and other.mtime_ns != entry.mtime_ns,
        )
        put(text.permissions(entry.mode), 9, other is not None and other.mode != entry.mode)
        if entry.link_target is not None:
            line.append(Segment(f"→ {printable(entry.link_target)}", self.ink("details--words")))
        return line
