"""Keys of a profile's text set and unset, all else in it, comments too, left as it is."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping

_SECTION = re.compile(r"\s*\[\s*([\w.-]+)\s*\]\s*(?:#.*)?")
Value = str | int | bool | list[str] | None


def set_keys(text: str, section: str, values: Mapping[str, Value]) -> str:
    """``text`` with these keys of a section set; None comments a key out. Missing sections are added."""
    lines = text.splitlines()
    for key, value in values.items():
        _set(lines, section, key, value)
    return "\n".join(lines) + "\n"


def written(value: str | int | bool | list[str]) -> str:
    """A value as TOML."""
    if isinstance(value, list):
        return f"[{', '.join(written(each) for each in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    # A basic string of TOML, whose escapes are a superset of JSON's.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _set(lines: list[str], section: str, key: str, value: Value) -> None:
    start, stop = _bounds(lines, section)
    if start < 0:
        if value is None:
            return
        lines += [*([""] if lines and lines[-1] else []), f"[{section}]"]
        start, stop = len(lines), len(lines)
    name = re.escape(key)
    active = re.compile(rf"\s*{name}\s*=")
    spare = re.compile(rf"\s*#\s*{name}\s*=")
    for number in range(start, stop):
        if active.match(lines[number]):
            end = _end(lines, number, stop)
            old = "\n".join(lines[number:end])
            if value is None:
                lines[number:end] = [f"# {line}" for line in lines[number:end]]
            elif tomllib.loads(old.strip()).get(key) != value:
                lines[number:end] = [f"{key} = {written(value)}"]
            return
    if value is None:
        return
    for number in range(start, stop):
        if spare.match(lines[number]):
            lines[number] = f"{key} = {written(value)}"
            return
    while stop > start and not lines[stop - 1].strip():
        stop -= 1
    lines.insert(stop, f"{key} = {written(value)}")


def _bounds(lines: list[str], section: str) -> tuple[int, int]:
    """The lines of a section, its head aside; -1 where there is none."""
    start = -1
    for number, line in enumerate(lines):
        head = _SECTION.fullmatch(line)
        if head is None:
            continue
        if start >= 0:
            return start, number
        if head[1] == section:
            start = number + 1
    return start, len(lines)


def _end(lines: list[str], number: int, stop: int) -> int:
    """Behind the last line of a value that may span several."""
    for end in range(number + 1, stop + 1):
        try:
            tomllib.loads("\n".join(lines[number:end]).strip())
        except tomllib.TOMLDecodeError:
            continue
        return end
    return number + 1
