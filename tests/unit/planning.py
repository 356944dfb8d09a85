"""What the planning tests share: a plan of two memory trees, and its naive execution."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tui_sync import names
from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Reader
from tui_sync.connectors.memory import MemoryConnector
from tui_sync.model import (
    Action,
    Change,
    ChangeKind,
    CompareBy,
    Guard,
    Item,
    Kind,
    Symlinks,
    Synced,
    SyncOptions,
)
from tui_sync.planning.compare import Digests, Links, compare
from tui_sync.planning.filters import Filters
from tui_sync.planning.merge import EqualFiles
from tui_sync.planning.plan import PlanDraft, build
from tui_sync.planning.scan import scan
from tui_sync.planning.scanned import Scanned, Siblings, one_by_one

T0 = 1_600_000_000_000_000_000
S = 1_000_000_000


@dataclass
class Planned:
    draft: PlanDraft
    changes: list[Change] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    together: int = 0
    """Files that were passed over together."""

    @property
    def actions(self) -> dict[str, Action]:
        """What changes the target."""
        return {item.path: item.action for item in self.items if item.action is not Action.SKIP}

    @property
    def kinds(self) -> dict[str, ChangeKind]:
        return {change.path: change.kind for change in self.changes}

    def item(self, path: str) -> Item:
        [found] = [item for item in self.items if item.path == path]
        return found

    def guards(self, *, blocking: bool = True) -> set[str]:
        return {guard.code for guard in self.draft.guards if guard.blocking is blocking}

    def guard(self, code: str) -> Guard:
        [found] = [guard for guard in self.draft.guards if guard.code == code]
        return found


def scanned(reader: Reader, filters: Filters | None = None, **more: object) -> list[Scanned]:
    """A scan, each path by itself."""
    return list(one_by_one(together(reader, filters, **more)))


def together(reader: Reader, filters: Filters | None = None, **more: object) -> Iterator[Scanned | Siblings]:
    """A scan as it is."""
    return scan(reader, filters=filters or Filters(), cancel=CancelToken(), **more)  # type: ignore[arg-type]


def plan(
    source: MemoryConnector,
    target: MemoryConnector | None,
    options: SyncOptions | None = None,
    *,
    keep_equal: bool = False,
    known: Callable[[str], Synced | None] = lambda path: None,
    rename: Callable[[str], str] | None = None,
    free: int | None = None,
    notes: Sequence[Guard] = (),
    each_by_itself: bool = False,
    precision_ns: int = 0,
) -> Planned:
    """The plan of a sync of two trees; None as target: its root does not exist. ``each_by_itself``: no files
    are passed over together."""
    options = options or SyncOptions()
    filters = Filters(options.include, options.exclude)
    there = target or MemoryConnector()
    digests: Digests | None = None
    if options.compare is CompareBy.CHECKSUM:

        def digests(one: str, other: str) -> tuple[str, str]:
            return (source.reader().checksum(one, "md5") or "", there.reader().checksum(other, "md5") or "")

    planned = Planned(None)  # type: ignore[arg-type]

    def kept(changes: Iterable[Change | EqualFiles]) -> Iterable[Change | EqualFiles]:
        for change in changes:
            planned.together += len(change.source) if isinstance(change, EqualFiles) else 0
            planned.changes += change.changes() if isinstance(change, EqualFiles) else [change]
            yield change

    listed = scanned if each_by_itself else together
    changes = compare(
        listed(source.reader(), filters, rename=rename),
        listed(there.reader(), filters),
        by=options.compare,
        precision_ns=precision_ns
        or max(source.features.mtime_precision_ns, there.features.mtime_precision_ns),
        known=known,
        digests=digests,
        sizes_comparable=rename is None,
        links=Links(copied=options.symlinks is Symlinks.COPY),
    )
    planned.draft = build(
        kept(changes),
        options,
        add=planned.items.append,
        keep_equal=keep_equal,
        free_space=lambda: free,
        target_exists=target is not None,
        notes=notes,
    )
    return planned


def execute(planned: Planned, source: MemoryConnector, target: MemoryConnector) -> None:
    """Carry the plan out by the book: in order, nothing made without its parent, deletes last and reversed,
    and only what is empty."""
    items = sorted(planned.items, key=lambda item: item.seq)
    for item in items:
        if item.action in (Action.CREATE, Action.UPDATE, Action.MKDIR) and item.path:
            above = names.parent(item.path)
            assert above == "" or target.nodes[above].kind == "directory", f"{item.path}: no parent"
            assert (item.path in target.nodes) == (item.action is Action.UPDATE)
            if item.action is Action.MKDIR:
                target.add_dir(item.path)
            else:
                assert item.source is not None
                node = source.nodes[item.source.path]
                if node.kind is Kind.SYMLINK:
                    target.add_symlink(item.path, node.link_target or "")
                    continue
                target.add_file(item.path, bytes(node.data), mtime_ns=node.mtime_ns)
    for item in reversed(items):
        if item.action is Action.DELETE:
            below = [path for path in target.nodes if path.startswith(f"{item.path}/")]
            assert not below, f"{item.path} is not empty: {below}"
            del target.nodes[item.path]
