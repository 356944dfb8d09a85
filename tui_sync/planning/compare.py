"""Lock-step merge of two sorted scans: what differs, path by path, and why."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

from tui_sync.connectors.base import Listed
from tui_sync.errors import Cancelled, ConnectionLost, NotFound, TuiSyncError
from tui_sync.model import Change, ChangeKind, CompareBy, Entry, Kind, Synced
from tui_sync.planning.merge import EqualFiles, Pair, merged
from tui_sync.planning.scanned import Scanned, Siblings

Known: TypeAlias = Callable[[str], Synced | None]
Digests: TypeAlias = Callable[[str, str], tuple[str, str]]
Times: TypeAlias = Callable[[Entry, Entry], tuple[Entry, Entry]]

# Files whose content or time is asked for at once, and paths that wait in order behind the first of them.
CHECKSUM_WORKERS = 4
TIME_WORKERS = 32
LOOK_AHEAD = 256

EXCLUDED = "excluded"
IN_EXCLUDED = "in an excluded folder"
NOT_FOLLOWED = "symbolic link, not followed"
_UNITS = (("day", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Links:
    """What becomes of symbolic links. ``copied``: they are compared. ``why_not`` tells by its path why one on
    the source is left out; the ``faults`` among its answers are errors."""

    copied: bool = False
    why_not: Callable[[str], str] = lambda path: NOT_FOLLOWED
    faults: frozenset[str] = frozenset()


def compare(
    source: Iterable[Scanned | Siblings],
    target: Iterable[Scanned | Siblings],
    *,
    by: CompareBy,
    precision_ns: int,
    known: Known,
    digests: Digests | None,
    sizes_comparable: bool = True,
    times: Times | None = None,
    links: Links = Links(),
) -> Iterator[Change | EqualFiles]:
    """Every path of both sides exactly once, in the order of ``names.sort_key``. Files of one folder that the
    listings show to be equal come together.

    Both sides must come in that order. ``precision_ns`` is the coarser one of both sides: times closer than
    that are the same. ``known`` tells what was last synced under a path. ``digests`` gives the content
    digests of a source path and a target path, called from other threads; it must end when the sync is
    cancelled. ``sizes_comparable`` is False where the content is transformed on its way: then neither sizes
    nor digests are compared. ``times`` fills in the times that listings did not show, at a request for each:
    it is asked where nothing else can answer, from other threads, and ends as ``digests`` does. Symbolic
    links are left out unless ``links`` has them compared, by their texts.

    How two files are found equal:

    - ``auto``: same size and same time, or same size and same ETag;
    - ``size``, ``mtime``: by that alone;
    - ``checksum``: same size and same digest, whatever the times say and the ledger knows.

    Where ``auto`` or ``mtime`` need a time that a side does not know, or sizes are not comparable, the
    question stays open. Unless by checksum, what differs or stays open is still equal if both sides are what
    they were when this source file was last synced to this target file. What remains open is taken for
    modified: copying once too often loses nothing. Where a place knows no times, what was last synced is
    recognised by its size.
    """
    judge = _Judge(by, max(1, precision_ns), known, sizes_comparable)
    if by is CompareBy.CHECKSUM and sizes_comparable:
        if digests is None:
            raise ValueError("comparing by checksum needs digests")
        pairs = _overruled(merged(source, target), links)
        return _ahead(pairs, judge.without_reading, _ByChecksum(judge, digests), CHECKSUM_WORKERS)
    pairs = _overruled(merged(source, target, judge.same, judge.why_equal), links)
    if times is not None:
        return _ahead(pairs, judge.without_times, _ByTime(judge, times), TIME_WORKERS)
    return (pair if isinstance(pair, Change | EqualFiles) else judge.files(*pair) for pair in pairs)


def equal(
    source: Entry, target: Entry, *, by: CompareBy, precision_ns: int, sizes_comparable: bool = True
) -> bool:
    """Whether ``compare`` takes two files for equal by what their entries say; not by checksum, which they do
    not say."""
    judge = _Judge(by, max(1, precision_ns), lambda _path: None, sizes_comparable)
    return judge.files(source, target, target.path).kind is ChangeKind.EQUAL


_Files: TypeAlias = tuple[Entry, Entry, str]


def _overruled(pairs: Iterable[Pair | EqualFiles], links: Links) -> Iterator[Change | EqualFiles | _Files]:
    """The changes that follow from kinds and errors alone; of the others the two files to be compared.

    A path that is left out or unusable as a whole decides for all that is below it, on either side.
    """
    above: Change | None = None
    for pair in pairs:
        if isinstance(pair, EqualFiles):
            if above is not None and f"{pair.folder}/".startswith(f"{above.path}/"):
                yield from (_below(above, one) for one in pair.pairs())
                continue
            above = None
            yield pair
            continue
        if above is not None:
            if pair.path.startswith(f"{above.path}/"):
                yield _below(above, pair)
                continue
            above = None
        change = _by_kind(pair, links)
        if change is None:
            assert pair.source is not None
            assert pair.target is not None
            yield pair.source.entry, pair.target.entry, pair.path
            continue
        yield change
        if change.kind in (ChangeKind.ERROR, ChangeKind.EXCLUDED, ChangeKind.TYPE_CHANGED):
            above = change


def _below(above: Change, pair: Pair) -> Change:
    if any(side is not None and side.excluded for side in (pair.source, pair.target)):
        return _change(pair, ChangeKind.EXCLUDED, EXCLUDED)
    if above.kind is ChangeKind.ERROR:
        return _change(pair, ChangeKind.ERROR, "in a folder that was not listed in full")
    if above.kind is ChangeKind.EXCLUDED:
        return _change(pair, ChangeKind.EXCLUDED, IN_EXCLUDED)
    side = "target" if pair.source is not None else "source"
    return _change(pair, ChangeKind.TYPE_CHANGED, f"in a folder that is no folder on {side}")


def _by_kind(pair: Pair, links: Links) -> Change | None:
    """The change that needs no look at size, time or content; None for two files."""
    source, target = pair.source, pair.target
    for side, scanned in (("source", source), ("target", target)):
        if scanned is not None and scanned.error:
            return _change(pair, ChangeKind.ERROR, f"{side}: {scanned.error}")._replace(complete=False)
    if pair.path == "":
        return _with_completeness(pair, _change(pair, ChangeKind.EQUAL, "the root"))
    if source is None:
        assert target is not None
        return _one_sided(pair, target, ChangeKind.EXTRA, "only on target", links)
    if target is None:
        return _one_sided(pair, source, ChangeKind.NEW, "only on source", links)
    if source.excluded:
        return _change(pair, ChangeKind.EXCLUDED, EXCLUDED)
    left_out = _left_out(pair, source.entry, links)
    if left_out is not None:
        return left_out
    if source.entry.kind is not target.entry.kind:
        if target.excluded:
            return _change(pair, ChangeKind.EXCLUDED, EXCLUDED)
        reason = f"{_a(source.entry.kind)} on source, {_a(target.entry.kind)} on target"
        return _change(pair, ChangeKind.TYPE_CHANGED, reason)
    if source.entry.kind is Kind.SYMLINK:
        text, other = source.entry.link_target, target.entry.link_target
        if text == other:
            return _change(pair, ChangeKind.EQUAL, "same link")
        return _change(pair, ChangeKind.MODIFIED, f"link to “{other}” -> “{text}”")
    if source.entry.kind is Kind.DIRECTORY:
        return _with_completeness(pair, _change(pair, ChangeKind.EQUAL, "folder on both sides"))
    # A renamed file may be excluded under its target's name only: its own side has decided.
    return None


def _one_sided(pair: Pair, scanned: Scanned, kind: ChangeKind, reason: str, links: Links) -> Change:
    if scanned.excluded:
        return _change(pair, ChangeKind.EXCLUDED, EXCLUDED)
    left_out = _left_out(pair, scanned.entry, links)
    if left_out is not None:
        return left_out
    return _with_completeness(pair, _change(pair, kind, reason))


def _with_completeness(pair: Pair, change: Change) -> Change:
    """``change`` with a note where a side's directory holds names that had to be refused."""
    partly = [
        side
        for side, scanned in (("source", pair.source), ("target", pair.target))
        if scanned is not None and not scanned.complete
    ]
    if not partly:
        return change
    reason = f"{change.reason}, holds an unusable name on {' and '.join(partly)}"
    return change._replace(reason=reason, complete=False)


