"""Places where each request has a price."""

from __future__ import annotations

from collections import Counter
from typing import Protocol, runtime_checkable


@runtime_checkable
class CountsRequests(Protocol):
    """A Connector that counts what it sends."""

    @property
    def requests(self) -> Counter[str]:
        """What was sent so far, by the operation's name, repetitions included."""
