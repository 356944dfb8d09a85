"""Known hosts files as OpenSSH writes and reads them: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tui_sync.errors import ConnectError

DEFAULT_PORT = 22


@dataclass(frozen=True, slots=True)
class Record:
    """One line that speaks of a host: ``blob`` is the public key in its wire form.

    ``authority``: the key is that of an authority that signs host keys (``@cert-authority``).
    """

    file: Path
    line: int
    key_type: str
    blob: bytes
    revoked: bool = False
    authority: bool = False


def host_name(host: str, port: int) -> str:
    """A host as known_hosts files write it."""
    host = host.lower()
    return host if port == DEFAULT_PORT else f"[{host}]:{port}"


def fingerprint(blob: bytes) -> str:
    """``SHA256:…`` as ssh-keygen prints it."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii")
    return f"SHA256:{digest.rstrip('=')}"


def key_line(name: str, key_type: str, blob: bytes) -> str:
    """The line that trusts a key, without a newline."""
    return f"{name} {key_type} {base64.b64encode(blob).decode('ascii')}"


def lookup(files: Iterable[Path], name: str) -> list[Record]:
    """All records for a host as written by ``host_name``, in the order of the files.

    A file that does not exist holds none; one that cannot be read raises ConnectError, for a revoked or a
    different key may stand in it. Lines that make no sense are passed over, as ssh does.
    """
    records: list[Record] = []
    for file in files:
        try:
            content = file.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ConnectError(f"cannot read the known hosts in {file}: {error.strerror}") from error
        for number, line in enumerate(content.decode("utf-8", "replace").split("\n"), 1):
            record = _parse(file, number, line, name)
            if record is not None:
                records.append(record)
    return records


def append(file: Path, line: str) -> None:
    """Add a line, making the file (0600) and its folder (0700) where they are missing."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as stream:
            end = stream.seek(0, os.SEEK_END)
            before = b""
            if end:
                stream.seek(end - 1)
                before = b"" if stream.read(1) == b"\n" else b"\n"
            stream.write(before + line.encode("utf-8") + b"\n")
    except OSError as error:
        raise ConnectError(f"cannot write the trusted key to {file}: {error.strerror}") from error


def _parse(file: Path, number: int, line: str, name: str) -> Record | None:
    fields = line.split()
    marker = ""
    if fields and fields[0].startswith("@"):
        marker = fields.pop(0)
        if marker not in ("@revoked", "@cert-authority"):
            return None
    if len(fields) < 3 or fields[0].startswith("#") or not _matches(fields[0], name):
        return None
    try:
        blob = base64.b64decode(fields[2], validate=True)
    except (binascii.Error, ValueError):
        return None
    return Record(file, number, fields[1], blob, marker == "@revoked", marker == "@cert-authority")


def _matches(patterns: str, name: str) -> bool:
    if patterns.startswith("|"):
        return _matches_hashed(patterns, name)
    found = False
    for pattern in patterns.lower().split(","):
        if pattern.startswith("!"):
            if _glob(pattern[1:], name):
                return False
        elif _glob(pattern, name):
            found = True
    return found


def _glob(pattern: str, name: str) -> bool:
    # Brackets stand for themselves here, only * and ? are special.
    return re.fullmatch(fnmatch.translate(re.sub(r"\[", "[[]", pattern)), name) is not None


def _matches_hashed(field: str, name: str) -> bool:
    parts = field.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt, digest = base64.b64decode(parts[2]), base64.b64decode(parts[3])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode("utf-8"), "sha1").digest(), digest)
