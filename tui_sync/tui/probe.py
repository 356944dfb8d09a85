"""Whether a place can be reached: connect, look at its folder, leave."""

from __future__ import annotations

import time

from tui_sync.connectors import registry
from tui_sync.connectors.base import Endpoint, Prompts
from tui_sync.errors import NotFound, TuiSyncError
from tui_sync.names import printable
from tui_sync.profiles import Profile


def look(endpoint: Endpoint, prompts: Prompts) -> tuple[bool, str]:
    """Whether it can be used, and a phrase about it. Blocks."""
    began = time.monotonic()
    try:
        connector = registry.connect(endpoint, prompts)
        try:
            try:
                entries = f"{len(connector.reader().list_dir('')):,} entries"
            except NotFound:
                entries = "its folder does not exist yet"
        finally:
            connector.close()
    except TuiSyncError as error:
        return False, printable(str(error))
    return True, f"answers in {time.monotonic() - began:.1f} s, {entries}"


def look_at_both(profile: Profile, prompts: Prompts) -> tuple[bool, str]:
    """Both sides, one after the other. Blocks."""
    (first, source), (second, target) = look(profile.source, prompts), look(profile.target, prompts)
    return first and second, f"Source: {source}. Target: {target}."
