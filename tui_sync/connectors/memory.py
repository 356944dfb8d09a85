"""A tree of files in memory, as full a connector as any: for tests, with faults to order."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tui_sync import names
from tui_sync.connectors.base import (
    Buffer,
    Download,
    Endpoint,
    Features,
    Listed,
    Place,
    Prompts,
    Range,
)
from tui_sync.connectors.one_by_one import OneByOneReader, OneByOneWriter
from tui_sync.connectors.ranges import Ranges
from tui_sync.errors import (
    AlreadyExists,
    ConnectionLost,
    NoSpace,
    NotFound,
    NotSupported,
    StorageError,
    TuiSyncError,
)
from tui_sync.model import Entry, Kind

BLOCK = 64 * 1024

Fault = Callable[[str, str], None]


@dataclass(slots=True)
class Node:
    """What is stored under one path."""

    kind: Kind = Kind.FILE
    data: bytearray = field(default_factory=bytearray)
    mtime_ns: int | None = None
    mode: int | None = None
    link_target: str | None = None


class MemoryConnector:
    """A tree in memory: ``nodes`` maps each path but the root's to its Node.

    ``tree`` fills it: bytes make a file, None a directory; parents are made as needed. ``exists`` False
    leaves the root itself unmade, ``capacity`` bounds the sum of all sizes in bytes.

    ``fault``, when set, is called with (operation, path) before each operation, outside of any lock: it may
    raise an error of ``tui_sync.errors`` or block. Operations are the method names of Reader and Writer,
    ``read`` (each block of a Download), ``restat``, and ``write``, ``finish``, ``publish``, ``abort`` of an
    Upload with its final path. ``calls`` counts all operations, ``writes`` those which change the tree.
    """

    def __init__(
        self,
        tree: Mapping[str, bytes | None] | None = None,
        *,
        features: Features | None = None,
        clock: Callable[[], int] = time.time_ns,
        mtime_ns: int | None = None,
        exists: bool = True,
        capacity: int | None = None,
        label: str = "memory:",
        fault: Fault | None = None,
    ) -> None:
        self.features = features or Features(checksums=("sha256", "md5"))
        self.clock = clock
        self.capacity = capacity
        self.label = label
        self.fault = fault
        self.nodes: dict[str, Node] = {}
        self.exists = exists
        self.calls: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()
        self.lock = threading.RLock()
        self._closed = False
        for path, data in (tree or {}).items():
            if data is None:
                self.add_dir(path)
            else:
                self.add_file(path, data, mtime_ns=mtime_ns)

    @property
    def server(self) -> str:
        return f"memory {id(self)}"

    def place(self) -> Place:
        return Place("/")

    def reader(self) -> MemoryReader:
        return MemoryReader(self)

    def writer(self) -> MemoryWriter:
        return MemoryWriter(self)

    def close(self) -> None:
        self._closed = True

    def add_file(
        self, path: str, data: bytes = b"", *, mtime_ns: int | None = None, mode: int | None = 0o644
    ) -> None:
        """Put a file there, behind the connector's back."""
        when = self.clock() if mtime_ns is None else mtime_ns
        with self.lock:
            self._add_parents(path)
            self.nodes[path] = Node(Kind.FILE, bytearray(data), self.rounded(when), mode)

    def add_dir(self, path: str, *, mode: int | None = 0o755) -> None:
        with self.lock:
            self._add_parents(path)
            self.nodes.setdefault(path, Node(Kind.DIRECTORY, mtime_ns=self.rounded(self.clock()), mode=mode))

    def add_symlink(self, path: str, target: str) -> None:
        with self.lock:
            self._add_parents(path)
            self.nodes[path] = Node(Kind.SYMLINK, mtime_ns=self.rounded(self.clock()), link_target=target)

    def remove(self, path: str) -> None:
        """Take away what is at ``path`` and below, behind the connector's back."""
        with self.lock:
            for known in [key for key in self.nodes if key == path or key.startswith(path + "/")]:
                del self.nodes[known]

    def read(self, path: str) -> bytes:
        """The content of a file. Raises NotFound."""
        with self.lock:
            node = self.node(path)
            if node.kind is not Kind.FILE:
                raise StorageError(f"“{names.printable(path)}” is no file")
            return bytes(node.data)

    def tree(self) -> dict[str, bytes | None]:
        """All files with their content, and directories as None; symlinks and others are left out."""
        with self.lock:
            return {
                path: bytes(node.data) if node.kind is Kind.FILE else None
                for path, node in self.nodes.items()
                if node.kind in (Kind.FILE, Kind.DIRECTORY)
            }

    def rounded(self, mtime_ns: int) -> int:
        """``mtime_ns`` as this storage keeps it: rounded down to its precision."""
        precision = max(1, self.features.mtime_precision_ns)
        return mtime_ns // precision * precision

    def begin(self, operation: str, path: str, *, write: bool = False) -> None:
        """Count the operation, and give the fault hook and ``close`` their chance."""
        with self.lock:
            self.calls[operation] += 1
            if write:
                self.writes[operation] += 1
        self._check_open()
        if self.fault is not None:
            self.fault(operation, path)
            self._check_open()

    def node(self, path: str) -> Node:
        """The node at ``path``. The lock must be held. Raises NotFound."""
        if path == "" and self.exists:
            return Node(Kind.DIRECTORY, mtime_ns=0, mode=0o755)
        node = self.nodes.get(path) if self.exists else None
        if node is None:
            raise NotFound(f"“{names.printable(path)}” does not exist")
        return node

    def parent_of(self, path: str) -> None:
        """Raise NotFound unless the directory that is to hold ``path`` is there. The lock must be held."""
        if self.node(names.parent(path)).kind is not Kind.DIRECTORY:
            raise NotFound(f"“{names.printable(names.parent(path))}” is no folder")

    def entry(self, path: str) -> Entry:
        """What a listing says of ``path``. The lock must be held."""
        node = self.node(path)
        return Entry(
            path, node.kind, len(node.data), node.mtime_ns, node.mode, None, link_target=node.link_target
        )

    def children(self, path: str) -> list[str]:
        """The paths right under ``path``. The lock must be held."""
        prefix = f"{path}/" if path else ""
        return [key for key in self.nodes if key.startswith(prefix) and "/" not in key[len(prefix) :]]

    def used(self) -> int:
        return sum(len(node.data) for node in self.nodes.values())

    def _add_parents(self, path: str) -> None:
        directory = names.parent(names.check_path(path))
        if directory and directory not in self.nodes:
            self.add_dir(directory)

    def _check_open(self) -> None:
        if self._closed:
            raise ConnectionLost(f"the connection to {self.label} is closed")


