"""Renames on an SFTP server: one that never replaces, one that does."""

from __future__ import annotations

import contextlib
import secrets

from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.remote import Remote
from tui_sync.connectors.sftp.session import SftpSession
from tui_sync.errors import (
    AlreadyExists,
    ConnectionLost,
    NotFound,
    StorageError,
    TimedOut,
)
from tui_sync.model import Kind
from tui_sync.names import OURS, parent, printable


def rename_new(remote: Remote, session: SftpSession, old: str, new: str) -> None:
    """Rename to a free name; raises AlreadyExists where ``new`` is taken (draft section 6.5).

    OpenSSH links and unlinks, so that not even a name taken at that very moment is replaced.
    """
    try:
        session.send(wire.Rename(remote.full(old), remote.full(new)), "rename", remote.full(old)).ok()
    except (ConnectionLost, TimedOut):
        raise
    except StorageError:
        # The statuses that servers give for a name taken are many.
        if remote.exists(session, new):
            raise AlreadyExists(f"“{printable(remote.full(new))}” exists already") from None
        raise


def rename_over(remote: Remote, session: SftpSession, old: str, new: str) -> None:
    """Rename, replacing a file at ``new``: in one step where the server can, else by way of a third name."""
    if session.offers(wire.POSIX_RENAME):
        request = wire.posix_rename(remote.full(old), remote.full(new))
        session.send(request, "rename", remote.full(old)).ok()
        return
    try:
        there = remote.lstat(session, new)
    except NotFound:
        rename_new(remote, session, old, new)
        return
    if there.kind is Kind.DIRECTORY:
        raise StorageError(f"cannot replace “{printable(remote.full(new))}”: it is a folder")
    name = f"{OURS}-aside-{secrets.token_hex(8)}"
    folder = parent(new)
    aside = f"{folder}/{name}" if folder else name
    rename_new(remote, session, new, aside)
    try:
        rename_new(remote, session, old, new)
    except StorageError:
        with contextlib.suppress(StorageError):
            rename_new(remote, session, aside, new)
        raise
    # What stays behind has one of our names and does no harm.
    with contextlib.suppress(StorageError):
        session.send(wire.Remove(remote.full(aside)), "remove", remote.full(aside)).ok()
