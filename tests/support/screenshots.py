"""Pictures of the app for the README, taken by the app itself on the demo's own data.

::

    python -m tests.support.screenshots [FOLDER]

writes ``compare.svg``, ``review.svg``, ``transfer.svg`` and ``report.svg`` to ``docs/``, or to FOLDER.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from tui_sync.connectors.base import Endpoint
from tui_sync.demo.pair import EXCLUDE, make_pair
from tui_sync.model import Mode, SyncOptions
from tui_sync.profiles import Profile
from tui_sync.tui.app import TuiSyncApp
from tui_sync.tui.screens.ask import ConfirmDialog
from tui_sync.tui.screens.compare import CompareScreen
from tui_sync.tui.screens.report import ReportScreen
from tui_sync.tui.screens.review import ReviewScreen
from tui_sync.tui.screens.transfer import TransferScreen

SIZE = (110, 32)
_LARGE = 64 << 20
_LIMIT = 40 << 20
_DEADLINE_S = 60.0


async def _until(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("the app did not get where it was to be photographed")
        await pilot.pause(0.02)


def _place(folder: Path, url: str) -> Endpoint:
    # The pictures tell of servers; the files are local, so that nothing has to be started.
    return Endpoint(url=url, scheme="file", path=str(folder))


async def take(out: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="tui-sync-pictures-") as scratch:
        source, target = Path(scratch, "source"), Path(scratch, "target")
        source.mkdir()
        target.mkdir()
        make_pair(source, target, size=_LARGE)
        profile = Profile(
            "nightly",
            None,
            _place(source, "sftp://me@files.example.org/data"),
            _place(target, "sftp://backup@vault.example.org/srv/data"),
            SyncOptions(mode=Mode.MIRROR, exclude=EXCLUDE, bandwidth_limit=_LIMIT),
        )
        app = TuiSyncApp(profile, state_dir=Path(scratch, "state"))
        app.animation_level = "none"
        async with app.run_test(size=SIZE) as pilot:

            def on(screen: type[object]) -> Callable[[], bool]:
                return lambda: isinstance(app.screen, screen)

            def picture(name: str) -> None:
                svg = app.export_screenshot(title="tui-sync", simplify=True)
                Path(out, f"{name}.svg").write_text(svg.replace(scratch, "~"), encoding="utf-8")

            await _until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.state == "ready")
            await pilot.press("n")
            await pilot.pause(0.2)
            picture("compare")
            await pilot.press("f5")
            await _until(pilot, on(ReviewScreen))
            await pilot.pause(0.5)
            picture("review")
            await pilot.press("f9")
            await _until(pilot, lambda: isinstance(app.screen, ConfirmDialog | TransferScreen))
            await pilot.press("y")
            await _until(pilot, on(TransferScreen))
            screen = app.screen
            assert isinstance(screen, TransferScreen)
            await _until(pilot, lambda: screen.snapshot.bytes_done * 2 > screen.snapshot.bytes_total)
            picture("transfer")
            await _until(pilot, on(ReportScreen))
            await pilot.pause(0.5)
            picture("report")
        app.close_works()


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs"
    out.mkdir(parents=True, exist_ok=True)
    asyncio.run(take(out))


if __name__ == "__main__":
    main()
