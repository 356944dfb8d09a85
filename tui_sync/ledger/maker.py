"""Who makes a plan: one process of one machine, known by a word that is written down with the plan."""

from __future__ import annotations

import os
import platform
import secrets

_TOKEN = secrets.token_hex(8)


def this_process() -> str:
    return f"{os.getpid()} {_TOKEN} {platform.node()}"


def may_be_at_work(maker: str) -> bool:
    """False for this process itself, and for one of this machine that has ended."""
    pid, _, rest = maker.partition(" ")
    token, _, machine = rest.partition(" ")
    if token == _TOKEN or not pid.isdecimal():
        return False
    if machine != platform.node():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
