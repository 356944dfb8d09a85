"""A run's receipt for other programs and for people: JSON, CSV, or one HTML page.

Everything is written as it is read from the ledger, so memory does not grow with the run. Paths are spelled
so that none of them does harm where it is shown: see ``records`` for JSON, ``csv_cell`` for CSV.
"""

from __future__ import annotations

import base64
import csv
import html
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TextIO

import humanize

from tui_sync.errors import NotFound, UsageError
from tui_sync.ledger import Ledger, RunRecord
from tui_sync.model import Item, Kind, Outcome, Plan, Status
from tui_sync.names import printable

FORMAT = "tui-sync receipt 1"
_NS = 1_000_000_000
# Spreadsheets in some languages take the wide ones for the same.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_COLUMNS = (
    "status",
    "action",
    "kind",
    "path",
    "bytes",
    "verified",
    "elapsed_s",
    "attempts",
    "reason",
    "error",
)


def export(ledger: Ledger, run_id: int, form: str, out: TextIO) -> None:
    """Write the receipt of a run as ``form`` (a key of ``FORMS``) to ``out``.

    Raises NotFound for a run the ledger does not have, UsageError for an unknown form, OSError of ``out``.
    """
    if form not in FORMS:
        raise UsageError(f"“{printable(form)}” is no form of a receipt: use {', '.join(FORMS)}")
    run = find_run(ledger, run_id)
    FORMS[form](ledger, run, ledger.plan(run.plan_id), out)


def find_run(ledger: Ledger, run_id: int) -> RunRecord:
    """Raises NotFound."""
    found = next((run for run in ledger.runs() if run.run_id == run_id), None)
    if found is None:
        raise NotFound(
            f"the pair “{printable(ledger.path.stem)}” has no run {run_id}: see “tui-sync runs list”"
        )
    return found


def item_record(item: Item) -> dict[str, Any]:
    """An item as JSON. ``path`` is the path on the target as it is, unless it holds bytes that are not UTF-8:
    then ``path`` is its printable form and ``path_b64`` the bytes themselves in base64."""
    return {
        "action": item.action.value,
        "change": item.kind.value,
        "kind": item.entry_kind.value,
        **lossless(item.path),
        "reason": printable(item.reason),
    }


def outcome_record(outcome: Outcome) -> dict[str, Any]:
    """How an item ended, as JSON."""
    record = {
        "status": outcome.status.value,
        **item_record(outcome.item),
        "bytes": outcome.bytes,
        "elapsed_s": round(outcome.elapsed_s, 3),
        "verified": outcome.verified.value,
        "attempts": outcome.attempts,
    }
    if outcome.error:
        record["error"] = printable(outcome.error)
    if outcome.error_kind:
        record["error_kind"] = outcome.error_kind
    return record


def lossless(path: str) -> dict[str, str]:
    """``path``, and ``path_b64`` where the path is not valid Unicode."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raw = path.encode("utf-8", "surrogateescape")
        return {"path": printable(path), "path_b64": base64.b64encode(raw).decode("ascii")}
    return {"path": path}


def csv_cell(text: str) -> str:
    """Printable, and never the beginning of a formula: ``=x`` is the same path as ``./=x``."""
    shown = printable(text)
    return f"./{shown}" if shown.startswith(_FORMULA) else shown


def _json(ledger: Ledger, run: RunRecord, plan: Plan, out: TextIO) -> None:
    head = json.dumps(
        {
            "format": FORMAT,
            "pair": ledger.path.stem,
            "run": run.run_id,
            "source": plan.source,
            "target": plan.target,
            "started": _time(run.started_ns),
            "finished": _time(run.finished_ns),
            "options": asdict(plan.options),
            "totals": asdict(plan.totals),
            "guards": [asdict(guard) for guard in plan.guards],
            "summary": asdict(run.summary) if run.summary else None,
        },
        indent=1,
        default=str,
    )
    out.write(head.removesuffix("\n}") + ',\n "items": [')
    between = "\n  "
    for outcome in ledger.outcomes(run.run_id):
        out.write(between + json.dumps(outcome_record(outcome)))
        between = ",\n  "
    out.write("\n ]\n}\n")


def _csv(ledger: Ledger, run: RunRecord, plan: Plan, out: TextIO) -> None:
    table = csv.writer(out, lineterminator="\r\n")
    table.writerow(_COLUMNS)
    for outcome in ledger.outcomes(run.run_id):
        item = outcome.item
        row = (
            *(outcome.status, item.action, item.entry_kind, item.path, outcome.bytes, outcome.verified),
            *(round(outcome.elapsed_s, 3), outcome.attempts, item.reason, outcome.error),
        )
        table.writerow(csv_cell(value) if isinstance(value, str) else value for value in row)


_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }}
h1 {{ font-size: 1.3rem; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }}
dt {{ font-weight: 600; }}
dd {{ margin: 0; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .2rem .6rem; border-bottom: 1px solid #8884; vertical-align: top; }}
figure {{ margin: 1.5rem 0; }}
figcaption {{ color: #888; }}
svg {{ display: block; width: 100%; height: 8rem; background: #8881; }}
td.path {{ font-family: ui-monospace, monospace; overflow-wrap: anywhere; }}
td.number {{ text-align: right; white-space: nowrap; }}
tr.trouble td {{ font-weight: 600; background: #c0392b22; }}
</style>
</head>
<body>
<h1>{title}</h1>
<dl>
"""
_TABLE = """\
<table>
<thead><tr><th></th><th>path</th><th>status</th><th>size</th><th>verified</th><th>why</th></tr></thead>
<tbody>
"""


