"""The program in a process of its own, as cron would start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    """``memory`` is the peak resident size in bytes."""

    code: int
    out: str
    err: str
    memory: int

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def summary(self) -> dict[str, Any]:
        record = self.records[-1]
        assert record["event"] == "summary", record
        return record


def environment(home: Path, **more: str) -> dict[str, str]:
    """The test's own home, so that nothing of the user's is read or written."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **more}


@contextmanager
def started(*arguments: str | Path, home: Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """The program, running; killed at the end of the block if it still is."""
    command = [sys.executable, "-m", "tui_sync", *map(str, arguments)]
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment(home, **env), cwd=home
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def tui_sync(*arguments: str | Path, home: Path, timeout: float = 110, **env: str) -> Ran:
    """Run the program to its end."""
    command = [sys.executable, "-m", "tui_sync", *map(str, arguments)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment(home, **env), cwd=home
        )
        # Waited for by hand: subprocess does not hand out the child's peak memory.
        watch = threading.Timer(timeout, process.kill)
        watch.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            watch.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode != -signal.SIGKILL, f"still running after {timeout} s"
        out.seek(0)
        err.seek(0)
        unit = 1 if sys.platform == "darwin" else 1024
        return Ran(
            process.returncode,
            out.read().decode("utf-8", "replace"),
            err.read().decode("utf-8", "replace"),
            usage.ru_maxrss * unit,
        )
