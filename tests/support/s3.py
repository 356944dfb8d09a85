"""A real S3 server for tests, buckets in it, and a look into them that is not our own connector's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.contract.support import BatchPrompts
from tui_sync.connectors.base import Endpoint
from tui_sync.connectors.s3.connector import S3Connector, connect
from tui_sync.demo.s3_server import Account, S3Server

ADMIN = Account("test:tester", "secret-of-the-tester")
# May do nothing.
GUEST = Account("test:guest", "secret-of-the-guest", admin=False)

_numbers = itertools.count(1)


@contextmanager
def connected(endpoint: Endpoint) -> Iterator[S3Connector]:
    connector = connect(endpoint, BatchPrompts())
    try:
        yield connector
    finally:
        connector.close()


def start(folder: Path) -> S3Server:
    return S3Server(folder, [ADMIN, GUEST], smallest_part=1, longest_page=100).start()


class Bucket:
    """A new bucket of its own."""

    def __init__(self, server: S3Server) -> None:
        self.server = server
        self.name = f"bucket-{next(_numbers)}"
        self.client: Any = server.client()
        self.client.create_bucket(Bucket=self.name)

    def url(self, path: str = "") -> str:
        return f"s3://{self.name}{path}"

    def endpoint(self, path: str = "", *, account: Account = ADMIN, **options: object) -> Endpoint:
        return Endpoint(
            self.url(path),
            "s3",
            path or "/",
            self.name,
            options={"endpoint_url": self.server.endpoint_url, "region": "us-east-1", **options},
            secrets={"access_key": lambda: account.access_key, "secret_key": lambda: account.secret_key},
        )

    def section(self, side: str, path: str = "", **more: str) -> str:
        """The side of a profile that is this bucket; the secrets come from ``environment``."""
        lines = [
            f"[{side}]",
            f'url = "{self.url(path)}"',
            f'endpoint_url = "{self.server.endpoint_url}"',
            'access_key = "env:S3_ACCESS_KEY"',
            'secret_key = "env:S3_SECRET_KEY"',
            *(f"{key} = {value}" for key, value in more.items()),
        ]
        return "\n".join(lines) + "\n"

    def put(self, key: str, data: bytes = b"", mtime: str | None = None) -> None:
        metadata = {} if mtime is None else {"mtime": mtime}
        self.client.put_object(Bucket=self.name, Key=key, Body=data, Metadata=metadata)

    def get(self, key: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return data

    def mtime(self, key: str) -> str | None:
        metadata: Mapping[str, str] = self.client.head_object(Bucket=self.name, Key=key)["Metadata"]
        return metadata.get("mtime")

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def keys(self, prefix: str = "") -> list[str]:
        return list(self._keys(prefix))

    def _keys(self, prefix: str) -> Iterator[str]:
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
            for found in page.get("Contents") or ():
                yield found["Key"]

    def files(self, prefix: str = "") -> dict[str, bytes]:
        """Content by key below the prefix, markers of directories left out."""
        return {key[len(prefix) :]: self.get(key) for key in self.keys(prefix) if not key.endswith("/")}

    def unfinished(self) -> list[str]:
        """Keys of the multipart uploads that are under way."""
        return [
            found["Key"]
            for found in self.client.list_multipart_uploads(Bucket=self.name).get("Uploads") or ()
        ]


def environment(account: Account = ADMIN) -> dict[str, str]:
    """What the references in ``Bucket.section`` stand for."""
    return {"S3_ACCESS_KEY": account.access_key, "S3_SECRET_KEY": account.secret_key}
