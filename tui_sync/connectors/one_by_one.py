"""The ``_many`` calls of Reader and Writer for storage that has nothing better than one file at a time."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from tui_sync.connectors.base import Download, Fetched, Parcel, Upload
from tui_sync.errors import ConnectionLost, StorageError, TimedOut
from tui_sync.model import Entry
from tui_sync.names import printable

A = TypeVar("A")
T = TypeVar("T")


class OneByOneReader(ABC):
    """See ``base.Reader``."""

    @abstractmethod
    def stat(self, path: str) -> Entry: ...

    @abstractmethod
    def open(self, path: str) -> Download: ...

    def stat_many(self, paths: Sequence[str]) -> list[Entry | StorageError]:
        return [_or_error(self.stat, path) for path in paths]

    def fetch_many(self, paths: Sequence[str], most: Sequence[int]) -> list[Fetched | StorageError]:
        def fetch(asked: tuple[str, int]) -> Fetched:
            path, limit = asked
            with self.open(path) as download:
                data = b"".join(bytes(block) for block in download.blocks(0, limit + 1))
                if len(data) > limit:
                    raise StorageError(f"“{printable(path)}” holds more than {limit} bytes")
                return Fetched(download.entry, data, download.restat())

        return [_or_error(fetch, asked) for asked in zip(paths, most, strict=True)]


class OneByOneWriter(ABC):
    """See ``base.Writer``. Keeps the uploads between staging and publishing."""

    def __init__(self) -> None:
        self._staged: dict[str, Upload] = {}
        self._staged_lock = threading.Lock()

    @abstractmethod
    def upload(
        self, path: str, *, temporary: str, size: int | None, mtime_ns: int | None, mode: int | None
    ) -> Upload: ...

    @abstractmethod
    def back_up(self, path: str, backup: str) -> None: ...

    def back_up_many(self, pairs: Sequence[tuple[str, str]]) -> list[StorageError | None]:
        return [_or_error(lambda pair: self.back_up(*pair), pair) for pair in pairs]

    def stage_many(self, parcels: Sequence[Parcel]) -> list[Entry | StorageError]:
        return [_or_error(self._stage, parcel) for parcel in parcels]

    def publish_many(self, parcels: Sequence[Parcel]) -> list[Entry | StorageError]:
        results: list[Entry | StorageError] = []
        lost: StorageError | None = None
        for parcel in parcels:
            try:
                results.append(lost or self._publish(parcel))
            except StorageError as error:
                results.append(error)
                if isinstance(error, ConnectionLost | TimedOut):
                    lost = error
        return results

    def discard_many(self, parcels: Sequence[Parcel]) -> None:
        for parcel in parcels:
            with self._staged_lock:
                upload = self._staged.pop(parcel.temporary, None)
            if upload is not None:
                upload.abort()

    def _stage(self, parcel: Parcel) -> Entry:
        upload = self.upload(
            parcel.path,
            temporary=parcel.temporary,
            size=len(parcel.data),
            mtime_ns=parcel.mtime_ns,
            mode=parcel.mode,
        )
        try:
            if parcel.data:
                upload.write(0, parcel.data)
            entry = upload.finish()
        except BaseException:
            # Nobody else knows of it yet: whoever cancels could not discard it.
            upload.abort()
            raise
        with self._staged_lock:
            self._staged[parcel.temporary] = upload
        return entry

    def _publish(self, parcel: Parcel) -> Entry:
        with self._staged_lock:
            upload = self._staged.get(parcel.temporary)
        if upload is None:
            raise StorageError(f"“{printable(parcel.path)}” was not staged")
        entry = upload.publish(replace=parcel.replace)
        with self._staged_lock:
            self._staged.pop(parcel.temporary, None)
        return entry


def _or_error(action: Callable[[A], T], argument: A) -> T | StorageError:
    """What the action returns, or the error it raises where that concerns this one file."""
    try:
        return action(argument)
    except (ConnectionLost, TimedOut):
        raise
    except StorageError as error:
        return error
