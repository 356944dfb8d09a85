"""The places that the contract suite runs against. A further connector needs one more entry in PLACES."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.contract.support import BatchPrompts
from tests.support.s3 import Bucket
from tests.support.sshd import Sshd
from tui_sync.connectors import local
from tui_sync.connectors.base import Connector, Endpoint, Reader, Writer
from tui_sync.connectors.memory import MemoryConnector
from tui_sync.connectors.s3 import connector as s3
from tui_sync.connectors.sftp import dialing
from tui_sync.model import Kind


class Place(Protocol):
    """A storage as the suite needs it: connections to it, and a way to it behind the connector's back.

    ``many`` files do not fit into one answer of a listing; ``bulk`` ones are not handled all at once.
    """

    many: int
    bulk: int

    def connect(self) -> Connector:
        """A new connection to the same tree."""

    def put(self, path: str, data: bytes | None) -> None:
        """Store a file, or for None a directory. Parents are made."""

    def symlink(self, path: str, target: str) -> None: ...

    def read(self, path: str) -> bytes: ...

    def children(self, path: str) -> set[str]:
        """The names right in a directory."""

    def remove_root(self) -> None:
        """Take away the (empty) root itself."""

    def takes(self, name: str) -> bool:
        """Whether the storage can have a file of that name."""


class DiskPlace:
    """A folder on this disk, however it is reached."""

    many = 1_500
    bulk = 150

    def __init__(self, root: Path, connect: Callable[[], Connector]) -> None:
        self.root = root
        self.connect = connect
        root.mkdir(exist_ok=True)

    def put(self, path: str, data: bytes | None) -> None:
        full = os.path.join(self.root, path)
        os.makedirs(full if data is None else os.path.dirname(full), exist_ok=True)
        if data is not None:
            Path(full).write_bytes(data)

    def symlink(self, path: str, target: str) -> None:
        os.symlink(target, os.path.join(self.root, path))

    def read(self, path: str) -> bytes:
        return Path(os.path.join(self.root, path)).read_bytes()

    def children(self, path: str) -> set[str]:
        return set(os.listdir(os.path.join(self.root, path)))

    def remove_root(self) -> None:
        self.root.rmdir()

    def takes(self, name: str) -> bool:
        return True


class MemoryPlace:
    many = 1_500
    bulk = 150

    def __init__(self) -> None:
        self.connector = MemoryConnector()

    def connect(self) -> Connector:
        """A connection of its own to the one tree."""
        connection = MemoryConnector()
        connection.nodes = self.connector.nodes
        connection.lock = self.connector.lock
        connection.exists = self.connector.exists
        return connection

    def put(self, path: str, data: bytes | None) -> None:
        if data is None:
            self.connector.add_dir(path)
        else:
            self.connector.add_file(path, data)

    def symlink(self, path: str, target: str) -> None:
        self.connector.add_symlink(path, target)

    def read(self, path: str) -> bytes:
        return self.connector.read(path)

    def children(self, path: str) -> set[str]:
        return {child.name for child in self.connector.reader().list_dir(path)}

    def remove_root(self) -> None:
        assert not self.connector.nodes
        self.connector.exists = False

    def takes(self, name: str) -> bool:
        return True


class S3Place:
    """A folder in a bucket, kept by its marker."""

    # So small that what the suite writes goes up in several parts.
    PART = 512 * 1024
    many = 110
    bulk = 40

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self._markers: set[str] = set()
        bucket.put("root/")

    def connect(self) -> Connector:
        return s3.connect(self.bucket.endpoint("/root", part_size=self.PART), BatchPrompts())

    def put(self, path: str, data: bytes | None) -> None:
        if not self.takes(path):
            pytest.skip("no such names there")
        *above, _ = path.split("/")
        for depth in range(1, len(above) + 1):
            marker = "/".join(["root", *above[:depth], ""])
            if marker not in self._markers:
                self._markers.add(marker)
                self.bucket.put(marker)
        if data is None:
            self.bucket.put(f"root/{path}/")
        else:
            self.bucket.put(f"root/{path}", data)

    def symlink(self, path: str, target: str) -> None:
        pytest.skip("no symlinks there")

    def read(self, path: str) -> bytes:
        return self.bucket.get(f"root/{path}")

    def children(self, path: str) -> set[str]:
        prefix = f"root/{path}/" if path else "root/"
        return {key[len(prefix) :].partition("/")[0] for key in self.bucket.keys(prefix)} - {""}

    def remove_root(self) -> None:
        self.bucket.delete("root/")

    def takes(self, name: str) -> bool:
        return name.isascii() or not any("\udc80" <= char <= "\udcff" for char in name)


def _memory(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return MemoryPlace()


def _local(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    root = tmp_path / "root"
    endpoint = Endpoint(str(root), "file", str(root))
    return DiskPlace(root, lambda: local.connect(endpoint, BatchPrompts()))


def _sftp(transport: str) -> Callable[[pytest.FixtureRequest, Path], Place]:
    def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
        server: Sshd = request.getfixturevalue("sshd")
        root = tmp_path / "root"
        endpoint = server.endpoint(root, transport=transport, ssh_config="none")
        return DiskPlace(root, lambda: dialing.connect(endpoint, BatchPrompts()))

    return place


def _s3(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return S3Place(request.getfixturevalue("bucket"))


PLACES: dict[str, Callable[[pytest.FixtureRequest, Path], Place]] = {
    "memory": _memory,
    "local": _local,
    "sftp": _sftp("paramiko"),
    "sftp-openssh": _sftp("openssh"),
    "s3": _s3,
}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return PLACES[request.param](request, tmp_path)


@pytest.fixture
def connector(place: Place) -> Iterator[Connector]:
    connector = place.connect()
    yield connector
    connector.close()


@pytest.fixture
def reader(connector: Connector) -> Reader:
    return connector.reader()


@pytest.fixture
def writer(connector: Connector) -> Writer:
    return connector.writer()


def kinds(reader: Reader, path: str = "") -> dict[str, Kind]:
    return {child.name: child.kind for child in reader.list_dir(path)}
