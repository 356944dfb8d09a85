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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from tui_sync import names
from tui_sync.connectors.base import Buffer, Download, Endpoint, Features, Listed, Prompts, Range
from tui_sync.connectors.ranges import Ranges
from tui_sync.errors import (
    AlreadyExists,
    ConnectionLost,
    NoSpace,
    NotFound,
    PermissionDenied,
    StorageError,
    TimedOut,
    TuiSyncError,
    UnsafeName,
    UsageError,
)
from tui_sync.model import Entry, Kind

BLOCK = 1 << 20

# O_PATH needs no read permission on the folders along the way; elsewhere than on Linux reading must do.
_WALK = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK, or opening a FIFO would wait for its other end.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_STAGE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_RESUME = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECT = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_ERRORS: dict[int, tuple[type[StorageError], str]] = {
    errno.ENOENT: (NotFound, "it does not exist"),
    errno.ENOTDIR: (NotFound, "it, or a part of its path, is no folder"),
    errno.EEXIST: (AlreadyExists, "it already exists"),
    errno.EACCES: (PermissionDenied, "permission denied"),
    errno.EPERM: (PermissionDenied, "operation not permitted"),
    errno.EROFS: (PermissionDenied, "the file system is read-only"),
    errno.ENOSPC: (NoSpace, "no space left on the disk"),
    errno.EDQUOT: (NoSpace, "the disk quota is used up"),
    errno.EISDIR: (StorageError, "it is a folder"),
    errno.ENOTEMPTY: (StorageError, "the folder is not empty"),
    errno.ELOOP: (StorageError, "it is a symbolic link, which is not followed"),
    errno.ENAMETOOLONG: (StorageError, "the name is too long for this file system"),
    errno.ETIMEDOUT: (TimedOut, "the file system did not answer in time"),
}
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})


def connect(endpoint: Endpoint, prompts: Prompts) -> LocalConnector:
    """The folder at ``endpoint.path``, which need not exist as long as its parent does.

    Raises NotFound where the parent is missing too, or where the path leads to something else.
    """
    root = endpoint.path
    shown = names.printable(root)
    if not os.path.isabs(root):
        raise UsageError(f"“{shown}” is not an absolute path")
    with _translated("open", root):
        try:
            kind = os.stat(root).st_mode
        except FileNotFoundError:
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
        self._tree = _Tree(root)

    @property
    def label(self) -> str:
        return self._label

    def reader(self) -> LocalReader:
        return LocalReader(self._tree)

    def writer(self) -> LocalWriter:
        return LocalWriter(self._tree)

    def close(self) -> None:
        self._tree.closed = True


class _Tree:
    """What reader and writer share: the root, and whether the connector was closed."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.closed = False
        # There is no way to read the mask but to set it; the strict value is for files made in between.
        self.umask = os.umask(0o077)
        os.umask(self.umask)

    def check_open(self) -> None:
        if self.closed:
            raise ConnectionLost(f"the folder “{names.printable(self.root)}” was closed")

    @contextmanager
    def call(self, verb: str, path: str) -> Iterator[None]:
        """Around every call: refuse after close, and turn what the system says into our errors."""
        self.check_open()
        with _translated(verb, path or self.root):
            yield

    def open_dir(self, path: str, flags: int = _WALK) -> int:
        """A descriptor of the directory at ``path``, which the caller closes. Raises OSError."""
        if not path:
            return os.open(self.root, flags)
        fd = os.open(self.root, _WALK)
        components = names.check_path(path).split("/")
        for index, name in enumerate(components):
            last = index == len(components) - 1
            try:
                deeper = os.open(name, (flags if last else _WALK) | os.O_NOFOLLOW, dir_fd=fd)
            finally:
                os.close(fd)
            fd = deeper
        return fd

    @contextmanager
    def directory(self, path: str, flags: int = _WALK) -> Iterator[int]:
        fd = self.open_dir(path, flags)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def parent(self, path: str) -> Iterator[tuple[int, str]]:
        """Directory descriptor and last component of a path that is not the root. Raises OSError."""
        directory, _, name = names.check_path(path).rpartition("/")
        with self.directory(directory) as fd:
            yield fd, name

    def lstat(self, path: str) -> Entry:
        """Raises OSError."""
        if not path:
            return _listed("", os.stat(self.root)).at("")
        with self.parent(path) as (fd, name):
            return _lstat(name, fd).at(path)


class _Handle:
    """A descriptor used by several threads at once: ``close`` waits for nobody, the last user closes it.

    Otherwise a thread could write to the number of a closed file that now is another one's.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._users = 0
        self._closed = False
        self._lock = threading.Lock()

    @contextmanager
    def use(self) -> Iterator[int]:
        with self._lock:
            if self._closed:
                raise StorageError("the file was closed meanwhile")
            self._users += 1
        try:
            yield self._fd
        finally:
            with self._lock:
                self._users -= 1
                last = self._closed and not self._users
            if last:
                os.close(self._fd)

    def close(self) -> None:
        with self._lock:
            idle = not self._closed and not self._users
            self._closed = True
        if idle:
            os.close(self._fd)

    def __del__(self) -> None:
        self.close()


