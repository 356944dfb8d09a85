"""SSH by the system's ssh program: whatever the person's configuration, agents and keys can do works here.

The first process logs in and carries the first channel; it is the master (ssh_config(5), ControlMaster) of
those that are started for further channels, which need no login of their own. A process ends with the pipes
that lead to it, also when this program is killed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tui_sync.connectors.sftp.askpass import Askpass
from tui_sync.connectors.sftp.login import Login
from tui_sync.connectors.sftp.openssh_options import PROGRAM, arguments, write_config
from tui_sync.connectors.sftp.pipes import PipeChannel
from tui_sync.connectors.sftp.private_folder import PrivateFolder
from tui_sync.connectors.sftp.ssh_process import SshProcess, why
from tui_sync.errors import (
    ConnectError,
    ConnectionLost,
    LoginRefused,
    NotSupported,
    StorageError,
    UsageError,
)
from tui_sync.names import printable

_LOGIN_S = 60.0
_END_S = 1.0
# For all of them.
_CLOSE_S = 3.0
_TICK_S = 0.02
# The exit code for troubles of its own, and of the line.
_FAILED = 255
_ADDRESS = re.compile(rb"Authenticated to \S+ \(\[(?P<address>[^\]]+)\]:(?P<port>\d+)\)")
_PASSPHRASE = re.compile(r"Enter passphrase for (?:key )?'?(?P<path>.*?)'?: ?$")


def installed() -> bool:
    return shutil.which(PROGRAM) is not None


def sees_the_same_home() -> bool:
    """Whether ssh, which asks the system for the home folder, finds the files there that we would."""
    try:
        return os.path.expanduser("~") == pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return False


class Dialer:
    """Makes logins for one endpoint; ``abort`` ends those under way."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._lock = threading.Lock()
        self._aborted = False
        self._under_way: list[OpensshTransport] = []
        self._begun: OpensshTransport | None = None

    def begin(self) -> None:
        """Start the login that the first ``connect`` waits for. Raises ConnectError, or UsageError."""
        if not installed():
            raise UsageError(
                'the ssh program is not installed: install it, or write transport = "paramiko" in the profile'
            )
        self._begun = self._start()

    def connect(self) -> OpensshTransport:
        """Log in; asks about an unknown host key.

        Raises ConnectError, UnknownHostKey, ChangedHostKey, LoginRefused, or UsageError.
        """
        try:
            return self._connect()
        except _HostKeyFailed as failed:
            words = failed.args[0]
        # Who offers what is for paramiko to find out: it asks, or raises. Slow to load, and seldom needed.
        from tui_sync.connectors.sftp import paramiko_transport

        with contextlib.suppress(UsageError):
            paramiko_transport.trust(self._login)
            with contextlib.suppress(_HostKeyFailed):
                return self._connect()
        raise ConnectError(f"ssh does not trust the host key of {self._login.server}: it says “{words}”")

    def abort(self) -> None:
        """Never raises."""
        with self._lock:
            self._aborted = True
            under_way = list(self._under_way)
        for transport in under_way:
            transport.close()

    def _start(self) -> OpensshTransport:
        transport = OpensshTransport(self._login)
        with self._lock:
            self._under_way.append(transport)
        return transport

    def _connect(self) -> OpensshTransport:
        begun, self._begun = self._begun, None
        transport = begun or self._start()
        try:
            with self._lock:
                aborted = self._aborted
            if aborted:
                raise ConnectError("the connection was closed")
            transport.log_in()
        except BaseException:
            transport.close()
            raise
        finally:
            with self._lock:
                self._under_way.remove(transport)
        return transport


class _HostKeyFailed(Exception):
    """ssh knows no key of this host, or another one. Its words."""


_OPEN: set[OpensshTransport] = set()
_ending = threading.Event()
# They are those of the program that forked.
os.register_at_fork(after_in_child=_OPEN.clear)


@atexit.register
def _close_all() -> None:
    """A login that nobody waits for any more has yet to come to its end, and its folder to go."""
    _ending.set()
    opened = list(_OPEN)
    # Once more where an interrupt came in between.
    for transport in [*opened, *opened]:
        with contextlib.suppress(KeyboardInterrupt):
            if transport in _OPEN:
                transport.close()


