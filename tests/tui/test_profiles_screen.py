"""The first screen: saved pairs with their last runs, broken ones, and none at all."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.support.fake_session import Sessions
from tests.tui.conftest import MakeApp, ready, said, shown, until
from tui_sync import profiles
from tui_sync.ledger.store import open_ledger
from tui_sync.model import Summary, SyncOptions, Totals
from tui_sync.profiles import Profile
from tui_sync.tui.screens.ask import QuickDialog
from tui_sync.tui.screens.compare import CompareScreen
from tui_sync.tui.screens.history import HistoryScreen
from tui_sync.tui.screens.profiles import ProfileList, ProfilesScreen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three profiles: one with a run, one without, one that is broken."""
    folder = tmp_path / "profiles"
    folder.mkdir()
    text = '[source]\nurl = "sftp://me@host:2222/{0}"\n[target]\nurl = "/srv/[b]{0}[/b]"\n'
    (folder / "photos.toml").write_text(text.format("photos"))
    (folder / "never.toml").write_text(text.format("never"))
    (folder / "broken.toml").write_text('[source]\nurl = "sftp://h/x"\ncolour = "[red]"\n')
    ran(profiles.load(folder / "photos.toml"), tmp_path / "state")
    return folder


def ran(profile: Profile, state_dir: Path) -> None:
    ledger = open_ledger(
        profile.pair_id, source=profile.source.url, target=profile.target.url, state_dir=state_dir
    )
    plan_id = ledger.new_plan("a", "b", SyncOptions())
    ledger.finish_plan(plan_id, Totals(), ())
    run_id = ledger.start_run(plan_id)
    ledger.finish_run(run_id, Summary(created=1200, updated=3, bytes=2_500_000))
    ledger.close()


async def test_every_profile_with_its_last_run(make_app: MakeApp, folder: Path) -> None:
    app = make_app(None, Sessions(), profiles_folder=folder)
    app.now_ns = lambda: time.time_ns() + 3 * 3600 * 10**9
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "photos" in shown(app))
        page = shown(app)
        assert "✓ done 3 hours ago · 1,203 files · 2.5 MB" in page
        assert "sftp://me@host:2222/photos → file:///srv/[b]photos[/b]" in page
        assert "never run" in page
        assert "! cannot be used" in page
        assert "colour" in page


async def test_enter_opens_and_escape_comes_back(make_app: MakeApp, folder: Path) -> None:
    sessions = Sessions()
    app = make_app(None, sessions, profiles_folder=folder)
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.screen.query_one(ProfileList).row_count() == 3)
        await pilot.press("enter")
        await until(pilot, lambda: "cannot be used" in said(app))
        await pilot.press("h")
        assert isinstance(app.screen, ProfilesScreen)
        await pilot.press("j", "enter")
        await ready(pilot)
        assert sessions.last.profile.name == "never"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ProfilesScreen))
        await pilot.press("j", "h")
        await until(pilot, lambda: isinstance(app.screen, HistoryScreen) and "✓ done" in shown(app))


async def test_a_double_click_opens(make_app: MakeApp, folder: Path) -> None:
    app = make_app(None, Sessions(), profiles_folder=folder)
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.screen.query_one(ProfileList).row_count() == 3)
        await pilot.click(ProfileList, offset=(10, 10), times=2)
        await ready(pilot)


async def test_a_damaged_ledger_is_told_and_does_not_stop_the_list(
    make_app: MakeApp, folder: Path, tmp_path: Path
) -> None:
    for path in (tmp_path / "state/ledgers").glob("*.sqlite"):
        path.write_bytes(b"this is no database, and was never one" * 100)
    app = make_app(None, Sessions(), profiles_folder=folder)
    async with app.run_test() as pilot:
        await until(pilot, lambda: "ledger cannot be read" in shown(app))
        assert "never run" in shown(app)


async def test_no_profile_yet_explains_what_to_do(make_app: MakeApp, tmp_path: Path) -> None:
    app = make_app(None, Sessions())
    async with app.run_test() as pilot:
        await until(pilot, lambda: "No profiles yet" in shown(app))
        assert "[source]" in shown(app)
        await pilot.press("enter")
        await until(pilot, lambda: "There is no profile yet" in said(app))
        (tmp_path / "profiles").mkdir()
        (tmp_path / "profiles/new.toml").write_text('[source]\nurl = "/a"\n[target]\nurl = "/b"\n')
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "never run" in shown(app))


