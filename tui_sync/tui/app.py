"""The app: Profiles, Compare, Review, Transfer, Report."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App, SystemCommand
from textual.binding import BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.screen import Screen
from textual.system_commands import SystemCommandsProvider

from tui_sync.tui import actions, text, themes
from tui_sync.tui.bridge import AppPrompts
from tui_sync.tui.screens.base import FlowScreen
from tui_sync.tui.screens.profiles import ProfilesScreen
from tui_sync.tui.work import SessionFactory, Work

if TYPE_CHECKING:
    from tui_sync.profiles import Profile
    from tui_sync.session import Session

_LAST_WAIT_S = 6.0


class Palette(Provider):
    """The registry's commands for the screen the palette was called from."""

    def _commands(self) -> Iterable[tuple[actions.Command, Callable[[], None]]]:
        screen = self.screen
        if isinstance(screen, FlowScreen):
            for command in actions.commands(screen.GROUP, "app"):
                if command.name != "palette":
                    yield command, lambda name=command.name: screen.action_do(name)  # type: ignore[misc]

    async def discover(self) -> Hits:
        for command, run in self._commands():
            yield DiscoveryHit(self._title(command), run, help=command.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command, run in self._commands():
            title = self._title(command)
            score = max(matcher.match(title), matcher.match(command.help))
            if score > 0:
                yield Hit(score, matcher.highlight(title), run, text=title, help=command.help)

    @staticmethod
    def _title(command: actions.Command) -> str:
        return f"{command.label} ({command.shown_key})"


class TuiSyncApp(App[int]):
    """``session_factory`` makes sessions as ``tui_sync.session.Session`` does; both clocks can be frozen."""

    TITLE = "tui-sync"
    CSS_PATH = "app.tcss"
    COMMANDS: ClassVar[set[Any]] = {lambda: Palette, lambda: SystemCommandsProvider}
    BINDINGS: ClassVar[list[BindingType]] = actions.bindings("app")
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        profile: Profile | None = None,
        *,
        session_factory: SessionFactory | None = None,
        profiles_folder: Path | None = None,
        state_dir: Path | None = None,
        now_ns: Callable[[], int] = text.now_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.profile = profile
        self.profiles_folder = profiles_folder
        self.state_dir = state_dir
        self.now_ns = now_ns
        self.monotonic = monotonic
        self._make_session = session_factory
        self._works: list[Work] = []
        self._closing_threads: list[threading.Thread] = []
        self.register_theme(themes.DARK)
        self.register_theme(themes.LIGHT)
        if self.no_color:
            # Without colours a theme of the terminal's own palette is black on black.
            for name in [name for name, theme in self.available_themes.items() if theme.ansi]:
                self.unregister_theme(name)
        wanted = os.environ.get("TEXTUAL_THEME", "")
        # Textual takes the same variable, before our themes are known: only a change makes it look again.
        self.theme = themes.DARK.name
        self.theme = wanted if wanted in self.available_themes else themes.DARK.name

    def get_default_screen(self) -> Screen[Any]:
        return ProfilesScreen()

    def on_mount(self) -> None:
        if self.profile is not None:
            self.open_profile(self.profile)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        yield SystemCommand("Theme", "Choose other colours", self.action_change_theme)

    def open_profile(self, profile: Profile) -> None:
        """Show a pair's trees."""
        from tui_sync.tui.screens.compare import CompareScreen

        self.push_screen(CompareScreen(profile))

    def new_work(self, profile: Profile, prompts: AppPrompts) -> Work:
        """A pair to work on; ``retire`` gives it back."""

        def session() -> Session:
            factory = self._make_session
            if factory is None:
                from tui_sync.session import Session

                factory = Session
            return factory(profile, prompts=prompts, state_dir=self.state_dir)

        work = Work(profile, session, prompts)
        self._works.append(work)
        return work

    def retire(self, work: Work) -> None:
        """Cancel and close a pair without waiting for it."""
        if work in self._works:
            self._works.remove(work)
            work.cancel()
            thread = threading.Thread(target=work.close, name="tui-sync-close", daemon=True)
            thread.start()
            self._closing_threads.append(thread)

    def close_works(self) -> None:
        """Retire what is open and give it a moment to end: called when the app has ended."""
        for work in list(self._works):
            self.retire(work)
        deadline = time.monotonic() + _LAST_WAIT_S
        for thread in self._closing_threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    @property
    def running(self) -> Work | None:
        """The pair that is being run, if any."""
        return next((work for work in self._works if work.running), None)

    def show_differences(self, work: Work | None, row: int) -> None:
        """Show the text differences of a row's file."""
        from tui_sync.tui.screens.view import DiffScreen, preview_of

        if work is None or row < 0:
            return
        item = work.item(row)
        reason, preview = preview_of(work, item)
        if preview is None or item is None:
            self.notify(reason, markup=False)
            return
        self.push_screen(DiffScreen(item.path, preview))

    def action_do(self, name: str) -> None:
        """Carry out a command that works everywhere."""
        if isinstance(self.screen, FlowScreen):
            self.screen.action_do(name)
        else:
            getattr(self, f"do_{name}")()

    async def action_quit(self) -> None:
        """Ctrl+q, everywhere."""
        self.do_quit()

    def action_help_quit(self) -> None:
        """Ctrl+c, where it does not copy a text."""
        self.do_quit()

    def do_quit(self) -> None:
        from tui_sync.tui.screens.ask import ConfirmDialog

        if isinstance(self.screen, ConfirmDialog) and self.screen.id == "quit":
            return
        if self.running is None:
            self.exit(0)
            return
        dialog = ConfirmDialog(
            "A run is under way",
            (
                "Leaving cancels it: files in flight are dropped, nothing half-written stays,",
                "and what has been copied is not copied again next time.",
            ),
            yes="Cancel it and leave",
            no="Stay",
        )
        dialog.id = "quit"
        self.push_screen(dialog, lambda yes: self.exit(130 if self.running else 0) if yes else None)

    def do_help(self) -> None:
        from tui_sync.tui.screens.view import HelpScreen

        screen = self.screen
        if isinstance(screen, FlowScreen):
            self.push_screen(HelpScreen(screen.PLACE, screen.GROUP))

    def do_palette(self) -> None:
        self.action_command_palette()


def run_app(
    profile: Profile | None = None,
    *,
    session_factory: SessionFactory | None = None,
    profiles_folder: Path | None = None,
    state_dir: Path | None = None,
) -> int:
    """Run the app and return its exit code: 0, 130 when a run was cut off by leaving, 1 when it broke.

    With a profile it opens on its trees. ``session_factory`` defaults to ``tui_sync.session.Session``.
    """
    app = TuiSyncApp(
        profile, session_factory=session_factory, profiles_folder=profiles_folder, state_dir=state_dir
    )
    try:
        code = app.run()
    finally:
        app.close_works()
    return app.return_code or 0 if code is None else code
