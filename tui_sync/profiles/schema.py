"""The keys of a profile, and every way to get one wrong as one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tui_sync.connectors.base import Endpoint
from tui_sync.errors import ProfileError, UsageError
from tui_sync.model import (
    CompareBy,
    DeleteLimit,
    DeleteTo,
    Mode,
    Symlinks,
    SyncOptions,
    Verify,
    WriteMode,
)
from tui_sync.names import printable
from tui_sync.planning.filters import Filters
from tui_sync.profiles import urls, values
from tui_sync.profiles.secrets import check_reference, secret

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

MOST_WORKERS = 64
# S3 takes no smaller ones; of larger ones several would fill the memory.
_LEAST_PART, _MOST_PART = 5 << 20, 512 << 20
_SECRETS = ("password", "passphrase", "access_key", "secret_key", "session_token")
_PATHS = ("identity_file", "known_hosts", "ssh_config", "ca_bundle")
_KEYS_OF = {
    "file": (),
    "sftp": ("password", "passphrase", "identity_file", "known_hosts", "ssh_config", "transport"),
    "s3": (
        "endpoint_url",
        "region",
        "access_key",
        "secret_key",
        "session_token",
        "aws_profile",
        "anonymous",
        "addressing",
        "requester_pays",
        "ca_bundle",
        "verify_tls",
        "timeout",
        "attempts",
        "part_size",
    ),
}
_PLACE = {"file": "a local folder", "sftp": "SFTP", "s3": "S3"}
_URL_REMEDY = 'url = "sftp://user@host/folder"'


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text in quotes")
    if not value.strip() or "\0" in value:
        raise ValueError("must not be empty or hold a NUL byte: give it a value, or leave the key out")
    return value


def _endpoint_url(value: object) -> str:
    text = _text(value)
    if "@" in text:
        raise ValueError(
            'holds a login: take it out, and write access_key = "env:NAME" and secret_key = "env:NAME"'
        )
    return text


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError('must be a list of patterns in quotes, such as ["*.tmp", ".cache/"]')
    return tuple(value)


def _one_of(*names: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if isinstance(value, str) and value in names:
            return value
        near = _near(value, names) if isinstance(value, str) else ""
        raise ValueError(f"must be one of {', '.join(names)}{': ' if near else ''}{near}")

    return check


def _member(kind: type[E], *without: E) -> Callable[[object], E]:
    choose = _one_of(*(member.value for member in kind if member not in without))
    return lambda value: kind(choose(value))


def _delete_limit(value: object) -> DeleteLimit:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        limit = _or_none(values.parse_delete_limit, value)
        if limit is not None:
            return limit
    raise ValueError(f"must be a limit for deletes: {values.LIMIT_REMEDY}")


def _keep(value: object) -> int | None:
    if isinstance(value, str):
        try:
            return values.parse_keep(value)
        except UsageError:
            pass
    raise ValueError(f"must be a time in quotes: {values.SPAN_REMEDY}")


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("must be true or false, without quotes")


def _bandwidth(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        size = _or_none(values.parse_size, value)
        if size is not None:
            return size or None
    raise ValueError(f"must be a speed such as 20M: {values.SIZE_REMEDY}")


def _or_none(parse: Callable[[str], T], text: str) -> T | None:
    try:
        return parse(text)
    except UsageError:
        return None


def _workers(value: object) -> int | None:
    if value == "auto":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_WORKERS:
        return value
    raise ValueError(f'must be "auto" or a number from 1 to {MOST_WORKERS}')


def _number(least: int, most: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        raise ValueError(f"must be a number from {least} to {most:,}")

    return check


def _part_size(value: object) -> int:
    size = _or_none(values.parse_size, value) if isinstance(value, str) else None
    if size is None or not _LEAST_PART <= size <= _MOST_PART:
        raise ValueError('must be a size from "5M" to "512M"')
    return size


class Key(NamedTuple):
    """A key of a section: how its value is read, which raises ValueError in words that follow the key's name,
    and what it then is, for ``editor``."""

    read: Callable[[object], object]
    kind: type


_TEXT = Key(_text, str)
_REFERENCE = Key(check_reference, str)
_FLAG = Key(_flag, bool)
SIDE: Mapping[str, Key] = {
    "url": _TEXT,
    "password": _REFERENCE,
    "passphrase": _REFERENCE,
    "identity_file": _TEXT,
    "known_hosts": _TEXT,
    "ssh_config": _TEXT,
    "transport": Key(_one_of("auto", "openssh", "paramiko"), str),
    "endpoint_url": Key(_endpoint_url, str),
    "region": _TEXT,
    "access_key": _REFERENCE,
    "secret_key": _REFERENCE,
    "session_token": _REFERENCE,
    "aws_profile": _TEXT,
    "anonymous": _FLAG,
    "addressing": Key(_one_of("auto", "path", "virtual"), str),
    "requester_pays": _FLAG,
    "ca_bundle": _TEXT,
    "verify_tls": _FLAG,
    "timeout": Key(_number(1, 3_600), int),
    "attempts": Key(_number(1, 20), int),
    "part_size": Key(_part_size, str),
}
SYNC: Mapping[str, Key] = {
    "mode": Key(_member(Mode), Mode),
    "compare": Key(_member(CompareBy), CompareBy),
    "include": Key(_texts, tuple),
    "exclude": Key(_texts, tuple),
    "delete": Key(_member(DeleteTo), DeleteTo),
    "max_delete": Key(_delete_limit, DeleteLimit),
    "verify": Key(_member(Verify, Verify.NONE), Verify),
    "write": Key(_member(WriteMode), WriteMode),
    "transform": Key(_one_of("none", "gzip"), str),
    "workers": Key(_workers, int),
    "bandwidth_limit": Key(_bandwidth, int),
    "backup": _FLAG,
    "trash_keep": Key(_keep, int),
    "symlinks": Key(_member(Symlinks), Symlinks),
}
_SECTIONS: Mapping[str, Mapping[str, Key]] = {"source": SIDE, "target": SIDE, "sync": SYNC}
_REQUIRED = {"source": ("url",), "target": ("url",)}


def read(raw: Mapping[str, object], *, file: str, base: Path) -> tuple[Endpoint, Endpoint, SyncOptions]:
    """The two sides and the options of a parsed TOML file.

    ``file`` begins every message, relative paths start from ``base``. Raises ProfileError.
    """
    found = _Found()
    for title in _SECTIONS:
        if title in raw:
            found.read(title, raw[title])
        elif title in _REQUIRED:
            found.wrong(f"the section [{title}] is missing: add it, with {_URL_REMEDY}")
    for key, value in raw.items():
        if key not in _SECTIONS:
            found.unknown([key], value)
    found.check(file)
    values = found.values
    source, source_at = _endpoint(values["source"], "source", file, base)
    target, target_at = _endpoint(values["target"], "target", file, base)
    try:
        if values["source"].get("endpoint_url") == values["target"].get("endpoint_url"):
            urls.check_apart(source_at, target_at)
    except ValueError as error:
        raise ProfileError(f"{file}: {error}") from None
    return source, target, _options(values.get("sync", {}), file)


def read_options(raw: Mapping[str, object], *, where: str) -> SyncOptions:
    """The options of a ``[sync]`` section alone. ``where`` begins every message. Raises ProfileError."""
    found = _Found()
    found.read("sync", raw)
    found.check(where)
    return _options(found.values["sync"], where)


class _Found:
    """What is read of a file: the values by section and key, and what is wrong with the rest."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, Any]] = {}
        self._unknown: list[str] = []
        self._wrong: list[str] = []

    def read(self, title: str, raw: object) -> None:
        values = self.values[title] = {}
        if not isinstance(raw, Mapping):
            self.wrong(f"{title} must be a section: write [{title}] on a line of its own, and its keys below")
            return
        keys = _SECTIONS[title]
        for key, known in keys.items():
            if key in raw:
                try:
                    values[key] = known.read(raw[key])
                except ValueError as error:
                    self.wrong(f"{title}.{key} {error}")
            elif key in _REQUIRED.get(title, ()):
                self.wrong(f"{title}.{key} is missing: add {_URL_REMEDY} or a local folder below [{title}]")
        for key, value in raw.items():
            if key not in keys:
                self.unknown([title, key], value)

    def wrong(self, sentence: str) -> None:
        self._wrong.append(sentence)

    def unknown(self, place: list[str], value: object) -> None:
        self._unknown.append(_unknown(place, value))

    def check(self, file: str) -> None:
        """Tell the one to put right first: a key misspelt is also a key missing, and says more."""
        for sentence in (*self._unknown, *self._wrong):
            raise ProfileError(f"{file}: {sentence}")