class LocalReader:
    """Reader of a local folder."""

    def __init__(self, tree: _Tree) -> None:
        self._tree = tree

    @property
    def features(self) -> Features:
        return Features(checksums=("sha256", "md5"))

    def list_dir(self, path: str) -> list[Listed]:
        with (
            self._tree.call("list", path),
            self._tree.directory(path, _LIST) as fd,
            os.scandir(fd) as children,
        ):
            found = []
            for child in children:
                # Gone since the listing began: it is not there, so the listing is complete without it.
                with suppress(FileNotFoundError):
                    found.append(_listed(child.name, child.stat(follow_symlinks=False), fd))
            return found

    def stat(self, path: str) -> Entry:
        with self._tree.call("examine", path):
            return self._tree.lstat(path)

    def open(self, path: str) -> LocalDownload:
        with self._tree.call("open", path):
            with self._tree.parent(path) as (directory, name):
                handle = _Handle(os.open(name, _READ, dir_fd=directory))
            with handle.use() as fd:
                found = os.fstat(fd)
                if not stat_bits.S_ISREG(found.st_mode):
                    handle.close()
                    raise StorageError(f"“{names.printable(path)}” is no regular file")
                if hasattr(os, "posix_fadvise"):
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
            return LocalDownload(self._tree, handle, _listed("", found).at(path))

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

    def __init__(self, tree: _Tree, handle: _Handle, entry: Entry) -> None:
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


