"""Every screen as it looks, at 80x24 and at 120x40, dark and light: frozen data and clocks, no blinking.

One app is run for each screen and photographed in all four ways.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input

from tests.support import fake_session as fake
from tests.support.fake_session import NOW_NS, FakeSession, Sessions
from tests.tui.conftest import MakeApp, in_review, in_transfer, ready, shown, until
from tests.tui.test_profiles_screen import ran
from tui_sync import profiles
from tui_sync.connectors.base import Endpoint
from tui_sync.errors import ConnectError
from tui_sync.model import Action, Guard, Verify
from tui_sync.planning.preview import Preview
from tui_sync.tui import themes
from tui_sync.tui.reach import Reach
from tui_sync.tui.screens import review
from tui_sync.tui.screens.ask import (
    ConfirmDialog,
    InputDialog,
    LimitDialog,
    QuickDialog,
    SecretDialog,
    TrustDialog,
    TypedDialog,
)
from tui_sync.tui.screens.compare import CompareScreen
from tui_sync.tui.screens.diff import DiffScreen
from tui_sync.tui.screens.history import HistoryScreen, RunList
from tui_sync.tui.screens.imports import ImportScreen
from tui_sync.tui.screens.profiles import ProfileList
from tui_sync.tui.screens.report import PastReport, ReportScreen
from tui_sync.tui.screens.transfer import TransferScreen
from tui_sync.tui.screens.view import HelpScreen
from tui_sync.tui.widgets.meters import SpeedPlot

SIZES = ((120, 40), (80, 24))
THEMES = {"dark": themes.DARK.name, "light": themes.LIGHT.name}
MIRROR = fake.profile(mode="mirror")
Steps = Callable[[Pilot[Any]], Awaitable[None]]


@pytest.fixture
def photograph(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> Callable[..., Awaitable[None]]:
    """Takes an app where ``steps`` lead and compares four pictures, which hold nothing of this machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "tui_sync.ledger.store.time", SimpleNamespace(time_ns=lambda: NOW_NS - 2 * 3600 * 10**9)
    )
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("TEXTUAL_THEME", raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    pictures = snapshot.use_extension(SVGImageExtension)

    async def take(
        steps: Steps, pair: object = None, sessions: Sessions | None = None, **given: object
    ) -> None:
        sessions = sessions or Sessions()
        app = make_app(
            pair,
            sessions,
            profiles_folder=Path("profiles"),
            state_dir=Path("state"),
            monotonic=lambda: 12.3,
            **given,
        )
        app.sessions = sessions  # type: ignore[attr-defined]
        app.theme = THEMES["dark"]
        wrong = []
        async with app.run_test(size=(100, 30)) as pilot:
            await steps(pilot)
            await until(pilot, lambda: app.screen.focused is not None or not app.screen.focus_chain)
            for box in app.screen.query(Input):
                box.cursor_blink = False
            for width, height in SIZES:
                await pilot.resize_terminal(width, height)
                for name, theme in THEMES.items():
                    app.theme = theme
                    picture = await settled(pilot)
                    if picture != pictures(name=f"{width}x{height}-{name}"):
                        wrong.append(f"{width}x{height}-{name}")
        assert not wrong

    return take


async def settled(pilot: Pilot[Any]) -> str:
    """The picture, once it is the same twice."""
    before = ""
    while True:
        await pilot.pause()
        picture = pilot.app.export_screenshot(title="tui-sync")
        if picture == before:
            return picture
        before = picture


def engine_of(pilot: Pilot[Any]) -> fake.FakeEngine:
    engine = pilot.app.sessions.last.engine  # type: ignore[attr-defined]
    assert isinstance(engine, fake.FakeEngine)
    return engine


async def sees(pilot: Pilot[Any], words: str) -> None:
    await until(pilot, lambda: words in shown(pilot.app))  # type: ignore[arg-type]


async def on(pilot: Pilot[Any], screen: type[object]) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, screen))


async def test_profiles(photograph: Any) -> None:
    folder = Path("profiles")
    folder.mkdir()
    text = '[source]\nurl = "sftp://me@files.example.org:2222/{0}"\n[target]\nurl = "/srv/[b]{0}[/b]"\n'
    for name in ("backup", "photos", "写真"):
        (folder / f"{name}.toml").write_text(text.format(name))
    (folder / "broken.toml").write_text("")
    ran(profiles.load(folder / "photos.toml"), Path("state"))

    def knock(endpoint: Endpoint) -> Reach:
        return Reach.MISSING if "写真" in endpoint.path else Reach.ANSWERS

    async def steps(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: pilot.app.screen.query_one(ProfileList).row_count() == 4)
        await pilot.press("j", "j")
        await sees(pilot, "no such folder")

    await photograph(steps, knock=knock)


async def test_no_profiles(photograph: Any) -> None:
    await photograph(lambda pilot: sees(pilot, "No profiles yet"))


