"""What all screens of the flow share: the two bars, and commands that are carried out or explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen

from tui_sync.tui import actions
from tui_sync.tui.messages import Finished
from tui_sync.tui.widgets.bars import KeyBar, RunBar, TopBar

if TYPE_CHECKING:
    from tui_sync.tui.app import TuiSyncApp


class FlowScreen(Screen[None]):
    """A screen with a place in the flow. ``GROUP`` names its commands in the registry."""

    PLACE: ClassVar[str] = ""
    GROUP: ClassVar[str] = ""
    # A screen gives the focus away itself: what is hidden must never have it.
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = []

    @property
    def ours(self) -> TuiSyncApp:
        """The app, by its own type."""
        return cast("TuiSyncApp", self.app)

    def compose(self) -> ComposeResult:
        yield TopBar(self.PLACE)
        yield from self.body()
        yield RunBar()
        yield KeyBar()

    def body(self) -> ComposeResult:
        """The widgets between the bars."""
        yield from ()

    def why_not(self, name: str) -> str:
        """Why a command is of no use now, as a sentence; empty where it is."""
        return ""

    def reason(self, name: str) -> str:
        """``why_not``, or the app's word on a command that works everywhere."""
        everywhere = name in (command.name for command in actions.COMMANDS["app"])
        return self.ours.why_not(name) if everywhere else self.why_not(name)

    def label(self, command: actions.Command) -> str:
        """What a command is called in the footer now."""
        return command.label

    def rank(self, command: actions.Command) -> int:
        """How long a command stays in the footer now when room gets scarce; 0 for not at all."""
        return command.rank

    def action_do(self, name: str) -> None:
        """Carry out a command, or say why not."""
        reason = self.reason(name)
        if reason:
            self.say(reason, warning=True)
            return
        do = getattr(self, f"do_{name}", None) or getattr(self.app, f"do_{name}")
        do()
        self.update_keys()

    def say(self, sentence: str, *, warning: bool = False) -> None:
        """Tell a person something in passing. The sentence is printable and never markup."""
        self.notify(sentence, severity="warning" if warning else "information", markup=False, timeout=5)

    def update_keys(self) -> None:
        """Show in the footer what can be done now."""
        if not self.is_mounted:
            return
        keys = tuple(
            (
                rank,
                command.name,
                command.shown_key,
                self.label(command),
                not self.reason(command.name),
            )
            for command in actions.commands(self.GROUP, "app")
            if (rank := self.rank(command))
        )
        self.query_one(KeyBar).show(keys)

    def on_mount(self) -> None:
        self.update_keys()

    def on_screen_resume(self) -> None:
        self.ours.show_run_bar()
        self.update_keys()

    def on_key_bar_pressed(self, event: KeyBar.Pressed) -> None:
        event.stop()
        self.action_do(event.name)

    def on_run_bar_pressed(self, event: RunBar.Pressed) -> None:
        event.stop()
        self.action_do("run")

    def on_finished(self, event: Finished) -> None:
        event.deliver()
        self.update_keys()
