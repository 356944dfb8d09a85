"""Profiles as files: finding, reading, listing; and the pair that is only given on the command line."""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs

from tui_sync.connectors.base import Endpoint
from tui_sync.errors import ProfileError
from tui_sync.model import SyncOptions
from tui_sync.names import printable
from tui_sync.profiles import schema, urls
from tui_sync.profiles.profile import Profile

FOLDER_VARIABLE = "TUI_SYNC_PROFILES"
SUFFIX = ".toml"
_LARGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Available:
    """One file of the profiles folder: a ``profile``, or the ``error`` that keeps it from being one."""

    name: str
    path: Path
    profile: Profile | None = None
    error: str | None = None


def folder() -> Path:
    """The profiles folder: ``TUI_SYNC_PROFILES`` where set, else below the user's configuration."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser() if named else platformdirs.user_config_path("tui-sync") / "profiles"


def load(path: Path) -> Profile:
    """Read one profile. Raises ProfileError, one sentence with file, key and remedy."""
    return parse(_read(path, printable(str(path))), path)


def parse(text: str, path: Path) -> Profile:
    """The profile of this text, as if it stood in ``path``, which need not be there. Raises ProfileError."""
    file = printable(str(path))
    raw = _parse(text, file)
    if not raw:
        raise ProfileError(f"{file}: the file is empty: add [source] and [target], each with a url")
    source, target, options = schema.read(raw, file=file, base=path.absolute().parent)
    called = _called(path)
    return Profile(
        path.stem,
        path.absolute(),
        replace(source, profile=called),
        replace(target, profile=called),
        options,
    )


def text_of(path: Path) -> str:
    """A profile's text for changing single keys in it: UTF-8 and valid TOML, whatever it says. Raises
    ProfileError."""
    file = printable(str(path))
    text = _read(path, file)
    _parse(text, file)
    return text


def find(name_or_path: str, folder: Path | None = None) -> Profile:
    """The profile of this name in the profiles folder, or at this path: with a ``/``, or ending in ``.toml``.

    Raises ProfileError; for a name that does not exist it tells the ones nearest.
    """
    if not name_or_path.strip() or "\0" in name_or_path:
        raise ProfileError("the name of a profile must not be empty: name one, or give SOURCE and TARGET")
    if "://" in name_or_path:
        raise ProfileError("a URL is no profile: name a profile, or the path of a .toml file")
    if "/" in name_or_path or name_or_path.endswith(SUFFIX):
        path = Path(name_or_path)
        if name_or_path.startswith("~"):
            try:
                path = path.expanduser()
            except RuntimeError:
                raise ProfileError(
                    f"{printable(name_or_path)}: no such user: write the path in full"
                ) from None
        return load(path)
    where = _folder(folder)
    path = where / f"{name_or_path}{SUFFIX}"
    # Unlike Path.exists, this also takes a name that is too long for a file.
    if not os.path.exists(path):
        raise ProfileError(
            f"no profile “{printable(name_or_path)}” in {printable(str(where))}{_others(name_or_path, where)}"
        )
    return load(path)


def available(folder: Path | None = None) -> list[Available]:
    """All profiles of the folder by name, also those that cannot be read; empty where there is no folder.

    Raises ProfileError where the folder itself cannot be read.
    """
    where = _folder(folder)
    try:
        return [_try(path) for path in _listed(where)]
    except OSError as error:
        raise ProfileError(
            f"the profiles folder {printable(str(where))} cannot be read ({error.strerror}): "
            "check its permissions"
        ) from None


def quick(source: str, target: str) -> Profile:
    """The pair of two URLs or local paths, these relative to the working folder, with default options.

    Raises ProfileError.
    """
    first, second = _side("source", source), _side("target", target)
    try:
        urls.check_apart(first, second)
    except ValueError as error:
        raise ProfileError(str(error)) from None
    name = f"{first.host or 'local'} to {second.host or 'local'}"
    return Profile(name, None, first.endpoint(), second.endpoint(), SyncOptions())


def place(text: str) -> Endpoint:
    """One place by its URL or local path. Raises ProfileError."""
    return _side("place", text).endpoint()


def _side(name: str, text: str) -> urls.Location:
    try:
        return urls.parse(text, _working_folder(text))
    except ValueError as error:
        raise ProfileError(f"the {name} {error}") from None


def _working_folder(text: str) -> Path:
    """What a relative path begins at."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        if "://" in text or text.startswith(("/", "~")):
            return Path("/")
        raise ProfileError(
            "the working folder is gone: change to one that exists, or write paths in full"
        ) from None


def _read(path: Path, file: str) -> str:
    try:
        # Not waiting for a writer, where someone has put a pipe there.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb", closefd=True) as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ProfileError(f"{file}: no regular file: name a {SUFFIX} file")
            data = stream.read(_LARGEST + 1)
    except FileNotFoundError:
        if path.is_symlink():
            raise ProfileError(
                f"{file}: a link to a file that is not there: put that file back, or remove the link"
            ) from None
        raise ProfileError(f"{file}: no such profile{_others(path.stem, path.parent)}") from None
    except IsADirectoryError:
        raise ProfileError(f"{file}: a folder: name a {SUFFIX} file in it") from None
    except OSError as error:
        raise ProfileError(
            f"{file}: cannot be read ({error.strerror}): check the file's permissions"
        ) from None
    if len(data) > _LARGEST:
        raise ProfileError(
            f"{file}: larger than {_LARGEST:,} bytes, which no profile is: name a {SUFFIX} file"
        )
    problem = ""
    text = ""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = f"line {line}"
    # Raised outside the handler, here and below: these errors hold the whole file.
    if problem:
        raise ProfileError(f"{file}: not UTF-8 text ({problem}): save it as UTF-8")
    return text


def _parse(text: str, file: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = f"not valid TOML: {printable(str(error))}: correct that place; text stands in quotes"
    except RecursionError:
        problem = "nested too deeply: a profile has sections and keys, no more"
    except ValueError:
        # A number of thousands of digits.
        problem = "not valid TOML: a number in it is too long: correct it"
    raise ProfileError(f"{file}: {problem}")


def _called(path: Path) -> str:
    """The shortest that ``find`` takes for this file."""
    own = path.suffix == SUFFIX and path.absolute().parent == folder().absolute()
    return path.stem if own else str(path)


def _folder(named: Path | None) -> Path:
    return folder() if named is None else named


def _listed(where: Path) -> list[Path]:
    """The files of profiles by name. Raises OSError, but not where there is no folder."""
    try:
        return sorted(
            path for path in where.iterdir() if path.suffix == SUFFIX and not path.name.startswith(".")
        )
    except FileNotFoundError:
        return []


def _files(where: Path) -> list[Path]:
    try:
        return _listed(where)
    except OSError:
        return []


def _try(path: Path) -> Available:
    try:
        return Available(path.stem, path, profile=load(path))
    except ProfileError as error:
        return Available(path.stem, path, error=str(error))


def _others(name: str, where: Path) -> str:
    """What else there is, for the end of a sentence: the names nearest, or the first few."""
    names = [path.stem for path in _files(where)]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return f": did you mean {printable(' or '.join(near))}?"
    if not names:
        return f": there are no profiles in {printable(str(where))}; put one there, or give SOURCE and TARGET"
    return f": there are {printable(', '.join(names[:8]))}{' …' if len(names) > 8 else ''}"
