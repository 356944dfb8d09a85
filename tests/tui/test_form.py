"""A profile as a form: checked while it is typed, with the file beside it, tried, imported, saved."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.support.fake_session import Sessions
from tests.tui.conftest import MakeApp, said, shown, until
from tui_sync import profiles
from tui_sync.tui.screens.ask import ConfirmDialog
from tui_sync.tui.screens.form import ProfileForm
from tui_sync.tui.screens.imports import ImportScreen
from tui_sync.tui.screens.profiles import ProfileList, ProfilesScreen
from tui_sync.tui.widgets.choice import Choice


async def open_form(pilot: Pilot[int], key: str = "n") -> ProfileForm:
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, ProfileForm))
    screen = pilot.app.screen
    assert isinstance(screen, ProfileForm)
    return screen


async def test_a_new_profile_is_checked_shown_and_saved(make_app: MakeApp, tmp_path: Path) -> None:
    app = make_app(None, Sessions())
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await open_form(pilot)
        await until(pilot, lambda: "The source needs a URL" in shown(app))
        screen.query_one("#source-url", Input).value = "sftp://me:secret@host/x"
        screen.query_one("#target-url", Input).value = str(tmp_path / "b")
        await until(pilot, lambda: "! " in shown(app) and "password" in shown(app))
        await pilot.press("ctrl+s")
        assert app.screen is screen
        screen.query_one("#source-url", Input).value = "sftp://me@host/x"
        await until(pilot, lambda: "It needs a name" in shown(app))
        await pilot.press(*"pair", "tab", "tab", "tab", "tab", "tab", "tab", "tab", "right")
        assert screen.query_one("#sync-mode", Choice).value == "mirror"
        screen.query_one("#sync-exclude", Input).value = "*.tmp, .cache/"
        await until(pilot, lambda: 'mode = "mirror"' in shown(app) and "can be saved" in shown(app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ProfilesScreen))
        await until(pilot, lambda: app.screen.query_one(ProfileList).row_count() == 1)
    path = tmp_path / "profiles/pair.toml"
    assert path.stat().st_mode & 0o777 == 0o600
    profile = profiles.load(path)
    assert profile.options.exclude == ("*.tmp", ".cache/")
    assert profile.options.mode.value == "mirror"


async def test_a_bucket_is_asked_for_what_buckets_have(make_app: MakeApp, tmp_path: Path) -> None:
    app = make_app(None, Sessions())
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_form(pilot)
        screen.query_one("#source-password", Input).value = "ask"
        assert "Server" not in shown(app)
        screen.query_one("#source-url", Input).value = "s3://bucket/prefix"
        screen.query_one("#target-url", Input).value = str(tmp_path / "b")
        await until(pilot, lambda: "Server" in shown(app) and "Access key" in shown(app))
        assert "password =" not in shown(app), "what is for other places is not written"
        await pilot.press(*"pair", "tab", "tab", *"http://127.0.0.1:9000")
        await pilot.press("tab", *"env:KEY", "tab", *"env:SECRET")
        await until(pilot, lambda: "can be saved" in shown(app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ProfilesScreen))
    assert tomllib.loads((tmp_path / "profiles/pair.toml").read_text())["source"] == {
        "url": "s3://bucket/prefix",
        "endpoint_url": "http://127.0.0.1:9000",
        "access_key": "env:KEY",
        "secret_key": "env:SECRET",
    }


async def test_editing_keeps_comments_and_asks_before_leaving(make_app: MakeApp, tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    path = folder / "mine.toml"
    path.write_text('# Mine.\n[source]\nurl = "/a"\n\n[target]\nurl = "/b"  # old\n')
    app = make_app(None, Sessions())
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: app.screen.query_one(ProfileList).row_count() == 1)
        screen = await open_form(pilot, "e")
        screen.query_one("#target-url", Input).value = "/c"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("n", "f2")
        await until(pilot, lambda: isinstance(app.screen, ProfilesScreen))
        await open_form(pilot, "e")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ProfilesScreen))
    text = path.read_text()
    assert text.startswith("# Mine.\n")
    assert tomllib.loads(text)["target"] == {"url": "/c"}


async def test_both_sides_are_tried(make_app: MakeApp, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_text("x")
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "mine.toml").write_text(f'[source]\nurl = "{tmp_path}/a"\n[target]\nurl = "{tmp_path}/b"\n')
    app = make_app(None, Sessions())
    async with app.run_test(size=(140, 36)) as pilot:
        await until(pilot, lambda: app.screen.query_one(ProfileList).row_count() == 1)
        await pilot.press("p")
        await until(pilot, lambda: "✓ Source: answers in" in shown(app) and "1 entries" in shown(app))
        await open_form(pilot, "e")
        await pilot.press("ctrl+t")
        await until(pilot, lambda: "Source: answers in" in said(app))


async def test_a_place_of_another_program_begins_a_profile(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "rclone.conf"
    config.write_text("[store]\ntype = sftp\nhost = files.example.org\nuser = me\nkey_file = ~/.ssh/k\n")
    monkeypatch.setenv("RCLONE_CONFIG", str(config))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    app = make_app(None, Sessions())
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, ImportScreen) and "files.example.org" in shown(app))
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, ProfileForm))
        assert app.screen.query_one("#target-url", Input).value == "sftp://me@files.example.org/~/"
        assert app.screen.query_one("#target-identity_file", Input).value == "~/.ssh/k"


async def test_why_a_program_tells_nothing_is_shown_whole(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / ("a" * 60) / "rclone.conf"
    config.parent.mkdir()
    config.write_text("no section\n")
    monkeypatch.setenv("RCLONE_CONFIG", str(config))
    monkeypatch.setenv("HOME", str(tmp_path))
    app = make_app(None, Sessions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, ImportScreen) and "rclone: " in shown(app))
        assert "an encrypted rclone.conf" in " ".join(shown(app).replace("│", " ").split())
        assert "…" not in shown(app)
