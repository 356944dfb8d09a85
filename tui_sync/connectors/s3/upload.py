"""Objects on their way up: one PUT, or parts sent while the next arrive; nothing shows before ``publish``."""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from tui_sync.connectors.base import Buffer, Download, Range
from tui_sync.connectors.ranges import Ranges
from tui_sync.connectors.s3 import faults
from tui_sync.connectors.s3.client import Store
from tui_sync.connectors.s3.copying import copy_object, copy_parts, headers_of, in_parts
from tui_sync.connectors.s3.download import S3Download, crc32_text
from tui_sync.connectors.s3.keys import MTIME, Parts, entry_of, md5_of, mtime_text, plain
from tui_sync.errors import AlreadyExists, Drifted, NotFound, StorageError
from tui_sync.model import Entry, Kind
from tui_sync.names import printable

_CHECKSUM = "CRC32"
# An upload that is given up waits this long for its server; the request goes on without it.
_ABORT_S = 0.5


@dataclass(slots=True)
class _Sent:
    """A part that the server has: its length and what CompleteMultipartUpload wants to know of it."""

    size: int
    etag: str
    crc32: str | None


class S3Upload:
    """An upload of one object. A single writer; ``suspend``, ``abort`` and the properties from any thread.

    The token is empty until there is a multipart upload: what fits into one PUT is held by no server before
    it is published.
    """

    def __init__(
        self,
        store: Store,
        path: str,
        *,
        size: int | None,
        mtime_ns: int | None,
        upload_id: str = "",
        part_size: int | None = None,
    ) -> None:
        self._store = store
        self._path = path
        self._key = store.place.key(path)
        self._size = size
        self._mtime_ns = mtime_ns
        self._parts = Parts(part_size or store.settings.part_size, size)
        self._upload_id = upload_id
        self._chunks: list[memoryview] = []
        self._next = 0
        self._number = 1
        self._stop = self._parts.bounds(1)[1]
        self._lock = threading.Lock()
        self._sent: dict[int, _Sent] = {}
        self._held: tuple[Range, ...] = ()
        self._waiting: deque[Future[None]] = deque()
        self._copy: S3Download | None = None
        self._state = "open"
        if not upload_id and size is not None and size > self._stop and not store.filled_by_copies:
            self._begin()

    @property
    def staged_path(self) -> None:
        """Nothing can be read before it is published."""
        return None

    @property
    def token(self) -> str:
        if not self._upload_id:
            return ""
        return f"{self._parts.part_size}{'+' if self._parts.grows else ''}:{self._upload_id}"

    @property
    def held(self) -> tuple[Range, ...]:
        return self._held

    @property
    def acknowledged(self) -> tuple[Range, ...]:
        """For one PUT: all of it once it is published, and nothing before."""
        if self._state == "published" or (self._copy is not None and self._state == "finished"):
            return ((0, self._next),) if self._next else ()
        with self._lock:
            return self._ranges()

    def _ranges(self) -> tuple[Range, ...]:
        starts = ((self._parts.bounds(number)[0], sent.size) for number, sent in self._sent.items())
        return Ranges((start, start + size) for start, size in starts).as_tuple()

    def take_up(self) -> None:
        """Go on with the multipart upload of that id: ask for the parts it has. Raises NotFound."""
        marker = 0
        while True:
            answer = self._store.call(
                "list_parts",
                "resume the upload of",
                self._path,
                Key=self._key,
                UploadId=self._upload_id,
                PartNumberMarker=marker,
            )
            for part in answer.get("Parts") or ():
                number, size = int(part["PartNumber"]), int(part["Size"])
                start, stop = self._parts.bounds(number)
                if size == (stop if self._size is None else min(stop, self._size)) - start:
                    self._sent[number] = _Sent(size, part["ETag"], part.get("ChecksumCRC32"))
            if not answer.get("IsTruncated"):
                break
            marker = int(answer["NextPartNumberMarker"])
        self._held = self._ranges()
        self._skip()

    def _skip(self) -> None:
        """Step over the parts that the server has."""
        while self._number in self._sent and not self._chunks:
            sent = self._sent[self._number]
            self._next = self._parts.bounds(self._number)[0] + sent.size
            self._number += 1
            self._stop = self._parts.bounds(self._number)[1]

    def copy_from(self, download: Download) -> bool:
        if not isinstance(download, S3Download) or download.store.account != self._store.account:
            return False
        self._need("open")
        if self._next or self._chunks:
            return False
        begun = self._upload_id
        self._upload_id = ""
        if in_parts(download):
            # Anew, as an upload has its attributes from the start, and now they are the source's.
            self._begin(download)
        if begun:
            self._remove_soon(begun)
        self._copy = download
        self._next = download.entry.size
        download.store.copied_on_server = True
        return True

    def write(self, offset: int, data: Buffer) -> None:
        self._need("open")
        if self._copy is not None:
            raise StorageError(f"“{printable(self._path)}” is being copied on the server")
        if offset != self._next:
            raise StorageError(f"“{printable(self._path)}” has to be written in order")
        view = memoryview(data).cast("B")
        while view:
            room = self._stop - self._next
            self._chunks.append(view[:room])
            self._next += min(room, len(view))
            view = view[room:]
            if self._next == self._stop:
                self._flush()

    def _flush(self) -> None:
        """Send off the part that is full, or the last one."""
        if not self._upload_id:
            self._begin()
        number = self._number
        self._number += 1
        self._stop = self._parts.bounds(self._number)[1]
        size = sum(map(len, self._chunks))
        self._store.uploading.take(size)
        try:
            self._need("open")
            # Not before: what waits for its turn must not be in memory twice.
            body, self._chunks = b"".join(self._chunks), []
            future = self._store.calls.start(partial(self._send_part, number, body))
        except BaseException:
            self._store.uploading.give(size)
            raise
        future.add_done_callback(lambda _: self._store.uploading.give(size))
        self._waiting.append(future)
        del body
        while self._waiting and self._waiting[0].done():
            self._settle(self._waiting.popleft())
        self._skip()

    def _begin(self, source: S3Download | None = None) -> None:
        answer = self._store.call(
            "create_multipart_upload",
            "write",
            self._path,
            Key=self._key,
            ChecksumAlgorithm=_CHECKSUM,
            **self._attributes(source),
        )
        self._upload_id = str(answer["UploadId"])

    def _send_part(self, number: int, body: bytes) -> None:
        """In a thread of the store's."""
        if self._state != "open":
            return
        crc32 = crc32_text(zlib.crc32(body))
        answer = self._store.send(
            "upload_part",
            Key=self._key,
            UploadId=self._upload_id,
            PartNumber=number,
            Body=body,
            ChecksumAlgorithm=_CHECKSUM,
            ChecksumCRC32=crc32,
        )
        self._look_at(answer, body, crc32)
        with self._lock:
            self._sent[number] = _Sent(len(body), answer["ETag"], crc32)
        if self._state == "aborted":
            # It had been on its way when the upload was given up, and some servers keep it then.
            self._remove(self._upload_id)

    def _look_at(self, answer: dict[str, Any], body: bytes, crc32: str) -> None:
        if self._store.checks_uploads and not _shown(answer, body, crc32):
            self._store.checks_uploads = False

    def _settle(self, future: Future[None]) -> None:
        with self._store.telling("write", self._path):
            future.result()

    def finish(self) -> Entry:
        self._need("open")
        self._store.need_folder(self._path.rpartition("/")[0])
        if self._copy is not None:
            self._finish_copy(self._copy)
        elif self._upload_id:
            if self._chunks:
                self._flush()
            while self._waiting:
                self._settle(self._waiting.popleft())
            self._check_complete()
        self._state = "finished"
        return Entry(self._path, Kind.FILE, self._next, self._mtime_ns)

    def _finish_copy(self, source: S3Download) -> None:
        if not self._upload_id:
            return
        with self._store.telling("copy", self._path):
            try:
                copied = copy_parts(self._store, source, self._key, self._upload_id)
            except Exception as error:
                if faults.refused(error):
                    raise Drifted("the source was replaced while it was copied") from None
                raise
        self._sent = {
            number: _Sent(0, part["ETag"], part.get("ChecksumCRC32")) for number, part in copied.items()
        }

    def _check_complete(self) -> None:
        """Raise StorageError unless all parts up to the last are there."""
        missing = Ranges(self._ranges()).missing(self._next)
        if missing:
            raise StorageError(f"“{printable(self._path)}” lacks {missing[0][1] - missing[0][0]:,} bytes")

    def publish(self, *, replace: bool) -> Entry:
        self._need("finished")
        with self._store.publishing(self._key):
            self._refuse_folder(replace)
            condition: dict[str, Any] = {}
            if not replace:
                if self._store.conditional and (self._copy is None or self._upload_id):
                    condition = {"IfNoneMatch": "*"}
                else:
                    self._refuse_taken()
            try:
                answer = self._put(condition)
            except _NoConditions:
                self._store.conditional = False
                self._refuse_taken()
                answer = self._put({})
        self._state = "published"
        return self._published(plain(answer.get("ETag")))

    def _put(self, condition: dict[str, Any]) -> dict[str, Any]:
        def job() -> dict[str, Any]:
            try:
                if self._upload_id:
                    return self._complete(condition)
                if self._copy is not None:
                    return self._copy_whole(self._copy)
                return self._put_whole(condition)
            except Exception as error:
                if condition and faults.status_of(error) == 501:
                    raise _NoConditions from None
                if condition and faults.refused(error):
                    if faults.attempts_of(error) > 1 and self._is_ours():
                        return {"ETag": self._store.send("head_object", Key=self._key)["ETag"]}
                    raise AlreadyExists(f"“{printable(self._path)}” already exists") from None
                if self._copy is not None and faults.refused(error):
                    raise Drifted("the source was replaced while it was copied") from None
                raise

        return self._store.run("write", self._path, job)

    def _put_whole(self, condition: dict[str, Any]) -> dict[str, Any]:
        body = b"".join(self._chunks)
        crc32 = crc32_text(zlib.crc32(body))
        answer = self._store.send(
            "put_object",
            Key=self._key,
            Body=body,
            ChecksumAlgorithm=_CHECKSUM,
            ChecksumCRC32=crc32,
            **self._attributes(),
            **condition,
        )
        self._look_at(answer, body, crc32)
        return answer

    def _copy_whole(self, source: S3Download) -> dict[str, Any]:
        return copy_object(self._store, source, self._key, self._attributes(source))

    def _complete(self, condition: dict[str, Any]) -> dict[str, Any]:
        parts = []
        for number in sorted(self._sent):
            sent = self._sent[number]
            part: dict[str, Any] = {"PartNumber": number, "ETag": sent.etag}
            if sent.crc32 is not None:
                part["ChecksumCRC32"] = sent.crc32
            parts.append(part)
        return self._store.send(
            "complete_multipart_upload",
            Key=self._key,
            UploadId=self._upload_id,
            MultipartUpload={"Parts": parts},
            **condition,
        )

    def _is_ours(self) -> bool:
        """Whether what is there now is what an earlier attempt, whose answer was lost, has made of this."""
        found = self._store.send("head_object", Key=self._key)
        entry = entry_of(self._path, found, int(found["ContentLength"]))
        if entry.size != self._next or (self._mtime_ns is not None and entry.mtime_ns != self._mtime_ns):
            return False
        if self._upload_id:
            digests = b"".join(
                bytes.fromhex(md5)
                for _, sent in sorted(self._sent.items())
                if (md5 := md5_of(plain(sent.etag)))
            )
            made = hashlib.md5(digests, usedforsecurity=False).hexdigest()
            return entry.etag == f"{made}-{len(self._sent)}"
        return entry.etag == hashlib.md5(b"".join(self._chunks), usedforsecurity=False).hexdigest()

    def _refuse_folder(self, replace: bool) -> None:
        """Where a listing has shown that no directory has this name, the server is not asked again."""
        if self._store.folders.listed(self._path.rpartition("/")[0]) and not self._store.folders.known(
            self._path
        ):
            return
        if self._store.first_below(self._path) is not None:
            kind = StorageError if replace else AlreadyExists
            raise kind(f"“{printable(self._path)}” is a folder")

    def _refuse_taken(self) -> None:
        try:
            self._store.call("head_object", "examine", self._path, Key=self._key)
        except NotFound:
            return
        raise AlreadyExists(f"“{printable(self._path)}” already exists")

    def _published(self, etag: str) -> Entry:
        self._chunks = []
        if mtime_text(self._mtime_ns) is not None:
            return Entry(self._path, Kind.FILE, self._next, self._mtime_ns, etag=etag)
        # The object's time is that of its upload, which only the server knows.
        found = self._store.call("head_object", "examine", self._path, Key=self._key)
        return entry_of(self._path, found, int(found["ContentLength"]))

    def _attributes(self, source: S3Download | None = None) -> dict[str, Any]:
        """Parameters for the object's metadata; those of a ``source`` that is copied, but for the time."""
        attributes = headers_of(source.answer) if source is not None else {}
        metadata = dict(attributes.get("Metadata") or {})
        text = mtime_text(self._mtime_ns)
        if text is not None:
            metadata[MTIME] = text
        return {**attributes, "Metadata": metadata}

    def _need(self, state: str) -> None:
        self._store.calls.check()
        if self._state == state:
            return
        if state == "finished" and self._state == "open":
            raise StorageError(f"the upload of “{printable(self._path)}” is not finished")
        raise StorageError(f"the upload of “{printable(self._path)}” has ended")

    def suspend(self) -> None:
        self._end("suspended")

    def abort(self) -> None:
        if self._end("aborted") and self._upload_id:
            self._remove_soon(self._upload_id)

    def _end(self, state: str) -> bool:
        """False where it had ended before."""
        with self._lock:
            if self._state in ("published", "aborted", "suspended"):
                return False
            self._state = state
        for future in self._waiting:
            future.cancel()
        self._chunks = []
        return True

    def _remove_soon(self, upload_id: str) -> None:
        """On a thread of its own, as the store may have been closed; waited for, but not for long."""
        thread = threading.Thread(target=self._remove, args=(upload_id,), name="s3-abort", daemon=True)
        thread.start()
        thread.join(_ABORT_S)

    def _remove(self, upload_id: str) -> None:
        # It is gone already, or the server cannot be reached: nobody is left to be told.
        with suppress(Exception):
            self._store.send("abort_multipart_upload", Key=self._key, UploadId=upload_id)


class _NoConditions(Exception):
    """The server has no If-None-Match for writing."""


def _shown(answer: dict[str, Any], body: bytes, crc32: str) -> bool:
    """Whether an answer shows that the server has these bytes: it tells the checksum that it computed, or an
    ETag that is their MD5."""
    told = answer.get("ChecksumCRC32")
    if told is not None:
        return bool(told == crc32)
    md5 = md5_of(plain(answer.get("ETag")), answer)
    return md5 is not None and md5 == hashlib.md5(body, usedforsecurity=False).hexdigest()
