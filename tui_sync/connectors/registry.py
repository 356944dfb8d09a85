"""URL scheme -> connector, imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import cast

from tui_sync.connectors.base import Connector, Endpoint, Prompts
from tui_sync.errors import UsageError

# In the order of how long they take to load.
_MODULES = {
    "file": "tui_sync.connectors.local",
    "sftp": "tui_sync.connectors.sftp.dialing",
    "s3": "tui_sync.connectors.s3.connector",
}


def schemes() -> tuple[str, ...]:
    """The URL schemes that can be connected to."""
    return tuple(_MODULES)


def load_order(scheme: str) -> int:
    """Less for a connector that is loaded sooner."""
    return list(_MODULES).index(scheme) if scheme in _MODULES else len(_MODULES)


def load(scheme: str) -> ModuleType:
    """The connector's module. Raises UsageError for a scheme that is none of ``schemes``."""
    module = _MODULES.get(scheme)
    if module is None:
        known = ", ".join(f"{scheme}://" for scheme in _MODULES)
        raise UsageError(f"no connector for “{scheme}://”: use a local path or one of {known}")
    return import_module(module)


def connect(endpoint: Endpoint, prompts: Prompts) -> Connector:
    """Connect to an endpoint. Raises ConnectError, or NotFound where a local root's parent is missing."""
    return cast(Connector, load(endpoint.scheme).connect(endpoint, prompts))
