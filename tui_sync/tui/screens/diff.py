"""The differences of one file: text in one column or two, for others what is known of both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar, overload

from rich.cells import cell_len
from textual.binding import BindingType
from textual.widgets import Static

from tui_sync.model import Entry, Item, Kind
from tui_sync.names import printable
from tui_sync.tui import actions, text
from tui_sync.tui.bridge import run_in_thread
from tui_sync.tui.messages import Finished
from tui_sync.tui.screens.view import ViewScreen
from tui_sync.tui.syntax import colours
from tui_sync.tui.widgets.sheet import Sheet
from tui_sync.tui.work import Work

if TYPE_CHECKING:
    from tui_sync.planning.preview import Preview

Pieces = list[tuple[str, str]]
Cut = Callable[[str], Pieces]
# Below this many cells two columns are too narrow to read.
TWO_COLUMNS = 100
# Cells for what is told of one side: an MD5 fits.
_FACT = 32


def why_no_differences(item: Item | None) -> str:
    """Why an item has no differences to show, as a sentence; empty where it has."""
    if item is None:
        return "This folder is on both sides."
    sides = [entry for entry in (item.source, item.target) if entry is not None]
    if any(entry.kind is Kind.DIRECTORY for entry in sides):
        return "This folder is empty."
    if not any(entry.kind is Kind.FILE for entry in sides):
        return "Only files have differences to show."
    return ""


def _size(size: int) -> str:
    exact = "" if size < 1000 else f" ({size:,} bytes)"
    return f"{text.size(size)}{exact}"


class DiffScreen(ViewScreen):
    """Reads both sides on a thread, bounded in size."""

    BINDINGS: ClassVar[list[BindingType]] = actions.bindings("diff")

    def __init__(self, work: Work, item: Item) -> None:
        super().__init__(printable(item.path))
        self._work = work
        self._item = item
        self._preview: Preview | None = None
        self._found = ""
        self._columns: bool | None = None
        self._reading = False

    def on_mount(self) -> None:
        super().on_mount()
        self._say("Reading both sides …")
        run_in_thread(self, self._read, self._show, self._say, name="tui-sync-preview")

    def on_finished(self, event: Finished) -> None:
        event.deliver()

    def on_resize(self) -> None:
        if self._preview is not None:
            self._show(self._preview)

    def _files(self) -> tuple[Entry | None, Entry | None]:
        source, target = (
            entry if entry is not None and entry.kind is Kind.FILE else None
            for entry in (self._item.source, self._item.target)
        )
        return source, target

    def _read(self) -> Preview:
        from tui_sync.planning.preview import text_diff

        session, item = self._work.session, self._item
        assert session is not None
        source, target = self._files()
        return text_diff(
            session.source_reader() if source else None,
            source.path if source else item.path,
            session.target_reader() if target else None,
            target.path if target else item.path,
        )

    def _say(self, sentence: str) -> None:
        self.query_one(Sheet).show([[("sheet--muted", f"  {sentence}")]])

    @property
    def side_by_side(self) -> bool:
        if self._columns is None:
            return self.app.size.width >= TWO_COLUMNS
        return self._columns

    def _show(self, preview: Preview) -> None:
        self._preview = preview
        cut = lru_cache(maxsize=4096)(colours(self._item.path))
        sheet = self.query_one(Sheet)
        width = max(20, sheet.scrollable_content_region.width)
        if not preview.lines:
            sheet.show([*self._facts(), [], [("sheet--muted", f"  {printable(preview.note)}")]])
        elif self.side_by_side:
            sheet.show(TwoColumns(preview.lines, cut, width))
        else:
            sheet.show(OneColumn(preview.lines, cut))
        if preview.lines and preview.note:
            self._found = self._found or printable(preview.note)
        self._hint()

    def _hint(self) -> None:
        words = "← source   target →" if self.side_by_side else "- target   + source"
        parts = [self._found, words if self._preview is not None and self._preview.lines else ""]
        parts += ["s one or two columns", "b first differing byte", "Esc closes"]
        self.query_one("#view-hint", Static).update("  ·  ".join(part for part in parts if part))

    def _facts(self) -> list[Pieces]:
        """Both sides as they were listed; what differs stands out."""
        item = self._item
        lines: list[Pieces] = [[]]
        rows: tuple[tuple[str, Callable[[Entry], str]], ...] = (
            ("Size", lambda entry: _size(entry.size)),
            ("Changed", lambda entry: text.stamp(entry.mtime_ns, seconds=True)),
            ("Rights", lambda entry: text.permissions(entry.mode)),
            ("Etag", lambda entry: printable(entry.etag or "–")),
        )
        lines.append([("sheet--head", f"  {'':8} {'Source':{_FACT}} Target")])
        for label, tell in rows:
            source, target = ("–" if one is None else tell(one) for one in (item.source, item.target))
            if source == target == "–":
                continue
            tone = "" if source != target else "sheet--muted"
            both = f"{text.fit_middle(source, _FACT)} {text.shorten(target, _FACT)}"
            lines.append([("sheet--muted", f"  {label:8} "), (tone, both)])
        return lines

    def action_do(self, name: str) -> None:
        if name == "columns" and self._preview is not None:
            self._columns = not self.side_by_side
            self._show(self._preview)
        elif name == "first_byte":
            self._find_first_byte()
        elif name == "back":
            self.dismiss()

    def _find_first_byte(self) -> None:
        from tui_sync.planning.preview import first_difference

        session = self._work.session
        source, target = self._files()
        if session is None or source is None or target is None:
            self._found = "the file is on one side only"
            self._hint()
            return
        if self._reading:
            return
        self._reading = True
        self._found = "comparing …"
        self._hint()
        one, other = source, target
        run_in_thread(
            self,
            lambda: first_difference(session.source_reader(), one.path, session.target_reader(), other.path),
            lambda found: self._answer(found.note),
            self._answer,
            name="tui-sync-preview",
        )

    def _answer(self, words: str) -> None:
        self._reading = False
        self._found = printable(words)
        self._hint()


class _Lines(Sequence[Pieces]):
    """Lines that are made when they come into sight."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut

    @overload
    def __getitem__(self, index: int) -> Pieces: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pieces]: ...
    def __getitem__(self, index: int | slice) -> Pieces | Sequence[Pieces]:
        if isinstance(index, slice):
            return [self._line(number) for number in range(*index.indices(len(self)))]
        return self._line(index)

    def _line(self, number: int) -> Pieces:
        raise NotImplementedError

    def _coloured(self, line: str, ground: str) -> Pieces:
        """A line of a file: tabs as spaces, all that is invisible spelled out, words told apart."""
        plain = line.rstrip("\r\n").expandtabs(4)
        return [(f"{ground} {tone}".strip(), printable(piece)) for tone, piece in self._cut(plain)]


