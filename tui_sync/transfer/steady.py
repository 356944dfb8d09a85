"""A Reader that asks again after a lost connection: a scan of hours must not end with one cut."""

from __future__ import annotations

from collections.abc import Sequence

from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import (
    Download,
    Features,
    Fetched,
    Listed,
    Listings,
    ListsMany,
    Reader,
    ReadsAhead,
)
from tui_sync.connectors.digest import HashesFiles
from tui_sync.errors import ConnectError, StorageError, TuiSyncError
from tui_sync.model import Entry
from tui_sync.transfer.retry import Retry


class SteadyReader:
    """See ``base.Reader`` and ``digest.HashesFiles``. What a Download raises is its reader's to deal with."""

    def __init__(self, reader: Reader, retry: Retry, cancel: CancelToken) -> None:
        self._reader = reader
        self._retry = retry
        self._cancel = cancel

    @property
    def features(self) -> Features:
        return self._reader.features

    def for_walk(self) -> SteadyReader:
        reader = self._reader.for_walk() if isinstance(self._reader, ReadsAhead) else self._reader
        return SteadyReader(reader, self._retry, self._cancel)

    def list_dir(self, path: str) -> list[Listed]:
        return self._retry.call(lambda: self._reader.list_dir(path), self._cancel)

    @property
    def lists_together(self) -> int:
        return self._reader.lists_together if isinstance(self._reader, ListsMany) else 1

    def list_many(self, paths: Sequence[str]) -> Listings:
        assert isinstance(self._reader, ListsMany)
        left = dict.fromkeys(paths)
        attempt = 0
        while left:
            try:
                for path, found in self._reader.list_many(list(left)):
                    del left[path]
                    attempt = 0
                    yield path, found
            except ConnectError:
                raise
            except TuiSyncError as error:
                self._cancel.check()
                attempt += 1
                if not self._retry.again(error, attempt, self._cancel):
                    raise

    def stat(self, path: str) -> Entry:
        return self._retry.call(lambda: self._reader.stat(path), self._cancel)

    def open(self, path: str) -> Download:
        return self._retry.call(lambda: self._reader.open(path), self._cancel)

    def checksum(self, path: str, algorithm: str) -> str | None:
        return self._retry.call(lambda: self._reader.checksum(path, algorithm), self._cancel)

    def hashes(self) -> bool:
        return isinstance(self._reader, HashesFiles) and self._reader.hashes()

    @property
    def far(self) -> bool:
        return isinstance(self._reader, HashesFiles) and self._reader.far

    def digests(self, entries: Sequence[Entry]) -> list[str | None]:
        return (
            self._reader.digests(entries) if isinstance(self._reader, HashesFiles) else [None] * len(entries)
        )

    def stat_many(self, paths: Sequence[str]) -> list[Entry | StorageError]:
        return self._retry.call(lambda: self._reader.stat_many(paths), self._cancel)

    def fetch_many(self, paths: Sequence[str], most: Sequence[int]) -> list[Fetched | StorageError]:
        return self._retry.call(lambda: self._reader.fetch_many(paths, most), self._cancel)

    def free_space(self) -> int | None:
        return self._retry.call(self._reader.free_space, self._cancel)
