"""Which places answer, without a login and without anybody waiting for it."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.fake_session import Sessions
from tests.tui.conftest import MakeApp, shown, until
from tui_sync.connectors.base import Endpoint
from tui_sync.profiles.files import parse
from tui_sync.tui import reach
from tui_sync.tui.reach import Reach, knock


@contextmanager
def door(greeting: bytes) -> Iterator[int]:
    """A port that greets whoever comes, once; with nothing to say it stays silent and open."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        guests = []

        def greet() -> None:
            try:
                guest, _ = server.accept()
            except OSError:
                return
            guests.append(guest)
            if greeting:
                guest.sendall(greeting)

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        for guest in guests:
            guest.close()


def sftp(port: int, **options: object) -> Endpoint:
    return Endpoint(f"sftp://127.0.0.1:{port}/", "sftp", "/", "127.0.0.1", port, "me", options)


def test_a_server_that_greets_answers() -> None:
    with door(b"SSH-2.0-x\r\n") as port:
        assert knock(sftp(port)) is Reach.ANSWERS


def test_another_service_or_silence_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "DEADLINE_S", 0.1)
    with door(b"HTTP/1.1 400\r\n") as port:
        assert knock(sftp(port)) is Reach.SILENT
    with door(b"") as port:
        assert knock(sftp(port)) is Reach.SILENT
    assert knock(sftp(port)) is Reach.SILENT


def test_behind_a_jump_host_its_door_is_what_can_be_seen(tmp_path: Path) -> None:
    config = tmp_path / "config"
    with door(b"SSH-2.0-x\r\n") as port:
        config.write_text(f"Host inner\n  ProxyJump 127.0.0.1:{port}\n")
        inner = Endpoint("sftp://inner/", "sftp", "/", "inner", None, "me", {"ssh_config": str(config)})
        assert knock(inner) is Reach.ANSWERS
    config.write_text("Host inner\n  ProxyCommand nc %h %p\n")
    assert knock(inner) is Reach.UNKNOWN


def test_folders_and_buckets(tmp_path: Path) -> None:
    assert knock(Endpoint(str(tmp_path), "file", str(tmp_path))) is Reach.ANSWERS
    assert knock(Endpoint("/no/such", "file", "/no/such")) is Reach.MISSING
    with door(b"") as port:
        options = {"endpoint_url": f"http://127.0.0.1:{port}"}
        assert knock(Endpoint("s3://bucket/", "s3", "/", "bucket", options=options)) is Reach.ANSWERS
    # Bound by us and not listened at: nobody else can come to answer there.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        options = {"endpoint_url": f"http://127.0.0.1:{bound.getsockname()[1]}"}
        assert knock(Endpoint("s3://bucket/", "s3", "/", "bucket", options=options)) is Reach.SILENT


async def test_the_list_says_it_by_word_and_glyph(make_app: MakeApp, tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    text = '[source]\nurl = "sftp://me@one.example/{0}"\n[target]\nurl = "/srv/b"\n'
    (folder / "photos.toml").write_text(text.format("a"))
    assert parse(text.format("a"), folder / "x.toml").source.host == "one.example"
    asked: list[str] = []

    def told(endpoint: Endpoint) -> Reach:
        asked.append(endpoint.url)
        return Reach.ANSWERS if endpoint.host else Reach.MISSING

    app = make_app(None, Sessions(), knock=told)
    async with app.run_test() as pilot:
        await until(pilot, lambda: "✓ Source answers   ! Target: no such folder" in shown(app))
        assert len(asked) == 2
        await pilot.press("ctrl+r")
        await until(pilot, lambda: len(asked) == 4)


_LEAVING = """
import asyncio, pathlib, socket, sys, threading
socket.getaddrinfo = lambda *given, **more: threading.Event().wait()
from tui_sync.tui.app import TuiSyncApp
home = pathlib.Path(sys.argv[1])
app = TuiSyncApp(profiles_folder=home / "profiles", state_dir=home / "state")
async def leave(pilot):
    while not any(thread.name == "tui-sync-knock" for thread in threading.enumerate()):
        await asyncio.sleep(0.01)
    await pilot.press("q")
app.run(headless=True, auto_pilot=leave)
app.close_works()
print("left", any(thread.name == "tui-sync-knock" for thread in threading.enumerate()))
"""


def test_a_name_that_is_never_found_keeps_nobody_from_leaving(tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    text = '[source]\nurl = "sftp://me@one.example/a"\n[target]\nurl = "s3://bucket/"\n'
    (tmp_path / "profiles/photos.toml").write_text(text)
    ended = subprocess.run(
        [sys.executable, "-c", _LEAVING, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (ended.stdout.split("left")[-1].strip(), ended.stderr, ended.returncode) == ("True", "", 0)
