"""Places that rclone, ssh and aws know, to begin a profile with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui_sync.errors import TuiSyncError
from tui_sync.names import printable
from tui_sync.tui import actions, text
from tui_sync.tui.bridge import run_in_thread
from tui_sync.tui.messages import Finished
from tui_sync.tui.screens.ask import words
from tui_sync.tui.widgets.lines import LineList
from tui_sync.tui.widgets.sheet import Sheet

if TYPE_CHECKING:
    from tui_sync.profiles.imports import Found


def known_places() -> tuple[list[tuple[str, Found]], list[str]]:
    """What the other programs know, each with the program's name; and why some of them tell nothing."""
    from tui_sync.profiles import imports

    found: list[tuple[str, Found]] = []
    problems: list[str] = []
    for program, read in (("rclone", imports.rclone), ("ssh", imports.ssh), ("aws", imports.aws)):
        try:
            found += [(program, each) for each in read()]
        except TuiSyncError as error:
            problems.append(f"{program}: {printable(str(error))}")
    return found, problems


class ImportScreen(ModalScreen["tuple[str, Found] | None"]):
    """Gives back the side (``source`` or ``target``) and the place chosen for it."""

    BINDINGS: ClassVar[list[BindingType]] = actions.bindings("imports")

    def __init__(self) -> None:
        super().__init__()
        self._found: Sequence[tuple[str, Found]] = ()

    def compose(self) -> ComposeResult:
        with Vertical(classes="view"):
            yield words("Places other programs know", id="view-title")
            yield Sheet(cursor=True)
            yield words("Enter takes it as the source · t as the target · Esc closes", id="view-hint")

    def on_mount(self) -> None:
        self.query_one(Sheet).focus()
        run_in_thread(self, known_places, lambda known: self._show(*known), lambda _: None)

    def on_finished(self, event: Finished) -> None:
        event.deliver()

    def _show(self, found: Sequence[tuple[str, Found]], problems: Sequence[str]) -> None:
        self._found = [each for each in found if each[1].url]
        lines = []
        for program, place in self._found:
            note = f"  {printable(place.notes[0])}" if place.notes else ""
            lines.append(
                [
                    ("sheet--key", f" {program:<7}"),
                    ("", f"{printable(place.name)}  "),
                    ("sheet--mark", printable(place.url)),
                    ("sheet--muted", note),
                ]
            )
        sheet = self.query_one(Sheet)
        width = sheet.scrollable_content_region.width - 1
        lines += [
            [("sheet--muted", f" {line}")] for problem in problems for line in text.wrap(problem, width)
        ]
        sheet.show(lines or [[("sheet--muted", " None of them knows any.")]])

    def on_line_list_chosen(self, event: LineList.Chosen) -> None:
        self._take("source")

    def action_do(self, name: str) -> None:
        if name == "back":
            self.dismiss(None)
        else:
            self._take("target" if name == "target" else "source")

    def _take(self, side: str) -> None:
        row = self.query_one(Sheet).cursor
        if row < len(self._found):
            self.dismiss((side, self._found[row][1]))
