"""A ProxyCommand of the ssh configuration: a program whose standard streams are the line to the server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable

from tui_sync.errors import ConnectError

_END_S = 2.0


def start(command: str) -> tuple[socket.socket, Callable[[], None]]:
    """The near end of the line, and what ends the program. Raises ConnectError.

    The command is the person's own, and run by the shell as ssh does it.
    """
    near, far = socket.socketpair()
    try:
        with far:
            process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=far.fileno(),
                stdout=far.fileno(),
                stderr=subprocess.DEVNULL,
                # An interrupt from the terminal is for this program, which lets files come to their end.
                start_new_session=True,
            )
    except OSError as error:
        near.close()
        raise ConnectError(
            f"cannot start the ProxyCommand of the ssh configuration: {error.strerror}"
        ) from None

    def end() -> None:
        if process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    return near, end