def _html(ledger: Ledger, run: RunRecord, plan: Plan, out: TextIO) -> None:
    out.write(_PAGE.format(title=_escaped(f"Receipt of {ledger.path.stem}, run {run.run_id}")))
    for name, value in _facts(run, plan):
        out.write(f"<dt>{_escaped(name)}</dt><dd>{_escaped(value)}</dd>\n")
    out.write("</dl>\n")
    out.write(_plot(*ledger.speeds(run.run_id)))
    out.write(_TABLE)
    for outcome in ledger.outcomes(run.run_id):
        out.write(_row(outcome))
    out.write("</tbody>\n</table>\n</body>\n</html>\n")


def _plot(interval_s: float, samples: Sequence[int]) -> str:
    """The speed over time as a drawing; nothing where nothing moved."""
    top = max(samples, default=0)
    if not top:
        return ""
    points = " ".join(f"{x},{100 - 100 * sample / top:.1f}" for x, sample in enumerate(samples))
    last = max(1, len(samples) - 1)
    if len(samples) == 1:
        points += f" 1,{100 - 100 * samples[0] / top:.1f}"
    words = f"speed: at most {humanize.naturalsize(top)}/s, over {len(samples) * interval_s:.0f} s"
    return (
        f'<figure>\n<svg viewBox="0 0 {last} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{_escaped(words)}">'
        f'<polygon points="0,100 {points} {last},100" fill="#2980b9"/></svg>\n'
        f"<figcaption>{_escaped(words)}</figcaption>\n</figure>\n"
    )


def _facts(run: RunRecord, plan: Plan) -> Iterator[tuple[str, str]]:
    yield "source", plan.source
    yield "target", plan.target
    yield "mode", f"{plan.options.mode}, compare {plan.options.compare}"
    yield "started", _time(run.started_ns) or ""
    yield "ended", _time(run.finished_ns) or "not yet, or without a word"
    summary = run.summary
    if summary is not None:
        yield "status", f"{summary.status} (exit code {summary.exit_code})"
        counts = ("created", "updated", "deleted", "unchanged", "skipped", "failed", "conflicts")
        yield "items", ", ".join(f"{getattr(summary, name):,} {name}" for name in counts)
        yield "copied", f"{humanize.naturalsize(summary.bytes)} in {summary.elapsed_s:.1f} s"
        yield "verified", str(summary.verified)
        if summary.trash:
            yield "trash", summary.trash
        if summary.requests:
            yield "requests", ", ".join(f"{number:,} {name}" for name, number in summary.requests.items())
    for guard in plan.guards:
        yield "refused" if guard.blocking else "note", guard.message


def _row(outcome: Outcome) -> str:
    item = outcome.item
    done = outcome.status is Status.DONE
    path = printable(item.path or ".") + ("/" if item.entry_kind is Kind.DIRECTORY else "")
    size = humanize.naturalsize(outcome.bytes) if outcome.bytes else ""
    verified = str(outcome.verified) if outcome.bytes and done else ""
    return (
        f"<tr{'' if done else ' class=trouble'}><td>{_escaped(item.glyph if done else '!')}</td>"
        f'<td class="path">{html.escape(path)}</td><td>{_escaped(outcome.status)}</td>'
        f'<td class="number">{_escaped(size)}</td><td>{_escaped(verified)}</td>'
        f"<td>{_escaped(outcome.error or item.reason)}</td></tr>\n"
    )


def _escaped(text: str) -> str:
    return html.escape(printable(text))


def _time(nanoseconds: int | None) -> str | None:
    if nanoseconds is None:
        return None
    return datetime.fromtimestamp(nanoseconds / _NS, UTC).isoformat(timespec="milliseconds")


FORMS: dict[str, Callable[[Ledger, RunRecord, Plan, TextIO], None]] = {
    "json": _json,
    "csv": _csv,
    "html": _html,
}
