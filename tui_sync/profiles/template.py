"""A new profile as annotated text: what it has is set, what it could have is commented out."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from tui_sync.connectors.base import Endpoint
from tui_sync.errors import ProfileError
from tui_sync.names import printable
from tui_sync.profiles import files

# What the command line takes for something else than a profile.
COMMANDS = frozenset({"demo", "profiles", "runs", "completion"})
_SECRET = "env:NAME, file:PATH, command:CMD, keyring:SERVICE/USER, or ask; never the secret itself"
_OPTIONAL: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "file": (),
    "sftp": (
        ("password", "env:NAME", _SECRET),
        ("identity_file", "~/.ssh/id_ed25519", "left out: your ssh configuration, agent and usual keys"),
        ("passphrase", "ask", "for a key that has one; a reference like password"),
        ("known_hosts", "~/.ssh/known_hosts", "the file of trusted host keys, which are always checked"),
    ),
    "s3": (
        ("endpoint_url", "https://s3.example.org", "left out: Amazon's own"),
        ("region", "us-east-1", ""),
        ("access_key", "env:S3_ACCESS_KEY", f"{_SECRET}; left out: the usual AWS chain"),
        ("secret_key", "env:S3_SECRET_KEY", ""),
    ),
}
_SYNC = """\
[sync]
mode = "copy"                  # copy, or mirror, which also deletes what only the target has
# compare = "auto"             # auto, size, mtime, checksum
# include = ["*.csv"]          # patterns as in .gitignore
# exclude = ["*.tmp", ".cache/"]
# delete = "trash"             # trash, permanent
# backup = false              # true: what is replaced goes to the trash too
# trash_keep = "forever"       # or 12h, 30d, 8w: then our older folders in the trash go
# symlinks = "skip"            # skip, follow (links to something inside the source), copy
# max_delete = "50%"           # a plan that deletes more is refused; or a number of files
# verify = "auto"              # auto, size, checksum, readback
# workers = "auto"
# bandwidth_limit = "20M"
"""


def text(source: Endpoint, target: Endpoint, settings: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """The TOML text of a pair. ``settings`` are further keys of ``source`` and ``target``."""
    lines = [
        "# tui-sync runs this pair by its file name. tui-sync profiles test NAME connects to both sides.",
        "",
    ]
    for side, endpoint in (("source", source), ("target", target)):
        lines += [f"[{side}]", *_side(endpoint, (settings or {}).get(side, {})), ""]
    return "\n".join(lines) + "\n" + _SYNC


def write(name: str, content: str, folder: Path | None = None) -> Path:
    """Put a new profile into the folder, 0600. Raises ProfileError where there is one of that name, or the
    content is none."""
    if name.removesuffix(files.SUFFIX) in COMMANDS:
        raise ProfileError(
            f"“{printable(name)}” is a command of tui-sync: choose another name for the profile"
        )
    if not name or name.startswith((".", "-")) or not name.isprintable() or {"/", "\0"} & set(name):
        raise ProfileError(f"“{printable(name)}” is no name for a profile: use letters, digits, - and _")
    where = files.folder() if folder is None else folder
    path = where / f"{name.removesuffix(files.SUFFIX)}{files.SUFFIX}"
    try:
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ProfileError(
            f"{printable(str(path))} exists already: choose another name, or change it with "
            f"tui-sync profiles edit {printable(shlex.quote(path.stem))}"
        ) from None
    except OSError as error:
        raise ProfileError(f"{printable(str(path))} cannot be written: {error.strerror}") from None
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(content)
        files.load(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _side(endpoint: Endpoint, settings: Mapping[str, str]) -> Iterator[str]:
    # A path that is not plain text stands in its URL, percent-encoded.
    place = endpoint.path if endpoint.scheme == "file" and endpoint.path.isprintable() else endpoint.url
    yield f"url = {_quoted(place)}"
    for key, value in settings.items():
        yield f"{key} = {_quoted(value)}"
    for key, example, note in _OPTIONAL.get(endpoint.scheme, ()):
        if key not in settings:
            line = f"# {key} = {_quoted(example)}"
            yield f"{line:<42} # {note}" if note else line


def _quoted(value: str) -> str:
    """A basic string of TOML, whose escapes are a superset of JSON's."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
