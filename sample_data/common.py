"""What both generators share: finding the package in this clone, sizes, the progress bar, errors."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tui_sync.errors import TuiSyncError

_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


def size(text: str) -> int:
    """``20k``, ``200M``, ``1.5G``: bytes, in steps of 1024. For argparse."""
    number = text.strip().lower().removesuffix("ib").removesuffix("b")
    unit = number[-1:] if number[-1:].isalpha() else ""
    try:
        value = float(number.removesuffix(unit))
        if value < 0:
            raise ValueError
        return int(value * _UNITS[unit])
    except (KeyError, ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"“{text}” is no size: write 20k, 200M or 10G") from None


class Bar:
    """A progress bar on stderr where that is a terminal, else silence."""

    def __init__(self, total: int) -> None:
        self._total = max(total, 1)
        self._shown = -1
        self._start = time.monotonic()
        self._on = sys.stderr.isatty()

    def __call__(self, done: int) -> None:
        percent = min(done * 100 // self._total, 100)
        if not self._on or percent == self._shown:
            return
        self._shown = percent
        seconds = time.monotonic() - self._start
        bar = "█" * (percent * 40 // 100)
        end = "\n" if percent == 100 else ""
        print(f"\r{bar:·<40} {percent:3d} %  {seconds:.0f} s", end=end, file=sys.stderr, flush=True)


def run(main: Callable[[], None]) -> int:
    """Run ``main``; errors become one sentence and an exit code."""
    try:
        main()
    except TuiSyncError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or ''}".rstrip(": "), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; what was made so far is still there", file=sys.stderr)
        return 130
    return 0