async def test_quick_connect(photograph: Any) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await sees(pilot, "No profiles yet")
        await pilot.press("c")
        await on(pilot, QuickDialog)

    await photograph(steps)


async def test_import(photograph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("rclone.conf").write_text("[store]\ntype = sftp\nhost = files.example.org\nuser = me\n")
    monkeypatch.setenv("RCLONE_CONFIG", "rclone.conf")
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")

    async def steps(pilot: Pilot[Any]) -> None:
        await sees(pilot, "No profiles yet")
        await pilot.press("i")
        await on(pilot, ImportScreen)
        await sees(pilot, "files.example.org")

    await photograph(steps)


async def test_form(photograph: Any) -> None:
    Path("profiles").mkdir()
    Path("profiles/photos.toml").write_text(
        '# Every night at two.\n[source]\nurl = "sftp://me@files.example.org:2222/photos"\n'
        'password = "env:PHOTOS"\n\n[target]\nurl = "/srv/[b]写真[/b]"\n\n[sync]\n'
        'mode = "mirror"\nexclude = ["*.tmp", ".cache/"]\n# verify = "auto"\n'
    )

    async def steps(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: pilot.app.screen.query_one(ProfileList).row_count() == 1)
        await pilot.press("e")
        await sees(pilot, "can be saved")

    await photograph(steps)


async def test_new_form(photograph: Any) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await sees(pilot, "No profiles yet")
        await pilot.press("n")
        await sees(pilot, "needs a URL")

    await photograph(steps)


async def test_connecting(photograph: Any) -> None:
    sessions = Sessions(prepare=lambda session: session.go.clear())

    async def steps(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, CompareScreen) and sessions.made)

    try:
        await photograph(steps, MIRROR, sessions)
    finally:
        for session in sessions.made:
            session.go.set()


async def test_cannot_connect(photograph: Any) -> None:
    def prepare(session: FakeSession) -> None:
        session.error = ConnectError("cannot connect to files.example.org:2222: the connection was refused")

    await photograph(lambda pilot: sees(pilot, "Could not compare"), MIRROR, Sessions(prepare=prepare))


async def test_compare(photograph: Any) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("n", "n", "n", "space", "j")

    await photograph(steps, MIRROR)


async def test_filter(photograph: Any) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("s", "slash", *"20")
        await sees(pilot, "rows")

    await photograph(steps, MIRROR)


async def test_help(photograph: Any) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("question_mark")
        await on(pilot, HelpScreen)

    await photograph(steps, MIRROR)


