"""Things to read over the current screen."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui_sync.tui import actions
from tui_sync.tui.screens.ask import words
from tui_sync.tui.widgets.sheet import Sheet


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
