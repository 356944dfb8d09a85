"""Files that are partly on their way: begun, taken up again, written down, let go, cleared away.

A large file's staged part outlives a cut, a cancel and a kill; the ledger says which source it is from and
what of it the target has confirmed.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from tui_sync import names
from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Download, Reader, Upload, Writer
from tui_sync.errors import (
    Cancelled,
    ConnectError,
    ConnectionLost,
    LedgerError,
    NotFound,
    StorageError,
    TimedOut,
)
from tui_sync.ledger import Ledger
from tui_sync.model import Entry, Item, Partial

# Below this, sending again costs no more than going on would.
RESUME_FROM = 4 << 20
# After so many bytes more the ledger is told: what a kill can cost beyond the window in flight.
NOTE_EVERY = 4 << 20
# The end of what is held is where a server that went down would have left holes.
_RECHECKED = 256 << 10


class Partials:
    """For all workers of a run. Without ``across_runs`` only what this run began is gone on with."""

    def __init__(
        self, ledger: Ledger, target: Reader, writer: Writer, cancel: CancelToken, *, across_runs: bool
    ) -> None:
        self._across_runs = across_runs
        self._begun: set[str] = set()
        self._ledger = ledger
        self._target = target
        self._writer = writer
        self._cancel = cancel

    def begin(self, item: Item, planned: Entry, download: Download, *, size: int | None) -> Upload:
        """An upload for the item: a suspended one of the same source where the target still holds it and its
        end is what the source has there, else a new one."""
        resumed = self._resume(item, planned, download) if _worth_it(size) else None
        if resumed is not None:
            return resumed
        temporary = names.temporary(item.path, self._ledger.tag)
        if _worth_it(size):
            # Before it is begun, or nobody would look for what a kill right afterwards leaves.
            self._begun.add(item.path)
            self._ledger.save_partial(Partial(item.path, planned.identity, temporary, "", ()))
        upload = self._writer.upload(
            item.path, temporary=temporary, size=size, mtime_ns=planned.mtime_ns, mode=planned.mode
        )
        if _worth_it(size):
            self._note(item, planned, upload)
        return upload

    def written(self, item: Item, planned: Entry, upload: Upload, before: int, now: int) -> None:
        """Tell the ledger from time to time, as the file grows from ``before`` to ``now`` bytes."""
        if before // NOTE_EVERY != now // NOTE_EVERY and _worth_it(planned.size):
            self._note(item, planned, upload)

    def published(self, item: Item, planned: Entry) -> None:
        if _worth_it(planned.size):
            self._ledger.drop_partial(item.path)

    def let_go(
        self, item: Item, planned: Entry, upload: Upload, error: BaseException, *, resumable: bool
    ) -> None:
        """After an error: keep the staged part where going on with it can succeed, else remove it."""
        passing = isinstance(error, ConnectionLost | TimedOut | ConnectError | Cancelled | LedgerError)
        if resumable and passing and _worth_it(planned.size):
            upload.suspend()
            # Without a note the next run takes what is staged for a leftover.
            with suppress(LedgerError):
                self._note(item, planned, upload)
            return
        upload.abort()
        if _worth_it(planned.size):
            self._ledger.drop_partial(item.path)

    def clear(self, wanted: Iterable[Item], leftovers: Iterable[str]) -> None:
        """Remove what earlier runs of this ledger left on the target and ``wanted`` will not go on with.

        ``leftovers`` are the temporary files that the scan saw. Troubles are passed over: what could not be
        removed now is seen again by the next scan.
        """
        known = {partial.path: partial for partial in self._ledger.partials()}
        keep: set[str] = set()
        if known:
            for item in wanted:
                partial = known.get(item.path)
                if (
                    partial is not None
                    and self._across_runs
                    and item.source is not None
                    and item.source.identity == partial.source
                ):
                    keep.add(partial.path)
        for path, partial in known.items():
            self._cancel.check()
            if path not in keep:
                self._discard(partial)
        kept = {known[path].temporary for path in keep}
        for path in leftovers:
            self._cancel.check()
            if path not in kept and names.is_temporary(path, self._ledger.tag):
                try:
                    self._writer.remove_file(path)
                except StorageError:
                    continue

    def _discard(self, partial: Partial) -> None:
        try:
            self._writer.resume(
                partial.path,
                temporary=partial.temporary,
                token=partial.token,
                acknowledged=partial.ranges,
                size=partial.source.size,
                mtime_ns=None,
                mode=None,
            ).abort()
        except NotFound:
            pass
        except StorageError:
            return
        self._ledger.drop_partial(partial.path)

    def _resume(self, item: Item, planned: Entry, download: Download) -> Upload | None:
        partial = self._ledger.partial(item.path)
        if partial is None:
            return None
        mine = self._across_runs or item.path in self._begun
        if partial.source != planned.identity or not mine:
            self._discard(partial)
            return None
        try:
            upload = self._writer.resume(
                item.path,
                temporary=partial.temporary,
                token=partial.token,
                acknowledged=partial.ranges,
                size=planned.size,
                mtime_ns=planned.mtime_ns,
                mode=planned.mode,
            )
        except (ConnectionLost, TimedOut):
            raise
        except StorageError:
            return None
        try:
            if self._ends_alike(download, upload, planned.size):
                return upload
        except BaseException:
            upload.suspend()
            raise
        upload.abort()
        return None

    def _ends_alike(self, download: Download, upload: Upload, size: int) -> bool:
        """Whether the last block of each held range is what the source has there."""
        if any(stop > size for _, stop in upload.held):
            return False
        if upload.staged_path is None or not upload.held:
            return True
        with self._target.open(upload.staged_path) as staged:
            for start, stop in upload.held:
                self._cancel.check()
                first = max(start, stop - _RECHECKED)
                ours = b"".join(bytes(block) for block in download.blocks(first, stop))
                theirs = b"".join(bytes(block) for block in staged.blocks(first, stop))
                if ours != theirs:
                    return False
        return True

    def _note(self, item: Item, planned: Entry, upload: Upload) -> None:
        temporary = names.temporary(item.path, self._ledger.tag)
        self._ledger.save_partial(
            Partial(item.path, planned.identity, temporary, upload.token, upload.acknowledged)
        )


def _worth_it(size: int | None) -> bool:
    return size is not None and size >= RESUME_FROM
