"""What every place that holds files offers: a Connector gives a Reader and, for a run, a Writer.

Planning is given the Reader alone; it has no method that writes. All paths are relative to the endpoint's
root, ``""`` is the root itself. Every method may be called from several threads at once, ends by its own
deadline, and raises only errors of ``tui_sync.errors``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Protocol, Self, TypeAlias, runtime_checkable

from tui_sync.errors import StorageError
from tui_sync.model import Entry, Kind

Buffer: TypeAlias = bytes | bytearray | memoryview
# Of bytes: start, and stop which is not part of it.
Range: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One side of a pair, parsed: enough to connect, nothing to leak.

    ``path`` is absolute on a local disk; on SFTP it starts with ``/`` as in the URL, where ``/~/`` leads to
    the login folder. ``options`` are the side's further keys of the profile. ``secrets`` resolve on demand
    (by key: ``password``, ``passphrase``, ``access_key`` …) and may ask a person; only connectors call them.
    ``profile`` is what commands call the profile it comes from, ``""`` where there is none.
    """

    url: str
    scheme: str
    path: str
    host: str = ""
    port: int | None = None
    user: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    secrets: Mapping[str, Callable[[], str]] = field(default_factory=dict, repr=False)
    profile: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class HostKey:
    """A server's key as offered: ``line`` is the known_hosts line that trusts it."""

    host: str
    key_type: str
    fingerprint: str
    line: str


class Prompts(Protocol):
    """How a connector asks its user. Calls come from worker threads and may block while a person answers;
    batch mode refuses instead."""

    def secret(self, server: str, prompt: str) -> str | None:
        """The answer to a server's or key's question, None to give up."""

    def trust(self, server: str, key: HostKey) -> bool:
        """Whether to trust an unknown host key from now on. Never called for a changed one."""


@dataclass(frozen=True, slots=True)
class Features:
    """What a place can do, told honestly.

    ``mtime_precision_ns``: two mtimes closer than this may be the same. ``checksums``: algorithms (hashlib
    names) that the storage computes itself. ``random_write``: blocks of an upload may come in any order;
    otherwise their offsets ascend, and jump over nothing but held ranges.
    ``atomic_replace``: publishing over an existing file has no moment without one. ``lists_mtime``: listings
    show times; otherwise ``stat`` does, at a request each. ``directories``: a directory is there by itself;
    otherwise one may be gone with the last file in it. ``checks_uploads``: the storage compares what it
    received with a checksum that was sent along, and publishes nothing that differs. ``backs_up``: a file can
    get a second name, or be copied where it lies, while it stays.
    """

    mtime_precision_ns: int = 1
    sets_mtime: bool = True
    sets_mode: bool = True
    directories: bool = True
    random_write: bool = True
    atomic_replace: bool = True
    rename: bool = True
    symlinks: bool = True
    checksums: tuple[str, ...] = ()
    lists_mtime: bool = True
    checks_uploads: bool = False
    backs_up: bool = True


class Listed(NamedTuple):
    """One child as a listing reports it. ``name`` is what the remote side sent: unchecked.

    A tuple, because there is one for each name on each side: nothing is quicker to make.
    """

    name: str
    kind: Kind
    size: int = 0
    mtime_ns: int | None = None
    mode: int | None = None
    etag: str | None = None
    link_target: str | None = None

    def at(self, path: str) -> Entry:
        """The entry under a path that ``names.join`` has passed."""
        return Entry(path, self.kind, self.size, self.mtime_ns, self.mode, self.etag, self.link_target)


# Of several directories: path, and what is in it or why that is not known. To be closed.
Listings: TypeAlias = Generator[tuple[str, list[Listed] | StorageError], None, None]


