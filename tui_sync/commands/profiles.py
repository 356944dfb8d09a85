"""``tui-sync profiles``: look after saved pairs."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tui_sync import profiles
from tui_sync.commands import listing
from tui_sync.commands.parser import Commands
from tui_sync.commands.terminal import confirm, interactive, note, say
from tui_sync.connectors.base import Endpoint
from tui_sync.errors import ProfileError, UsageError
from tui_sync.names import printable

_PROFILE = "a name in the profiles folder, or a path to a .toml file"


def commands() -> argparse.ArgumentParser:
    """The parser; the words after ``profiles`` go through it."""
    made = Commands(
        "tui-sync profiles",
        "Saved pairs: one TOML file each, in the folder that “profiles path” tells.",
        "tui-sync profiles new nightly sftp://me@host/data /srv/backup",
    )
    made.add(
        "list", "all profiles, and what is wrong with one that cannot be read.", "tui-sync profiles list"
    )
    show = made.add(
        "show",
        "one profile as it is understood, defaults filled in, secrets masked.",
        "tui-sync profiles show nightly",
    )
    show.add_argument("profile", metavar="PROFILE", help=_PROFILE)
    new = made.add(
        "new",
        "write a profile for two places, with comments on all it could have. No file is replaced.",
        "tui-sync profiles new nightly sftp://me@host/data /srv/backup",
    )
    new.add_argument("name", metavar="NAME", help="the name it is run by")
    new.add_argument("source", metavar="SOURCE", help="URL or local path")
    new.add_argument("target", metavar="TARGET", help="URL or local path")
    edit = made.add(
        "edit",
        "open a profile in $VISUAL or $EDITOR and check it. It is replaced only by one that is valid.",
        "tui-sync profiles edit nightly",
    )
    edit.add_argument("profile", metavar="PROFILE", help=_PROFILE)
    test = made.add(
        "test",
        "connect to both sides, look, measure the round trip, and say what will be slow. Writes nothing.",
        "tui-sync profiles test nightly",
    )
    test.add_argument("profile", metavar="PROFILE", help=_PROFILE)
    trust = made.add(
        "trust",
        "show the host keys of a profile's servers, ask, and record them in its known_hosts. "
        "A key that has changed is refused.",
        "tui-sync profiles trust nightly",
    )
    trust.add_argument("profile", metavar="PROFILE", help=f"{_PROFILE}, or an sftp:// URL")
    trust.add_argument(
        "--yes",
        action="append",
        default=[],
        metavar="FINGERPRINT",
        help="trust a key with this fingerprint (SHA256:…) without asking; may be given several times",
    )
    load = made.add(
        "import",
        "list the places another program knows, or make a profile of them. Secrets stay where they are.",
        "tui-sync profiles import rclone --source nas:photos --target /srv/photos --name photos",
    )
    load.add_argument("kind", choices=["rclone", "ssh", "aws"], help="whose configuration")
    load.add_argument("--source", metavar="PLACE", help="NAME:PATH of a place listed, or URL, or local path")
    load.add_argument("--target", metavar="PLACE", help="the same for the other side")
    load.add_argument("--file", type=Path, metavar="FILE", help="instead of the program's usual one")
    load.add_argument("--name", metavar="NAME", help="of the new profile")
    made.add("path", "the folder in which profiles are looked for.", "ls $(tui-sync profiles path)")
    secret = made.add(
        "set-secret",
        "store a secret in the keyring. It is asked for, or read from stdin, and a profile finds it by "
        "keyring:SERVICE/USER.",
        "tui-sync profiles set-secret tui-sync/me@host",
    )
    secret.add_argument("entry", metavar="SERVICE/USER", help="where the keyring keeps it")
    made.add(
        "schema",
        "the JSON schema of a profile, for editors.",
        "tui-sync profiles schema > profile.schema.json",
    )
    return made.parser


def main(arguments: list[str]) -> int:
    args = commands().parse_args(arguments)
    run: dict[str, Callable[[], int]] = {
        "list": listing.list_profiles,
        "show": lambda: listing.show_profile(args.profile),
        "new": lambda: _new(args.name, args.source, args.target),
        "edit": lambda: _edit(args.profile),
        "test": lambda: _test(args.profile),
        "trust": lambda: _trust(args.profile, args.yes),
        "import": lambda: _import(
            args.kind, args.file, {"source": args.source, "target": args.target}, args.name
        ),
        "path": listing.profiles_path,
        "set-secret": lambda: _set_secret(args.entry),
        "schema": _schema,
    }
    return run[args.command]()


def _test(name: str) -> int:
    from tui_sync.commands.probe import test_profile

    return test_profile(name)


def _trust(name: str, fingerprints: list[str]) -> int:
    from tui_sync.commands.trust import trust

    return trust(name, fingerprints)


def _schema() -> int:
    from tui_sync.profiles.editor import json_schema

    say(json.dumps(json_schema(), indent=2))
    return 0


def _new(name: str, source: str, target: str) -> int:
    from tui_sync.profiles import template

    pair = profiles.quick(source, target)
    return _written(template.write(name, template.text(pair.source, pair.target)))


def _written(path: Path) -> int:
    profile = profiles.load(path)
    say(printable(str(path)))
    called = printable(shlex.quote(profile.source.profile))
    if "sftp" in (profile.source.scheme, profile.target.scheme):
        note(f"next: tui-sync profiles trust {called}")
    note(f"then: tui-sync profiles test {called}, and tui-sync {called}")
    return 0


def _edit(name: str) -> int:
    path = _file_of(name)
    # Beside the profile, so that relative paths in it mean the same; the dot keeps it out of the list.
    draft = path.with_name(f".{path.stem}.edit{path.suffix}")
    if draft.exists():
        note(
            f"going on with your earlier text, which was not valid: remove {printable(str(draft))} to begin "
            "from the profile"
        )
    else:
        try:
            shutil.copy2(path, draft)
        except OSError as error:
            raise ProfileError(f"{printable(str(path))}: cannot be edited: {error.strerror}") from None
    while True:
        try:
            _run_editor(draft)
        except UsageError:
            _drop_unchanged(draft, path)
            raise
        try:
            profiles.load(draft)
        except ProfileError as error:
            problem = str(error)
        else:
            _put(draft, path)
            say(f"{printable(str(path))}: valid")
            return 0
        if not interactive():
            break
        note(f"error: {problem}")
        if not confirm("Edit again?"):
            break
    raise ProfileError(
        f"{problem}; {printable(str(path))} is as it was, and your text in {printable(str(draft))}"
    )


def _drop_unchanged(draft: Path, path: Path) -> None:
    with suppress(OSError):
        if draft.read_bytes() == path.read_bytes():
            draft.unlink()


def _put(draft: Path, path: Path) -> None:
    """In one step, and where the profile really lies: a link to it stays a link."""
    real = path.resolve()
    beside = real.with_name(f".{real.name}.new")
    try:
        shutil.copy2(draft, beside)
        os.replace(beside, real)
        draft.unlink()
    except OSError as error:
        raise ProfileError(
            f"{printable(str(real))}: cannot be written: {error.strerror}; your text is in "
            f"{printable(str(draft))}"
        ) from None


def _file_of(name: str) -> Path:
    """Also of a profile that is not valid: that is what editing is for."""
    if "/" in name or name.endswith(".toml"):
        path = Path(os.path.expanduser(name))
    else:
        path = profiles.folder() / f"{name}.toml"
    if not path.is_file():
        profiles.find(name)
    return path


def _run_editor(file: Path) -> None:
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        ended = subprocess.run([*shlex.split(command), str(file)], check=False).returncode
    except (OSError, ValueError):
        raise UsageError(f"cannot start the editor {printable(command)}: set EDITOR to one") from None
    if ended != 0:
        raise UsageError(
            f"the editor {printable(command)} ended with exit status {ended}: nothing was changed"
        )


def _set_secret(entry: str) -> int:
    from tui_sync.profiles.secrets import store_in_keyring

    entry = entry.removeprefix("keyring:")
    if sys.stdin.isatty():
        value = getpass.getpass(f"Secret for {printable(entry)}: ")
    else:
        value = sys.stdin.readline().removesuffix("\n")
    store_in_keyring(entry, value)
    say(f'stored; in a profile it is "keyring:{printable(entry)}"')
    return 0


def _import(kind: str, file: Path | None, places: dict[str, str | None], name: str | None) -> int:
    from tui_sync.profiles import imports, template

    read = {"rclone": imports.rclone, "ssh": imports.ssh, "aws": imports.aws}[kind]
    found = {each.name: each for each in read(file)}
    if name is None and not any(places.values()):
        for each in found.values():
            say(f"{printable(each.name)}\t{printable(each.url) or '-'}\t{'; '.join(each.notes)}".rstrip())
        if not found:
            note("nothing to import")
        return 0
    if name is None:
        raise UsageError("a profile needs a name: add --name NAME")
    sides: dict[str, Endpoint] = {}
    settings: dict[str, dict[str, str]] = {}
    for side, text in places.items():
        if text is None:
            raise UsageError(f"a profile has two sides: add --{side} PLACE")
        known, colon, path = text.partition(":")
        place = found.get(known) if colon and not path.startswith("//") else None
        if place is not None:
            settings[side] = dict(place.settings)
            for line in place.notes:
                note(f"note: {printable(known)}: {line}")
        sides[side] = profiles.place(imports.address(place, path) if place is not None else text)
    return _written(template.write(name, template.text(sides["source"], sides["target"], settings)))