async def test_quick_connect_checks_while_typing(make_app: MakeApp, tmp_path: Path) -> None:
    sessions = Sessions()
    app = make_app(None, sessions)
    async with app.run_test() as pilot:
        await until(pilot, lambda: "No profiles yet" in shown(app))
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, QuickDialog))
        dialog = app.screen
        dialog.query_one("#source", Input).value = "sftp://me:secret@host/[/x]"
        dialog.query_one("#target", Input).value = "/b"
        await until(pilot, lambda: "! " in shown(app))
        await pilot.press("enter", "enter")
        assert app.screen is dialog
        dialog.query_one("#source", Input).value = str(tmp_path / "a")
        dialog.query_one("#target", Input).value = str(tmp_path / "b")
        dialog.query_one("#target", Input).focus()
        await pilot.press("enter")
        await ready(pilot)
        assert sessions.last.profile.target.path == str(tmp_path / "b")


async def test_quick_connect_can_be_given_up(make_app: MakeApp) -> None:
    app = make_app(None, Sessions())
    async with app.run_test() as pilot:
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, QuickDialog))
        await pilot.press(*"q?", "escape")
        await until(pilot, lambda: isinstance(app.screen, ProfilesScreen))


async def test_escape_leaves(make_app: MakeApp) -> None:
    app = make_app(None, Sessions())
    async with app.run_test() as pilot:
        await pilot.press("escape")
        await until(pilot, lambda: not app.is_running)
    assert app.return_value == 0


async def test_with_a_profile_it_opens_on_its_trees(make_app: MakeApp) -> None:
    app = make_app(profiles.quick("/a", "/b"), Sessions())
    async with app.run_test() as pilot:
        assert isinstance(app.screen, CompareScreen)
        await ready(pilot)


async def test_a_folder_that_cannot_be_read_is_no_empty_one(make_app: MakeApp, tmp_path: Path) -> None:
    (tmp_path / "profiles").write_text("a file in its place")
    app = make_app(None, Sessions(), profiles_folder=tmp_path / "profiles")
    async with app.run_test() as pilot:
        await until(pilot, lambda: "Could not read the profiles" in shown(app))
        assert "Not a directory" in shown(app)
        await pilot.press("enter")
        await until(pilot, lambda: "The profiles could not be read" in said(app))


async def test_what_is_no_toml_goes_to_an_editor(make_app: MakeApp, tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/broken.toml").write_text("[source\nurl = [red]\n")
    app = make_app(None, Sessions(), profiles_folder=tmp_path / "profiles")
    async with app.run_test() as pilot:
        await until(pilot, lambda: "cannot be used" in shown(app))
        await pilot.press("e")
        await until(pilot, lambda: "tui-sync profiles edit opens it" in said(app))
        assert "not valid TOML" in said(app)
        assert isinstance(app.screen, ProfilesScreen)


async def test_the_history_of_a_damaged_ledger_is_not_called_empty(
    make_app: MakeApp, folder: Path, tmp_path: Path
) -> None:
    for path in (tmp_path / "state/ledgers").glob("*.sqlite"):
        path.write_bytes(b"this is no database, and was never one" * 100)
    app = make_app(None, Sessions(), profiles_folder=folder)
    async with app.run_test() as pilot:
        await until(pilot, lambda: "ledger cannot be read" in shown(app))
        await pilot.press("end", "h")
        await until(pilot, lambda: "Could not read the history" in shown(app))
        await pilot.press("x")
        await until(pilot, lambda: "The history could not be read." in said(app))


async def test_profiles_that_are_not_listed_yet_are_not_called_missing(
    make_app: MakeApp, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    available = profiles.available

    def slow(folder: Path) -> list[profiles.Available]:
        go_on.wait()
        return available(folder)

    monkeypatch.setattr(profiles, "available", slow)
    app = make_app(None, Sessions(), profiles_folder=folder)
    async with app.run_test() as pilot:
        await pilot.press("e")
        await until(pilot, lambda: "The profiles are still being read" in said(app))
        go_on.set()
        await until(pilot, lambda: app.screen.query_one(ProfileList).row_count() == 3)
