"""Secrets by reference: where one is found is written down, what it is never is.

A reference is ``env:NAME``, ``file:PATH``, ``command:CMD``, ``keyring:SERVICE/USER`` or ``ask``. It is
resolved each time a connector asks, and the value is kept nowhere. No message holds a value, the output of a
command or its arguments.
"""

from __future__ import annotations

import atexit
import os
import re
import shlex
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from tui_sync.errors import ProfileError, UsageError
from tui_sync.names import printable

COMMAND_SECONDS = 30.0
# At most, for one that is being started when the program ends: its folder may never answer.
_START_SECONDS = 1.0
_LONGEST = 65536

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_FORMS = "env:NAME, file:PATH, command:CMD, keyring:SERVICE/USER or ask"
KEYRING_EXTRA = "pip install 'tui-sync[keyring]'"


_running: set[subprocess.Popen[bytes]] = set()
# Of those that are being started, set when they have.
_starting: set[threading.Event] = set()
_ending = threading.Event()


@atexit.register
def _end_commands() -> None:
    """Those that nobody waits for any more."""
    _ending.set()
    deadline = time.monotonic() + _START_SECONDS
    _kill_all()
    with suppress(KeyboardInterrupt):
        for started in list(_starting):
            started.wait(max(0.0, deadline - time.monotonic()))
    _kill_all()


def _forget_commands() -> None:
    """In a fork: they are those of the program that forked."""
    _running.clear()
    _starting.clear()


os.register_at_fork(after_in_child=_forget_commands)


def _kill_all() -> None:
    for process in list(_running):
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class Secret:
    """A reference that resolves when called, and shows itself only as one."""

    __slots__ = ("_resolve", "_shown")

    def __init__(self, shown: str, resolve: Callable[[], str]) -> None:
        self._shown = shown
        self._resolve = resolve

    def __call__(self) -> str:
        """The secret itself. Raises ProfileError naming the reference that failed."""
        return self._resolve()

    def __repr__(self) -> str:
        return f"<secret from {self._shown}>"


def check_reference(text: object) -> str:
    """Return ``text`` if it is a well-formed reference; else a ValueError that goes on after the key."""
    if not isinstance(text, str):
        raise ValueError(f"must be a reference in quotes: {_FORMS}")
    kind, colon, rest = text.partition(":")
    if text == "ask":
        return text
    if kind not in ("env", "file", "command", "keyring") or not colon:
        raise ValueError(f"must be a reference such as env:NAME and never the secret itself: use {_FORMS}")
    if kind == "env" and not _NAME.fullmatch(rest):
        raise ValueError("needs the name of an environment variable after env: (letters, digits and _)")
    if kind == "file" and (not rest.strip() or "\0" in rest):
        raise ValueError("needs the path of a file after file:")
    if kind == "command":
        try:
            words = shlex.split(rest)
        except ValueError:
            words = []
        if not words or "\0" in rest:
            raise ValueError("needs a command after command:, with its quotes closed")
    if kind == "keyring" and not all(keyring_entry(rest)):
        raise ValueError("needs a service and a user after keyring:, as in keyring:tui-sync/me@host")
    return text


def keyring_entry(text: str) -> tuple[str, str]:
    """``SERVICE/USER``, where the service may hold slashes; one of them is empty where it is none."""
    service, slash, user = text.rpartition("/")
    plain = bool(slash) and text.isprintable() and text == text.strip()
    return (service, user) if plain else ("", "")


def secret(reference: str, *, where: str, base: Path) -> Secret | None:
    """The callable for a checked reference, None for ``ask``: the connector then asks a person.

    ``where`` (``FILE: source.password``) begins the messages; a relative ``file:`` starts from ``base``.
    """
    kind, _, rest = reference.partition(":")
    if kind == "env":
        return Secret(f"env:{rest}", lambda: _from_env(rest, where))
    if kind == "file":
        # Not expanded before it is asked for: a home folder may be missing without harm until then.
        return Secret("file:…", lambda: _from_file(rest, base, where))
    if kind == "command":
        return Secret("command:…", lambda: _from_command(rest, base, where))
    if kind == "keyring":
        return Secret("keyring:…", lambda: _from_keyring(rest, where))
    return None


def store_in_keyring(entry: str, value: str) -> None:
    """Put a secret where ``keyring:ENTRY`` finds it. Raises UsageError."""
    service, user = keyring_entry(entry)
    if not service or not user:
        raise UsageError(f"“{printable(entry)}” is no place in the keyring: write SERVICE/USER")
    if not value or "\n" in value or "\0" in value:
        raise UsageError("a secret is one line that is not empty: nothing was stored")
    problem = _ask_keyring(lambda keyring: keyring.set_password(service, user, value))[1]
    if problem:
        raise UsageError(f"the keyring cannot store the secret: {problem}")


