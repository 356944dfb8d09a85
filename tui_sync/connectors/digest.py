"""The digest of a file: the storage's own where it computes one, else by reading the file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Reader
from tui_sync.model import Entry

ALGORITHM = "sha256"
# Over a short line, what is this small is read before a program for it has started.
_READ = 128 << 10


@runtime_checkable
class HashesFiles(Protocol):
    """A Reader whose storage may be able to compute SHA-256, which has first to be found out."""

    def hashes(self) -> bool:
        """Whether it can. Asks the storage the first time. Raises nothing."""

    @property
    def far(self) -> bool:
        """Whether the line is what takes the time, so that hashing a file there takes next to none more."""

    def digests(self, entries: Sequence[Entry]) -> list[str | None]:
        """The hexadecimal digest of each of these files; None where the storage computes none, or sees
        another file than the entry's. Raises nothing: a connection that was lost shows in the next call."""


def digest_by_reading(reader: Reader, path: str, cancel: CancelToken) -> str:
    """Hexadecimal SHA-256 of every byte of ``path``, read through the reader in bounded memory."""
    state = hashlib.new(ALGORITHM)
    with reader.open(path) as download:
        for block in download.blocks():
            cancel.check()
            state.update(block)
    return state.hexdigest()


def digest(reader: Reader, path: str, cancel: CancelToken) -> str:
    """Hexadecimal SHA-256 of ``path``, without a transfer where the storage can compute it."""
    own = None
    if isinstance(reader, HashesFiles) and reader.hashes():
        entry = reader.stat(path)
        if entry.size > _READ or reader.far:
            own = reader.digests([entry])[0]
    elif ALGORITHM in reader.features.checksums:
        own = reader.checksum(path, ALGORITHM)
    return own.lower() if own is not None else digest_by_reading(reader, path, cancel)
