"""The way to a server as the ssh configuration has it: the host's real name, keys, jump hosts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from tui_sync.connectors.sftp.login import GLOBAL_KNOWN_HOSTS, USER_KNOWN_HOSTS, Login
from tui_sync.connectors.sftp.ssh_config import NONE, HostConfig, beyond
from tui_sync.errors import UsageError
from tui_sync.names import printable

_MOST_JUMPS = 8
_AGENT = "SSH_AUTH_SOCK"
_JUMP = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@\s]+)@)?(?:\[(?P<literal>[^\]\s]+)\]|(?P<host>[^:@/\s\[\]]+))(?::(?P<port>\d+))?/?"
)

_Addresses = tuple[tuple[str, int], ...]


def resolve(login: Login) -> Login:
    """``login`` with all that the ssh configuration adds; what the profile says comes first.

    Answers that a person gives are shared with ``login``. Raises UsageError.
    """
    return _resolve(login, (), None)


def _resolve(login: Login, passed: _Addresses, via: Login | None) -> Login:
    found = HostConfig(login.ssh_config, login.host, login.user if "user" in login.given else "")
    host = found.get("hostname", str, login.host, tokens=True).lower()
    found.host_name = host
    port = login.port if "port" in login.given else found.get("port", _port, login.port)
    user = login.user if "user" in login.given else found.get("user", str, login.user)
    found.port, found.remote_user = port, user
    if (host, port) in passed or len(passed) >= _MOST_JUMPS:
        raise UsageError(
            f"the ssh configuration leads to {printable(host)} by way of itself: correct its ProxyJump"
        )
    agent = found.get("identityagent", str, _AGENT)
    if agent not in (NONE, _AGENT):
        raise beyond(found.where("identityagent"), "IdentityAgent")
    if found.get("canonicalizehostname", str, "no") != "no":
        raise beyond(found.where("canonicalizehostname"), "CanonicalizeHostname")
    resolved = replace(
        login,
        host=host,
        port=port,
        user=user,
        known_hosts=login.known_hosts if "known_hosts" in login.given else _known_hosts(found),
        host_key_alias=found.get("hostkeyalias", str, "", tokens=True),
        identities=tuple(found.paths("identityfile")),
        certificates=tuple(found.paths("certificatefile")),
        identities_only=found.get("identitiesonly", str, "no") == "yes",
        use_agent=agent != NONE,
    )
    if via is not None:
        return replace(resolved, via=via)
    jumps = found.get("proxyjump", str, NONE, tokens=True)
    if jumps != NONE:
        return replace(resolved, via=_jump_hosts(jumps, login, found, (*passed, (host, port))))
    command = found.get("proxycommand", str, NONE, tokens=True)
    return replace(resolved, proxy_command="" if command == NONE else command)


def _jump_hosts(jumps: str, login: Login, found: HostConfig, passed: _Addresses) -> Login:
    """The last of the jump hosts; each is reached through the one before it."""
    via: Login | None = None
    for text in jumps.split(","):
        match = _JUMP.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"{found.where('proxyjump')}: “{printable(text)}” is no user@host:port: correct ProxyJump"
            )
        port = _port(match["port"]) if match["port"] else None
        jump = login.to_jump_host(match["literal"] or match["host"], port, match["user"])
        via = _resolve(jump, passed, via)
    assert via is not None
    return via


def _known_hosts(found: HostConfig) -> list[Path]:
    user, system = "userknownhostsfile", "globalknownhostsfile"
    own = [file.expanduser() for file in USER_KNOWN_HOSTS]
    files = found.paths(user) if found.has(user) else list(own)
    files += found.paths(system) if found.has(system) else list(GLOBAL_KNOWN_HOSTS)
    return files or own


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535:
        return int(text)
    raise ValueError
