"""Names from a remote side are hostile until this module has passed them.

One check for every path component, one function that makes a name printable, and the names of what is ours.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from tui_sync.errors import UnsafeName

OURS = ".tui-sync"
TRASH = ".tui-sync-trash"
# After a run's folder in the trash: what that run had put in place, and its undo took away.
UNDONE = "-undone"

_TOGETHER = 4096
# Controls, formats (bidi, zero width), undecodable bytes, code points without a known glyph, line breaks.
_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Up to the last @, for a password may hold one, and a slash.
_PASSWORD = re.compile(r"(:/+[^/@:\s]*):\S*@")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}


def check_name(name: str) -> str:
    """Return ``name`` if it is usable as one path component, else raise UnsafeName."""
    if not name:
        problem = "is empty"
    elif name in (".", ".."):
        problem = "points to another folder"
    elif "/" in name:
        problem = "contains a slash"
    elif "\0" in name:
        problem = "contains a NUL byte"
    elif not name.isascii() and not _encodes(name):
        problem = "contains half a character"
    else:
        return name
    raise UnsafeName(f"the name “{printable(name)}” {problem}")


def _encodes(name: str) -> bool:
    """False for a lone surrogate that stands for no byte: no storage could hold it."""
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def all_plain(names: Sequence[str]) -> bool:
    """Whether each of these names passes ``check_name`` and none ``is_ours``: looked at together, which takes
    a small part of the time."""
    return all(_plain(names[first : first + _TOGETHER]) for first in range(0, len(names), _TOGETHER))


def _plain(names: Sequence[str]) -> bool:
    joined = "\0".join(("", *names, ""))
    return (
        joined.count("\0") == len(names) + 1
        and not any(bad in joined for bad in ("/", "\0\0", "\0.\0", "\0..\0", f"\0{OURS}"))
        and (joined.isascii() or _encodes(joined))
    )


def check_path(path: str) -> str:
    """Return the relative ``path`` if each of its components is usable, else raise UnsafeName."""
    for name in path.split("/"):
        check_name(name)
    return path


def join(directory: str, name: str) -> str:
    """The path of the checked component ``name`` in ``directory`` (``""`` is the root)."""
    check_name(name)
    return f"{directory}/{name}" if directory else name


def parent(path: str) -> str:
    """The directory that holds ``path``; ``""`` for what lies in the root."""
    return path.rpartition("/")[0]


def ancestors(path: str) -> Iterator[str]:
    """The directories above ``path``, the root last."""
    while path:
        path = parent(path)
        yield path


def sort_key(path: str) -> tuple[str, ...]:
    """Order in which both trees are walked: depth first, siblings by code point."""
    return tuple(path.split("/"))


def is_ours(name: str) -> bool:
    """True for the name of anything this program puts beside the user's files."""
    return name.startswith(OURS)


def temporary(path: str, tag: str) -> str:
    """The temporary path beside ``path``: the same on every attempt of one ledger, and short.

    ``tag`` is the ledger's own, so that two machines never write to one temporary file.
    """
    # Slow to load.
    import hashlib

    directory, _, name = path.rpartition("/")
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:20]
    temp = f"{OURS}-{tag}-{digest}.part"
    return f"{directory}/{temp}" if directory else temp


def is_temporary(path: str, tag: str) -> bool:
    """True for a path that ``temporary`` makes for this tag."""
    name = path.rpartition("/")[2]
    return name.startswith(f"{OURS}-{tag}-") and name.endswith(".part") and "/" not in tag


def masked(text: str) -> str:
    """``text`` with the passwords of the URLs in it left out, for what a person typed and is told again."""
    return _PASSWORD.sub(r"\1:…@", text)


def printable(text: str) -> str:
    """``text`` with everything invisible or dangerous on a terminal spelled out, one to one.

    A backslash is doubled, so no two names look the same. Bytes that were not UTF-8 appear as ``\\xNN``.
    """
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(_printable_char(char) for char in text)


def _printable_char(char: str) -> str:
    short = _SHORT.get(char)
    if short is not None:
        return short
    if unicodedata.category(char) not in _ESCAPED:
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
