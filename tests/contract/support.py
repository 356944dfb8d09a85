"""What the contract tests share."""

from __future__ import annotations

import os

from tui_sync import names
from tui_sync.connectors.base import Connector, HostKey, Reader
from tui_sync.model import Entry

TAG = "0badcafe"
NS = 1_000_000_000
MTIME = 1_600_000_000 * NS

ODD_NAMES = [
    "plain",
    "with space",
    " leading and trailing ",
    "-rf",
    "--",
    "..hidden",
    "...",
    "new\nline",
    "esc\x1b[31mred",
    "tab\tand\rreturn",
    "bell\x07",
    "quote'\"`$(true)",
    "back\\slash",
    "[bold red]markup[@click=quit]",
    "*?glob[a-z]",
    "right\u202eto left",
    "zero\u200bwidth",
    "caf\u00e9",
    "cafe\u0301",
    "日本語",
    "\U0001f600",
    "undecodable \udcff\udc80",
    "~",
    "#",
    "x" * 255,
    "é" * 127,
]


class BatchPrompts:
    """Answers nothing and trusts nobody."""

    def secret(self, server: str, prompt: str) -> str | None:
        return None

    def trust(self, server: str, key: HostKey) -> bool:
        return False


def content(size: int, seed: int = 1) -> bytes:
    """Bytes in which every block differs."""
    block = bytes((index * seed + (index >> 8)) & 0xFF for index in range(min(size, 65_536)))
    whole = bytearray()
    while len(whole) < size:
        whole += len(whole).to_bytes(8, "big") + block
    return bytes(whole[:size])


def read(reader: Reader, path: str, start: int = 0, stop: int | None = None) -> bytes:
    with reader.open(path) as download:
        return b"".join(bytes(block) for block in download.blocks(start, stop))


def store(
    connector: Connector,
    path: str,
    data: bytes,
    *,
    mtime_ns: int | None = MTIME,
    mode: int | None = 0o640,
    replace: bool = False,
    block: int = 65_536,
) -> Entry:
    """One file by the whole way of an upload."""
    upload = connector.writer().upload(
        path, temporary=names.temporary(path, TAG), size=len(data), mtime_ns=mtime_ns, mode=mode
    )
    for offset in range(0, len(data), block):
        upload.write(offset, data[offset : offset + block])
    upload.finish()
    return upload.publish(replace=replace)


def same_time(one: int | None, other: int | None, precision_ns: int) -> bool:
    return one is not None and other is not None and abs(one - other) < max(1, precision_ns)


def as_root() -> bool:
    """Permissions do not bind root."""
    return os.geteuid() == 0
