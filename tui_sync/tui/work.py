"""One pair on its way through the screens: its session, its plan, and the rows of that plan."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from tui_sync.errors import Cancelled, TuiSyncError
from tui_sync.model import Action, ChangeKind, Entry, Item, Kind, Mode, Plan, Status, Totals
from tui_sync.names import printable
from tui_sync.planning.plan import delete_guard
from tui_sync.tui.bridge import AppPrompts
from tui_sync.tui.rows import Rows

if TYPE_CHECKING:
    from tui_sync.profiles import Profile
    from tui_sync.session import Session
    from tui_sync.transfer.engine import Engine

SessionFactory = Callable[..., "Session"]
SPEEDS_KEPT = 512


class Work:
    """Made when a profile is opened. ``make_plan`` runs on a thread; all else belongs to the app's thread,
    but ``cancel`` and ``close``, which come from any.

    ``speeds`` are samples of its run, in bytes per second. ``away``: the run goes on while its screens are
    gone; ``told``: a person has been told of its end. ``trouble``: the kind of error in place of a plan.
    """

    def __init__(self, profile: Profile, make_session: Callable[[], Session], prompts: AppPrompts) -> None:
        self.profile = profile
        self.prompts = prompts
        self.session: Session | None = None
        self.engine: Engine | None = None
        self.rows = Rows()
        self.totals = Totals()
        self.speeds: deque[float] = deque(maxlen=SPEEDS_KEPT)
        self.away = False
        self.told = False
        self.trouble = ""
        self._plan: Plan | None = None
        self._make_session = make_session
        self._lock = threading.Lock()
        self._cancelled = False

    @property
    def plan(self) -> Plan | None:
        """The plan to be reviewed; None before the first scan has ended and once it has been run."""
        return self._plan

    def make_plan(self, retry_of: int | None = None) -> tuple[Plan, Rows, Totals]:
        """Connect where needed, scan both sides, and load the rows. Blocks. ``retry_of``: only what did not
        go through in that run."""
        self.trouble = ""
        try:
            return self._make_plan(retry_of)
        except TuiSyncError as error:
            self.trouble = error.kind
            raise

    def _make_plan(self, retry_of: int | None) -> tuple[Plan, Rows, Totals]:
        session = self._open()
        only = None
        if retry_of is not None:
            statuses = set(Status) - {Status.DONE}
            only = frozenset(
                outcome.item.path for outcome in session.ledger.outcomes(retry_of, statuses=statuses)
            )
        rows = Rows(growing=True)
        self.rows = rows
        plan = session.make_plan(keep_equal=True, only=only, watch=rows.add)
        rows.finish()
        return plan, rows, plan.totals

    def _open(self) -> Session:
        with self._lock:
            if self._cancelled:
                raise Cancelled("stopped before the end")
            if self.session is None:
                self.session = self._make_session()
            return self.session

    def accept(self, plan: Plan, rows: Rows, totals: Totals) -> None:
        """Take over what ``make_plan`` has made."""
        self._plan, self.rows, self.totals = plan, rows, totals

    def item(self, row: int) -> Item | None:
        """The full item of a row, from the ledger; None for a folder that is no item."""
        if self.session is None or self._plan is None or row < 0:
            return None
        return self.session.ledger.item(self._plan.plan_id, self.rows.path(row))

    def entry(self, row: int, side: int) -> Entry | None:
        """One side of a row as it was listed (0 source, 1 target)."""
        item = self.item(row)
        if item is None:
            return None
        return item.target if side else item.source

    def toggle(self, row: int) -> bool:
        """Take a row and all below it out of the plan, or put it back in; returns whether it is in now."""
        session, plan, rows = self.session, self._plan, self.rows
        assert session is not None
        assert plan is not None
        included = not rows.is_in(row)
        ledger = session.ledger
        ledger.include(plan.plan_id, rows.path(row), included)
        also = []
        for above in rows.ancestors(row):
            item = ledger.item(plan.plan_id, rows.path(above))
            if item is not None:
                also.append((above, item.included))
        rows.set_included(row, included, also)
        self.totals = ledger.totals(plan.plan_id)
        return included

    def other_action(self, row: int) -> Action | None:
        """What else could safely be done with a row than what the plan has for it, None for nothing.

        What only the target has can be deleted where copy mode keeps it; an equal file can be copied again.
        A second time leads back.
        """
        rows = self.rows
        kind, action = rows.kind(row), rows.action(row)
        if kind is ChangeKind.EXTRA and rows.all_extra(row) and self.profile.options.mode is Mode.COPY:
            return Action.DELETE if action is Action.SKIP else Action.SKIP
        if kind is ChangeKind.EQUAL and not rows.is_folder(row) and rows.side_kind(row, 0) is Kind.FILE:
            return Action.UPDATE if action is Action.SKIP else Action.SKIP
        return None

    def override(self, row: int) -> str:
        """Do what ``other_action`` says instead, and tell it in a sentence."""
        session, plan, rows = self.session, self._plan, self.rows
        action = self.other_action(row)
        assert session is not None
        assert plan is not None
        assert action is not None
        above = None
        if action is Action.SKIP and rows.kind(row) is ChangeKind.EXTRA:
            # A folder cannot be deleted while something in it stays.
            above = next((up for up in rows.ancestors(row) if rows.action(up) is Action.DELETE), None)
        if above is not None:
            return f"{printable(rows.names[above])} is to be deleted with all in it: press a there"
        ledger = session.ledger
        ledger.override(plan.plan_id, rows.path(row), action)
        rows.set_action(row, action)
        self.totals = ledger.totals(plan.plan_id)
        self._guard_deletes()
        name = printable(rows.names[row])
        return {
            Action.DELETE: f"{name} will be deleted on the target",
            Action.UPDATE: f"{name} will be copied again",
        }.get(action, f"{name} stays as it is")

    def _guard_deletes(self) -> None:
        """What is deleted by hand counts against the limit as all deletes do."""
        session, plan = self.session, self._plan
        assert session is not None
        assert plan is not None
        limit, totals = plan.options.max_delete, self.totals
        rest = tuple(guard for guard in plan.guards if guard.code != "max-delete")
        guards = rest
        if totals.target_files:
            guards = (*rest, *delete_guard(totals.delete, totals.target_files, limit))
        if guards != plan.guards:
            self._plan = session.ledger.finish_plan(plan.plan_id, plan.totals, guards)

    def start(self, *, override_guards: bool = False) -> Engine:
        """Run the plan as it is included now. Blocks for as long as connecting may take."""
        session, plan = self.session, self._plan
        assert session is not None
        assert plan is not None
        self.engine = session.start(plan, override_guards=override_guards)
        self.speeds.clear()
        self.told = False
        return self.engine

    def spend(self) -> None:
        """The plan has been run: only a new one can be."""
        self._plan = None

    @property
    def running(self) -> bool:
        return self.engine is not None and not self.engine.wait(0)

    @property
    def cut_off(self) -> bool:
        """Whether the last run did not reach its end, so that its connections are not to be used again."""
        return self.engine is not None and self.engine.summary.status not in ("ok", "partial", "drifted")

    def cancel(self) -> None:
        """Stop connecting, scanning or running, and give up on questions. For good."""
        with self._lock:
            self._cancelled = True
            session = self.session
        self.prompts.close()
        if session is not None:
            session.cancel()

    def close(self) -> None:
        """Cancel, and free everything. Blocks for as long as a run needs to stop."""
        self.cancel()
        if self.session is not None:
            self.session.close()
