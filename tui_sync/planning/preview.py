"""A text diff of one pair of files, bounded in what it reads and in the time it takes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from tui_sync.connectors.base import Reader
from tui_sync.errors import StorageError

# difflib takes time in proportion to the product of both, at its worst.
MAX_LINES = 4_000
_CONTEXT = 3
_COMPARED = 1 << 20


@dataclass(frozen=True, slots=True)
class Preview:
    """The ``lines`` of a unified diff from target to source, raw and without line ends, or none and a
    ``note`` that says why."""

    lines: tuple[str, ...] = ()
    note: str = ""


class _Unfit(Exception):
    """Not to be shown as text."""


def text_diff(
    source: Reader | None, source_path: str, target: Reader | None, target_path: str, limit: int = 262_144
) -> Preview:
    """What a sync would change in one file. None as a side's reader: the file is not there.

    Files of more than ``limit`` bytes, binary ones and those which cannot be read give a note.
    """
    try:
        old = _lines(target, target_path, limit)
        new = _lines(source, source_path, limit)
    except (StorageError, _Unfit) as error:
        return Preview(note=str(error))
    if old == new:
        return Preview(note="no difference in content")
    # What is the same at both ends need not go through difflib, but for the context.
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    start = max(0, start - _CONTEXT)
    end = max(0, end - _CONTEXT)
    old_part, new_part = old[start : len(old) - end], new[start : len(new) - end]
    if min(len(old_part), len(new_part)) > MAX_LINES:
        return Preview(note=f"more than {MAX_LINES:,} lines differ, not shown")
    return Preview(tuple(_diff(old_part, new_part, start)))


def first_difference(
    source: Reader, source_path: str, target: Reader, target_path: str, limit: int = 64 << 20
) -> Preview:
    """Where two files begin to differ, as a note; at most ``limit`` bytes of each are read."""
    try:
        with source.open(source_path) as one, target.open(target_path) as other:
            sizes = one.entry.size, other.entry.size
            stop = min(*sizes, limit)
            offset = 0
            while offset < stop:
                end = min(offset + _COMPARED, stop)
                left = b"".join(bytes(block) for block in one.blocks(offset, end))
                right = b"".join(bytes(block) for block in other.blocks(offset, end))
                if left != right:
                    at = offset + _common(left, right)
                    return Preview(note=f"the first difference is at byte {at:,} (0x{at:x})")
                if len(left) < end - offset:
                    break
                offset = end
    except StorageError as error:
        return Preview(note=str(error))
    if offset < min(sizes):
        return Preview(note=f"no difference in the first {offset:,} bytes; no more was read")
    if sizes[0] == sizes[1]:
        return Preview(note="no difference in content")
    shorter = "source" if sizes[0] < sizes[1] else "target"
    return Preview(note=f"no difference in the {offset:,} bytes that both have: the {shorter} ends there")


def _lines(reader: Reader | None, path: str, limit: int) -> list[str]:
    if reader is None:
        return []
    data = bytearray()
    with reader.open(path) as download:
        if download.entry.size > limit:
            raise _Unfit(f"larger than {limit:,} bytes, not shown")
        for block in download.blocks(0, limit + 1):
            data += block
    if len(data) > limit:
        raise _Unfit(f"larger than {limit:,} bytes, not shown")
    if b"\0" in data:
        raise _Unfit("binary file, not shown")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise _Unfit("not UTF-8 text, not shown") from None
    lines = text.split("\n")
    if lines[-1]:
        lines[-1] += "\n\\ No newline at end of file"
    else:
        lines.pop()
    return lines


def _common(one: Sequence[object], other: Sequence[object]) -> int:
    """How many lines, or bytes, both begin with."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def _diff(old: Sequence[str], new: Sequence[str], start: int) -> list[str]:
    """Hunks as in ``diff -u``, their line numbers counted from ``start`` lines before."""
    lines: list[str] = []
    for group in difflib.SequenceMatcher(None, old, new).get_grouped_opcodes(_CONTEXT):
        first, last = group[0], group[-1]
        lines.append(
            f"@@ -{_range(start + first[1], last[2] - first[1])} "
            f"+{_range(start + first[3], last[4] - first[3])} @@"
        )
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                lines += _marked(" ", old[old_from:old_to])
                continue
            lines += _marked("-", old[old_from:old_to])
            lines += _marked("+", new[new_from:new_to])
    return lines


def _marked(mark: str, lines: Sequence[str]) -> list[str]:
    return [part for line in lines for part in f"{mark}{line}".split("\n")]


def _range(start: int, length: int) -> str:
    """The lines of a hunk as POSIX ``diff -u`` writes them: an empty range names the line before it."""
    if length == 1:
        return f"{start + 1}"
    return f"{start + 1 if length else start},{length}"
