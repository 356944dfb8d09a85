"""The JSON schema of a profile, by which editors complete and check the TOML text."""

from __future__ import annotations

from enum import StrEnum
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tui_sync.profiles.schema import MOST_WORKERS, _Side, _Sync

_TYPES: dict[object, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}

_REFERENCE = {
    "type": "string",
    "pattern": r"^(ask|env:[A-Za-z_][A-Za-z0-9_]*|file:.+|command:.+|keyring:.+/.+)$",
    "description": "Where the secret is found, never the secret itself.",
    "examples": ["env:NAME", "file:~/.secret", "command:pass show host", "keyring:tui-sync/me@host", "ask"],
}
_SIZE = r"^([Oo][Ff][Ff]|[0-9]+(\.[0-9]+)?\s*([KkMmGgTt]([Ii]?[Bb])?|[Bb])?(/[Ss])?)$"
_KEYS: dict[str, dict[str, Any]] = {
    "url": {
        "type": "string",
        "minLength": 1,
        "description": "sftp://user@host:port/folder, s3://bucket/prefix, or a local folder.",
    },
    **dict.fromkeys(("password", "passphrase", "access_key", "secret_key"), _REFERENCE),
    "transport": {"enum": ["auto", "paramiko", "openssh"], "description": "How SSH is spoken."},
    "transform": {"enum": ["none", "gzip"], "default": "none", "description": "What is done to the content."},
    "verify": {
        "enum": ["auto", "size", "checksum", "readback"],
        "default": "auto",
        "description": "How far a written file is checked.",
    },
    "max_delete": {
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": r"^([0-9]+|(100|[0-9]{1,2})(\.[0-9]+)?\s*%)$"},
        ],
        "default": "50%",
        "description": "A plan that deletes more files than this is refused.",
    },
    "workers": {
        "anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MOST_WORKERS}],
        "default": "auto",
        "description": "Files in flight at the same time.",
    },
    "bandwidth_limit": {
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": _SIZE}],
        "default": "off",
        "description": "The most that is sent per second, such as 20M.",
    },
    "backup": {
        "type": "boolean",
        "default": False,
        "description": "Files that are replaced go to the trash folder on the target, too.",
    },
    "trash_keep": {
        "type": "string",
        "pattern": r"^\s*([1-9][0-9]{0,5}\s*[HDWhdw]|[Ff][Oo][Rr][Ee][Vv][Ee][Rr])\s*$",
        "default": "forever",
        "description": "How long what is in the trash stays there, such as 30d.",
    },
    "symlinks": {
        "enum": ["skip", "follow", "copy"],
        "default": "skip",
        "description": "What becomes of symbolic links on the source.",
    },
    "include": {"type": "array", "items": {"type": "string"}, "description": "Only files like these."},
    "exclude": {"type": "array", "items": {"type": "string"}, "description": "Patterns as in .gitignore."},
}


def json_schema() -> dict[str, Any]:
    """Draft 2020-12."""
    side = _section(_Side, required=["url"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A tui-sync profile",
        "type": "object",
        "properties": {"source": side, "target": side, "sync": _section(_Sync, required=[])},
        "required": ["source", "target"],
        "additionalProperties": False,
    }


def _section(model: type[BaseModel], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {key: _KEYS.get(key) or _plain(field) for key, field in model.model_fields.items()},
        "required": required,
        "additionalProperties": False,
    }


def _plain(field: FieldInfo) -> dict[str, Any]:
    """By the type alone; anything may be right where only a function can judge."""
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not NoneType]
    # Annotated[str, ...] is a str.
    kind = getattr(kinds[0], "__origin__", kinds[0])
    if len(kinds) != 1 or not isinstance(kind, type):
        return {}
    if issubclass(kind, StrEnum):
        return {"enum": [member.value for member in kind], "default": field.default}
    return {"type": _TYPES[kind]} if kind in _TYPES else {}
