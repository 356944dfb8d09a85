"""Which paths a sync is about: include and exclude patterns as in gitignore(5), translated by pathspec."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tui_sync.errors import UsageError
from tui_sync.names import parent, printable


class Filters:
    """``exclude`` wins over ``include``; without ``include`` all is included.

    Include patterns choose files, by their own name or that of a directory above: a directory is walked
    whatever they say, and counts as wanted for its own sake (so that it is made or removed even when empty)
    only where a pattern matches it. What is below an excluded directory is out; of several patterns the last
    one that matches decides, one with ``!`` against. Patterns are relative to the root and distinguish upper
    and lower case.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = [_pattern(text, "include") for text in include]
        self._exclude = [_pattern(text, "exclude") for text in exclude]
        self._included_directory = lru_cache(1024)(self._is_included_directory)

    @property
    def leaves_out(self) -> bool:
        """False where there are no patterns, so that nothing need be asked."""
        return bool(self._include or self._exclude)

    def excludes(self, path: str, *, directory: bool) -> bool:
        """True where the path is left out; nothing below an excluded directory is asked for."""
        if self._exclude and _chosen(self._exclude, path, directory):
            return True
        if directory or not self._include:
            return False
        return not (_chosen(self._include, path, False) or self._included_directory(parent(path)))

    def wants_directory(self, path: str) -> bool:
        """True where a directory matters by itself, not only for the included files in it."""
        return not self._include or self._included_directory(path)

    def _is_included_directory(self, path: str) -> bool:
        if not path:
            return False
        return _chosen(self._include, path, True) or self._included_directory(parent(path))


@dataclass(frozen=True, slots=True)
class _Pattern:
    """``expression`` matches the whole path; with ``directories`` only that of a directory, and a slash."""

    expression: re.Pattern[str]
    directories: bool
    chooses: bool


# What pathspec makes of patterns which match everything, or every directory.
_ANY = {".": r".+", "(?P<ps_d>/)": r".+/"}


def _pattern(text: str, key: str) -> _Pattern:
    # Slow to load, and most syncs have no patterns.
    from pathspec.patterns.gitignore.base import GitIgnorePatternError
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    line = text if text.endswith("\\ ") else text.rstrip()
    # For git "dir/**" is all that is in dir, but not dir; pathspec lets it match "dir/" too.
    folder, inside, rest = line.rpartition("/**")
    if inside and rest in ("", "/") and folder.strip("!/") not in ("", "**"):
        line = f"{folder}/**/*{rest}"
    try:
        made = GitIgnoreSpecPattern(line)
    except (GitIgnorePatternError, re.error):
        made = None
    if made is None or made.include is None or made.regex is None:
        raise UsageError(
            f"the {key} pattern “{printable(text)}” is not a gitignore pattern that matches anything: "
            f"correct or remove it"
        )
    source = made.regex.pattern
    # pathspec matches a path also by a directory above it; a walk asks for each level by itself, so whole
    # paths are matched. DOTALL, because names may hold line breaks.
    expression = re.compile(_ANY.get(source, source), re.DOTALL)
    return _Pattern(expression, line.endswith("/"), made.include)


def _chosen(patterns: Sequence[_Pattern], path: str, directory: bool) -> bool:
    for pattern in reversed(patterns):
        if pattern.directories:
            if directory and pattern.expression.fullmatch(f"{path}/"):
                return pattern.chooses
        elif pattern.expression.fullmatch(path):
            return pattern.chooses
    return False
