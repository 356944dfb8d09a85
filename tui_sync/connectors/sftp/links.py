"""Symlinks on an SFTP server, made as they are meant whichever way round the server takes the request."""

from __future__ import annotations

import contextlib
import threading

from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.remote import Remote
from tui_sync.connectors.sftp.rename import rename_over
from tui_sync.connectors.sftp.session import SftpSession
from tui_sync.errors import (
    AlreadyExists,
    ConnectionLost,
    NotFound,
    NotSupported,
    StorageError,
    TimedOut,
)
from tui_sync.model import Entry, Kind
from tui_sync.names import printable

_SUFFIX = ".part"


class Links:
    """For all sessions of one server; safe for many threads.

    A server that takes the link's path first, as the draft has it, would put a link wherever the text of an
    OpenSSH client's request leads. So the first request is about two names of ours.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._lock = threading.Lock()
        self._path_first: bool | None = None

    def make(
        self,
        session: SftpSession,
        path: str,
        text: str,
        *,
        temporary: str,
        replace: bool,
        mtime_ns: int | None = None,
    ) -> Entry:
        """See ``base.Writer.make_link``."""
        remote = self._remote
        if not text or "\0" in text:
            raise StorageError(f"“{printable(remote.full(path))}” cannot be a link to “{printable(text)}”")
        path_first = self._order(session, temporary)
        if not replace:
            self._make(session, path, text, path_first)
            return self._made(session, path, text, mtime_ns)
        _remove(remote, session, temporary)
        self._make(session, temporary, text, path_first)
        try:
            self._made(session, temporary, text, mtime_ns)
            rename_over(remote, session, temporary, path)
        except (ConnectionLost, TimedOut):
            raise
        except StorageError:
            with contextlib.suppress(StorageError):
                _remove(remote, session, temporary)
            raise
        return remote.lstat(session, path)

    def _make(self, session: SftpSession, path: str, text: str, path_first: bool) -> None:
        full = self._remote.full(path)
        request = wire.SymLink(full, text) if path_first else wire.SymLink(text, full)
        try:
            session.send(request, "make the link", full).ok()
        except (ConnectionLost, TimedOut, NotFound):
            raise
        except StorageError:
            if self._remote.exists(session, path):
                raise AlreadyExists(f"“{printable(full)}” exists already") from None
            raise

    def _made(self, session: SftpSession, path: str, text: str, mtime_ns: int | None) -> Entry:
        """The link as the server shows it, with its time where the server sets that of a link."""
        if mtime_ns is not None:
            try:
                self._remote.set_attributes(session, path, mtime_ns=mtime_ns, mode=None)
            except (ConnectionLost, TimedOut):
                raise
            except StorageError:
                pass
        found = self._remote.lstat(session, path)
        if found.kind is not Kind.SYMLINK or found.link_target != text:
            full = printable(self._remote.full(path))
            raise StorageError(f"the server did not make “{full}” the link that was asked for")
        return found

    def _order(self, session: SftpSession, temporary: str) -> bool:
        with self._lock:
            if self._path_first is None:
                self._path_first = self._try_order(session, temporary)
            return self._path_first

    def _try_order(self, session: SftpSession, temporary: str) -> bool:
        remote = self._remote
        other = f"{temporary.removesuffix(_SUFFIX)}-{_SUFFIX}"
        for name in (other, temporary):
            _remove(remote, session, name)
        first, second = remote.full(other), remote.full(temporary)
        session.send(wire.SymLink(first, second), "make the link", second).ok()
        for name, path_first in ((temporary, False), (other, True)):
            if remote.exists(session, name):
                _remove(remote, session, name)
                return path_first
        raise NotSupported(f"the server said it made the link “{printable(second)}” and did not")


def _remove(remote: Remote, session: SftpSession, path: str) -> None:
    full = remote.full(path)
    with contextlib.suppress(NotFound):
        session.send(wire.Remove(full), "remove", full).ok()
