"""What other threads tell the app: posted, never called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.message import Message


class Finished(Message, bubble=False):
    """A thread of ours has ended; ``deliver`` hands its result over in the app's thread."""

    def __init__(self, deliver: Callable[[], Any]) -> None:
        super().__init__()
        self.deliver = deliver


class Asked(Message, bubble=False):
    """A connector waits for a person's answer: see the bridge's list of questions."""