class LocalWriter:
    """Writer of a local folder."""

    def __init__(self, tree: _Tree) -> None:
        self._tree = tree

    def upload(
        self, path: str, *, temporary: str, size: int | None, mtime_ns: int | None, mode: int | None
    ) -> LocalUpload:
        name, stage = _beside(path, temporary)
        with self._tree.call("write", path):
            directory = _Handle(self._tree.open_dir(names.parent(path)))
            with directory.use() as fd:
                if name == stage:
                    taken = _exists(name, fd)
                    handle = _Handle(os.open(name, _DIRECT, 0o600, dir_fd=fd))
                else:
                    taken = False
                    with suppress(FileNotFoundError):
                        os.unlink(stage, dir_fd=fd)
                    handle = _Handle(os.open(stage, _STAGE, 0o600, dir_fd=fd))
        return LocalUpload(
            self._tree, path, temporary, directory, handle, taken=taken, mtime_ns=mtime_ns, mode=mode
        )

    def resume(
        self,
        path: str,
        *,
        temporary: str,
        token: str,
        size: int | None,
        mtime_ns: int | None,
        mode: int | None,
    ) -> LocalUpload:
        name, stage = _beside(path, temporary)
        with self._tree.call("write", path):
            directory = _Handle(self._tree.open_dir(names.parent(path)))
            with directory.use() as fd:
                handle = _Handle(os.open(stage, _RESUME, dir_fd=fd))
                taken = _exists(name, fd)
            with handle.use() as fd:
                found = os.fstat(fd)
            if not stat_bits.S_ISREG(found.st_mode):
                raise NotFound(f"“{names.printable(temporary)}” is no regular file")
        return LocalUpload(
            self._tree,
            path,
            temporary,
            directory,
            handle,
            taken=taken,
            mtime_ns=mtime_ns,
            mode=mode,
            held=found.st_size,
        )

    def make_dir(self, path: str, *, mode: int | None) -> None:
        with self._tree.call("make the folder", path):
            if not path:
                os.mkdir(self._tree.root, 0o777 if mode is None else mode)
                return
            with self._tree.parent(path) as (fd, name):
                os.mkdir(name, 0o777 if mode is None else 0o700, dir_fd=fd)
                if mode is not None:
                    _chmod(name, fd, mode)

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
            _chmod(name, fd, mode)
        if mtime_ns is not None:
            times = (found.st_atime_ns, mtime_ns)
            _as_far_as_possible(lambda: os.utime(name, ns=times, dir_fd=fd, follow_symlinks=False))

    def remove_file(self, path: str) -> None:
        with self._tree.call("remove", path), self._tree.parent(path) as (fd, name):
            os.unlink(name, dir_fd=fd)

    def remove_dir(self, path: str) -> None:
        with self._tree.call("remove", path), self._tree.parent(path) as (fd, name):
            os.rmdir(name, dir_fd=fd)

    def rename(self, old: str, new: str) -> None:
        with (
            self._tree.call("rename", old),
            self._tree.parent(old) as (old_fd, old_name),
            self._tree.parent(new) as (new_fd, new_name),
        ):
            _move(old_name, old_fd, new_name, new_fd)


class LocalUpload:
    """A new local file, under its temporary name until it is published."""

    def __init__(
        self,
        tree: _Tree,
        path: str,
        temporary: str,
        directory: _Handle,
        handle: _Handle,
        *,
        taken: bool,
        mtime_ns: int | None,
        mode: int | None,
        held: int = 0,
    ) -> None:
        self._tree = tree
        self._held: tuple[Range, ...] = ((0, held),) if held else ()
        self._acknowledged = Ranges(self._held)
        self._mtime_ns = mtime_ns
        self._mode = mode
        self._path = path
        self._temporary = temporary
        self._name = path.rpartition("/")[2]
        self._stage = temporary.rpartition("/")[2]
        self._directory = directory
        self._handle = handle
        self._taken = taken
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
            bits = 0o666 & ~self._tree.umask if mode is None else mode
            _as_far_as_possible(lambda: os.fchmod(fd, bits & 0o777))
            if mtime_ns is not None:
                times = (os.fstat(fd).st_atime_ns, mtime_ns)
                _as_far_as_possible(lambda: os.utime(fd, ns=times))
            os.fsync(fd)
            self._finished = True
            return _listed("", os.fstat(fd)).at(self._temporary)

    def publish(self, *, replace: bool) -> Entry:
        with self._lock, self._tree.call("write", self._path), self._directory.use() as fd:
            if not self._finished or self._ended:
                raise StorageError(f"“{names.printable(self._path)}” cannot be published: not finished")
            if self._stage == self._name:
                if self._taken and not replace:
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            elif replace:
                os.replace(self._stage, self._name, src_dir_fd=fd, dst_dir_fd=fd)
            else:
                _move(self._stage, fd, self._name, fd)
            self._ended = True
            self._handle.close()
            _sync_dir(fd)
            entry = _lstat(self._name, fd).at(self._path)
        self._directory.close()
        return entry

    def suspend(self) -> None:
        with self._lock:
            self._ended = True
            self._handle.close()
            self._directory.close()

    def abort(self) -> None:
        with self._lock:
            if not self._ended:
                self._ended = True
                # Also after the connector was closed: what is ours shall not stay behind.
                with suppress(OSError, TuiSyncError), self._directory.use() as fd:
                    os.unlink(self._stage, dir_fd=fd)
            self._handle.close()
            self._directory.close()


