"""Answers what the ssh program asks: a helper that ssh starts brings the question here over a private socket.

ssh(1), SSH_ASKPASS. Neither question nor answer is ever an argument or in the environment of our making; the
answer is written to the helper's own connection, and the socket lies in a folder that nobody else can enter.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import sys
import threading
from collections.abc import Callable

from tui_sync.connectors.sftp.private_folder import PrivateFolder

_ANSWER_S = 600.0
_LONGEST = 4096
_HELPER = """\
import os, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect(sys.argv[1])
question = sys.argv[2].encode("utf-8", "surrogateescape")[:{longest}]
line.sendall(b"%d %b\\0" % (os.getppid(), question))
answer = line.makefile("rb").read()
if not answer.endswith(b"\\0"):
    sys.exit(1)
sys.stdout.buffer.write(answer[:-1] + b"\\n")
"""


class Askpass:
    """``answer`` gets the process that asks and its question, and gives None to decline; it may block while a
    person thinks, and never raises. The process tells whose question it is: for a jump host ssh starts an ssh
    of its own, which asks by the same program."""

    def __init__(self, folder: PrivateFolder, answer: Callable[[int, str], str | None]) -> None:
        self._answer = answer
        self._socket = folder.file("a")
        self.program = folder.file("askpass")
        helper = _HELPER.format(longest=_LONGEST)
        # A hint (a key that wants to be touched) asks nothing, and nobody is there to confirm the use of one.
        self.program.write_text(
            '#!/bin/sh\ncase "$SSH_ASKPASS_PROMPT" in none) exit 0 ;; confirm) exit 1 ;; esac\n'
            f"exec {shlex.quote(sys.executable)} -I -c {shlex.quote(helper)} "
            f'{shlex.quote(str(self._socket))} "$1"\n'
        )
        self.program.chmod(0o700)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._socket))
        os.chmod(self._socket, 0o600)
        self._listener.listen(4)
        self.asking = 0
        threading.Thread(target=self._serve, name="tui-sync-askpass", daemon=True).start()

    def close(self) -> None:
        """Answer no more. Never raises."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self.asking += 1
            try:
                with line, contextlib.suppress(OSError):
                    line.settimeout(_ANSWER_S)
                    self._serve_one(line)
            finally:
                self.asking -= 1

    def _serve_one(self, line: socket.socket) -> None:
        question = b""
        while not question.endswith(b"\0"):
            part = line.recv(_LONGEST)
            if not part:
                return
            question += part
        asker, _, text = question[:-1].decode("utf-8", "replace").partition(" ")
        answer = self._answer(int(asker), text)
        if answer is not None:
            line.sendall(answer.encode("utf-8") + b"\0")
