"""One file: check, read, stage, verify, publish. Nothing is visible under its final name before that."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Buffer, Download, Reader, Upload, Writer
from tui_sync.connectors.digest import ALGORITHM
from tui_sync.connectors.ranges import Ranges
from tui_sync.errors import (
    AlreadyExists,
    ConnectionLost,
    Drifted,
    NotFound,
    NotSupported,
    StorageError,
    TimedOut,
    Vanished,
    VerifyFailed,
)
from tui_sync.model import Action, Entry, Item, Verify, WriteMode
from tui_sync.transfer import preconditions, verify
from tui_sync.transfer.gate import Gate
from tui_sync.transfer.parents import Parents
from tui_sync.transfer.partials import Partials
from tui_sync.transfer.progress import Slot
from tui_sync.transfer.throttle import Throttle
from tui_sync.transfer.transform import Transform
from tui_sync.transfer.trash import Backups
from tui_sync.transfer.verify import Verifier

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

# Below this a target that drifted costs less to find out at the end than to ask about twice.
_CHECK_FIRST_BYTES = 1 << 20
# Between two looks at whether to go on.
_LOOK_S = 0.02


class Copied(NamedTuple):
    """A published file: the target's own word on it, and how far it was verified."""

    entry: Entry
    bytes: int
    verified: Verify


@dataclass(slots=True)
class Earlier:
    """What earlier attempts at one file left to know.

    ``opened``: its final name was written to directly. ``moved``: what it replaces was moved to the trash.
    ``unanswered``: it was published, and no answer came; this is what it would be then.
    """

    opened: bool = False
    moved: bool = False
    unanswered: Copied | None = None


