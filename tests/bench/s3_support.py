"""What the benchmarks of S3 share: a Swift server, an sshd, and places on them for profiles and rclone."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.bench.support import put_aside, rclone
from tests.support import s3
from tests.support.sshd import Sshd, sshd_missing
from tui_sync.demo.s3_server import S3Server, s3_missing


class Place(Protocol):
    """One side of a pair."""

    def section(self, side: str) -> str:
        """It as the ``side`` of a profile."""

    def rclone(self) -> str:
        """It as rclone's command line takes it."""

    def clear(self) -> None:
        """Remove all that is there."""


@dataclass(frozen=True)
class Folder:
    path: Path

    def section(self, side: str) -> str:
        return f'[{side}]\nurl = "{self.path}"\n'

    def rclone(self) -> str:
        return str(self.path)

    def clear(self) -> None:
        put_aside(self.path)


@dataclass(frozen=True)
class SftpFolder(Folder):
    server: Sshd

    def section(self, side: str) -> str:
        return (
            f'[{side}]\nurl = "{self.server.url(self.path)}"\nidentity_file = "{self.server.identity_file}"\n'
            f'known_hosts = "{self.server.known_hosts}"\nssh_config = "none"\n'
        )

    def rclone(self) -> str:
        server = self.server
        return (
            f":sftp,host={server.host},port={server.port},user={server.user},key_file={server.identity_file},"
            f"known_hosts_file={server.known_hosts}:{self.path}"
        )


class Prefix:
    """A bucket of its own. rclone is told no more than it needs: its defaults are what is measured."""

    def __init__(self, server: S3Server) -> None:
        self.bucket = s3.Bucket(server)

    def section(self, side: str) -> str:
        return self.bucket.section(side, "/files")

    def rclone(self) -> str:
        return (
            f':s3,provider=Other,endpoint="{self.bucket.server.endpoint_url}",force_path_style=true,'
            f'access_key_id="{s3.ADMIN.access_key}",secret_access_key="{s3.ADMIN.secret_key}"'
            f":{self.bucket.name}/files"
        )

    def clear(self) -> None:
        keys = self.bucket.keys()
        for key in keys:
            self.bucket.delete(key)


@dataclass(frozen=True)
class Stand:
    """The servers. ``base`` is scratch."""

    base: Path
    s3: S3Server
    sshd: Sshd

    def prefix(self) -> Prefix:
        return Prefix(self.s3)

    def folder(self, name: str) -> Folder:
        (self.base / name).mkdir(exist_ok=True)
        return Folder(self.base / name)

    def sftp(self, name: str) -> SftpFolder:
        return SftpFolder(self.folder(name).path, self.sshd)


@contextmanager
def stand() -> Iterator[Stand]:
    """Both servers, with the limits that a real S3 server has. Their secrets are in this environment."""
    if reason := s3_missing() or sshd_missing():
        raise SystemExit(reason)
    os.environ.update(s3.environment())
    with tempfile.TemporaryDirectory(prefix="tui-sync-bench-") as folder:
        base = Path(folder)
        with S3Server(base / "swift", [s3.ADMIN]) as server, Sshd(base / "sshd") as sshd:
            yield Stand(base, server, sshd)


@dataclass(frozen=True)
class Route:
    """From one place to another; what ``compare`` of the benchmarks wants of a pair."""

    base: Path
    source: Place
    target: Place

    def ours(self, *more: str) -> list[str]:
        """The command line of the program."""
        profile = self.base / "pair.toml"
        profile.write_text(self.source.section("source") + self.target.section("target"))
        return [sys.executable, "-m", "tui_sync", "--batch", *more, str(profile)]

    def rclone(self, *flags: str, command: str = "copy") -> list[str]:
        """``flags`` after those that keep rclone from hashing files on a server by commands."""
        return [
            *(rclone(), command, self.source.rclone(), self.target.rclone()),
            *("--config", os.devnull, "--sftp-disable-hashcheck", *flags),
        ]

    def reset(self, *, keep_target: bool = False) -> None:
        """Forget what earlier runs did."""
        self.forget()
        if not keep_target:
            self.target.clear()
        os.sync()

    def forget(self) -> None:
        """The ledger is gone."""
        shutil.rmtree(self.base / "home", ignore_errors=True)
        (self.base / "home").mkdir()


def judge(route: Route) -> Sequence[str]:
    """The command with which rclone compares both places by content."""
    return route.rclone("--download", "--checkers", "8", command="check")