class MemoryReader(OneByOneReader):
    """The Reader of a MemoryConnector."""

    def __init__(self, connector: MemoryConnector) -> None:
        self._connector = connector

    @property
    def features(self) -> Features:
        return self._connector.features

    def list_dir(self, path: str) -> list[Listed]:
        there = self._connector
        there.begin("list_dir", path)
        with there.lock:
            if there.node(path).kind is not Kind.DIRECTORY:
                raise NotFound(f"“{names.printable(path)}” is no folder")
            return [_listed(there.entry(child)) for child in there.children(path)]

    def stat(self, path: str) -> Entry:
        self._connector.begin("stat", path)
        with self._connector.lock:
            return self._connector.entry(path)

    def open(self, path: str) -> MemoryDownload:
        there = self._connector
        there.begin("open", path)
        with there.lock:
            node = there.node(path)
            if node.kind is not Kind.FILE:
                raise StorageError(f"“{names.printable(path)}” is no regular file")
            return MemoryDownload(there, there.entry(path), node)

    def checksum(self, path: str, algorithm: str) -> str | None:
        there = self._connector
        there.begin("checksum", path)
        if algorithm not in there.features.checksums:
            return None
        return hashlib.new(algorithm, there.read(path)).hexdigest()

    def free_space(self) -> int | None:
        there = self._connector
        there.begin("free_space", "")
        with there.lock:
            return None if there.capacity is None else max(0, there.capacity - there.used())


def _listed(entry: Entry) -> Listed:
    name = entry.path.rpartition("/")[2]
    return Listed(name, entry.kind, entry.size, entry.mtime_ns, entry.mode, entry.etag, entry.link_target)


