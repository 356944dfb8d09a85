"""Where a side lies: a URL or local path, parsed and brought into one spelling.

The syntax is that of RFC 3986, but a path runs to the end: ``?`` and ``#`` are ordinary characters of names.
A problem is a ValueError whose text goes on after the key, ``"has no folder: …"``. It never quotes the URL,
which may hold a password.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from tui_sync.connectors.base import Endpoint
from tui_sync.connectors.registry import schemes

SFTP_PORT = 22

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_HOST = re.compile(r"[\w](?:[\w.-]*[\w.])?")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PASSWORD = 'holds a password: take it out, and write password = "env:NAME" in a profile or be asked for it'


@dataclass(frozen=True, slots=True)
class Location:
    """``url`` is the canonical spelling, with everything that is not printable percent-encoded.

    ``path`` is absolute, for S3 within the bucket, which is the ``host``; ``/~/…`` on SFTP leads to the login
    folder. ``port`` None: the usual one.
    """

    url: str
    scheme: str
    path: str
    host: str = ""
    port: int | None = None
    user: str | None = None

    def endpoint(
        self,
        options: Mapping[str, object] | None = None,
        secrets: Mapping[str, Callable[[], str]] | None = None,
    ) -> Endpoint:
        return Endpoint(
            self.url, self.scheme, self.path, self.host, self.port, self.user, options or {}, secrets or {}
        )


def parse(text: str, base: Path) -> Location:
    """``text`` is a URL, or a local path that is relative to ``base`` and may begin with ``~``."""
    if not text.strip():
        raise ValueError("is empty: write sftp://user@host/folder or a local folder")
    if "\0" in text:
        raise ValueError("contains a NUL byte: remove it")
    match = _SCHEME.fullmatch(text)
    if match is None:
        if ":" in text.partition("/")[0]:
            raise ValueError(
                "looks like an address for scp: write sftp://user@host/folder, or ./NAME for a local name"
            )
        return _local(text, base)
    scheme, rest = match[1].lower(), match[2]
    if scheme not in schemes():
        known = ", ".join(f"{name}://" for name in schemes())
        raise ValueError(f"begins with {scheme}://, which is not known: use a local folder or one of {known}")
    if scheme == "file":
        return _file(rest)
    return _s3(rest) if scheme == "s3" else _sftp(rest)


def check_apart(source: Location, target: Location) -> None:
    """Raises ValueError, a whole sentence, where the two are one folder or one lies in the other.

    Told from what is written: two names of one server are two servers, but for the loopback's.
    """
    if source.scheme != target.scheme or _server(source) != _server(target):
        return
    first, second = _parts(source), _parts(target)
    shared = min(len(first), len(second))
    if first[:shared] != second[:shared]:
        return
    problem = "source and target are the same folder"
    if len(first) != len(second):
        inner, outer = ("target", "source") if len(second) > len(first) else ("source", "target")
        problem = f"the {inner} lies inside the {outer}"
    raise ValueError(f"{problem}: choose two folders apart from each other")


def _local(text: str, base: Path) -> Location:
    try:
        path = os.path.abspath(base / Path(text).expanduser())
    except RuntimeError:
        raise ValueError(
            "begins with ~ and a user that does not exist here: write the folder in full"
        ) from None
    return Location(url=f"file://{_encode(path)}", scheme="file", path=path)


def _file(rest: str) -> Location:
    authority, slash, path = rest.partition("/")
    if authority.lower() not in ("", "localhost") or not slash:
        raise ValueError("does not name a folder of this machine: write file:///folder with three slashes")
    return _local(_decode(f"/{path}"), Path("/"))


def _s3(rest: str) -> Location:
    bucket, _, path = rest.partition("/")
    if "@" in bucket or ":" in bucket:
        raise ValueError(
            "has more than a bucket's name after s3://: write s3://bucket/folder, the server as endpoint_url "
            "and the keys as access_key and secret_key in a profile"
        )
    if not _BUCKET.fullmatch(bucket):
        raise ValueError("names no bucket: write s3://bucket or s3://bucket/folder")
    parts = [part for part in _decode(path).split("/") if part not in ("", ".")]
    joined = "/".join(parts)
    if "\0" in joined or ".." in parts:
        raise ValueError("has a folder with “..” or a NUL byte in it: write the folder in full")
    if not joined.isascii() and any("\udc80" <= char <= "\udcff" for char in joined):
        raise ValueError("has a folder that is not UTF-8, which no key in a bucket can be: correct it")
    return Location(f"s3://{bucket}/{_encode(joined)}", "s3", f"/{joined}", bucket)


def _sftp(rest: str) -> Location:
    authority, _, path = rest.partition("/")
    login, at, address = authority.rpartition("@")
    if ":" in login or ("@" in path and not at and not _plausible(address)):
        # The second form is a password with a slash in it.
        raise ValueError(_PASSWORD)
    user = _decode(login) if at else None
    if user is not None and (not user or user.startswith("-") or not user.isprintable()):
        raise ValueError("has an empty or unusable user name: write sftp://user@host/folder")
    host, port = _address(address)
    parts = [part for part in _decode(path).split("/") if part not in ("", ".")]
    if "\0" in "".join(parts) or ".." in parts:
        raise ValueError("has a folder with “..” or a NUL byte in it: write the folder in full")
    if not parts and not rest.partition("/")[1]:
        raise ValueError("names no folder: add one as in sftp://host/folder, or /~/ for the login folder")
    absolute = "/" + "/".join(parts) + ("/" if parts == ["~"] else "")
    shown = f"[{host}]" if ":" in host else host
    url = (
        "sftp://"
        + (f"{_encode(user, '@:/')}@" if user is not None else "")
        + shown.replace("%", "%25")
        + (f":{port}" if port is not None else "")
        + _encode(absolute)
    )
    return Location(url, "sftp", absolute, host, port, user)


def _plausible(address: str) -> bool:
    try:
        _address(address)
    except ValueError:
        return False
    return True


def _address(address: str) -> tuple[str, int | None]:
    if address.startswith("["):
        literal, bracket, port = address[1:].partition("]")
        host = _decode(literal).lower()
        try:
            valid = bool(bracket) and ipaddress.IPv6Address(host) is not None
        except ValueError:
            valid = False
        if not valid or (port and not port.startswith(":")):
            raise ValueError(
                "has an address in brackets that is not IPv6: write sftp://[2001:db8::1]:22/folder"
            )
        return host, _port(port[1:])
    if address.count(":") > 1:
        raise ValueError("has an IPv6 address without brackets: write sftp://[2001:db8::1]:22/folder")
    name, _, port = address.partition(":")
    host = _decode(name).lower()
    if not _HOST.fullmatch(host) or len(host) > 255:
        raise ValueError("has no usable host name: write sftp://user@host/folder")
    return host, _port(port)


def _port(text: str) -> int | None:
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 65535:
        return int(text) if int(text) != SFTP_PORT else None
    raise ValueError("has a port that is no number from 1 to 65535: write sftp://host:22/folder")


def _server(location: Location) -> tuple[str, int | None, str | None]:
    host = "localhost" if location.host in _LOOPBACK else location.host
    return host, location.port, location.user


def _parts(location: Location) -> list[str]:
    path = os.path.realpath(location.path) if location.scheme == "file" else location.path
    return [part for part in path.split("/") if part]


def _decode(text: str) -> str:
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _encode(text: str, reserved: str = "") -> str:
    """Readable characters stay, so that a URL on the screen looks like the name it stands for."""
    return "".join(
        char
        if char.isprintable() and char != "%" and char not in reserved
        else "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))
        for char in text
    )