def _beside(path: str, temporary: str) -> tuple[str, str]:
    """The names of both, which have to be in one directory."""
    if names.parent(names.check_path(path)) != names.parent(names.check_path(temporary)):
        raise StorageError(f"“{names.printable(temporary)}” is not beside “{names.printable(path)}”")
    return path.rpartition("/")[2], temporary.rpartition("/")[2]


@contextmanager
def _translated(verb: str, path: str) -> Iterator[None]:
    shown = names.printable(path)
    try:
        yield
    except OSError as error:
        kind, why = _ERRORS.get(error.errno or 0, (StorageError, error.strerror or "the system refused"))
        raise kind(f"cannot {verb} “{shown}”: {why}") from error
    except UnicodeError:
        raise UnsafeName(f"the name “{shown}” cannot be written in this system's encoding") from None


def _listed(name: str, found: os.stat_result, directory: int | None = None) -> Listed:
    kind = Kind.OTHER
    link_target = None
    if stat_bits.S_ISREG(found.st_mode):
        kind = Kind.FILE
    elif stat_bits.S_ISDIR(found.st_mode):
        kind = Kind.DIRECTORY
    elif stat_bits.S_ISLNK(found.st_mode):
        kind = Kind.SYMLINK
        if directory is not None:
            with suppress(OSError):
                link_target = os.readlink(name, dir_fd=directory)
    size = found.st_size if kind is Kind.FILE else 0
    return Listed(name, kind, size, found.st_mtime_ns, found.st_mode & 0o777, link_target=link_target)


def _lstat(name: str, directory: int) -> Listed:
    return _listed(name, os.stat(name, dir_fd=directory, follow_symlinks=False), directory)


def _exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _move(old: str, old_fd: int, new: str, new_fd: int) -> None:
    """Rename without replacing anything. Raises FileExistsError.

    A file gets its new name as a second link, which is refused in one step where the name is taken. What
    cannot have two links (a directory, a file on some file systems) is renamed after a look: there the
    moment between the two stays open.
    """
    if not stat_bits.S_ISDIR(os.stat(old, dir_fd=old_fd, follow_symlinks=False).st_mode):
        try:
            os.link(old, new, src_dir_fd=old_fd, dst_dir_fd=new_fd, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
        else:
            os.unlink(old, dir_fd=old_fd)
            return
    if _exists(new, new_fd):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    os.rename(old, new, src_dir_fd=old_fd, dst_dir_fd=new_fd)


def _chmod(name: str, directory: int, mode: int) -> None:
    """Set the permission bits of what is no symlink, and of nothing else should it become one."""
    bits = mode & 0o777
    if os.chmod in os.supports_follow_symlinks:
        _as_far_as_possible(lambda: os.chmod(name, bits, dir_fd=directory, follow_symlinks=False))
        return
    # Linux has no such call before 6.6. A descriptor by O_PATH needs no permission to read the file.
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        if not stat_bits.S_ISLNK(os.fstat(fd).st_mode):
            _as_far_as_possible(lambda: os.chmod(f"/proc/self/fd/{fd}", bits))
    finally:
        os.close(fd)


def _as_far_as_possible(action: Callable[[], None]) -> None:
    """Attributes that a file system does not know, or cannot represent, are no reason to fail a file."""
    with suppress(OverflowError, PermissionError):
        try:
            action()
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EOVERFLOW):
                raise


def _sync_dir(directory: int) -> None:
    """Make a directory's names durable, where it may be opened for reading."""
    try:
        fd = os.open(".", _LIST, dir_fd=directory)
    except PermissionError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
