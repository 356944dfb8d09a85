"""The keys of a profile, and every way to get one wrong as one sentence.

The models stay in here: the rest of the program sees plain values.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import ErrorDetails

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


def _member(kind: type[E], *without: E) -> BeforeValidator:
    choose = _one_of(*(member.value for member in kind if member not in without))
    return BeforeValidator(lambda value: kind(choose(value)))


def _transport(value: object) -> str:
    return _one_of("auto", "openssh", "paramiko")(value)


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


Text = Annotated[str, BeforeValidator(_text)]
Patterns = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Reference = Annotated[str, PlainValidator(check_reference)]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class _Side(_Section):
    url: Text
    password: Reference | None = Field(default=None, repr=False)
    passphrase: Reference | None = Field(default=None, repr=False)
    identity_file: Text | None = None
    known_hosts: Text | None = None
    ssh_config: Text | None = None
    transport: Annotated[str, BeforeValidator(_transport)] | None = None
    endpoint_url: Annotated[str, BeforeValidator(_endpoint_url)] | None = None
    region: Text | None = None
    access_key: Reference | None = Field(default=None, repr=False)
    secret_key: Reference | None = Field(default=None, repr=False)
    session_token: Reference | None = Field(default=None, repr=False)
    aws_profile: Text | None = None
    anonymous: bool | None = None
    addressing: Annotated[str, BeforeValidator(_one_of("auto", "path", "virtual"))] | None = None
    requester_pays: bool | None = None
    ca_bundle: Text | None = None
    verify_tls: bool | None = None
    timeout: Annotated[int | None, PlainValidator(_number(1, 3_600))] = None
    attempts: Annotated[int | None, PlainValidator(_number(1, 20))] = None
    part_size: Annotated[int | None, PlainValidator(_part_size)] = None


class _Sync(_Section):
    mode: Annotated[Mode, _member(Mode)] = Mode.COPY
    compare: Annotated[CompareBy, _member(CompareBy)] = CompareBy.AUTO
    include: Patterns = ()
    exclude: Patterns = ()
    delete: Annotated[DeleteTo, _member(DeleteTo)] = DeleteTo.TRASH
    max_delete: Annotated[DeleteLimit, PlainValidator(_delete_limit)] = DeleteLimit()
    verify: Annotated[Verify, _member(Verify, Verify.NONE)] = Verify.AUTO
    write: Annotated[WriteMode, _member(WriteMode)] = WriteMode.ATOMIC
    transform: Annotated[str, BeforeValidator(_one_of("none", "gzip"))] = "none"
    workers: Annotated[int | None, PlainValidator(_workers)] = None
    bandwidth_limit: Annotated[int | None, PlainValidator(_bandwidth)] = None
    backup: Annotated[bool, PlainValidator(_flag)] = False
    trash_keep: Annotated[int | None, PlainValidator(_keep)] = None
    symlinks: Annotated[Symlinks, _member(Symlinks)] = Symlinks.SKIP


class _File(_Section):
    source: _Side
    target: _Side
    sync: _Sync = _Sync()


_SECTIONS: Mapping[str, type[_Section]] = {"source": _Side, "target": _Side, "sync": _Sync}


def read(raw: Mapping[str, object], *, file: str, base: Path) -> tuple[Endpoint, Endpoint, SyncOptions]:
    """The two sides and the options of a parsed TOML file.

    ``file`` begins every message, relative paths start from ``base``. Raises ProfileError.
    """
    problem = ""
    model: _File | None = None
    try:
        model = _File.model_validate(raw)
    except ValidationError as error:
        problem = _sentence(error.errors(include_url=False))
    # Raised outside the handler: pydantic's error holds the values, a plain-text password among them.
    if model is None:
        raise ProfileError(f"{file}: {problem}")
    source, source_at = _endpoint(model.source, "source", file, base)
    target, target_at = _endpoint(model.target, "target", file, base)
    try:
        if model.source.endpoint_url == model.target.endpoint_url:
            urls.check_apart(source_at, target_at)
    except ValueError as error:
        raise ProfileError(f"{file}: {error}") from None
    return source, target, _options(model.sync, file)


def read_options(raw: Mapping[str, object], *, where: str) -> SyncOptions:
    """The options of a ``[sync]`` section alone. ``where`` begins every message. Raises ProfileError."""
    try:
        model = _Sync.model_validate(raw)
    except ValidationError as error:
        found = [ErrorDetails(**{**one, "loc": ("sync", *one["loc"])}) for one in error.errors()]
        raise ProfileError(f"{where}: {_sentence(found)}") from None
    return _options(model, where)


def _options(model: _Sync, file: str) -> SyncOptions:
    try:
        Filters(model.include, model.exclude)
    except UsageError as error:
        raise ProfileError(f"{file}: in [sync], {error}") from None
    return SyncOptions(**{key: getattr(model, key) for key in _Sync.model_fields})


def _endpoint(side: _Side, name: str, file: str, base: Path) -> tuple[Endpoint, urls.Location]:
    try:
        location = urls.parse(side.url, base)
    except ValueError as error:
        raise ProfileError(f"{file}: {name}.url {error}") from None
    options: dict[str, object] = {}
    secrets: dict[str, Callable[[], str]] = {}
    asked: list[str] = []
    for key in _Side.model_fields:
        value = getattr(side, key)
        if key == "url" or value is None:
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


def _sentence(errors: list[ErrorDetails]) -> str:
    """The one to fix first: a key misspelt is also a key missing, and says more."""
    unknown = [error for error in errors if error["type"] == "extra_forbidden"]
    error = (unknown or errors)[0]
    place = [str(step) for step in error["loc"]]
    key = printable(".".join(place[:2]))
    match error["type"]:
        case "extra_forbidden":
            return _unknown(place, error["input"])
        case "missing" if len(place) == 1:
            return f"the section [{key}] is missing: add it, with {_URL_REMEDY}"
        case "missing":
            return f"{key} is missing: add {_URL_REMEDY} or a local folder below [{place[0]}]"
        case "value_error":
            return f"{key} {error['ctx']['error']}"
    if len(place) == 1:
        return f"{key} must be a section: write [{key}] on a line of its own, and its keys below"
    return f"{key} has a value of the wrong type: {error['msg']}"


def _unknown(place: list[str], value: object) -> str:
    *section, key = place
    name = printable(".".join(place[:2]))
    sections = [f"[{title}]" for title, model in _SECTIONS.items() if key in model.model_fields]
    if section:
        known = _SECTIONS[section[0]].model_fields
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
