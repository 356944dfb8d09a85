"""Nobody is there to ask in batch mode: every prompt is refused."""

from __future__ import annotations

from tui_sync.connectors.base import HostKey
from tui_sync.errors import LoginRefused
from tui_sync.names import printable


class RefusingPrompts:
    """Refuses a secret with a LoginRefused that names the key to set, and trusts no unknown host key; the
    connector's UnknownHostKey then tells its fingerprint and the command that trusts it."""

    def secret(self, server: str, prompt: str) -> str | None:
        key = "passphrase" if "passphrase" in prompt.lower() else "password"
        question = printable(prompt.strip().rstrip(":"))
        raise LoginRefused(
            f"{printable(server)} asks “{question}” and nobody can answer in batch mode: "
            f'set {key} in the profile, for example {key} = "env:NAME"'
        )

    def trust(self, server: str, key: HostKey) -> bool:
        return False
