"""A second name for a file on an SFTP server, or a copy made by the server itself."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence

from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.flush import FSYNC_S
from tui_sync.connectors.sftp.links import Links
from tui_sync.connectors.sftp.remote import Remote
from tui_sync.connectors.sftp.rename import rename_new
from tui_sync.connectors.sftp.session import Asked, SftpSession
from tui_sync.connectors.sftp.upload import STAGED_MODE
from tui_sync.connectors.sftp.wire import OpenFlag
from tui_sync.errors import (
    AlreadyExists,
    ConnectionLost,
    NotFound,
    NotSupported,
    StorageError,
    TimedOut,
)
from tui_sync.model import Kind
from tui_sync.names import OURS, parent, printable

_COPIED = 64 << 20
_COPY_S = 120.0


def back_up_many(remote: Remote, links: Links, pairs: Sequence[tuple[str, str]]) -> list[StorageError | None]:
    """See ``base.Writer.back_up_many``: second names for all in one round trip, where the server offers
    that; it may not for every file."""
    with remote.pool.session() as session:
        if not session.offers(wire.HARDLINK):
            return [_one(remote, links, session, *pair) for pair in pairs]
        asked = [
            Asked(wire.hardlink(remote.full(path), remote.full(backup)), "back up", remote.full(path))
            for path, backup in pairs
        ]
        results: list[StorageError | None] = []
        for (path, backup), reply in zip(pairs, session.send_many(asked), strict=True):
            try:
                reply.ok()
                results.append(None)
            except (ConnectionLost, TimedOut):
                raise
            except StorageError:
                results.append(_one(remote, links, session, path, backup))
        return results


def _one(remote: Remote, links: Links, session: SftpSession, path: str, backup: str) -> StorageError | None:
    """By a copy; or why there is none."""
    try:
        if remote.exists(session, backup):
            return AlreadyExists(f"“{printable(remote.full(backup))}” exists already")
        found = remote.lstat(session, path)
        if found.kind is Kind.SYMLINK:
            links.make(session, backup, found.link_target or "", temporary=_stage(backup), replace=False)
        elif found.kind is Kind.FILE and session.offers(wire.COPY_DATA):
            _copy(remote, session, path, backup)
        else:
            return NotSupported(f"the server has no second name and no copy for “{printable(path)}”")
    except (ConnectionLost, TimedOut):
        raise
    except StorageError as error:
        return error
    return None


def _copy(remote: Remote, session: SftpSession, path: str, backup: str) -> None:
    full, stage = remote.full(path), _stage(backup)
    staged = remote.full(stage)
    source = session.send(wire.Open(full, OpenFlag.READ), "open", full).handle()
    target = b""
    try:
        found = session.send(wire.Fstat(source), "look at", full).attributes()
        new = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.EXCLUSIVE
        mode = wire.Attributes(permissions=STAGED_MODE)
        target = session.send(wire.Open(staged, new, mode), "create", staged).handle()
        try:
            for start in range(0, found.size or 0, _COPIED):
                length = min(_COPIED, (found.size or 0) - start)
                request = wire.copy_data(source, target, start, length)
                session.send(request, "copy", full, deadline=_COPY_S).ok()
            if session.offers(wire.FSYNC):
                with contextlib.suppress(NotSupported):
                    session.send(wire.fsync(target), "make durable", staged, deadline=FSYNC_S).ok()
            permissions = None if found.permissions is None else found.permissions & 0o777
            kept = wire.Attributes(permissions=permissions, times=found.times)
            session.send(wire.FsetStat(target, kept), "set the attributes of", staged).wait()
            if session.send(wire.Fstat(target), "look at", staged).attributes().size != found.size:
                raise StorageError(f"the server copied only a part of “{printable(full)}”")
            rename_new(remote, session, stage, backup)
        except (ConnectionLost, TimedOut):
            raise
        except StorageError:
            with contextlib.suppress(NotFound):
                session.send(wire.Remove(staged), "remove", staged).ok()
            raise
    finally:
        for handle in (source, target):
            if handle and session.alive:
                session.send(wire.Close(handle), "close", full)


def _stage(backup: str) -> str:
    folder, name = parent(backup), f"{OURS}-{secrets.token_hex(8)}.part"
    return f"{folder}/{name}" if folder else name
