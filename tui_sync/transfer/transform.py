"""The transform hook: what happens to content on its way. Off by default: the copy is byte for byte."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from tui_sync.connectors.base import Buffer
from tui_sync.errors import UsageError


class Transform(Protocol):
    """A deterministic change of content: the same input has to give the same output."""

    @property
    def name(self) -> str:
        """As the profile's ``transform`` key names it."""

    @property
    def identity(self) -> bool:
        """True where the output is the input: sizes of both sides can then be compared."""

    def target_name(self, name: str) -> str:
        """The name on the target of a file called ``name`` on the source."""

    def blocks(self, blocks: Iterator[Buffer]) -> Iterator[Buffer]:
        """The changed stream, in bounded memory."""


class Identity:
    """The copy, byte for byte."""

    name = "none"
    identity = True

    def target_name(self, name: str) -> str:
        return name

    def blocks(self, blocks: Iterator[Buffer]) -> Iterator[Buffer]:
        return blocks


class Gzip:
    """Compress every file into ``NAME.gz`` (RFC 1952), with no time stamp in the header."""

    name = "gzip"
    identity = False

    def __init__(self, level: int = 6) -> None:
        self._level = level

    def target_name(self, name: str) -> str:
        return f"{name}.gz"

    def blocks(self, blocks: Iterator[Buffer]) -> Iterator[Buffer]:
        state = zlib.compressobj(self._level, zlib.DEFLATED, wbits=31)
        for block in blocks:
            if packed := state.compress(block):
                yield packed
        yield state.flush()


_TRANSFORMS: dict[str, Callable[[], Transform]] = {"none": Identity, "gzip": Gzip}


def transform(name: str) -> Transform:
    """The transform of that name. Raises UsageError for an unknown one."""
    made = _TRANSFORMS.get(name)
    if made is None:
        raise UsageError(f"there is no transform “{name}”: use one of {', '.join(_TRANSFORMS)}")
    return made()
