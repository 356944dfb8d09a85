"""What a person can do about an item that did not go through."""

from __future__ import annotations

from tui_sync.model import Outcome, Status

_BY_STATUS = {
    Status.DRIFTED: "compare again: what is there now was not what you approved",
    Status.VANISHED: "compare again: it is gone",
    Status.HELD: "mend what it depends on, then retry",
    Status.CANCELLED: "run again: it goes on where it stopped",
}
_BY_WORDS = (
    ("permission denied", "give this user the right to write there, then retry"),
    ("no space", "free some space on the target, then retry"),
    ("are free", "free some space on the target, then retry"),
    ("connection", "look after the line or the server, then retry"),
    ("did not answer", "look after the line or the server, then retry"),
    ("no answer", "look after the line or the server, then retry"),
    ("busy", "use fewer workers, then retry"),
    ("bytes were sent but", "retry; if it comes again, suspect the target's disk"),
    ("checksum", "retry; if it comes again, suspect the line or a disk"),
)


def remedy(outcome: Outcome) -> str:
    """One clause, or nothing where the error says it all."""
    words = outcome.error.casefold()
    if outcome.status is not Status.FAILED:
        return _BY_STATUS.get(outcome.status, "")
    return next((clause for part, clause in _BY_WORDS if part in words), "")
