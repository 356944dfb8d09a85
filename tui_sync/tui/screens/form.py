"""A profile as a form, with the TOML it comes to beside it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, Static

from tui_sync.errors import ProfileError, TuiSyncError
from tui_sync.names import printable
from tui_sync.tui import actions
from tui_sync.tui.bridge import run_in_thread
from tui_sync.tui.screens.ask import ConfirmDialog, words
from tui_sync.tui.screens.base import FlowScreen
from tui_sync.tui.widgets.choice import Choice
from tui_sync.tui.widgets.sheet import Sheet
from tui_sync.whole import written_whole

if TYPE_CHECKING:
    from tui_sync.profiles import Profile


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a section. ``words``: the only values there are, the first being the default. ``bucket``:
    whether it is for a side that is a bucket, or for any other one; None for both."""

    section: str
    key: str
    label: str
    hint: str = ""
    words: tuple[str, ...] = ()
    many: bool = False
    bucket: bool | None = None

    @property
    def id(self) -> str:
        return f"{self.section}-{self.key}"


_NO_YES = ("false", "true")
_SECRET = "env:NAME  file:PATH  command:CMD  keyring:…  ask"


def _side(side: str) -> tuple[Field, ...]:
    return (
        Field(side, "url", "URL", "sftp://user@host/folder, s3://bucket or /folder"),
        Field(side, "password", "Password", _SECRET, bucket=False),
        Field(side, "identity_file", "Key file", "~/.ssh/id_ed25519", bucket=False),
        Field(side, "endpoint_url", "Server", "https://s3.example.org; empty: Amazon's", bucket=True),
        Field(
            side, "access_key", "Access key", "env:NAME  file:PATH  ask; empty: as AWS tools do", bucket=True
        ),
        Field(side, "secret_key", "Secret key", _SECRET, bucket=True),
    )


FIELDS = (
    *_side("source"),
    *_side("target"),
    Field("sync", "mode", "Mode", words=("copy", "mirror")),
    Field("sync", "compare", "Compare", words=("auto", "size", "mtime", "checksum")),
    Field("sync", "verify", "Verify", words=("auto", "size", "checksum", "readback")),
    Field("sync", "delete", "Deletes", words=("trash", "permanent")),
    Field("sync", "backup", "Keep replaced", words=_NO_YES),
    Field("sync", "trash_keep", "Keep trash", "forever, or 12h, 30d, 8w"),
    Field("sync", "symlinks", "Links", words=("skip", "follow", "copy")),
    Field("sync", "exclude", "Exclude", "*.tmp, .cache/", many=True),
    Field("sync", "max_delete", "Most deletes", "50%"),
    Field("sync", "workers", "Workers", "auto"),
    Field("sync", "bandwidth_limit", "Speed limit", "off"),
)
_HEADS = {"source": "Source: read only", "target": "Target: becomes like the source", "sync": "How"}


