"""Where a DAG's source and target are: in a profile, or behind Airflow connections. Without any secret."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from tui_sync import profiles
from tui_sync.connectors.base import Endpoint
from tui_sync.errors import UsageError
from tui_sync.model import SyncOptions
from tui_sync.profiles import Profile


@dataclass(frozen=True, slots=True)
class Sftp:
    """A folder on the server of a connection of type SFTP. ``/~/folder`` starts from the login folder."""

    conn_id: str
    path: str


@dataclass(frozen=True, slots=True)
class S3:
    """A bucket, or a prefix in it, of a connection of type Amazon Web Services."""

    conn_id: str
    bucket: str
    prefix: str = ""


Side: TypeAlias = Sftp | S3


class Pair(Protocol):
    """What to sync, named so that any worker finds it. Frozen, and safe to be shown."""

    @property
    def connections(self) -> tuple[str, ...]:
        """The ids of the connections it uses."""

    def profile(self, scratch: Path) -> Profile:
        """Ready to connect, here and now; ``scratch`` may take files for as long as it is used. Raises
        UsageError."""


@dataclass(frozen=True, slots=True)
class FromProfile:
    """By a profile's name or path, which has to be there on every worker."""

    name: str

    @property
    def connections(self) -> tuple[str, ...]:
        return ()

    def profile(self, scratch: Path) -> Profile:
        del scratch
        return profiles.find(self.name)


@dataclass(frozen=True, slots=True)
class FromConnections:
    """By two sides and the options of ``[sync]``."""

    name: str
    source: Side
    target: Side
    options: SyncOptions

    @property
    def connections(self) -> tuple[str, ...]:
        return self.source.conn_id, self.target.conn_id

    def profile(self, scratch: Path) -> Profile:
        source, target = _endpoint(self.source, scratch), _endpoint(self.target, scratch)
        if source.url == target.url and source.options.get("endpoint_url") == target.options.get(
            "endpoint_url"
        ):
            raise UsageError(
                "source and target are the same folder: choose two folders apart from each other"
            )
        return Profile(self.name, None, source, target, self.options)


def _endpoint(side: Side, scratch: Path) -> Endpoint:
    # Here, as the providers take a second to import that reading a DAG file can do without.
    from tui_sync.airflow import connections

    if isinstance(side, Sftp):
        return connections.sftp_endpoint(side.conn_id, side.path, scratch)
    return connections.s3_endpoint(side.conn_id, side.bucket, side.prefix)
