"""``profiles trust``: record the host keys of a profile's servers, after a person or a script has agreed."""

from __future__ import annotations

from tui_sync import profiles
from tui_sync.commands.terminal import (
    QUESTION,
    TerminalPrompts,
    confirm,
    interactive,
    note,
    say,
    show_key,
)
from tui_sync.connectors.base import Endpoint, HostKey
from tui_sync.errors import ConnectError, UnknownHostKey, UsageError
from tui_sync.names import printable


def trust(name: str, fingerprints: list[str]) -> int:
    """Trust what the servers of the profile, or the one of a URL, offer; those known already are told too.

    ``fingerprints`` (``SHA256:…``) stand in for the answer yes. Raises ChangedHostKey, UnknownHostKey where
    the answer was no, ConnectError, UsageError.
    """
    for fingerprint in fingerprints:
        if not fingerprint.startswith("SHA256:"):
            raise UsageError(
                f"“{printable(fingerprint)}” is no fingerprint: write SHA256:… as ssh-keygen prints it"
            )
    servers = [side for side in _sides(name) if side.scheme == "sftp"]
    if not servers:
        raise UsageError(f"“{printable(name)}” has no SFTP server, and so no host key to trust")
    prompts = _TrustPrompts(fingerprints)
    errors: list[ConnectError] = []
    for server in servers:
        try:
            _trust_one(server, prompts)
        except ConnectError as error:
            # The other server may still be trusted.
            errors.append(error)
    for earlier in errors[:-1]:
        note(f"error: {earlier}")
    if errors:
        raise errors[-1]
    return 0


def _sides(name: str) -> tuple[Endpoint, ...]:
    if "://" in name:
        return (profiles.place(name),)
    profile = profiles.find(name)
    return profile.source, profile.target


def _trust_one(server: Endpoint, prompts: _TrustPrompts) -> None:
    from tui_sync.connectors.sftp import paramiko_transport
    from tui_sync.connectors.sftp.login import login_of

    prompts.added.clear()
    key, file = paramiko_transport.trust(login_of(server, prompts))
    how = "now trusted, recorded in" if key.host in prompts.added else "already trusted by"
    say(f"{key.host} {key.key_type} {key.fingerprint}: {how} {printable(str(file))}")


class _TrustPrompts(TerminalPrompts):
    def __init__(self, fingerprints: list[str]) -> None:
        self._fingerprints = fingerprints
        self.added: set[str] = set()

    def secret(self, server: str, prompt: str) -> str | None:
        return super().secret(server, prompt) if interactive() else None

    def trust(self, server: str, key: HostKey) -> bool:
        refused = ""
        if not self._fingerprints:
            show_key(server, key)
        if self._fingerprints and key.fingerprint not in self._fingerprints:
            refused = (
                f"{key.host} offers {key.key_type} {key.fingerprint}, which is none of those after --yes"
            )
        elif not self._fingerprints and not interactive():
            refused = (
                f"nobody is at the terminal to say whether {key.fingerprint} is the key of {key.host}: "
                f"compare it with the server's own, then add --yes {key.fingerprint}"
            )
        elif not self._fingerprints and not confirm(QUESTION):
            refused = f"the key of {key.host} is not trusted: nothing was recorded"
        if refused:
            raise UnknownHostKey(refused, host=key.host, key_type=key.key_type, fingerprint=key.fingerprint)
        self.added.add(key.host)
        return True
