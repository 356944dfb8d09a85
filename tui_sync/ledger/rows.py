"""Values of the model as rows of SQLite, and back, exactly.

Text that may hold remote names becomes UTF-8 with surrogate escapes in a BLOB. An integer that does not fit
into 64 bits, as only a lying server reports one, becomes its decimal text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeAlias, TypeVar

from tui_sync.model import (
    Action,
    ChangeKind,
    CompareBy,
    DeleteLimit,
    DeleteTo,
    Entry,
    Guard,
    Identity,
    Item,
    Kind,
    Mode,
    Outcome,
    Partial,
    Status,
    Summary,
    Symlinks,
    Synced,
    SyncOptions,
    Totals,
    Verify,
    WriteMode,
)

Value: TypeAlias = bytes | str | int | float | None
Row: TypeAlias = tuple[Value, ...]
T = TypeVar("T")

# Far cheaper than calling the enumeration, which a large plan would do millions of times.
_KINDS = {kind.value: kind for kind in Kind}
_ACTIONS = {action.value: action for action in Action}
_CHANGES = {change.value: change for change in ChangeKind}

ENTRY_COLUMNS = ("path", "kind", "size", "mtime_ns", "mode", "etag", "link")
_NO_ENTRY: Row = (None,) * len(ENTRY_COLUMNS)


def _entry_columns(prefix: str) -> tuple[str, ...]:
    return tuple(f"{prefix}_{column}" for column in ENTRY_COLUMNS)


ITEM_COLUMNS = (
    *("seq", "path", "action", "kind", "reason", "included"),
    *_entry_columns("s"),
    *_entry_columns("t"),
)
OUTCOME_COLUMNS = (
    *("seq", "status", "bytes", "elapsed_s", "verified", "error", "attempts"),
    *_entry_columns("y"),
    "error_kind",
)
SYNCED_COLUMNS = (
    *("path", "s_kind", "s_size", "s_mtime_ns", "s_etag"),
    *("t_kind", "t_size", "t_mtime_ns", "t_etag"),
)

PARTIAL_COLUMNS = ("path", "s_kind", "s_size", "s_mtime_ns", "s_etag", "temporary", "token", "ranges")


def text_to_blob(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def blob_to_text(blob: bytes) -> str:
    return blob.decode("utf-8", "surrogateescape")


def _optional_blob(text: str | None) -> bytes | None:
    return None if text is None else text_to_blob(text)


def _optional_text(blob: Any) -> str | None:
    return None if blob is None else blob_to_text(blob)


def _integer(number: int | None) -> int | str | None:
    return number if number is None or -(2**63) <= number < 2**63 else str(number)


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def entry_to_row(entry: Entry | None, item_path: str) -> Row:
    """The path is left out where it is the item's own, as it nearly always is."""
    if entry is None:
        return _NO_ENTRY
    return (
        None if entry.path == item_path else text_to_blob(entry.path),
        entry.kind.value,
        _integer(entry.size),
        _integer(entry.mtime_ns),
        entry.mode,
        _optional_blob(entry.etag),
        _optional_blob(entry.link_target),
    )


def row_to_entry(row: Sequence[Any], item_path: str) -> Entry | None:
    path, kind, size, mtime_ns, mode, etag, link = row
    if kind is None:
        return None
    return Entry(
        item_path if path is None else blob_to_text(path),
        _KINDS[kind],
        int(size),
        _number(mtime_ns),
        mode,
        _optional_text(etag),
        _optional_text(link),
    )


def item_to_row(item: Item) -> Row:
    """In the order of ``ITEM_COLUMNS``."""
    return (
        item.seq,
        text_to_blob(item.path),
        item.action.value,
        item.kind.value,
        text_to_blob(item.reason),
        int(item.included),
        *entry_to_row(item.source, item.path),
        *entry_to_row(item.target, item.path),
    )


def row_to_item(row: Sequence[Any]) -> Item:
    """From the columns of ``ITEM_COLUMNS``. Raises ValueError, KeyError or TypeError for a damaged row."""
    path = blob_to_text(row[1])
    return Item(
        row[0],
        _ACTIONS[row[2]],
        path,
        _CHANGES[row[3]],
        blob_to_text(row[4]),
        row_to_entry(row[6:13], path),
        row_to_entry(row[13:20], path),
        bool(row[5]),
    )


