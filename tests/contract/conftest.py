"""The places that the contract suite runs against. A further connector needs one more entry in PLACES."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.contract.support import BatchPrompts
from tests.support.sshd import Sshd
from tui_sync.connectors import local
from tui_sync.connectors.base import Connector, Endpoint, Reader, Writer
from tui_sync.connectors.memory import MemoryConnector
from tui_sync.connectors.sftp import connector as sftp
from tui_sync.model import Kind


class Place(Protocol):
    """A storage as the suite needs it: connections to it, and a way to it behind the connector's back."""

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


class DiskPlace:
    """A folder on this disk, however it is reached."""

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


class MemoryPlace:
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
        return DiskPlace(root, lambda: sftp.connect(endpoint, BatchPrompts()))

    return place


PLACES: dict[str, Callable[[pytest.FixtureRequest, Path], Place]] = {
    "memory": _memory,
    "local": _local,
    "sftp": _sftp("paramiko"),
    "sftp-openssh": _sftp("openssh"),
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
