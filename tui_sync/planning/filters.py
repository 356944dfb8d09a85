"""Which paths a sync is about: include and exclude patterns as in ``gitignore(5)``, matched by pathspec."""

from __future__ import annotations

from collections.abc import Sequence

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.base import GitIgnorePatternError

from tui_sync.errors import UsageError
from tui_sync.names import printable

# A line break in a name would end the line for pathspec's regular expressions: "a.tmp\n" would match "*.tmp".
_LINE_BREAK = "\U0010ffff"


class Filters:
    """``exclude`` wins over ``include``; without ``include`` all is included.

    Include patterns choose files: a directory is walked whatever they say, and counts as wanted for its own
    sake (so that it is made or removed even when empty) only where a pattern matches it. What is below an
    excluded directory is out, as with git; a pattern with ``!`` takes back an earlier one of its list.
    Patterns are relative to the root and distinguish upper and lower case.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = _spec(include, "include")
        self._exclude = _spec(exclude, "exclude")

    def excludes(self, path: str, *, directory: bool) -> bool:
        """True where the path is left out; nothing below an excluded directory is asked for."""
        if self._exclude is not None and _matches(self._exclude, path, directory):
            return True
        return not directory and self._include is not None and not _matches(self._include, path, False)

    def wants_directory(self, path: str) -> bool:
        """True where a directory matters by itself, not only for the included files in it."""
        return self._include is None or _matches(self._include, path, True)


def _spec(patterns: Sequence[str], key: str) -> GitIgnoreSpec | None:
    lines = []
    for pattern in patterns:
        line = pattern.replace("\n", _LINE_BREAK)
        # For git "dir/**" is all in dir, but not dir; pathspec lets it match "dir/" too.
        if line.endswith("/**") and line.strip("/!*"):
            line += "/*"
        lines.append(line)
        try:
            compiled = GitIgnoreSpec.from_lines([line])
            used = any(each.include is not None for each in compiled.patterns)
        except (GitIgnorePatternError, ValueError):
            used = False
        if not used:
            raise UsageError(
                f"the {key} pattern “{printable(pattern)}” is not a gitignore pattern that matches anything: "
                f"correct or remove it"
            )
    return GitIgnoreSpec.from_lines(lines) if lines else None


def _matches(spec: GitIgnoreSpec, path: str, directory: bool) -> bool:
    text = path.replace("\n", _LINE_BREAK) if "\n" in path else path
    return spec.match_file(f"{text}/" if directory else text)
