"""Files of our own that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tui_sync.names import OURS

_PRIVATE = 0o600


@contextlib.contextmanager
def written_whole(path: Path, *, mode: int = _PRIVATE, replace: bool = True) -> Iterator[BinaryIO]:
    """A new file to write to, which appears under ``path`` in one step when the block ends, its content on
    the disk by then, and not at all where the block raises.

    It is made in the same folder, under a name that no sync takes for a person's file. Without ``replace``
    raises FileExistsError where the name is taken, else OSError for whatever the system refuses.
    """
    if replace and path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    staged = path.parent / f"{OURS}-{secrets.token_hex(8)}.part"
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
    try:
        with open(handle, "wb") as file:
            yield file
            file.flush()
            if mode != _PRIVATE:
                # Not every file system has modes.
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if replace:
            staged.replace(path)
        else:
            os.link(staged, path)
    finally:
        # Gone after a rename, and to be removed after anything else, an interrupt among it.
        staged.unlink(missing_ok=True)
