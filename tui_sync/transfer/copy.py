"""One file: check, read, stage, verify, publish. Nothing is visible under its final name before that."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from tui_sync import names
from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Buffer, Download, Reader, Upload, Writer
from tui_sync.connectors.digest import ALGORITHM
from tui_sync.errors import (
    AlreadyExists,
    ConnectionLost,
    Drifted,
    NotFound,
    TimedOut,
    TuiSyncError,
    Vanished,
    VerifyFailed,
)
from tui_sync.model import Action, Entry, Item, Verify, WriteMode
from tui_sync.transfer import preconditions, verify
from tui_sync.transfer.gate import Gate
from tui_sync.transfer.progress import Slot
from tui_sync.transfer.throttle import Throttle
from tui_sync.transfer.transform import Transform

# Below this a target that drifted costs less to find out at the end than to ask about twice.
_CHECK_FIRST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Copied:
    """A published file: the target's own word on it, and how far it was verified."""

    entry: Entry
    bytes: int
    verified: Verify


class Copier:
    """Copies single files for all workers of a run; holds no state of any file."""

    def __init__(
        self,
        *,
        source: Reader,
        target: Reader,
        writer: Writer,
        transform: Transform,
        wanted: Verify,
        write: WriteMode,
        tag: str,
        throttle: Throttle,
        gate: Gate,
        cancel: CancelToken,
    ) -> None:
        self._source = source
        self._target = target
        self._writer = writer
        self._transform = transform
        self._wanted = wanted
        self._write = write
        self._tag = tag
        self._throttle = throttle
        self._gate = gate
        self._cancel = cancel

    def copy(self, item: Item, slot: Slot) -> Copied:
        """Carry out a create or update item.

        Raises Drifted or Vanished where either side is not what was planned for, VerifyFailed, Cancelled, or
        the StorageError of whichever side failed; the old target file is then as it was.
        """
        planned = item.source
        assert planned is not None
        direct = self._write is WriteMode.DIRECT
        if direct or planned.size >= _CHECK_FIRST_BYTES:
            preconditions.check_target(self._target, item.path, item.target)
        try:
            download = self._source.open(planned.path)
        except NotFound:
            raise Vanished("the source is gone since the plan was made") from None
        with download:
            preconditions.check_source(planned, download.entry, "since the plan was made")
            temporary = item.path if direct else names.temporary(item.path, self._tag)
            size = planned.size if self._transform.identity else None
            upload = self._writer.upload(
                item.path, temporary=temporary, size=size, mtime_ns=planned.mtime_ns, mode=planned.mode
            )
            try:
                return self._fill(item, planned, download, upload, slot)
            except BaseException:
                upload.abort()
                raise

    def _fill(self, item: Item, planned: Entry, download: Download, upload: Upload, slot: Slot) -> Copied:
        state = hashlib.new(ALGORITHM) if verify.needs_digest(self._wanted) else None
        sent = 0
        for block in self._transform.blocks(self._read(download, planned.size, slot)):
            upload.write(sent, block)
            sent += len(block)
            if state is not None:
                state.update(block)
        self._check_source_unchanged(planned, download, slot)
        slot.phase = "verify"
        staged = upload.finish()
        if staged.size != sent:
            raise VerifyFailed(f"{sent} bytes were sent but the target holds {staged.size}")
        reached = Verify.SIZE
        if upload.staged_path is not None:
            reached = verify.check(
                self._target,
                upload.staged_path,
                wanted=self._wanted,
                digest=state.hexdigest() if state is not None else None,
                cancel=self._cancel,
            )
        slot.phase = "publish"
        self._cancel.check()
        return Copied(self._publish(item, upload, staged), sent, reached)

    def _read(self, download: Download, size: int, slot: Slot) -> Iterator[Buffer]:
        for block in download.blocks():
            self._gate.wait(self._cancel)
            self._throttle.take(len(block), self._cancel)
            slot.done += len(block)
            if slot.done > size:
                raise Drifted("the source grew while it was copied")
            yield block

    def _check_source_unchanged(self, planned: Entry, download: Download, slot: Slot) -> None:
        if slot.done != planned.size:
            raise Drifted("the source shrank while it was copied")
        try:
            now = download.restat()
        except NotFound:
            raise Vanished("the source was removed while it was copied") from None
        preconditions.check_source(planned, now, "while it was copied")

    def _publish(self, item: Item, upload: Upload, staged: Entry) -> Entry:
        replace = item.action is Action.UPDATE
        if self._write is WriteMode.DIRECT:
            return upload.publish(replace=True)
        if replace:
            preconditions.check_target(self._target, item.path, item.target)
        try:
            return upload.publish(replace=replace)
        except AlreadyExists:
            raise Drifted("something has appeared on the target since the plan was made") from None
        except (ConnectionLost, TimedOut) as lost:
            return self._published_after_all(item, staged, lost)

    def _published_after_all(self, item: Item, staged: Entry, lost: TuiSyncError) -> Entry:
        """The target's entry if the rename went through although its answer was lost, else raise ``lost``."""
        try:
            found = self._target.stat(item.path)
        except TuiSyncError:
            raise lost from None
        was_old = item.target is not None and preconditions.same(item.target, found)
        if was_old or found.size != staged.size or found.mtime_ns != staged.mtime_ns:
            raise lost
        return found
