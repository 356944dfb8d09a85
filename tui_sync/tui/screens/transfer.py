"""Transfer: a run while it runs. The engine is polled; its threads never come here."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from tui_sync.model import Outcome, RunState, Snapshot
from tui_sync.names import printable
from tui_sync.tui import actions
from tui_sync.tui.remedies import remedy
from tui_sync.tui.screens.ask import ConfirmDialog, LimitDialog
from tui_sync.tui.screens.base import FlowScreen
from tui_sync.tui.widgets.bars import TopBar
from tui_sync.tui.widgets.meters import Lanes, Overall, SpeedPlot
from tui_sync.tui.widgets.sheet import WAY, Sheet
from tui_sync.tui.work import Work

if TYPE_CHECKING:
    from tui_sync.transfer.engine import Engine
    from tui_sync.tui.screens.compare import CompareScreen

MOST_WORKERS = 64
_SAMPLE_POLLS = 5
# A run of which nothing moves for so long is told to be still; with a limit, for a block's time more.
STILL_S = 5.0
_BLOCK = 1 << 20


def trouble_line(outcome: Outcome) -> list[tuple[str, str]]:
    """An item that did not go through, why, and what can be done."""
    way = remedy(outcome)
    return [
        ("sheet--error", " ! "),
        ("", printable(outcome.item.path)),
        ("sheet--muted", f"  {printable(outcome.error)}"),
        *([(WAY, f"  → {way}")] if way else []),
    ]


class TransferScreen(FlowScreen):
    """Polls ``work.engine`` ten times a second and goes on to the report at its end."""

    PLACE = "Transfer"
    GROUP = "transfer"
    BINDINGS: ClassVar[list[BindingType]] = actions.bindings("transfer")

    def __init__(self, work: Work, compare: CompareScreen) -> None:
        super().__init__()
        self.work = work
        self.compare = compare
        self._polls = 0
        self._moved_at = 0.0
        self._errors: tuple[Outcome, ...] = ()
        self._over = False

    @property
    def engine(self) -> Engine:
        assert self.work.engine is not None
        return self.work.engine

    @property
    def snapshot(self) -> Snapshot:
        return self.query_one(Overall).snapshot

    def body(self) -> ComposeResult:
        yield Overall()
        yield SpeedPlot(self.work.speeds)
        yield Lanes()
        yield Sheet(id="errors")

    def on_mount(self) -> None:
        profile = self.work.profile
        self.query_one(TopBar).show_pair(profile.name, profile.source.url, profile.target.url)
        self.query_one(SpeedPlot).border_title = "Speed"
        self.query_one(Lanes).border_title = "In flight"
        self.query_one("#errors").display = False
        self.query_one(Lanes).focus()
        self.poll()
        self.polling = self.set_interval(1 / 10, self.poll)

    def poll(self) -> None:
        """Take a snapshot and show it."""
        if self._over:
            return
        now = self.engine.snapshot()
        self.query_one(Overall).show(now, self._still_s(now))
        self.query_one(Lanes).show(now.active, still=now.state is RunState.PAUSED)
        if self._polls % _SAMPLE_POLLS == 0 and now.state is not RunState.FINISHED:
            self.work.speeds.append(now.speed)
            self.query_one(SpeedPlot).refresh()
        self._polls += 1
        self._show_errors(now)
        self.update_keys()
        if now.state is RunState.FINISHED and self.engine.wait(0):
            self._over = True
            self._report()

    def _still_s(self, now: Snapshot) -> float:
        """For how many seconds nothing has moved that should; 0 for a run that gets on."""
        clock, before = self.ours.monotonic(), self.snapshot
        copying = any(file.phase == "copy" for file in now.active)
        moved = now.bytes_done > before.bytes_done or now.items_done > before.items_done
        if not self._polls or moved or not copying or now.state is RunState.PAUSED:
            self._moved_at = clock
        patience = STILL_S + (_BLOCK / now.bandwidth_limit if now.bandwidth_limit else 0.0)
        still = clock - self._moved_at
        return still if still > patience else 0.0

    def _show_errors(self, now: Snapshot) -> None:
        if now.errors == self._errors:
            return
        self._errors = now.errors
        sheet = self.query_one("#errors", Sheet)
        sheet.display = bool(now.errors)
        total = now.failed + now.skipped
        sheet.border_title = f"! Not gone through: {total:,}"
        sheet.show([trouble_line(outcome) for outcome in reversed(now.errors)])

    def _report(self) -> None:
        from tui_sync.tui.screens.report import ReportScreen

        while not self.is_active and self.app.screen in self.app.screen_stack[1:]:
            # A question about a run that is over needs no answer.
            self.app.pop_screen()
        self.work.spend()
        self.app.switch_screen(ReportScreen(self.work, self.compare))

    def why_not(self, name: str) -> str:
        if name == "back":
            return ""
        state = self.snapshot.state
        if state is RunState.FINISHED:
            return "The run is over."
        if state is RunState.CANCELLING:
            return "The run is being cancelled."
        if state is RunState.DRAINING and name != "cancel":
            return "The files in flight are being finished; c cancels them too."
        if name == "skip":
            file = self.query_one(Lanes).file
            if file is None:
                return "No file is in flight on this line."
            if file.files > 1:
                return "Small files travel together and are as good as done."
        if name == "more" and self.snapshot.workers >= MOST_WORKERS:
            return f"{MOST_WORKERS} workers are the most there can be."
        if name == "fewer" and self.snapshot.workers <= 1:
            return "One worker is the least there can be."
        return ""

    def label(self, command: actions.Command) -> str:
        if command.name == "pause":
            return "Resume" if self.snapshot.state is RunState.PAUSED else "Pause"
        return command.label

    def do_pause(self) -> None:
        if self.snapshot.state is RunState.PAUSED:
            self.engine.resume()
        else:
            self.engine.pause()
        self.poll()

    def do_drain(self) -> None:
        self.engine.drain()
        self.say("Finishing the files in flight; no more are begun.")
        self.poll()

    def do_cancel(self) -> None:
        self.app.push_screen(
            ConfirmDialog(
                "Cancel this run?",
                (
                    "Files in flight are dropped; nothing half-written stays under a final name.",
                    "What has been copied stays. d would finish the files in flight first.",
                ),
                yes="Cancel the run",
                no="Keep watching",
            ),
            lambda yes: self.engine.cancel() if yes else None,
        )

    def do_back(self) -> None:
        if self._over:
            return
        self._over = True
        self.compare.let_go()
        self.app.pop_screen()
        self.compare.dismiss()

    def do_skip(self) -> None:
        file = self.query_one(Lanes).file
        if file is not None and self.engine.skip(file.path):
            self.say(f"{printable(file.path)} is given up; the next run copies it.")
        self.poll()

    def do_limit(self) -> None:
        def answered(limit: str | None) -> None:
            from tui_sync.profiles import parse_size

            if limit is not None:
                self.engine.set_limit(bandwidth=parse_size(limit or "off") or None)
                self.poll()

        self.app.push_screen(LimitDialog(self.snapshot.bandwidth_limit), answered)

    def do_more(self) -> None:
        self._set_workers(1)

    def do_fewer(self) -> None:
        self._set_workers(-1)

    def _set_workers(self, step: int) -> None:
        self.engine.set_limit(workers=max(1, min(MOST_WORKERS, self.snapshot.workers + step)))
        self.poll()
