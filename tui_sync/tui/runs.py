"""Past runs as screens show them: the ledger of a pair that has one, and how a run ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tui_sync.model import Summary

if TYPE_CHECKING:
    from tui_sync.ledger import Ledger
    from tui_sync.profiles import Profile

_WORDS = {"ok": "done", "partial": "partly", "drifted": "drifted", "interrupted": "stopped", "error": "error"}


def outcome_words(summary: Summary | None) -> tuple[str, str, str]:
    """How a run ended as (glyph, word, tone)."""
    if summary is None:
        return "!", "interrupted", "run--warn"
    if summary.status == "ok":
        return "✓", "done", "run--good"
    tone = "run--bad" if summary.status in ("partial", "error") else "run--warn"
    return "!", _WORDS.get(summary.status, summary.status), tone


def open_existing(profile: Profile, state_dir: Path | None) -> Ledger | None:
    """The ledger of a pair that has one; None where there never was a run."""
    from tui_sync.ledger.store import open_ledger, pair_ledgers

    if not any(path.stem == profile.pair_id for path in pair_ledgers(state_dir)):
        return None
    return open_ledger(
        profile.pair_id, source=profile.source.url, target=profile.target.url, state_dir=state_dir
    )