class OpensshTransport:
    """One login, see ``transport.SshTransport``."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._folder = PrivateFolder()
        self._lock = threading.Lock()
        # Held while anything is started, so that ``close`` knows of it.
        self._starting = threading.RLock()
        # Entered again where an interrupt left it held.
        self._closing = threading.RLock()
        self._closed = False
        self._failure: BaseException | None = None
        self._asked: set[str] = set()
        self._processes: list[SshProcess] = []
        self._askpass: Askpass | None = None
        self._first: SshProcess | None = None
        _OPEN.add(self)
        try:
            with self._starting:
                if self._closed or _ending.is_set():
                    raise ConnectError("the connection was closed")
                self._folder.make()
                write_config(self._config, login)
                self._askpass = Askpass(self._folder, self._answer)
            # The person's configuration is asked, which may run programs: ``close`` does not wait for that.
            options = arguments(login, self._config)
            master = ["-M", "-S", self._socket, "-o", "ControlPersist=no", "-o", "LogLevel=VERBOSE"]
            with self._starting:
                self._master = self._first = self._start([*master, *options])
        except (OSError, RuntimeError) as error:
            self.close()
            raise ConnectError(f"cannot start ssh: {why(error)}") from None
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        return not self._closed and self._master.running

    def log_in(self) -> None:
        """Wait until it is done. Raises as ``Dialer.connect`` does."""
        deadline = time.monotonic() + _LOGIN_S
        askpass = self._askpass
        assert askpass is not None
        while not self._master.logged_in:
            if self._failure is not None or not self._master.running:
                break
            if askpass.asking:
                deadline = time.monotonic() + _LOGIN_S
            if time.monotonic() > deadline:
                raise ConnectError(f"{self._login.server} did not let us in within {_LOGIN_S:g} s")
            self._master.wait_for_login(_TICK_S)
        if self._master.logged_in:
            return
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise ConnectError("the connection was closed")
        raise self._refusal()

    @property
    def server(self) -> str:
        match = _ADDRESS.search(self._master.greeting)
        if match is None:
            return self._login.address.lower()
        return f"{match['address'].decode()}:{match['port'].decode()}"

    def open_sftp(self) -> PipeChannel:
        with self._lock:
            process, self._first = self._first, None
        lacking = NotSupported if process is None else ConnectionLost
        process = process or self._join(None)
        return _channel(process, lambda received: self._end_of(process, received), lacking, packets=True)

    def open_command(self, command: str) -> PipeChannel:
        process = self._join(command)
        words = "the command on the server has ended"
        return _channel(process, lambda _: ConnectionLost(words), NotSupported, packets=False)

    def _join(self, command: str | None) -> SshProcess:
        """A process for one more channel of the login, see ``openssh_options.arguments``."""
        if not self.alive:
            raise ConnectionLost("the connection was lost")
        try:
            return self._start(
                [
                    *("-S", self._socket, "-o", "ControlMaster=no", "-o", "LogLevel=ERROR"),
                    # Never a login of its own, should the master be gone.
                    *("-o", "ProxyCommand=false", *arguments(self._login, self._config, command)),
                ]
            )
        except ConnectError as error:
            if self._closed:
                raise ConnectionLost(str(error)) from None
            # Something is short here, as open files may be: those channels that there are go on.
            raise NotSupported(str(error)) from None

    @property
    def _config(self) -> Path:
        return self._folder.file("config")

    @property
    def _socket(self) -> str:
        return str(self._folder.file("m"))

    def close(self) -> None:
        self._closed = True
        # Where another thread does it already, the end of the program would cut it short.
        if not self._closing.acquire(timeout=_CLOSE_S):
            return
        try:
            self._end()
            _OPEN.discard(self)
        finally:
            self._closing.release()

    def _end(self) -> None:
        """Does what is left of it where it was called before, and perhaps interrupted."""
        if self._starting.acquire(timeout=_END_S):
            self._starting.release()
        with self._lock:
            processes = list(self._processes)
            first, self._first = self._first, None
        if first is not None:
            os.close(first.reading)
            os.close(first.writing)
        for process in reversed(processes):
            process.signal(signal.SIGTERM)
        deadline = time.monotonic() + _END_S
        for process in processes:
            if not process.wait(max(0.0, deadline - time.monotonic())):
                process.signal(signal.SIGKILL)
                process.wait(_END_S)
        with self._lock:
            self._processes = [one for one in self._processes if one.running]
        if self._askpass is not None:
            self._askpass.close()
        self._folder.remove()

    def _start(self, arguments: list[str]) -> SshProcess:
        assert self._askpass is not None
        environment = {
            **os.environ,
            "SSH_ASKPASS": str(self._askpass.program),
            "SSH_ASKPASS_REQUIRE": "force",
            "DISPLAY": os.environ.get("DISPLAY", ":"),
            # What ssh says is read here.
            "LC_ALL": "C",
        }
        with self._starting:
            if self._closed:
                raise ConnectError("the connection was closed")
            process = SshProcess([PROGRAM, *arguments], environment)
            with self._lock:
                self._processes = [*(one for one in self._processes if one.running), process]
            if self._closed:
                # Too slow for ``close``, which waits for no more than a moment.
                process.signal(signal.SIGKILL)
        return process

    def _answer(self, asker: int, question: str) -> str | None:
        try:
            with self._starting:
                master = self._master
            return self._reply(question, ours=asker == master.pid)
        except BaseException as error:  # noqa: BLE001 - raised again by log_in, which is waited for
            self._fail(error)
            return None

    def _reply(self, question: str, *, ours: bool) -> str | None:
        """``ours``: asked for the server itself, and not for a host that is only passed on the way."""
        login = self._login
        match = _PASSPHRASE.match(question)
        if match is not None:
            path = Path(match["path"])
            if question in self._asked:
                login.forget_passphrase(path)
                if login.passphrase_configured(path):
                    return None
            self._asked.add(question)
            return login.passphrase(path)
        if not ours:
            # The whole question, which names the host: what is kept for the server is not for that one.
            answer = login.prompts.secret(login.server, printable(question.strip().rstrip(":")))
            if answer is None:
                self._decline("there is no answer to what a jump host asks")
            return answer
        prompt = printable(question.rpartition(") ")[2].strip().rstrip(":")) or "Password"
        if "password" in prompt.lower():
            prompt = "Password" if prompt.endswith("'s password") else prompt
            if question in self._asked:
                login.forget_password()
                if login.configured("password"):
                    self._decline("the password of the profile is wrong")
                    return None
            self._asked.add(question)
            answer = login.password(prompt)
        else:
            answer = login.prompts.secret(login.server, prompt)
        if answer is None:
            self._decline(f"there is no answer to its question “{prompt}”")
        return answer

    def _decline(self, why: str) -> None:
        self._fail(LoginRefused(f"cannot log in to {self._login.server}: {why}"))

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        # It would go on and try an empty one.
        self._master.signal(signal.SIGTERM)

    def _refusal(self) -> ConnectError | _HostKeyFailed:
        """Why the login failed."""
        self._master.wait(_END_S)
        time.sleep(_TICK_S)
        words = self._master.words()
        said = f"ssh says “{words}”" if words else "ssh ended without a word"
        if "Host key verification failed" in words or "strict checking" in words:
            return _HostKeyFailed(words)
        if "Permission denied" in words or "Too many authentication failures" in words:
            return LoginRefused(f"{self._login.server} refuses the login: {said}")
        if "Bad configuration option" in words or "Bad owner or permissions" in words:
            return ConnectError(f"the ssh configuration cannot be used: {said}")
        return ConnectError(f"cannot connect to {self._login.server}: {said}")

    def _end_of(self, process: SshProcess, received: bool) -> StorageError:
        """Why a channel's stream has ended."""
        if self._closed:
            return ConnectionLost("the connection was closed")
        process.wait(_END_S)
        words = process.words() or (self._master.words() if process is not self._master else "")
        if not received and self._master.running and process is not self._master:
            return NotSupported(f"the server refuses a further session: ssh says “{words}”")
        code = process.code
        ended = code is not None and 0 <= code < _FAILED
        if not received and ("subsystem request failed" in words or ended):
            return NotSupported("the server does not offer SFTP to this user")
        return ConnectionLost(
            f"the connection was lost: ssh says “{words}”"
            if words
            else "the connection was lost: the server closed it"
        )


def _channel(
    process: SshProcess,
    ended: Callable[[bool], StorageError],
    lacking: type[StorageError],
    *,
    packets: bool,
) -> PipeChannel:
    """``lacking``: what to raise where there can be no more pipes."""
    try:
        return PipeChannel(process.reading, process.writing, ended, packets=packets)
    except OSError as error:
        raise lacking(f"cannot open a channel: {error.strerror}") from None
