"""Folders of this machine.

Every path is walked from the root with ``openat`` and ``O_NOFOLLOW``, component by component, so that no
symlink below the root is followed, not even one put there while we look. The root itself may be a symlink.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat as stat_bits
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from tui_sync import names
from tui_sync.connectors.base import (
    LOCAL,
    Buffer,
    Download,
    Endpoint,
    Features,
    Listed,
    Mark,
    Place,
    Prompts,
    Range,
    prefixes,
)
from tui_sync.connectors.one_by_one import OneByOneReader, OneByOneWriter
from tui_sync.connectors.openat import (
    LIST,
    Handle,
    Tree,
    as_far_as_possible,
    chmod,
    exists,
    keep_as,
    listed,
    lstat,
    move,
    sync_dir,
    translated,
)
from tui_sync.connectors.ranges import Ranges
from tui_sync.errors import (
    NotFound,
    StorageError,
    TuiSyncError,
    UsageError,
)
from tui_sync.model import Entry

BLOCK = 1 << 20

# O_NONBLOCK, or opening a FIFO would wait for its other end.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_STAGE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_RESUME = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECT = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def connect(endpoint: Endpoint, prompts: Prompts) -> LocalConnector:
    """The folder at ``endpoint.path``, which need not exist as long as its parent does.

    Raises NotFound where the parent is missing too, or where the path leads to something else.
    """
    root = endpoint.path
    shown = names.printable(root)
    if not os.path.isabs(root):
        raise UsageError(f"“{shown}” is not an absolute path")
    with translated("open", root):
        try:
            kind = os.stat(root).st_mode
        except FileNotFoundError:
            if os.path.islink(root):
                raise NotFound(
                    f"“{shown}” is a symbolic link that leads nowhere: correct the path, or the link"
                ) from None
            above = os.path.dirname(os.path.abspath(root))
            if not os.path.isdir(above):
                raise NotFound(
                    f"the folder “{shown}” does not exist, nor does “{names.printable(above)}” above it: "
                    f"correct the path, or make that folder first"
                ) from None
            return LocalConnector(endpoint.url, root)
    if not stat_bits.S_ISDIR(kind):
        raise NotFound(f"“{shown}” is not a folder: name the folder that holds it")
    return LocalConnector(endpoint.url, root)


class LocalConnector:
    """One folder. ``root`` is an absolute path."""

    def __init__(self, label: str, root: str) -> None:
        self._label = label
        self._tree = Tree(root)

    @property
    def label(self) -> str:
        return self._label

    @property
    def server(self) -> str:
        return LOCAL

    def place(self) -> Place:
        with self._tree.call("find", ""):
            root = os.path.realpath(self._tree.root)
            marks: dict[str, Mark] = {}
            for path in prefixes(root):
                with suppress(FileNotFoundError, PermissionError):
                    found = os.stat(path)
                    bits = stat_bits.S_IMODE(found.st_mode)
                    marks[path] = (int(found.st_mtime), found.st_uid, found.st_gid, bits)
            return Place(root, marks)

    def reader(self) -> LocalReader:
        return LocalReader(self._tree)

    def writer(self) -> LocalWriter:
        return LocalWriter(self._tree)

    def close(self) -> None:
        self._tree.closed = True


class LocalReader(OneByOneReader):
    """Reader of a local folder."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    @property
    def features(self) -> Features:
        return Features(checksums=("sha256", "md5"))

    def list_dir(self, path: str) -> list[Listed]:
        with (
            self._tree.call("list", path),
            self._tree.directory(path, LIST) as fd,
            os.scandir(fd) as children,
        ):
            found = []
            for child in children:
                # Gone since the listing began: it is not there, so the listing is complete without it.
                with suppress(FileNotFoundError):
                    found.append(listed(child.name, child.stat(follow_symlinks=False), fd))
            return found

    def stat(self, path: str) -> Entry:
        with self._tree.call("examine", path):
            return self._tree.lstat(path)

    def open(self, path: str) -> LocalDownload:
        with self._tree.call("open", path):
            with self._tree.parent(path) as (directory, name):
                handle = Handle(os.open(name, _READ, dir_fd=directory))
            with handle.use() as fd:
                found = os.fstat(fd)
                if not stat_bits.S_ISREG(found.st_mode):
                    handle.close()
                    raise StorageError(f"“{names.printable(path)}” is no regular file")
                if hasattr(os, "posix_fadvise"):
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
            return LocalDownload(self._tree, handle, listed("", found).at(path))

    def checksum(self, path: str, algorithm: str) -> str | None:
        if algorithm not in self.features.checksums:
            return None
        digest = hashlib.new(algorithm, usedforsecurity=False)
        with self.open(path) as download:
            # Block by block rather than hashlib.file_digest, so that close ends it.
            for block in download.blocks():
                digest.update(block)
        return digest.hexdigest()

    def free_space(self) -> int | None:
        root = self._tree.root
        with self._tree.call("examine", root):
            try:
                found = os.statvfs(root)
            except FileNotFoundError:
                found = os.statvfs(os.path.dirname(os.path.abspath(root)))
            return found.f_bavail * found.f_frsize


