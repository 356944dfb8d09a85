"""Nobody is there to ask in batch mode: every prompt is refused, with what to do about it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from tui_sync.connectors.base import Endpoint, HostKey
from tui_sync.errors import LoginRefused
from tui_sync.names import printable

_KNOWN_HOSTS = "~/.ssh/known_hosts"


class RefusingPrompts:
    """Refuses secrets with a LoginRefused that names the key to set, and trust with what ``hint`` tells."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._endpoints = tuple(endpoints)
        self._refused: list[HostKey] = []

    def secret(self, server: str, prompt: str) -> str | None:
        key = "passphrase" if "passphrase" in prompt.lower() else "password"
        question = printable(prompt.strip().rstrip(":"))
        raise LoginRefused(
            f"{printable(server)} asks “{question}” and nobody can answer in batch mode: "
            f'set {key} in the profile, for example {key} = "env:NAME"'
        )

    def trust(self, server: str, key: HostKey) -> bool:
        self._refused.append(key)
        return False

    def hints(self) -> list[str]:
        """One sentence per refused host key: its fingerprint, and the command that trusts it."""
        return [self._hint(key) for key in self._refused]

    def _hint(self, key: HostKey) -> str:
        files = {str(end.options["known_hosts"]) for end in self._endpoints if _means(end, key)}
        file = files.pop() if len(files) == 1 else _KNOWN_HOSTS
        where = file if file == _KNOWN_HOSTS else shlex.quote(file)
        return (
            f"{printable(key.host)} offers a {printable(key.key_type)} key with the fingerprint "
            f"{printable(key.fingerprint)}. Compare it with what the server's owner says; if it is the same, "
            f"trust it with:\n  echo {shlex.quote(printable(key.line))} >> {printable(where)}"
        )


def _means(endpoint: Endpoint, key: HostKey) -> bool:
    hosts = {endpoint.host, f"[{endpoint.host}]:{endpoint.port}", f"{endpoint.host}:{endpoint.port}"}
    return "known_hosts" in endpoint.options and key.host in hosts
