"""The headless face: the same plan and the same engine as the app, for scripts and timers.

stdout is data (a line per item, or NDJSON), stderr is narration.
"""

from __future__ import annotations

from tui_sync.batch.options import BatchOptions
from tui_sync.batch.prompts import RefusingPrompts
from tui_sync.batch.signals import Stops
from tui_sync.logins import Logins
from tui_sync.profiles import Profile

__all__ = ["BatchOptions", "run_batch"]


def run_batch(profile: Profile, options: BatchOptions | None = None) -> int:
    """Sync ``profile`` and return the exit code.

    Raises TuiSyncError where it ends before there is a plan, BrokenPipeError where nobody reads stdout any
    more: then the run has been cancelled, as it is where stdout cannot be written for another reason. What
    cannot be told on stderr is no error.
    """
    prompts = RefusingPrompts()
    with Stops() as stops, Logins(profile, prompts) as logins:
        logins.begin()
        # Loading the rest takes about as long as logging in.
        from tui_sync.batch.run import run

        return run(profile, stops, logins, prompts, options or BatchOptions())
