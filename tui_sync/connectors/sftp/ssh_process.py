"""An ssh process, with the pipes that lead to it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping

from tui_sync.connectors.sftp.pipes import pipe
from tui_sync.errors import ConnectError
from tui_sync.names import printable

_KEPT = 8 << 10
_SHOWN = 300
_LOGGED_IN = b"Authenticated to "
_NOISE = re.compile(
    r"Authenticated to |Transferred: |Bytes per second|Connection to .* closed|Warning: Permanently added"
    r"|debug\d: |Server accepts key|Connecting to |mux_client_request_session: read from master failed"
)


class SshProcess:
    """An ssh process with its pipes, and the end of what it said on stderr.

    Raises ConnectError where it cannot be started.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._said = b""
        # What it had said when it was logged in.
        self.greeting = b""
        self._logged_in = threading.Event()
        terminal = _has_terminal()
        process: subprocess.Popen[bytes] | None = None
        ours, theirs = [], []
        try:
            for number in range(3):
                reading, writing = pipe() if number < 2 else os.pipe()
                # stdin is read by ssh, stdout and stderr by us.
                theirs.append(reading if number == 0 else writing)
                ours.append(writing if number == 0 else reading)
            process = self._process = subprocess.Popen(
                command,
                stdin=theirs[0],
                stdout=theirs[1],
                stderr=theirs[2],
                env=dict(environment),
                # An interrupt from the terminal is for this program, which lets files come to their end, and
                # without a terminal ssh asks nobody but the askpass program. Where there is none a session of
                # its own would do no more than have ssh scheduled apart from us (sched(7), autogroup).
                start_new_session=terminal,
                process_group=None if terminal else 0,
            )
            self.writing, self.reading, stderr = ours
            threading.Thread(target=self._listen, args=(stderr,), name="tui-sync-ssh", daemon=True).start()
        except (OSError, RuntimeError) as error:
            if process is not None:
                # With what it has started.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            for descriptor in ours:
                os.close(descriptor)
            raise ConnectError(f"cannot start ssh: {why(error)}") from None
        finally:
            for descriptor in theirs:
                os.close(descriptor)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def logged_in(self) -> bool:
        return self._logged_in.is_set()

    def wait_for_login(self, seconds: float) -> None:
        self._logged_in.wait(seconds)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """That of the remote program, or 255 for troubles of its own, or None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within that time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def signal(self, number: int) -> None:
        # With it those it has started, like a ProxyCommand.
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, number)

    def words(self) -> str:
        """What it last said that is worth telling, on one line."""
        lines = [line.strip() for line in self._said.decode("utf-8", "replace").splitlines()]
        told = [line for line in lines if line and not _NOISE.match(line)]
        return printable("; ".join(told)[-_SHOWN:])

    def _listen(self, stderr: int) -> None:
        with os.fdopen(stderr, "rb", buffering=0) as stream:
            while data := stream.read(_KEPT):
                self._said = (self._said + data)[-_KEPT:]
                if not self.logged_in and _LOGGED_IN in self._said:
                    self.greeting = self._said
                    self._logged_in.set()
        self._process.wait()


def _has_terminal() -> bool:
    """Whether this program has one: what it starts would share it, for questions and interrupts."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError as error:
        # No more files may be open: then it is not known.
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return True


def why(error: OSError | RuntimeError) -> str:
    """What the system says, in its words."""
    return str((isinstance(error, OSError) and error.strerror) or error)
