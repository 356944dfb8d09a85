"""How soon the app answers a key while files move at full speed, and what it costs.

::

    python -m tests.bench.app_keys [MEBIBYTES]

Two local folders, so that nothing but this program uses the processor. Prints the time from a key until the
screen shows it (95th percentile), and the share of one core that the app's own thread takes. Ends with 1
where a key takes more than 100 ms or the app more than a tenth of a core.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tui_sync import profiles
from tui_sync.tui.app import TuiSyncApp
from tui_sync.tui.screens.compare import CompareScreen
from tui_sync.tui.screens.report import ReportScreen
from tui_sync.tui.screens.review import ReviewScreen
from tui_sync.tui.screens.transfer import TransferScreen

MOST_MS = 100.0
MOST_SHARE = 0.10
_PART = 8 << 20


async def bench(folder: Path, mebibytes: int) -> tuple[list[float], float]:
    source = folder / "source"
    source.mkdir()
    (folder / "target").mkdir()
    for number in range(max(1, mebibytes // 8)):
        (source / f"part-{number:04}.bin").write_bytes(bytes(_PART))
    app = TuiSyncApp(profiles.quick(str(source), str(folder / "target")), state_dir=folder / "state")
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
        while isinstance(app.screen, TransferScreen):
            # A while of nothing but the app's own polling, then a key and back.
            before = time.thread_time()
            at = time.perf_counter()
            await asyncio.sleep(0.3)
            quiet_s += time.perf_counter() - at
            busy_s += time.thread_time() - before
            if not isinstance(app.screen, TransferScreen):
                break
            for key, step in (("plus", 1), ("minus", -1)):
                screen = app.screen
                if not isinstance(screen, TransferScreen):
                    break
                wanted = screen.snapshot.workers + step
                pressed = time.perf_counter()
                app.simulate_key(key)
                while app.screen is screen and screen.snapshot.workers != wanted:
                    await asyncio.sleep(0.001)
                screen._compositor.render_strips()
                took.append((time.perf_counter() - pressed) * 1000)
    app.close_works()
    return took, busy_s / max(quiet_s, 0.001)


def main() -> int:
    mebibytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    with tempfile.TemporaryDirectory(prefix="tui-sync-bench-") as folder:
        took, share = asyncio.run(bench(Path(folder), mebibytes))
    if len(took) < 5:
        print("the run was over too soon: give more MEBIBYTES")
        return 1
    worst = sorted(took)[int(len(took) * 0.95)]
    print(
        f"{len(took)} keys, median {median(took):.1f} ms, 95th percentile {worst:.1f} ms; "
        f"the app took {share:.1%} of a core"
    )
    return 1 if worst > MOST_MS or share > MOST_SHARE else 0


if __name__ == "__main__":
    sys.exit(main())
