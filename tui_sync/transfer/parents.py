"""No symbolic link on the target is followed out of the root: the folders above a path, looked at once more.

A scan follows no link, but a folder may be replaced by one after it. Storage that works by paths (SFTP) would
write through it. So all folders above a path are looked at right before it is acted on; what was seen holds
for a moment, or a small file would cost a request for each of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from tui_sync.connectors.base import Reader
from tui_sync.errors import Drifted, NotFound, Vanished
from tui_sync.model import Entry, Kind
from tui_sync.names import ancestors, parent, printable

_FRESH_S = 2.0
_MOST_KEPT = 20_000


class Parents:
    """For all workers of a run. The root itself is the user's choice, link or not."""

    def __init__(self, target: Reader) -> None:
        self._target = target
        self._needed = target.features.directories and target.features.symlinks
        self._lock = threading.Lock()
        self._seen: dict[str, float] = {}

    def check(self, path: str) -> None:
        """Raises Drifted or Vanished where a folder above ``path`` is none any more."""
        for problem in self.look([path]).values():
            raise problem

    def look(self, paths: Sequence[str]) -> dict[str, Drifted]:
        """Which of the paths have a folder above that is none any more, and what is wrong."""
        if not self._needed:
            return {}
        above = {
            folder: [one for one in (folder, *ancestors(folder)) if one]
            for folder in {parent(path) for path in paths}
        }
        now = time.monotonic()
        with self._lock:
            if len(self._seen) > _MOST_KEPT:
                self._seen.clear()
            wanted = {
                folder
                for folders in above.values()
                for folder in folders
                if now - self._seen.get(folder, -_FRESH_S) >= _FRESH_S
            }
        if not wanted:
            return {}
        asked = sorted(wanted)
        wrong: dict[str, Drifted] = {}
        for folder, found in zip(asked, self._target.stat_many(asked), strict=True):
            if isinstance(found, Entry) and found.kind is Kind.DIRECTORY:
                with self._lock:
                    self._seen[folder] = now
            elif isinstance(found, Entry):
                what = "a symbolic link" if found.kind is Kind.SYMLINK else "no folder"
                wrong[folder] = Drifted(f"“{printable(folder)}” on the target has become {what}")
            elif isinstance(found, NotFound):
                wrong[folder] = Vanished(f"the folder “{printable(folder)}” is gone from the target")
            # Whatever else is wrong with a folder, the action itself will meet it.
        first_wrong = {
            folder: next((wrong[one] for one in reversed(folders) if one in wrong), None)
            for folder, folders in above.items()
        }
        found_wrong = ((path, first_wrong[parent(path)]) for path in paths)
        return {path: problem for path, problem in found_wrong if problem is not None}