def outcome_to_row(outcome: Outcome) -> Row:
    """In the order of ``OUTCOME_COLUMNS``; the item is told by its ``seq``."""
    return (
        outcome.item.seq,
        outcome.status.value,
        _integer(outcome.bytes),
        outcome.elapsed_s,
        outcome.verified.value,
        text_to_blob(outcome.error),
        outcome.attempts,
        *entry_to_row(outcome.synced, outcome.item.path),
        outcome.error_kind,
    )


def row_to_outcome(row: Sequence[Any], item: Item) -> Outcome:
    return Outcome(
        item=item,
        status=Status(row[1]),
        bytes=int(row[2]),
        elapsed_s=float(row[3]),
        verified=Verify(row[4]),
        error=blob_to_text(row[5]),
        attempts=row[6],
        synced=row_to_entry(row[7:14], item.path),
        error_kind=row[14],
    )


def synced_to_row(synced: Synced) -> Row:
    """In the order of ``SYNCED_COLUMNS``."""
    return (text_to_blob(synced.path), *_identity_to_row(synced.source), *_identity_to_row(synced.target))


def row_to_synced(row: Sequence[Any]) -> Synced:
    return Synced(blob_to_text(row[0]), _row_to_identity(row[1:5]), _row_to_identity(row[5:9]))


def partial_to_row(partial: Partial) -> Row:
    """In the order of ``PARTIAL_COLUMNS``."""
    return (
        text_to_blob(partial.path),
        *_identity_to_row(partial.source),
        text_to_blob(partial.temporary),
        text_to_blob(partial.token),
        json.dumps(partial.ranges),
    )


def row_to_partial(row: Sequence[Any]) -> Partial:
    return Partial(
        blob_to_text(row[0]),
        _row_to_identity(row[1:5]),
        blob_to_text(row[5]),
        blob_to_text(row[6]),
        tuple((int(start), int(stop)) for start, stop in json.loads(row[7])),
    )


def _identity_to_row(identity: Identity) -> Row:
    return (
        identity.kind.value,
        _integer(identity.size),
        _integer(identity.mtime_ns),
        _optional_blob(identity.etag),
    )


def _row_to_identity(row: Sequence[Any]) -> Identity:
    return Identity(Kind(row[0]), int(row[1]), _number(row[2]), _optional_text(row[3]))


# A key that is missing or unknown comes from another version: a default stands in, or it is left alone.
_OPTION_TYPES: Mapping[str, Callable[[Any], object]] = {
    "mode": Mode,
    "compare": CompareBy,
    "include": tuple,
    "exclude": tuple,
    "delete": DeleteTo,
    "max_delete": lambda raw: DeleteLimit(**raw),
    "verify": Verify,
    "write": WriteMode,
    "symlinks": Symlinks,
}
_SUMMARY_TYPES: Mapping[str, Callable[[Any], object]] = {"verified": Verify}


def to_json(value: SyncOptions | Totals | Summary) -> str:
    """ASCII only, so that surrogate escapes pass."""
    return json.dumps(asdict(value))


def json_to_options(text: str) -> SyncOptions:
    return _from_json(SyncOptions, text, _OPTION_TYPES)


def json_to_totals(text: str) -> Totals:
    return _from_json(Totals, text, {})


def json_to_summary(text: str) -> Summary:
    return _from_json(Summary, text, _SUMMARY_TYPES)


def guards_to_json(guards: Sequence[Guard]) -> str:
    return json.dumps([asdict(guard) for guard in guards])


def json_to_guards(text: str) -> tuple[Guard, ...]:
    return tuple(Guard(**raw) for raw in json.loads(text))


def _from_json(kind: Callable[..., T], text: str, types: Mapping[str, Callable[[Any], object]]) -> T:
    raw = json.loads(text)
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: types.get(key, _same)(value) for key, value in raw.items() if key in known})


def _same(value: Any) -> object:
    return value
