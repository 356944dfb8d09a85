"""Include and exclude patterns."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tui_sync.errors import UsageError
from tui_sync.planning.filters import Filters

FILE, DIRECTORY = False, True


@pytest.mark.parametrize(
    ("patterns", "path", "directory", "excluded"),
    [
        (["*.tmp"], "a.tmp", FILE, True),
        (["*.tmp"], "deep/er/a.tmp", FILE, True),
        (["*.tmp"], "a.tmpx", FILE, False),
        (["*.tmp"], "A.TMP", FILE, False),
        ([".cache/"], ".cache", DIRECTORY, True),
        ([".cache/"], "deep/.cache", DIRECTORY, True),
        ([".cache/"], ".cache", FILE, False),
        (["/top"], "top", FILE, True),
        (["/top"], "deep/top", FILE, False),
        (["a/b"], "a/b", FILE, True),
        (["a/b"], "x/a/b", FILE, False),
        (["a/**"], "a", DIRECTORY, False),
        (["a/**"], "a/b", FILE, True),
        (["a/**", "!a/keep"], "a/keep", FILE, False),
        (["**/b"], "x/y/b", FILE, True),
        (["*"], "anything", DIRECTORY, True),
        (["*.log", "!keep.log"], "keep.log", FILE, False),
        (["!keep.log", "*.log"], "keep.log", FILE, True),
        (["[ab]?"], "bx", FILE, True),
        (["\\!bang"], "!bang", FILE, True),
        (["\\#hash"], "#hash", FILE, True),
        (["*.tmp"], "line\nbreak.tmp", FILE, True),
        (["*.tmp"], "line\nbreak/a.tmp", FILE, True),
        (["*.tmp"], "a.tmp\n", FILE, False),
        (["*"], "\nleading", FILE, True),
        (["*/"], "\n", DIRECTORY, True),
        (["*.tmp"], "undecodable \udcff.tmp", FILE, True),
        (["caf\u00e9"], "cafe\u0301", FILE, False),
        ([], "anything", FILE, False),
    ],
)
def test_exclude(patterns: list[str], path: str, directory: bool, excluded: bool) -> None:
    assert Filters(exclude=patterns).excludes(path, directory=directory) is excluded


@pytest.mark.parametrize(
    ("include", "path", "kept"),
    [
        (["*.jpg"], "a.jpg", True),
        (["*.jpg"], "deep/a.jpg", True),
        (["*.jpg"], "a.txt", False),
        (["photos/"], "photos/a.txt", True),
        (["photos/"], "photos/deep/er/a.txt", True),
        (["photos/"], "x/photos/a.txt", True),
        (["/photos"], "x/photos/a.txt", False),
        (["*", "!*.txt"], "a.jpg", True),
        (["*", "!*.txt"], "a.txt", False),
    ],
)
def test_include_chooses_files(include: list[str], path: str, kept: bool) -> None:
    assert Filters(include).excludes(path, directory=FILE) is not kept


def test_include_lets_every_directory_be_walked() -> None:
    assert not Filters(["*.jpg"]).excludes("anything", directory=DIRECTORY)


def test_exclude_wins() -> None:
    filters = Filters(["*.jpg"], ["private/", "x.jpg"])
    assert filters.excludes("x.jpg", directory=FILE)
    assert filters.excludes("private", directory=DIRECTORY)
    assert not filters.excludes("y.jpg", directory=FILE)


def test_wanted_directories() -> None:
    assert Filters().wants_directory("any")
    filters = Filters(["photos/", "*.jpg"])
    assert filters.wants_directory("photos")
    assert filters.wants_directory("photos/empty")
    assert not filters.wants_directory("texts")


@pytest.mark.parametrize("pattern", ["", "   ", "# a comment", "/", "[", "a\\", "[z-a]"])
@pytest.mark.parametrize("key", ["include", "exclude"])
def test_a_bad_pattern_is_named(pattern: str, key: str) -> None:
    with pytest.raises(UsageError, match=f"{key} pattern"):
        Filters(**{key: ["*.ok", pattern]})


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_agrees_with_git(tmp_path: Path) -> None:
    """Git itself is the judge, on random patterns over one tree."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    environment["XDG_CONFIG_HOME"] = str(tmp_path / "none")
    subprocess.run(["git", "init", "-q", tmp_path], env=environment, check=True)
    kinds: dict[str, bool] = {}
    for one in ("a", "b", "foo", "a.t"):
        for two in ("", "/a", "/foo", "/a.t"):
            for three in ("", "/b", "/ab", "/a.t"):
                if two or not three:
                    kinds[f"{one}{two}{three}"] = FILE
    for path in list(kinds):
        if any(other.startswith(f"{path}/") for other in kinds):
            kinds[path] = DIRECTORY
            (tmp_path / path).mkdir(parents=True, exist_ok=True)
    for path, directory in kinds.items():
        if not directory:
            (tmp_path / path).touch()
    chance = random.Random(3)
    for _ in range(120):
        patterns = [_random_pattern(chance) for _ in range(chance.randint(1, 3))]
        (tmp_path / ".git/info/exclude").write_text("\n".join(patterns) + "\n")
        told = subprocess.run(
            ["git", "-C", tmp_path, "check-ignore", "--no-index", "-z", "--stdin"],
            input="\0".join(kinds),
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        ).stdout
        ignored = {path for path in told.split("\0") if path}
        filters = Filters(exclude=patterns)
        assert {path for path in kinds if _out(filters, path, kinds)} == ignored, patterns


def _out(filters: Filters, path: str, kinds: dict[str, bool]) -> bool:
    """As a walk finds it: what is above decides first."""
    parts = path.split("/")
    levels = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return any(filters.excludes(level, directory=kinds[level]) for level in levels)


def _random_pattern(chance: random.Random) -> str:
    parts = ["a", "b", "*", "**", "a*", "*.t", "?", "[ab]", "a.t", "foo"]
    pattern = "/".join(chance.choice(parts) for _ in range(chance.choice([1, 1, 1, 2, 2, 3])))
    before = chance.choice(["", "", "", "/"])
    return chance.choice(["", "", "", "!"]) + before + pattern + chance.choice(["", "", "/"])