async def test_differences(photograph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ("@@ -1,3 +1,4 @@", " # Notes", "-old [b]words[/b]", "+new 写真 words", "+and more", " the end")
    monkeypatch.setattr("tui_sync.planning.preview.text_diff", lambda *_: Preview(lines))

    async def steps(pilot: Pilot[Any]) -> None:
        screen = await ready(pilot)
        screen.trees.update(screen.trees.rows.find("docs/notes.md"))
        await pilot.press("enter")
        await on(pilot, DiffScreen)
        await sees(pilot, "and more")

    await photograph(steps, MIRROR)


async def test_review(photograph: Any) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await in_review(pilot)
        await pilot.press("j", "j", "j", "space", "tab")
        await sees(pilot, "412 GB free")

    await photograph(steps, MIRROR)


async def test_refused(photograph: Any) -> None:
    guard = Guard("max-delete", "2 of 3 files on the target would be deleted, more than 50%")
    note = Guard("note", "Names differ in case only.", blocking=False)

    async def steps(pilot: Pilot[Any]) -> None:
        await in_review(pilot)
        await sees(pilot, "412 GB free")

    await photograph(steps, MIRROR, Sessions(guards=[guard, note]))


async def test_override(photograph: Any) -> None:
    guard = Guard("empty-source", "The source holds no files.")

    async def steps(pilot: Pilot[Any]) -> None:
        await in_review(pilot)
        await sees(pilot, "412 GB free")
        await pilot.press("o")
        await on(pilot, TypedDialog)

    await photograph(steps, MIRROR, Sessions(guards=[guard]))


async def test_deletes(photograph: Any) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await in_review(pilot)
        await sees(pilot, "412 GB free")
        await pilot.press("f9")
        await on(pilot, ConfirmDialog)

    await photograph(steps, MIRROR)


async def busy_transfer(pilot: Pilot[Any]) -> None:
    screen = await in_transfer(pilot)
    screen.polling.pause()
    engine = engine_of(pilot)
    engine.now = fake.busy_snapshot(engine)
    screen.poll()
    speeds = screen.work.speeds
    speeds.clear()
    speeds.extend(50e6 * (1.3 + math.sin(step / 6)) for step in range(90))
    screen.query_one(SpeedPlot).refresh()
    await sees(pilot, "61%")


async def test_transfer(photograph: Any) -> None:
    await photograph(busy_transfer, MIRROR)


async def test_limit(photograph: Any) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await busy_transfer(pilot)
        await pilot.press("b")
        await on(pilot, LimitDialog)

    await photograph(steps, MIRROR)


async def test_cancelling(photograph: Any) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await busy_transfer(pilot)
        await pilot.press("c")
        await on(pilot, ConfirmDialog)

    await photograph(steps, MIRROR)


async def to_report(pilot: Pilot[Any]) -> None:
    await in_transfer(pilot)
    engine = engine_of(pilot)
    engine.finish(
        status="partial",
        exit_code=23,
        created=4,
        updated=1,
        deleted=2,
        directories=2,
        unchanged=4,
        failed=1,
        skipped=1,
        conflicts=2,
        bytes=741_069_035,
        elapsed_s=22.7,
        verified=Verify.SIZE,
        outcomes=fake.failures(engine.plan, engine.ledger),
    )
    await on(pilot, ReportScreen)
    await sees(pilot, "permission denied")


async def test_report(photograph: Any) -> None:
    await photograph(to_report, MIRROR)


async def test_export(photograph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await to_report(pilot)
        monkeypatch.setattr("tui_sync.tui.screens.report.Path.cwd", lambda: Path("/"))
        await pilot.press("x")
        await on(pilot, InputDialog)

    await photograph(steps, MIRROR)


async def to_history(pilot: Pilot[Any]) -> None:
    await to_report(pilot)
    await pilot.press("h")
    await on(pilot, HistoryScreen)
    await until(pilot, lambda: pilot.app.screen.query_one(RunList).records)


async def test_history(photograph: Any) -> None:
    await photograph(to_history, MIRROR)


async def test_past_report(photograph: Any) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await to_history(pilot)
        await pilot.press("enter")
        await on(pilot, PastReport)
        await sees(pilot, "permission denied")

    await photograph(steps, MIRROR)


async def test_password(photograph: Any) -> None:
    def ask(session: FakeSession) -> None:
        session.prompts.secret("sourceuser@files.example.org", "Password")

    sessions = Sessions(prepare=lambda session: setattr(session, "before_scan", ask))
    await photograph(lambda pilot: on(pilot, SecretDialog), MIRROR, sessions)


async def test_host_key(photograph: Any) -> None:
    def ask(session: FakeSession) -> None:
        session.prompts.trust("files.example.org", fake.host_key())

    sessions = Sessions(prepare=lambda session: setattr(session, "before_scan", ask))
    await photograph(lambda pilot: on(pilot, TrustDialog), MIRROR, sessions)


async def test_second_factor(photograph: Any) -> None:
    def ask(session: FakeSession) -> None:
        session.prompts.secret("sourceuser@files.example.org", "Verification code")

    sessions = Sessions(prepare=lambda session: setattr(session, "before_scan", ask))
    await photograph(lambda pilot: on(pilot, SecretDialog), MIRROR, sessions)


async def test_listing(photograph: Any) -> None:
    def prepare(session: FakeSession) -> None:
        session.go.clear()
        session.early = session.items[:12]
        session.progress = fake.Progress("scanning", fake.Counters(4, 1_204), fake.Counters(3, 987, 1))

    sessions = Sessions(prepare=prepare)
    try:
        await photograph(lambda pilot: sees(pilot, "Listing both sides"), MIRROR, sessions)
    finally:
        for session in sessions.made:
            session.go.set()


async def test_nothing_there(photograph: Any) -> None:
    await photograph(ready, MIRROR, Sessions(items=[]))


async def test_palette(photograph: Any) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("ctrl+p")
        await on(pilot, CommandPalette)
        # Without words the commands stand in the order in which they were found.
        await pilot.press(*"review")
        await sees(pilot, "Review (F5)")
        pilot.app.screen.query_one("CommandInput", Input).cursor_blink = False

    await photograph(steps, MIRROR)


async def test_many_deletes(photograph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "MANY_DELETES", 2)

    async def steps(pilot: Pilot[Any]) -> None:
        await in_review(pilot)
        await sees(pilot, "412 GB free")
        await pilot.press("f9")
        await on(pilot, TypedDialog)

    await photograph(steps, MIRROR)


async def test_a_run_that_stands_still(photograph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TransferScreen, "_still_s", lambda *_: 12.0)
    await photograph(busy_transfer, MIRROR)


async def test_all_done(photograph: Any) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await in_transfer(pilot)
        engine = engine_of(pilot)
        engine.finish(
            created=4,
            updated=3,
            deleted=2,
            directories=2,
            unchanged=4,
            bytes=741_069_035,
            elapsed_s=22.7,
            verified=Verify.CHECKSUM,
            outcomes=tuple(
                fake.finished_items(engine.ledger, engine.plan.plan_id, set(Action) - {Action.SKIP})
            ),
        )
        await on(pilot, ReportScreen)
        await sees(pilot, "▸Done 11")

    await photograph(steps, MIRROR)
