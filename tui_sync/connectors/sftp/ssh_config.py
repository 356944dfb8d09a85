"""What the ssh configuration says about a host, for logins in process: ssh_config(5).

The first value obtained for a keyword is used, as ssh does it. Followed are Host, Include, Match by host,
originalhost, user, localuser and all, and the keywords in ``_USED``. What only the ssh program can tell
(``Match exec`` and the like) is refused with a sentence, but only where something here hangs on it.
"""

from __future__ import annotations

import fnmatch
import getpass
import glob
import os
import re
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tui_sync.errors import UsageError
from tui_sync.names import printable

T = TypeVar("T")

NONE = "none"
_DEEPEST_INCLUDE = 16
_LARGEST = 1_000_000
_LISTS = frozenset({"identityfile", "certificatefile"})
_USED = _LISTS | {
    *("hostname", "port", "user", "hostkeyalias", "proxyjump", "proxycommand", "identitiesonly"),
    *("identityagent", "userknownhostsfile", "globalknownhostsfile", "canonicalizehostname"),
}
_PROXIES = ("proxyjump", "proxycommand")
# Taken as they stand to the end of the line.
_WHOLE = frozenset({"proxycommand", "localcommand", "remotecommand", "knownhostscommand"})
_LINE = re.compile(r"\s*\"?(\w+)\"?(?:(?:\s*=\s*|\s+)(.*?))?\s*")
_WORD = re.compile(r'"((?:\\.|[^"\\])*)"|((?:\\.|[^\s"\\])+)')


@dataclass(frozen=True, slots=True)
class Value:
    """What a keyword was given, and where."""

    words: tuple[str, ...]
    where: str


def user_config() -> list[Path]:
    """The files that ssh reads on its own."""
    return [Path("~/.ssh/config").expanduser(), Path("/etc/ssh/ssh_config")]


def hosts(file: Path) -> Iterator[str]:
    """The names that the Host lines of a file and of what it includes speak of, patterns left out."""
    for keyword, words in _everything(file, 0):
        if keyword == "host":
            yield from (word for word in words if not set("*?!") & set(word))


def may_set(files: Sequence[Path], keyword: str) -> bool:
    """Whether a line of the files, or of what they include, has the keyword, for whichever host; True also
    where only ssh can tell."""
    try:
        return any(
            found == keyword or (found == "include" and any(set("%$") & set(word) for word in words))
            for file in files
            for found, words in _everything(file, 0)
        )
    except UsageError:
        return True


def beyond(where: str, what: str) -> UsageError:
    """That a login in process cannot do what the configuration asks for."""
    return UsageError(
        f'{where}: only the ssh program can follow {what}: write transport = "openssh" in the profile, or '
        'ssh_config = "none" to leave the file aside'
    )


def _lacking(keyword: str, where: str) -> UsageError:
    return UsageError(f"{where}: {keyword} lacks its value: add one")


