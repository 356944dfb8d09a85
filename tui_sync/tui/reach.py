"""Whether a place answers at all: a knock at its door, without a login, for the list of profiles.

No login is tried, so nothing can be locked and nobody is asked anything: a server that answers may still
refuse. Each look ends within a few seconds.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from tui_sync.connectors.base import Endpoint, HostKey
from tui_sync.errors import TuiSyncError

DEADLINE_S = 4.0
_AT_ONCE = 8
_BANNER = b"SSH-"
_AWS_HOST = "s3.amazonaws.com"


class Reach(StrEnum):
    """What a knock has shown. ``UNKNOWN``: there is no telling without more than a knock."""

    ANSWERS = "answers"
    SILENT = "no answer"
    MISSING = "no such folder"
    UNKNOWN = ""


class _Nobody:
    """Prompts without a person: what asks, is not asked."""

    def secret(self, server: str, prompt: str) -> str | None:
        return None

    def trust(self, server: str, key: HostKey) -> bool:
        return False


def knock(endpoint: Endpoint) -> Reach:
    """Blocks for ``DEADLINE_S`` at most where there is a network in between; raises nothing."""
    try:
        if endpoint.scheme == "sftp":
            return _ssh(endpoint)
        if endpoint.scheme == "s3":
            return _s3(endpoint)
        return Reach.ANSWERS if Path(endpoint.path).is_dir() else Reach.MISSING
    except (OSError, ValueError):
        return Reach.SILENT
    except TuiSyncError:
        return Reach.UNKNOWN


def knock_at_all(
    endpoints: Iterable[Endpoint], knock: Callable[[Endpoint], Reach], tell: Callable[[str, Reach], object]
) -> None:
    """Knock at some places on threads of their own, some at a time; each tells URL and outcome. Returns at
    once; nobody waits for a thread that hangs."""
    waiting = deque(endpoints)

    def work() -> None:
        while True:
            try:
                endpoint = waiting.popleft()
            except IndexError:
                return
            tell(endpoint.url, knock(endpoint))

    for _ in range(min(_AT_ONCE, len(waiting))):
        threading.Thread(target=work, name="tui-sync-knock", daemon=True).start()


def _ssh(endpoint: Endpoint) -> Reach:
    from tui_sync.connectors.sftp.login import login_of
    from tui_sync.connectors.sftp.route import resolve

    login = resolve(login_of(endpoint, _Nobody()))
    while login.via is not None:
        # What is behind a jump host is not to be seen from here: the door is that of the first.
        login = login.via
    if login.proxy_command:
        return Reach.UNKNOWN
    with socket.create_connection((login.host, login.port), DEADLINE_S / 2) as door:
        door.settimeout(DEADLINE_S / 2)
        return Reach.ANSWERS if door.recv(len(_BANNER)) == _BANNER else Reach.SILENT


def _s3(endpoint: Endpoint) -> Reach:
    named = endpoint.options.get("endpoint_url")
    address = urlsplit(str(named) if named else f"https://{_AWS_HOST}")
    port = address.port or (443 if address.scheme == "https" else 80)
    with socket.create_connection((address.hostname or "", port), DEADLINE_S / 2):
        return Reach.ANSWERS