def _options(values: Mapping[str, Any], file: str) -> SyncOptions:
    options = SyncOptions(**values)
    try:
        Filters(options.include, options.exclude)
    except UsageError as error:
        raise ProfileError(f"{file}: in [sync], {error}") from None
    return options


def _endpoint(side: Mapping[str, Any], name: str, file: str, base: Path) -> tuple[Endpoint, urls.Location]:
    try:
        location = urls.parse(side["url"], base)
    except ValueError as error:
        raise ProfileError(f"{file}: {name}.url {error}") from None
    options: dict[str, object] = {}
    secrets: dict[str, Callable[[], str]] = {}
    asked: list[str] = []
    for key, value in side.items():
        if key == "url":
            continue
        if key not in _KEYS_OF[location.scheme]:
            raise ProfileError(f"{file}: {name}.{key} means nothing for {_PLACE[location.scheme]}: remove it")
        if key in _SECRETS:
            resolver = secret(value, where=f"{file}: {name}.{key}", base=base)
            if resolver is not None:
                secrets[key] = resolver
            elif location.scheme == "s3":
                asked.append(key)
        elif key in _PATHS and not (key == "ssh_config" and value == "none"):
            options[key] = _path(value, f"{file}: {name}.{key}", base)
        else:
            options[key] = value
    if asked:
        options["ask"] = tuple(asked)
    return location.endpoint(options, secrets), location


def _path(text: str, where: str, base: Path) -> str:
    try:
        return str(base / Path(text).expanduser())
    except RuntimeError:
        raise ProfileError(
            f"{where} begins with ~ and a user that does not exist: write it in full"
        ) from None


def _unknown(place: list[str], value: object) -> str:
    *section, key = place
    name = printable(".".join(place))
    sections = [f"[{title}]" for title, keys in _SECTIONS.items() if key in keys]
    if section:
        known = _SECTIONS[section[0]]
        near = _near(key, known)
        if sections and not near:
            return f"{name} is not known there: move {printable(key)} below {' or '.join(sections)}"
        return f"{name} is not known: {near or 'use one of ' + ', '.join(known)}"
    if sections and not isinstance(value, dict):
        return f"{name} stands outside a section: move it below {' or '.join(sections)}"
    what = f"the section [{name}]" if isinstance(value, dict) else f"the key {name}"
    return f"{what} is not known: {_near(key, _SECTIONS) or 'a profile has [source], [target] and [sync]'}"


def _near(word: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f"did you mean {found[0]}?" if found else ""
