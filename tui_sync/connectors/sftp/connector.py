"""Reader and Writer for SFTP."""

from __future__ import annotations

import contextlib
import ipaddress
import stat
from collections.abc import Sequence

from tui_sync.connectors.base import (
    LOOPBACK,
    Download,
    Endpoint,
    Features,
    Fetched,
    Listed,
    Listings,
    Mark,
    Parcel,
    Place,
    Range,
    Upload,
    prefixes,
)
from tui_sync.connectors.digest import ALGORITHM
from tui_sync.connectors.sftp import listing, packs, wire
from tui_sync.connectors.sftp.backup import back_up_many
from tui_sync.connectors.sftp.download import SftpDownload
from tui_sync.connectors.sftp.links import Links
from tui_sync.connectors.sftp.login import Login
from tui_sync.connectors.sftp.pool import FAR_S, SessionPool
from tui_sync.connectors.sftp.remote import SECOND_NS, Remote
from tui_sync.connectors.sftp.rename import rename_new, rename_over
from tui_sync.connectors.sftp.session import Reply, SftpSession
from tui_sync.connectors.sftp.shell import Shell
from tui_sync.connectors.sftp.upload import SftpUpload
from tui_sync.errors import (
    AlreadyExists,
    ConnectionLost,
    NotFound,
    NotSupported,
    PermissionDenied,
    StorageError,
    TimedOut,
)
from tui_sync.model import Entry
from tui_sync.names import printable


class SftpConnector:
    """See ``base.Connector``."""

    def __init__(self, endpoint: Endpoint, pool: SessionPool, login: Login) -> None:
        self._label = endpoint.url
        self._pool = pool
        with pool.session() as session:
            pool.warm()
            root = _root(session, endpoint.path)
            _check_root(session, root)
            self._remote = Remote(pool, root, (login.host, login.port, login.user), Shell(pool.open_command))
            self._features = Features(
                mtime_precision_ns=SECOND_NS,
                atomic_replace=session.offers(wire.POSIX_RENAME),
                backs_up=session.offers(wire.HARDLINK) or session.offers(wire.COPY_DATA),
            )

    @property
    def label(self) -> str:
        return self._label

    @property
    def server(self) -> str:
        address, _, port = self._pool.server.rpartition(":")
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(address).is_loopback:
                return f"{LOOPBACK}{port}"
        return f"sftp {address}:{port}"

    def place(self) -> Place:
        with self._pool.session() as session:
            root = _resolved(session, self._remote.root)
            asked = {path: session.send(wire.Lstat(path), "look at", path) for path in prefixes(root)}
            return Place(root, {path: mark for path, reply in asked.items() if (mark := _mark(reply))})

    def reader(self) -> SftpReader:
        return SftpReader(self._remote, self._features)

    def writer(self) -> SftpWriter:
        return SftpWriter(self._remote)

    def close(self) -> None:
        self._remote.shell.close()
        self._pool.close()


def _root(session: SftpSession, path: str) -> str:
    """The absolute root: ``/~/x`` and what does not begin with a slash lie in the login folder."""
    if path.startswith("/~"):
        head, _, path = path.removeprefix("/").partition("/")
        if head != "~":
            raise StorageError(f"cannot find the folder of another user (“{printable(head)}”): give its path")
    elif path.startswith("/"):
        return path.rstrip("/") or "/"
    names = session.send(wire.RealPath("."), "find", "the login folder").names()
    if len(names) != 1 or not names[0].name.startswith("/"):
        raise wire.broken("it gave no absolute path for the login folder")
    home = names[0].name.rstrip("/")
    return f"{home}/{path.strip('/')}".rstrip("/") or "/"


def _check_root(session: SftpSession, root: str) -> None:
    """Raises NotFound where the root is not there and cannot be made either."""
    if _found(session.send(wire.Stat(root), "look at", root)):
        return
    shown = printable(root)
    above = root.rpartition("/")[0] or "/"
    name, parent = (session.send(one, "look at", root) for one in (wire.Lstat(root), wire.Stat(above)))
    if _found(name):
        raise NotFound(f"“{shown}” is a symbolic link that leads nowhere: correct the path, or the link")
    if not _found(parent):
        raise NotFound(
            f"the folder “{shown}” does not exist, nor does “{printable(above)}” above it: correct the path, "
            "or make that folder first"
        )


def _found(reply: Reply) -> bool:
    """False only for what the server says is not there."""
    try:
        reply.attributes()
    except (ConnectionLost, TimedOut):
        raise
    except NotFound:
        return False
    except StorageError:
        return True
    return True


def _resolved(session: SftpSession, root: str) -> str:
    """Without symlinks, as far as the server tells; of a root still to be made what is above it."""
    above, _, name = root.rpartition("/")
    for path, rest in ((root, ""), (above or "/", name)):
        try:
            names = session.send(wire.RealPath(path), "find", path).names()
            session.send(wire.Stat(path), "look at", path).attributes()
        except (ConnectionLost, TimedOut):
            raise
        except StorageError:
            continue
        if len(names) == 1 and names[0].name.startswith("/"):
            found = names[0].name.rstrip("/")
            return f"{found}/{rest}".rstrip("/") or "/"
    return root


def _mark(reply: Reply) -> Mark | None:
    try:
        found = reply.attributes()
    except (ConnectionLost, TimedOut):
        raise
    except StorageError:
        return None
    bits = None if found.permissions is None else stat.S_IMODE(found.permissions)
    return (found.times[1] if found.times else None, *(found.owner or (None, None)), bits)