class LocalDownload:
    """A local file opened for reading."""

    one_version = False

    def __init__(self, tree: Tree, handle: Handle, entry: Entry) -> None:
        self._tree = tree
        self._handle = handle
        self._entry = entry

    @property
    def entry(self) -> Entry:
        return self._entry

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[Buffer]:
        while stop is None or start < stop:
            size = BLOCK if stop is None else min(BLOCK, stop - start)
            with self._tree.call("read", self._entry.path), self._handle.use() as fd:
                block = os.pread(fd, size, start)
            if not block:
                return
            yield block
            start += len(block)

    def restat(self) -> Entry:
        with self._tree.call("examine", self._entry.path):
            return self._tree.lstat(self._entry.path)

    def close(self) -> None:
        self._handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LocalWriter(OneByOneWriter):
    """Writer of a local folder."""

    def __init__(self, tree: Tree) -> None:
        super().__init__()
        self._tree = tree

    def upload(
        self, path: str, *, temporary: str, size: int | None, mtime_ns: int | None, mode: int | None
    ) -> LocalUpload:
        name, stage = _beside(path, temporary)
        with self._tree.call("write", path), self._tree.directory(names.parent(path)) as fd:
            if name == stage:
                taken = exists(name, fd)
                handle = Handle(os.open(name, _DIRECT, 0o600, dir_fd=fd))
            else:
                taken = False
                with suppress(FileNotFoundError):
                    os.unlink(stage, dir_fd=fd)
                handle = Handle(os.open(stage, _STAGE, 0o600, dir_fd=fd))
        return LocalUpload(self._tree, path, temporary, handle, taken=taken, mtime_ns=mtime_ns, mode=mode)

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
    ) -> LocalUpload:
        name, stage = _beside(path, temporary)
        with self._tree.call("write", path):
            with self._tree.directory(names.parent(path)) as fd:
                handle = Handle(os.open(stage, _RESUME, dir_fd=fd))
                taken = exists(name, fd)
            with handle.use() as fd:
                found = os.fstat(fd)
            if not stat_bits.S_ISREG(found.st_mode):
                raise NotFound(f"“{names.printable(temporary)}” is no regular file")
        return LocalUpload(
            self._tree,
            path,
            temporary,
            handle,
            taken=taken,
            mtime_ns=mtime_ns,
            mode=mode,
            # Its length alone says nothing: what was written out of order leaves holes.
            held=Ranges(acknowledged).common([(0, found.st_size)]),
        )

    def make_dir(self, path: str, *, mode: int | None) -> None:
        with self._tree.call("make the folder", path):
            if not path:
                os.mkdir(self._tree.root, 0o777 if mode is None else mode)
                return
            with self._tree.parent(path) as (fd, name):
                os.mkdir(name, 0o777 if mode is None else 0o700, dir_fd=fd)
                if mode is not None:
                    chmod(name, fd, mode)

    def set_attributes(self, path: str, *, mtime_ns: int | None, mode: int | None) -> None:
        with self._tree.call("set the attributes of", path):
            if path:
                with self._tree.parent(path) as (fd, name):
                    self._set_attributes(name, fd, mtime_ns, mode)
            else:
                with self._tree.directory("") as fd:
                    self._set_attributes(".", fd, mtime_ns, mode)

    @staticmethod
    def _set_attributes(name: str, fd: int, mtime_ns: int | None, mode: int | None) -> None:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if mode is not None and not stat_bits.S_ISLNK(found.st_mode):
            chmod(name, fd, mode)
        if mtime_ns is not None:
            times = (found.st_atime_ns, mtime_ns)
            as_far_as_possible(lambda: os.utime(name, ns=times, dir_fd=fd, follow_symlinks=False))

    def remove_file(self, path: str) -> None:
        with self._tree.call("remove", path), self._tree.parent(path) as (fd, name):
            os.unlink(name, dir_fd=fd)

    def remove_dir(self, path: str) -> None:
        with self._tree.call("remove", path), self._tree.parent(path) as (fd, name):
            os.rmdir(name, dir_fd=fd)

    def rename(self, old: str, new: str, *, replace: bool = False) -> None:
        with (
            self._tree.call("rename", old),
            self._tree.parent(old) as (old_fd, old_name),
            self._tree.parent(new) as (new_fd, new_name),
        ):
            if replace:
                os.replace(old_name, new_name, src_dir_fd=old_fd, dst_dir_fd=new_fd)
            else:
                move(old_name, old_fd, new_name, new_fd)

    def back_up(self, path: str, backup: str) -> None:
        with (
            self._tree.call("back up", path),
            self._tree.parent(path) as (fd, name),
            self._tree.parent(backup) as (there, new),
        ):
            keep_as(name, fd, new, there, self._tree.check_open)

    def make_link(
        self, path: str, text: str, *, temporary: str, replace: bool, mtime_ns: int | None
    ) -> Entry:
        name, stage = _beside(path, temporary)
        with self._tree.call("make the link", path), self._tree.directory(names.parent(path)) as fd:
            if not text or "\0" in text:
                raise StorageError(f"“{names.printable(path)}” cannot be a link to “{names.printable(text)}”")
            made = stage if replace else name
            if replace:
                with suppress(FileNotFoundError):
                    os.unlink(stage, dir_fd=fd)
            os.symlink(text, made, dir_fd=fd)
            self._set_attributes(made, fd, mtime_ns, None)
            if replace:
                os.replace(stage, name, src_dir_fd=fd, dst_dir_fd=fd)
            sync_dir(fd)
            return lstat(name, fd).at(path)


