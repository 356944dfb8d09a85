"""Reader and Writer of a bucket.

A directory is what keys with a slash have in common, or a marker: an empty object whose key ends in a slash,
as the AWS console and rclone's ``--s3-directory-markers`` make them. Empty directories are kept by markers.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from tui_sync.connectors.base import (
    Endpoint,
    Features,
    Fetched,
    Listed,
    Parcel,
    Place,
    Prompts,
    Range,
    Reader,
)
from tui_sync.connectors.one_by_one import OneByOneWriter
from tui_sync.connectors.s3 import listing
from tui_sync.connectors.s3.client import Store, open_store
from tui_sync.connectors.s3.download import S3Download, as_listed, fetch_small, open_object
from tui_sync.connectors.s3.keys import MTIME, Parts, entry_of, modified_ns, mtime_of, mtime_text
from tui_sync.connectors.s3.upload import S3Upload
from tui_sync.errors import (
    AlreadyExists,
    ConnectionLost,
    Drifted,
    NotFound,
    NotSupported,
    StorageError,
    TimedOut,
)
from tui_sync.model import Entry, Kind
from tui_sync.names import parent, printable

_FEATURES = Features(
    lists_mtime=False,
    sets_mode=False,
    directories=False,
    random_write=False,
    rename=False,
    symlinks=False,
    checks_uploads=True,
)

_MOST_MADE = 100_000

T = TypeVar("T")


def connect(endpoint: Endpoint, prompts: Prompts) -> S3Connector:
    """The bucket and prefix of an endpoint, after one request that shows whether they can be listed.

    Raises LoginRefused, NotFound where there is no such bucket, PermissionDenied, ConnectError.
    """
    store = open_store(endpoint, prompts)
    try:
        store.call("list_objects_v2", "open", "", Prefix=store.place.prefix, MaxKeys=1)
    except BaseException:
        # Its threads would outlive an interrupt.
        store.close()
        raise
    return S3Connector(store)


class S3Connector:
    """One bucket, or a prefix in it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def label(self) -> str:
        return self._store.label

    @property
    def requests(self) -> Counter[str]:
        """What was sent so far, by the S3 operation's name; a request that was repeated counts each time."""
        return self._store.requests.copy()

    @property
    def server(self) -> str:
        return f"s3 {self._store.settings.endpoint_url or ''} {self._store.place.bucket}"

    def place(self) -> Place:
        return Place("/" + self._store.place.prefix.rstrip("/"))

    def reader(self) -> S3Reader:
        return S3Reader(self._store)

    def writer(self) -> S3Writer:
        return S3Writer(self._store)

    def close(self) -> None:
        self._store.close()


class S3Reader:
    """Reader of a bucket. Listings show no times: ``stat`` and downloads do."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def features(self) -> Features:
        return _FEATURES if self.store.checks_uploads else replace(_FEATURES, checks_uploads=False)

    def list_dir(self, path: str) -> list[Listed]:
        return listing.list_alone(self.store, path)

    def for_walk(self) -> WalkReader:
        return WalkReader(self.store)

    def stat(self, path: str) -> Entry:
        if path:
            try:
                return self._file(path)
            except NotFound:
                pass
        first = self.store.first_below(path)
        if first is None and (path or self.store.place.prefix):
            raise NotFound(f"“{printable(path) or '/'}” does not exist")
        return Entry(path, Kind.DIRECTORY, mtime_ns=self._marker_time(path, first))

    def _file(self, path: str) -> Entry:
        answer = self.store.call("head_object", "examine", path, Key=self.store.place.key(path))
        return as_listed(self.store, entry_of(path, answer, int(answer["ContentLength"])))

    def _marker_time(self, path: str, first: str | None) -> int | None:
        key = self.store.place.folder(path)
        if not key or first != key:
            return None
        try:
            answer = self.store.call("head_object", "examine", path, Key=key)
        except NotFound:
            return None
        kept = mtime_of(answer.get("Metadata") or {})
        return modified_ns(answer.get("LastModified")) if kept is None else kept

    def open(self, path: str) -> S3Download:
        return open_object(self.store, path)

    def checksum(self, path: str, algorithm: str) -> str | None:
        return None

    def stat_many(self, paths: Sequence[str]) -> list[Entry | StorageError]:
        return _at_once(self.store, [partial(self.stat, path) for path in paths])

    def fetch_many(self, paths: Sequence[str], most: Sequence[int]) -> list[Fetched | StorageError]:
        return _at_once(self.store, [partial(self._fetch, *asked) for asked in zip(paths, most, strict=True)])

    def _fetch(self, path: str, most: int) -> Fetched:
        # One answer, so there is no before and after.
        entry, data = fetch_small(self.store, path, most)
        return Fetched(entry, data, entry)

    def free_space(self) -> int | None:
        return None


class WalkReader(S3Reader):
    """Answers ``list_dir`` from a listing that runs ahead: for one walk over the tree as it is now."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._ahead = listing.Ahead(store)

    def list_dir(self, path: str) -> list[Listed]:
        return self._ahead.list_dir(path)