@dataclass(frozen=True, slots=True)
class Draft:
    """What a form begins with. ``path`` None: a new profile."""

    text: str = ""
    path: Path | None = None
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class ProfileForm(FlowScreen):
    """Writes one profile; what is typed is checked as the file would be."""

    PLACE = "Profile"
    GROUP = "form"
    BINDINGS: ClassVar[list[BindingType]] = actions.bindings("form")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - Textual declares its type

    def __init__(self, folder: Path, draft: Draft = Draft()) -> None:
        super().__init__()
        self._folder = folder
        self._draft = draft
        self._given = _read(draft)
        self._text = ""
        self._saved_text: str | None = None
        self._testing = False

    def body(self) -> ComposeResult:
        with Horizontal(id="form"):
            with VerticalScroll(id="fields", can_focus=False):
                if self._draft.path is None:
                    with Horizontal(classes="field"):
                        yield words("Name", classes="field-label")
                        yield Input(placeholder="letters, digits, - and _", id="name", compact=True)
                section = ""
                for one in FIELDS:
                    if one.section != section:
                        section = one.section
                        yield words(_HEADS[section], classes="field-head")
                    with Horizontal(classes="field"):
                        yield words(one.label, classes="field-label")
                        value = self._given.get(one.section, {}).get(one.key)
                        if one.words:
                            yield Choice(one.words, _word(value) or one.words[0], id=one.id)
                        else:
                            yield Input(_shown(value), placeholder=one.hint, id=one.id, compact=True)
            with Vertical(id="toml"):
                yield Sheet(id="text")
        yield words("", id="form-problem")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#text", Sheet).border_title = "The file"
        self._update()
        self._saved_text = self._text
        self.query_one("#name" if self._draft.path is None else "#source-url").focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._update()

    def on_choice_changed(self, event: Choice.Changed) -> None:
        self._update()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.focus_next()

    def _path(self) -> Path:
        if self._draft.path is not None:
            return self._draft.path
        return self._folder / f"{self.query_one('#name', Input).value.strip() or 'new'}.toml"

    def _update(self) -> None:
        """Show the file as it would be, and what is wrong with it."""
        if not self.query("#form-problem"):
            return
        for one in FIELDS:
            row = self.query_one(f"#{one.id}").parent
            if row is not None:
                row.display = self._has(one)
        self._text = self._write()
        lines = []
        for line in self._text.splitlines():
            shown = printable(line)
            if line.lstrip().startswith("#"):
                lines.append([("sheet--muted", f" {shown}")])
            elif line.startswith("["):
                lines.append([("sheet--head", f" {shown}")])
            else:
                key, equals, rest = shown.partition("=")
                lines.append([("sheet--mark", f" {key}{equals}"), ("", rest)])
        self.query_one("#text", Sheet).show(lines)
        problem = self.problem()
        box = self.query_one("#form-problem", Static)
        box.update(f"! {problem}" if problem else "✓ This can be saved with ^s.")
        box.set_class(bool(problem), "-bad")
        self.update_keys()

    def _write(self) -> str:
        from tui_sync.profiles.edit import set_keys

        text = self._draft.text
        for section in _HEADS:
            values: dict[str, Any] = dict(self._draft.settings.get(section, {}))
            for one in FIELDS:
                if one.section == section:
                    values[one.key] = self._value(one)
            text = set_keys(text, section, values)
        return text

    def _has(self, one: Field) -> bool:
        """Whether a field is for the kind of place that its side is."""
        if one.bucket is None:
            return True
        url = self.query_one(f"#{one.section}-url", Input).value.strip()
        return url.startswith("s3://") is one.bucket

    def _value(self, one: Field) -> str | int | bool | list[str] | None:
        if not self._has(one):
            return None
        if one.words:
            chosen = self.query_one(f"#{one.id}", Choice).value
            given = one.key in self._given.get(one.section, {})
            if not given and chosen == one.words[0] and one.key != "mode":
                return None
            return chosen == "true" if one.words == _NO_YES else chosen
        typed = self.query_one(f"#{one.id}", Input).value.strip()
        if one.many:
            return [part.strip() for part in typed.split(",") if part.strip()] or None
        if not typed:
            return "" if one.key == "url" else None
        return int(typed) if one.key in ("workers", "max_delete") and typed.isdecimal() else typed

    def problem(self) -> str:
        """What keeps the file from being saved, as a sentence; empty where nothing does."""
        for side in ("source", "target"):
            if not self.query_one(f"#{side}-url", Input).value.strip():
                return f"The {side} needs a URL."
        try:
            self.profile()
        except ProfileError as error:
            return printable(str(error)).removeprefix(f"{printable(str(self._path()))}: ")
        if self._draft.path is None:
            name = self.query_one("#name", Input).value.strip()
            if not name:
                return "It needs a name."
            if "/" in name or name.startswith("."):
                return "The name must be that of a file: letters, digits, - and _."
            if self._path().exists():
                return "There is a profile of this name already."
        return ""

    def profile(self) -> Profile:
        """The profile as it is written now. Raises ProfileError."""
        from tui_sync.profiles.files import parse

        return parse(self._text, self._path())

    def why_not(self, name: str) -> str:
        if name == "save":
            return self.problem()
        if name == "test":
            if self._testing:
                return "Both sides are being tried."
            try:
                self.profile()
            except ProfileError as error:
                return printable(str(error))
        return ""

    def do_save(self) -> None:
        path = self._path()
        try:
            save(path, self._text, new=self._draft.path is None)
        except TuiSyncError as error:
            self.say(printable(str(error)), warning=True)
            return
        self.say(f"Written: {printable(str(path))}")
        self.dismiss()

    def do_test(self) -> None:
        from tui_sync.tui.probe import look_at_both

        profile, prompts = self.profile(), self.ours.new_prompts()
        self._testing = True

        def ended(words: str, fine: bool) -> None:
            self._testing = False
            prompts.close()
            self.say(words, warning=not fine)
            self.update_keys()

        self.say("Trying both sides …")
        run_in_thread(
            self,
            lambda: look_at_both(profile, prompts),
            lambda found: ended(found[1], found[0]),
            lambda sentence: ended(sentence, False),
            name="tui-sync-test",
        )

    def do_back(self) -> None:
        if self._text == self._saved_text:
            self.dismiss()
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.dismiss()

        self.app.push_screen(
            ConfirmDialog("Leave without saving?", ("What you typed is lost.",), yes="Leave", no="Stay"),
            answered,
        )


def save(path: Path, text: str, *, new: bool) -> None:
    """Put a profile's text in place, whole or not at all, readable by nobody else. Raises TuiSyncError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with written_whole(path, replace=not new) as file:
            file.write(text.encode())
    except FileExistsError:
        raise TuiSyncError(f"{printable(str(path))} exists already: choose another name") from None
    except OSError as error:
        raise TuiSyncError(f"{printable(str(path))} cannot be written: {error.strerror}") from None


def _read(draft: Draft) -> dict[str, dict[str, Any]]:
    """The values that a draft has, as far as it can be read."""
    try:
        raw = tomllib.loads(draft.text)
    except tomllib.TOMLDecodeError:
        raw = {}
    given = {section: dict(raw[section]) for section in _HEADS if isinstance(raw.get(section), dict)}
    for section, settings in draft.settings.items():
        given.setdefault(section, {}).update(settings)
    return given


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value or "")


def _shown(value: object) -> str:
    if value is None:
        return ""
    return ", ".join(str(part) for part in value) if isinstance(value, list) else str(value)
