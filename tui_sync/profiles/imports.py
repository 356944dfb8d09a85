"""Places that other programs know, as settings for a profile: rclone remotes, ssh hosts, AWS profiles.

Secrets are never taken over: where one is needed, a reference to a variable is suggested, and a note says so.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tui_sync.errors import UsageError
from tui_sync.names import printable


@dataclass(frozen=True, slots=True)
class Found:
    """A place under the name the other program has for it. ``url`` "" where it cannot be used: then the notes
    say why. ``settings`` are keys of a profile's side."""

    name: str
    url: str
    settings: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def address(found: Found, path: str) -> str:
    """The URL or local path of ``path`` in a place. Raises UsageError."""
    if not found.url:
        raise UsageError(f"“{printable(found.name)}” cannot be used: {'; '.join(found.notes)}")
    escaped = path.replace("%", "%25")
    if found.url.startswith("sftp://"):
        return found.url.removesuffix("/~/") + (escaped if path.startswith("/") else f"/~/{escaped}")
    if found.url.startswith("s3://"):
        if not path.strip("/"):
            raise UsageError(f"name the bucket: {printable(found.name)}:BUCKET/FOLDER")
        return f"s3://{escaped.lstrip('/')}"
    # Below the place, as rclone has it: an alias shows nothing of what is above it.
    inside = os.path.normpath(f"/{path}").lstrip("/")
    return os.path.join(found.url, inside) if inside else found.url


def rclone(file: Path | None = None) -> list[Found]:
    """The remotes of an rclone.conf. Raises UsageError."""
    chosen = file or Path(os.environ.get("RCLONE_CONFIG") or "~/.config/rclone/rclone.conf").expanduser()
    parser = _ini(chosen)
    return [_remote(name, parser[name]) for name in parser.sections()]


def ssh(file: Path | None = None) -> list[Found]:
    """The hosts that an ssh configuration names. Raises UsageError."""
    from tui_sync.connectors.sftp.ssh_config import hosts

    chosen = file or Path("~/.ssh/config").expanduser()
    _require(chosen)
    names = dict.fromkeys(name for name in hosts(chosen) if re.fullmatch(r"[\w.-]+", name))
    settings = {} if file is None else {"ssh_config": str(file.absolute())}
    return [Found(name, f"sftp://{name}/~/", settings) for name in names]


def aws(file: Path | None = None) -> list[Found]:
    """The profiles of an AWS configuration. Raises UsageError."""
    chosen = file or Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
    parser = _ini(chosen)
    return [
        _aws_profile(name.removeprefix("profile ").strip(), parser[name])
        for name in parser.sections()
        if name == "default" or name.startswith("profile ")
    ]


def _remote(name: str, remote: Mapping[str, str]) -> Found:
    kind = remote.get("type", "")
    if kind == "sftp":
        return _rclone_sftp(name, remote)
    if kind == "s3":
        return _rclone_s3(name, remote)
    if kind == "local":
        return Found(name, "/")
    if kind == "alias" and remote.get("remote", "").startswith("/"):
        return Found(name, remote["remote"])
    return Found(
        name, "", notes=(f"a remote of type {printable(kind or 'unknown')} has no counterpart here",)
    )


def _rclone_sftp(name: str, remote: Mapping[str, str]) -> Found:
    host, user, port = remote.get("host", ""), remote.get("user", ""), remote.get("port", "")
    if not host:
        return Found(name, "", notes=("it names no host",))
    settings: dict[str, str] = {}
    notes: list[str] = []
    if remote.get("key_file"):
        settings["identity_file"] = remote["key_file"]
    if remote.get("key_file_pass"):
        settings["passphrase"] = f"env:{_variable(name)}_PASSPHRASE"
        notes.append(f"the key's passphrase stays with rclone: set {_variable(name)}_PASSPHRASE")
    if remote.get("pass") or remote.get("ask_password") == "true":
        settings["password"] = f"env:{_variable(name)}_PASSWORD" if remote.get("pass") else "ask"
    if remote.get("pass"):
        notes.append(f"the password stays with rclone: set {_variable(name)}_PASSWORD")
    if remote.get("known_hosts_file"):
        settings["known_hosts"] = remote["known_hosts_file"]
    else:
        notes.append("rclone checked no host key for it; here it has to be trusted: tui-sync profiles trust")
    if remote.get("key_pem"):
        notes.append("the key itself stays with rclone: put it into a file, and name that as identity_file")
    if remote.get("ssh"):
        notes.append("its own ssh command is not taken over")
    return Found(name, _sftp_url(host, user, port), settings, tuple(notes))


def _rclone_s3(name: str, remote: Mapping[str, str]) -> Found:
    settings: dict[str, str] = {}
    notes = ["add the bucket and folder to its url"]
    if remote.get("endpoint"):
        scheme, _, server = remote["endpoint"].rpartition("://")
        settings["endpoint_url"] = f"{scheme or 'https'}://{server.rpartition('@')[2]}"
        if "@" in server:
            notes.append("the login in its endpoint is not taken over")
    if remote.get("region"):
        settings["region"] = remote["region"]
    if remote.get("secret_access_key"):
        settings["access_key"] = f"env:{_variable(name)}_ACCESS_KEY"
        settings["secret_key"] = f"env:{_variable(name)}_SECRET_KEY"
        notes.append(f"its keys stay with rclone: set {_variable(name)}_ACCESS_KEY and …_SECRET_KEY")
    return Found(name, "s3://BUCKET/", settings, tuple(notes))


def _aws_profile(name: str, section: Mapping[str, str]) -> Found:
    settings = {key: section[key] for key in ("region", "endpoint_url") if section.get(key)}
    notes = ["add the bucket and folder to its url"]
    if name != "default":
        notes.append(f"its keys are found with AWS_PROFILE={printable(name)} set")
    return Found(name, "s3://BUCKET/", settings, tuple(notes))


def _sftp_url(host: str, user: str, port: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    login = f"{quote(user, safe='')}@" if user else ""
    return f"sftp://{login}{shown}{f':{port}' if port and port != '22' else ''}/~/"


def _variable(name: str) -> str:
    return re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").upper() or "SECRET"


def _require(file: Path) -> None:
    if not file.is_file():
        raise UsageError(f"there is no {printable(str(file))}: name the file to import from")


def _ini(file: Path) -> configparser.RawConfigParser:
    _require(file)
    parser = configparser.RawConfigParser(strict=False, default_section="\0none")
    problem = ""
    try:
        parser.read_string("\n".join(_lines(file)))
    except OSError as error:
        problem = error.strerror or "it cannot be opened"
    except (configparser.Error, UnicodeDecodeError):
        # Their texts quote the lines, and with them what is secret.
        problem = "it is no file of sections and keys (an encrypted rclone.conf has to be decrypted first)"
    # Raised outside the handlers, for the same reason.
    if problem:
        raise UsageError(f"cannot read {printable(str(file))}: {problem}")
    return parser


def _lines(file: Path) -> Iterator[str]:
    for line in file.read_text("utf-8").splitlines():
        # Nested settings of AWS are indented, and none of ours.
        if not line[:1].isspace():
            yield line