def _change(pair: Pair, kind: ChangeKind, reason: str) -> Change:
    return Change(
        pair.path,
        kind,
        reason,
        pair.source.entry if pair.source is not None else None,
        pair.target.entry if pair.target is not None else None,
    )


def _left_out(pair: Pair, entry: Entry, links: Links) -> Change | None:
    """The change of what is no file, folder or link to be synced."""
    if entry.kind is Kind.OTHER:
        return _change(pair, ChangeKind.EXCLUDED, "neither file nor folder, not synced")
    if entry.kind is not Kind.SYMLINK or (links.copied and entry.link_target):
        return None
    if pair.source is None or pair.source.entry is not entry:
        return _change(pair, ChangeKind.EXCLUDED, NOT_FOLLOWED)
    why = links.why_not(entry.path)
    if why in links.faults:
        return _change(pair, ChangeKind.ERROR, why)._replace(complete=False)
    return _change(pair, ChangeKind.EXCLUDED, why)


def _a(kind: Kind) -> str:
    return {
        Kind.FILE: "a file",
        Kind.DIRECTORY: "a folder",
        Kind.SYMLINK: "a symbolic link",
        Kind.OTHER: "a special file",
    }[kind]


class _Judge:
    """Decides on pairs of files."""

    def __init__(self, by: CompareBy, precision_ns: int, known: Known, sizes_comparable: bool) -> None:
        self._precision_ns = precision_ns
        self._known = known
        self._sizes = sizes_comparable and by in (CompareBy.AUTO, CompareBy.SIZE, CompareBy.CHECKSUM)
        # Without sizes nothing but the times can answer, whatever was asked for.
        self._times = by in (CompareBy.AUTO, CompareBy.MTIME) or not sizes_comparable

    def files(self, source: Entry, target: Entry, path: str) -> Change:
        """By size and time, as far as they are asked for, and what the ledger knows."""
        return self._equal(source, target, path) or self.differing(source, target, path)

    def without_times(self, source: Entry, target: Entry, path: str) -> Change | None:
        """As ``files``, but None where only a time that is not known yet can answer."""
        equal = self._equal(source, target, path)
        if equal is not None:
            return equal
        if self._same_size(source, target) and self._times and _delta(source, target) is None:
            return None
        return self.differing(source, target, path)

    def without_reading(self, source: Entry, target: Entry, path: str) -> Change | None:
        """What can be said of two files without their content; None where that has to be compared."""
        if source.size != target.size:
            return self.differing(source, target, path)
        return None if source.size else Change(path, ChangeKind.EQUAL, "both empty", source, target)

    def same(self, source: Sequence[Listed], target: Sequence[Listed]) -> int:
        """See ``merge.Same``. What is equal for ``why_equal``, and for no other reason."""
        # Mostly the listings are one and the same.
        if source == target and all(
            child.kind is Kind.FILE and child.mtime_ns is not None for child in source
        ):
            return len(source)
        count = 0
        for one, other in zip(source, target, strict=False):
            if (
                one.name != other.name
                or one.kind is not Kind.FILE
                or other.kind is not Kind.FILE
                or not self._alike(one, other)
            ):
                break
            count += 1
        return count

    def _alike(self, source: Entry | Listed, target: Entry | Listed) -> bool:
        """Whether size and time, as far as they are asked for, are the same."""
        if self._sizes and source.size != target.size:
            return False
        one, other = source.mtime_ns, target.mtime_ns
        return not self._times or (
            one is not None and other is not None and abs(one - other) < self._precision_ns
        )

    def _equal(self, source: Entry, target: Entry, path: str) -> Change | None:
        if self._alike(source, target):
            return Change(path, ChangeKind.EQUAL, self.why_equal, source, target)
        if self._sizes and source.size == target.size and source.etag and source.etag == target.etag:
            return Change(path, ChangeKind.EQUAL, "same size and ETag", source, target)
        synced = self._known(path)
        if synced is not None and (synced.source, synced.target) == (source.identity, target.identity):
            return Change(path, ChangeKind.EQUAL, "as last synced", source, target)
        return None

    def _same_size(self, source: Entry, target: Entry) -> bool:
        return not self._sizes or source.size == target.size

    def differing(self, source: Entry, target: Entry, path: str, also: str = "") -> Change:
        """The change of two files that are not, or cannot be shown to be, the same."""
        delta = _delta(source, target)
        reasons = [also] if also else []
        if self._sizes and source.size != target.size:
            reasons.append(f"size {target.size} -> {source.size} bytes")
        kind = ChangeKind.MODIFIED
        if delta is None:
            if not reasons:
                reasons.append(f"{_without_time(source, target)} no time to compare")
        elif delta >= self._precision_ns:
            reasons.append(f"source is newer by {_span(delta)}")
        elif -delta >= self._precision_ns:
            kind = ChangeKind.TARGET_NEWER
            reasons.append(f"target is newer by {_span(-delta)}")
        return Change(path, kind, ", ".join(reasons), source, target)

    @property
    def why_equal(self) -> str:
        """The reason where size and time are the same."""
        if self._sizes and self._times:
            return "same size and time"
        return "same size" if self._sizes else "same time"


