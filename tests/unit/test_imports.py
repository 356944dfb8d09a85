"""Below the faces nothing loads what only a face needs. Each module in an interpreter of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

ROOMS = [
    "tui_sync.model",
    "tui_sync.session",
    "tui_sync.planning.scan",
    "tui_sync.planning.plan",
    "tui_sync.planning.preview",
    "tui_sync.ledger.store",
    "tui_sync.transfer.engine",
    "tui_sync.profiles",
    "tui_sync.connectors.registry",
    "tui_sync.connectors.local",
    "tui_sync.connectors.memory",
    "tui_sync.connectors.sftp.dialing",
    "tui_sync.connectors.sftp.connector",
]
FACES_OWN = ("textual", "rich", "click")


def loaded_by(statement: str) -> set[str]:
    """Top-level names of the modules that an interpreter holds after ``statement``."""
    code = f"{statement}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_below_the_faces_loads_what_is_theirs(room: str) -> None:
    assert importlib.util.find_spec(room) is not None
    loaded = loaded_by(f"import {room}")
    assert "tui_sync" in loaded
    assert not loaded & set(FACES_OWN)


@pytest.mark.parametrize(
    "room", ["tui_sync.planning.plan", "tui_sync.connectors.registry", "tui_sync.ledger.store"]
)
def test_ssh_is_loaded_only_when_it_is_asked_for(room: str) -> None:
    assert "paramiko" not in loaded_by(f"import {room}")


def test_ssh_can_be_started_before_what_works_on_a_session_is_loaded() -> None:
    code = "import tui_sync.connectors.sftp.dialing, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.removeprefix("tui_sync.connectors.sftp.") for name in done.stdout.split()}
    assert "openssh_transport" in loaded
    assert not loaded & {"connector", "session", "wire", "pool", "upload"}


def test_the_check_can_fail() -> None:
    assert "textual" in loaded_by("import textual")
