"""The digest of a file: the storage's own where it computes one, else by reading the file."""

from __future__ import annotations

import hashlib

from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Reader

ALGORITHM = "sha256"


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
    if ALGORITHM in reader.features.checksums:
        own = reader.checksum(path, ALGORITHM)
        if own is not None:
            return own.lower()
    return digest_by_reading(reader, path, cancel)
