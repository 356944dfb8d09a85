"""The headless face: the same plan and the same engine as the app, for scripts and timers.

stdout is data (a line per item, or NDJSON), stderr is narration.
"""

from tui_sync.batch.run import run_batch

__all__ = ["run_batch"]
