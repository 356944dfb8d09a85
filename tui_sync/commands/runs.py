"""``tui-sync runs``: what earlier runs did."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tui_sync import profiles
from tui_sync.commands import listing
from tui_sync.commands.parser import Commands
from tui_sync.commands.terminal import say
from tui_sync.errors import LedgerError, UsageError
from tui_sync.export import FORMS, export
from tui_sync.ledger.store import RUNS_KEPT, pair_ledgers
from tui_sync.names import printable

_RUN = "PAIR/RUN as “tui-sync runs list” names it, PAIR/last, or last"


def commands() -> argparse.ArgumentParser:
    """The parser; the words after ``runs`` go through it."""
    made = Commands(
        "tui-sync runs",
        f"What earlier runs did, item by item. The last {RUNS_KEPT} runs of each pair are kept.",
        "tui-sync runs show last",
    )
    made.add("list", "the runs of all pairs, newest first.", "tui-sync runs list")
    show = made.add(
        "show", "one run's receipt: a line per item, then the numbers.", "tui-sync runs show last"
    )
    show.add_argument("run", metavar="PAIR/RUN", help=_RUN)
    save = made.add(
        "export",
        "one run's receipt as JSON, CSV or a page of HTML that needs nothing else.",
        "tui-sync runs export last --format html --output receipt.html",
    )
    save.add_argument("run", metavar="PAIR/RUN", help=_RUN)
    save.add_argument(
        "--format", choices=list(FORMS), help="json, unless the name of the output says another"
    )
    save.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="instead of stdout; a file that exists is left alone",
    )
    undo = made.add(
        "undo",
        "put back what a run deleted, and with backup what it replaced. What changed since is left alone.",
        "tui-sync runs undo nightly",
    )
    undo.add_argument(
        "places", nargs="+", metavar="PROFILE | SOURCE TARGET", help="the pair; its newest run is undone"
    )
    undo.add_argument("--run", type=int, metavar="N", help="another of its runs, by its number")
    prune = made.add(
        "prune",
        "forget all but the newest runs of each pair. What was last synced stays known.",
        "tui-sync runs prune --keep 5",
    )
    prune.add_argument("--keep", type=int, default=1, metavar="N", help="runs to keep of each pair (1)")
    return made.parser


def main(arguments: list[str]) -> int:
    args = commands().parse_args(arguments)
    run: dict[str, Callable[[], int]] = {
        "list": listing.list_runs,
        "show": lambda: listing.show_run(args.run),
        "export": lambda: _export(args.run, args.format, args.output),
        "undo": lambda: _undo(args.places, args.run),
        "prune": lambda: _prune(args.keep),
    }
    return run[args.command]()


def _export(name: str, form: str | None, output: Path | None) -> int:
    chosen = form or (output.suffix.lstrip(".").lower() if output is not None else "json")
    if chosen not in FORMS:
        raise UsageError(f"“{printable(chosen)}” is no form of a receipt: use --format {'|'.join(FORMS)}")
    with listing.opened_run(name) as (ledger, run):
        if output is None:
            export(ledger, run.run_id, chosen, sys.stdout)
            return 0
        try:
            # It names files that others may not be meant to know of.
            handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(handle, "w", encoding="utf-8", newline="") as file:
                export(ledger, run.run_id, chosen, file)
        except FileExistsError:
            raise UsageError(f"{printable(str(output))} exists already: choose another name") from None
        except OSError as error:
            raise UsageError(f"cannot write {printable(str(output))}: {error.strerror}") from None
    say(printable(str(output)))
    return 0


def _undo(places: list[str], run: int | None) -> int:
    from tui_sync.commands.undo import undo

    if len(places) > 2:
        raise UsageError(f"one PROFILE, or a SOURCE and a TARGET, not {len(places)} arguments")
    pair = profiles.find(places[0]) if len(places) == 1 else profiles.quick(*places)
    return undo(pair, run)


def _prune(keep: int) -> int:
    if keep < 0:
        raise UsageError("--keep needs a number of runs, 0 or more")
    code = 0
    for path in pair_ledgers():
        try:
            with listing.opened(path, None) as ledger, ledger.lock():
                removed = ledger.prune(keep)
        except LedgerError as error:
            sys.stderr.write(f"error: {error}\n")
            code = error.exit_code
            continue
        say(f"{printable(path.stem)}\t{removed} forgotten")
    return code