class S3Writer(OneByOneWriter):
    """Writer of a bucket."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self._reader = S3Reader(store)
        # Directories that this writer made: known without asking to have a marker.
        self._made: set[str] = set()
        self._lock = threading.Lock()

    def upload(
        self, path: str, *, temporary: str, size: int | None, mtime_ns: int | None, mode: int | None
    ) -> S3Upload:
        """``temporary`` is not used: an object is seen when all of it is there."""
        self._store.place.key(path)
        self._store.need_folder(parent(path))
        return S3Upload(self._store, path, size=size, mtime_ns=mtime_ns)

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
    ) -> S3Upload:
        if not token:
            # It was going to be begun, and nobody learned whether it was.
            self._store.abort_empty_uploads(path)
        layout, colon, upload_id = token.partition(":")
        number = layout.removesuffix("+")
        if not colon or not upload_id or not (number.isascii() and number.isdecimal() and int(number)):
            raise NotFound(f"there is no upload of “{printable(path)}” to go on with")
        grows = layout.endswith("+")
        if grows is not (size is None) or Parts(int(number), size).part_size != int(number):
            raise NotFound(f"the upload of “{printable(path)}” was for another size")
        self._store.need_folder(parent(path))
        upload = S3Upload(
            self._store, path, size=size, mtime_ns=mtime_ns, upload_id=upload_id, part_size=int(number)
        )
        upload.take_up()
        return upload

    def copies_from(self, reader: Reader) -> bool:
        if not isinstance(reader, S3Reader) or reader.store.account != self._store.account:
            return False
        reader.store.copied_on_server = True
        self._store.filled_by_copies = True
        return True

    def stage_many(self, parcels: Sequence[Parcel]) -> list[Entry | StorageError]:
        """Sends nothing: until they are published, small files are kept here."""
        return _at_once(self._store, [partial(self._stage, parcel) for parcel in parcels])

    def publish_many(self, parcels: Sequence[Parcel]) -> list[Entry | StorageError]:
        return _at_once(self._store, [partial(self._publish, parcel) for parcel in parcels])

    def make_dir(self, path: str, *, mode: int | None) -> None:
        """Put a marker there."""
        store = self._store
        if path:
            above = parent(path)
            store.need_folder(above)
            # Where a listing or our own making tells what is in the parent, a name it lacks is free.
            if not store.folders.listed(above) or store.folders.known(path):
                self._refuse_taken(path)
        elif not store.place.prefix or store.first_below("") is not None:
            raise AlreadyExists("the folder already exists")
        self._put_marker(path, None)
        store.folders.add(path, listed=True)
        with self._lock:
            if len(self._made) < _MOST_MADE:
                self._made.add(path)

    def _refuse_taken(self, path: str) -> None:
        try:
            self._reader.stat(path)
        except NotFound:
            return
        raise AlreadyExists(f"“{printable(path)}” already exists")

    def _put_marker(self, path: str, mtime_ns: int | None) -> None:
        text = mtime_text(mtime_ns)
        self._store.call(
            "put_object",
            "make the folder",
            path,
            Key=self._store.place.folder(path),
            Body=b"",
            ContentType="application/x-directory",
            Metadata={} if text is None else {MTIME: text},
        )

    def set_attributes(self, path: str, *, mtime_ns: int | None, mode: int | None) -> None:
        """A time is set by a copy of the object onto itself; a directory has one if it has a marker."""
        with self._lock:
            made = path in self._made
            self._made.discard(path)
        if made:
            if mtime_text(mtime_ns) is not None:
                self._put_marker(path, mtime_ns)
            return
        found = self._reader.stat(path)
        if mtime_text(mtime_ns) is None or found.mtime_ns == mtime_ns:
            return
        if found.kind is Kind.DIRECTORY:
            if found.mtime_ns is not None:
                self._put_marker(path, mtime_ns)
            return
        self._copy(path, path, mtime_ns, replace=True)

    def remove_file(self, path: str) -> None:
        self._reader._file(path)
        self._delete(path, self._store.place.key(path))

    def remove_dir(self, path: str) -> None:
        store, key = self._store, self._store.place.folder(path)
        answer = store.call("list_objects_v2", "remove", path, Prefix=key, MaxKeys=2)
        found = [each["Key"] for each in answer.get("Contents") or ()]
        if not found:
            if self._is_file(path):
                raise StorageError(f"“{printable(path)}” is no folder")
            raise NotFound(f"the folder “{printable(path)}” does not exist")
        if found != [key]:
            raise StorageError(f"the folder “{printable(path)}” is not empty")
        self._delete(path, key)
        store.folders.forget(path)
        with self._lock:
            self._made.discard(path)

    def _is_file(self, path: str) -> bool:
        try:
            self._reader._file(path)
        except NotFound:
            return False
        return True

    def _delete(self, path: str, key: str, **condition: Any) -> None:
        self._store.call("delete_object", "remove", path, Key=key, **condition)

    def back_up_many(self, pairs: Sequence[tuple[str, str]]) -> list[StorageError | None]:
        """A copy on the server."""
        return _at_once(self._store, [partial(self.back_up, *pair) for pair in pairs])

    def back_up(self, path: str, backup: str) -> None:
        found = self._reader.stat(path)
        if found.kind is Kind.DIRECTORY:
            raise StorageError(f"“{printable(path)}” is a folder")
        self._store.need_folder(parent(backup))
        self._copy(path, backup, found.mtime_ns, replace=False)

    def make_link(
        self, path: str, text: str, *, temporary: str, replace: bool, mtime_ns: int | None
    ) -> Entry:
        raise NotSupported(f"“{printable(path)}” cannot be a symbolic link: S3 has none")

    def rename(self, old: str, new: str, *, replace: bool = False) -> None:
        """A file alone, by a copy on the server and a delete: both names are there for a moment. What has
        replaced the old one meanwhile stays."""
        found = self._reader.stat(old)
        if found.kind is Kind.DIRECTORY:
            raise NotSupported(f"“{printable(old)}” is a folder, and S3 cannot rename those")
        self._store.need_folder(parent(new))
        try:
            self._copy(old, new, found.mtime_ns, replace=replace)
        except AlreadyExists:
            # The copy of an earlier attempt that got no further loses nothing.
            if self._reader.stat(new).identity != found.identity:
                raise
        now = self._reader.stat(old)
        if now.etag != found.etag:
            raise Drifted(
                f"“{printable(old)}” was replaced while it was moved; it stays, and so does the copy"
            )
        self._delete(old, self._store.place.key(old))

    def _copy(self, old: str, new: str, mtime_ns: int | None, *, replace: bool) -> None:
        answer = self._store.call("head_object", "examine", old, Key=self._store.place.key(old))
        source = S3Download(self._store, old, answer)
        upload = S3Upload(self._store, new, size=None, mtime_ns=mtime_ns)
        try:
            upload.copy_from(source)
            upload.finish()
            upload.publish(replace=replace)
        except BaseException:
            # A cancel leaves no parts behind that somebody pays for.
            upload.abort()
            raise
        finally:
            self._store.copied_on_server = False


def _at_once(store: Store, actions: Sequence[Callable[[], T]]) -> list[T | StorageError]:
    """What the actions return, in their order, or the error of each; what concerns all is raised."""
    futures = [store.calls.start(action) for action in actions]
    results: list[T | StorageError] = []
    try:
        for future in futures:
            try:
                results.append(future.result())
            except (ConnectionLost, TimedOut):
                raise
            except StorageError as error:
                results.append(error)
    finally:
        for future in futures:
            future.cancel()
    return results
