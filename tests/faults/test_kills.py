"""kill -9 at random moments, again and again: nothing torn, nothing lost, and the next run completes.

``TUI_SYNC_SOAK=200`` kills that often. A failure names its seed; ``TUI_SYNC_SEED`` repeats it.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.pair import leftovers, tree
from tests.faults.proxy import Harm, HarmfulProxy
from tests.support.batch import started, tui_sync
from tests.support.sshd import Sshd
from tui_sync.connectors.sftp.window import MOST as WINDOW
from tui_sync.transfer.partials import NOTE_EVERY

MIB = 1 << 20
KILLS = int(os.environ.get("TUI_SYNC_SOAK", "8")) // 2
SEED = int(os.environ.get("TUI_SYNC_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
LARGE = 32 * MIB
# What a kill costs of a large file: its window, and what the ledger was not told of since its last note.
LOST_OF_ONE = WINDOW + NOTE_EVERY
# Of both, and of the small files in flight.
LOST = 2 * LOST_OF_ONE + 4 * MIB


class Tree:
    """600 files and two large ones; every name's contents so far."""

    def __init__(self, root: Path, dice: random.Random) -> None:
        self.root = root
        self.dice = dice
        self.known: dict[str, set[bytes]] = {}
        self._mtime = 1_600_000_000
        for number in range(600):
            self.put(f"folder {number % 7}/sub {number % 5}/{number}", dice.choice((0, 10, 3_000, 30_000)))
        for number in range(2):
            self.put(f"large {number}", LARGE)

    def put(self, path: str, size: int) -> None:
        data = self.dice.randbytes(size)
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        self._mtime += 10
        os.utime(file, (self._mtime, self._mtime))
        self.known.setdefault(path, set()).add(data)

    def change(self) -> None:
        for number in self.dice.sample(range(600), 100):
            self.put(f"folder {number % 7}/sub {number % 5}/{number}", self.dice.choice((7, 2_000, 20_000)))
        for number in range(2):
            self.put(f"large {number}", LARGE)

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())

    def check(self, target: Path, told: str) -> None:
        for path, data in tree(target).items():
            if data is not None:
                assert path in self.known, f"unknown file {path!r}: {told}"
                assert data in self.known[path], f"torn: {path!r}: {told}"


def profile_through(proxy: HarmfulProxy, sshd: Sshd, home: Path, transport: str) -> Path:
    """From ``source`` to ``target``, both in ``home``."""
    hosts = home / "known_hosts"
    hosts.write_text(sshd.host_key_line.replace(f":{sshd.port} ", f":{proxy.port} ") + "\n")
    url = sshd.url(home / "target").replace(f":{sshd.port}/", f":{proxy.port}/")
    profile = home / "pair.toml"
    profile.write_text(
        f'[source]\nurl = "{home / "source"}"\n[target]\nurl = "{url}"\ntransport = "{transport}"\n'
        f'identity_file = "{sshd.identity_file}"\nknown_hosts = "{hosts}"\n'
    )
    return profile


def test_a_kill_costs_no_more_of_a_file_than_its_window_and_one_note(sshd: Sshd, tmp_path: Path) -> None:
    """Killed where it hurts most: right before the ledger is told of the next part."""
    size = 6 * NOTE_EVERY
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    data = random.Random(8).randbytes(size)
    (tmp_path / "source/large").write_bytes(data)
    stops = [3 * NOTE_EVERY - MIB // 4, 2 * NOTE_EVERY]
    harms = [[Harm("stall", at)] for at in stops]
    with HarmfulProxy(sshd.port, lambda number: harms[number] if number < len(harms) else ()) as proxy:
        profile = profile_through(proxy, sshd, tmp_path, "paramiko")
        for number, at in enumerate(stops):
            with started("--batch", profile, home=tmp_path) as process:
                while len(proxy.lines) <= number or proxy.lines[number].passed["up"] < at:
                    assert process.poll() is None
                    time.sleep(0.01)
                process.send_signal(signal.SIGKILL)
        ran = tui_sync("--batch", "--json", profile, home=tmp_path)
        assert ran.code == 0, ran.err
        assert (tmp_path / "target/large").read_bytes() == data
        assert leftovers(tmp_path / "target") == []
        again = proxy.sent - size
        assert again <= len(stops) * LOST_OF_ONE + size // 50, f"{again / MIB:.1f} MiB were sent again"
        last = proxy.lines[-1].passed["up"]
        assert last <= size - sum(at - LOST_OF_ONE for at in stops) + size // 50, "each run went on"


@pytest.mark.timeout(60 + 20 * KILLS)
@pytest.mark.parametrize("transport", ["paramiko", "openssh"])
def test_killed_again_and_again(sshd: Sshd, tmp_path: Path, transport: str) -> None:
    dice = random.Random(f"{SEED} {transport}")
    source = Tree(tmp_path / "source", dice)
    target = tmp_path / "target"
    target.mkdir()
    wanted = source.size
    with HarmfulProxy(sshd.port) as proxy:
        profile = profile_through(proxy, sshd, tmp_path, transport)
        killed = rounds = 0
        while killed < KILLS:
            told = f"TUI_SYNC_SEED={SEED}, after kill {killed}"
            with started("--batch", profile, home=tmp_path) as process:
                try:
                    code = process.wait(dice.uniform(0.4, 3.0))
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    killed += 1
                else:
                    assert code == 0, told
                    assert tree(target) == tree(source.root), told
                    assert leftovers(target) == [], told
                    source.change()
                    wanted += source.size
                    rounds += 1
            source.check(target, told)
        ran = tui_sync("--batch", "--json", profile, home=tmp_path)
        told = f"TUI_SYNC_SEED={SEED}, {rounds} rounds: {ran.err}"
        assert ran.code == 0, told
        assert tree(target) == tree(source.root), told
        assert leftovers(target) == [], told
        again = tui_sync("--batch", "--json", profile, home=tmp_path).summary
        assert (again["created"], again["updated"], again["unchanged"]) == (0, 0, 602), told
        assert proxy.sent <= 1.05 * wanted + LOST * killed, f"{proxy.sent / wanted:.2f} times: {told}"
