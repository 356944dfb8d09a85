"""What is in folders: several of them at a time, in as many round trips as one takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress

from tui_sync.connectors.base import Listed, Listings
from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.remote import Remote, link_text, listed_all
from tui_sync.connectors.sftp.session import Asked, Reply, SftpSession
from tui_sync.errors import ConnectionLost, NotFound, PermissionDenied, StorageError, TimedOut
from tui_sync.model import Kind
from tui_sync.names import printable

TOGETHER = 16
# Pages that are asked for before the first has come, which does for most folders; and for the largest.
_PAGES = 3
_MOST_PAGES = 24
# sftp-server joins the folder and a name into a buffer of this size, and leaves out what does not fit.
_LONGEST_PATH = 4096
_LONGEST_NAME = 255
_LINKS_AHEAD = 64


def list_dir(remote: Remote, path: str) -> list[Listed]:
    """See ``base.Reader.list_dir``."""
    with remote.pool.session() as session:
        [(_, found)] = _list(session, {path: remote.full(path)})
        if isinstance(found, StorageError):
            raise found
        return found


def list_many(remote: Remote, paths: Sequence[str]) -> Listings:
    """See ``base.ListsMany``."""
    by_itself: list[str] = []
    with remote.pool.session() as session:
        size = _together(session)
        for first in range(0, len(paths), size):
            folders = {path: remote.full(path) for path in paths[first : first + size]}
            for path, found in _list(session, folders):
                # It may be that so many handles are not allowed, or that one answer put an end to all.
                if type(found) is StorageError:
                    by_itself.append(path)
                else:
                    yield path, found
    for path in by_itself:
        answer: list[Listed] | StorageError
        try:
            answer = list_dir(remote, path)
        except (ConnectionLost, TimedOut):
            raise
        except StorageError as error:
            answer = error
        yield path, answer


def _together(session: SftpSession) -> int:
    """How many folders to hold open: so many that all who list at the same time find room for theirs."""
    if session.limits.handles:
        return max(1, min(TOGETHER, session.limits.handles // 16))
    # 0 says that there is no limit (PROTOCOL, section 4.8); where nothing is said, there may be a low one.
    return TOGETHER if session.offers(wire.LIMITS) else 1


def _list(session: SftpSession, folders: Mapping[str, str]) -> Listings:
    """List folders, given with their paths on the server, while all of them are open."""
    handles: dict[str, bytes] = {}
    refused: dict[str, StorageError] = {}
    try:
        opened = session.send_many([Asked(wire.OpenDir(full), "list", full) for full in folders.values()])
        for path, reply in zip(folders, opened, strict=True):
            try:
                handles[path] = reply.handle()
            except (ConnectionLost, TimedOut):
                raise
            except StorageError as error:
                refused[path] = error
        # Only now: whoever hears enough of it gives up, and all that is open is known here.
        yield from refused.items()
        pages = session.send_many(
            [
                Asked(wire.ReadDir(handle), "list", folders[path])
                for path, handle in handles.items()
                for _ in range(_PAGES)
            ]
        )
        for path, handle in handles.items():
            asked = deque(pages.popleft() for _ in range(_PAGES))
            found: list[Listed] | StorageError
            try:
                found = _read(session, handle, folders[path], asked)
            except (ConnectionLost, TimedOut):
                raise
            except StorageError as error:
                found = error
            yield path, found
    finally:
        if session.alive:
            with suppress(StorageError):
                session.send_many(
                    [Asked(wire.Close(handle), "close", folders[path]) for path, handle in handles.items()]
                )


def _read(session: SftpSession, handle: bytes, full: str, asked: deque[Reply]) -> list[Listed]:
    """All the children, whose first pages are asked for. Raises StorageError where the server may have kept
    some to itself: OpenSSH's answers a listing without the names that it cannot look at, and says no word of
    that."""
    if len(full.encode("utf-8", "surrogateescape")) + 1 + _LONGEST_NAME >= _LONGEST_PATH:
        raise StorageError(f"the path “{printable(full)}” is too long to be listed in full")
    found: list[Listed] = []
    pages, usual = _PAGES, 0
    while page := listed_all(asked.popleft().names()):
        found += page
        # A page after the first that is no shorter is hardly the last one.
        if not asked or (usual and len(page) >= usual and 2 * len(asked) < pages):
            pages = min(2 * pages, _MOST_PAGES)
            request = Asked(wire.ReadDir(handle), "list", full)
            asked += session.send_many([request] * (pages - len(asked)))
        usual = usual or len(page)
    for late in asked:
        # Pages have to come in order. Should a server not keep to that, nothing is lost.
        if isinstance(response := late.wait(), wire.Name):
            found += listed_all(response.entries)
    children = [child for child in found if child.name not in (".", "..")]
    if all(child.name != "." for child in found):
        _look_inside(session, full)
    return _read_links(session, full, children)


def _look_inside(session: SftpSession, full: str) -> None:
    """Raise where nothing in the folder can be looked at."""
    try:
        session.send(wire.Lstat(f"{full.rstrip('/')}/."), "list", full).attributes()
    except PermissionDenied:
        raise PermissionDenied(
            f"cannot list “{printable(full)}” in full: what is in it may not be looked at"
        ) from None
    except NotFound:
        # Where the folder itself is there, its server is one that knows no “.”: no other says that.
        session.send(wire.Lstat(full), "list", full).attributes()


def _read_links(session: SftpSession, full: str, children: list[Listed]) -> list[Listed]:
    """The children with the texts of the symlinks among them."""
    links = [index for index, child in enumerate(children) if child.kind is Kind.SYMLINK]
    for first in range(0, len(links), _LINKS_AHEAD):
        some = links[first : first + _LINKS_AHEAD]
        asked = session.send_many(
            [
                Asked(wire.ReadLink(f"{full.rstrip('/')}/{children[index].name}"), "read the link", full)
                for index in some
            ]
        )
        for index, reply in zip(some, asked, strict=True):
            try:
                children[index] = children[index]._replace(link_target=link_text(reply))
            except (ConnectionLost, TimedOut):
                raise
            except StorageError:
                # Gone by now, or not ours to read: the listing is complete without its text.
                continue
    return children