class MemoryDownload:
    """The Download of a MemoryReader. Like an open file it keeps what was unlinked or replaced meanwhile."""

    one_version = False

    def __init__(self, connector: MemoryConnector, entry: Entry, node: Node) -> None:
        self._connector = connector
        self._entry = entry
        self._node = node
        self._closed = False

    @property
    def entry(self) -> Entry:
        return self._entry

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[Buffer]:
        there = self._connector
        while stop is None or start < stop:
            there.begin("read", self._entry.path)
            if self._closed:
                raise StorageError(f"“{names.printable(self._entry.path)}” was closed while being read")
            with there.lock:
                end = start + BLOCK if stop is None else min(start + BLOCK, stop)
                block = bytes(self._node.data[start:end])
            if not block:
                return
            yield block
            start += len(block)

    def restat(self) -> Entry:
        self._connector.begin("restat", self._entry.path)
        with self._connector.lock:
            return self._connector.entry(self._entry.path)

    def close(self) -> None:
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MemoryUpload:
    """The Upload of a MemoryWriter."""

    def __init__(
        self,
        connector: MemoryConnector,
        path: str,
        temporary: str,
        *,
        replaces: bool,
        mtime_ns: int | None,
        mode: int | None,
        resumed: Sequence[Range] | None = None,
    ) -> None:
        self._connector = connector
        self._mtime_ns = mtime_ns
        self._mode = mode
        self._path = path
        self._temporary = temporary
        self._replaces = replaces
        self._finished = False
        self._ended = False
        with connector.lock:
            kept = connector.nodes.get(temporary) if resumed is not None else None
            self._node = kept or Node(mode=0o600, mtime_ns=connector.rounded(connector.clock()))
            connector.nodes[temporary] = self._node
        self._held = Ranges(resumed or ()).common([(0, len(kept.data))]) if kept else ()
        self._acknowledged = Ranges(self._held)

    @property
    def staged_path(self) -> str | None:
        return self._temporary

    @property
    def token(self) -> str:
        return ""

    @property
    def held(self) -> tuple[Range, ...]:
        return self._held

    @property
    def acknowledged(self) -> tuple[Range, ...]:
        with self._connector.lock:
            return self._acknowledged.as_tuple()

    def copy_from(self, download: Download) -> bool:
        return False

    def write(self, offset: int, data: Buffer) -> None:
        there = self._connector
        there.begin("write", self._path, write=True)
        with there.lock:
            self._check_running()
            stored = self._node.data
            if offset > len(stored) and not there.features.random_write:
                raise NotSupported(f"{there.label} takes the blocks of a file only in order")
            growth = max(0, offset + len(data) - len(stored))
            if there.capacity is not None and there.used() + growth > there.capacity:
                raise NoSpace(f"no space left on {there.label} for “{names.printable(self._path)}”")
            if offset > len(stored):
                stored.extend(bytes(offset - len(stored)))
            stored[offset : offset + len(data)] = data
            self._acknowledged.add(offset, offset + len(data))

    def finish(self) -> Entry:
        there = self._connector
        there.begin("finish", self._path, write=True)
        with there.lock:
            self._check_running()
            _set(there, self._node, self._mtime_ns, 0o644 if self._mode is None else self._mode)
            self._finished = True
            return there.entry(self._temporary)

    def publish(self, *, replace: bool) -> Entry:
        there = self._connector
        there.begin("publish", self._path, write=True)
        with there.lock:
            self._check_running()
            if not self._finished:
                raise StorageError(f"“{names.printable(self._path)}” is published before it is finished")
            taken = self._replaces if self._direct else self._path in there.nodes
            if taken and not replace:
                raise AlreadyExists(f"“{names.printable(self._path)}” already exists")
            if not self._direct:
                if not there.features.rename:
                    raise NotSupported(f"{there.label} cannot rename")
                if taken and there.nodes[self._path].kind is Kind.DIRECTORY:
                    raise StorageError(f"“{names.printable(self._path)}” is a folder")
                there.nodes[self._path] = there.nodes.pop(self._temporary)
            self._ended = True
            return there.entry(self._path)

    def suspend(self) -> None:
        self._ended = True

    def abort(self) -> None:
        there = self._connector
        if self._ended:
            return
        self._ended = True
        # Nothing that a test injects may get out of a method which never raises.
        with suppress(TuiSyncError):
            there.begin("abort", self._path, write=True)
            with there.lock:
                if there.nodes.get(self._temporary) is self._node:
                    del there.nodes[self._temporary]

    @property
    def _direct(self) -> bool:
        return self._temporary == self._path

    def _check_running(self) -> None:
        if self._ended:
            raise StorageError(f"the upload of “{names.printable(self._path)}” has ended")
        if self._connector.nodes.get(self._temporary) is not self._node:
            raise NotFound(f"“{names.printable(self._temporary)}” is gone")


