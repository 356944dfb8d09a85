"""The words of the project as values: frozen, slotted, standard library only.

Those of which there are hundreds of thousands are named tuples, which are made in a third of the time.

Units everywhere: sizes in bytes, times in integer nanoseconds UTC, paths relative POSIX ``str`` in which
undecodable bytes are surrogate escapes (PEP 383). The root of a tree has the path ``""``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What a path is, by ``lstat``: a symlink is never followed to find out."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    OTHER = "other"


class Entry(NamedTuple):
    """One file, directory or symlink as a listing reports it.

    ``mtime_ns`` and ``mode`` (permission bits only) are None where the storage does not know them.
    ``etag`` is an opaque content identity (S3), ``link_target`` the text of a symlink.
    """

    path: str
    kind: Kind
    size: int = 0
    mtime_ns: int | None = None
    mode: int | None = None
    etag: str | None = None
    link_target: str | None = None

    @property
    def identity(self) -> Identity:
        """An etag says all that a time could say, and is in listings that show no time."""
        return Identity(self.kind, self.size, self.mtime_ns if self.etag is None else None, self.etag)


class Identity(NamedTuple):
    """What has to be the same for a file to count as the same file: the precondition of an item."""

    kind: Kind
    size: int
    mtime_ns: int | None
    etag: str | None = None


class ChangeKind(StrEnum):
    """How one path differs between source and target."""

    NEW = "new"
    MODIFIED = "modified"
    TARGET_NEWER = "target-newer"
    TYPE_CHANGED = "type-changed"
    EXTRA = "extra"
    EQUAL = "equal"
    EXCLUDED = "excluded"
    ERROR = "error"


class Change(NamedTuple):
    """How one path differs, and why. ``path`` is the path on the target.

    ``reason`` is a short phrase for people (``"size 10 -> 12"``); it may hold remote names, so it goes
    through ``names.printable`` before it is shown. ``complete`` is False for a directory that was not
    listed in full on a side that has it: nothing under it may be deleted.
    """

    path: str
    kind: ChangeKind
    reason: str = ""
    source: Entry | None = None
    target: Entry | None = None
    complete: bool = True


class Action(StrEnum):
    """What an item does on the target."""

    MKDIR = "mkdir"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    SKIP = "skip"


GLYPHS: dict[ChangeKind, str] = {
    ChangeKind.NEW: "+",
    ChangeKind.MODIFIED: "M",
    ChangeKind.TARGET_NEWER: "<",
    ChangeKind.TYPE_CHANGED: "T",
    ChangeKind.EXTRA: ".",
    ChangeKind.EQUAL: "=",
    ChangeKind.EXCLUDED: "x",
    ChangeKind.ERROR: "!",
}


class Item(NamedTuple):
    """One planned action on one path, with its preconditions.

    ``seq`` orders the plan: directories before what is in them; deletes run last and in reverse.
    ``source`` and ``target`` are the sides as planned (None: nothing was there); they are compared with
    what is there right before acting. ``included`` is False where a person took the item out.
    """

    seq: int
    action: Action
    path: str
    kind: ChangeKind
    reason: str = ""
    source: Entry | None = None
    target: Entry | None = None
    included: bool = True

    @property
    def glyph(self) -> str:
        """One character for the action gutter."""
        if not self.included:
            return "x"
        if self.action is Action.DELETE:
            return "-"
        return GLYPHS[self.kind]

    @property
    def entry_kind(self) -> Kind:
        """What the path is, the source's word first."""
        entry = self.source or self.target
        return entry.kind if entry else Kind.OTHER

    @property
    def bytes(self) -> int:
        """Bytes that carrying out the item moves."""
        if self.action in (Action.CREATE, Action.UPDATE) and self.source is not None:
            return self.source.size
        return 0


class Mode(StrEnum):
    COPY = "copy"
    MIRROR = "mirror"


class CompareBy(StrEnum):
    """``auto`` is size and mtime, helped by what the ledger remembers of earlier runs."""

    AUTO = "auto"
    SIZE = "size"
    MTIME = "mtime"
    CHECKSUM = "checksum"


class DeleteTo(StrEnum):
    TRASH = "trash"
    PERMANENT = "permanent"


class Symlinks(StrEnum):
    """What becomes of symbolic links on the source. ``follow``: those that lead to something inside of it are
    what they lead to. ``copy``: they are links on the target too."""

    SKIP = "skip"
    FOLLOW = "follow"
    COPY = "copy"


class WriteMode(StrEnum):
    """``atomic``: temporary name, verify, rename. ``direct``: for servers that forbid either."""

    ATOMIC = "atomic"
    DIRECT = "direct"


class Verify(StrEnum):
    """How far a written file was, or is to be, checked; ``auto`` only as a wish."""

    AUTO = "auto"
    NONE = "none"
    SIZE = "size"
    CHECKSUM = "checksum"
    READBACK = "readback"

    @property
    def strength(self) -> int:
        """Order of the levels, for naming the weakest of a run."""
        return ("none", "size", "checksum", "readback").index(self.value)


