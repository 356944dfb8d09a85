"""A root folder on an SFTP server: paths below it, and what the server's attributes mean."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import repeat

from tui_sync.connectors.base import Listed
from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.pool import SessionPool
from tui_sync.connectors.sftp.session import Reply, SftpSession
from tui_sync.connectors.sftp.shell import Hashed, Shell
from tui_sync.errors import NotFound, NotSupported, PermissionDenied, StorageError
from tui_sync.model import Entry, Kind
from tui_sync.names import printable

SECOND_NS = 1_000_000_000
MAX_SECONDS = 0xFFFFFFFF
# From here on the lowest 32 bits of a time may be those of one before 1970.
_NEGATIVE = 1 << 31
_DAY_S = 86_400
_KINDS = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.SYMLINK}
# What Listed._make does, in half the time.
_LISTED = partial(tuple.__new__, Listed)
_LONG_NAME_KINDS = {"-": Kind.FILE, "d": Kind.DIRECTORY, "l": Kind.SYMLINK}


@lru_cache(maxsize=256)
def _of_bits(permissions: int | None, letter: str) -> tuple[Kind, int | None]:
    """Kind and mode, by the permissions' type bits, else by the first letter of an ``ls -l`` line."""
    if permissions is None:
        return _LONG_NAME_KINDS.get(letter, Kind.OTHER), None
    bits = stat.S_IFMT(permissions)
    kind = _KINDS.get(bits, Kind.OTHER) if bits else _LONG_NAME_KINDS.get(letter, Kind.OTHER)
    return kind, stat.S_IMODE(permissions)


def listed(name: str, attributes: wire.Attributes, long_name: str = "") -> Listed:
    """One name as a listing reports it; sizes only of files."""
    return Listed(name, *_told(attributes, long_name[:1]))


def _told(attributes: wire.Attributes, letter: str) -> tuple[Kind, int, int | None, int | None]:
    """Kind, size, time and mode, as Listed and Entry have them."""
    kind, mode = _of_bits(attributes.permissions, letter)
    size = attributes.size or 0 if kind is Kind.FILE else 0
    return kind, size, _mtime_ns(attributes.times[1]) if attributes.times else None, mode


def listed_all(entries: Sequence[wire.NameEntry]) -> list[Listed]:
    """``listed`` of each entry."""
    if not isinstance(entries, wire.UsualEntries) or not all(map(stat.S_IFMT, entries.permissions)):
        return [listed(entry.name, entry.attributes, entry.long_name) for entry in entries]
    # The files of a folder have few permissions among them.
    of_bits = {bits: _of_bits(bits, "") for bits in set(entries.permissions)}
    kinds, modes = zip(*map(of_bits.__getitem__, entries.permissions), strict=True)
    sizes: Iterable[int] = entries.sizes
    if set(kinds) != {Kind.FILE}:
        sizes = [size if kind is Kind.FILE else 0 for kind, size in zip(kinds, sizes, strict=True)]
    times = [
        seconds * SECOND_NS if seconds < _NEGATIVE else _mtime_ns(seconds) for seconds in entries.changed
    ]
    rows = zip(entries.names, kinds, sizes, times, modes, repeat(None), repeat(None), strict=False)
    return list(map(_LISTED, rows))


def _mtime_ns(seconds: int) -> int:
    return _signed(seconds) * SECOND_NS


def _signed(seconds: int) -> int:
    """A time before 1970, which servers send as its lowest 32 bits, rather than one that is yet to come."""
    return seconds - (1 << 32) if seconds >= _NEGATIVE and seconds > time.time() + _DAY_S else seconds


def link_text(reply: Reply) -> str:
    """What the answer to ReadLink says."""
    names = reply.names()
    if len(names) != 1:
        raise wire.broken(f"a link was answered with {len(names)} names")
    return names[0].name


def times_of(mtime_ns: int | None) -> tuple[int, int] | None:
    """(atime, mtime) for SFTP: whole seconds, rounded down; None for what would not be read as it was."""
    if mtime_ns is None:
        return None
    seconds = mtime_ns // SECOND_NS
    return (seconds, seconds) if 0 <= seconds <= MAX_SECONDS and _signed(seconds) == seconds else None


@dataclass(frozen=True, slots=True)
class Remote:
    """The root, absolute, and the pool that reaches it. ``login`` is who is logged in where: what lies on one
    server for one login can be copied there. ``shell`` is the login's, should it have one."""

    pool: SessionPool
    root: str
    login: tuple[str, int, str]
    shell: Shell

    def full(self, path: str) -> str:
        """The server's path of a path below the root."""
        if not path:
            return self.root
        return f"{self.root.rstrip('/')}/{path}"

    def entry(self, path: str, attributes: wire.Attributes) -> Entry:
        return Entry(path, *_told(attributes, ""))

    def digests(self, entries: Sequence[Entry]) -> list[str | None]:
        """See ``digest.HashesFiles``."""
        known = [entry for entry in entries if entry.mtime_ns is not None]
        found = self.shell.digests([self._hashed(entry) for entry in known])
        of_path = dict(zip((entry.path for entry in known), found, strict=True))
        return [of_path.get(entry.path) for entry in entries]

    def flush(self, entries: Sequence[Entry]) -> None:
        """See ``Shell.flush``."""
        self.shell.flush([self._hashed(entry) for entry in entries])

    def _hashed(self, entry: Entry) -> Hashed:
        return Hashed(self.full(entry.path), entry.size, (entry.mtime_ns or 0) // SECOND_NS)

    def lstat(self, session: SftpSession, path: str) -> Entry:
        """The entry at a path, symlinks not followed; the root is."""
        request = wire.Lstat(self.full(path)) if path else wire.Stat(self.root)
        entry = self.entry(path, session.send(request, "look at", self.full(path)).attributes())
        if entry.kind is not Kind.SYMLINK:
            return entry
        full = self.full(path)
        return entry._replace(link_target=link_text(session.send(wire.ReadLink(full), "read the link", full)))

    def exists(self, session: SftpSession, path: str) -> bool:
        try:
            self.lstat(session, path)
        except NotFound:
            return False
        return True

    def set_attributes(
        self, session: SftpSession, path: str, *, mtime_ns: int | None, mode: int | None
    ) -> None:
        """Set what is not None, never through a symlink."""
        wanted = wire.Attributes(permissions=None if mode is None else mode & 0o777, times=times_of(mtime_ns))
        if wanted == wire.NO_ATTRIBUTES:
            return
        full = self.full(path)
        if session.offers(wire.LSETSTAT):
            try:
                session.send(wire.lsetstat(full, wanted), "set the attributes of", full).ok()
            except (NotFound, PermissionDenied):
                raise
            except StorageError:
                # Not every system can change what a name itself is: then only where it is no link.
                pass
            else:
                return
        if self.lstat(session, path).kind is Kind.SYMLINK:
            raise NotSupported(f"cannot set the attributes of the symbolic link “{printable(full)}”")
        session.send(wire.SetStat(full, wanted), "set the attributes of", full).ok()