class MemoryWriter(OneByOneWriter):
    """The Writer of a MemoryConnector."""

    def __init__(self, connector: MemoryConnector) -> None:
        super().__init__()
        self._connector = connector

    def upload(
        self, path: str, *, temporary: str, size: int | None, mtime_ns: int | None, mode: int | None
    ) -> MemoryUpload:
        there = self._connector
        there.begin("upload", path, write=True)
        names.check_path(path)
        names.check_path(temporary)
        with there.lock:
            there.parent_of(path)
            there.parent_of(temporary)
            old = there.nodes.get(temporary)
            if old is not None and old.kind is Kind.DIRECTORY:
                raise StorageError(f"“{names.printable(temporary)}” is a folder")
            return MemoryUpload(
                there, path, temporary, replaces=path in there.nodes, mtime_ns=mtime_ns, mode=mode
            )

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
    ) -> MemoryUpload:
        there = self._connector
        there.begin("resume", path, write=True)
        names.check_path(path)
        with there.lock:
            if there.node(names.check_path(temporary)).kind is not Kind.FILE:
                raise NotFound(f"“{names.printable(temporary)}” is no file")
            return MemoryUpload(
                there,
                path,
                temporary,
                replaces=path in there.nodes,
                mtime_ns=mtime_ns,
                mode=mode,
                resumed=acknowledged,
            )

    def make_dir(self, path: str, *, mode: int | None) -> None:
        there = self._connector
        there.begin("make_dir", path, write=True)
        with there.lock:
            if path == "" and not there.exists:
                there.exists = True
                return
            if path == "" or path in there.nodes:
                raise AlreadyExists(f"“{names.printable(path)}” already exists")
            names.check_path(path)
            if not there.features.directories:
                raise NotSupported(f"{there.label} has no folders")
            there.parent_of(path)
            there.nodes[path] = Node(
                Kind.DIRECTORY, mtime_ns=there.rounded(there.clock()), mode=0o755 if mode is None else mode
            )

    def set_attributes(self, path: str, *, mtime_ns: int | None, mode: int | None) -> None:
        there = self._connector
        there.begin("set_attributes", path, write=True)
        with there.lock:
            _set(there, there.node(path), mtime_ns, mode)

    def remove_file(self, path: str) -> None:
        there = self._connector
        there.begin("remove_file", path, write=True)
        with there.lock:
            if there.node(path).kind is Kind.DIRECTORY:
                raise StorageError(f"“{names.printable(path)}” is a folder")
            del there.nodes[path]

    def remove_dir(self, path: str) -> None:
        there = self._connector
        there.begin("remove_dir", path, write=True)
        names.check_path(path)
        with there.lock:
            if there.node(path).kind is not Kind.DIRECTORY:
                raise StorageError(f"“{names.printable(path)}” is no folder")
            if there.children(path):
                raise StorageError(f"the folder “{names.printable(path)}” is not empty")
            del there.nodes[path]

    def back_up(self, path: str, backup: str) -> None:
        there = self._connector
        there.begin("back_up", path, write=True)
        names.check_path(path)
        names.check_path(backup)
        if not there.features.backs_up:
            raise NotSupported(f"{there.label} cannot keep a file under a second name")
        with there.lock:
            node = there.node(path)
            there.parent_of(backup)
            if node.kind is Kind.DIRECTORY:
                raise StorageError(f"“{names.printable(path)}” is a folder")
            if backup in there.nodes:
                raise AlreadyExists(f"“{names.printable(backup)}” already exists")
            there.nodes[backup] = node

    def make_link(
        self, path: str, text: str, *, temporary: str, replace: bool, mtime_ns: int | None
    ) -> Entry:
        there = self._connector
        there.begin("make_link", path, write=True)
        names.check_path(path)
        names.check_path(temporary)
        if not there.features.symlinks:
            raise NotSupported(f"{there.label} has no symbolic links")
        if not text or "\0" in text:
            raise StorageError(f"“{names.printable(path)}” cannot be a link to “{names.printable(text)}”")
        with there.lock:
            there.parent_of(path)
            taken = there.nodes.get(path)
            if taken is not None and not replace:
                raise AlreadyExists(f"“{names.printable(path)}” already exists")
            if taken is not None and taken.kind is Kind.DIRECTORY:
                raise StorageError(f"“{names.printable(path)}” is a folder")
            if replace:
                there.nodes.pop(temporary, None)
            when = there.clock() if mtime_ns is None or not there.features.sets_mtime else mtime_ns
            there.nodes[path] = Node(Kind.SYMLINK, mtime_ns=there.rounded(when), link_target=text)
            return there.entry(path)

    def rename(self, old: str, new: str, *, replace: bool = False) -> None:
        there = self._connector
        there.begin("rename", old, write=True)
        names.check_path(old)
        names.check_path(new)
        if not there.features.rename:
            raise NotSupported(f"{there.label} cannot rename")
        with there.lock:
            there.node(old)
            there.parent_of(new)
            taken = there.nodes.get(new)
            if taken is not None and not replace:
                raise AlreadyExists(f"“{names.printable(new)}” already exists")
            if taken is not None and taken.kind is Kind.DIRECTORY:
                raise StorageError(f"“{names.printable(new)}” is a folder")
            if new.startswith(f"{old}/"):
                raise StorageError(f"“{names.printable(old)}” cannot be moved into itself")
            for path in [key for key in there.nodes if key == old or key.startswith(f"{old}/")]:
                there.nodes[new + path[len(old) :]] = there.nodes.pop(path)


def _set(there: MemoryConnector, node: Node, mtime_ns: int | None, mode: int | None) -> None:
    if mtime_ns is not None and there.features.sets_mtime:
        node.mtime_ns = there.rounded(mtime_ns)
    if mode is not None and there.features.sets_mode:
        node.mode = mode


def connect(endpoint: Endpoint, prompts: Prompts) -> MemoryConnector:
    """A new, empty tree under the endpoint's URL."""
    return MemoryConnector(label=endpoint.url)
