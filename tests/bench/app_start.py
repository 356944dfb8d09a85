"""How soon the app shows itself, from the start of the process to the first screen on a real terminal.

::

    python -m tests.bench.app_start [TIMES]

Prints the median and the worst of some starts, and beside it what Python and Textual alone take to be
loaded. Ends with 1 where the median is over half a second.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from statistics import median

MOST_S = 0.5
_DEADLINE_S = 30.0
_SEEN = b"Profiles"
_LOADED = "import textual.app"
_PROFILE = '[source]\nurl = "sftp://me@127.0.0.1:9/{0}"\n[target]\nurl = "/srv/{0}"\n'


def first_paint(home: Path) -> float:
    """Seconds from the start of the process until the name of the first screen is on the terminal."""
    env = {**os.environ, "TERM": "xterm-256color", "XDG_STATE_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    began = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        os.execve(sys.executable, [sys.executable, "-m", "tui_sync"], env)
    try:
        shown = b""
        while _SEEN not in shown:
            left = began + _DEADLINE_S - time.perf_counter()
            if left <= 0 or not select.select([terminal], [], [], left)[0]:
                raise SystemExit(f"nothing was shown in {_DEADLINE_S:.0f} s")
            shown += os.read(terminal, 65_536)
        return time.perf_counter() - began
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def loading() -> float:
    """Seconds that Python and Textual alone take to be loaded."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _LOADED], check=True)
    return time.perf_counter() - began


def main() -> int:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory(prefix="tui-sync-bench-") as folder:
        profiles = Path(folder, "tui-sync", "profiles")
        profiles.mkdir(parents=True)
        for name in ("backup", "photos", "payroll"):
            (profiles / f"{name}.toml").write_text(_PROFILE.format(name))
        # Once for the disk's cache and the compiled modules.
        first_paint(Path(folder))
        alone, whole = [], []
        for _ in range(times):
            alone.append(loading())
            whole.append(first_paint(Path(folder)))
    print(
        f"{times} starts: first paint after {median(whole):.3f} s, at worst {max(whole):.3f} s; "
        f"Python and Textual alone {median(alone):.3f} s"
    )
    return 1 if median(whole) > MOST_S else 0


if __name__ == "__main__":
    sys.exit(main())
