"""A real OpenSSH sshd on a free loopback port, with key login, for as long as a ``with`` block lasts."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from tui_sync.connectors.base import Endpoint

_DIRECTORIES = ("/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin", "/opt/homebrew/sbin")


def _program(name: str) -> str | None:
    search = os.pathsep.join([os.environ.get("PATH", ""), *_DIRECTORIES])
    return shutil.which(name, path=search)


def sshd_missing() -> str | None:
    """Why no sshd can be started here; None where it can."""
    for name in ("sshd", "ssh-keygen"):
        if _program(name) is None:
            return f"{name} is not installed (Debian: apt-get install openssh-server)"
    return None


def make_key(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> Path:
    """A new private key at ``path``, its public half at ``path``.pub."""
    keygen = _program("ssh-keygen")
    assert keygen is not None
    command = [keygen, "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Sshd:
    """Serves the machine's own file system to the user who runs the tests.

    ``identity_file`` logs in; ``known_hosts`` trusts the server; ``host_key_line`` is the line in it.
    """

    def __init__(self, folder: Path, extra_config: str = "", *, host_key: Path | None = None) -> None:
        self.folder = folder
        self.host = "127.0.0.1"
        self.port = 0
        self.pid = 0
        self.user = getpass.getuser()
        self._extra_config = extra_config
        self._host_key = host_key
        self._process: subprocess.Popen[bytes] | None = None
        self.identity_file = folder / "identity"
        self.known_hosts = folder / "known_hosts"
        self.host_key_line = ""

    def url(self, path: str | Path) -> str:
        return f"sftp://{self.user}@{self.host}:{self.port}{path}"

    def endpoint(self, path: str | Path, **options: object) -> Endpoint:
        """``path`` on the server as a connector gets it; ``options`` over those that log in."""
        known = {"identity_file": str(self.identity_file), "known_hosts": str(self.known_hosts)}
        return Endpoint(
            self.url(path), "sftp", str(path), self.host, self.port, self.user, {**known, **options}
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start, or start again on the same port after ``stop``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        host_key = self._host_key or self.folder / "host_key"
        if not host_key.exists():
            make_key(host_key)
        if not self.identity_file.exists():
            make_key(self.identity_file)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        public = host_key.with_name(host_key.name + ".pub").read_text().split()
        log = self.folder / "sshd.log"
        for attempt in range(5):
            if not self.port or attempt:
                self.port = free_port()
            config = self.folder / "sshd_config"
            config.write_text(self._config(host_key))
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [str(_program("sshd")), "-D", "-e", "-f", str(config)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
            if self._answers():
                break
            self.stop()
        else:
            raise RuntimeError(f"sshd did not start: {log.read_text()[-2000:]}")
        self.pid = self._process.pid
        self.host_key_line = f"[{self.host}]:{self.port} {public[0]} {public[1]}"
        self.known_hosts.write_text(self.host_key_line + "\n")

    def stop(self) -> None:
        """End the server and the sessions it started."""
        process, self._process = self._process, None
        if process is None:
            return
        children = self.sessions(process.pid)
        process.terminate()
        process.wait(10)
        _end(children)

    def cut(self) -> int:
        """End all sessions that are under way, as a crash would; the server goes on. Returns their number."""
        assert self._process is not None
        children = self.sessions(self._process.pid)
        _end(children)
        return len(children)

    @staticmethod
    def sessions(parent: int) -> list[int]:
        """The processes that a server with this pid started, their own children included."""
        found: list[int] = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                pid = int(stat.parent.name)
                found += [pid, *Sshd.sessions(pid)]
        return found

    def _answers(self) -> bool:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                return False
            try:
                with socket.create_connection((self.host, self.port), 1) as connection:
                    connection.settimeout(5)
                    return connection.recv(4) == b"SSH-"
            except OSError:
                time.sleep(0.02)
        return False

    def _config(self, host_key: Path) -> str:
        (self.folder / "authorized_keys").write_text(
            self.identity_file.with_name(self.identity_file.name + ".pub").read_text()
        )
        lines = [
            self._extra_config,
            f"ListenAddress {self.host}:{self.port}",
            f"HostKey {host_key}",
            f"PidFile {self.folder}/sshd.pid",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "UsePAM no",
            "StrictModes no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin yes",
            "MaxStartups 100:30:200",
            "PrintMotd no",
            # Not the program: starting it through the user's shell takes longer than most tests.
            "Subsystem sftp internal-sftp",
        ]
        return "\n".join(lines) + "\n"


def _end(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
