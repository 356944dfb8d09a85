"""The app: Profiles, Compare, Review, Transfer, Report."""

from __future__ import annotations

import os
import sys
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

from tui_sync.model import RunState, Snapshot
from tui_sync.names import printable
from tui_sync.tui import actions, settings, text, themes
from tui_sync.tui.bridge import AppPrompts
from tui_sync.tui.messages import Asked
from tui_sync.tui.screens.base import FlowScreen
from tui_sync.tui.screens.profiles import ProfilesScreen
from tui_sync.tui.widgets.bars import RunBar
from tui_sync.tui.widgets.meters import share

if TYPE_CHECKING:
    from tui_sync.connectors.base import Endpoint
    from tui_sync.profiles import Profile
    from tui_sync.session import Session
    from tui_sync.tui.reach import Reach
    from tui_sync.tui.work import SessionFactory, Work

_LAST_WAIT_S = 6.0
_WATCH_S = 0.5
_SAVE_TITLE, _RESTORE_TITLE = "\x1b[22;0t", "\x1b[23;0t"


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
    """``session_factory`` makes sessions as ``tui_sync.session.Session`` does; both clocks can be frozen.
    ``knock`` tells whether a place answers, by default as ``reach.knock`` does."""

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
        knock: Callable[[Endpoint], Reach] | None = None,
    ) -> None:
        super().__init__()
        self.profile = profile
        self.profiles_folder = profiles_folder
        self.state_dir = state_dir
        self.now_ns = now_ns
        self.monotonic = monotonic
        self.knock = knock
        self._make_session = session_factory
        self._works: list[Work] = []
        self._prompts: list[AppPrompts] = []
        self._terminal_title = ""
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
        remembered = settings.read(state_dir).get("theme", "")
        choices = [name for name in (wanted, remembered) if name in self.available_themes]
        self.theme = choices[0] if choices else themes.DARK.name
        self._theme_at_start = self.theme

    def get_default_screen(self) -> Screen[Any]:
        return ProfilesScreen()

    def watch_theme(self, theme: str) -> None:
        """Remember what was chosen from the palette."""
        if self.is_running and theme != self._theme_at_start:
            self._theme_at_start = theme
            settings.remember(self.state_dir, "theme", theme)

    def on_mount(self) -> None:
        self._set_title("")
        self.set_interval(_WATCH_S, self.watch_runs)
        if self.profile is not None:
            self.open_profile(self.profile)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        yield SystemCommand("Theme", "Choose other colours", self.action_change_theme)

    def compare_again(
        self, profile: Profile, *, retry_of: int | None = None, then_review: bool = False
    ) -> None:
        """Make a new plan of a pair, on its trees where they are open below. The rest as ``CompareScreen``
        has it."""
        from tui_sync.tui.screens.compare import CompareScreen

        below = next(
            (
                screen
                for screen in reversed(self.screen_stack)
                if isinstance(screen, CompareScreen) and screen.profile.pair_id == profile.pair_id
            ),
            None,
        )
        if below is not None:
            # A plan of their own would be dropped by the new one.
            while self.screen is not below:
                self.pop_screen()
            below.renew(then_review=then_review, retry_of=retry_of)
            return
        self.open_profile(profile, retry_of=retry_of, then_review=then_review)

    def open_profile(
        self, profile: Profile, *, retry_of: int | None = None, then_review: bool = False
    ) -> None:
        """Show a pair's trees, or its run where that is under way. The rest as ``CompareScreen`` has it."""
        from tui_sync.tui.screens.compare import CompareScreen

        work = next(
            (work for work in self._works if work.away and work.profile.pair_id == profile.pair_id), None
        )
        if work is not None:
            self._come_back(work)
            return
        self.push_screen(CompareScreen(profile, retry_of=retry_of, then_review=then_review))

    def edit_profile(self, path: Path, then: Callable[[], None] = lambda: None) -> None:
        """Show a profile's form; ``then`` is called once it has gone. Raises TuiSyncError for a file that
        cannot be read."""
        from tui_sync import profiles
        from tui_sync.errors import ProfileError
        from tui_sync.tui.screens.form import Draft, ProfileForm

        try:
            content = profiles.text_of(path)
        except ProfileError as error:
            readable = path.is_file() and os.access(path, os.R_OK)
            aid = ". tui-sync profiles edit opens it in your editor" if readable else ""
            raise ProfileError(f"{error}{aid}") from None
        form = ProfileForm(self.profiles_folder or profiles.folder(), Draft(content, path))
        self.push_screen(form, lambda _: then())

    def new_work(self, profile: Profile) -> Work:
        """A pair to work on; ``retire`` gives it back."""
        from tui_sync.tui.work import Work

        prompts = AppPrompts(self)

        def session() -> Session:
            factory = self._make_session
            if factory is None:
                from tui_sync.session import Session

                factory = Session
            return factory(profile, prompts=prompts, state_dir=self.state_dir)

        work = Work(profile, session, prompts)
        self._works.append(work)
        return work

    def new_prompts(self) -> AppPrompts:
        """For connecting without a pair to work on; to be closed."""
        prompts = AppPrompts(self)
        self._prompts.append(prompts)
        return prompts

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
        for prompts in self._prompts:
            prompts.close()
        for work in list(self._works):
            self.retire(work)
        deadline = time.monotonic() + _LAST_WAIT_S
        for thread in self._closing_threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    @property
    def running(self) -> Work | None:
        """The pair that is being run, if any."""
        return next((work for work in self._works if work.running), None)

    @property
    def elsewhere(self) -> Work | None:
        """A run whose screens were left: one under way before one that has ended."""
        away = [work for work in self._works if work.away]
        return next((work for work in away if work.running), away[0] if away else None)

    def watch_runs(self) -> None:
        """Look after the runs: a line about one elsewhere, the terminal's title, and a bell at the end."""
        if not self.is_running:
            # The app's own timers outlive its screens.
            return
        for work in self._works:
            if work.engine is not None and not work.told and work.engine.wait(0):
                work.told = True
                self._tell_end(work)
            elif work.away and work.running and work.engine is not None:
                work.speeds.append(work.engine.snapshot().speed)
        self.show_run_bar()
        running = self.running
        self._set_title("" if running is None else title_of(running))

    def _tell_end(self, work: Work) -> None:
        self.bell()
        if work.away:
            words = end_words(work)
            self.notify(
                f"{printable(work.profile.name)}: {words}. Press t for its report.",
                severity="information" if words == "done" else "warning",
                markup=False,
                timeout=10,
            )

    def show_run_bar(self) -> None:
        """Show on the current screen what goes on elsewhere."""
        screen = self.screen
        bars = screen.query(RunBar) if isinstance(screen, FlowScreen) else ()
        for bar in bars:
            work = self.elsewhere
            if work is None or work.engine is None:
                bar.hide()
                continue
            now = work.engine.snapshot()
            over = work.engine.wait(0)
            bar.show(work.profile.name, end_words(work) if over else run_words(now), share(now), over=over)

    def leave_run(self, work: Work) -> None:
        """The run goes on; ``t`` comes back to it."""
        work.away = True

    def _come_back(self, work: Work) -> None:
        from tui_sync.tui.screens.compare import CompareScreen
        from tui_sync.tui.screens.transfer import TransferScreen

        work.away = False
        compare = CompareScreen(work.profile, work)
        self.push_screen(compare)
        self.push_screen(TransferScreen(work, compare))

    def why_not(self, name: str) -> str:
        """Why a command that works everywhere is of no use now; empty where it is."""
        if name == "run" and self.elsewhere is None:
            return "No run is under way elsewhere."
        return ""

    def do_run(self) -> None:
        work = self.elsewhere
        if work is not None:
            self._come_back(work)

    def _set_title(self, words: str) -> None:
        """Tell the terminal, whose window or tab may be all that is in sight."""
        title = f"tui-sync {words}".strip()
        if title != self._terminal_title and self._driver is not None and not self.is_headless:
            self._terminal_title = title
            self._driver.write(f"\x1b]0;{title}\x07")

    def on_asked(self, event: Asked) -> None:
        """Show the question that is first in line, unless one is being shown."""
        self._show_question()

    def _show_question(self) -> None:
        from tui_sync.tui.screens.ask import SecretDialog, TrustDialog

        if any(isinstance(screen, SecretDialog | TrustDialog) for screen in self.screen_stack):
            return
        waiting = (prompts.next() for prompts in (*(work.prompts for work in self._works), *self._prompts))
        question = next((question for question in waiting if question is not None), None)
        if question is None:
            return
        dialog: Screen[Any] = TrustDialog(question) if question.key is not None else SecretDialog(question)

        def answered(answer: str | bool | None) -> None:
            question.give(answer)
            self.call_later(self._show_question)

        self.push_screen(dialog, answered)

    def show_differences(self, work: Work | None, row: int) -> None:
        """Show the differences of a row's file."""
        from tui_sync.tui.screens.diff import DiffScreen, why_no_differences

        if work is None or row < 0:
            return
        item = work.item(row)
        reason = why_no_differences(item)
        if reason or item is None:
            self.notify(reason, markup=False)
            return
        self.push_screen(DiffScreen(work, item))

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
                "Leaving cancels it: files in flight are dropped, and nothing half-written stays.",
                "What has been copied is not copied again next time.",
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


