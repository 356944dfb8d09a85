"""Objects opened for reading: one answer or parallel ranges, all of one version, checked at the end."""

from __future__ import annotations

import base64
import hashlib
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from botocore import exceptions as boto
from urllib3.exceptions import HTTPError as BodyBroken

from tui_sync.connectors.base import Buffer
from tui_sync.connectors.s3 import faults
from tui_sync.connectors.s3.client import Store
from tui_sync.connectors.s3.keys import MIB, entry_of, md5_of, plain
from tui_sync.connectors.s3.stream import BODY_ATTEMPTS, BROKEN, Stream
from tui_sync.errors import Drifted, NotFound, StorageError, Vanished, VerifyFailed
from tui_sync.model import Entry
from tui_sync.names import printable

# Ranges that are fetched at a time, and how many of one object are under way. The first is always let
# through; the others share the connector's budget.
_CHUNK = 4 * MIB
_LARGE_CHUNK = 8 * MIB
_AHEAD = 6
# Of what is at least so long, one answer is tried first: it costs the server and us the least.
_LARGE = 64 * MIB
_BLOCK = MIB
_SKIPPED = "InvalidRange"

T = TypeVar("T")


def open_object(store: Store, path: str) -> S3Download:
    """Raises NotFound, or the store's error. One request for all of it, whose answer ``blocks`` reads."""
    key = store.place.key(path)
    if store.copied_on_server:
        answer = store.call("head_object", "open", path, Key=key)
        return S3Download(store, path, answer)
    answer = store.run("open", path, lambda: _get(store, key, None, None, checksum=True))
    return S3Download(store, path, answer, body=answer.pop("Body"), checksum_told=True)


