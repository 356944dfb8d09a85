"""The schema of the NDJSON records, as it is shipped."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import jsonschema


def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads((files("tui_sync.batch") / "records.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def validate(records: Iterable[dict[str, Any]]) -> None:
    """Fails on the first record that is not as documented."""
    checker = validator()
    for record in records:
        checker.validate(record)
