"""A target that keeps other bytes than it was sent, and what each level of verification makes of that."""

from __future__ import annotations

import random

import pytest

from tests.faults.pair import Pair, Ran, leftovers, tree
from tests.faults.server import Asked, Honest
from tests.faults.test_lying_server import NEW, OLD, SERIAL, put
from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.connector import SftpReader
from tui_sync.model import CompareBy, SyncOptions, Verify

SMALL, LARGE = 3_000, 300_000
LEVELS = [
    # Wish, whether there is a shell, and what a small and a large file reach by it.
    (Verify.SIZE, True, "size", "size"),
    (Verify.AUTO, False, "size", "size"),
    (Verify.AUTO, True, "checksum", "size"),
    (Verify.CHECKSUM, True, "checksum", "checksum"),
    (Verify.CHECKSUM, False, "readback", "readback"),
    (Verify.READBACK, True, "readback", "readback"),
]


def fill(pair: Pair) -> None:
    dice = random.Random(7)
    for name, size in (("small", SMALL), ("large", LARGE), ("other", SMALL), ("empty", 0)):
        put(pair.ours / name, dice.randbytes(size))
        put(pair.theirs / name, b"as it was", OLD)


def damage(pair: Pair, *, times: int = 1 << 30) -> None:
    """Of what is written to the large file and one small one, a bit is kept wrong; ``times``: of each."""
    marks = {name: (pair.ours / name).read_bytes()[:64] for name in ("small", "large")}
    left = dict.fromkeys(marks, times)

    def lie(_asked: Asked, request: wire.Request, honest: Honest) -> wire.Response:
        if isinstance(request, wire.Write):
            for name, mark in marks.items():
                if left[name] and request.data[:64] == mark:
                    left[name] -= 1
                    data = bytearray(request.data)
                    data[len(data) // 2] ^= 1
                    object.__setattr__(request, "data", bytes(data))
        return honest()

    pair.target.lie = lie


def levels(ran: Ran) -> dict[str, str]:
    return {path: record["verified"] for path, record in ran.items.items() if record["status"] == "done"}


@pytest.mark.parametrize(("wish", "shell", "small", "large"), LEVELS)
def test_each_file_tells_its_level_and_the_summary_the_weakest(
    pair: Pair, wish: Verify, shell: bool, small: str, large: str
) -> None:
    fill(pair)
    pair.target.shell = shell
    ran = pair.sync(SERIAL, verify=wish)
    assert ran.code == 0, ran.err
    assert tree(pair.theirs) == tree(pair.ours)
    assert levels(ran) == {"small": small, "other": small, "empty": small, "large": large}
    assert ran.summary["verified"] == ("size" if "size" in (small, large) else small)
    assert pair.target.commands <= 2, "a shell for all files, not one for each"


@pytest.mark.parametrize(("wish", "shell", "small", "large"), LEVELS)
def test_a_target_that_keeps_wrong_bytes_is_found_out_by_each_level_above_size(
    pair: Pair, wish: Verify, shell: bool, small: str, large: str
) -> None:
    fill(pair)
    pair.target.shell = shell
    damage(pair)
    ran = pair.sync(SERIAL, verify=wish)
    caught = {name for name, level in (("small", small), ("large", large)) if level != "size"}
    assert ran.code == (23 if caught else 0), ran.err
    assert {path for path, record in ran.items.items() if record["status"] == "failed"} == caught
    for name in ("small", "large"):
        there = (pair.theirs / name).read_bytes()
        if name in caught:
            assert "other bytes" in ran.items[name]["error"]
            assert there == b"as it was", "nothing that is not verified is published"
        else:
            assert there != (pair.ours / name).read_bytes(), "the size alone cannot tell"
    assert (pair.theirs / "other").read_bytes() == (pair.ours / "other").read_bytes()
    assert leftovers(pair.theirs) == []


@pytest.mark.parametrize(("wish", "shell"), [(Verify.CHECKSUM, True), (Verify.READBACK, False)])
def test_what_was_damaged_once_is_sent_again(pair: Pair, wish: Verify, shell: bool) -> None:
    fill(pair)
    pair.target.shell = shell
    damage(pair, times=1)
    ran = pair.sync(SERIAL, verify=wish)
    assert ran.code == 0, ran.err
    assert tree(pair.theirs) == tree(pair.ours)
    assert ran.items["large"]["attempts"] == 2


@pytest.mark.parametrize("wish", [Verify.AUTO, Verify.CHECKSUM])
def test_a_shell_that_goes_away_leaves_no_file_behind_and_tells(
    pair: Pair, wish: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, and then it is not: what is wished for is read back, what was left to us is told."""
    fill(pair)
    monkeypatch.setattr(SftpReader, "hashes", lambda _: True)
    ran = pair.sync(SERIAL, verify=wish)
    assert ran.code == 0, ran.err
    assert set(levels(ran).values()) == {"size" if wish is Verify.AUTO else "readback"}


@pytest.mark.parametrize("shell", [True, False])
def test_comparing_by_checksum_reads_no_large_file_that_a_shell_can_hash(pair: Pair, shell: bool) -> None:
    fill(pair)
    assert pair.sync(SERIAL).code == 0
    changed = bytearray((pair.ours / "large").read_bytes())
    changed[1000] ^= 1
    put(pair.ours / "large", bytes(changed), NEW)
    put(pair.ours / "alike", bytes(LARGE), NEW)
    put(pair.theirs / "alike", bytes(LARGE), OLD)
    pair.source.shell = pair.target.shell = shell
    for server in (pair.source, pair.target):
        server.asked.clear()
    ran = pair.sync(SyncOptions(compare=CompareBy.CHECKSUM, workers=1), dry_run=True)
    assert ran.code == 0, ran.err
    assert {path for path, record in ran.items.items() if record["action"] == "update"} == {"large"}
    read = {
        asked.path for server in (pair.source, pair.target) for asked in server.asked if asked.name == "Read"
    }
    assert ("/tree/large" in read) is ("/tree/alike" in read) is not shell
