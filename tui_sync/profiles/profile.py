"""A pair with its options, ready to connect."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tui_sync.connectors.base import Endpoint
from tui_sync.model import SyncOptions


@dataclass(frozen=True, slots=True)
class Profile:
    """``file`` is None for a pair that was given on the command line."""

    name: str
    file: Path | None
    source: Endpoint
    target: Endpoint
    options: SyncOptions

    @property
    def pair_id(self) -> str:
        """The pair's file name in the state folder, by its two places alone.

        The same places are the same pair, under whichever profile's name: so one lock keeps two runs apart,
        and renaming a profile forgets nothing.
        """
        urls = f"{_where(self.source)}\n{_where(self.target)}".encode()
        digest = hashlib.sha256(urls).hexdigest()[:12]
        return f"{_slug(self.source)}-to-{_slug(self.target)}-{digest}"


def with_options(profile: Profile, **overrides: Any) -> Profile:
    """The profile with some fields of its SyncOptions replaced."""
    return replace(profile, options=replace(profile.options, **overrides))


def _where(endpoint: Endpoint) -> str:
    """The URL; a bucket's is nothing without the server it is on."""
    server = endpoint.options.get("endpoint_url")
    return f"{endpoint.url} {server}" if server else endpoint.url


def _slug(endpoint: Endpoint) -> str:
    return re.sub(r"[^a-z0-9]+", "-", (endpoint.host or "local").lower()).strip("-")[:40] or "host"
