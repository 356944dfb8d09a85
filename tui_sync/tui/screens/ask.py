"""Dialogs: a question with yes or no, a secret, a host key, two places to compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from tui_sync.errors import TuiSyncError
from tui_sync.names import printable
from tui_sync.tui.bridge import Question


def words(content: str, *, id: str | None = None, classes: str = "") -> Static:
    """Text that is never read as markup; line breaks are our own, everything else is printable already."""
    return Static(content, id=id, classes=classes, markup=False)


class ConfirmDialog(ModalScreen[bool]):
    """A question about something that cannot be taken back. Only ``y`` or the button says yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", show=False),
        Binding("n,escape,q", "answer(False)", "No", show=False),
        Binding("left,right,h,l", "other_button", "Other button", show=False),
    ]

    def __init__(self, title: str, lines: tuple[str, ...], *, yes: str, no: str, danger: bool = True) -> None:
        super().__init__(classes="-danger" if danger else "")
        self._heading = title
        self._lines = lines
        self._yes, self._no = yes, no

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield words(self._heading, classes="dialog-title")
            for line in self._lines:
                yield words(line, classes="dialog-line")
            with Horizontal(classes="dialog-buttons"):
                yield Button(f"{self._no} (n)", id="no", compact=True)
                yield Button(f"{self._yes} (y)", id="yes", compact=True)

    def on_mount(self) -> None:
        self.query_one("#no").focus()

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)

    def action_other_button(self) -> None:
        self.focus_next()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")


class SecretDialog(ModalScreen[str | None]):
    """Asks for a password or passphrase; Esc gives up."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "Give up", show=False)]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield words(printable(self._question.server), classes="dialog-title")
            yield words(printable(self._question.prompt), classes="dialog-line")
            yield Input(password=True, id="secret", compact=True)
            yield words("Enter answers · Esc gives up · it is not stored", classes="dialog-hint")

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)

    def action_give_up(self) -> None:
        self.dismiss(None)


class TrustDialog(ModalScreen[bool]):
    """Shows an unknown host key; no is the default."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Trust", show=False),
        Binding("n,escape", "answer(False)", "No", show=False),
        Binding("left,right", "other_button", "Other button", show=False),
    ]

    def __init__(self, question: Question) -> None:
        super().__init__(classes="-danger")
        self._question = question

    def compose(self) -> ComposeResult:
        key = self._question.key
        assert key is not None
        with Vertical(classes="dialog"):
            yield words("Unknown host key", classes="dialog-title")
            yield words(f"Nothing is known yet of {printable(self._question.server)}.", classes="dialog-line")
            yield words(f"Host         {printable(key.host)}", classes="dialog-fact")
            yield words(f"Key type     {printable(key.key_type)}", classes="dialog-fact")
            yield words(f"Fingerprint  {printable(key.fingerprint)}", classes="dialog-fact")
            yield words(
                "Trust it only if the fingerprint is the one its administrator tells you. "
                "It is then remembered, and a different key will be refused.",
                classes="dialog-line",
            )
            with Horizontal(classes="dialog-buttons"):
                yield Button("Do not connect (n)", id="no", compact=True)
                yield Button("Trust this key (y)", id="yes", compact=True)

    def on_mount(self) -> None:
        self.query_one("#no").focus()

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)

    def action_other_button(self) -> None:
        self.focus_next()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")


