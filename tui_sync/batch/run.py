"""One headless sync: connect, plan, and unless it is a dry run or refused, run."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tui_sync.batch.display import Display, display
from tui_sync.batch.log import RunLog
from tui_sync.batch.metrics import Metrics
from tui_sync.batch.options import BatchOptions
from tui_sync.batch.outlet import Outlet, OutputFailed, Stream, Whisper
from tui_sync.batch.output import JsonOutput, Output, Outputs, TextOutput, is_conflict, totals_text
from tui_sync.batch.signals import Stops
from tui_sync.connectors.base import Prompts
from tui_sync.errors import Cancelled, GuardRefused, TuiSyncError
from tui_sync.logins import Logins
from tui_sync.model import Action, Item, Outcome, Plan, Summary, Verify
from tui_sync.names import printable
from tui_sync.profiles import Profile
from tui_sync.session import Session
from tui_sync.transfer.engine import Engine

_POLL_S = 0.1
_PROGRESS_S = 1.0
_BACKLOG = 10_000


def run(profile: Profile, stops: Stops, logins: Logins, prompts: Prompts, options: BatchOptions) -> int:
    """See ``tui_sync.batch.run_batch``."""
    with (
        RunLog(options.log_file, profile) as log,
        Metrics(options.metrics_file, profile, options.dry_run) as metrics,
    ):
        out = Outlet(options.stdout or sys.stdout, lambda: stops.hurry)
        err = Whisper(Outlet(options.stderr or sys.stderr, lambda: stops.hurry))
        session = Session(profile, prompts=prompts, state_dir=options.state_dir, logins=logins)
        shown = display(err, out, as_json=options.as_json, quiet=options.quiet)
        data = JsonOutput(shown.write) if options.as_json else TextOutput(shown.write, quiet=options.quiet)
        output = Outputs(data, log, metrics)
        try:
            made_of = _PlanMadeOf(options.retry_failed, options.apply, options.save_plan)
            plan_only = options.dry_run or options.save_plan is not None
            code = _Batch(session, output, shown, stops, out, plan_only, made_of).sync()
            # Whatever became of the run, its records are not all told.
            return Cancelled.exit_code if out.given_up else code
        finally:
            shown.close()
            with suppress(OSError, OutputFailed):
                out.flush()
            session.close()


@dataclass(frozen=True, slots=True)
class _PlanMadeOf:
    """Where the plan comes from, if not from a whole scan, and where it goes, if not only into the ledger."""

    retry_failed: bool = False
    apply: Path | None = None
    save_plan: Path | None = None

    def make(self, session: Session) -> Plan:
        if self.apply is not None:
            plan = session.load_plan(self.apply)
        elif self.retry_failed:
            plan = session.make_plan(only=session.not_done())
        else:
            plan = session.make_plan()
        if self.save_plan is not None:
            session.save_plan(plan, self.save_plan)
        return plan


class _Batch:
    """What one headless sync holds on to."""

    def __init__(
        self,
        session: Session,
        output: Output,
        shown: Display,
        stops: Stops,
        out: Stream,
        dry_run: bool,
        made_of: _PlanMadeOf,
    ) -> None:
        self._session = session
        self._output = output
        self._display = shown
        self._stops = stops
        self._out = out
        self._dry_run = dry_run
        self._made_of = made_of

    def sync(self) -> int:
        plan = self._make_plan()
        try:
            summary = self._carry_out(plan)
        except TuiSyncError as error:
            # There is a plan: whoever reads the records is owed a summary as the last one.
            self._tell(error)
            status = "interrupted" if isinstance(error, Cancelled) else "error"
            summary = self._nothing_done(plan).with_status(status, error.exit_code)
        self._display.close()
        self._output.summary(summary, plan, dry_run=self._dry_run)
        self._out.flush()
        self._explain(summary)
        return summary.exit_code

    def _carry_out(self, plan: Plan) -> Summary:
        self._display.narrate(f"plan: {totals_text(plan.totals)}")
        self._output.plan(plan, dry_run=self._dry_run)
        for item in self._shown_items(plan):
            self._output.planned(item)
            if self._stops.count:
                raise Cancelled("interrupted: nothing was written")
        self._out.flush()
        for guard in plan.guards:
            if guard.blocking:
                self._tell(GuardRefused(guard.message))
            else:
                self._display.narrate(f"note: {guard.message}")
        if plan.refused:
            return self._nothing_done(plan).with_status("refused", GuardRefused.exit_code)
        if self._made_of.save_plan is not None:
            self._display.narrate(f"plan saved to {printable(str(self._made_of.save_plan))}")
        if self._dry_run:
            return self._nothing_done(plan)
        return self._run(plan)

    def _nothing_done(self, plan: Plan) -> Summary:
        return Summary(
            unchanged=plan.totals.unchanged,
            conflicts=plan.totals.conflicts,
            verified=Verify.NONE,
            requests=dict(self._session.requests()),
        )

    def _shown_items(self, plan: Plan) -> Iterator[Item]:
        if self._dry_run:
            return self._session.ledger.items(plan.plan_id)
        return filter(is_conflict, self._session.ledger.items(plan.plan_id, actions={Action.SKIP}))

    def _run(self, plan: Plan) -> Summary:
        ended = _Ended()
        engine = self._session.start(plan, ended)
        try:
            self._follow(engine, ended)
        except BaseException as error:
            # No run may go on unobserved, not even after a bug here.
            engine.cancel()
            while not engine.wait(_POLL_S):
                ended.take()
            if isinstance(error, BrokenPipeError):
                self._display.say("error: nobody reads the output any more: the run was stopped")
            raise
        if engine.error is not None:
            self._tell(engine.error)
        return engine.summary

    def _follow(self, engine: Engine, ended: _Ended) -> None:
        """Until the end of the run: pass on what it does, and the wish to stop."""
        obeyed, next_progress = 0, time.monotonic() + _PROGRESS_S
        finished = False
        while not finished:
            finished = engine.wait(_POLL_S)
            for outcome in ended.take():
                self._output.ended(outcome)
            snapshot = engine.snapshot()
            if finished or time.monotonic() >= next_progress:
                next_progress = time.monotonic() + _PROGRESS_S
                self._output.progress(snapshot)
            self._out.flush()
            self._display.running(snapshot)
            wish = 2 if self._stops.hurry else self._stops.count
            if wish > obeyed:
                obeyed = wish
                if obeyed == 1:
                    self._display.say("interrupted: finishing what is in flight; once more stops at once")
                    engine.drain()
                else:
                    self._display.say("stopping at once: the next run goes on from here")
                    engine.cancel()

    def _make_plan(self) -> Plan:
        """In a thread of its own, so that the display moves and a signal is heard meanwhile."""
        plans: list[Plan] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                plans.append(self._made_of.make(self._session))
            except BaseException as error:  # noqa: BLE001 - raised again below, in the calling thread
                errors.append(error)

        thread = threading.Thread(target=work, name="tui-sync-plan", daemon=True)
        thread.start()
        cancelled = False
        while thread.is_alive():
            thread.join(_POLL_S)
            self._display.planning(self._session.progress)
            if self._stops.count and not cancelled:
                cancelled = True
                self._session.cancel()
        if cancelled:
            raise Cancelled("interrupted: nothing was written")
        if errors:
            raise errors[0]
        return plans[0]

    def _tell(self, error: TuiSyncError) -> None:
        self._output.error(str(error))
        self._display.say(f"error: {error}")

    def _explain(self, summary: Summary) -> None:
        if summary.failed or summary.skipped or summary.conflicts:
            self._display.say(
                f"{summary.failed} failed, {summary.skipped} skipped, {summary.conflicts} in conflict: "
                "see the items above"
            )


class _Ended:
    """Hears from the engine. What it holds is bounded: who does not read stdout slows the run, not the
    memory."""

    def __init__(self) -> None:
        self._room = threading.Condition()
        self._outcomes: list[Outcome] = []

    def started(self, item: Item) -> None:
        pass

    def ended(self, outcome: Outcome) -> None:
        with self._room:
            self._room.wait_for(lambda: len(self._outcomes) < _BACKLOG)
            self._outcomes.append(outcome)

    def take(self) -> list[Outcome]:
        """All that has come, without waiting."""
        with self._room:
            taken, self._outcomes = self._outcomes, []
            self._room.notify_all()
        return taken