def fetch_small(store: Store, path: str, most: int) -> tuple[Entry, bytes]:
    """An object of up to ``most`` bytes, with one request and checked. Raises as ``S3Download.blocks`` does,
    StorageError for a larger one."""
    key = store.place.key(path)

    def read(answer: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        return answer, answer["Body"].read() if int(answer["ContentLength"]) <= most else b""

    answer, body = store.run(
        "read", path, lambda: _fetch(store, lambda: _get(store, key, None, None, checksum=True), read)
    )
    size = int(answer["ContentLength"])
    if size > most:
        raise StorageError(f"“{printable(path)}” holds more than {most} bytes")
    check = _check_of(answer)
    if check is not None:
        check.update(body)
        _need(check, path)
    return as_listed(store, entry_of(path, answer, size)), body


_REPLACED: Any = {
    "Error": {"Code": "PreconditionFailed", "Message": "it was replaced"},
    "ResponseMetadata": {"HTTPStatusCode": 412},
}


def _get(
    store: Store,
    key: str,
    start: int | None,
    stop: int | None,
    etag: str | None = None,
    *,
    checksum: bool = False,
) -> dict[str, Any]:
    parameters: dict[str, Any] = {"Key": key}
    if start is not None and stop is not None:
        parameters["Range"] = f"bytes={start}-{stop - 1}"
    if etag and not etag.startswith("W/"):
        parameters["IfMatch"] = f'"{etag}"'
    if checksum:
        parameters["ChecksumMode"] = "ENABLED"
    answer = store.send("get_object", **parameters)
    if etag is not None and plain(answer.get("ETag")) != etag:
        # Not every server keeps to the condition.
        answer["Body"].close()
        raise boto.ClientError(_REPLACED, "GetObject")
    if start is not None and stop is not None and not _is_range(answer, start, stop):
        answer["Body"].close()
        raise StorageError(f"the server gave other bytes of “{printable(key)}” than it was asked for")
    return answer


def _is_range(answer: dict[str, Any], start: int, stop: int) -> bool:
    """Whether an answer has the bytes that were asked for; where that is all, it need not say so."""
    told = answer.get("ContentRange")
    if told is None:
        return start == 0 and int(answer["ContentLength"]) == stop
    return str(told).startswith(f"bytes {start}-{stop - 1}/")


def _fetch(store: Store, ask: Callable[[], dict[str, Any]], read: Callable[[dict[str, Any]], T]) -> T:
    """What ``read`` takes out of the answer to ``ask``; asked again where the connection breaks in the middle
    of it."""
    for attempt in range(1, BODY_ATTEMPTS + 1):
        answer = ask()
        try:
            with answer["Body"]:
                return read(answer)
        except BROKEN:
            if attempt == BODY_ATTEMPTS or store.calls.closed:
                raise
    raise AssertionError("unreachable")


def _pieces(body: Any, size: int) -> list[bytes]:
    """``size`` bytes, a block at a time: what is as large as all of them, each thread would keep for ever."""
    pieces = []
    while size:
        piece = body.read(min(_BLOCK, size))
        if not piece:
            raise BodyBroken("the answer ended too early")
        pieces.append(piece)
        size -= len(piece)
    return pieces


class S3Download:
    """One version of an object: every request but the first has its ETag as a condition."""

    one_version = True

    def __init__(
        self,
        store: Store,
        path: str,
        answer: dict[str, Any],
        *,
        body: Any = None,
        checksum_told: bool = False,
    ) -> None:
        """``answer`` is one to HEAD or GET for the whole object, ``body`` what comes with it, not read yet.
        ``checksum_told``: it has the checksum of the whole, if the server knows one."""
        self.store = store
        self.answer = answer
        self._path = path
        self._key = store.place.key(path)
        self.version = plain(answer.get("ETag"))
        """The ETag that requests for this object take as a condition."""
        self._body = body
        self._lock = threading.Lock()
        self._checksum_told = checksum_told
        self._closed = False
        try:
            self._entry = as_listed(store, entry_of(path, answer, int(answer["ContentLength"])))
        except BaseException:
            self.close()
            raise

    @property
    def entry(self) -> Entry:
        return self._entry

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[Buffer]:
        """As the protocol says. Raises Drifted or Vanished where the object is not the one that was opened,
        and VerifyFailed at the end of a whole object that is not what its checksum says."""
        end = self._entry.size if stop is None else min(stop, self._entry.size)
        whole = start == 0 and end == self._entry.size
        check = self._check() if whole and end else None
        for piece in self._pieces(start, end):
            # It may have come before the store was closed.
            self.store.calls.check()
            if check is not None:
                check.update(piece)
            yield piece
            del piece
        if check is not None:
            _need(check, self._path)

    def _pieces(self, start: int, end: int) -> Iterator[bytes]:
        body = self._take_body() if start == 0 else None
        if body is not None or end - start >= _LARGE:
            for piece in self._streamed(start, end, body):
                start += len(piece)
                yield piece
                del piece
        yield from self._ranges(start, end)

    def _take_body(self) -> Any:
        """That of the answer this was opened with; it can be read once."""
        with self._lock:
            body, self._body = self._body, None
        return body

    def _streamed(self, start: int, end: int, body: Any) -> Iterator[bytes]:
        """One answer, as far as it is fast enough."""
        stream = Stream(
            self.store,
            lambda at, stop: _get(self.store, self._key, at, stop, self.version)["Body"],
            start,
            end,
            body,
        )
        pieces = stream.pieces()
        try:
            while (piece := self._told(lambda: next(pieces, None))) is not None:
                self._need_open()
                yield piece
                del piece
        finally:
            stream.close()

    def _ranges(self, start: int, end: int) -> Iterator[bytes]:
        """Several answers at a time."""
        large = end - start >= _LARGE
        ahead: deque[tuple[Future[list[bytes]], int]] = deque()
        try:
            while start < end or ahead:
                while start < end and len(ahead) < _AHEAD:
                    size = min(_LARGE_CHUNK if large else _CHUNK, end - start)
                    if ahead and not self.store.downloading.try_take(size):
                        break
                    # The one that is waited for next is not counted, or nothing might ever be.
                    ahead.append((self._start(start, start + size), size if ahead else 0))
                    start += size
                future, taken = ahead.popleft()
                try:
                    pieces = self._told(future.result)
                finally:
                    self.store.downloading.give(taken)
                del future
                yield from _dropped(pieces)
        finally:
            for future, taken in ahead:
                future.cancel()
                self.store.downloading.give(taken)

    def _start(self, start: int, stop: int) -> Future[list[bytes]]:
        self._need_open()
        return self.store.calls.start(
            lambda: _fetch(
                self.store,
                lambda: _get(self.store, self._key, start, stop, self.version),
                lambda answer: _pieces(answer["Body"], stop - start),
            )
        )

    def _need_open(self) -> None:
        if self._closed:
            raise StorageError(f"“{printable(self._path)}” was closed meanwhile")

    def _told(self, wait: Callable[[], T]) -> T:
        """What a request for content brings, or what its error means for the object that was opened."""
        changed = False
        try:
            with self.store.telling("read", self._path):
                try:
                    return wait()
                except boto.ClientError as error:
                    changed = faults.refused(error) or faults.code_of(error) == _SKIPPED
                    raise
        except NotFound:
            raise Vanished("the source was removed while it was copied") from None
        except StorageError:
            if changed:
                raise Drifted("the source was replaced while it was copied") from None
            raise

    def _check(self) -> _Check | None:
        """What to check the whole content against."""
        if self._checksum_told or md5_of(self.version, self.answer) is not None:
            return _check_of(self.answer)
        answer = self.store.call("head_object", "examine", self._path, Key=self._key, ChecksumMode="ENABLED")
        return _check_of(answer)

    def restat(self) -> Entry:
        answer = self.store.call("head_object", "examine", self._path, Key=self._key)
        return as_listed(self.store, entry_of(self._path, answer, int(answer["ContentLength"])))

    def close(self) -> None:
        self._closed = True
        body = self._take_body()
        if body is not None:
            with suppress(Exception):
                body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Check(Protocol):
    def update(self, data: Buffer, /) -> None: ...

    def holds(self) -> bool: ...


class _Hash:
    def __init__(self, name: str, expected: bytes) -> None:
        self._expected = expected
        self._state = hashlib.new(name, usedforsecurity=False)
        self.update = self._state.update

    def holds(self) -> bool:
        return self._state.digest() == self._expected


class _Crc32:
    def __init__(self, expected: str) -> None:
        self._expected = expected
        self._state = 0

    def update(self, data: Buffer) -> None:
        self._state = zlib.crc32(data, self._state)

    def holds(self) -> bool:
        return crc32_text(self._state) == self._expected


def crc32_text(value: int) -> str:
    """A CRC-32 as S3 writes it: base64 of four bytes, the most significant first."""
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def _check_of(answer: dict[str, Any]) -> _Check | None:
    """What to check a whole object against: the ETag where it is an MD5, else the first checksum of the
    answer that can be computed here and is one of the whole. Those made of the checksums of parts have the
    type COMPOSITE and end in ``-COUNT``. None where there is neither."""
    md5 = md5_of(plain(answer.get("ETag")), answer)
    if md5 is not None:
        return _Hash("md5", bytes.fromhex(md5))
    if answer.get("ChecksumType", "FULL_OBJECT") != "FULL_OBJECT":
        return None
    for name in ("CRC32", "SHA256", "SHA1"):
        value = str(answer.get(f"Checksum{name}") or "")
        if value and "-" not in value:
            return _Crc32(value) if name == "CRC32" else _Hash(name.lower(), base64.b64decode(value))
    return None


def _dropped(pieces: list[bytes]) -> Iterator[bytes]:
    """One after the other; each is let go once the next is asked for."""
    pieces.reverse()
    while pieces:
        yield pieces.pop()


def _need(check: _Check, path: str) -> None:
    if not check.holds():
        raise VerifyFailed(f"“{printable(path)}” did not arrive as the server's checksum says")


def as_listed(store: Store, entry: Entry) -> Entry:
    """An object with the ETag that listings show of it. Swift shows another one to HEAD and GET of what went
    up in parts and was then copied at once; Amazon never does."""
    if "-" not in (entry.etag or "") or not store.settings.endpoint_url:
        return entry
    key = store.place.key(entry.path)
    if store.shown.get(key) == entry.etag:
        return entry
    answer = store.call("list_objects_v2", "examine", entry.path, Prefix=key, MaxKeys=1)
    for found in answer.get("Contents") or ():
        if found["Key"] == key and found["Size"] == entry.size:
            return entry._replace(etag=plain(found.get("ETag")))
    return entry
