"""A public key as a picture, as ``ssh-keygen -lv`` draws it: the walk of the drunken bishop.

Dirk Loss, Tobias Limmer, Alexander von Gernler: The drunken bishop, 2009; OpenSSH's
``fingerprint_randomart``.
"""

from __future__ import annotations

import hashlib

_WIDTH, _HEIGHT = 17, 9
_SHADES = " .o+=*BOX@%&#/^SE"
_START, _END = _SHADES.index("S"), _SHADES.index("E")
_BITS = {
    "ssh-ed25519": 256,
    "ecdsa-sha2-nistp256": 256,
    "ecdsa-sha2-nistp384": 384,
    "ecdsa-sha2-nistp521": 521,
}


def randomart(blob: bytes) -> list[str]:
    """Eleven lines for a public key in its wire form, over its SHA-256."""
    field = [[0] * _WIDTH for _ in range(_HEIGHT)]
    x, y = _WIDTH // 2, _HEIGHT // 2
    for byte in hashlib.sha256(blob).digest():
        for shift in (0, 2, 4, 6):
            step = byte >> shift
            x = min(max(x + (1 if step & 1 else -1), 0), _WIDTH - 1)
            y = min(max(y + (1 if step & 2 else -1), 0), _HEIGHT - 1)
            field[y][x] = min(field[y][x] + 1, _START - 1)
    field[_HEIGHT // 2][_WIDTH // 2] = _START
    field[y][x] = _END
    rows = ["|" + "".join(_SHADES[count] for count in row) + "|" for row in field]
    return [_border(_title(blob)), *rows, _border("[SHA256]")]


def _border(title: str) -> str:
    left = (_WIDTH - len(title)) // 2
    return "+" + "-" * left + title + "-" * (_WIDTH - len(title) - left) + "+"


def _title(blob: bytes) -> str:
    kind, rest = _string(blob)
    name = kind.decode("ascii", "replace")
    bits = _BITS.get(name, 0)
    if name == "ssh-rsa":
        _, rest = _string(rest)
        bits = int.from_bytes(_string(rest)[0], "big").bit_length()
    short = name.removeprefix("ssh-").partition("-")[0].upper()
    title = f"[{short} {bits}]"
    return title if bits and len(title) <= _WIDTH else f"[{short[: _WIDTH - 2]}]"


def _string(data: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(data[:4], "big")
    return data[4 : 4 + length], data[4 + length :]
