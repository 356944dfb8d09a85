"""Folders on the target: made before what goes into them, given their attributes after it.

What is put into a folder changes its mtime, and a read-only one cannot be filled. So a folder that is made
stays writable until the end, and an existing one is opened for the run where it has to be. The ledger
remembers what has yet to be finished, should the run not come to that.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import groupby

from tui_sync import names
from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Reader, Writer
from tui_sync.errors import AlreadyExists, Drifted, NotFound, StorageError, TuiSyncError
from tui_sync.ledger import Ledger
from tui_sync.model import FolderAttributes, Item, Kind
from tui_sync.transfer.retry import Retry

_OWNER = 0o700


class FolderUnfinished(TuiSyncError):
    """The folder of ``item`` was made and did not get its attributes; ``cause`` is the kind of error why."""

    def __init__(self, message: str, item: Item, cause: str) -> None:
        super().__init__(message)
        self.item = item
        self.cause = cause


class Folders:
    """All folders of a run; safe for many threads. ``again``: what is there already may have been made by an
    earlier attempt at the same plan."""

    def __init__(
        self, ledger: Ledger, target: Reader, writer: Writer, retry: Retry, *, again: bool = False
    ) -> None:
        self._again = again
        self._ledger = ledger
        self._target = target
        self._writer = writer
        self._retry = retry
        self._lock = threading.Lock()
        self._tried: set[str] = set()
        self._opened: set[str] = set()
        self._items: dict[str, Item] = {}
        self._unfinished = {folder.path: folder for folder in ledger.unfinished_folders()}

    def make(self, item: Item) -> None:
        """Carry out a mkdir item. A folder that is there already, perhaps made by an attempt whose answer
        was lost, is what was wanted. Raises Drifted where it is no folder."""
        source = item.source
        mode = source.mode if source is not None else None
        with self._lock:
            again = self._again or item.path in self._tried
            self._tried.add(item.path)
        try:
            self._writer.make_dir(item.path, mode=None if mode is None else mode | _OWNER)
        except AlreadyExists:
            if self._target.stat(item.path).kind is not Kind.DIRECTORY:
                raise Drifted("something that is no folder has appeared on the target") from None
            if not again:
                return
        if source is not None:
            self._remember(FolderAttributes(item.path, source.mtime_ns, source.mode))
            with self._lock:
                self._items[item.path] = item

    def open_for(self, path: str) -> bool:
        """Let the owner write into the folder of ``path`` until the end of the run, where it does not yet.
        True where that was done, once for each folder."""
        folder = names.parent(path)
        with self._lock:
            if folder in self._opened:
                return False
            self._opened.add(folder)
        try:
            there = self._target.stat(folder)
            if there.mode is None or there.mode & _OWNER == _OWNER or there.kind is not Kind.DIRECTORY:
                return False
            self._remember(FolderAttributes(folder, None, there.mode))
            self._writer.set_attributes(folder, mtime_ns=None, mode=there.mode | _OWNER)
        except StorageError:
            return False
        return True

    def to_finish(self) -> Iterator[list[str]]:
        """The folders that wait for their attributes, the deepest level first."""
        with self._lock:
            paths = sorted(self._unfinished, key=_depth, reverse=True)
        for _, level in groupby(paths, key=_depth):
            yield list(level)

    def finish(self, path: str, cancel: CancelToken) -> None:
        """Give a folder its attributes. Raises FolderUnfinished where this run made it and they could not be
        set for a passing reason; a server that lets nobody set them has made the folder still."""
        with self._lock:
            folder = self._unfinished[path]
            item = self._items.get(path)
        try:
            self._retry.call(
                lambda: self._writer.set_attributes(path, mtime_ns=folder.mtime_ns, mode=folder.mode), cancel
            )
        except NotFound:
            pass
        except TuiSyncError as error:
            if error.retryable or not isinstance(error, StorageError):
                if item is None:
                    return
                raise FolderUnfinished(
                    f"folder made, attributes not set: {error}", item, error.kind
                ) from error
        self._ledger.folder_finished(path)

    def _remember(self, folder: FolderAttributes) -> None:
        with self._lock:
            # What an earlier run or the making of it asks for is what counts, not what it is in between.
            if folder.path in self._unfinished and folder.mtime_ns is None:
                return
            self._unfinished[folder.path] = folder
        self._ledger.folder_unfinished(folder)


def _depth(path: str) -> int:
    return path.count("/") + 1 if path else 0