class LocalUpload:
    """A new local file, under its temporary name until it is published. Holds a descriptor only until it is
    finished: many may wait to be published."""

    def __init__(
        self,
        tree: Tree,
        path: str,
        temporary: str,
        handle: Handle,
        *,
        taken: bool,
        mtime_ns: int | None,
        mode: int | None,
        held: tuple[Range, ...] = (),
    ) -> None:
        self._tree = tree
        self._held = held
        self._acknowledged = Ranges(held)
        self._mtime_ns = mtime_ns
        self._mode = mode
        self._path = path
        self._temporary = temporary
        self._name = path.rpartition("/")[2]
        self._stage = temporary.rpartition("/")[2]
        self._handle = handle
        self._taken = taken
        self._last_mode: int | None = None
        self._finished = False
        self._lock = threading.Lock()
        self._ended = False

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
        with self._lock:
            return self._acknowledged.as_tuple()

    def copy_from(self, download: Download) -> bool:
        return False

    def write(self, offset: int, data: Buffer) -> None:
        with self._tree.call("write", self._path), self._handle.use() as fd, memoryview(data) as view:
            done = 0
            while done < len(view):
                done += os.pwrite(fd, view[done : done + BLOCK], offset + done)
                self._tree.check_open()
            with self._lock:
                self._acknowledged.add(offset, offset + done)

    def finish(self) -> Entry:
        mtime_ns, mode = self._mtime_ns, self._mode
        with self._tree.call("write", self._path), self._handle.use() as fd:
            bits = 0o666 & ~self._tree.umask if mode is None else mode & 0o777
            # Readable for its owner until it is published, or it could not be verified.
            as_far_as_possible(lambda: os.fchmod(fd, bits | 0o400))
            self._last_mode = bits if bits != bits | 0o400 else None
            if mtime_ns is not None:
                times = (os.fstat(fd).st_atime_ns, mtime_ns)
                as_far_as_possible(lambda: os.utime(fd, ns=times))
            os.fsync(fd)
            self._finished = True
            entry = listed("", os.fstat(fd)).at(self._temporary)
        self._handle.close()
        return entry

    def publish(self, *, replace: bool) -> Entry:
        with (
            self._lock,
            self._tree.call("write", self._path),
            self._tree.directory(names.parent(self._path)) as fd,
        ):
            if not self._finished or self._ended:
                raise StorageError(f"“{names.printable(self._path)}” cannot be published: not finished")
            if self._last_mode is not None:
                chmod(self._stage, fd, self._last_mode)
            if self._stage == self._name:
                if self._taken and not replace:
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            elif replace:
                os.replace(self._stage, self._name, src_dir_fd=fd, dst_dir_fd=fd)
            else:
                move(self._stage, fd, self._name, fd)
            self._ended = True
            sync_dir(fd)
            return lstat(self._name, fd).at(self._path)

    def suspend(self) -> None:
        with self._lock:
            self._ended = True
            self._handle.close()

    def abort(self) -> None:
        with self._lock:
            if not self._ended:
                self._ended = True
                # Also after the connector was closed: what is ours shall not stay behind.
                with (
                    suppress(OSError, TuiSyncError),
                    self._tree.directory(names.parent(self._path)) as fd,
                ):
                    os.unlink(self._stage, dir_fd=fd)
            self._handle.close()


def _beside(path: str, temporary: str) -> tuple[str, str]:
    """The names of both, which have to be in one directory."""
    if names.parent(names.check_path(path)) != names.parent(names.check_path(temporary)):
        raise StorageError(f"“{names.printable(temporary)}” is not beside “{names.printable(path)}”")
    return path.rpartition("/")[2], temporary.rpartition("/")[2]
