"""The whole way against two real OpenSSH servers: a profile, ``--batch``, files on the target."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.batch import started, tui_sync
from tests.support.sshd import Sshd
from tui_sync.demo.trees import awkward_names, make_large, make_tree

MIB = 1 << 20
LARGE = int(os.environ.get("TUI_SYNC_TEST_LARGE_MIB", "256")) * MIB


@pytest.fixture(scope="module")
def servers(require_sshd: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sshd, Sshd]]:
    with (
        Sshd(tmp_path_factory.mktemp("source-sshd")) as source,
        Sshd(tmp_path_factory.mktemp("target-sshd")) as target,
    ):
        yield source, target


@pytest.fixture
def pair(servers: tuple[Sshd, Sshd], tmp_path: Path) -> Path:
    """A profile between the folders ``source`` and ``target`` beside it."""
    sides = zip(("source", "target"), servers, strict=True)
    text = "".join(
        f'[{side}]\nurl = "{server.url(tmp_path / side)}"\n'
        f'identity_file = "{server.identity_file}"\nknown_hosts = "{server.known_hosts}"\n'
        for side, server in sides
    )
    for side in ("source", "target"):
        (tmp_path / side).mkdir()
    profile = tmp_path / "pair.toml"
    profile.write_text(text)
    return profile


def with_options(profile: Path, text: str) -> Path:
    profile.write_text(profile.read_text() + f"[sync]\n{text}\n")
    return profile


def look(root: Path) -> dict[bytes, tuple[int, int, int]]:
    """Type and permission bits, whole seconds of the mtime, and inode of all that is below."""
    found = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            stat = os.lstat(path)
            found[os.path.relpath(path, os.fsencode(root))] = (
                stat.st_mode,
                stat.st_mtime_ns // 10**9,
                stat.st_ino,
            )
    return found


def differences(one: Path, other: Path) -> str:
    """What ``diff -r`` says: the judge is not our own code."""
    ran = subprocess.run(
        ["diff", "-r", "--no-dereference", str(one), str(other)],
        capture_output=True,
        timeout=100,
        check=False,
    )
    return (ran.stdout + ran.stderr).decode("utf-8", "backslashreplace")


def modes_and_mtimes(root: Path) -> dict[bytes, tuple[int, int]]:
    return {path: (mode, mtime) for path, (mode, mtime, _) in look(root).items()}


def test_a_tree_of_awkward_names_and_a_large_file(pair: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    make_tree(source / "tree", files=300, awkward=True)
    make_large(source / "large.bin", size=LARGE)
    names = {os.path.basename(path) for path in look(source)}
    assert {os.fsencode(name) for name in awkward_names()} <= names

    dry = tui_sync("--batch", "--dry-run", "--json", pair, home=tmp_path)
    assert dry.code == 0, dry.err
    assert look(target) == {}
    planned = [record for record in dry.records if record["event"] == "item"]

    ran = tui_sync("--batch", "--json", pair, home=tmp_path)
    assert ran.code == 0, ran.err
    assert differences(source, target) == ""
    assert modes_and_mtimes(target) == modes_and_mtimes(source)
    assert ran.memory < 150 * MIB
    summary = ran.summary
    assert summary["created"] == 301
    assert summary["bytes"] == sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    assert len(planned) == 301 + summary["directories"]
    assert summary["verified"] == "size"

    before = look(target)
    again = tui_sync("--batch", "--json", pair, home=tmp_path)
    assert again.code == 0
    assert (again.summary["unchanged"], again.summary["created"], again.summary["updated"]) == (301, 0, 0)
    assert [record for record in again.records if record["event"] == "item"] == []
    assert look(target) == before, "a run with nothing to do touches nothing"


def test_a_second_run_without_the_ledger_plans_nothing_either(pair: Path, tmp_path: Path) -> None:
    make_tree(tmp_path / "source", files=40, awkward=True, force=True)
    assert tui_sync("--batch", pair, home=tmp_path).code == 0
    for ledger in (tmp_path / ".local/state/tui-sync/ledgers").iterdir():
        ledger.unlink()
    again = tui_sync("--batch", "--json", pair, home=tmp_path)
    assert (again.summary["unchanged"], again.summary["created"]) == (40, 0)


def contents(root: Path) -> dict[bytes, bytes]:
    return {
        os.path.relpath(path, os.fsencode(root)): open(path, "rb").read()
        for folder, _, files in os.walk(os.fsencode(root))
        for path in (os.path.join(folder, name) for name in files)
    }


def test_mirror_makes_both_sides_equal_and_keeps_what_it_deletes(pair: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    make_tree(source, files=60, awkward=True, force=True)
    make_tree(target, files=60, awkward=True, seed=2, force=True)
    ours, theirs = contents(source), contents(target)
    extra = {path: data for path, data in theirs.items() if path not in ours}
    assert extra
    (target / "keep.tmp").write_text("excluded, so protected")
    with_options(pair, 'mode = "mirror"\nexclude = ["*.tmp"]\nmax_delete = "100%"')
    ran = tui_sync("--batch", "--json", pair, home=tmp_path)
    assert ran.code == 0, ran.err
    assert (target / "keep.tmp").read_text() == "excluded, so protected"
    (target / "keep.tmp").unlink()
    [trash] = (target / ".tui-sync-trash").iterdir()
    assert contents(trash) == extra
    (target / ".tui-sync-trash").rename(tmp_path / "trash")
    assert differences(source, target) == ""
    again = tui_sync("--batch", "--json", pair, home=tmp_path)
    assert (again.summary["created"], again.summary["updated"], again.summary["deleted"]) == (0, 0, 0)


def test_an_emptied_source_deletes_nothing(pair: Path, tmp_path: Path) -> None:
    make_tree(tmp_path / "target", files=20, force=True)
    before = look(tmp_path / "target")
    with_options(pair, 'mode = "mirror"')
    ran = tui_sync("--batch", "--json", pair, home=tmp_path)
    assert ran.code == 25
    assert ran.summary["status"] == "refused"
    assert look(tmp_path / "target") == before


@pytest.fixture
def readable_by_others() -> Iterator[Path]:
    # Not the tests' own folder, whose parents may be closed to others.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_what_may_not_be_read_fails_alone(
    require_sshd: None, servers: tuple[Sshd, Sshd], pair: Path, tmp_path: Path, readable_by_others: Path
) -> None:
    """The source is read as a user who may not read all of it; root, who may, logs in as nobody."""
    source = readable_by_others / "source"
    for name in ("a", "locked", "closed/in", "z"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    (source / "locked").chmod(0)
    (source / "closed").chmod(0)
    root = os.geteuid() == 0
    with Sshd(readable_by_others / "sshd", "ForceCommand internal-sftp" if root else "") as server:
        user = "nobody" if root else server.user
        server.folder.chmod(0o755)
        (server.folder / "authorized_keys").chmod(0o644)
        profile = pair.read_text().replace(
            f'url = "{servers[0].url(tmp_path / "source")}"',
            f'url = "sftp://{user}@127.0.0.1:{server.port}{source}"',
        )
        profile = profile.replace(str(servers[0].identity_file), str(server.identity_file))
        pair.write_text(profile.replace(str(servers[0].known_hosts), str(server.known_hosts)))
        ran = tui_sync("--batch", "--json", pair, home=tmp_path)
    (source / "closed").chmod(0o755)
    assert ran.code == 23, ran.err
    assert contents(tmp_path / "target") == {b"a": b"a", b"z": b"z"}
    assert (ran.summary["created"], ran.summary["failed"]) == (2, 1)
    assert "Traceback" not in ran.err
    failed = [record for record in ran.records if record.get("status") == "failed"]
    assert [record["path"] for record in failed] == ["locked"]
    assert "ermission denied" in failed[0]["error"]


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_the_next_run_completes(pair: Path, tmp_path: Path, seed: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    make_tree(source, files=80, force=True, seed=seed)
    make_large(source / "large.bin", size=48 * MIB, seed=seed)
    ours = contents(source)
    dice = random.Random(seed)
    for _ in range(3):
        with started("--batch", pair, home=tmp_path) as process:
            try:
                process.wait(dice.uniform(0.4, 1.4))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        for path, data in contents(target).items():
            if not os.path.basename(path).startswith(b".tui-sync"):
                assert data == ours[path], f"torn: {path!r} (seed {seed})"
    ran = tui_sync("--batch", "--json", pair, home=tmp_path)
    assert ran.code == 0, ran.err
    assert differences(source, target) == "", f"seed {seed}"
    assert tui_sync("--batch", "--json", pair, home=tmp_path).summary["unchanged"] == 81
