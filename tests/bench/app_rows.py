"""A million rows in the app: how long it takes to open, page, fold, filter, sort and jump, and the memory.

::

    python -m tests.bench.app_rows [ROWS]

The items come from a session that has none of its own, over a real ledger in a temporary folder; everything
after that is the app itself, without a terminal. Each line is the median of a few tries, in milliseconds,
from the key until the screen is drawn. Ends with 1 where one takes more than 100 ms or the memory is more
than 300 MiB.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import median

from textual.widgets import Input

from tests.support import fake_session as fake
from tui_sync.connectors.base import Prompts
from tui_sync.model import Action, ChangeKind, Entry, Item, Kind, Plan, Totals
from tui_sync.profiles import Profile
from tui_sync.tui.app import TuiSyncApp
from tui_sync.tui.rows import Only, Order
from tui_sync.tui.screens.compare import CompareScreen

MOST_MS = 100.0
MOST_MIB = 300.0
_PER_FOLDER = 100


def items(count: int) -> Iterator[Item]:
    """Folders of a hundred files, one in fifty new and one in fifty changed."""
    seq = 0
    while seq < count:
        seq += 1
        top = f"folder-{seq // (_PER_FOLDER + 1):06}"
        entry = Entry(top, Kind.DIRECTORY, 4096, fake.NOW_NS, 0o755)
        yield Item(seq, Action.SKIP, top, ChangeKind.EQUAL, "", entry, entry)
        for number in range(_PER_FOLDER):
            seq += 1
            path = f"{top}/a-file-of-some-name-{number:04}.dat"
            source = Entry(path, Kind.FILE, 1000 + seq % 7919, fake.NOW_NS - seq, 0o644)
            if number % 50 == 0:
                yield Item(seq, Action.CREATE, path, ChangeKind.NEW, "only on source", source)
            elif number % 50 == 1:
                old = Entry(path, Kind.FILE, 10, fake.NOW_NS - 2 * seq, 0o644)
                yield Item(
                    seq, Action.UPDATE, path, ChangeKind.MODIFIED, "size 10 -> 1000 bytes", source, old
                )
            else:
                yield Item(seq, Action.SKIP, path, ChangeKind.EQUAL, "same size and mtime", source, source)


class Streaming(fake.FakeSession):
    """Hands its items out a thousand at a time, as a scan does."""

    count = 0
    scanned_at = 0.0

    def make_plan(
        self,
        *,
        keep_equal: bool = False,
        only: object = None,
        watch: Callable[[Sequence[Item]], None] | None = None,
    ) -> Plan:
        self.progress.phase = "scanning"
        plan_id = self.ledger.new_plan(self.profile.source.url, self.profile.target.url, self.profile.options)
        stream = items(self.count)
        while batch := list(islice(stream, 1000)):
            self.ledger.add_items(plan_id, batch)
            if watch is not None:
                watch(batch)
        plan = self.ledger.finish_plan(plan_id, Totals(), ())
        Streaming.scanned_at = time.perf_counter()
        self.progress.phase = "done"
        return plan


async def bench(count: int, folder: Path) -> dict[str, float]:
    def session(profile: Profile, *, prompts: Prompts, state_dir: Path | None = None) -> Streaming:
        made = Streaming(profile, prompts=prompts, state_dir=state_dir)
        made.count = count
        return made

    app = TuiSyncApp(fake.profile(), session_factory=session, state_dir=folder)  # type: ignore[arg-type]
    app.animation_level = "none"
    took: dict[str, float] = {}
    async with app.run_test(size=(120, 40)) as pilot:
        while not (isinstance(app.screen, CompareScreen) and app.screen.state == "ready"):
            await asyncio.sleep(0.005)
        app.screen._compositor.render_strips()
        took["open, after the scan"] = (time.perf_counter() - Streaming.scanned_at) * 1000
        screen = app.screen

        async def measure(name: str, *steps: Callable[[], object], tries: int = 3) -> None:
            tried = []
            for number, step in enumerate(steps * tries):
                began = time.perf_counter()
                result = step()
                if isinstance(result, Awaitable):
                    await result
                screen._compositor.render_strips()
                if number % len(steps) == 0:
                    tried.append((time.perf_counter() - began) * 1000)
                await pilot.pause()
            took[name] = median(tried)

        def key(name: str) -> Callable[[], object]:
            command = {"pagedown": screen.trees.action_page_down, "end": screen.trees.action_cursor_end}
            return command[name] if name in command else getattr(screen, f"do_{name}")

        box = screen.query_one("#filter-text", Input)

        def typed(words: str) -> Callable[[], None]:
            def type_words() -> None:
                with box.prevent(Input.Changed):
                    box.value = words
                screen.on_input_changed(Input.Changed(box, words))

            return type_words

        await measure("page", key("pagedown"))
        await measure("last row", key("end"))
        await measure("fold all", key("fold_all"), key("unfold_all"))
        await measure("unfold all", key("unfold_all"), key("fold_all"))
        screen.do_unfold_all()
        screen.trees.update(0)
        await measure("fold one folder", key("fold"), key("unfold"))
        await measure("next change", key("next_change"))
        await measure("hide equal", key("hide_equal"), key("hide_equal"))
        await measure("filter, few rows", typed("0042.dat"), typed(""))
        await measure("filter, one folder", typed("folder-000042"), typed(""))
        await measure("filter, every row", typed("a"), typed(""))
        await measure("filter by path", typed("42/a-file-of-some-name-0007"), typed(""))
        await measure("view by kind", key("only"))
        screen.set_only(Only.ALL)

        async def sorted_rows() -> None:
            while screen.order is not screen.trees.rows.order:
                await asyncio.sleep(0.005)

        # Sorting itself goes on behind: what counts is that the app answers meanwhile.
        await measure("sort, until answered", key("sort"), sorted_rows)
        began = time.perf_counter()
        screen.trees.rows.set_order(Order.SIZE if screen.order is not Order.SIZE else Order.CHANGE)
        took["sort, taking it up"] = (time.perf_counter() - began) * 1000
        took["memory, MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    app.close_works()
    return took


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory(prefix="tui-sync-bench-") as folder:
        took = asyncio.run(bench(count, Path(folder)))
    print(f"{count:,} rows")
    too_much = 0
    for name, value in took.items():
        most = MOST_MIB if "MiB" in name else MOST_MS
        too_much += value > most
        print(f"{name:24}{value:8.1f}{'   too much' if value > most else ''}")
    return 1 if too_much else 0


if __name__ == "__main__":
    sys.exit(main())
