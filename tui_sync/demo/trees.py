"""Makes files to try things with: nested folder trees, very large files and the demo's pair of trees.

Everything is a function of its seed: the same arguments give the same names, contents, modes and mtimes.
Standard library only. Paths are handled as bytes, because some names are not UTF-8 on purpose.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tui_sync.errors import AlreadyExists, NoSpace, UsageError
from tui_sync.names import printable

BLOCK = 4 * 1024 * 1024
SPARSE_STEP = 64 * 1024 * 1024
_MARK = 4096
_SECOND = 1_000_000_000
# 2024-01-01 00:00 UTC: old enough that nothing made here looks newer than today.
EPOCH_NS = 1_704_067_200 * _SECOND
_YEAR_S = 365 * 24 * 3600

Progress = Callable[[int], None]

_WORDS = (
    *("alpha", "archive", "autumn", "basalt", "beacon", "birch", "cabin", "canyon", "cedar", "cobalt"),
    *("delta", "ember", "fjord", "gamma", "glacier", "harbor", "hazel", "indigo", "island", "juniper"),
    *("kestrel", "lagoon", "lantern", "maple", "meadow", "nebula", "nickel", "ochre", "orchid", "pebble"),
)
_SUFFIXES = (".txt", ".csv", ".json", ".md", ".log", ".jpg", ".bin", "")


# Names of folders in which awkward things lie, the first for the files of ``awkward_names``.
AWKWARD_FOLDERS = (
    "awkward names",
    "foo[",
    "two  spaces",
    "new\nline",
    "escape\x1b[31m",
    "bidi\u202e",
    "undecodable \udcff",
    "-folder",
    "..folder",
)


def awkward_names() -> tuple[str, ...]:
    """File names that are allowed and that programs trip over; undecodable bytes as surrogate escapes."""
    return (
        "two  spaces.txt",
        " leading and trailing ",
        "quotes'\"`.txt",
        "new\nline.txt",
        "tab\there.txt",
        "carriage\rreturn.txt",
        "escape\x1b[31mred\x1b[0m.txt",
        "bell\x07and\x7fdelete",
        "bidi\u202egnp.exe",
        "isolate\u2067rtl\u2069.txt",
        "zero\u200bwidth.txt",
        "line\u2028separator.txt",
        "caf\u00e9 composed.txt",
        "cafe\u0301 composed.txt",
        "\u65e5\u672c\u8a9e.txt",
        "emoji \U0001f469\u200d\U0001f680.txt",
        "undecodable \udcff\udcfe.bin",
        "latin-1 caf\udce9.txt",
        "bar].txt",
        "brackets [red]bar[.txt",
        "[bold]markup[@click=bell]",
        "glob *?{a,b}.txt",
        "-rf",
        "--delete",
        "..hidden",
        "...",
        ".dotfile",
        "~home",
        "$HOME $(true) `true`",
        "%s %n %00.txt",
        "back\\slash.txt",
        "colon:semicolon;.txt",
        "#comment",
        "trailing dot.",
        "CON",
        "n" * 251 + ".txt",
        "\u00fc" * 127 + "x",
    )


@dataclass(slots=True)
class Made:
    """What a generator made. ``refused`` holds names that the file system does not take, printable."""

    files: int = 0
    directories: int = 0
    bytes: int = 0
    refused: list[str] = field(default_factory=list)


def make_tree(
    folder: Path,
    *,
    files: int = 300,
    depth: int = 4,
    seed: int = 1,
    awkward: bool = False,
    max_size: int = 20 * 1024,
    force: bool = False,
    progress: Progress | None = None,
) -> Made:
    """Fill ``folder`` with files of up to ``max_size`` bytes, in folders up to ``depth`` levels deep.

    One file in twenty is empty, and so is one folder in ten. With ``awkward`` the names of ``awkward_names``
    come first, as files and some as folders. ``progress`` hears the number of files made so far. Raises
    AlreadyExists where ``folder`` holds anything (unless ``force``), NoSpace where it may not fit.
    """
    if files < 0 or depth < 0 or max_size < 0:
        raise UsageError("files, depth and max-size must not be negative")
    if not force and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise AlreadyExists(f"{printable(str(folder))} is there already: name another folder or use --force")
    dice = random.Random(seed)
    _need_space(folder, files * (max_size // 2 + 4096))
    made = Made()
    root = os.fsencode(folder)
    os.makedirs(root, exist_ok=True)
    names = awkward_names() if awkward else ()
    folders = _folders(dice, count=files // 8, depth=depth, awkward=awkward)
    kept = {b"": None}
    for path in folders:
        if path.rpartition(b"/")[0] in kept and _make_folder(root, path, made):
            kept[path] = None
    filled = [path for path in kept if dice.random() >= 0.1] or [b""]
    for number in range(files):
        if number < len(names):
            # One name is markup only together with its folder: "foo[/bar].txt".
            name, place = _raw(names[number]), b"foo[" if names[number] == "bar].txt" else b"awkward names"
            place = place if depth else b""
        else:
            name, place = _file_name(dice, number), dice.choice(filled)
        size = 0 if number % 20 == 7 else dice.randint(0, max_size)
        _make_file(root, place, name, dice.randbytes(size), dice, made)
        if progress is not None:
            progress(number + 1)
    # Last and from below, because every file made in a folder changes the folder's own time.
    for path in sorted(kept, reverse=True):
        os.utime(os.path.join(root, path), ns=_some_time(dice))
    return made


def make_large(
    path: Path,
    *,
    size: int,
    seed: int = 1,
    sparse: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write one file of ``size`` bytes, in flat memory. Every block differs from every other, so a block
    in the wrong place shows.

    ``sparse`` writes 4 KiB every 64 MiB and leaves holes between. ``progress`` hears the bytes so far.
    Raises AlreadyExists where ``path`` is taken (unless ``force``), NoSpace where it would not fit.
    """
    if size < 0:
        raise UsageError("the size must not be negative")
    if not force and os.path.lexists(path):
        raise AlreadyExists(f"{printable(str(path))} is there already: name another file or use --force")
    freed = path.stat().st_blocks * 512 if path.is_file() else 0
    _need_space(path.parent, (size // SPARSE_STEP + 1) * _MARK if sparse else size - freed)
    done = 0
    with open(path, "wb") as file:
        if sparse:
            dice = random.Random(seed)
            for start in range(0, size, SPARSE_STEP):
                file.seek(start)
                file.write(dice.randbytes(min(_MARK, size - start)))
                if progress is not None:
                    progress(start)
            file.truncate(size)
        else:
            for block in blocks(size, seed):
                file.write(block)
                done += len(block)
                if progress is not None:
                    progress(done)
    os.utime(path, ns=(EPOCH_NS, EPOCH_NS))
    if progress is not None:
        progress(size)


def blocks(size: int, seed: int) -> Iterator[bytes]:
    """``size`` bytes that no compressor shrinks much, as blocks of at most 4 MiB, several times faster than
    fresh random bytes: one random pool, entered at another place for every block."""
    dice = random.Random(seed)
    pool = dice.randbytes(min(size, BLOCK))
    for number, start in enumerate(range(0, size, BLOCK)):
        cut = dice.randrange(len(pool))
        block = number.to_bytes(8, "big") + pool[cut:] + pool[:cut]
        yield block[: min(BLOCK, size - start)]


def _raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _folders(dice: random.Random, *, count: int, depth: int, awkward: bool) -> list[bytes]:
    """Paths of folders, parents first."""
    if not depth:
        return []
    found = [b""]
    if awkward:
        found += [_raw(name) for name in AWKWARD_FOLDERS]
    while len(found) <= count:
        place = dice.choice(found)
        if place.count(b"/") + bool(place) < depth:
            name = f"{dice.choice(_WORDS)}-{len(found)}".encode()
            found.append(place + b"/" + name if place else name)
    return found[1:]


def _file_name(dice: random.Random, number: int) -> bytes:
    return f"{dice.choice(_WORDS)} {number:05d}{dice.choice(_SUFFIXES)}".encode()


def _some_time(dice: random.Random) -> tuple[int, int]:
    """An access and modification time within the year after EPOCH_NS, with a fraction of a second."""
    when = EPOCH_NS + dice.randrange(_YEAR_S) * _SECOND + dice.randrange(_SECOND)
    return when, when


def _make_folder(root: bytes, path: bytes, made: Made) -> bool:
    try:
        os.makedirs(os.path.join(root, path), exist_ok=True)
    except OSError:
        made.refused.append(printable(path.decode("utf-8", "surrogateescape")))
        return False
    made.directories += 1
    return True


def _make_file(root: bytes, place: bytes, name: bytes, data: bytes, dice: random.Random, made: Made) -> None:
    when, mode = _some_time(dice), dice.choice((0o644, 0o644, 0o600, 0o755))
    path = os.path.join(root, place, name)
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        # Some file systems take only UTF-8, or treat two spellings of one name as the same.
        if isinstance(error, FileNotFoundError) or _no_space(error):
            raise
        made.refused.append(printable(name.decode("utf-8", "surrogateescape")))
        return
    os.chmod(path, mode)
    os.utime(path, ns=when)
    made.files += 1
    made.bytes += len(data)


def _no_space(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _need_space(folder: Path, needed: int) -> None:
    """Raise NoSpace where the disk that holds, or is to hold, ``folder`` has fewer than ``needed`` bytes."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        raise NoSpace(f"{needed:,} bytes are needed but only {free:,} are free in {printable(str(place))}")
