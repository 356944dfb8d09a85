"""Keys of a profile's text: set and unset, with all else left as it is."""

from __future__ import annotations

import tomllib

import pytest

from tui_sync.profiles.edit import set_keys

TEXT = """\
# Mine.
[source]
url = "sftp://me@host/a"   # the old one
# password = "env:NAME"

[sync]
mode = "copy"
exclude = [
  "*.tmp",   # these
  ".cache/",
]
workers = 4
"""


def test_what_is_not_touched_stays_to_the_letter() -> None:
    assert set_keys(TEXT, "source", {"url": "sftp://me@host/a"}) == TEXT
    assert set_keys(TEXT, "sync", {"exclude": ["*.tmp", ".cache/"], "workers": 4}) == TEXT


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("source", "url", 'sftp://me@host/"q"\\x'),
        ("source", "password", "env:OTHER"),
        ("sync", "exclude", ["写真", "a b"]),
        ("sync", "workers", 8),
        ("sync", "verify", "readback"),
        ("target", "url", "/b"),
    ],
)
def test_a_key_is_set_wherever_it_was(section: str, key: str, value: object) -> None:
    text = set_keys(TEXT, section, {key: value})  # type: ignore[dict-item]
    before, after = tomllib.loads(TEXT), tomllib.loads(text)
    before.setdefault(section, {})[key] = value
    assert after == before
    assert "# Mine." in text


def test_a_key_that_is_unset_becomes_a_comment() -> None:
    text = set_keys(TEXT, "sync", {"exclude": None, "workers": None, "verify": None})
    assert tomllib.loads(text)["sync"] == {"mode": "copy"}
    assert '#   ".cache/",' in text
    assert set_keys("", "target", {"url": None}) == "\n"


def test_a_spare_line_of_a_template_is_used() -> None:
    text = set_keys(TEXT, "source", {"password": "ask"})
    assert text.count("password") == 1
