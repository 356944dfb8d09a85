"""Many small files at a time: each keeps all that a single one is promised, in a few round trips for all.

A small file on its own costs a round trip for each of its steps; a pack costs as many for all its files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tui_sync import names
from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Fetched, Parcel, Reader, Writer
from tui_sync.connectors.digest import ALGORITHM
from tui_sync.errors import (
    AlreadyExists,
    ConnectionLost,
    Drifted,
    NotFound,
    NotSupported,
    PermissionDenied,
    TimedOut,
    TuiSyncError,
)
from tui_sync.model import Action, Entry, Item, Kind, Verify
from tui_sync.transfer import preconditions, verify
from tui_sync.transfer.copy import Copied, Earlier
from tui_sync.transfer.gate import Gate
from tui_sync.transfer.parents import Parents
from tui_sync.transfer.progress import Slot
from tui_sync.transfer.throttle import Throttle
from tui_sync.transfer.trash import Backups
from tui_sync.transfer.verify import Verifier

# A file up to this size is one request to read and one to write on any server of today.
SMALL = 128 << 10
MOST_FILES = 512
_MOST_BYTES = 4 << 20

Pack: TypeAlias = tuple[Item, ...]
Result: TypeAlias = Copied | TuiSyncError | Earlier | None


def packed(items: Iterable[Item], most_files: int) -> Iterator[Pack]:
    """Group small files as they come, in their order; a large file, or a link, is a pack of its own."""
    pack: list[Item] = []
    size = 0
    for item in items:
        if item.bytes > SMALL or item.entry_kind is Kind.SYMLINK:
            yield (item,)
            continue
        if pack and (len(pack) >= most_files or size + item.bytes > _MOST_BYTES):
            yield tuple(pack)
            pack, size = [], 0
        pack.append(item)
        size += item.bytes
    if pack:
        yield tuple(pack)


@dataclass(slots=True)
class _File:
    """One file on its way through a pack; ``result`` ends its way. ``kept``: there is a backup."""

    item: Item
    planned: Entry
    parcel: Parcel
    staged: Entry | None = None
    reached: Verify = Verify.SIZE
    kept: bool = False
    result: Result = None


class Packer:
    """Copies packs for all workers of a run; holds no state of any pack."""

    def __init__(
        self,
        *,
        source: Reader,
        target: Reader,
        writer: Writer,
        verifier: Verifier,
        backups: Backups | None,
        parents: Parents,
        tag: str,
        throttle: Throttle,
        gate: Gate,
        cancel: CancelToken,
    ) -> None:
        self._source = source
        self._target = target
        self._writer = writer
        self._verifier = verifier
        self._backups = backups
        self._parents = parents
        self._tag = tag
        self._throttle = throttle
        self._gate = gate
        self._cancel = cancel

    def copy(self, pack: Pack, slot: Slot) -> list[Result]:
        """Carry out create and update items of small files, results in their order.

        None stands for a file that wants to be tried on its own: its connection was lost, or something about
        it was not as planned and deserves a closer look; an Earlier says the same of one that may have been
        published. Raises Cancelled before anything is published; nothing is left staged then.
        """
        results: list[Result] = [None] * len(pack)
        files: dict[int, _File] = {}
        try:
            files = self._fetch(pack)
            slot.done = sum(len(file.parcel.data) for file in files.values())
            self._stage(list(files.values()))
            slot.phase = "verify"
            self._verify([file for file in files.values() if file.staged is not None])
            self._back_up([file for file in files.values() if file.staged is not None])
            self._check_targets([file for file in files.values() if file.staged is not None])
            slot.phase = "publish"
            self._cancel.check()
            self._publish([file for file in files.values() if file.staged is not None])
        except (ConnectionLost, TimedOut):
            # The files without a result are tried on their own, each with its own retries.
            pass
        finally:
            left = [file for file in files.values() if not isinstance(file.result, Copied)]
            if left:
                self._writer.discard_many([file.parcel for file in left])
            self._drop_backups(
                [file.item for file in left if file.kept and not isinstance(file.result, Earlier)]
            )
        for index, file in files.items():
            results[index] = file.result
        return results

    def _fetch(self, pack: Pack) -> dict[int, _File]:
        self._gate.wait(self._cancel)
        planned = [item.source for item in pack if item.source is not None]
        fetched = self._source.fetch_many(
            [entry.path for entry in planned], [entry.size for entry in planned]
        )
        self._throttle.take(sum(entry.size for entry in planned), self._cancel)
        files = {}
        for index, (item, entry, found) in enumerate(zip(pack, planned, fetched, strict=True)):
            if isinstance(found, Fetched) and _as_planned(entry, found):
                parcel = Parcel(
                    item.path,
                    names.temporary(item.path, self._tag),
                    found.data,
                    # Not every listing shows times; the file that was read does.
                    found.before.mtime_ns if entry.mtime_ns is None else entry.mtime_ns,
                    entry.mode,
                    replace=item.action is Action.UPDATE,
                )
                files[index] = _File(item, entry, parcel)
        return files

    def _stage(self, files: Sequence[_File]) -> None:
        self._gate.wait(self._cancel)
        files = self._within(files)
        staged = self._writer.stage_many([file.parcel for file in files])
        for file, entry in zip(files, staged, strict=True):
            if isinstance(entry, TuiSyncError):
                file.result = entry
            elif entry.size == len(file.parcel.data):
                file.staged = entry

    def _within(self, files: Sequence[_File]) -> list[_File]:
        """Those whose folders are still folders; the others have drifted."""
        wrong = self._parents.look([file.item.path for file in files])
        for file in files:
            if file.item.path in wrong:
                file.staged, file.result = None, wrong[file.item.path]
        return [file for file in files if file.item.path not in wrong]

    def _verify(self, files: Sequence[_File]) -> None:
        aim = self._verifier.aim(SMALL)
        if not verify.needs_digest(aim) or not files:
            return
        unread = list(files) if aim is Verify.READBACK else self._compare_digests(files)
        if not unread:
            return
        again = self._target.fetch_many(
            [file.parcel.temporary for file in unread], [len(file.parcel.data) for file in unread]
        )
        for file, found in zip(unread, again, strict=True):
            if isinstance(found, Fetched) and found.data == file.parcel.data:
                file.reached = Verify.READBACK
            else:
                file.staged = None

    def _compare_digests(self, files: Sequence[_File]) -> list[_File]:
        """Verify by the target's own digests, and return what has to be read in place of that."""
        unread = []
        own = self._verifier.own_digests([file.staged for file in files if file.staged is not None])
        for file, digest in zip(files, own, strict=True):
            if digest is not None and digest.lower() == hashlib.new(ALGORITHM, file.parcel.data).hexdigest():
                file.reached = Verify.CHECKSUM
            elif digest is not None:
                file.staged = None
            elif not self._verifier.optional:
                unread.append(file)
        return unread

    def _back_up(self, files: Sequence[_File]) -> None:
        """What cannot be kept is not replaced; where it would have to be moved for that, the file is tried on
        its own."""
        if self._backups is None:
            return
        files = self._within([file for file in files if file.item.action is Action.UPDATE])
        for file, error in zip(files, self._backups.keep_many([file.item for file in files]), strict=True):
            file.kept = error is None
            if error is not None:
                file.staged = None
                file.result = None if isinstance(error, NotSupported) else error

    def _drop_backups(self, items: Sequence[Item]) -> None:
        if self._backups is not None and items:
            self._backups.drop(items)

    def _check_targets(self, files: Sequence[_File]) -> None:
        """What is to be replaced has to be there as planned; that nothing is where a new file goes, the
        target itself sees to when it publishes."""
        files = [file for file in files if file.staged is not None and file.item.target is not None]
        found = self._target.stat_many([file.item.path for file in files]) if files else []
        for file, entry in zip(files, found, strict=True):
            if isinstance(entry, TuiSyncError) and not isinstance(entry, NotFound):
                file.staged = None
                continue
            try:
                preconditions.check_found(file.item.target, entry if isinstance(entry, Entry) else None)
            except Drifted as drifted:
                file.staged, file.result = None, drifted

    def _publish(self, files: Sequence[_File]) -> None:
        files = self._within([file for file in files if file.staged is not None])
        published = self._writer.publish_many([file.parcel for file in files])
        features = self._target.features
        for file, entry in zip(files, published, strict=True):
            assert file.staged is not None
            known = entry if isinstance(entry, Entry) else file.staged
            copied = Copied(known, len(file.parcel.data), verify.with_storage(file.reached, features))
            if isinstance(entry, Entry):
                file.result = copied
            elif isinstance(entry, ConnectionLost | TimedOut | PermissionDenied):
                # Denied may be no more than the look at what has been published.
                file.result = Earlier(unanswered=copied)
            elif isinstance(entry, AlreadyExists):
                file.result = Drifted("something has appeared on the target since the plan was made")
            else:
                file.result = entry


def _as_planned(planned: Entry, found: Fetched) -> bool:
    return (
        len(found.data) == planned.size
        and preconditions.same(planned, found.before)
        and preconditions.same(planned, found.after)
    )
