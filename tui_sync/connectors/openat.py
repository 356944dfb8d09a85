"""Local files by descriptors: walked component by component, so that no symlink below a root is followed."""

from __future__ import annotations

import errno
import os
import secrets
import stat as stat_bits
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tui_sync import names
from tui_sync.connectors.base import Listed
from tui_sync.errors import (
    AlreadyExists,
    ConnectionLost,
    NoSpace,
    NotFound,
    NotSupported,
    PermissionDenied,
    StorageError,
    TimedOut,
    UnsafeName,
)
from tui_sync.model import Entry, Kind

# O_PATH needs no read permission on the folders along the way; elsewhere than on Linux reading must do.
_WALK = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

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
_COPIED = 1 << 20
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})


_umask_lock = threading.Lock()


def _umask() -> int:
    """This process's mask, without changing it where the system tells it (proc(5), Linux)."""
    with suppress(OSError, ValueError), open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    with _umask_lock:
        # The strict value is for files that others make in between.
        mask = os.umask(0o077)
        os.umask(mask)
        return mask


class Tree:
    """What reader and writer share: the root, and whether the connector was closed."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.closed = False
        self.umask = _umask()

    def check_open(self) -> None:
        if self.closed:
            raise ConnectionLost(f"the folder “{names.printable(self.root)}” was closed")

    @contextmanager
    def call(self, verb: str, path: str) -> Iterator[None]:
        """Around every call: refuse after close, and turn what the system says into our errors."""
        self.check_open()
        with translated(verb, path or self.root):
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
            return listed("", os.stat(self.root)).at("")
        with self.parent(path) as (fd, name):
            return lstat(name, fd).at(path)


class Handle:
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


@contextmanager
def translated(verb: str, path: str) -> Iterator[None]:
    shown = names.printable(path)
    try:
        yield
    except OSError as error:
        kind, why = _ERRORS.get(error.errno or 0, (StorageError, error.strerror or "the system refused"))
        raise kind(f"cannot {verb} “{shown}”: {why}") from error
    except UnicodeError:
        raise UnsafeName(f"the name “{shown}” cannot be written in this system's encoding") from None


def listed(name: str, found: os.stat_result, directory: int | None = None) -> Listed:
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


def lstat(name: str, directory: int) -> Listed:
    return listed(name, os.stat(name, dir_fd=directory, follow_symlinks=False), directory)


def exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def move(old: str, old_fd: int, new: str, new_fd: int) -> None:
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
    if exists(new, new_fd):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    os.rename(old, new, src_dir_fd=old_fd, dst_dir_fd=new_fd)


def keep_as(name: str, fd: int, copy: str, copy_fd: int, check: Callable[[], None]) -> None:
    """Give a file or symlink a second name, or a copy where it cannot have two. Raises OSError, NotSupported
    where neither is allowed, and what ``check`` raises, which is called now and then."""
    try:
        os.link(name, copy, src_dir_fd=fd, dst_dir_fd=copy_fd, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS | {errno.EXDEV}:
            raise
    else:
        return
    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
    if stat_bits.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(name, dir_fd=fd), copy, dir_fd=copy_fd)
        return
    if not stat_bits.S_ISREG(found.st_mode):
        raise NotSupported("neither file nor symbolic link: it cannot be backed up")
    stage = f"{names.OURS}-{secrets.token_hex(8)}.part"
    try:
        source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    except PermissionError:
        raise NotSupported("the file may neither be linked nor read: it cannot be backed up") from None
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(stage, flags, 0o600, dir_fd=copy_fd)
        try:
            _copy(source, target, check)
            move(stage, copy_fd, copy, copy_fd)
        except BaseException:
            # A cancel, too, must leave nothing half written.
            os.unlink(stage, dir_fd=copy_fd)
            raise
        finally:
            os.close(target)
    finally:
        os.close(source)


def _copy(source: int, target: int, check: Callable[[], None]) -> None:
    """Content, time and mode, durable."""
    while block := os.read(source, _COPIED):
        check()
        while block:
            block = block[os.write(target, block) :]
    found = os.fstat(source)
    as_far_as_possible(lambda: os.fchmod(target, found.st_mode & 0o777))
    as_far_as_possible(lambda: os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns)))
    os.fsync(target)


def chmod(name: str, directory: int, mode: int) -> None:
    """Set the permission bits of what is no symlink, and of nothing else should it become one."""
    bits = mode & 0o777
    if os.chmod in os.supports_follow_symlinks:
        as_far_as_possible(lambda: os.chmod(name, bits, dir_fd=directory, follow_symlinks=False))
        return
    # Linux has no such call before 6.6. A descriptor by O_PATH needs no permission to read the file.
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        if not stat_bits.S_ISLNK(os.fstat(fd).st_mode):
            as_far_as_possible(lambda: os.chmod(f"/proc/self/fd/{fd}", bits))
    finally:
        os.close(fd)


def as_far_as_possible(action: Callable[[], None]) -> None:
    """Attributes that a file system does not know, or cannot represent, are no reason to fail a file."""
    with suppress(OverflowError, PermissionError):
        try:
            action()
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EOVERFLOW):
                raise


def sync_dir(directory: int) -> None:
    """Make a directory's names durable, where it may be opened for reading."""
    try:
        fd = os.open(".", LIST, dir_fd=directory)
    except PermissionError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
