"""Changes to items: what the run does, in which order, and whether it may."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tui_sync.errors import StorageError
from tui_sync.model import (
    Action,
    Change,
    ChangeKind,
    DeleteLimit,
    Entry,
    Guard,
    Item,
    Kind,
    Mode,
    Symlinks,
    SyncOptions,
    Totals,
)
from tui_sync.names import printable
from tui_sync.planning.compare import EXCLUDED, IN_EXCLUDED
from tui_sync.planning.filters import Filters
from tui_sync.planning.folding import FoldedNames
from tui_sync.planning.merge import EqualFiles


@dataclass
class PlanDraft:
    """A plan but for its items, which went to the caller one by one."""

    totals: Totals
    guards: tuple[Guard, ...]


def build(
    changes: Iterable[Change | EqualFiles],
    options: SyncOptions,
    *,
    add: Callable[[Item], None],
    keep_equal: bool,
    free_space: Callable[[], int | None],
    target_exists: bool,
    notes: Sequence[Guard] = (),
    occupied: Callable[[str], bool] = lambda folder: False,
    folds: Callable[[], bool | None] = lambda: None,
) -> PlanDraft:
    """Turn changes, in the order of ``names.sort_key``, into items, handed to ``add`` as they are decided.

    ``seq`` is the place in that order, so that a directory comes before what is in it; the items of
    directories that depend on what is in them are added after it. Equal and excluded paths become items
    only with ``keep_equal``. Every path counts in one of the totals (``create`` … ``conflicts``), equal
    directories in none: ``unchanged`` are files. ``conflicts`` are the paths of a changed type or with an
    error; ``skip`` is whatever else stays as it is.

    With include patterns a directory is made or deleted only where something in it is, or where a pattern
    matches the directory itself. ``occupied`` tells of a folder on the target, once all in it has come, that
    it holds temporary files of another tui-sync: it stays, for it would not be empty.

    ``free_space`` and ``folds`` (whether the target takes names that differ in case for one) are asked where
    it matters; None is no answer. Names that would collide refuse the plan where the target is known to fold
    them. Where nobody knows, no name that is taken is replaced by the run either.
    """
    builder = _Builder(options, add, keep_equal, occupied)
    if not target_exists:
        builder.make_root()
    for change in changes:
        if isinstance(change, EqualFiles):
            builder.take_equal(change)
        else:
            builder.take(change)
    builder.end()
    totals = _totals(builder)
    return PlanDraft(totals, (*_guards(builder, totals, options, free_space, folds), *notes))


@dataclass(slots=True)
class _Tally:
    """How many, how many bytes, and the first path as an example."""

    count: int = 0
    bytes: int = 0
    first: str = ""

    def add(self, path: str, size: int = 0, count: int = 1) -> None:
        self.first = self.first or path
        self.count += count
        self.bytes += size


@dataclass(slots=True)
class _Open:
    """A directory whose subtree is being read. ``pending`` is its change while its fate depends on that.

    ``complete``: it and all above it were listed in full. ``wanted``: it matters even without what is in it.
    ``used``: something in it is in the plan. ``kept``: something in it stays on the target. ``names``: what
    the source has in it.
    """

    prefix: str
    seq: int
    complete: bool
    wanted: bool = True
    pending: Change | None = None
    used: bool = False
    kept: bool = False
    names: FoldedNames = field(default_factory=FoldedNames)


class _Builder:
    def __init__(
        self,
        options: SyncOptions,
        add: Callable[[Item], None],
        keep_equal: bool,
        occupied: Callable[[str], bool],
    ) -> None:
        self._occupied = occupied
        self._mirror = options.mode is Mode.MIRROR
        self._backup = options.backup
        self._add = add
        self._keep_equal = keep_equal
        self._filters = Filters(options.include) if options.include else None
        self._seq = 0
        self._open = [_Open("", 0, complete=True)]
        self.actions = {action: _Tally() for action in Action}
        self.unchanged = 0
        self.conflicts = 0
        self.source = _Tally()
        self.target = _Tally()
        self.deleted_files = 0
        self.growth = 0
        self.largest_update = 0
        self.type_conflicts = _Tally()
        self.errors = _Tally()
        self.newer = _Tally()
        self.collisions = _Tally()
        self.links_out = _Tally()
        self.leading_out = _Tally()
        self.specials = _Tally()
        # Where links are copied they can be lost as files can.
        self._copies_links = options.symlinks is Symlinks.COPY
        self._counted = (Kind.FILE, Kind.SYMLINK) if self._copies_links else (Kind.FILE,)

    def make_root(self) -> None:
        root = Change("", ChangeKind.NEW, "the target folder is missing", Entry("", Kind.DIRECTORY))
        self._act(0, Action.MKDIR, root)

    def take(self, change: Change) -> None:
        self._seq += 1
        above = self._reach(change.path)
        if change.path == "":
            above.complete = above.complete and change.complete
            return
        self._count(change, above)
        if Kind.DIRECTORY in (_kind(change.source), _kind(change.target)):
            here = _Open(
                f"{change.path}/",
                self._seq,
                complete=above.complete and change.complete,
                wanted=self._filters is None or self._filters.wants_directory(change.path),
            )
            self._open.append(here)
            self._directory(change, here)
        else:
            self._file(change, deletable=above.complete)

    def take_equal(self, files: EqualFiles) -> None:
        """What ``take`` does for each of their changes."""
        if self._keep_equal:
            for change in files.changes():
                self.take(change)
            return
        count = len(files.source)
        first = files.path(files.source[0].name)
        self._seq += count
        above = self._reach(first)
        self.source.add(first, sum(file.size for file in files.source), count)
        self.target.add(first, sum(file.size for file in files.target), count)
        for name in above.names.add_all([file.name for file in files.source]):
            self.collisions.add(files.path(name))
        self.unchanged += count
        for each in self._open:
            each.kept = True

    def _reach(self, path: str) -> _Open:
        """The directory that holds the path, once those that are passed with it are closed."""
        while not path.startswith(self._open[-1].prefix):
            self._close(self._open.pop())
        return self._open[-1]

    def end(self) -> None:
        """After the last change."""
        while len(self._open) > 1:
            self._close(self._open.pop())

    def _count(self, change: Change, above: _Open) -> None:
        if change.kind is ChangeKind.EXCLUDED:
            if change.source is not None and change.reason not in (EXCLUDED, IN_EXCLUDED):
                kind = change.source.kind
                if kind is Kind.SYMLINK:
                    self.links_out.add(change.path)
                elif kind is Kind.OTHER:
                    self.specials.add(change.path)
            return
        if self._copies_links and change.source is not None and leads_out(change.source):
            self.leading_out.add(change.path)
        for entry, tally in ((change.source, self.source), (change.target, self.target)):
            if entry is not None and entry.kind in self._counted:
                tally.add(change.path, entry.size)
        if change.source is not None:
            name = change.path.rpartition("/")[2]
            for _ in above.names.add_all([name]):
                self.collisions.add(change.path)

    def _directory(self, change: Change, here: _Open) -> None:
        source_only = change.kind is ChangeKind.NEW or (
            change.kind is ChangeKind.TYPE_CHANGED and _kind(change.source) is Kind.DIRECTORY
        )
        if source_only:
            here.pending = change
            if here.wanted:
                self._use()
        elif change.kind is ChangeKind.EXTRA and self._mirror:
            here.pending = change
        else:
            self._stay(here.seq, change)

    def _file(self, change: Change, *, deletable: bool) -> None:
        if change.kind is ChangeKind.NEW:
            self._use()
            self._act(self._seq, Action.CREATE, change)
            self.growth += _size(change.source)
        elif change.kind in (ChangeKind.MODIFIED, ChangeKind.TARGET_NEWER):
            if change.kind is ChangeKind.TARGET_NEWER:
                self.newer.add(change.path)
            self._act(self._seq, Action.UPDATE, change)
            if self._backup:
                self.growth += _size(change.source)
            else:
                self.growth += max(0, _size(change.source) - _size(change.target))
                self.largest_update = max(self.largest_update, _size(change.source))
        elif change.kind is ChangeKind.EXTRA and self._mirror and deletable:
            self._use()
            self._act(self._seq, Action.DELETE, change)
            self.deleted_files += 1
        else:
            if change.kind is ChangeKind.TYPE_CHANGED and _kind(change.source) is Kind.FILE:
                self._use()
            self._stay(self._seq, change)

    def _close(self, here: _Open) -> None:
        """Decide on a directory that depended on what is in it, now that all of that is known."""
        change = here.pending
        if change is None:
            return
        if not (here.wanted or here.used):
            nothing = change._replace(kind=ChangeKind.EXCLUDED, reason="nothing in it is included")
            self._stay(here.seq, nothing)
        elif here.kept or not here.complete:
            self._stay(here.seq, change)
        elif self._occupied(change.path):
            self._stay(here.seq, change, "holds temporary files of another tui-sync")
        else:
            self._use()
            self._act(here.seq, Action.DELETE, change)

    def _use(self) -> None:
        """Something in the open directories is in the plan: so are those that are only on the source."""
        for each in self._open:
            each.used = True
            change = each.pending
            if change is not None and change.source is not None:
                each.pending = None
                if change.kind is ChangeKind.NEW:
                    self._act(each.seq, Action.MKDIR, change)
                else:
                    self._stay(each.seq, change)

    def _stay(self, seq: int, change: Change, why: str = "") -> None:
        """Leave the path as it is, and with it the directories above."""
        for each in self._open:
            each.kept = True
        if change.kind is ChangeKind.EQUAL:
            self.unchanged += _kind(change.source) in (Kind.FILE, Kind.SYMLINK)
        elif change.kind in (ChangeKind.TYPE_CHANGED, ChangeKind.ERROR):
            self.conflicts += 1
            # What lies below the path in question is on one side only.
            if not change.complete or (change.source is not None and change.target is not None):
                type_changed = change.kind is ChangeKind.TYPE_CHANGED
                (self.type_conflicts if type_changed else self.errors).add(change.path)
        else:
            self.actions[Action.SKIP].add(change.path)
            if change.kind is ChangeKind.EXTRA and self._mirror:
                folder = _kind(change.target) is Kind.DIRECTORY
                in_it = "not all in it can be deleted" if folder else "its folder was not listed in full"
                why = why or in_it
                change = change._replace(reason=f"{change.reason}, kept: {why}")
        if self._keep_equal or change.kind not in (ChangeKind.EQUAL, ChangeKind.EXCLUDED):
            self._item(seq, Action.SKIP, change)

    def _act(self, seq: int, action: Action, change: Change) -> None:
        size = change.target if action is Action.DELETE else change.source
        self.actions[action].add(change.path, _size(size))
        self._item(seq, action, change)

    def _item(self, seq: int, action: Action, change: Change) -> None:
        self._add(Item(seq, action, change.path, change.kind, change.reason, change.source, change.target))


def leads_out(entry: Entry) -> bool:
    """Whether the text of a link leads out of the tree it is in, or names an absolute path."""
    if entry.kind is not Kind.SYMLINK or not entry.link_target:
        return False
    depth = entry.path.count("/")
    for name in entry.link_target.split("/"):
        depth += -1 if name == ".." else name not in ("", ".")
        if depth < 0:
            return True
    return entry.link_target.startswith("/")


def _kind(entry: Entry | None) -> Kind | None:
    return entry.kind if entry is not None else None


def _size(entry: Entry | None) -> int:
    return entry.size if entry is not None else 0


def _totals(built: _Builder) -> Totals:
    actions = built.actions
    return Totals(
        create=actions[Action.CREATE].count,
        update=actions[Action.UPDATE].count,
        delete=actions[Action.DELETE].count,
        mkdir=actions[Action.MKDIR].count,
        skip=actions[Action.SKIP].count,
        unchanged=built.unchanged,
        conflicts=built.conflicts,
        create_bytes=actions[Action.CREATE].bytes,
        update_bytes=actions[Action.UPDATE].bytes,
        delete_bytes=actions[Action.DELETE].bytes,
        source_files=built.source.count,
        source_bytes=built.source.bytes,
        target_files=built.target.count,
        target_bytes=built.target.bytes,
    )


def _guards(
    built: _Builder,
    totals: Totals,
    options: SyncOptions,
    free_space: Callable[[], int | None],
    folds: Callable[[], bool | None],
) -> Iterator[Guard]:
    if options.mode is Mode.MIRROR and totals.target_files and not totals.source_files:
        yield Guard(
            "empty-source",
            f"The source holds no files, and the target {_files(totals.target_files)}: "
            f"a mirror would empty the target.",
        )
    yield from delete_guard(built.deleted_files, totals.target_files, options.max_delete)
    yield from _space_guard(built, options, free_space)
    if built.type_conflicts.count:
        yield Guard(
            "type-conflict",
            f"{_paths(built.type_conflicts)} a file on one side and something else on the other: "
            f"move or exclude it.",
        )
    if built.errors.count:
        yield Guard(
            "errors",
            f"{_paths(built.errors)} unusable or could not be read in full: there nothing is created, "
            f"updated or deleted.",
            blocking=False,
        )
    if built.links_out.count:
        how = (
            "left out: see symlinks"
            if options.symlinks is Symlinks.SKIP
            else "left out: leading nowhere or out of the source"
            if options.symlinks is Symlinks.FOLLOW
            else "left out: the target has none, or it cannot be read"
        )
        many = built.links_out.count > 1
        yield Guard(
            "links",
            f"{_paths(built.links_out)} {'symbolic links' if many else 'a symbolic link'}, {how}.",
            blocking=False,
        )
    if built.leading_out.count:
        many = built.leading_out.count > 1
        yield Guard(
            "links-lead-out",
            f"{_paths(built.leading_out)} {'symbolic links' if many else 'a symbolic link'} to something "
            f"outside of the source: on the target, too, with the same text.",
            blocking=False,
        )
    if built.specials.count:
        yield Guard(
            "specials",
            f"{_paths(built.specials)} neither file nor folder (socket, device or pipe) and left out.",
            blocking=False,
        )
    if built.newer.count:
        yield Guard(
            "target-newer",
            f"{_paths(built.newer)} newer on the target and will be replaced.",
            blocking=False,
        )
    if built.collisions.count:
        folded = folds()
        kept = "the target ignores this and" if folded else "a target that ignores this"
        remedy = ": rename or exclude it" if folded else ""
        yield Guard(
            "collision",
            f"{_paths(built.collisions)} different from another name only in upper and lower case or in "
            f"Unicode form: {kept} keeps only one of them{remedy}.",
            blocking=bool(folded),
        )


def delete_guard(deleted: int, on_target: int, limit: DeleteLimit) -> Iterator[Guard]:
    """What refuses a plan that deletes ``deleted`` of the files on the target. Directories hold nothing by
    themselves: the limit is about files."""
    allowed = limit.value * on_target / 100 if limit.percent else limit.value
    if deleted > allowed:
        yield Guard(
            "max-delete",
            f"{deleted} of {_files(on_target)} on the target would be deleted "
            f"({deleted / on_target:.0%}); the limit is {limit}.",
        )


def _space_guard(
    built: _Builder, options: SyncOptions, free_space: Callable[[], int | None]
) -> Iterator[Guard]:
    """An old file stays until its successor is complete, with a backup beyond that; deletes come last, so
    they make no room."""
    needed = built.growth + built.largest_update
    if not needed:
        return
    try:
        free = free_space()
    except StorageError:
        free = None
    if free is not None and needed > free:
        yield Guard(
            "free-space",
            f"The target has {free:,} bytes free, and up to {needed:,} bytes are needed.",
            # How much is left of a file after a transform is not known beforehand.
            blocking=options.transform == "none",
        )


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"


def _paths(tally: _Tally) -> str:
    """The beginning of a sentence about some paths, with its verb."""
    first = printable(tally.first)
    if tally.count == 1:
        return f"“{first}” is"
    return f"{tally.count:,} paths (the first is “{first}”) are"
