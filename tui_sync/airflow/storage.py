"""The folder through which tasks hand plans, ledgers and receipts on to each other, on whatever machine.

It is an object storage path of Airflow: ``file:///folder``, or ``s3://connection@bucket/prefix`` and the
like. A file is there whole or not at all.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from airflow.sdk import ObjectStoragePath
from airflow.sdk.configuration import conf

from tui_sync.errors import StorageError
from tui_sync.names import printable

_SCRATCH = "tui-sync-airflow-"
_LOCAL = ("", "file", "local")


def default_storage() -> str:
    """What ``[tui_sync] storage`` says, else the folder ``tui-sync`` below AIRFLOW_HOME."""
    named = conf.get("tui_sync", "storage", fallback="")
    if named:
        return str(named)
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return f"file://{home / 'tui-sync'}"


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder of this process alone, gone with it. What processes left behind that were killed goes first:
    there may be a private key in it."""
    for left in Path(gettempdir()).glob(f"{_SCRATCH}*"):
        with suppress(OSError, ValueError):
            if left.stat().st_uid == os.getuid() and not _runs(int(left.name.split("-")[3])):
                shutil.rmtree(left)
    with TemporaryDirectory(prefix=f"{_SCRATCH}{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def slug(text: str) -> str:
    """As a name of a folder anywhere."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80] or "run"


class Folder:
    """A folder in storage. All methods raise StorageError where it cannot be reached."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        with _told(self.url):
            self._path: Any = ObjectStoragePath(self.url)

    def child(self, name: str) -> Folder:
        return Folder(f"{self.url}/{name}")

    def put(self, name: str, file: Path) -> None:
        """Store a local file, in place of an earlier one in one step."""
        with _told(f"{self.url}/{name}"):
            if self._path.protocol in _LOCAL:
                self._put_local(name, file)
            else:
                with file.open("rb") as local, (self._path / name).open("wb") as stored:
                    shutil.copyfileobj(local, stored, 1 << 20)

    def _put_local(self, name: str, file: Path) -> None:
        folder = Path(self._path.path)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = folder / f".{name}-{secrets.token_hex(4)}"
        try:
            with file.open("rb") as local, temporary.open("xb") as stored:
                shutil.copyfileobj(local, stored, 1 << 20)
                stored.flush()
                os.fsync(stored.fileno())
            temporary.replace(folder / name)
        finally:
            temporary.unlink(missing_ok=True)

    def fetch(self, name: str, file: Path) -> bool:
        """Copy what is stored to a local file, whose folder is made; False where it is not there."""
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _told(f"{self.url}/{name}"):
            try:
                with (self._path / name).open("rb") as stored, file.open("wb") as local:
                    shutil.copyfileobj(stored, local, 1 << 20)
            except FileNotFoundError:
                return False
        return True

    def write(self, name: str, value: object) -> None:
        """Store a value as JSON."""
        with scratch() as here:
            file = here / "value.json"
            file.write_text(json.dumps(value), "ascii")
            self.put(name, file)

    def read(self, name: str) -> Any:
        """The value stored as JSON, None where there is none."""
        url = f"{self.url}/{name}"
        with _told(url):
            try:
                with (self._path / name).open("rb") as stored:
                    text = stored.read()
            except FileNotFoundError:
                return None
        try:
            return json.loads(text)
        except ValueError:
            raise StorageError(f"{printable(url)} is damaged: start the run anew") from None

    def folders(self) -> list[str]:
        """The names of the folders in it, sorted."""
        with _told(self.url):
            if not self._path.exists():
                return []
            return sorted(child.name for child in self._path.iterdir() if child.is_dir())

    def remove(self) -> None:
        """Away with it and all that is in it."""
        with _told(self.url):
            if self._path.exists():
                self._path.rmdir(recursive=True)


@contextmanager
def _told(url: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, ImportError) as error:
        # The latter two: what such a path needs is not installed.
        raise StorageError(
            f"the storage {printable(url)} cannot be used ({printable(str(error))}): let [tui_sync] storage "
            "name a folder that all workers reach"
        ) from error
