"""A source whose symbolic links are what they lead to, as far as that lies inside of it.

Links are followed here, by their texts, and never by the storage: so none leads out of the root. What is
reached through one has the path of the link; what it really is, is read under its own.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from tui_sync import names
from tui_sync.connectors.base import Connector, Download, Features, Fetched, Listed, Place, Reader, Writer
from tui_sync.errors import ConnectionLost, NotFound, StorageError, TimedOut, UnsafeName
from tui_sync.model import Entry, Kind

# As many as Linux follows for one path (path_resolution(7)).
_MOST_HOPS = 40
# Folders reached through links in links: two that lead to each other's parents would have no end to them.
_DEEPEST = 8
_MOST_KEPT = 20_000

NOWHERE = "symbolic link that leads nowhere"
OUTSIDE = "symbolic link that leads out of the source"
SPECIAL = "symbolic link to neither file nor folder"
LOOP = "symbolic link in a loop"
TOO_DEEP = f"symbolic link below more than {_DEEPEST} others"


class _NotFollowed(Exception):
    """Why a link stays one."""


class FollowingConnector:
    """See ``base.Connector``; ``inner`` is the source itself. Its Readers share what they have learnt."""

    def __init__(self, inner: Connector, roots: Sequence[str]) -> None:
        self._inner = inner
        self._reader = FollowingReader(inner.reader(), roots)

    @property
    def label(self) -> str:
        return self._inner.label

    @property
    def server(self) -> str:
        return self._inner.server

    def place(self) -> Place:
        return self._inner.place()

    def reader(self) -> FollowingReader:
        return self._reader

    def writer(self) -> Writer:
        return self._inner.writer()

    def close(self) -> None:
        self._inner.close()


class FollowingReader:
    """See ``base.Reader``. ``roots`` are the absolute paths by which links may name the root.

    A link that is not followed is listed as the link it is; ``why_not`` tells why.
    """

    def __init__(self, reader: Reader, roots: Sequence[str]) -> None:
        self._reader = reader
        self._roots = tuple(dict.fromkeys(root.rstrip("/") for root in roots))
        self._lock = threading.Lock()
        # Where folders are, and files that are reached by links, by the path that shows them.
        self._folders: dict[str, str] = {"": ""}
        self._files: dict[str, str] = {}
        self._why: dict[str, str] = {}

    @property
    def features(self) -> Features:
        return self._reader.features

    def why_not(self, path: str) -> str:
        """Why the link at ``path`` was not followed when its folder was listed."""
        with self._lock:
            return self._why.get(path, NOWHERE)

    def list_dir(self, path: str) -> list[Listed]:
        real = self._folder(path)
        children = self._reader.list_dir(real)
        found = []
        for child in children:
            if child.kind is Kind.SYMLINK:
                found.append(self._followed(path, real, child))
                continue
            if child.kind is Kind.DIRECTORY and _usable(child.name):
                self._keep(self._folders, names.join(path, child.name), names.join(real, child.name))
            found.append(child)
        return found

    def stat(self, path: str) -> Entry:
        return self._entry(path)._replace(path=path)

    def open(self, path: str) -> Download:
        return self._reader.open(self._entry(path).path)

    def checksum(self, path: str, algorithm: str) -> str | None:
        return self._reader.checksum(self._entry(path).path, algorithm)

    def stat_many(self, paths: Sequence[str]) -> list[Entry | StorageError]:
        return [self._or_error(path) for path in paths]

    def fetch_many(self, paths: Sequence[str], most: Sequence[int]) -> list[Fetched | StorageError]:
        results: list[Fetched | StorageError] = []
        real: list[str] = []
        for path in paths:
            try:
                real.append(self._known_file(path) or self._beside(path))
            except (ConnectionLost, TimedOut):
                raise
            except StorageError:
                real.append(path)
        results = self._reader.fetch_many(real, most)
        for index, (path, tried) in enumerate(zip(paths, real, strict=True)):
            if isinstance(results[index], StorageError):
                # It may be a link that nobody knew of.
                entry = self._or_error(path)
                if isinstance(entry, StorageError):
                    results[index] = entry
                elif (own := self._entry(path).path) != tried:
                    [results[index]] = self._reader.fetch_many([own], [most[index]])
        return results

    def free_space(self) -> int | None:
        return self._reader.free_space()

    def _or_error(self, path: str) -> Entry | StorageError:
        try:
            return self.stat(path)
        except (ConnectionLost, TimedOut):
            raise
        except StorageError as error:
            return error

    def _known_file(self, path: str) -> str | None:
        with self._lock:
            return self._files.get(path)

    def _beside(self, path: str) -> str:
        """Where the path is if its last name is no link."""
        if not path:
            return ""
        return names.join(self._folder(names.parent(path)), path.rpartition("/")[2])

    def _entry(self, path: str) -> Entry:
        """What the path shows, under its own path; of a link that is not followed the link."""
        return self._shown(self._reader.stat(self._beside(path)))

    def _shown(self, entry: Entry) -> Entry:
        if entry.kind is not Kind.SYMLINK:
            return entry
        try:
            return self._resolve(entry)
        except _NotFollowed:
            return entry

    def _folder(self, path: str) -> str:
        """Where the folder that ``path`` shows really is. Raises NotFound."""
        unknown = []
        with self._lock:
            while path not in self._folders:
                unknown.append(path)
                path = names.parent(path)
            real = self._folders[path]
        # From above, and not by recursion: there may be more folders than Python has frames.
        for folder in reversed(unknown):
            name = folder.rpartition("/")[2]
            entry = self._shown(self._reader.stat(names.join(real, name)))
            if entry.kind is not Kind.DIRECTORY:
                raise NotFound(f"“{names.printable(folder)}” is no folder, or a link that is not followed")
            real = entry.path
            self._keep(self._folders, folder, real)
        return real

    def _keep(self, memory: dict[str, str], path: str, real: str) -> None:
        with self._lock:
            if len(memory) > _MOST_KEPT:
                memory.clear()
                self._folders[""] = ""
            memory[path] = real

    def _followed(self, folder: str, real: str, child: Listed) -> Listed:
        try:
            link = child.at(names.join(real, child.name))
            shown = names.join(folder, child.name)
        except UnsafeName:
            return child
        try:
            entry = self._resolve(link)
            if entry.kind is Kind.DIRECTORY:
                self._check_end(folder, entry.path)
        except _NotFollowed as reason:
            with self._lock:
                self._why[shown] = str(reason)
            return child
        self._keep(self._folders if entry.kind is Kind.DIRECTORY else self._files, shown, entry.path)
        return Listed(child.name, entry.kind, entry.size, entry.mtime_ns, entry.mode, entry.etag)

    def _check_end(self, folder: str, real: str) -> None:
        """Raise where the walk is inside of that folder already, or went through too many links."""
        above = [folder, *names.ancestors(folder)] if folder else [""]
        where = [self._folder(each) for each in above]
        if real in where:
            raise _NotFollowed(LOOP)
        jumps = sum(
            names.join(where[index + 1], each.rpartition("/")[2]) != where[index]
            for index, each in enumerate(above[:-1])
        )
        if jumps >= _DEEPEST:
            raise _NotFollowed(TOO_DEEP)

    def _resolve(self, link: Entry) -> Entry:
        """What a link leads to in the end, step by step from the folder that it really is in."""
        hops = 0
        here, todo = self._step(names.parent(link.path), link.link_target)
        while todo:
            name = todo.pop()
            if name == "..":
                if not here:
                    raise _NotFollowed(OUTSIDE)
                here = names.parent(here)
                continue
            entry = self._look(here, name)
            if entry.kind is Kind.SYMLINK:
                hops += 1
                if hops > _MOST_HOPS:
                    raise _NotFollowed(LOOP)
                here, more = self._step(here, entry.link_target)
                todo += more
            elif entry.kind is Kind.DIRECTORY:
                here = entry.path
            elif todo:
                raise _NotFollowed(NOWHERE)
            elif entry.kind is Kind.OTHER:
                raise _NotFollowed(SPECIAL)
            else:
                return entry
        return self._reader.stat(here)._replace(path=here)

    def _step(self, here: str, text: str | None) -> tuple[str, list[str]]:
        """The folder that a link's text starts from and the names on the way, the first one last."""
        if not text:
            raise _NotFollowed(NOWHERE)
        if text.startswith("/"):
            inside = [root for root in self._roots if text == root or text.startswith(f"{root}/")]
            if not inside:
                raise _NotFollowed(OUTSIDE)
            here, text = "", text[len(max(inside, key=len)) :]
        return here, [name for name in reversed(text.split("/")) if name not in ("", ".")]

    def _look(self, here: str, name: str) -> Entry:
        try:
            if names.is_ours(name):
                raise _NotFollowed(NOWHERE)
            return self._reader.stat(names.join(here, name))
        except (NotFound, UnsafeName):
            raise _NotFollowed(NOWHERE) from None
        except (ConnectionLost, TimedOut):
            raise
        except StorageError as error:
            raise _NotFollowed(f"symbolic link that cannot be followed: {error}") from None


def _usable(name: str) -> bool:
    try:
        names.check_name(name)
    except UnsafeName:
        return False
    return True
