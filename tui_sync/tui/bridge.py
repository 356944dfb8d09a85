"""Between the app and its worker threads: long jobs on threads of our own, and questions to a person.

A thread never touches a widget. It posts a message, which falls away when the screen has gone meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from textual.message import Message
from textual.message_pump import MessagePump

from tui_sync.errors import TuiSyncError
from tui_sync.names import printable
from tui_sync.tui.messages import Asked, Finished

if TYPE_CHECKING:
    from tui_sync.connectors.base import HostKey

T = TypeVar("T")


def post(pump: MessagePump, message: Message) -> bool:
    """Post from any thread. False when the app or the screen has ended."""
    try:
        return pump.post_message(message)
    except RuntimeError:
        # The event loop is closed, or the screen has left the app.
        return False


def run_in_thread(
    pump: MessagePump,
    work: Callable[[], T],
    then: Callable[[T], None],
    failed: Callable[[str], None],
    *,
    name: str = "tui-sync-app",
) -> threading.Thread:
    """Do ``work`` on a daemon thread; in the app's thread ``then`` gets its result, or ``failed`` a sentence.

    ``pump`` is the screen or app that has a handler for ``Finished``.
    """

    def target() -> None:
        try:
            result = work()
        except TuiSyncError as error:
            sentence = printable(str(error))
        except Exception as error:  # noqa: BLE001 - a thread's last resort: the screen must hear of its end
            sentence = f"unexpected error, please report it: {type(error).__name__}: {printable(str(error))}"
        else:
            post(pump, Finished(lambda: then(result)))
            return
        post(pump, Finished(lambda: failed(sentence)))

    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


@dataclass(eq=False)
class Question:
    """One question of a connector. ``key`` None: for a secret; else whether to trust that key."""

    server: str
    prompt: str
    key: HostKey | None = None
    answer: str | bool | None = None
    answered: threading.Event = field(default_factory=threading.Event)

    def give(self, answer: str | bool | None) -> None:
        """Answer and let the asking thread go on. The first answer counts."""
        if not self.answered.is_set():
            self.answer = answer
            self.answered.set()


class AppPrompts:
    """``connectors.base.Prompts`` for the app, one for each session.

    Questions wait in line for ``pump``, which hears of them by ``Asked``. ``close`` gives all of them up and
    whatever is asked later, so no thread is left waiting when the session or the app ends.
    """

    def __init__(self, pump: MessagePump) -> None:
        self._lock = threading.Lock()
        self._pump = pump
        self._waiting: deque[Question] = deque()
        self._closed = False

    def secret(self, server: str, prompt: str) -> str | None:
        answer = self._ask(Question(server, prompt))
        return answer if isinstance(answer, str) else None

    def trust(self, server: str, key: HostKey) -> bool:
        return self._ask(Question(server, "", key)) is True

    def next(self) -> Question | None:
        """The question to be answered now; it stays first in line until it is."""
        with self._lock:
            while self._waiting and self._waiting[0].answered.is_set():
                self._waiting.popleft()
            return self._waiting[0] if self._waiting else None

    def close(self) -> None:
        """Answer everything with no, now and later. May be called twice, from any thread."""
        with self._lock:
            self._closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
        for question in waiting:
            question.give(None)

    def _ask(self, question: Question) -> str | bool | None:
        with self._lock:
            if self._closed:
                return None
            self._waiting.append(question)
        if not post(self._pump, Asked()):
            question.give(None)
        question.answered.wait()
        return question.answer