def _from_keyring(entry: str, where: str) -> str:
    service, user = keyring_entry(entry)
    value, problem = _ask_keyring(lambda keyring: keyring.get_password(service, user))
    if problem:
        raise ProfileError(f"{where}: the keyring gives nothing: {problem}")
    if not value:
        raise ProfileError(
            f"{where}: the keyring has no entry {printable(entry)}: store it with "
            f"tui-sync profiles set-secret {printable(shlex.quote(entry))}"
        )
    return value


def _ask_keyring(request: Callable[[Any], str | None]) -> tuple[str | None, str]:
    """The answer, and why there is none. In a thread of its own: it may wait for a person to unlock it."""
    try:
        keyring = import_module("keyring")
    except ModuleNotFoundError:
        return None, f"it needs the package keyring: {KEYRING_EXTRA}"
    answers: list[tuple[str | None, str]] = []

    def ask() -> None:
        try:
            answers.append((request(keyring), ""))
        except Exception as error:  # noqa: BLE001 - every backend has errors of its own, whose text may hold secrets
            answers.append((None, f"{type(error).__name__}; is there a keyring, and is it unlocked?"))

    thread = threading.Thread(target=ask, name="tui-sync-keyring", daemon=True)
    thread.start()
    thread.join(COMMAND_SECONDS)
    return answers[0] if answers else (None, f"no answer within {COMMAND_SECONDS:.0f} s: unlock it first")


def _from_env(name: str, where: str) -> str:
    value = os.environ.get(name)
    if not value:
        state = "is empty" if value == "" else "is not set"
        raise ProfileError(f"{where}: the environment variable {name} {state}: set it and start again")
    return value


def _from_file(text: str, base: Path, where: str) -> str:
    try:
        path = base / Path(text).expanduser()
    except RuntimeError:
        raise ProfileError(
            f"{where}: the user after ~ in file: does not exist: write the path in full"
        ) from None
    name = printable(str(path))
    try:
        # Not waiting for a writer, where someone has put a pipe there.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise ProfileError(f"{where}: {name} is no regular file: name the file that holds the secret")
            if status.st_mode & 0o077:
                quoted = printable(shlex.quote(str(path)))
                raise ProfileError(f"{where}: other users can reach the file {name}: run chmod 600 {quoted}")
            data = file.read(_LONGEST + 1)
    except OSError as error:
        raise ProfileError(
            f"{where}: cannot read the file {name} ({error.strerror}): check its path"
        ) from None
    return _text(data, f"{where}: the file {name}")


def _from_command(command: str, base: Path, where: str) -> str:
    words = shlex.split(command)
    program = printable(words[0])
    try:
        process = _start(words, base)
    except OSError as error:
        raise ProfileError(f"{where}: cannot start {program} ({error.strerror}): check the command") from None
    if process is None:
        raise ProfileError(f"{where}: {program} was not started: tui-sync is ending")
    output: bytes | None = None
    with process:
        try:
            with suppress(subprocess.TimeoutExpired):
                output, _ = process.communicate(timeout=COMMAND_SECONDS)
        finally:
            if output is None:
                _kill(process)
            _running.discard(process)
    # Raised outside the handler: what was read so far must not hang on to the exception.
    if output is None:
        raise ProfileError(
            f"{where}: {program} gave nothing within {COMMAND_SECONDS:.0f} s: run it by hand to see why"
        )
    if process.returncode != 0:
        how = (
            f"signal {-process.returncode}" if process.returncode < 0 else f"exit status {process.returncode}"
        )
        raise ProfileError(f"{where}: {program} ended with {how}: run it by hand to see why")
    return _text(output, f"{where}: the output of {program}")


def _start(words: list[str], base: Path) -> subprocess.Popen[bytes] | None:
    """A command, known to the end of this program, or None when that has come. Raises OSError."""
    started = threading.Event()
    _starting.add(started)
    try:
        if _ending.is_set():
            return None
        # A session of its own, so that all it started can be ended with it.
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=base,
            start_new_session=True,
        )
        _running.add(process)
        return process
    finally:
        started.set()
        _starting.discard(started)


def _text(data: bytes, what: str) -> str:
    problem = ""
    value = ""
    if len(data) > _LONGEST:
        problem = "is too long for a secret"
    else:
        try:
            value = data.decode("utf-8")
        except UnicodeDecodeError:
            problem = "is not UTF-8 text"
    # Raised outside the handler: the decoder's error holds the bytes.
    if problem:
        raise ProfileError(f"{what} {problem}: let it hold the secret alone")
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise ProfileError(f"{what} is empty: let it hold the secret alone")
    if "\n" in value or "\0" in value:
        # No server asks for such a secret; it would only be refused there without a reason.
        raise ProfileError(f"{what} has more than one line: let it hold the secret alone")
    return value
