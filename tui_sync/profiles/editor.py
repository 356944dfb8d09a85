"""The JSON schema of a profile, by which editors complete and check the TOML text."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from tui_sync.model import SyncOptions
from tui_sync.profiles.schema import MOST_WORKERS, SIDE, SYNC, Key

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
    side = _section(SIDE, required=["url"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A tui-sync profile",
        "type": "object",
        "properties": {"source": side, "target": side, "sync": _section(SYNC, required=[])},
        "required": ["source", "target"],
        "additionalProperties": False,
    }


def _section(keys: Mapping[str, Key], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: _KEYS.get(name) or _plain(name, key.kind) for name, key in keys.items()},
        "required": required,
        "additionalProperties": False,
    }


def _plain(name: str, kind: type) -> dict[str, Any]:
    """By what it is alone; anything may be right where only a function can judge."""
    if issubclass(kind, StrEnum):
        return {"enum": [member.value for member in kind], "default": getattr(SyncOptions(), name)}
    return {"type": _TYPES[kind]} if kind in _TYPES else {}
