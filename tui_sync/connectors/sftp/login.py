"""Who logs in where, and what a person has answered so far."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tui_sync.connectors.base import Endpoint, Prompts
from tui_sync.connectors.sftp.known_hosts import DEFAULT_PORT
from tui_sync.errors import UsageError
from tui_sync.names import printable


@dataclass(eq=False)
class Login:
    """One login, as often as it has to be made anew. Answers live in memory, as long as this does."""

    host: str
    port: int
    user: str
    prompts: Prompts
    known_hosts: list[Path]
    identity_file: Path | None = None
    secrets: dict[str, Callable[[], str]] = field(default_factory=dict, repr=False)
    _answers: dict[str, str] = field(default_factory=dict, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def server(self) -> str:
        """How the login is named to people."""
        return f"{printable(self.user)}@{self.address}"

    def configured(self, key: str) -> bool:
        """Whether the profile says where to find this secret."""
        return key in self.secrets

    def remembered(self, key: str) -> bool:
        with self._lock:
            return key in self._answers

    def secret(self, key: str, prompt: str) -> str | None:
        """The secret of that key, from memory, from the profile, or by asking; None where it was declined."""
        with self._lock:
            answer = self._answers.get(key)
            if answer is None:
                source = self.secrets.get(key)
                answer = source() if source else self.prompts.secret(self.server, prompt)
            if answer is not None:
                self._answers[key] = answer
            return answer

    def forget(self, key: str) -> None:
        """The answer was wrong."""
        with self._lock:
            self._answers.pop(key, None)


def login_of(endpoint: Endpoint, prompts: Prompts) -> Login:
    """The login an endpoint asks for. Raises UsageError where an option cannot be used."""
    options = endpoint.options
    known = options.get("known_hosts")
    if known is None:
        files = [Path("~/.ssh/known_hosts"), Path("/etc/ssh/ssh_known_hosts")]
    elif isinstance(known, (str, Path)):
        files = [Path(known)]
    elif isinstance(known, (list, tuple)) and known and all(isinstance(one, (str, Path)) for one in known):
        files = [Path(one) for one in known]
    else:
        raise UsageError(f"known_hosts of {endpoint.host} has to be a path or a list of paths")
    identity = options.get("identity_file")
    if identity is not None and not isinstance(identity, (str, Path)):
        raise UsageError(f"identity_file of {endpoint.host} has to be a path")
    transport = options.get("transport", "auto")
    if transport not in ("auto", "paramiko"):
        raise UsageError(
            f"transport “{transport}” of {endpoint.host} is not available: use “auto” or “paramiko”"
        )
    if not endpoint.host:
        raise UsageError("an sftp:// URL needs a host")
    return Login(
        host=endpoint.host,
        port=endpoint.port or DEFAULT_PORT,
        user=endpoint.user or getpass.getuser(),
        prompts=prompts,
        known_hosts=[file.expanduser() for file in files],
        identity_file=Path(identity).expanduser() if identity else None,
        secrets=dict(endpoint.secrets),
    )
