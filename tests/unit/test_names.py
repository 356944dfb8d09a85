"""Hostile names."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_sync import names
from tui_sync.errors import UnsafeName

# Any character, surrogate escapes among them, and often the ones that matter.
TEXT = st.text(
    st.characters()
    | st.sampled_from("\\\n\r\t\x1b\x7f\x9b\u202e\u2066\u200b\u2028\udc80\udcffxu0.")
    | st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"]),
    max_size=40,
)


def usable(name: str) -> bool:
    lone = any("\ud800" <= char <= "\udfff" and not "\udc80" <= char <= "\udcff" for char in name)
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name and not lone


COMPONENT = TEXT.filter(usable)
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@given(TEXT)
def test_printable_never_holds_what_a_terminal_could_obey(text: str) -> None:
    shown = names.printable(text)
    for char in shown:
        assert unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        assert char not in BIDI
    shown.encode("utf-8")


@given(TEXT, TEXT)
def test_printable_keeps_different_names_apart(one: str, other: str) -> None:
    assert (names.printable(one) == names.printable(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\n", "\\n"),
        ("\udcff", "\\xff"),
        ("\x1b", "\\x1b"),
        ("\\", "\\\\"),
        ("\u202e", "\\u202e"),
        ("\\\n", "\n\\"),
    ],
)
def test_what_was_escaped_looks_unlike_what_looked_so_before(one: str, other: str) -> None:
    assert names.printable(one) != names.printable(other)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name.txt", "plain name.txt"),
        ("日本語 é 😀", "日本語 é 😀"),
        ("[bold]", "[bold]"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b31m", "\\u009b31m"),
        ("\u202egpj", "\\u202egpj"),
        ("\udcff", "\\xff"),
        ("a\\b", "a\\\\b"),
        ("\U000e0041", "\\U000e0041"),
        ("", ""),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert names.printable(text) == shown


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "a/b", "../x", "/etc", "a\0b", "\0", "\ud800", "a\udfffb"]
)
def test_an_unsafe_name_is_refused(name: str) -> None:
    with pytest.raises(UnsafeName):
        names.check_name(name)
    with pytest.raises(UnsafeName):
        names.join("folder", name)


@pytest.mark.parametrize("path", ["", "/", "/a", "a/", "a//b", "a/../b", "..", "./a", "a/\0"])
def test_an_unsafe_path_is_refused(path: str) -> None:
    with pytest.raises(UnsafeName):
        names.check_path(path)


def test_the_refusal_shows_the_name_without_its_dangers() -> None:
    with pytest.raises(UnsafeName, match=r"\\x1b\[31m/ ?") as caught:
        names.check_name("\x1b[31m/")
    assert "\x1b" not in str(caught.value)


@given(TEXT)
def test_just_the_usable_names_pass(name: str) -> None:
    if usable(name):
        assert names.check_name(name) == name
        name.encode("utf-8", "surrogateescape")
    else:
        with pytest.raises(UnsafeName):
            names.check_name(name)


@given(st.lists(COMPONENT, max_size=5), TEXT)
def test_join_never_escapes(above: list[str], name: str) -> None:
    directory = "/".join(above)
    try:
        path = names.join(directory, name)
    except UnsafeName:
        return
    assert names.parent(path) == directory
    root = "/the/root"
    full = os.path.normpath(f"{root}/{path}")
    assert full == f"{root}/{path}"
    assert names.check_path(path) == path


@given(st.lists(COMPONENT, min_size=1, max_size=4))
def test_the_temporary_lies_beside_is_ours_and_short(parts: list[str]) -> None:
    path = "/".join(parts)
    temporary = names.temporary(path, "0badcafe")
    name = temporary.rpartition("/")[2]
    assert names.parent(temporary) == names.parent(path)
    assert names.is_ours(name)
    assert len(name.encode()) <= 255
    assert names.check_path(temporary) == temporary
    assert temporary != path


@given(COMPONENT, COMPONENT)
def test_temporaries_are_stable_and_differ_by_name_and_ledger(one: str, other: str) -> None:
    assert (names.temporary(one, "00000001") == names.temporary(other, "00000001")) == (one == other)
    assert names.temporary(one, "00000001") != names.temporary(one, "00000002")


@given(st.lists(st.lists(COMPONENT, min_size=1, max_size=3).map("/".join), max_size=8))
def test_the_sort_key_is_a_walk(paths: list[str]) -> None:
    """What is below a directory comes right after it."""
    known = {"/".join(path.split("/")[:count]) for path in paths for count in range(1, 4)} | set(paths)
    order = sorted(known, key=names.sort_key)
    for place, path in enumerate(order):
        below = [index for index, other in enumerate(order) if other.startswith(f"{path}/")]
        assert below == list(range(place + 1, place + 1 + len(below)))


def test_ours() -> None:
    assert names.is_ours(names.TRASH)
    assert names.is_ours(".tui-sync-anything")
    assert not names.is_ours("tui-sync")
