"""Words and numbers as cells on a screen: fitted, aligned, and harmless.

Everything here takes text that ``names.printable`` has passed or that the program wrote itself; widths are
terminal cells, never characters.
"""

from __future__ import annotations

import stat
import time
from datetime import UTC, datetime
from typing import Literal

from rich.cells import cell_len, split_graphemes

from tui_sync.names import printable

ELLIPSIS = "…"
Align = Literal["left", "right"]

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_AGES = ((31_536_000, "y"), (2_592_000, "mo"), (86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def head(text: str, width: int) -> str:
    """As much of the beginning of ``text`` as ``width`` cells hold, whole graphemes only."""
    if width <= 0:
        return ""
    if len(text) <= width and text.isascii():
        return text
    used = 0
    for start, _, cells in split_graphemes(text)[0]:
        used += cells
        if used > width:
            return text[:start]
    return text


def tail(text: str, width: int) -> str:
    """As much of the end of ``text`` as ``width`` cells hold, whole graphemes only."""
    if width <= 0:
        return ""
    used = 0
    for _, end, cells in reversed(split_graphemes(text)[0]):
        used += cells
        if used > width:
            return text[end:]
    return text


def pad(text: str, width: int, align: Align = "left") -> str:
    """``text`` filled up with spaces to ``width`` cells."""
    space = " " * max(0, width - cell_len(text))
    return space + text if align == "right" else text + space


def fit(text: str, width: int, align: Align = "left") -> str:
    """``text`` in exactly ``width`` cells; what does not fit is cut at the end and marked."""
    if width <= 0:
        return ""
    if cell_len(text) > width:
        text = head(text, width - 1) + ELLIPSIS
    return pad(text, width, align)


def shorten(text: str, width: int) -> str:
    """``text`` in at most ``width`` cells; what does not fit is cut out of the middle and marked."""
    if cell_len(text) <= width:
        return text
    if width <= 1:
        return ELLIPSIS[: max(0, width)]
    room = width - 1
    end = tail(text, room // 2)
    return head(text, room - cell_len(end)) + ELLIPSIS + end


def fit_middle(text: str, width: int) -> str:
    """``text`` in exactly ``width`` cells, cut in the middle: both ends of a name tell something."""
    return pad(shorten(text, width), width)


def safe(text: str) -> str:
    """A sentence that may quote remote names, printable as one line."""
    return printable(text)


def wrap(text: str, width: int) -> list[str]:
    """``text`` as lines of at most ``width`` cells, broken at spaces where there are any."""
    width = max(1, width)
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        rest = word
        joined = f"{line} {rest}" if line else rest
        if cell_len(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        while cell_len(rest) > width:
            piece = head(rest, width) or rest[:1]
            lines.append(piece)
            rest = rest[len(piece) :]
        line = rest
    lines.append(line)
    return lines


def size(count: int) -> str:
    """Bytes in at most 7 cells: ``999 B``, ``1.2 kB``, ``123 MB``."""
    value = float(count)
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    if unit == "B":
        return f"{count} B"
    return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"


def speed(rate: float) -> str:
    """Bytes per second, ``12.3 MB/s``."""
    return f"{size(max(0, round(rate)))}/s"


def count(number: int, noun: str = "", plural: str = "") -> str:
    """``1,203 files``: thousands apart, the noun in its number."""
    if not noun:
        return f"{number:,}"
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def span(seconds: float | None) -> str:
    """A duration as a clock shows it: ``0:07``, ``12:40``, ``3:05:00``; ``–:––`` where unknown."""
    if seconds is None or not 0 <= seconds < 360_000_000:
        return "–:––"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def percent(done: int, total: int) -> int:
    """Whole percent of ``total``; 100 only when nothing is missing."""
    if total <= 0:
        return 100
    return min(99 if done < total else 100, done * 100 // total)


def moment(ns: int | None) -> datetime | None:
    """The local time of a time in nanoseconds; None where unknown or out of any calendar."""
    if ns is None:
        return None
    try:
        return datetime.fromtimestamp(ns // 1_000_000_000, UTC).astimezone()
    except (OverflowError, OSError, ValueError):
        return None


def stamp(ns: int | None, *, seconds: bool = False) -> str:
    """``2025-05-12 14:03``, local time; ``–`` where unknown."""
    when = moment(ns)
    if when is None:
        return "–"
    return when.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def age(ns: int | None, now_ns: int) -> str:
    """How long ago in at most 5 cells: ``3 d``, ``5 mo``; ``new`` for what the clock has not reached yet."""
    if ns is None:
        return "–"
    seconds = (now_ns - ns) // 1_000_000_000
    if seconds < 0:
        return "new" if seconds < -2 else "now"
    for length, unit in _AGES:
        if seconds >= length:
            return f"{min(seconds // length, 99)} {unit}"
    return "now"


def ago(ns: int | None, now_ns: int) -> str:
    """``3 hours ago``, as a person says it."""
    import humanize

    if ns is None:
        return "never"
    return humanize.naturaltime(max(0, (now_ns - ns) // 1_000_000_000))


def permissions(mode: int | None) -> str:
    """``rw-r--r--``; ``–`` where unknown."""
    return "–" if mode is None else stat.filemode(mode & 0o7777)[1:]


def place(url: str, width: int) -> str:
    """A URL in at most ``width`` cells, its scheme given up first, then its middle."""
    text = printable(url)
    if cell_len(text) > width:
        text = text.partition("://")[2] or text
    return shorten(text, width)


def now_ns() -> int:
    """The wall clock; the app takes another one in its place for frozen pictures."""
    return time.time_ns()