class InputDialog(ModalScreen["str | None"]):
    """One line of text, checked while it is typed. ``check`` gives what is wrong with it as a sentence, or
    nothing; Enter then hands it over, stripped."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "Give up", show=False)]

    def __init__(
        self,
        title: str,
        lines: tuple[str, ...],
        *,
        value: str = "",
        placeholder: str = "",
        check: Callable[[str], str],
        hint: str,
        danger: bool = False,
    ) -> None:
        super().__init__(classes="-danger" if danger else "")
        self._heading, self._lines, self._hint = title, lines, hint
        self._value, self._placeholder = value, placeholder
        self._check = check

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield words(self._heading, classes="dialog-title")
            for line in self._lines:
                yield words(line, classes="dialog-line")
            yield Input(self._value, placeholder=self._placeholder, id="answer", compact=True)
            yield words("", id="problem")
            yield words(f"{self._hint} · Esc gives up", classes="dialog-hint")

    def on_mount(self) -> None:
        box = self.query_one(Input)
        box.focus()
        box.cursor_position = len(self._value)

    def on_input_changed(self, event: Input.Changed) -> None:
        problem = self._check(event.value.strip()) if event.value.strip() else ""
        self.query_one("#problem", Static).update(f"! {problem}" if problem else "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        problem = self._check(event.value.strip())
        if problem:
            self.query_one("#problem", Static).update(f"! {problem}")
        else:
            self.dismiss(event.value.strip())

    def action_give_up(self) -> None:
        self.dismiss(None)


class TypedDialog(InputDialog):
    """A question that is answered by typing a word, so that nobody answers it by habit."""

    def __init__(self, title: str, lines: tuple[str, ...], *, word: str, does: str) -> None:
        super().__init__(
            title,
            (*lines, f"Type {word} to go on."),
            placeholder=word,
            check=lambda typed: "" if typed == word else f"this is not {word}",
            hint=f"Enter {does}",
            danger=True,
        )


class LimitDialog(InputDialog):
    """A bandwidth limit; what it hands over goes through ``parse_size``."""

    def __init__(self, limit: int | None) -> None:
        super().__init__(
            "Bandwidth limit",
            ("Bytes per second for all files together, such as 20M or 500kB; off lifts it.",),
            value="" if limit is None else limit_text(limit),
            placeholder="off",
            check=_size_problem,
            hint="Enter sets it at once",
        )


def limit_text(limit: int) -> str:
    """A limit as ``parse_size`` reads it."""
    for unit, step in (("GB", 10**9), ("G", 2**30), ("MB", 10**6), ("M", 2**20), ("KB", 1000), ("K", 1024)):
        if limit and limit % step == 0:
            return f"{limit // step}{unit}"
    return str(limit)


def _size_problem(typed: str) -> str:
    from tui_sync.profiles import parse_size

    try:
        parse_size(typed or "off")
    except TuiSyncError as error:
        return printable(str(error))
    return ""


class QuickDialog(ModalScreen["tuple[str, str] | None"]):
    """Two places to compare, checked while they are typed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "Give up", show=False)]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield words("Quick connect", classes="dialog-title")
            yield words("Source: read only", classes="dialog-label")
            yield Input(id="source", placeholder="sftp://user@host/folder or /local/folder", compact=True)
            yield words("Target: becomes like the source", classes="dialog-label")
            yield Input(id="target", placeholder="sftp://user@host/folder or /local/folder", compact=True)
            yield words("", id="problem")
            yield words("Enter compares · Tab next field · Esc gives up", classes="dialog-hint")

    def on_mount(self) -> None:
        self.query_one("#source").focus()

    def _values(self) -> tuple[str, str]:
        source, target = (self.query_one(name, Input).value.strip() for name in ("#source", "#target"))
        return source, target

    def _problem(self) -> str:
        """What is wrong with the two places, as a sentence; empty when nothing is."""
        from tui_sync import profiles

        source, target = self._values()
        if not source or not target:
            return ""
        try:
            profiles.quick(source, target)
        except TuiSyncError as error:
            return printable(str(error))
        return ""

    def on_input_changed(self, event: Input.Changed) -> None:
        problem = self._problem()
        self.query_one("#problem", Static).update(f"! {problem}" if problem else "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        source, target = self._values()
        if not source or not target:
            self.query_one("#target" if source else "#source").focus()
        elif not self._problem():
            self.dismiss((source, target))

    def action_give_up(self) -> None:
        self.dismiss(None)
