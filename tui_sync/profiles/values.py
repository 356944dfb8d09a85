"""Sizes and limits as people write them."""

from __future__ import annotations

import re

from tui_sync.errors import UsageError
from tui_sync.model import DeleteLimit
from tui_sync.names import printable

_SIZE = re.compile(
    r"(?P<whole>\d{1,19})(?:\.(?P<fraction>\d{1,19}))?\s*(?:(?P<unit>[KMGT])(?P<form>IB?|B|)|B)?(?:/S)?",
    re.ASCII,
)
_LIMIT = re.compile(r"(?P<number>\d{1,19}(?:\.\d{1,19})?)\s*(?P<percent>%?)", re.ASCII)
_LARGEST = 2**63 - 1

SIZE_REMEDY = "write bytes, or a number with K, M, G (steps of 1024) or KB, MB, GB (of 1000), or off"
_SPAN = re.compile(r"(?P<number>[1-9]\d{0,5})\s*(?P<unit>[hdw])", re.ASCII)
_UNITS = {"h": 3_600, "d": 86_400, "w": 7 * 86_400}
FOREVER = "forever"

SPAN_REMEDY = "write hours, days or weeks such as 12h, 30d or 8w, or forever"
LIMIT_REMEDY = "write a number of files such as 100, or a percentage from 0% to 100%"


def parse_size(text: str) -> int:
    """A size in bytes, or a speed in bytes per second: ``"20M"``, ``"20MB/s"``, ``"1.5GiB"``, ``"4096"``.

    ``K``, ``M``, ``G``, ``T`` and ``KiB`` … are powers of 1024, as for rclone and rsync; ``KB``, ``MB`` … are
    powers of 1000, as for rsync. Without a unit it is bytes. Upper and lower case are the same. ``"off"`` and
    ``"0"`` are 0, which as a limit means none. Raises UsageError.
    """
    plain = text.strip().upper()
    if plain == "OFF":
        return 0
    match = _SIZE.fullmatch(plain)
    if match is None:
        raise UsageError(f"“{printable(text)}” is no size: {SIZE_REMEDY}")
    step = 1000 if match["form"] == "B" else 1024
    factor: int = step ** ("KMGT".index(match["unit"]) + 1) if match["unit"] else 1
    fraction = match["fraction"] or ""
    # In integers: a float has no room for every byte of a large size.
    size: int = int(match["whole"]) * factor + int(fraction or "0") * factor // 10 ** len(fraction)
    if size > _LARGEST:
        raise UsageError(f"“{printable(text)}” is too large: {SIZE_REMEDY}")
    return size


def parse_delete_limit(text: str) -> DeleteLimit:
    """``"100"`` is a number of files, ``"50%"`` a share of the files on the target. Raises UsageError."""
    match = _LIMIT.fullmatch(text.strip())
    percent = match is not None and match["percent"] == "%"
    if (
        match is None
        or (percent and float(match["number"]) > 100)
        or (not percent and not match["number"].isdecimal())
        or float(match["number"]) > _LARGEST
    ):
        raise UsageError(f"“{printable(text)}” is no limit for deletes: {LIMIT_REMEDY}")
    return DeleteLimit(float(match["number"]), percent)


def parse_keep(text: str) -> int | None:
    """``"30d"`` in seconds; ``"forever"`` is None. Raises UsageError."""
    plain = text.strip().lower()
    if plain == FOREVER:
        return None
    match = _SPAN.fullmatch(plain)
    if match is None:
        raise UsageError(f"“{printable(text)}” is no time to keep the trash: {SPAN_REMEDY}")
    return int(match["number"]) * _UNITS[match["unit"]]
