"""Lines to a real sshd that are cut, stalled, slowed down and corrupted at chosen bytes."""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.pair import QUICK, leftovers
from tests.faults.proxy import Direction, Harm, HarmfulProxy
from tests.support.sshd import Sshd
from tui_sync import profiles
from tui_sync import session as sessions
from tui_sync.batch import BatchOptions, run_batch
from tui_sync.connectors.sftp import paramiko_transport
from tui_sync.connectors.sftp.session import SftpSession

MIB = 1 << 20


class Ways:
    """Both sides are folders of one sshd; one of them is reached through a proxy."""

    def __init__(self, sshd: Sshd, home: Path, side: str, proxy: HarmfulProxy) -> None:
        self.proxy = proxy
        self.home = home
        self.source, self.target = home / "source", home / "target"
        hosts = home / "known_hosts"
        through = sshd.host_key_line.replace(f":{sshd.port} ", f":{proxy.port} ")
        hosts.write_text(f"{sshd.host_key_line}\n{through}\n")
        text = ""
        for name in ("source", "target"):
            (home / name).mkdir()
            url = sshd.url(home / name)
            if name == side:
                url = url.replace(f":{sshd.port}/", f":{proxy.port}/")
            text += f'[{name}]\nurl = "{url}"\nidentity_file = "{sshd.identity_file}"\n'
            text += f'known_hosts = "{hosts}"\ntransport = "paramiko"\n'
        self.profile = home / "pair.toml"
        self.profile.write_text(text)

    def sync(self) -> tuple[int, list[dict[str, Any]]]:
        out = io.StringIO()
        profile = profiles.load(self.profile)
        options = BatchOptions(as_json=True, state_dir=self.home / "state", stdout=out, stderr=io.StringIO())
        code = run_batch(profile, options)
        return code, [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.fixture
def ways(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, Callable[[int], Sequence[Harm]]], Ways]]:
    monkeypatch.setattr(sessions, "Retry", lambda: QUICK)
    opened: list[HarmfulProxy] = []

    def make(side: str, harms: Callable[[int], Sequence[Harm]]) -> Ways:
        proxy = HarmfulProxy(sshd.port, harms)
        opened.append(proxy)
        proxy.__enter__()
        return Ways(sshd, tmp_path, side, proxy)

    yield make
    for proxy in opened:
        proxy.__exit__()


def enough_tries(monkeypatch: pytest.MonkeyPatch, harms: int) -> None:
    """A file that is under way at every harm fails as often, and once more where it tries again before the
    line is known to be dead."""
    monkeypatch.setattr(sessions, "Retry", lambda: replace(QUICK, attempts=2 * harms + 1))


@contextmanager
def impatient(seconds: float) -> Iterator[None]:
    """Whatever waits for a server waits no longer than that."""
    defaults = SftpSession.__init__.__kwdefaults__
    usual = defaults["deadline"]
    defaults["deadline"] = seconds
    try:
        yield
    finally:
        defaults["deadline"] = usual


Make = Callable[[str, Callable[[int], Sequence[Harm]]], Ways]


LARGE = int(os.environ.get("TUI_SYNC_TEST_LARGE_CUT_MIB", "64")) * MIB


@pytest.mark.parametrize(
    ("side", "direction", "size"), [("target", "up", LARGE), ("source", "down", LARGE // 2)]
)
def test_a_line_cut_every_few_mebibytes_completes_a_large_file(
    ways: Make, side: str, direction: Direction, size: int
) -> None:
    every = 2 * MIB
    pair = ways(side, lambda _: [Harm("cut", every, direction)])
    dice = random.Random(1)
    data = b"".join(dice.randbytes(MIB) for _ in range(size // MIB))
    (pair.source / "large").write_bytes(data)
    code, records = pair.sync()
    assert code == 0, records
    assert (pair.target / "large").read_bytes() == data
    assert leftovers(pair.target) == []
    moved = pair.proxy.sent if direction == "up" else pair.proxy.received
    assert len(pair.proxy.lines) >= size // every
    assert moved <= 1.2 * size, f"{moved / size:.3f} times the size"


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_stalled_line_is_noticed_and_replaced(
    ways: Make, side: str, direction: Direction, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not before the login is over; the quiet direction carries little more than that.
    at = 200_000 if (side, direction) in (("source", "down"), ("target", "up")) else 7_000
    pair = ways(side, lambda number: [Harm("stall", at, direction)] if number < 2 else ())
    dice = random.Random(2)
    for number in range(20):
        (pair.source / f"{number}").write_bytes(dice.randbytes(100_000))
    monkeypatch.setattr(paramiko_transport, "_KEEPALIVE_S", 0.8)
    with impatient(2.0):
        code, records = pair.sync()
    assert code == 0, records
    for number in range(20):
        assert (pair.target / f"{number}").read_bytes() == (pair.source / f"{number}").read_bytes()
    assert leftovers(pair.target) == []
    assert len(pair.proxy.lines) == 3


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_corrupted_line_never_gets_a_wrong_byte_published(
    ways: Make, side: str, direction: Direction, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(3)
    at = dice.sample(range(10_000, 300_000), 4)
    enough_tries(monkeypatch, len(at))
    pair = ways(side, lambda number: [Harm("corrupt", at[number], direction)] if number < len(at) else ())
    data = dice.randbytes(5 * MIB)
    (pair.source / "large").write_bytes(data)
    (pair.source / "small").write_bytes(b"small")
    code, records = pair.sync()
    assert code == 0, (at, records)
    assert (pair.target / "large").read_bytes() == data
    assert (pair.target / "small").read_bytes() == b"small"
    assert leftovers(pair.target) == []


def test_a_slow_line_is_no_dead_one(ways: Make) -> None:
    """Each silence is shorter than the deadline, all of them together are not."""
    harms = [Harm("delay", at, "up", 0.6) for at in range(10_000, 60_000, 8_000)]
    pair = ways("target", lambda _: harms)
    (pair.source / "file").write_bytes(bytes(100_000))
    with impatient(2.0):
        code, records = pair.sync()
    assert code == 0, records
    assert len(pair.proxy.lines) == 1


@pytest.mark.parametrize("seed", range(4))
def test_cuts_at_any_moment_leave_nothing_torn_and_nothing_undone(
    ways: Make, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(seed)
    cuts = [dice.randint(1_000, 400_000) for _ in range(6)]
    direction: Direction = dice.choice(("up", "down"))
    enough_tries(monkeypatch, len(cuts))
    pair = ways(
        dice.choice(("source", "target")),
        # What falls into the login of the first connection is a server that cannot be reached.
        lambda number: [Harm("cut", cuts[number] + 10_000, direction)] if number < len(cuts) else (),
    )
    files = {f"{number}": dice.randbytes(dice.choice((0, 10, 5_000, 200_000))) for number in range(40)}
    for name, data in files.items():
        (pair.source / name).write_bytes(data)
    code, records = pair.sync()
    assert code == 0, (seed, cuts, direction, records)
    assert {path.name: path.read_bytes() for path in pair.target.iterdir()} == files, seed
