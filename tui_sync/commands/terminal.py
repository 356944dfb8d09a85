"""Questions to whoever sits at the terminal, and lines to stdout."""

from __future__ import annotations

import base64
import getpass
import sys

from tui_sync.batch.prompts import RefusingPrompts
from tui_sync.connectors.base import HostKey, Prompts
from tui_sync.connectors.sftp.randomart import randomart
from tui_sync.names import printable

QUESTION = "Is this the server's own fingerprint, and do you trust it from now on?"


def say(line: str = "") -> None:
    """One line of stdout."""
    sys.stdout.write(f"{line}\n")


def note(line: str) -> None:
    """One line of stderr."""
    sys.stderr.write(f"{line}\n")


def interactive() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str) -> bool:
    """Only a whole ``yes`` is one."""
    sys.stdout.flush()
    sys.stderr.write(f"{question} [yes/no] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() == "yes"


def prompts() -> Prompts:
    """Asks at the terminal, refuses where there is none."""
    return TerminalPrompts() if interactive() else RefusingPrompts()


def show_key(server: str, key: HostKey) -> None:
    """A host key the way ``ssh-keygen -lv`` prints it."""
    note(f"{printable(server)} offers {key.key_type} {key.fingerprint}")
    for line in randomart(base64.b64decode(key.line.split()[2])):
        note(line)


class TerminalPrompts:
    """``connectors.base.Prompts`` at a terminal."""

    def secret(self, server: str, prompt: str) -> str | None:
        sys.stdout.flush()
        try:
            return getpass.getpass(f"{printable(server)}: {printable(prompt)}: ") or None
        except EOFError:
            return None

    def trust(self, server: str, key: HostKey) -> bool:
        show_key(server, key)
        return confirm(QUESTION)