def _delta(source: Entry, target: Entry) -> int | None:
    """How much newer the source is, in nanoseconds; None where a side does not know its time."""
    if source.mtime_ns is None or target.mtime_ns is None:
        return None
    return source.mtime_ns - target.mtime_ns


def _without_time(source: Entry, target: Entry) -> str:
    if source.mtime_ns is None and target.mtime_ns is None:
        return "both sides have"
    return "source has" if source.mtime_ns is None else "target has"


def _span(ns: int) -> str:
    """A length of time for people: its largest unit, rounded down."""
    for unit, seconds in _UNITS:
        count = ns // (seconds * _NS)
        if count:
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}"
    return "less than 1 s"


class _ByChecksum:
    """Compares two files of the same size by their content."""

    def __init__(self, judge: _Judge, digests: Digests) -> None:
        self._judge = judge
        self._digests = digests

    def __call__(self, source: Entry, target: Entry, path: str) -> Change:
        try:
            one, other = self._digests(source.path, target.path)
        except (Cancelled, ConnectionLost):
            raise
        except TuiSyncError as error:
            return Change(path, ChangeKind.ERROR, f"not compared: {error}", source, target)
        if one == other:
            return Change(path, ChangeKind.EQUAL, "same checksum", source, target)
        return self._judge.differing(source, target, path, also="same size, other checksum")


