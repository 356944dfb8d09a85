"""Files of our own that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tui_sync.names import OURS


@contextlib.contextmanager
def written_whole(path: Path, *, mode: int = 0o600, replace: bool = True) -> Iterator[BinaryIO]:
    """A new file to write to, which appears under ``path`` in one step, durable, when the block ends, and not
    at all where the block raises.

    It is made in the same folder, under a name that no sync takes for a person's file. Without ``replace``
    raises FileExistsError where the name is taken, else OSError for whatever the system refuses.
    """
    staged = path.with_name(f"{OURS}-{secrets.token_hex(8)}.part")
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(handle, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if replace:
            staged.replace(path)
        else:
            os.link(staged, path)
    finally:
        # Gone after a rename, and to be removed after anything else, an interrupt among it.
        staged.unlink(missing_ok=True)
