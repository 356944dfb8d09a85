"""What the ssh program is told for one login: a configuration file, and its options."""

from __future__ import annotations

import glob
import os
import subprocess
from functools import lru_cache
from pathlib import Path

from tui_sync.connectors.sftp.login import Login
from tui_sync.connectors.sftp.ssh_config import may_set, user_config

PROGRAM = "ssh"
_CONNECT_S = 15
_KEEPALIVE_S = 15
_GCM = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"


def write_config(file: Path, login: Login) -> None:
    """What also holds for the ssh that ssh starts for a jump host, which gets this file and no option: first
    what we insist on, as the first value obtained is used, and then the person's own configuration."""
    lines = ["StrictHostKeyChecking yes", "UpdateHostKeys no"]
    if "known_hosts" in login.given:
        known = " ".join(_quoted(str(path).replace("%", "%%")) for path in login.known_hosts)
        lines += [f"UserKnownHostsFile {known}", "GlobalKnownHostsFile /dev/null"]
    if login.ssh_config == tuple(user_config()):
        lines += ["Include ~/.ssh/config", "Include /etc/ssh/ssh_config"]
    else:
        lines += [f"Include {_quoted(glob.escape(str(path)))}" for path in login.ssh_config]
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write("\n".join(lines) + "\n")


def _quoted(text: str) -> str:
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))


def arguments(login: Login, config: Path, command: str | None = None) -> list[str]:
    """The options for one login, the host, and what is to run there (None: the SFTP subsystem)."""
    own = ["-F", str(config), *_who(login)]
    if login.identity_file is not None:
        own += ["-i", str(login.identity_file), "-o", "IdentitiesOnly=yes"]
    options = [
        "Compression=no",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "RemoteCommand=none",
        "ForwardAgent=no",
        "ForwardX11=no",
        "Tunnel=no",
        f"ConnectTimeout={_CONNECT_S}",
        f"ServerAliveInterval={_KEEPALIVE_S}",
        "ServerAliveCountMax=3",
        "NumberOfPasswordPrompts=3",
    ]
    if not may_set(login.ssh_config, "ciphers") or _plain_ciphers(tuple(_where(login)), login.host):
        options.append(f"Ciphers={_GCM}")
    return [
        *own,
        *(part for option in options for part in ("-o", option)),
        *(("-T", "-s", "--", login.host, "sftp") if command is None else ("-T", "--", login.host, command)),
    ]


def _where(login: Login) -> list[str]:
    arguments = []
    if login.ssh_config != tuple(user_config()):
        arguments += ["-F", str(login.ssh_config[0]) if login.ssh_config else "none"]
    return [*arguments, *_who(login)]


def _who(login: Login) -> list[str]:
    arguments = []
    if "port" in login.given:
        arguments += ["-p", str(login.port)]
    if "user" in login.given:
        arguments += ["-l", login.user]
    return arguments


def _plain_ciphers(where: tuple[str, ...], host: str) -> bool:
    """Whether the configuration says nothing about ciphers for this host, so that the quickest may be
    preferred."""
    try:
        mine = _ciphers(where, host)
        return bool(mine) and mine == _ciphers(("-F", "none"), "localhost")
    except OSError:
        return False


@lru_cache(maxsize=64)
def _ciphers(where: tuple[str, ...], host: str) -> str:
    try:
        ran = subprocess.run(
            [PROGRAM, "-G", *where, "--", host],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CONNECT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        # So would the next one. What was short for this one, as files may be, is not remembered.
        return ""
    return next((line for line in ran.stdout.splitlines() if line.startswith("ciphers ")), "")