class Copier:
    """Copies single files for all workers of a run; holds no state of any file."""

    def __init__(
        self,
        *,
        source: Reader,
        target: Reader,
        writer: Writer,
        transform: Transform,
        verifier: Verifier,
        write: WriteMode,
        partials: Partials,
        backups: Backups | None,
        parents: Parents,
        throttle: Throttle,
        gate: Gate,
        cancel: CancelToken,
    ) -> None:
        self._source = source
        self._target = target
        self._writer = writer
        self._transform = transform
        self._verifier = verifier
        self._write = write
        self._partials = partials
        self._backups = backups
        self._parents = parents
        self._throttle = throttle
        self._gate = gate
        self._cancel = cancel

    def copy(self, item: Item, slot: Slot, earlier: Earlier) -> Copied:
        """Carry out a create or update item; ``earlier`` is the same in all attempts at it.

        Raises Drifted or Vanished where either side is not what was planned for, VerifyFailed, Cancelled, or
        the StorageError of whichever side failed; the old target file is then as it was. A large file that
        was cut off goes on where it stopped the next time.
        """
        planned = item.source
        assert planned is not None
        direct = self._write is WriteMode.DIRECT
        done = self._published_earlier(item, earlier)
        if done is not None:
            self._partials.published(item, planned)
            return done
        if earlier.moved:
            self._put_back(item, earlier)
        if (direct and not earlier.opened) or (not direct and planned.size >= _CHECK_FIRST_BYTES):
            preconditions.check_target(self._target, item.path, item.target)
        try:
            download = self._source.open(planned.path)
        except NotFound:
            raise Vanished("the source is gone since the plan was made") from None
        except StorageError as error:
            if not error.retryable:
                self._check_still_a_file(planned)
            raise
        with download:
            preconditions.check_source(planned, download.entry, "since the plan was made")
            if planned.mtime_ns is None:
                # Not every listing shows times; the open file does.
                planned = planned._replace(mtime_ns=download.entry.mtime_ns)
            if direct and self._backups is not None and item.action is Action.UPDATE and not earlier.moved:
                # A second name of the file would show what is written into it.
                earlier.moved = True
                self._backups.move(item)
            try:
                upload = self._begin(item, planned, download)
            except BaseException:
                self._put_back_if_possible(item, earlier)
                raise
            earlier.opened = True
            try:
                copied = self._fill(item, planned, download, upload, slot, earlier)
            except BaseException as error:
                if direct:
                    upload.abort()
                    self._put_back_if_possible(item, earlier)
                else:
                    resumable = self._transform.identity
                    self._partials.let_go(item, planned, upload, error, resumable=resumable)
                raise
        if not direct:
            self._partials.published(item, planned)
        return copied

    def _begin(self, item: Item, planned: Entry, download: Download) -> Upload:
        size = planned.size if self._transform.identity else None
        if self._write is WriteMode.ATOMIC:
            return self._partials.begin(item, planned, download, size=size)
        return self._writer.upload(
            item.path, temporary=item.path, size=size, mtime_ns=planned.mtime_ns, mode=planned.mode
        )

    def _fill(
        self, item: Item, planned: Entry, download: Download, upload: Upload, slot: Slot, earlier: Earlier
    ) -> Copied:
        aim = self._verifier.aim(planned.size)
        if self._verifier.optional and upload.held:
            # What need not be sent again is not read again either.
            aim = Verify.SIZE
        digest = hashlib.new(ALGORITHM) if verify.needs_digest(aim) else None
        on_server = False
        if (
            self._transform.identity
            and (digest is None or self._verifier.optional)
            and upload.copy_from(download)
        ):
            digest, size, on_server = None, planned.size, True
            self._partials.written(item, planned, upload, 0, size)
            slot.done = size
        elif self._transform.identity:
            size = planned.size
            self._send(item, planned, download, upload, slot, digest)
        else:
            size = self._send_transformed(download, planned.size, upload, slot, digest)
        if not download.one_version:
            self._check_source_unchanged(planned, download)
        slot.phase = "verify"
        staged = upload.finish()
        if staged.size != size:
            raise VerifyFailed(f"{size} bytes were sent but the target holds {staged.size}")
        reached = Verify.SIZE
        if upload.staged_path is not None and digest is not None:
            reached = self._verifier.check(staged, digest.hexdigest(), aim)
        slot.phase = "publish"
        self._cancel.check()
        slot.check()
        if not on_server:
            # What a storage copies by itself was never compared with a digest from here.
            reached = verify.with_storage(reached, self._target.features)
        copied = Copied(staged, size, reached)
        copied = copied._replace(entry=self._publish(item, upload, copied, earlier))
        if upload.staged_path is None and digest is not None:
            copied = copied._replace(verified=self._read_back(item.path, digest.hexdigest()))
        return copied

    def _read_back(self, path: str, digest: str) -> Verify:
        """Where nothing can be read before it is published: afterwards, and final if it is wrong."""
        try:
            return self._verifier.read_back(path, digest)
        except VerifyFailed as error:
            raise StorageError(f"{error}, although it took them: look at it, and run again") from None

    def _send(
        self,
        item: Item,
        planned: Entry,
        download: Download,
        upload: Upload,
        slot: Slot,
        digest: Hash | None,
    ) -> None:
        """Byte for byte, what the target does not hold already. A digest needs every byte read all the
        same."""
        held = Ranges(upload.held)
        missing = held.missing(planned.size)
        slot.done = slot.resumed = held.total
        for start, stop in missing if digest is None else sorted((*missing, *upload.held)):
            write = (start, stop) in missing
            offset = start
            for block in self._read(download, start, stop, slot):
                if digest is not None:
                    digest.update(block)
                if write:
                    upload.write(offset, block)
                    slot.done += len(block)
                    self._partials.written(item, planned, upload, offset, offset + len(block))
                offset += len(block)
            if offset < stop:
                raise Drifted("the source shrank while it was copied")

    def _send_transformed(
        self, download: Download, size: int, upload: Upload, slot: Slot, digest: Hash | None
    ) -> int:
        def read() -> Iterator[Buffer]:
            for block in self._read(download, 0, size, slot):
                slot.done += len(block)
                yield block

        sent = 0
        for block in self._transform.blocks(read()):
            upload.write(sent, block)
            sent += len(block)
            if digest is not None:
                digest.update(block)
        if slot.done < size:
            raise Drifted("the source shrank while it was copied")
        return sent

    def _read(self, download: Download, start: int, stop: int, slot: Slot) -> Iterator[Buffer]:
        due = 0.0
        for block in download.blocks(start, stop):
            now = time.monotonic()
            if now >= due:
                due = now + _LOOK_S
                self._gate.wait(self._cancel)
                slot.check()
            self._throttle.take(len(block), self._cancel)
            yield block

    def _check_still_a_file(self, planned: Entry) -> None:
        """What cannot be opened may have become a folder, or a link."""
        try:
            found = self._source.stat(planned.path)
        except StorageError:
            return
        if found.kind is not planned.kind:
            preconditions.check_source(planned, found, "since the plan was made")

    def _check_source_unchanged(self, planned: Entry, download: Download) -> None:
        try:
            now = download.restat()
        except NotFound:
            raise Vanished("the source was removed while it was copied") from None
        preconditions.check_source(planned, now, "while it was copied")

    def _publish(self, item: Item, upload: Upload, staged: Copied, earlier: Earlier) -> Entry:
        self._parents.check(item.path)
        over = item.action is Action.UPDATE
        if self._write is WriteMode.DIRECT:
            return upload.publish(replace=True)
        if over and self._backups is not None:
            return self._publish_over(self._backups, item, upload, staged, earlier)
        if over:
            preconditions.check_target(self._target, item.path, item.target)
        return self._publish_as(over, upload, staged, earlier)

    def _publish_as(self, over: bool, upload: Upload, staged: Copied, earlier: Earlier) -> Entry:
        try:
            return upload.publish(replace=over)
        except AlreadyExists:
            raise Drifted("something has appeared on the target since the plan was made") from None
        except (ConnectionLost, TimedOut):
            earlier.unanswered = staged
            raise

    def _publish_over(
        self, backups: Backups, item: Item, upload: Upload, staged: Copied, earlier: Earlier
    ) -> Entry:
        """Keep what is replaced, look whether it is what was planned for, and replace it."""
        before = earlier.unanswered
        [error] = backups.keep_many([item])
        if isinstance(error, NotSupported):
            earlier.moved = True
            backups.move(item)
        elif error is not None:
            raise error
        try:
            if not earlier.moved:
                preconditions.check_target(self._target, item.path, item.target)
            return self._publish_as(not earlier.moved, upload, staged, earlier)
        except BaseException:
            if earlier.moved and earlier.unanswered is None:
                self._put_back_if_possible(item, earlier)
            elif before is None and earlier.unanswered is None:
                backups.drop([item])
            raise

    def _put_back(self, item: Item, earlier: Earlier) -> None:
        if earlier.moved and self._backups is not None:
            self._backups.put_back(item)
            earlier.moved = False

    def _put_back_if_possible(self, item: Item, earlier: Earlier) -> None:
        with suppress(ConnectionLost, TimedOut):
            self._put_back(item, earlier)

    def _published_earlier(self, item: Item, earlier: Earlier) -> Copied | None:
        """The file, if an earlier attempt's rename went through although its answer was lost."""
        if earlier.unanswered is None:
            return None
        try:
            found = self._target.stat(item.path)
        except NotFound:
            return None
        if not preconditions.is_published(item, earlier.unanswered.entry, found):
            return None
        return earlier.unanswered._replace(entry=found)
