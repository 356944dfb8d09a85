"""Whether two roots are apart from each other, told from where they really are."""

from __future__ import annotations

from tui_sync.connectors.base import LOCAL, LOOPBACK, Connector, Place
from tui_sync.errors import UsageError

_LOOKS = 5


def check_apart(source: Connector, target: Connector) -> None:
    """Raises UsageError where the two are one folder, or one lies in the other.

    That is so where both are on one server, one path begins with the other, and all folders that the paths
    have in common look the same from both sides: the same path may be another folder for another user. A
    local folder is compared with what a server on this machine shows. A folder that somebody changes at the
    time of each look counts as the same.
    """
    if not _same_machine(source.server, target.server):
        return
    one, other = source.place(), target.place()
    first, second = _parts(one), _parts(other)
    shared = min(len(first), len(second))
    if first[:shared] != second[:shared] or _differ(source, target, one, other):
        return
    problem = "source and target are the same folder"
    if len(first) != len(second):
        inner, outer = ("target", "source") if len(second) > len(first) else ("source", "target")
        problem = f"the {inner} lies inside the {outer}"
    raise UsageError(
        f"{problem}, once links and other names of them are followed: choose folders apart from each other"
    )


def _same_machine(one: str, other: str) -> bool:
    if LOCAL in (one, other):
        there = other if one == LOCAL else one
        return there == LOCAL or there.startswith(LOOPBACK)
    return one == other


def _parts(place: Place) -> list[str]:
    return [part for part in place.root.split("/") if part]


def _differ(source: Connector, target: Connector, one: Place, other: Place) -> bool:
    """Whether a folder that the paths have in common is another one on each side.

    Looking different is not enough, as it may have been changed between the two looks: the source has to see
    it unchanged once the target has seen it.
    """
    for _ in range(_LOOKS):
        shared = one.marks.keys() & other.marks.keys()
        differing = [path for path in shared if one.marks[path] != other.marks[path]]
        if not differing:
            return False
        again = source.place()
        if any(again.marks.get(path) == one.marks[path] for path in differing):
            return True
        one, other = again, target.place()
    return False