@dataclass(frozen=True, slots=True)
class DeleteLimit:
    """At most this many deletes: a count, or a percentage of the files on the target."""

    value: float = 50.0
    percent: bool = True

    def __str__(self) -> str:
        return f"{self.value:g}{'%' if self.percent else ''}"


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """Everything about a sync but its two places. ``workers`` None means automatic;
    ``bandwidth_limit`` is bytes per second, None for no limit; ``trash_keep`` is how many seconds what is in
    the trash stays there, None for ever. ``backup``: what is replaced goes there too."""

    mode: Mode = Mode.COPY
    compare: CompareBy = CompareBy.AUTO
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    delete: DeleteTo = DeleteTo.TRASH
    max_delete: DeleteLimit = field(default_factory=DeleteLimit)
    verify: Verify = Verify.AUTO
    write: WriteMode = WriteMode.ATOMIC
    transform: str = "none"
    workers: int | None = None
    bandwidth_limit: int | None = None
    backup: bool = False
    trash_keep: int | None = None
    symlinks: Symlinks = Symlinks.SKIP


@dataclass(frozen=True, slots=True)
class Totals:
    """What a plan holds: counts of included items and bytes they move."""

    create: int = 0
    update: int = 0
    delete: int = 0
    mkdir: int = 0
    skip: int = 0
    unchanged: int = 0
    conflicts: int = 0
    create_bytes: int = 0
    update_bytes: int = 0
    delete_bytes: int = 0
    source_files: int = 0
    source_bytes: int = 0
    target_files: int = 0
    target_bytes: int = 0

    @property
    def files(self) -> int:
        """Files to be copied."""
        return self.create + self.update

    @property
    def bytes(self) -> int:
        """Bytes to be copied."""
        return self.create_bytes + self.update_bytes

    @property
    def work(self) -> int:
        """Items that change the target."""
        return self.create + self.update + self.delete + self.mkdir


@dataclass(frozen=True, slots=True)
class Guard:
    """A reason why a plan must not run as it is, or a note about how it will run.

    ``message`` is one sentence with its numbers. Only blocking guards refuse.
    """

    code: str
    message: str
    blocking: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """The head of a plan; its items are in the ledger under ``plan_id``."""

    plan_id: int
    created_ns: int
    source: str
    target: str
    options: SyncOptions
    totals: Totals
    guards: tuple[Guard, ...] = ()

    @property
    def refused(self) -> tuple[Guard, ...]:
        return tuple(guard for guard in self.guards if guard.blocking)


class Status(StrEnum):
    """How an item ended. ``held``: not tried, because something it depends on failed. ``cancelled``: given
    up with the run, or by itself when a person skipped it."""

    DONE = "done"
    FAILED = "failed"
    DRIFTED = "drifted"
    VANISHED = "vanished"
    HELD = "held"
    CANCELLED = "cancelled"


class Outcome(NamedTuple):
    """What became of one item. ``synced`` is the target as it was seen after the action.

    ``error_kind`` is the ``kind`` of the error, ``internal`` for one that was not raised on purpose.
    """

    item: Item
    status: Status
    bytes: int = 0
    elapsed_s: float = 0.0
    verified: Verify = Verify.NONE
    error: str = ""
    attempts: int = 1
    synced: Entry | None = None
    error_kind: str = ""


class Synced(NamedTuple):
    """Ledger memory of one path: this source produced that target."""

    path: str
    source: Identity
    target: Identity


@dataclass(frozen=True, slots=True)
class Partial:
    """Ledger memory of a file that is partly on its way: enough to go on with it, or to clear it away.

    ``source`` is the file it was begun from, ``token`` the connector's own note, ``ranges`` (start, stop)
    what the target had confirmed when this was written.
    """

    path: str
    source: Identity
    temporary: str
    token: str = ""
    ranges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class FolderAttributes:
    """Ledger memory of a folder on the target that waits for its attributes (None: as they are)."""

    path: str
    mtime_ns: int | None
    mode: int | None


class RunState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    DRAINING = "draining"
    CANCELLING = "cancelling"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class FileProgress:
    """One file in flight. ``phase`` is ``copy``, ``verify`` or ``publish``.

    ``files`` is more than 1 for small files that travel together: ``path`` is then the first of them.
    """

    path: str
    size: int
    done: int
    phase: str = "copy"
    speed: float = 0.0
    files: int = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment, cheap to take ten times a second. Speeds in bytes per second.

    ``files`` and ``bytes`` are those to be copied; ``items`` also count folders and deletes.
    """

    state: RunState
    phase: str = ""
    files_total: int = 0
    files_done: int = 0
    bytes_total: int = 0
    bytes_done: int = 0
    items_total: int = 0
    items_done: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    directories: int = 0
    failed: int = 0
    skipped: int = 0
    elapsed_s: float = 0.0
    speed: float = 0.0
    eta_s: float | None = None
    workers: int = 0
    bandwidth_limit: int | None = None
    active: tuple[FileProgress, ...] = ()
    errors: tuple[Outcome, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a run, as the summary record of batch mode tells it.

    ``status`` and ``exit_code`` go together: ok 0, partial 23 (items failed, were held back, or are
    conflicts), drifted 24, refused 25, interrupted 130, error any other. ``skipped`` counts drifted, vanished
    and held items, and files that a person skipped while they were copied; ``verified`` is the weakest level
    among the files copied. ``requests`` counts what was sent to S3 from planning on, by the operation's name.
    ``trash`` is the folder on the target that holds what was deleted or replaced, empty where there is none.
    """

    status: str = "ok"
    exit_code: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    directories: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0
    conflicts: int = 0
    bytes: int = 0
    elapsed_s: float = 0.0
    verified: Verify = Verify.NONE
    requests: Mapping[str, int] = field(default_factory=dict)
    trash: str = ""

    def with_status(self, status: str, exit_code: int) -> Summary:
        return replace(self, status=status, exit_code=exit_code)
