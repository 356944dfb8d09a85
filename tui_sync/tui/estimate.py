"""How long a run may take, judged by earlier runs of the same pair."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from tui_sync.model import Totals

if TYPE_CHECKING:
    from tui_sync.ledger import RunRecord

_RUNS = 8
# Below this a run says more of connecting and disks than of its speed.
_SHORTEST_S = 0.5


@dataclass(frozen=True, slots=True)
class Pace:
    """What earlier runs reached: bytes per second and items per second, each where there was enough."""

    bytes_per_s: float | None = None
    items_per_s: float | None = None


def pace(records: Iterable[RunRecord]) -> Pace:
    """From the newest runs that took long enough to tell."""
    by_bytes: list[float] = []
    by_items: list[float] = []
    for record in records:
        summary = record.summary
        if summary is None or summary.elapsed_s < _SHORTEST_S:
            continue
        items = summary.created + summary.updated + summary.deleted + summary.directories
        if summary.bytes:
            by_bytes.append(summary.bytes / summary.elapsed_s)
        if items:
            by_items.append(items / summary.elapsed_s)
    return Pace(_typical(by_bytes), _typical(by_items))


def _typical(rates: list[float]) -> float | None:
    # A run of small files has a low rate of bytes and one of large files a low rate of items: the better half
    # tells what the line and the server can do.
    best = sorted(rates[:_RUNS], reverse=True)
    return median(best[: (len(best) + 1) // 2]) if best else None


def seconds(totals: Totals, known: Pace, limit: int | None) -> float | None:
    """For a plan of these totals under a limit in bytes per second; None where nothing tells."""
    rate = known.bytes_per_s
    if limit is not None:
        rate = limit if rate is None else min(rate, limit)
    if (totals.bytes and rate is None) or (totals.work and known.items_per_s is None and rate is None):
        return None
    moving = totals.bytes / rate if rate else 0.0
    handling = totals.work / known.items_per_s if known.items_per_s else 0.0
    # Bytes and items overlap: several files are under way at a time.
    return max(moving, handling)
