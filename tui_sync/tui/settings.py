"""What the app remembers of a person's taste, in a small file beside the ledgers."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from tui_sync.whole import written_whole

_LARGEST = 65_536


def _file(state_dir: Path | None) -> Path:
    from tui_sync.ledger.store import default_state_dir

    return (state_dir if state_dir is not None else default_state_dir()) / "app.json"


def read(state_dir: Path | None) -> dict[str, str]:
    """What is remembered; nothing where the file is missing or is not ours to understand."""
    try:
        with _file(state_dir).open("rb") as stream:
            raw = json.loads(stream.read(_LARGEST))
    except (OSError, ValueError):
        return {}
    if not isinstance(raw, dict):
        return {}
    return {str(key): value for key, value in raw.items() if isinstance(value, str)}


def remember(state_dir: Path | None, key: str, value: str) -> None:
    """Remember one thing, or not: nobody is kept from working by a file that cannot be written."""
    path = _file(state_dir)
    known = read(state_dir)
    if known.get(key) == value:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with written_whole(path) as file:
            file.write(json.dumps({**known, key: value}).encode())
