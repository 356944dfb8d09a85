"""Listings: one directory at a time, or for a walk over all of a tree a whole subtree in one stream.

A key is split at its slashes. Whatever is between two of them is a name, also ``..`` or nothing at all: names
are handed on unchecked, and the scan makes conflicts of those that cannot be used.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

from tui_sync.connectors.base import Listed
from tui_sync.connectors.s3.client import Store
from tui_sync.connectors.s3.keys import plain
from tui_sync.errors import NotFound, StorageError
from tui_sync.model import Kind
from tui_sync.names import printable

# So many entries below a directory's own are listed ahead before it is listed alone; and kept, in all.
AHEAD = 20_000
HELD = 100_000


def pages(store: Store, path: str, *, flat: bool) -> Iterator[dict[str, Any]]:
    """The answers of ListObjectsV2 for the directory at ``path``; ``flat``: with all that is below it."""
    parameters: dict[str, Any] = {"Prefix": store.place.folder(path)}
    if not flat:
        parameters["Delimiter"] = "/"
    while True:
        answer = store.call("list_objects_v2", "list", path, **parameters)
        _check_whole(answer, path, parameters.get("ContinuationToken"))
        for found in answer.get("Contents") or ():
            if "-" in (etag := plain(found.get("ETag"))):
                store.shown.add(found["Key"], etag)
        yield answer
        if not answer["IsTruncated"]:
            return
        parameters["ContinuationToken"] = answer["NextContinuationToken"]


def _check_whole(answer: Mapping[str, Any], path: str, token: str | None) -> None:
    """Of a listing that leaves out something nobody would hear: raise StorageError where it may be one.
    ``token``: by which it was asked for."""
    contents, more = answer.get("Contents") or (), answer.get("IsTruncated")
    whole = isinstance(more, bool) and all("Key" in found and "Size" in found for found in contents)
    goes_on = not more or answer.get("NextContinuationToken") not in (None, "", token)
    if not whole or not goes_on:
        raise StorageError(
            f"cannot list “{printable(path) or '/'}”: the server's listing is none, or not whole"
        )


def list_alone(store: Store, path: str) -> list[Listed]:
    """The direct children of one directory. Raises NotFound where nothing begins with its name."""
    children: list[Listed] = []
    prefix = store.place.folder(path)
    exists = not prefix
    for page in pages(store, path, flat=False):
        for found in page.get("Contents") or ():
            exists = True
            if (child := _object(found["Key"][len(prefix) :], found)) is not None:
                children.append(child)
        for found in page.get("CommonPrefixes") or ():
            exists = True
            children.append(Listed(found["Prefix"][len(prefix) : -1], Kind.DIRECTORY))
    _need(exists, path)
    store.folders.add(path, listed=True)
    return children


class Ahead:
    """Listings for one walk over the tree, which asks for each directory once and for parents first.

    A directory is listed with all that is below it, a thousand keys a request, and what the walk will ask
    for next is kept until it does. Where more than ``AHEAD`` entries turn out to be below, the directory is
    listed alone: the answer needs all its children, and a stream that is sorted by key has the last of them
    at its end. Directories that the stream had passed by then are kept too. So no key is listed more often
    than the tree is deep, and mostly once.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._kept: dict[str, list[Listed]] = {}
        self._entries = 0

    def list_dir(self, path: str) -> list[Listed]:
        with self._lock:
            kept = self._kept.pop(path, None)
            if kept is not None:
                self._entries -= len(kept)
        if kept is not None:
            self._store.folders.add(path, listed=True)
            return kept
        return self._read(path)

    def _read(self, path: str) -> list[Listed]:
        prefix = self._store.place.folder(path)
        tree = _Tree(prefix)
        for page in pages(self._store, path, flat=True):
            tree.add(page.get("Contents") or ())
            if tree.deep > AHEAD and page.get("IsTruncated"):
                tree.drop_unfinished()
                self._keep(path, tree)
                return list_alone(self._store, path)
        _need(tree.exists or not prefix, path)
        self._keep(path, tree)
        self._store.folders.add(path, listed=True)
        return tree.own

    def _keep(self, path: str, tree: _Tree) -> None:
        with self._lock:
            if self._entries + tree.deep > HELD:
                return
            for folder, children in tree.below(path):
                if folder not in self._kept:
                    self._kept[folder] = children
                    self._entries += len(children)


class _Tree:
    """Directories as they grow out of sorted keys. ``deep`` counts the entries that are not direct children.

    Directories are tuples of names, as empty names would make two paths one.
    """

    def __init__(self, prefix: str) -> None:
        self.own: list[Listed] = []
        self.deep = 0
        self.exists = False
        self._prefix = prefix
        self._folders: dict[tuple[str, ...], list[Listed]] = {(): self.own}
        self._last: tuple[str, ...] = ()

    def add(self, contents: Any) -> None:
        for found in contents:
            self.exists = True
            *above, name = found["Key"][len(self._prefix) :].split("/")
            self._last = tuple(above)
            children = self._folders.get(self._last)
            if children is None:
                children = self._enter(self._last)
            if (child := _object(name, found)) is not None:
                children.append(child)
                self.deep += bool(above)

    def _enter(self, folder: tuple[str, ...]) -> list[Listed]:
        """The children of a new directory, which is entered with all those above it that are new."""
        children = self.own
        for depth, name in enumerate(folder):
            below = self._folders.get(folder[: depth + 1])
            if below is None:
                children.append(Listed(name, Kind.DIRECTORY))
                self.deep += depth > 0
                below = self._folders[folder[: depth + 1]] = []
            children = below
        return children

    def drop_unfinished(self) -> None:
        """Forget the directories of which more may come: those above the last key."""
        for depth in range(len(self._last) + 1):
            self._folders.pop(self._last[:depth], None)

    def below(self, path: str) -> Iterator[tuple[str, list[Listed]]]:
        """The directories below the tree's own at ``path``, but for those under a name no walk goes into."""
        for folder, children in self._folders.items():
            if folder and "" not in folder:
                yield "/".join((path, *folder) if path else folder), children


def _object(name: str, found: dict[str, Any]) -> Listed | None:
    """An object as a child, None for the marker of the directory itself. One without a name that has content
    is no marker: the content would be lost, so it is shown as what it is, a file without a name."""
    if not name and not found["Size"]:
        return None
    return Listed(name, Kind.FILE, found["Size"], etag=plain(found.get("ETag")))


def _need(exists: bool, path: str) -> None:
    if not exists:
        raise NotFound(f"the folder “{printable(path) or '/'}” does not exist")
