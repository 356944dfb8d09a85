"""The command line: reads the arguments, then imports the face that was asked for and no other."""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_sync import __version__
from tui_sync.commands.parser import Parser
from tui_sync.errors import TuiSyncError, UsageError
from tui_sync.names import masked, printable

if TYPE_CHECKING:
    from tui_sync.profiles import Profile

INTERRUPTED = 130
_OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)

_EPILOG = """\
PROFILE is a name in the profiles folder or a path to a .toml file; SOURCE and TARGET are URLs
(sftp://user@host:port/path) or local paths. Further commands, each with --help of its own:

  tui-sync demo              two embedded SFTP servers with sample data, and the app on them
  tui-sync profiles          list, make, edit, test and import profiles; trust their servers
  tui-sync runs              list, show, export, undo and prune earlier runs
  tui-sync completion        completion for your shell

example:
  tui-sync --batch --dry-run --exclude '*.tmp' sftp://me@host/data /srv/backup

exit codes: 0 done, 1 other error, 2 usage or profile, 3 source or target not found, 7 cannot connect,
log in or trust, 23 some items failed, 24 some items drifted or vanished, 25 a guard refused the plan,
130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in arguments
    _open_streams()
    _tolerate_any_name()
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except SystemExit:
        # --help and --version end this way; usage errors do not.
        return 0
    except BrokenPipeError:
        _silence_stdout()
        return 1
    except OSError as error:
        # Files are opened and read with answers of their own; what is left has no file's name.
        if error.filename is not None or error.errno not in _OUTPUT_ERRORS:
            return _internal(error, as_json)
        _silence_stdout()
        _report(f"cannot write the output: {error.strerror}", as_json)
        return 1
    except KeyboardInterrupt:
        _report("interrupted", as_json)
        return INTERRUPTED
    except TuiSyncError as error:
        _report(str(error), as_json)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last resort: a person gets a sentence, not a traceback
        return _internal(error, as_json)


def _internal(error: Exception, as_json: bool) -> int:
    _report(f"internal error: {type(error).__name__}: {printable(str(error))}", as_json)
    if os.environ.get("TUI_SYNC_DEBUG") == "1":
        import traceback

        with suppress(OSError):
            traceback.print_exception(error)
    else:
        _say("Please report it with the output of the same command under TUI_SYNC_DEBUG=1.")
    return 1


def _run(arguments: list[str]) -> int:
    commands: dict[str, Callable[[list[str]], int]] = {
        "demo": _demo,
        "profiles": lambda rest: _command("profiles", rest),
        "runs": lambda rest: _command("runs", rest),
        "completion": _completion,
    }
    if arguments and arguments[0] in commands:
        return commands[arguments[0]](arguments[1:])
    return _sync(arguments)


def _command(name: str, arguments: list[str]) -> int:
    code: int = import_module(f"tui_sync.commands.{name}").main(arguments)
    return code


def _sync_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="tui-sync",
        usage="%(prog)s [options] [PROFILE | SOURCE TARGET]\n       %(prog)s demo|profiles|runs|completion …",
        description="One-way file synchronisation: see it, approve it, prove it. Opens the app, or syncs at "
        "once with --batch.",
        epilog=_EPILOG,
    )
    parser.add_argument("places", nargs="*", metavar="PROFILE | SOURCE TARGET", help="what to sync")
    parser.add_argument("--version", action="version", version=f"tui-sync {__version__}")
    _add_batch_options(parser)
    plans = parser.add_argument_group("plan now, run later, with --batch")
    plans.add_argument(
        "--save-plan", type=Path, metavar="FILE", help="write the plan to FILE, and nothing to the target"
    )
    plans.add_argument(
        "--apply", type=Path, metavar="FILE", help="run the plan of FILE: it, and nothing else"
    )
    often = parser.add_argument_group("for cron and timers, with --batch")
    often.add_argument(
        "--retry-failed", action="store_true", help="only what the last run of the pair did not get done"
    )
    often.add_argument("--log-file", type=Path, metavar="FILE", help="append what was done; rotates at 5 MB")
    often.add_argument(
        "--metrics-file",
        type=Path,
        metavar="FILE",
        help="the run's figures for Prometheus' textfile collector",
    )
    sync = parser.add_argument_group("sync options, instead of the profile's")
    sync.add_argument(
        "--mode", choices=["copy", "mirror"], help="mirror also deletes what is only on the target"
    )
    sync.add_argument("--compare", choices=["auto", "size", "mtime", "checksum"], help="how to tell a change")
    sync.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="P",
        help="only files like this; added to the profile's",
    )
    sync.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="P",
        help="gitignore pattern; added to the profile's",
    )
    sync.add_argument(
        "--backup",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="keep what is replaced in the trash on the target, or do not",
    )
    sync.add_argument("--trash-keep", metavar="TIME", help="how long it stays there: 12h, 30d, 8w or forever")
    sync.add_argument("--symlinks", choices=["skip", "follow", "copy"], help="links on the source")
    sync.add_argument("--max-delete", metavar="N|P%", help="refuse a plan that deletes more files than this")
    sync.add_argument("--verify", choices=["auto", "none", "size", "checksum", "readback"], help="how far")
    sync.add_argument("--workers", type=_workers, metavar="N|auto", help="files copied at a time")
    sync.add_argument("--bandwidth-limit", metavar="SIZE", help="bytes per second, such as 20M, or off")
    return parser


def _add_batch_options(parser: argparse.ArgumentParser) -> None:
    batch = parser.add_argument_group("without the app")
    batch.add_argument("--batch", action="store_true", help="sync at once, no app")
    batch.add_argument(
        "--dry-run", action="store_true", help="print the plan, write nothing (implies --batch)"
    )
    batch.add_argument("--json", action="store_true", help="NDJSON on stdout (implies --batch)")
    batch.add_argument("-q", "--quiet", action="store_true", help="only problems, and the summary after them")


def _workers(text: str) -> int:
    """The number, 0 for automatic."""
    if text == "auto":
        return 0
    if text.isdecimal() and 1 <= int(text) <= 64:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a number from 1 to 64")


def _sync(arguments: list[str]) -> int:
    args = _sync_parser().parse_intermixed_args(arguments)
    headless = args.batch or args.dry_run or args.json
    if args.quiet and not headless:
        raise UsageError("--quiet is for --batch: the app has nothing to keep quiet")
    for option in ("save_plan", "apply", "retry_failed", "log_file", "metrics_file"):
        if getattr(args, option) and not headless:
            raise UsageError(f"--{option.replace('_', '-')} is for --batch: add that")
    if args.apply:
        _require_plan_alone(args)
    profile = _profile(args.places)
    if profile is None and headless:
        raise UsageError("--batch needs a PROFILE, or a SOURCE and a TARGET (see tui-sync --help)")
    if not headless:
        _require_terminal()
    if profile is not None:
        profile = _with_options(profile, args)
    if headless:
        assert profile is not None
        from tui_sync.batch import BatchOptions, run_batch

        options = BatchOptions(
            dry_run=args.dry_run,
            as_json=args.json,
            quiet=args.quiet,
            retry_failed=args.retry_failed,
            save_plan=args.save_plan,
            apply=args.apply,
            log_file=args.log_file,
            metrics_file=args.metrics_file,
        )
        return run_batch(profile, options)
    from tui_sync.tui.app import run_app

    return run_app(profile)


def _require_plan_alone(args: argparse.Namespace) -> None:
    """A saved plan runs as it was approved: there is nothing to choose any more."""
    chosen = ("save_plan", "retry_failed", "mode", "compare", "include", "exclude", "max_delete", "verify")
    for option in (*chosen, "workers", "bandwidth_limit", "backup", "trash_keep", "symlinks"):
        value = getattr(args, option)
        if value is not None and value != [] and (value is not False or option == "backup"):
            raise UsageError(
                f"--{option.replace('_', '-')} cannot go with --apply: a saved plan runs as it was approved"
            )


def _profile(places: list[str]) -> Profile | None:
    from tui_sync import profiles

    match places:
        case []:
            return None
        case [name]:
            if "://" in name:
                raise UsageError("a TARGET is missing: a URL needs a second one, or a folder, to sync with")
            return profiles.find(name)
        case [source, target]:
            return profiles.quick(source, target)
    raise UsageError(f"one PROFILE, or a SOURCE and a TARGET, not {len(places)} arguments")


def _with_options(profile: Profile, args: argparse.Namespace) -> Profile:
    from tui_sync import profiles
    from tui_sync.model import CompareBy, Mode, Symlinks, Verify

    options = profile.options
    changed: dict[str, Any] = {}
    if args.mode:
        changed["mode"] = Mode(args.mode)
    if args.compare:
        changed["compare"] = CompareBy(args.compare)
    if args.verify:
        changed["verify"] = Verify(args.verify)
    if args.include:
        changed["include"] = (*options.include, *args.include)
    if args.exclude:
        changed["exclude"] = (*options.exclude, *args.exclude)
    if args.max_delete is not None:
        changed["max_delete"] = profiles.parse_delete_limit(args.max_delete)
    if args.backup is not None:
        changed["backup"] = args.backup
    if args.trash_keep is not None:
        changed["trash_keep"] = profiles.parse_keep(args.trash_keep)
    if args.symlinks:
        changed["symlinks"] = Symlinks(args.symlinks)
    if args.workers is not None:
        changed["workers"] = args.workers or None
    if args.bandwidth_limit is not None:
        changed["bandwidth_limit"] = profiles.parse_size(args.bandwidth_limit) or None
    return profiles.with_options(profile, **changed) if changed else profile


def _require_terminal() -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the app needs a terminal; without one use --batch (see tui-sync --help)")


def _completion(arguments: list[str]) -> int:
    from tui_sync.commands import completion

    return completion.main(arguments, _sync_parser(), _demo_parser())


def _demo_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="tui-sync demo",
        description="Start two SFTP servers on loopback with sample data in a temporary folder, and open\n"
        "the app on them. Nothing outside that folder is touched, and it is removed at the end.",
        epilog="example:\n  tui-sync demo --batch --size 20M",
    )
    _add_batch_options(parser)
    parser.add_argument("--keep", action="store_true", help="leave the temporary folder in place")
    parser.add_argument("--conflict", action="store_true", help="with a conflict: the plan is refused")
    parser.add_argument("--s3", action="store_true", help="from a bucket of an embedded S3 server to SFTP")
    parser.add_argument("--size", default="200M", metavar="SIZE", help="size of the large file (200M)")
    return parser


def _demo(arguments: list[str]) -> int:
    args = _demo_parser().parse_args(arguments)
    headless = args.batch or args.dry_run or args.json
    if not headless:
        _require_terminal()
    from tui_sync.profiles import parse_size

    size = parse_size(args.size)
    try:
        import asyncssh  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError("the demo needs asyncssh: pip install 'tui-sync[demo]'") from None
    from tui_sync.demo.run import run_demo

    return run_demo(
        size=size,
        keep=args.keep,
        conflict=args.conflict,
        s3=args.s3,
        headless=headless,
        dry_run=args.dry_run,
        as_json=args.json,
        quiet=args.quiet,
    )


def _open_streams() -> None:
    """A stream that was closed leads nowhere from now on, rather than into the next file to be opened."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _tolerate_any_name() -> None:
    """An output in a narrow encoding spells out what it cannot hold instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _report(message: str, as_json: bool) -> None:
    message = masked(message)
    _say(f"error: {message}")
    if as_json:
        try:
            sys.stdout.write(json.dumps({"event": "error", "message": message}) + "\n")
            sys.stdout.flush()
        except OSError:
            _silence_stdout()


def _say(sentence: str) -> None:
    try:
        sys.stderr.write(f"{sentence}\n")
        sys.stderr.flush()
    except OSError:
        # No one is left to tell.
        return


def _silence_stdout() -> None:
    """Else the interpreter complains at its end about what it could not flush."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
