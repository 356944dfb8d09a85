"""What a person can do about what did not go through, by the kind of the error."""

from __future__ import annotations

from tui_sync.errors import (
    AlreadyExists,
    ChangedHostKey,
    ConnectError,
    ConnectionLost,
    LoginRefused,
    NoSpace,
    NotFound,
    PairLocked,
    PermissionDenied,
    ProfileError,
    TimedOut,
    UnknownHostKey,
    UnsafeName,
    VerifyFailed,
)
from tui_sync.model import Outcome, Status

_BY_STATUS = {
    Status.DRIFTED: "compare again: what is there now was not what you approved",
    Status.VANISHED: "compare again: it is gone",
    Status.HELD: "mend what it depends on, then retry",
    Status.CANCELLED: "run again: it goes on where it stopped",
}
_LINE = "look after the line or the server, then retry"
_BY_KIND = {
    PermissionDenied.kind: "give this user the right to it, then retry",
    NoSpace.kind: "free some space on the target, then retry",
    ConnectionLost.kind: _LINE,
    ConnectError.kind: _LINE,
    TimedOut.kind: "look after the line or the server, or use fewer workers, then retry",
    VerifyFailed.kind: "retry; if it comes again, suspect the line or a disk",
    NotFound.kind: "compare again: it is gone",
    AlreadyExists.kind: "move away what is in its place, then retry",
    LoginRefused.kind: "mend user, password or key in the profile, then retry",
    UnsafeName.kind: "give it another name on the source",
    "internal": "retry; if it comes again, please report it",
}
_BEFORE_A_PLAN = {
    ConnectError.kind: "Is the server up, and are host and port right?",
    ConnectionLost.kind: "Look after the line, then try again.",
    TimedOut.kind: "The server takes its time, or the line is dead: try again later.",
    LoginRefused.kind: "Are user, password and key right?",
    UnknownHostKey.kind: "Compare the fingerprint with one that its owner gave you.",
    ChangedHostKey.kind: "Ask the server's owner before you trust another key.",
    NotFound.kind: "Is the path right?",
    PermissionDenied.kind: "May this user read there?",
    ProfileError.kind: "The profile has to be mended first.",
    PairLocked.kind: "Wait until that run has ended, then try again.",
}


def remedy(outcome: Outcome) -> str:
    """One clause, or nothing where the error says it all."""
    if outcome.status is not Status.FAILED:
        return _BY_STATUS.get(outcome.status, "")
    return _BY_KIND.get(outcome.error_kind, "")


def first_aid(kind: str) -> str:
    """A sentence about an error before there was a plan, by its ``kind``; empty where there is none."""
    return _BEFORE_A_PLAN.get(kind, "")
