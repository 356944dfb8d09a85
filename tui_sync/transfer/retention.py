"""Takes out of the trash on the target what has been there long enough: this ledger's own runs alone.

The ledger tells how long: from when a run's folder was first known. A folder that it does not know begins
anew. The newest stays whatever the clock says.
"""

from __future__ import annotations

import logging
import re

from tui_sync import names
from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Reader, Writer
from tui_sync.errors import NotFound, StorageError
from tui_sync.ledger import Ledger
from tui_sync.model import Kind

_log = logging.getLogger(__name__)
_NS = 1_000_000_000


class Retention:
    """``keep_s``: seconds that a run's folder stays."""

    def __init__(
        self, ledger: Ledger, target: Reader, writer: Writer, cancel: CancelToken, keep_s: int
    ) -> None:
        self._ledger = ledger
        self._target = target
        self._writer = writer
        self._cancel = cancel
        self._keep_s = keep_s

    def apply(self, now_ns: int) -> int:
        """Remove the folders that are due, and return of how many runs. Troubles are logged and met again by
        the next run. Raises Cancelled, LedgerError."""
        removed = 0
        try:
            folders = self._folders()
            known = self._ledger.trash_times()
            for run in known.keys() - folders.keys():
                self._ledger.forget_trash(run)
            for run in folders.keys() - known.keys():
                self._ledger.note_trash(run, now_ns)
            newest = max(folders, default=0)
            for run, found in sorted(folders.items()):
                age_ns = now_ns - known.get(run, now_ns)
                if run != newest and age_ns > self._keep_s * _NS:
                    for folder in found:
                        self._remove(folder)
                    self._ledger.forget_trash(run)
                    removed += 1
        except StorageError as error:
            _log.warning("the trash could not be cleared: %s", error)
        return removed

    def _folders(self) -> dict[int, list[str]]:
        """The folders in the trash by the run that they are of."""
        pattern = re.compile(rf"{re.escape(self._ledger.tag)}-([1-9][0-9]*)(?:{names.UNDONE})?", re.ASCII)
        found: dict[int, list[str]] = {}
        try:
            if self._target.stat(names.TRASH).kind is not Kind.DIRECTORY:
                return {}
            for child in self._target.list_dir(names.TRASH):
                match = pattern.fullmatch(child.name)
                if match is not None and child.kind is Kind.DIRECTORY:
                    found.setdefault(int(match[1]), []).append(f"{names.TRASH}/{child.name}")
        except NotFound:
            return {}
        return found

    def _remove(self, folder: str) -> None:
        """A folder with all in it; a link in it is removed and not followed."""
        self._cancel.check()
        if self._target.stat(folder).kind is not Kind.DIRECTORY:
            return
        for child in self._target.list_dir(folder):
            path = names.join(folder, child.name)
            if child.kind is Kind.DIRECTORY:
                self._remove(path)
            else:
                self._cancel.check()
                self._writer.remove_file(path)
        try:
            self._writer.remove_dir(folder)
        except NotFound:
            # Where folders are what keys have in common it went with the last of them.
            return
