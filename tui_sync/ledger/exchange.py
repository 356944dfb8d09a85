"""An approved plan as a file, for another time or another machine: read whole or not at all.

JSON lines in ASCII: a head (pair, options, totals, guards), a line for each item in the order of ``seq``, and
a last line with the SHA-256 of all bytes before it. Undecodable bytes of names are lone surrogates, which
JSON's escapes carry exactly. The digest shows damage and edits; whoever can forge it could start a run of
their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from tui_sync import names
from tui_sync.errors import TuiSyncError, UnsafeName, UsageError
from tui_sync.ledger import rows
from tui_sync.ledger.store import Ledger
from tui_sync.model import Action, ChangeKind, Entry, Item, Kind, Plan, SyncOptions, Totals
from tui_sync.names import printable
from tui_sync.whole import written_whole

FORMAT = "tui-sync plan"
VERSION = 1
_BATCH = 1000
# No path, link or reason is near that long; a file that is no plan need not be read to its end.
_LONGEST_LINE = 1 << 20


def export_plan(ledger: Ledger, plan: Plan, pair_id: str, file: Path) -> None:
    """Write the plan as it stands in the ledger, with what was taken out of it, to ``file`` (mode 0600).

    What is equal or excluded is left out. An earlier file is replaced in one step. Raises UsageError where
    the file cannot be written.
    """
    items = (
        item
        for item in ledger.items(plan.plan_id)
        if item.kind not in (ChangeKind.EQUAL, ChangeKind.EXCLUDED)
    )
    _replace(file, _lines(replace(plan, totals=ledger.totals(plan.plan_id)), pair_id, items))


def export_part(plan: Plan, pair_id: str, items: Iterable[Item], file: Path) -> None:
    """Write a plan of its own that holds some items of ``plan``, under their own ``seq``, to ``file``.

    Its totals count these items alone, once it has been imported. Raises as ``export_plan`` does.
    """
    _replace(file, _lines(replace(plan, totals=Totals()), pair_id, items))


def _lines(plan: Plan, pair_id: str, items: Iterable[Item]) -> Iterator[bytes]:
    head = {
        "format": FORMAT,
        "version": VERSION,
        "pair": pair_id,
        "source": plan.source,
        "target": plan.target,
        "created_ns": plan.created_ns,
        "options": asdict(plan.options),
        "totals": asdict(plan.totals),
        "guards": [asdict(guard) for guard in plan.guards],
    }
    yield _line(head)
    for item in items:
        yield _line(_item_to_json(item))


def import_plan(ledger: Ledger, pair_id: str, file: Path, check: Callable[[], None] = lambda: None) -> Plan:
    """Put the plan of ``file`` into the ledger, as a plan that was just made.

    ``check`` is called now and then and may raise. Raises UsageError where the file is no plan, not complete,
    changed since it was written, of a later version, or a plan for another pair; no plan is made then.
    """
    try:
        with file.open("rb") as opened:
            return _read(ledger, pair_id, file, opened, check)
    except OSError as error:
        raise UsageError(f"cannot read the plan {_named(file)}: {error.strerror}") from None


def _read(ledger: Ledger, pair_id: str, file: Path, opened: BinaryIO, check: Callable[[], None]) -> Plan:
    lines = _Checked(file, opened)
    head = lines.head()
    if head.get("pair") != pair_id:
        raise UsageError(
            f"{_named(file)} is a plan for {printable(str(head.get('source')))} to "
            f"{printable(str(head.get('target')))}, another pair: name that one, or save a new plan"
        )
    unknown = set(head.get("options", ())) - set(SyncOptions.__dataclass_fields__)
    if unknown:
        raise _later(file)
    try:
        options = rows.json_to_options(json.dumps(head["options"]))
        totals = rows.json_to_totals(json.dumps(head["totals"]))
        guards = rows.json_to_guards(json.dumps(head["guards"]))
        source, target, created_ns = str(head["source"]), str(head["target"]), int(head["created_ns"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _changed(file) from None
    plan_id = ledger.new_plan(source, target, options)
    items = (_json_to_item(file, raw) for raw in lines.items())
    while batch := list(islice(items, _BATCH)):
        check()
        try:
            ledger.add_items(plan_id, batch)
        except TuiSyncError:
            # The digest comes last: what does not fit into the ledger may be an edit.
            for _ in lines.items():
                check()
            raise
    return replace(ledger.finish_plan(plan_id, totals, guards), created_ns=created_ns)


class _Checked:
    """The lines of a plan file; the last of ``items`` is only given out when the digest has proven right."""

    def __init__(self, file: Path, opened: BinaryIO) -> None:
        self._file = file
        self._opened = opened
        self._digest = hashlib.sha256()

    def head(self) -> dict[str, Any]:
        line = self._opened.readline(_LONGEST_LINE)
        head = _object(line)
        if head is None or head.get("format") != FORMAT:
            raise UsageError(f"{_named(self._file)} is no plan: name a file that --save-plan has written")
        version = head.get("version")
        if not isinstance(version, int) or version > VERSION:
            raise _later(self._file)
        self._digest.update(line)
        return head

    def items(self) -> Iterator[dict[str, Any]]:
        while True:
            line = self._opened.readline(_LONGEST_LINE)
            if not line.endswith(b"\n"):
                raise UsageError(
                    f"the plan {_named(self._file)} is not complete, its end is missing: save it again"
                )
            found = _object(line)
            if found is None:
                raise _changed(self._file)
            if "sha256" in found:
                if found["sha256"] != self._digest.hexdigest() or self._opened.read(1):
                    raise _changed(self._file)
                return
            self._digest.update(line)
            yield found


def _changed(file: Path) -> UsageError:
    return UsageError(
        f"the plan {_named(file)} was changed since it was saved: only a plan as it was approved can run, so "
        "save a new one"
    )


def _later(file: Path) -> UsageError:
    return UsageError(
        f"the plan {_named(file)} was saved by a later version of tui-sync: update this one, or save the "
        "plan anew"
    )


def _named(file: Path) -> str:
    return f"“{printable(str(file))}”"


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _item_to_json(item: Item) -> dict[str, Any]:
    return {
        "seq": item.seq,
        "action": item.action.value,
        "path": item.path,
        "kind": item.kind.value,
        "reason": item.reason,
        "included": item.included,
        "source": None if item.source is None else item.source._asdict(),
        "target": None if item.target is None else item.target._asdict(),
    }


def _json_to_item(file: Path, raw: dict[str, Any]) -> Item:
    """The digest may have been made to fit: a path is as hostile here as in a listing."""
    try:
        item = Item(
            int(raw["seq"]),
            Action(raw["action"]),
            _path(raw["path"]),
            ChangeKind(raw["kind"]),
            str(raw["reason"]),
            _json_to_entry(raw["source"]),
            _json_to_entry(raw["target"]),
            bool(raw["included"]),
        )
    except (KeyError, TypeError, ValueError, UnsafeName):
        raise _changed(file) from None
    wants_source = item.action in (Action.CREATE, Action.UPDATE)
    wants_target = item.action in (Action.UPDATE, Action.DELETE)
    if (wants_source and item.source is None) or (wants_target and item.target is None):
        raise _changed(file)
    return item


def _json_to_entry(raw: dict[str, Any] | None) -> Entry | None:
    if raw is None:
        return None
    values = {**raw, "path": _path(raw["path"]), "kind": Kind(raw["kind"]), "size": int(raw["size"])}
    for key in ("mtime_ns", "mode"):
        values[key] = None if raw[key] is None else int(raw[key])
    for key in ("etag", "link_target"):
        values[key] = None if raw[key] is None else str(raw[key])
    return Entry(**values)


def _path(path: str) -> str:
    """``""`` is the root. Raises UnsafeName for what leads elsewhere, or to what is our own."""
    if path:
        names.check_path(path)
        if any(names.is_ours(name) for name in path.split("/")):
            raise UnsafeName(f"“{printable(path)}” is none of the user's files")
    return path


def _replace(file: Path, lines: Iterator[bytes]) -> None:
    digest = hashlib.sha256()
    try:
        with written_whole(file) as opened:
            for line in lines:
                digest.update(line)
                opened.write(line)
            opened.write(_line({"sha256": digest.hexdigest()}))
    except OSError as error:
        raise UsageError(f"cannot write the plan {_named(file)}: {error.strerror}") from None
