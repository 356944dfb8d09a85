"""Things to read over the current screen: the differences of a file, and help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from tui_sync.model import Item, Kind
from tui_sync.names import printable
from tui_sync.tui import actions
from tui_sync.tui.bridge import run_in_thread
from tui_sync.tui.messages import Finished
from tui_sync.tui.screens.ask import words
from tui_sync.tui.widgets.sheet import Sheet
from tui_sync.tui.work import Work

_TONES = {"+": "sheet--new", "-": "sheet--old", "@": "sheet--mark"}


def preview_of(work: Work, item: Item | None) -> tuple[str, Callable[[], Any] | None]:
    """What reads the differences of an item's file, or a sentence why nothing does."""
    if item is None:
        return "This folder is on both sides.", None
    sides = [entry for entry in (item.source, item.target) if entry is not None]
    if any(entry.kind is Kind.DIRECTORY for entry in sides):
        return "This folder is empty.", None
    if not any(entry.kind is Kind.FILE for entry in sides):
        return "Only files have differences to show.", None
    session = work.session

    def read() -> Any:
        from tui_sync.planning.preview import text_diff

        assert session is not None
        source, target = (
            entry if entry is not None and entry.kind is Kind.FILE else None
            for entry in (item.source, item.target)
        )
        return text_diff(
            session.source_reader() if source else None,
            source.path if source else item.path,
            session.target_reader() if target else None,
            target.path if target else item.path,
        )

    return "", read


class ViewScreen(ModalScreen[None]):
    """A titled sheet over the screen below."""

    BINDINGS: ClassVar[list[BindingType]] = actions.bindings("view")

    def __init__(self, title: str) -> None:
        super().__init__()
        self._heading = title

    def compose(self) -> ComposeResult:
        with Vertical(classes="view"):
            yield words(self._heading, id="view-title")
            yield Sheet()
            yield words("↑↓ PgUp PgDn scroll · Esc closes", id="view-hint")

    def on_mount(self) -> None:
        self.query_one(Sheet).focus()

    def action_do(self, name: str) -> None:
        self.dismiss()


class DiffScreen(ViewScreen):
    """The text differences of one file, read in a thread and bounded in size."""

    def __init__(self, path: str, preview: Callable[[], Any]) -> None:
        super().__init__(printable(path))
        self._preview = preview

    def on_mount(self) -> None:
        self._note("Reading both sides …")
        run_in_thread(self, self._preview, self._show, self._note, name="tui-sync-preview")

    def on_finished(self, event: Finished) -> None:
        event.deliver()

    def _note(self, sentence: str) -> None:
        self.query_one(Sheet).show([[("sheet--muted", f"  {sentence}")]])

    def _show(self, preview: Any) -> None:
        if preview.note and not preview.lines:
            self._note(printable(preview.note))
            return
        lines = [
            [(self._tone(number, line), f" {_shown(line)}")] for number, line in enumerate(preview.lines)
        ]
        if preview.note:
            lines.append([("sheet--muted", f"  {printable(preview.note)}")])
        self.query_one(Sheet).show(lines)
        self.query_one("#view-hint", Static).update("- target   + source   ·   Esc closes")

    @staticmethod
    def _tone(number: int, line: str) -> str:
        if number < 2 and line[:3] in ("---", "+++"):
            return "sheet--muted"
        return _TONES.get(line[:1], "")


def _shown(line: str) -> str:
    """A line of a file: tabs as spaces, everything else that is invisible spelled out."""
    return printable(line.rstrip("\r\n").expandtabs(4))


class HelpScreen(ViewScreen):
    """Every key of the screen below, and the glyphs: straight from the registry."""

    def __init__(self, place: str, group: str) -> None:
        super().__init__(f"Keys · {place}")
        self._group = group

    def on_mount(self) -> None:
        lines: list[list[tuple[str, str]]] = [[]]
        for title, group in (("Here", self._group), ("In every list", "list"), ("Everywhere", "app")):
            lines.append([("sheet--head", f" {title}")])
            for command in actions.COMMANDS[group]:
                lines.append([("sheet--key", f"  {command.shown_keys:<12}"), ("", f" {command.help}")])
            lines.append([])
        lines.append([("sheet--head", " Glyphs")])
        lines += [
            [("sheet--key", f"  {glyph:<12}"), ("", f" {words}")] for glyph, words in actions.GLYPH_HELP
        ]
        self.query_one(Sheet).show(lines)