def run_words(now: Snapshot) -> str:
    """How far a run is, in few words."""
    done, total = share(now)
    state = {RunState.PAUSED: "paused", RunState.DRAINING: "finishing", RunState.CANCELLING: "cancelling"}
    left = f"{text.span(now.eta_s)} left" if now.eta_s is not None else state.get(now.state, "")
    speed = text.speed(now.speed) if now.bytes_total and now.state is RunState.RUNNING else ""
    return "  ".join(words for words in (f"{text.percent(done, total)}%", speed, left) if words)


def end_words(work: Work) -> str:
    """How a run has ended, in few words."""
    assert work.engine is not None
    words = {
        "ok": "done",
        "partial": "done in part",
        "interrupted": "stopped",
        "error": "stopped by an error",
    }
    status = work.engine.summary.status
    return words.get(status, status)


def title_of(work: Work) -> str:
    """``· photos 61%`` for the terminal's title."""
    assert work.engine is not None
    done, total = share(work.engine.snapshot())
    return f"· {printable(work.profile.name)} {text.percent(done, total)}%"


def _to_terminal(sequence: str) -> None:
    stream = sys.__stderr__
    if stream is not None and stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "linux"):
        stream.write(sequence)
        stream.flush()


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
    _to_terminal(_SAVE_TITLE)
    try:
        code = app.run()
    finally:
        _to_terminal(_RESTORE_TITLE)
        app.close_works()
    return app.return_code or 0 if code is None else code
