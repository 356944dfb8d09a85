"""The app before servers that hang, vanish, refuse or hold nothing: it says so, and stays awake."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.faults.pair import QUICK, tree
from tests.support.proxy import Proxy
from tests.support.ssh_server import SshServer
from tests.support.sshd import Sshd
from tests.tui.conftest import MakeApp, ready, said, shown, start, until
from tui_sync import profiles
from tui_sync import session as sessions
from tui_sync.connectors.sftp import paramiko_transport
from tui_sync.profiles import Profile
from tui_sync.tui.app import TuiSyncApp
from tui_sync.tui.screens import transfer
from tui_sync.tui.screens.compare import CompareScreen
from tui_sync.tui.screens.form import ProfileForm
from tui_sync.tui.screens.profiles import ProfilesScreen
from tui_sync.tui.screens.report import ReportScreen
from tui_sync.tui.screens.transfer import TransferScreen
from tui_sync.tui.screens.view import HelpScreen

# Less than anything that is frozen or silent here is waited for.
PATIENCE_S = 10.0
MIB = 1 << 20


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "Retry", lambda: QUICK)


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def written(home: Path, source: str, target: str, more: str = "", sync: str = "") -> Profile:
    """A profile of two URLs; ``more`` belongs to the target."""
    file = home / "profiles" / "pair.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f'[source]\nurl = "{source}"\n[target]\nurl = "{target}"\n{more}\n[sync]\n{sync}\n')
    return profiles.load(file)


def behind(sshd: Sshd, proxy: Proxy, home: Path, sync: str = "") -> Profile:
    """A local source, and a target that is reached through the proxy."""
    hosts = home / "known_hosts"
    hosts.write_text(sshd.host_key_line.replace(f":{sshd.port} ", f":{proxy.port} ") + "\n")
    for name in ("source", "target"):
        (home / name).mkdir()
    url = sshd.url(home / "target").replace(f":{sshd.port}/", f":{proxy.port}/")
    login = f'identity_file = "{sshd.identity_file}"\nknown_hosts = "{hosts}"\ntransport = "paramiko"'
    return written(home, str(home / "source"), url, login, sync)


async def answers(pilot: Pilot[int]) -> None:
    """A key is answered."""
    await pilot.press("question_mark")
    await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
    await pilot.press("escape")
    await until(pilot, lambda: not isinstance(pilot.app.screen, HelpScreen))


async def failed(pilot: Pilot[int]) -> str:
    """The screen, once there will be no plan."""
    app = pilot.app
    assert isinstance(app, TuiSyncApp)
    await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.state == "failed")
    return shown(app)


def threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


async def test_a_server_that_says_nothing(
    make_app: MakeApp, tmp_path: Path, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").mkdir()
    target = f"sftp://me@127.0.0.1:{silent}/"
    pair = written(tmp_path, str(tmp_path / "source"), target, 'transport = "paramiko"')
    app = make_app(pair)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "Connecting" in shown(app))
        await answers(pilot)
        # Given up long before the server's own time is over.
        planning = threads("tui-sync-plan")
        assert planning
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ProfilesScreen))
        for thread in planning:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

        monkeypatch.setattr(paramiko_transport, "_CONNECT_S", 0.1)
        app.open_profile(pair)
        page = await failed(pilot)
        assert "does not answer as an SSH server" in page
        assert "Is the server up" in page
        assert "^r  try again" in page
        assert "F4  edit the profile" in page
        footer = page.splitlines()[-1]
        assert "^r Rescan" in footer
        assert "F4 Edit profile" in footer
        assert "In/out" not in footer
        await pilot.press("f4")
        await until(pilot, lambda: isinstance(app.screen, ProfileForm))
        await pilot.press("escape")
        await failed(pilot)
        await pilot.press("f5")
        assert "There is no plan" in said(app)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "does not answer" in shown(app))


async def test_a_server_that_refuses_the_login(
    make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").mkdir()
    monkeypatch.setenv("WRONG", "wrong")
    monkeypatch.setenv("RIGHT", "right")
    with SshServer(tmp_path) as server:
        hosts = tmp_path / "known_hosts"
        hosts.write_text(server.host_key_line + "\n")
        login = f'password = "env:WRONG"\nknown_hosts = "{hosts}"\ntransport = "paramiko"'
        target = f"sftp://{server.user}@127.0.0.1:{server.port}/target"
        pair = written(tmp_path, str(tmp_path / "source"), target, login)
        app = make_app(pair)
        async with app.run_test(size=(80, 24)) as pilot:
            page = await failed(pilot)
            assert "Are user, password and key right?" in page
            assert "wrong" not in page
            # Once the profile is mended, it is compared without another word.
            await pilot.press("f4")
            await until(pilot, lambda: isinstance(app.screen, ProfileForm))
            assert pair.file is not None
            pair.file.write_text(pair.file.read_text().replace("WRONG", "RIGHT"))
            await pilot.press("escape")
            await ready(pilot)
            assert server.logins == 1


async def test_sides_without_a_file(make_app: MakeApp, tmp_path: Path, sshd: Sshd) -> None:
    with Proxy(sshd.port) as proxy:
        app = make_app(behind(sshd, proxy, tmp_path))
        async with app.run_test(size=(80, 24)) as pilot:
            await ready(pilot)
            assert "Both sides are empty" in shown(app)
            await pilot.press("f5", "space", "enter", "n", "end")
            assert "Nothing to do" in said(app)
            (tmp_path / "target/old.txt").write_text("old")
            await pilot.press("ctrl+r")
            await until(pilot, lambda: "old.txt" in shown(app))


async def running(pilot: Pilot[int]) -> TransferScreen:
    """In the middle of a run, with some bytes on the target."""
    app = pilot.app
    await ready(pilot)
    await start(pilot)
    await until(pilot, lambda: isinstance(app.screen, TransferScreen) and app.screen.snapshot.bytes_done > 0)
    assert isinstance(app.screen, TransferScreen)
    return app.screen


async def test_a_line_that_stalls_in_the_middle(
    make_app: MakeApp, tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "STILL_S", 0.1)
    monkeypatch.setattr(transfer, "_BLOCK", 0)
    with Proxy(sshd.port) as proxy:
        pair = behind(sshd, proxy, tmp_path, 'bandwidth_limit = "8M"')
        (tmp_path / "source/large").write_bytes(os.urandom(16 * MIB))
        app = make_app(pair)
        async with app.run_test(size=(80, 24)) as pilot:
            screen = await running(pilot)
            proxy.freeze()
            await until(pilot, lambda: "! No answer for" in shown(app))
            assert "c cancels" in shown(app)
            await answers(pilot)
            await pilot.press("c", "y")
            assert screen.engine.wait(PATIENCE_S)
            await until(pilot, lambda: isinstance(app.screen, ReportScreen))
            assert "Stopped before the end" in shown(app)
            assert "Go on" in shown(app)
            assert tree(tmp_path / "target") == {}


async def test_a_line_that_is_cut_for_good_in_the_middle(
    make_app: MakeApp, tmp_path: Path, sshd: Sshd
) -> None:
    with Proxy(sshd.port) as proxy:
        pair = behind(sshd, proxy, tmp_path, 'bandwidth_limit = "8M"')
        (tmp_path / "source/large").write_bytes(os.urandom(16 * MIB))
        app = make_app(pair)
        async with app.run_test(size=(120, 40)) as pilot:
            await running(pilot)
            proxy.end()
            await until(pilot, lambda: isinstance(app.screen, ReportScreen))
            await until(pilot, lambda: "look after the line or the server" in shown(app))
            assert tree(tmp_path / "target") == {}
            await pilot.press("r")
            page = await failed(pilot)
            assert "try again" in page
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, ProfilesScreen))
