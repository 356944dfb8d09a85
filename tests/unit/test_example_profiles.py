"""The annotated examples are profiles, and the words in them are the program's."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tui_sync.model import Mode, SyncOptions
from tui_sync.profiles import available, load
from tui_sync.profiles.schema import SIDE, SYNC

FOLDER = Path(__file__).parents[2] / "profiles"
EXAMPLES = sorted(FOLDER.glob("*.toml"))


def test_there_are_examples() -> None:
    assert {"sftp-to-sftp", "local-to-sftp", "mirror-nightly", "s3-to-sftp"} <= {
        path.stem for path in EXAMPLES
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_loads(path: Path) -> None:
    profile = load(path)
    assert profile.name == path.stem
    assert profile.source.url != profile.target.url


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_loads_with_what_it_has_commented_out(path: Path, tmp_path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    loose = [re.sub(r"^# (?=[a-z_0-9]+ = )", "", line) for line in lines]
    copy = tmp_path / path.name
    copy.write_text("\n".join(loose), "utf-8")
    load(copy)


def test_the_folder_lists_without_an_error() -> None:
    found = available(FOLDER)
    assert [(one.path, one.error) for one in found] == [(path, None) for path in EXAMPLES]


def test_the_examples_explain_every_key() -> None:
    text = (FOLDER / "sftp-to-sftp.toml").read_text("utf-8")
    text += (FOLDER / "mirror-nightly.toml").read_text("utf-8")
    text += (FOLDER / "s3-to-sftp.toml").read_text("utf-8")
    for key in {*SIDE, *SYNC}:
        assert re.search(rf"^(# )?{key} = ", text, re.MULTILINE), key


def test_the_first_example_shows_the_defaults() -> None:
    path = FOLDER / "sftp-to-sftp.toml"
    options = load(path).options
    assert options == SyncOptions(exclude=tuple(tomllib.loads(path.read_text("utf-8"))["sync"]["exclude"]))


def test_the_first_example_fits_the_compose_file() -> None:
    profile = load(FOLDER / "sftp-to-sftp.toml")
    assert profile.source.url == "sftp://sourceuser@127.0.0.1:2222/upload"
    assert profile.target.url == "sftp://targetuser@127.0.0.1:2223/upload"
    assert repr(profile.source.secrets["password"]) == "<secret from env:SOURCE_PASSWORD>"
    assert repr(profile.target.secrets["password"]) == "<secret from env:TARGET_PASSWORD>"


def test_only_the_mirror_deletes_and_it_has_a_net() -> None:
    mirrors = [load(path) for path in EXAMPLES if load(path).options.mode is Mode.MIRROR]
    assert [profile.name for profile in mirrors] == ["mirror-nightly"]
    assert str(mirrors[0].options.max_delete) == "5%"