class OneColumn(_Lines):
    """A unified diff as it is."""

    _GROUNDS: ClassVar[dict[str, str]] = {"+": "diff--new", "-": "diff--old"}

    def __init__(self, lines: Sequence[str], cut: Cut) -> None:
        super().__init__(cut)
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    def _line(self, number: int) -> Pieces:
        line = self._lines[number]
        if line.startswith(("@@", "\\")):
            return [("sheet--mark", f" {printable(line)}")]
        ground = self._GROUNDS.get(line[:1], "")
        return [(ground, f" {line[:1]}"), *self._coloured(line[1:], ground)]


class TwoColumns(_Lines):
    """The source on the left, the target on the right, what belongs together in one line."""

    def __init__(self, lines: Sequence[str], cut: Cut, width: int) -> None:
        super().__init__(cut)
        self._pairs = list(pairs(lines))
        self._half = max(8, (width - 3) // 2)

    def __len__(self) -> int:
        return len(self._pairs)

    def _line(self, number: int) -> Pieces:
        source, target = self._pairs[number]
        if source is not None and source.startswith("@@"):
            return [("sheet--mark", f" {printable(source)}")]
        same = source is not None and target is not None and source == target
        return [
            *self._half_of(source, "" if same else "diff--new"),
            ("sheet--muted", " │ "),
            *self._half_of(target, "" if same else "diff--old"),
        ]

    def _half_of(self, line: str | None, ground: str) -> Pieces:
        if line is None:
            return [("", " " * self._half)]
        left = self._half
        pieces: Pieces = []
        for tone, piece in self._coloured(line, ground):
            shown = text.head(piece, left)
            pieces.append((tone, shown))
            left -= cell_len(shown)
            if shown != piece:
                break
        return [*pieces, (ground, " " * left)]


def pairs(lines: Sequence[str]) -> Iterator[tuple[str | None, str | None]]:
    """The lines of a unified diff as (source, target), without their marks; a heading comes as source."""
    old: list[str] = []
    new: list[str] = []
    for line in [*lines, "@@"]:
        mark = line[:1]
        if mark == "-" and not new:
            old.append(line[1:])
            continue
        if mark == "+":
            new.append(line[1:])
            continue
        if mark == "\\":
            continue
        yield from zip_longest(new, old)
        old, new = [], []
        if mark == "-":
            old.append(line[1:])
        elif mark == "@":
            if line != "@@":
                yield line, None
        else:
            yield line[1:], line[1:]
