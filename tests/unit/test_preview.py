"""The text diff of one pair of files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_sync.connectors.memory import MemoryConnector
from tui_sync.errors import PermissionDenied
from tui_sync.planning.preview import MAX_LINES, Preview, first_difference, text_diff


def diff(old: bytes | None, new: bytes | None, **more: int) -> Preview:
    source, target = MemoryConnector(), MemoryConnector()
    if new is not None:
        source.add_file("new", new)
    if old is not None:
        target.add_file("old", old)
    return text_diff(
        None if new is None else source.reader(),
        "new",
        None if old is None else target.reader(),
        "old",
        **more,
    )


def test_from_target_to_source() -> None:
    assert diff(b"a\nold\nc\n", b"a\nnew\nc\n").lines == ("@@ -1,3 +1,3 @@", " a", "-old", "+new", " c")


def test_a_file_on_one_side_only() -> None:
    assert diff(None, b"a\nb\n").lines == ("@@ -0,0 +1,2 @@", "+a", "+b")
    assert diff(b"a\n", None).lines == ("@@ -1 +0,0 @@", "-a")


def test_a_missing_line_end_is_a_difference() -> None:
    assert diff(b"a", b"a\n").lines == ("@@ -1 +1 @@", "-a", "\\ No newline at end of file", "+a")


def test_lines_are_counted_from_the_beginning_of_the_file() -> None:
    old = "".join(f"{number}\n" for number in range(1, 101))
    preview = diff(old.encode(), old.replace("50\n", "fifty\n").encode())
    assert preview.lines == (
        "@@ -47,7 +47,7 @@",
        *(" 47", " 48", " 49", "-50", "+fifty", " 51", " 52", " 53"),
    )


LINES = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=30)


@given(LINES, LINES)
def test_applied_to_the_target_it_gives_the_source(old: list[str], new: list[str]) -> None:
    preview = diff(
        "".join(f"{line}\n" for line in old).encode(), "".join(f"{line}\n" for line in new).encode()
    )
    if old == new:
        assert preview == Preview(note="no difference in content")
        return
    assert patched(old, preview.lines) == new


def patched(old: list[str], lines: tuple[str, ...]) -> list[str]:
    """``old`` with a unified diff applied by its line numbers, every line of context checked."""
    new: list[str] = []
    place = 0
    for line in lines:
        if line.startswith("@@"):
            numbers = line.split()[1][1:]
            start, _, length = numbers.partition(",")
            begin = int(start) - (length != "0")
            new += old[place:begin]
            place = begin
            assert len(new) == int(line.split()[2][1:].partition(",")[0]) - (",0" not in line.split()[2])
            continue
        if line[:1] in " -":
            assert old[place] == line[1:]
            place += 1
        if line[:1] in " +":
            new.append(line[1:])
    return new + old[place:]


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        (b"same\n", b"same\n", "no difference in content"),
        (b"", b"", "no difference in content"),
        (b"a\n", b"a\0b", "binary file, not shown"),
        (b"\xff\xfe", b"a\n", "not UTF-8 text, not shown"),
        (b"a\n", b"x" * 101, "larger than 100 bytes, not shown"),
    ],
)
def test_what_is_not_shown_says_why(old: bytes, new: bytes, note: str) -> None:
    assert diff(old, new, limit=100) == Preview(note=note)


def test_hostile_lines_are_left_raw() -> None:
    assert "+\x1b[31m\u202e\r" in diff(b"", "\x1b[31m\u202e\r\n".encode()).lines


def test_too_many_lines_are_not_compared() -> None:
    old = "".join(f"old {number}\n" for number in range(MAX_LINES + 1)).encode()
    assert "lines differ" in diff(old, old.replace(b"old", b"new")).note
    assert len(diff(None, old).lines) == MAX_LINES + 2


def test_many_equal_lines_do_not_count() -> None:
    old = "".join(f"{number}\n" for number in range(3 * MAX_LINES))
    assert len(diff(old.encode(), (old + "more\n").encode()).lines) == 5


def test_no_more_is_read_than_the_limit() -> None:
    """Also where a file is longer than its server said."""
    source = MemoryConnector({"f": b"x"})
    download = source.reader().open("f")
    assert download.entry.size == 1

    class Growing:
        def open(self, path: str) -> object:
            opened = source.reader().open(path)
            source.nodes["f"].data.extend(b"y" * 10_000_000)
            return opened

    assert "larger than" in text_diff(Growing(), "f", None, "").note  # type: ignore[arg-type]
    assert source.calls["read"] <= 262_144 // 65_536 + 1


def test_a_file_that_cannot_be_read_gives_its_reason() -> None:
    source = MemoryConnector({"f": b"x"})

    def fault(operation: str, path: str) -> None:
        raise PermissionDenied("not for you")

    source.fault = fault
    assert text_diff(source.reader(), "f", None, "") == Preview(note="not for you")


def first(one: bytes, other: bytes, **more: int) -> str:
    source, target = MemoryConnector(), MemoryConnector()
    source.add_file("a", one)
    target.add_file("b", other)
    return first_difference(source.reader(), "a", target.reader(), "b", **more).note


def test_the_first_byte_that_differs() -> None:
    large = bytes(3_000_000)
    assert first(large + b"x", large + b"y") == "the first difference is at byte 3,000,000 (0x2dc6c0)"
    assert first(b"x", b"y") == "the first difference is at byte 0 (0x0)"
    assert first(large, large) == "no difference in content"
    assert first(b"abc", b"ab") == "no difference in the 2 bytes that both have: the target ends there"
    assert "the source ends there" in first(b"", b"ab")
    assert "no more was read" in first(large + b"x", large + b"y", limit=2_000_000)
