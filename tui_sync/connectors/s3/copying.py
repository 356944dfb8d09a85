"""Copies within one server: content that does not come here."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol

from tui_sync.connectors.s3.client import Store
from tui_sync.connectors.s3.keys import MIB, MOST_PARTS, lowered
from tui_sync.model import Entry

# CopyObject takes up to 5 GiB ("CopyObject" in the S3 API reference), but answers only when all is copied.
MOST_AT_ONCE = 256 * MIB
_PART = 64 * MIB
_IN_FLIGHT = 8
_HEADERS = ("CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType")


class Source(Protocol):
    """An object as a download holds it."""

    @property
    def store(self) -> Store: ...

    @property
    def entry(self) -> Entry: ...

    @property
    def version(self) -> str: ...


def in_parts(source: Source) -> bool:
    """Whether a copy has to be made part by part. What went up in parts does too: copied whole, Swift shows
    another ETag in listings than to HEAD, and the copy would never count as the one that was made."""
    return source.entry.size > MOST_AT_ONCE or "-" in source.version


def headers_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What an object has beside its content, as parameters that give it to another one."""
    kept = {name: answer[name] for name in _HEADERS if answer.get(name)}
    return {**kept, "Metadata": lowered(answer.get("Metadata") or {})}


def copy_object(store: Store, source: Source, key: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """One CopyObject of the version that ``source`` is; raises what botocore raises."""
    answer = store.send("copy_object", Key=key, **_version(source), MetadataDirective="REPLACE", **attributes)
    return dict(answer["CopyObjectResult"])


def copy_parts(store: Store, source: Source, key: str, upload_id: str) -> dict[int, dict[str, Any]]:
    """All of ``source`` as parts of a multipart upload: what the server says of each, by its number. Raises
    what botocore raises."""
    size = source.entry.size
    part = max(_PART, -(-size // (MOST_PARTS * MIB)) * MIB)
    copied: dict[int, dict[str, Any]] = {}
    waiting: list[tuple[int, Future[dict[str, Any]]]] = []

    def send(number: int, start: int) -> dict[str, Any]:
        return store.send(
            "upload_part_copy",
            Key=key,
            UploadId=upload_id,
            PartNumber=number,
            CopySourceRange=f"bytes={start}-{min(start + part, size) - 1}",
            **_version(source),
        )

    for number, start in enumerate(range(0, size, part), 1):
        waiting.append((number, store.calls.start(partial(send, number, start))))
        if len(waiting) == _IN_FLIGHT:
            done, future = waiting.pop(0)
            copied[done] = future.result()["CopyPartResult"]
    for done, future in waiting:
        copied[done] = future.result()["CopyPartResult"]
    return copied


def _version(source: Source) -> dict[str, Any]:
    place = source.store.place
    return {
        "CopySource": {"Bucket": place.bucket, "Key": place.key(source.entry.path)},
        "CopySourceIfMatch": f'"{source.version}"',
    }
