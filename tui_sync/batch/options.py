"""How a headless sync goes about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """``retry_failed`` plans only what the last run did not get done. ``save_plan`` writes the plan to a file
    and runs nothing; ``apply`` runs the plan of such a file. ``log_file`` is appended to and rotated,
    ``metrics_file`` replaced at the end, however that comes about.
    """

    dry_run: bool = False
    as_json: bool = False
    quiet: bool = False
    retry_failed: bool = False
    save_plan: Path | None = None
    apply: Path | None = None
    log_file: Path | None = None
    metrics_file: Path | None = None
    state_dir: Path | None = None
    stdout: TextIO | None = None
    stderr: TextIO | None = None