class SftpReader:
    """See ``base.Reader``, ``base.ListsMany`` and ``digest.HashesFiles``."""

    def __init__(self, remote: Remote, features: Features) -> None:
        self._remote = remote
        self._features = features

    @property
    def features(self) -> Features:
        return self._features

    def list_dir(self, path: str) -> list[Listed]:
        return listing.list_dir(self._remote, path)

    @property
    def lists_together(self) -> int:
        return listing.TOGETHER

    def list_many(self, paths: Sequence[str]) -> Listings:
        return listing.list_many(self._remote, paths)

    def stat(self, path: str) -> Entry:
        with self._remote.pool.session() as session:
            return self._remote.lstat(session, path)

    def open(self, path: str) -> Download:
        return SftpDownload(self._remote, path)

    def checksum(self, path: str, algorithm: str) -> str | None:
        return self.digests([self.stat(path)])[0] if algorithm == ALGORITHM and self.hashes() else None

    def hashes(self) -> bool:
        return self._remote.shell.works()

    @property
    def far(self) -> bool:
        return self._remote.pool.rtt_s >= FAR_S

    def digests(self, entries: Sequence[Entry]) -> list[str | None]:
        return self._remote.digests(entries)

    def stat_many(self, paths: Sequence[str]) -> list[Entry | StorageError]:
        return packs.stat_many(self._remote, paths)

    def fetch_many(self, paths: Sequence[str], most: Sequence[int]) -> list[Fetched | StorageError]:
        return packs.fetch_many(self._remote, paths, most)

    def free_space(self) -> int | None:
        with self._remote.pool.session() as session:
            if not session.offers(wire.STATVFS):
                return None
            folder = self._remote.root
            while True:
                try:
                    reply = session.send(wire.statvfs(folder), "ask the free space of", folder)
                    return wire.FileSystem.decode(reply.extended()).free
                except NotFound:
                    # The root is still to be made: what its nearest parent has is what there will be.
                    if folder == "/":
                        return None
                    folder = folder.rpartition("/")[0] or "/"
                except (PermissionDenied, NotSupported):
                    return None


class SftpWriter:
    """See ``base.Writer``."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._links = Links(remote)

    def upload(
        self, path: str, *, temporary: str, size: int | None, mtime_ns: int | None, mode: int | None
    ) -> Upload:
        return SftpUpload(self._remote, path, temporary, mtime_ns=mtime_ns, mode=mode, size=size)

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
        return SftpUpload(
            self._remote, path, temporary, mtime_ns=mtime_ns, mode=mode, size=size, resumed=acknowledged
        )

    def stage_many(self, parcels: Sequence[Parcel]) -> list[Entry | StorageError]:
        return packs.stage_many(self._remote, parcels)

    def publish_many(self, parcels: Sequence[Parcel]) -> list[Entry | StorageError]:
        return packs.publish_many(self._remote, parcels)

    def discard_many(self, parcels: Sequence[Parcel]) -> None:
        packs.discard_many(self._remote, parcels)

    def make_dir(self, path: str, *, mode: int | None) -> None:
        full = self._remote.full(path)
        attributes = wire.Attributes(permissions=0o777 if mode is None else mode & 0o777)
        with self._remote.pool.session() as session:
            try:
                session.send(wire.MkDir(full, attributes), "make the folder", full).ok()
            except (NotFound, ConnectionLost, TimedOut):
                raise
            except StorageError:
                if self._remote.exists(session, path):
                    raise AlreadyExists(f"“{printable(full)}” exists already") from None
                raise
            if mode is not None:
                # The server has taken its umask off. The folder is there without a mode of its own too.
                try:
                    self._remote.set_attributes(session, path, mtime_ns=None, mode=mode)
                except (NotFound, ConnectionLost, TimedOut):
                    raise
                except StorageError:
                    return

    def set_attributes(self, path: str, *, mtime_ns: int | None, mode: int | None) -> None:
        with self._remote.pool.session() as session:
            self._remote.set_attributes(session, path, mtime_ns=mtime_ns, mode=mode)

    def remove_file(self, path: str) -> None:
        full = self._remote.full(path)
        with self._remote.pool.session() as session:
            session.send(wire.Remove(full), "remove", full).ok()

    def remove_dir(self, path: str) -> None:
        full = self._remote.full(path)
        with self._remote.pool.session() as session:
            try:
                session.send(wire.RmDir(full), "remove the folder", full).ok()
            except StorageError as error:
                if type(error) is not StorageError:
                    raise
                raise StorageError(f"cannot remove the folder “{printable(full)}”: is it empty?") from None

    def rename(self, old: str, new: str, *, replace: bool = False) -> None:
        with self._remote.pool.session() as session:
            (rename_over if replace else rename_new)(self._remote, session, old, new)

    def back_up_many(self, pairs: Sequence[tuple[str, str]]) -> list[StorageError | None]:
        return back_up_many(self._remote, self._links, pairs)

    def make_link(
        self, path: str, text: str, *, temporary: str, replace: bool, mtime_ns: int | None
    ) -> Entry:
        with self._remote.pool.session() as session:
            return self._links.make(
                session, path, text, temporary=temporary, replace=replace, mtime_ns=mtime_ns
            )