class Download(Protocol):
    """A file opened for reading."""

    @property
    def entry(self) -> Entry:
        """The file as it was when opened."""

    @property
    def one_version(self) -> bool:
        """True where all bytes are those of ``entry``, whatever happens to the file meanwhile, or reading
        raises Drifted or Vanished: nobody need look whether it changed."""

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[Buffer]:
        """The bytes from ``start`` up to ``stop`` (None: the end), in order, requested ahead.

        Ends early where the file does. Several ranges may be read at once from several threads.
        """

    def restat(self) -> Entry:
        """The file as it is now under its path. Raises NotFound where it is gone."""

    def close(self) -> None:
        """Free the handle. Never raises; may be called twice."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Upload(Protocol):
    """A new file on its way: not visible under its final name before ``publish``."""

    @property
    def staged_path(self) -> str | None:
        """Where the content can be read before it is published; None where it cannot."""

    @property
    def token(self) -> str:
        """What ``Writer.resume`` needs to find this upload again; opaque, no secret."""

    @property
    def held(self) -> tuple[Range, ...]:
        """Ranges that the storage held for sure when this upload was resumed, sorted and merged. They need
        not be written again. Empty for a new upload."""

    @property
    def acknowledged(self) -> tuple[Range, ...]:
        """Ranges that the storage has confirmed by now, ``held`` among them, sorted and merged."""

    def copy_from(self, download: Download) -> bool:
        """Take the whole content from another file of the same server without moving it through here.

        False, and nothing done, where that is not possible. Before any ``write`` only.
        """

    def write(self, offset: int, data: Buffer) -> None:
        """Put ``data`` at ``offset``. Returns before the storage has acknowledged; blocks while the window is
        full. An error of an earlier block may surface here or in ``finish``. ``data`` is not changed by the
        caller afterwards."""

    def finish(self) -> Entry:
        """Wait until all is acknowledged and durable, with the attributes set, and return what the storage
        now says of the staged file."""

    def publish(self, *, replace: bool) -> Entry:
        """Make the staged file visible under its final name in one step, and return it as the storage shows
        it. Without ``replace`` raises AlreadyExists where the name is taken. After ``finish`` only."""

    def suspend(self) -> None:
        """Let go without removing what was staged, so that ``Writer.resume`` can go on with it. Takes in what
        is still being confirmed: ``acknowledged`` is complete afterwards. Never raises; does nothing after
        ``publish`` or ``abort``."""

    def abort(self) -> None:
        """Remove what was staged. Never raises; does nothing after ``publish``; may be called twice."""


class Fetched(NamedTuple):
    """A small file, read whole: its entry when it was opened, its bytes, and its entry after that."""

    before: Entry
    data: bytes
    after: Entry


class Parcel(NamedTuple):
    """A small file to be staged whole under ``temporary``, and then published as ``path``."""

    path: str
    temporary: str
    data: bytes
    mtime_ns: int | None
    mode: int | None
    replace: bool


@runtime_checkable
class Reader(Protocol):
    """The side of a connector that cannot write."""

    @property
    def features(self) -> Features: ...

    def list_dir(self, path: str) -> list[Listed]:
        """The direct children of a directory, unsorted, names unchecked, without ``.`` and ``..``.

        Raises NotFound, PermissionDenied, or another StorageError where the listing is not complete.
        """

    def stat(self, path: str) -> Entry:
        """The entry at ``path``, symlinks not followed (``""``: the root, followed). Raises NotFound."""

    def open(self, path: str) -> Download:
        """Open a regular file. Raises NotFound, PermissionDenied, or StorageError where it is no file."""

    def checksum(self, path: str, algorithm: str) -> str | None:
        """The hexadecimal digest as computed by the storage itself, None where it cannot."""

    def stat_many(self, paths: Sequence[str]) -> list[Entry | StorageError]:
        """``stat`` of each path, in as few round trips as the storage allows.

        Results of the ``_many`` calls stand in the order of what was asked. An error that concerns one file
        is returned; what concerns them all (ConnectionLost, TimedOut) is raised.
        """

    def fetch_many(self, paths: Sequence[str], most: Sequence[int]) -> list[Fetched | StorageError]:
        """Read each of these regular files whole; one of more bytes than its number in ``most`` is an error,
        and is not read."""

    def free_space(self) -> int | None:
        """Bytes that can still be written below the root, None where unknown."""


@runtime_checkable
class Writer(Protocol):
    """The side of a connector that changes the storage. Parents are never made silently."""

    def upload(
        self, path: str, *, temporary: str, size: int | None, mtime_ns: int | None, mode: int | None
    ) -> Upload:
        """Begin a file of ``size`` bytes (None: unknown) that is to have these attributes, as far as the
        storage can keep them (None: its own choice). ``temporary`` is the path to stage it under, in the
        same directory; anything already there is ours and replaced. Storage that publishes on its own terms
        (S3) ignores it; direct writing passes ``temporary == path``."""

    def resume(
        self,
        path: str,
        *,
        temporary: str,
        token: str,
        acknowledged: Sequence[Range],
        size: int | None,
        mtime_ns: int | None,
        mode: int | None,
    ) -> Upload:
        """Go on with a suspended upload, also of an earlier process: ``token`` and, as far as it was written
        down, ``acknowledged`` are that upload's. Raises NotFound where the storage does not hold it any more,
        or holds something else under that name."""

    def stage_many(self, parcels: Sequence[Parcel]) -> list[Entry | StorageError]:
        """``upload``, ``Upload.write`` and ``Upload.finish`` of each, in as few round trips as the storage
        allows: the entries of the staged files as the storage tells them. Each file keeps on its own what an
        Upload promises; nothing stays staged of one that failed."""

    def publish_many(self, parcels: Sequence[Parcel]) -> list[Entry | StorageError]:
        """``Upload.publish`` of each file that was staged. Raises nothing: where the connection is lost, that
        is the result of each file whose answer did not come."""

    def discard_many(self, parcels: Sequence[Parcel]) -> None:
        """``Upload.abort`` of each file that was staged. Never raises."""

    def make_dir(self, path: str, *, mode: int | None) -> None:
        """Make one directory. Raises AlreadyExists where anything has that name."""

    def set_attributes(self, path: str, *, mtime_ns: int | None, mode: int | None) -> None:
        """Set what is not None, as far as the storage can; never follows a symlink."""

    def remove_file(self, path: str) -> None:
        """Remove a file or symlink, never a directory. Raises NotFound."""

    def remove_dir(self, path: str) -> None:
        """Remove an empty directory. Raises StorageError where it is not empty."""

    def rename(self, old: str, new: str, *, replace: bool = False) -> None:
        """Rename within the root. Raises AlreadyExists rather than replace anything; with ``replace`` a file
        or symlink that is there is replaced as ``Upload.publish`` would."""

    def back_up_many(self, pairs: Sequence[tuple[str, str]]) -> list[StorageError | None]:
        """Of each path and backup: keep what the file or symlink at the path is now as the backup too,
        appearing there whole or not at all, while the path is never without it.

        A backup outlives whatever is published over its path, or moved there; it may be a second name of the
        file, and then shows what is written into the file in place. AlreadyExists where the backup's name is
        taken, NotSupported where the storage can do no such thing; ConnectionLost and TimedOut are raised.
        """

    def make_link(
        self, path: str, text: str, *, temporary: str, replace: bool, mtime_ns: int | None
    ) -> Entry:
        """Make a symlink with this text, as it is and whatever it leads to, in one step; ``temporary`` is a
        free name beside it. Without ``replace`` raises AlreadyExists where the name is taken; with it a file
        or symlink is replaced. Raises NotSupported where ``Features.symlinks`` is not true."""


@runtime_checkable
class ReadsAhead(Protocol):
    """A Reader that lists better when it knows that all of the tree will be asked for."""

    def for_walk(self) -> Reader:
        """A reader for one walk over the tree as it is now, each directory listed once, parents first."""


@runtime_checkable
class ListsMany(Protocol):
    """A Reader that can list several directories in the round trips of one."""

    @property
    def lists_together(self) -> int:
        """How many directories one call had best be given."""

    def list_many(self, paths: Sequence[str]) -> Listings:
        """``list_dir`` of each, with its path, in whatever order they come. An error that concerns one
        directory is its answer; what concerns them all (ConnectionLost, TimedOut) is raised.

        Each is read in full when it is its turn, and no more than the beginning of the others before that.
        """


@runtime_checkable
class CopiesOnServer(Protocol):
    """A Writer whose uploads can take content from files of its own server."""

    def copies_from(self, reader: Reader) -> bool:
        """Whether ``Upload.copy_from`` is going to succeed for the files of this reader."""


# Of a folder: modified (seconds), user, group, permissions; None where unknown.
Mark: TypeAlias = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a root really lies, however it was named.

    ``root`` is absolute with all symlinks resolved. ``marks`` has what the root and each folder above it look
    like, by path, as far as that can be seen: one server may show two users different trees.
    """

    root: str
    marks: Mapping[str, Mark] = field(default_factory=dict)


LOCAL = "local"
LOOPBACK = "loopback:"


def prefixes(root: str) -> list[str]:
    """An absolute path and the folders above it: ``/``, ``/a``, ``/a/b`` for ``/a/b``."""
    parts = [part for part in root.split("/") if part]
    return ["/", *("/" + "/".join(parts[: end + 1]) for end in range(len(parts)))]


class Connector(Protocol):
    """One place that holds files, connected."""

    @property
    def label(self) -> str:
        """The endpoint's URL, without secrets."""

    @property
    def server(self) -> str:
        """The same for two connections to one server, whoever logs in: for SFTP the address it has, or
        ``LOOPBACK`` and the port where that is this machine; ``LOCAL`` for local folders."""

    def place(self) -> Place:
        """Where its root lies; the root need not be there. Asks the storage; raises StorageError."""

    def reader(self) -> Reader: ...

    def writer(self) -> Writer: ...

    def close(self) -> None:
        """End all connections. May be called from any thread, twice, and while calls are under way: those
        raise ConnectionLost promptly. Never raises."""
