"""The app in a real terminal, by keys alone, from one sshd to another."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sshd import Sshd

DEADLINE_S = 40.0
pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

_SIDE = """
[{0}]
url = "{1}"
identity_file = "{2}"
known_hosts = "{3}"
"""


class Terminal:
    """One window of a tmux server of its own."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "tmux"

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-f", os.devnull, "-S", str(self._socket), *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stdout

    def start(self, command: str, environment: dict[str, str]) -> None:
        variables = [part for item in environment.items() for part in ("-e", "=".join(item))]
        self.tmux("new-session", "-d", "-x", "100", "-y", "30", *variables, command)

    def keys(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def sees(self, words: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while words not in (screen := self.screen()):
            assert time.monotonic() < deadline, f"“{words}” did not come:\n{screen}"
            time.sleep(0.05)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.tmux("kill-server")


def test_from_a_profile_to_the_report(sshd: Sshd, terminal: Terminal, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "drafts").mkdir(parents=True)
    (source / "drafts" / "idea.txt").write_text("not yet")
    (source / "final").mkdir()
    (source / "final" / "写真.txt").write_text("ready")
    target.mkdir()
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    with Sshd(tmp_path / "other") as other:
        text = "".join(
            _SIDE.format(side, server.url(path), server.identity_file, server.known_hosts)
            for side, server, path in (("source", sshd, source), ("target", other, target))
        )
        (profiles / "nightly.toml").write_text(text)
        terminal.start(
            f"{sys.executable} -m tui_sync",
            {
                "TUI_SYNC_PROFILES": str(profiles),
                "XDG_STATE_HOME": str(tmp_path / "state"),
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                "LANG": "C.UTF-8",
            },
        )
        terminal.sees("✓ Source answers")
        terminal.keys("Enter")
        terminal.sees("drafts")
        terminal.sees("+ 2 new")
        terminal.keys("Home", "Space")
        terminal.sees("taken out by you")
        terminal.keys("F5")
        terminal.sees("Checklist")
        terminal.sees("[ ]")
        terminal.keys("F9")
        terminal.sees("✓ Done")
        terminal.keys("q")
        deadline = time.monotonic() + DEADLINE_S
        while terminal.tmux("list-sessions"):
            assert time.monotonic() < deadline, terminal.screen()
            time.sleep(0.05)
    assert (target / "final" / "写真.txt").read_text() == "ready"
    assert not (target / "drafts").exists()
