"""Who logs in where, and what a person has answered so far."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tui_sync.connectors.base import Endpoint, Prompts
from tui_sync.connectors.sftp.known_hosts import DEFAULT_PORT, host_name
from tui_sync.connectors.sftp.ssh_config import NONE, user_config
from tui_sync.errors import UsageError
from tui_sync.names import printable

USER_KNOWN_HOSTS = (Path("~/.ssh/known_hosts"), Path("~/.ssh/known_hosts2"))
GLOBAL_KNOWN_HOSTS = (Path("/etc/ssh/ssh_known_hosts"), Path("/etc/ssh/ssh_known_hosts2"))


@dataclass(eq=False)
class Login:
    """One login, as often as it has to be made anew. Answers live in memory, as long as this does.

    ``given`` names what the profile itself has said (``port``, ``user``, ``known_hosts``); the rest the files
    of ``ssh_config`` may say otherwise: ``route.resolve`` has the outcome, and fills all from
    ``host_key_alias`` on. ``via`` is the jump host, a login of its own.
    """

    host: str
    port: int
    user: str
    prompts: Prompts
    known_hosts: list[Path]
    identity_file: Path | None = None
    secrets: dict[str, Callable[[], str]] = field(default_factory=dict, repr=False)
    given: frozenset[str] = frozenset()
    ssh_config: tuple[Path, ...] = ()
    trusted_by: str = ""
    host_key_alias: str = ""
    identities: tuple[Path, ...] = ()
    certificates: tuple[Path, ...] = ()
    identities_only: bool = False
    use_agent: bool = True
    proxy_command: str = field(default="", repr=False)
    via: Login | None = None
    _passphrase_of: Path | None = None
    _answers: dict[str, str] = field(default_factory=dict, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def server(self) -> str:
        """How the login is named to people."""
        return f"{printable(self.user)}@{self.address}"

    @property
    def known_as(self) -> str:
        """The host as known_hosts files have it."""
        return self.host_key_alias.lower() or host_name(self.host, self.port)

    def to_jump_host(self, host: str, port: int | None, user: str | None) -> Login:
        """The login to a host that is only passed on the way. It shares the trusted keys and what was
        answered about keys, and never sees this login's password."""
        given = {"known_hosts"} & self.given
        given |= {name for name, value in (("port", port), ("user", user)) if value is not None}
        return Login(
            host=host,
            port=port or DEFAULT_PORT,
            user=user or getpass.getuser(),
            prompts=self.prompts,
            known_hosts=self.known_hosts,
            secrets={key: secret for key, secret in self.secrets.items() if key == "passphrase"},
            given=frozenset(given),
            ssh_config=self.ssh_config,
            trusted_by=self.trusted_by,
            _passphrase_of=self.identity_file,
            _answers=self._answers,
            _lock=self._lock,
        )

    def configured(self, key: str) -> bool:
        """Whether the profile says where to find this secret."""
        return key in self.secrets

    def password(self, prompt: str) -> str | None:
        """From memory, from the profile, or by asking; None where it was declined."""
        return self._secret(self._password_key, self.secrets.get("password"), prompt)

    def password_remembered(self) -> bool:
        with self._lock:
            return self._password_key in self._answers

    def forget_password(self) -> None:
        """The answer was wrong."""
        with self._lock:
            self._answers.pop(self._password_key, None)

    def passphrase(self, path: Path) -> str | None:
        """That of a key file, from memory, from the profile, or by asking; None where it was declined."""
        source = self.secrets.get("passphrase") if self.passphrase_configured(path) else None
        return self._secret(f"passphrase of {path}", source, f"Passphrase of the key {path}")

    def passphrase_configured(self, path: Path) -> bool:
        """Whether the profile's passphrase is that of this key: where it names a key, of no other."""
        named = self.identity_file or self._passphrase_of
        return "passphrase" in self.secrets and named in (None, path)

    def forget_passphrase(self, path: Path) -> None:
        with self._lock:
            self._answers.pop(f"passphrase of {path}", None)

    @property
    def _password_key(self) -> str:
        return f"password of {self.server}"

    def _secret(self, key: str, source: Callable[[], str] | None, prompt: str) -> str | None:
        with self._lock:
            answer = self._answers.get(key)
            if answer is None:
                answer = source() if source else self.prompts.secret(self.server, prompt)
            if answer is not None:
                self._answers[key] = answer
            return answer


def login_of(endpoint: Endpoint, prompts: Prompts) -> Login:
    """The login an endpoint asks for. Raises UsageError where an option cannot be used."""
    options = endpoint.options
    known = options.get("known_hosts")
    if known is None:
        files = [*USER_KNOWN_HOSTS, *GLOBAL_KNOWN_HOSTS]
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
    if transport not in ("auto", "openssh", "paramiko"):
        raise UsageError(
            f"transport “{transport}” of {endpoint.host} is none: use “auto”, “openssh” or “paramiko”"
        )
    if not endpoint.host:
        raise UsageError("an sftp:// URL needs a host")
    given = {"port": endpoint.port, "user": endpoint.user, "known_hosts": known}
    return Login(
        host=endpoint.host,
        port=endpoint.port or DEFAULT_PORT,
        user=endpoint.user or getpass.getuser(),
        prompts=prompts,
        known_hosts=[file.expanduser() for file in files],
        identity_file=Path(identity).expanduser() if identity else None,
        secrets=dict(endpoint.secrets),
        given=frozenset(name for name, value in given.items() if value is not None),
        ssh_config=_ssh_config(endpoint),
        trusted_by=endpoint.profile or endpoint.url,
    )


def _ssh_config(endpoint: Endpoint) -> tuple[Path, ...]:
    named = endpoint.options.get("ssh_config")
    if named is None:
        return tuple(user_config())
    if not isinstance(named, (str, Path)):
        raise UsageError(f"ssh_config of {endpoint.host} has to be a path, or {NONE}")
    if str(named) == NONE:
        return ()
    file = Path(named).expanduser()
    if not file.is_file():
        raise UsageError(f"ssh_config of {endpoint.host} names {printable(str(file))}, which is no file")
    return (file,)
