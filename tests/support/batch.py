"""The program in a process of its own, as cron would start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
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


# Peak memory as the kernel counts it begins with that of the process that forked: a small one in between.
_MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code if code >= 0 else 128 - code)
"""


def tui_sync(*arguments: str | Path, home: Path, timeout: float = 110, **env: str) -> Ran:
    """Run the program to its end."""
    with tempfile.TemporaryDirectory() as folder:
        measured, out, err = (Path(folder) / name for name in ("memory", "out", "err"))
        program = [sys.executable, "-m", "tui_sync", *map(str, arguments)]
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-c", _MEASURED, str(measured), *program],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=environment(home, **env),
                cwd=home,
                start_new_session=True,
            )
            try:
                code = process.wait(timeout)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        unit = 1 if sys.platform == "darwin" else 1024
        return Ran(
            code,
            out.read_text("utf-8", "replace"),
            err.read_text("utf-8", "replace"),
            int(measured.read_text()) * unit,
        )