class _ByTime:
    """Compares two files once the times are there that their listings did not show."""

    def __init__(self, judge: _Judge, times: Times) -> None:
        self._judge = judge
        self._times = times

    def __call__(self, source: Entry, target: Entry, path: str) -> Change:
        try:
            timed = self._times(source, target)
        except NotFound:
            # Gone since it was listed, which is the run's to find out.
            return self._judge.files(source, target, path)
        except (Cancelled, ConnectionLost):
            raise
        except TuiSyncError as error:
            return Change(path, ChangeKind.ERROR, f"not compared: {error}", source, target)
        return self._judge.files(*timed, path)


def _ahead(
    pairs: Iterable[Change | EqualFiles | _Files],
    at_once: Callable[[Entry, Entry, str], Change | None],
    later: Callable[[Entry, Entry, str], Change],
    workers: int,
) -> Iterator[Change | EqualFiles]:
    """Changes in order, while a few threads see to the files that come next and need it."""
    ahead: deque[Change | EqualFiles | Future[Change]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="compare")
    running = 0
    try:
        for pair in pairs:
            if isinstance(pair, Change | EqualFiles):
                ahead.append(pair)
            else:
                change = at_once(*pair)
                running += change is None
                ahead.append(pool.submit(later, *pair) if change is None else change)
            while ahead and (
                not isinstance(ahead[0], Future)
                or len(ahead) >= LOOK_AHEAD
                or running > 2 * workers
                or ahead[0].done()
            ):
                head = ahead.popleft()
                running -= isinstance(head, Future)
                yield head.result() if isinstance(head, Future) else head
        for head in ahead:
            yield head.result() if isinstance(head, Future) else head
    finally:
        # What is being read ends by the digests' own cancel token, or by its connector's close.
        pool.shutdown(wait=False, cancel_futures=True)
