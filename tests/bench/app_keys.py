"""How soon the app answers a key while files move at full speed, and what it costs.

::

    python -m tests.bench.app_keys [sftp|local] [MEBIBYTES]

From one sshd to another on loopback, or between two local folders. Prints the time from a key until the
screen shows it (95th percentile), and the share of one core that the app's own thread takes. Ends with 1
where a key takes more than 100 ms or the app more than a tenth of a core.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

from tests.support.sshd import Sshd
from tui_sync import profiles
from tui_sync.profiles import Profile
from tui_sync.profiles.files import parse
from tui_sync.tui.app import TuiSyncApp
from tui_sync.tui.screens.compare import CompareScreen
from tui_sync.tui.screens.report import ReportScreen
from tui_sync.tui.screens.review import ReviewScreen
from tui_sync.tui.screens.transfer import TransferScreen

MOST_MS = 100.0
MOST_SHARE = 0.10
_FEWEST = 20
_PART = 64 << 20
_BETWEEN_S = 0.08
_SIDE = """
[{0}]
url = "{1}"
identity_file = "{2}"
known_hosts = "{3}"
"""


@contextmanager
def pair(places: str, folder: Path) -> Iterator[Profile]:
    """The profile to run, from ``folder/source`` to ``folder/target``."""
    source, target = folder / "source", folder / "target"
    if places == "local":
        yield profiles.quick(str(source), str(target))
        return
    with Sshd(folder / "one") as one, Sshd(folder / "two") as two:
        text = "".join(
            _SIDE.format(side, sshd.url(path), sshd.identity_file, sshd.known_hosts)
            for side, sshd, path in (("source", one, source), ("target", two, target))
        )
        yield parse(text, folder / "pair.toml")


async def bench(profile: Profile, state: Path) -> tuple[list[float], float]:
    """Milliseconds from each key to the screen, and the app's share of a core."""
    app = TuiSyncApp(profile, state_dir=state)
    app.animation_level = "none"
    took: list[float] = []
    async with app.run_test(size=(120, 40)) as pilot:
        while not (isinstance(app.screen, CompareScreen) and app.screen.state == "ready"):
            await asyncio.sleep(0.01)
        await pilot.press("f5")
        while not isinstance(app.screen, ReviewScreen):
            await asyncio.sleep(0.01)
        await pilot.press("f9")
        while not isinstance(app.screen, TransferScreen | ReportScreen):
            await asyncio.sleep(0.005)
        busy_s = quiet_s = 0.0
        step = 1
        while isinstance(screen := app.screen, TransferScreen):
            # A while of nothing but the app's own polling, then a key.
            busy, quiet = time.thread_time(), time.perf_counter()
            await asyncio.sleep(_BETWEEN_S)
            quiet_s += time.perf_counter() - quiet
            busy_s += time.thread_time() - busy
            if app.screen is not screen:
                break
            wanted = screen.snapshot.workers + step
            pressed = time.perf_counter()
            app.simulate_key("plus" if step > 0 else "minus")
            while app.screen is screen and screen.snapshot.workers != wanted:
                await asyncio.sleep(0)
            screen._compositor.render_strips()
            took.append((time.perf_counter() - pressed) * 1000)
            step = -step
    app.close_works()
    return took, busy_s / max(quiet_s, 0.001)


def main() -> int:
    places = sys.argv[1] if len(sys.argv) > 1 else "sftp"
    mebibytes = int(sys.argv[2]) if len(sys.argv) > 2 else 2048
    with tempfile.TemporaryDirectory(prefix="tui-sync-bench-") as name:
        folder = Path(name)
        for side in ("source", "target"):
            (folder / side).mkdir()
        for number in range(max(1, (mebibytes << 20) // _PART)):
            with (folder / "source" / f"part-{number:04}.bin").open("wb") as stream:
                stream.truncate(_PART)
        with pair(places, folder) as profile:
            began = time.perf_counter()
            took, share = asyncio.run(bench(profile, folder / "state"))
            elapsed = time.perf_counter() - began
    if len(took) < _FEWEST:
        print(f"the run was over after {len(took)} keys: give more MEBIBYTES")
        return 1
    worst = quantiles(took, n=20, method="inclusive")[-1]
    print(
        f"{places}, {mebibytes / elapsed:.0f} MiB/s: {len(took)} keys, median {median(took):.1f} ms, "
        f"95th percentile {worst:.1f} ms, at worst {max(took):.1f} ms; the app took {share:.1%} of a core"
    )
    return 1 if worst > MOST_MS or share > MOST_SHARE else 0


if __name__ == "__main__":
    sys.exit(main())