class HostConfig:
    """One host's values. ``host`` is the name as it was asked for; ``user`` "" where the file may say it.

    ``host_name``, ``port`` and ``remote_user`` are what tokens stand for, and set by the caller as they
    become known.
    """

    def __init__(self, files: Sequence[Path], host: str, user: str = "") -> None:
        self._host = host
        self._user = user
        self._values: dict[str, Value] = {}
        self._lists: dict[str, list[Value]] = {}
        self.host_name = host
        self.remote_user = user
        self.port = 22
        for file in files:
            self._read(file, active=True, doubt="", depth=0)

    def has(self, key: str) -> bool:
        return key in self._values

    def where(self, key: str) -> str:
        return self._values[key].where

    def get(self, key: str, convert: Callable[[str], T], default: T, *, tokens: bool = False) -> T:
        """The value of a keyword that has one. Raises UsageError where ``convert`` raises ValueError."""
        value = self._values.get(key)
        if value is None:
            return default
        text = " ".join(value.words)
        try:
            return convert(self._expand(text, value.where) if tokens else text)
        except ValueError:
            raise UsageError(f"{value.where}: “{printable(text)}” cannot be used: correct it") from None

    def paths(self, key: str) -> list[Path]:
        """The paths of a keyword, ``none`` left out."""
        values = self._lists.get(key, []) if key in _LISTS else [self._values[key]]
        return [
            Path(os.path.expanduser(self._expand(word, value.where)))
            for value in values
            for word in value.words
            if word != NONE
        ]

    def _expand(self, text: str, where: str) -> str:
        """Percent tokens and ``${NAME}``, see ssh_config(5) under TOKENS."""
        local = socket.gethostname()
        tokens = {
            "%": "%",
            "d": os.path.expanduser("~"),
            "h": self.host_name,
            "i": str(os.getuid()),
            "L": local.partition(".")[0],
            "l": local,
            "n": self._host,
            "p": str(self.port),
            "r": self.remote_user or getpass.getuser(),
            "u": getpass.getuser(),
        }

        def put(match: re.Match[str]) -> str:
            if match[1] is not None:
                if match[1] not in tokens:
                    raise beyond(where, f"%{printable(match[1])}")
                return tokens[match[1]]
            value = os.environ.get(match[2])
            if value is None:
                raise UsageError(f"{where}: the environment variable {match[2]} is not set: set it")
            return value

        return re.sub(r"%(.)|\$\{(\w+)\}", put, text)

    def _read(self, file: Path, *, active: bool, doubt: str, depth: int) -> None:
        """``doubt`` names what nobody but ssh can tell about whether the lines count."""
        block, unsure = active, doubt
        for where, keyword, words in _lines(file):
            if keyword in ("host", "match") and not words:
                raise _lacking(keyword, where)
            if keyword == "host":
                block, unsure = active and _matches(words, self._host), doubt
            elif keyword == "match":
                block, unsure = self._match(words, where) if active else (False, "")
                unsure = unsure or doubt
            elif block and keyword == "include":
                for included in _included(words, file, depth, where):
                    self._read(included, active=True, doubt=unsure, depth=depth + 1)
            elif block and keyword in _USED:
                self._take(keyword, Value(words, where), unsure)

    def _take(self, keyword: str, value: Value, unsure: str) -> None:
        settled = self._proxied(keyword) if keyword in _PROXIES else keyword in self._values
        if settled:
            return
        if not value.words or not value.words[0]:
            raise _lacking(keyword, value.where)
        if unsure:
            raise beyond(value.where, unsure)
        if keyword in _LISTS:
            self._lists.setdefault(keyword, []).append(value)
        else:
            self._values[keyword] = value

    def _proxied(self, keyword: str) -> bool:
        """Whichever comes first settles both, but ``ProxyJump none`` leaves a ProxyCommand be."""
        jump = self._values.get("proxyjump")
        settled_by_jump = jump is not None and (keyword == "proxyjump" or jump.words != (NONE,))
        return settled_by_jump or "proxycommand" in self._values

    def _match(self, words: Sequence[str], where: str) -> tuple[bool, str]:
        """Whether the block counts, and what that hangs on beyond what can be told here."""
        name = self.get("hostname", str, self._host).replace("%h", self._host)
        user = self._user or self.get("user", str, getpass.getuser())
        known = {"host": name, "originalhost": self._host, "user": user, "localuser": getpass.getuser()}
        rest = list(words)
        while rest:
            criterion, _, pattern = rest.pop(0).partition("=")
            negated, criterion = criterion.startswith("!"), criterion.lower().lstrip("!")
            if criterion == "all":
                continue
            if criterion not in known:
                return True, f"Match {printable(criterion)}"
            if not pattern:
                if not rest:
                    raise UsageError(f"{where}: Match {criterion} lacks its pattern: add one")
                pattern = rest.pop(0)
            if _matches(pattern.split(","), known[criterion]) == negated:
                return False, ""
        return True, ""


def _matches(patterns: Sequence[str], name: str) -> bool:
    """A list of patterns, see ssh_config(5) under PATTERNS: one that is negated and matches decides."""
    found = False
    for pattern in patterns:
        if pattern.startswith("!"):
            if _glob(pattern[1:], name):
                return False
        elif _glob(pattern, name):
            found = True
    return found


def _glob(pattern: str, name: str) -> bool:
    # Brackets stand for themselves here, only * and ? are special.
    return fnmatch.fnmatchcase(name.lower(), re.sub(r"\[", "[[]", pattern.lower()))


def _lines(file: Path) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """``(FILE, line N), keyword, words``. Raises UsageError for what ssh would not read either."""
    name = printable(str(file))
    try:
        with file.open("rb") as stream:
            status = os.fstat(stream.fileno())
            # A ProxyCommand is run: nobody else may be able to write one.
            if status.st_uid not in (0, os.getuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise UsageError(
                    f"{name}: other users can change this file, and ssh would not read it: chmod go-w it"
                )
            content = stream.read(_LARGEST).decode("utf-8", "surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UsageError(f"cannot read the ssh configuration {name}: {error.strerror}") from None
    for number, line in enumerate(content.split("\n"), 1):
        match = _LINE.fullmatch(line)
        if match is None or line.lstrip().startswith("#"):
            continue
        keyword = match[1].lower()
        value = match[2] or ""
        words = (value,) if keyword in _WHOLE else _words(value)
        yield f"{name}, line {number}", keyword, words


def _words(text: str) -> tuple[str, ...]:
    found = []
    for match in _WORD.finditer(text):
        if match[0].startswith("#"):
            break
        found.append(re.sub(r'\\(["\\\' ])', r"\1", match[1] if match[1] is not None else match[2]))
    return tuple(found)


def _included(words: Sequence[str], file: Path, depth: int, where: str) -> Iterator[Path]:
    if depth >= _DEEPEST_INCLUDE:
        raise UsageError(f"{where}: Include goes too deep: let no file include itself")
    base = file.parent if file.is_relative_to("/etc/ssh") else Path("~/.ssh").expanduser()
    for word in words:
        for found in sorted(glob.glob(str(base / os.path.expanduser(word)))):
            yield Path(found)


def _everything(file: Path, depth: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The keyword and the words of each line, whatever host it is for, includes followed."""
    for where, keyword, words in _lines(file):
        yield keyword, words
        if keyword == "include":
            for included in _included(words, file, depth, where):
                yield from _everything(included, depth + 1)
