"""Whether what is there is still what was planned for."""

from __future__ import annotations

from tui_sync.connectors.base import Reader
from tui_sync.errors import Drifted, NotFound, Vanished
from tui_sync.model import Entry, Item, Kind


def same(planned: Entry, found: Entry) -> bool:
    """True where both are the same file as far as one side can tell; for directories the kind decides."""
    if planned.kind is not found.kind:
        return False
    if planned.kind is Kind.DIRECTORY:
        return True
    if planned.size != found.size or planned.link_target != found.link_target:
        return False
    if planned.etag is not None and found.etag is not None:
        return planned.etag == found.etag
    if planned.mtime_ns is None or found.mtime_ns is None:
        return True
    return planned.mtime_ns == found.mtime_ns


def check_source(planned: Entry, found: Entry, when: str) -> None:
    """Raise Drifted where the source is not the planned one. ``when`` ends the sentence."""
    if not same(planned, found):
        raise Drifted(f"the source changed {when}")


def check_target(reader: Reader, path: str, planned: Entry | None) -> None:
    """Raise Drifted or Vanished where the target is not what the plan saw (None: nothing there)."""
    try:
        found = reader.stat(path)
    except NotFound:
        check_found(planned, None)
    else:
        check_found(planned, found)


def check_found(planned: Entry | None, found: Entry | None) -> None:
    """As ``check_target``, with what is there already at hand."""
    if found is None:
        if planned is not None:
            raise Vanished("the target is gone since the plan was made")
        return
    if planned is None:
        raise Drifted("something has appeared on the target since the plan was made")
    if not same(planned, found):
        raise Drifted("the target changed since the plan was made")


def check_absent(source: Reader, path: str) -> None:
    """Raise Drifted where the source has got what is to be deleted on the target."""
    try:
        source.stat(path)
    except NotFound:
        return
    raise Drifted("the source has it since the plan was made")


def is_published(item: Item, staged: Entry | None, found: Entry) -> bool:
    """Whether what is under the item's path is the file that was staged, not the one there before it."""
    if staged is None or (item.target is not None and same(item.target, found)):
        return False
    return found.size == staged.size and found.mtime_ns == staged.mtime_ns
