"""Whether two roots are apart from each other, told from where they really are."""

from __future__ import annotations

from tui_sync.connectors.base import LOCAL, LOOPBACK, Connector, Place
from tui_sync.errors import UsageError


def check_apart(source: Connector, target: Connector) -> None:
    """Raises UsageError where the two are one folder, or one lies in the other.

    That is so where both are on one server, one path begins with the other, and all folders that the paths
    have in common look the same from both sides: the same path may be another folder for another user. A
    local folder is compared with what a server on this machine shows.
    """
    if not _same_machine(source.server, target.server):
        return
    one, other = source.place(), target.place()
    first, second = _parts(one), _parts(other)
    shared = min(len(first), len(second))
    if first[:shared] != second[:shared] or not _look_the_same(one, other):
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


def _look_the_same(one: Place, other: Place) -> bool:
    shared = one.marks.keys() & other.marks.keys()
    return all(one.marks[path] == other.marks[path] for path in shared)
