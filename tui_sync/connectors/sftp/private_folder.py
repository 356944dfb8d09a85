"""A temporary folder for what one ssh login needs, which nobody else can enter."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from tui_sync.errors import ConnectError

# The path of the master's socket and the suffix ssh gives it for a moment have to fit into sun_path.
_LONGEST = 70


class PrivateFolder:
    """Not there before ``make``, nor after ``remove``."""

    def __init__(self) -> None:
        self._path = Path()
        self._there = False
        self._names: list[str] = []

    def make(self) -> None:
        """Raises ConnectError."""
        for parent in (None, "/tmp"):
            try:
                folder = Path(tempfile.mkdtemp(prefix="tui-sync-", dir=parent))
            except OSError as error:
                raise ConnectError(f"cannot make a temporary folder for ssh: {error.strerror}") from None
            if len(str(folder)) <= _LONGEST:
                self._path, self._there = folder, True
                return
            folder.rmdir()
        raise ConnectError(f"the temporary folder {tempfile.gettempdir()} has too long a path: set TMPDIR")

    def file(self, name: str) -> Path:
        """The path of that name in it; whatever is there goes with the folder."""
        if name not in self._names:
            self._names.append(name)
        return self._path / name

    def remove(self) -> None:
        """Never raises, and may be called again."""
        if not self._there:
            return
        # By name, as no more files may be open and a folder's list is one.
        for name in self._names:
            with contextlib.suppress(OSError):
                (self._path / name).unlink()
        try:
            self._path.rmdir()
        except OSError:
            shutil.rmtree(self._path, ignore_errors=True)
        self._there = os.path.lexists(self._path)
