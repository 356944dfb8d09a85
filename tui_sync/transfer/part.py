"""One run carried out in parts, each by an engine and a ledger of its own: on several machines, one after the
other or side by side.

A part may be tried again after it was cut short, on another machine too. What the earlier attempt got done is
then recognised by what is there, for its last words may be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Reader
from tui_sync.connectors.digest import digest
from tui_sync.errors import StorageError
from tui_sync.ledger import Ledger
from tui_sync.model import CompareBy, Entry, Item, Kind, Outcome, Status, SyncOptions, Verify
from tui_sync.planning.compare import equal
from tui_sync.transfer import preconditions
from tui_sync.transfer.transform import transform

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Part:
    """What an engine has to know of the whole run that it carries out a part of.

    ``run`` is the whole run's number in the pair's ledger, by which its folder in the trash is named. Folders
    wait for their attributes until the ``last`` part, which also clears away the ``leftovers`` that the scan
    saw. ``again``: an earlier attempt at this part was made. ``unmade`` are planned folders that could not be
    made; ``uncopied`` is the first path, or other part, that was not done: nothing is deleted then.
    """

    run: int
    last: bool = False
    again: bool = False
    leftovers: tuple[str, ...] = ()
    unmade: frozenset[str] = frozenset()
    uncopied: str | None = None


class DoneBefore:
    """Tells which files an earlier attempt at the same plan has copied.

    ``stat_many`` looks at the target, as ``Reader.stat_many``. Memory: a few hundred bytes for each file that
    the ledger knows to be done.
    """

    def __init__(
        self,
        ledger: Ledger,
        run_id: int,
        *,
        source: Reader,
        target: Reader,
        stat_many: Callable[[Sequence[str]], list[Entry | StorageError]],
        options: SyncOptions,
        cancel: CancelToken,
    ) -> None:
        self._ledger = ledger
        self._source = source
        self._target = target
        self._stat_many = stat_many
        self._options = options
        self._cancel = cancel
        self._precision_ns = max(source.features.mtime_precision_ns, target.features.mtime_precision_ns)
        self._told: dict[int, tuple[Verify, float]] = {
            outcome.item.seq: (outcome.verified, outcome.elapsed_s)
            for run in ledger.runs()
            if run.run_id != run_id
            for outcome in ledger.outcomes(run.run_id, statuses={Status.DONE})
        }

    def among(self, items: Iterable[Item]) -> Iterator[Outcome]:
        """The outcomes of those items, which are files to be copied, that need not be copied any more.

        Raises what looking at the storage raises.
        """
        stream = iter(items)
        while batch := list(islice(stream, _AT_ONCE)):
            self._cancel.check()
            for item, found in zip(batch, self._stat_many([item.path for item in batch]), strict=True):
                if isinstance(found, Entry) and self._is_done(item, found):
                    verified, elapsed_s = self._told.get(item.seq, (Verify.SIZE, 0.0))
                    yield Outcome(
                        item,
                        Status.DONE,
                        bytes=found.size,
                        elapsed_s=elapsed_s,
                        verified=verified,
                        synced=found,
                    )

    def _is_done(self, item: Item, found: Entry) -> bool:
        planned = item.source
        if planned is None or (item.target is not None and preconditions.same(item.target, found)):
            return False
        synced = self._ledger.synced(item.path)
        if synced is not None and (synced.source, synced.target) == (planned.identity, found.identity):
            return True
        if found.kind is not planned.kind:
            return False
        if planned.kind is Kind.SYMLINK:
            return found.link_target == planned.link_target
        same_content = transform(self._options.transform).identity
        if self._options.compare is CompareBy.CHECKSUM and same_content:
            return found.size == planned.size and self._same_content(item, planned)
        return equal(
            planned,
            found,
            by=self._options.compare,
            precision_ns=self._precision_ns,
            sizes_comparable=same_content,
        )

    def _same_content(self, item: Item, planned: Entry) -> bool:
        try:
            return digest(self._source, planned.path, self._cancel) == digest(
                self._target, item.path, self._cancel
            )
        except StorageError:
            # The action itself will meet whatever is wrong.
            return False
