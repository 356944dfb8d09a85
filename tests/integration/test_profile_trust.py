"""``profiles trust`` and ``profiles test`` against real servers, as the program a person starts."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.batch import environment, tui_sync
from tests.support.sshd import Sshd, make_key


@pytest.fixture(scope="module")
def bastion(require_sshd: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with Sshd(tmp_path_factory.mktemp("bastion"), extra_config="AllowTcpForwarding yes") as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, sshd: Sshd) -> Path:
    """A home folder with the profile ``nightly``: from the server into a local folder."""
    folder = tmp_path / ".config" / "tui-sync" / "profiles"
    folder.mkdir(parents=True)
    (tmp_path / ".ssh").mkdir(mode=0o700)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "one.txt").write_text("one")
    (folder / "nightly.toml").write_text(
        f'[source]\nurl = "{sshd.url(tmp_path / "source")}"\nidentity_file = "{sshd.identity_file}"\n'
        f'known_hosts = "~/hosts"\n[target]\nurl = "{tmp_path / "target"}"\n'
    )
    return tmp_path


def fingerprint(server: Sshd) -> str:
    ran = subprocess.run(
        ["ssh-keygen", "-lf", str(server.known_hosts)], capture_output=True, text=True, check=True
    )
    return ran.stdout.split()[1]


def test_from_unknown_to_trusted_with_the_command_that_batch_mode_names(sshd: Sshd, home: Path) -> None:
    ran = tui_sync("--batch", "nightly", home=home)
    assert ran.code == 7
    assert "trust it with: tui-sync profiles trust nightly\n" in ran.err
    ran = tui_sync("profiles", "trust", "nightly", home=home)
    assert ran.code == 7
    assert f"add --yes {fingerprint(sshd)}" in ran.err
    assert "+--[ED25519 256]--+" in ran.err
    assert not (home / "hosts").exists()
    ran = tui_sync("profiles", "trust", "nightly", "--yes", "SHA256:" + "A" * 43, home=home)
    assert ran.code == 7
    assert "none of those after --yes" in ran.err
    assert not (home / "hosts").exists()
    ran = tui_sync("profiles", "trust", "nightly", "--yes", fingerprint(sshd), home=home)
    assert ran.code == 0, ran.err
    assert (home / "hosts").read_text() == sshd.host_key_line + "\n"
    assert (home / "hosts").stat().st_mode & 0o777 == 0o600
    assert str(home / "hosts") in ran.out
    again = tui_sync("profiles", "trust", "nightly", home=home)
    assert (again.code, again.err) == (0, "")
    assert "already trusted" in again.out
    assert tui_sync("--batch", "nightly", home=home).code == 0


def answer(home: Path, text: str, *arguments: str) -> tuple[int, str]:
    """Run the program at a terminal and answer its question; exit code and all that was shown."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "tui_sync", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment(home),
        start_new_session=True,
    ) as process:
        os.close(slave)
        shown = b""
        deadline = time.monotonic() + 60
        answered = False
        while time.monotonic() < deadline:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    shown += os.read(master, 65536)
                except OSError:
                    break
            if b"[yes/no]" in shown and not answered:
                os.write(master, f"{text}\n".encode())
                answered = True
        if time.monotonic() >= deadline:
            process.kill()
        if time.monotonic() >= deadline:
            process.kill()
        code = process.wait(30)
    os.close(master)
    return code, shown.decode("utf-8", "replace")


@pytest.mark.parametrize(("said", "code"), [("yes", 0), ("y", 7), ("no", 7), ("", 7)])
def test_at_a_terminal_only_yes_is_yes(sshd: Sshd, home: Path, said: str, code: int) -> None:
    ended, shown = answer(home, said, "profiles", "trust", "nightly")
    assert fingerprint(sshd) in shown
    assert "+----[SHA256]-----+" in shown
    assert ended == code, shown
    assert (home / "hosts").exists() == (code == 0)


def test_a_changed_key_is_refused_with_its_line(sshd: Sshd, home: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    name = sshd.host_key_line.split()[0]
    before = f"# mine\n{name} {(tmp_path / 'other.pub').read_text()}"
    (home / "hosts").write_text(before)
    ran = tui_sync("profiles", "trust", "nightly", "--yes", fingerprint(sshd), home=home)
    assert ran.code == 7
    assert f"{home / 'hosts'}, line 2" in ran.err
    assert "has changed" in ran.err
    assert (home / "hosts").read_text() == before


def test_the_server_of_a_url_and_its_jump_host(sshd: Sshd, bastion: Sshd, home: Path) -> None:
    (home / ".ssh" / "config").write_text(
        f"Host jump\n  HostName 127.0.0.1\n  Port {bastion.port}\n  IdentityFile {bastion.identity_file}\n"
        f"Host inner\n  HostName 127.0.0.1\n  Port {sshd.port}\n  ProxyJump jump\n"
    )
    both = ["--yes", fingerprint(sshd), "--yes", fingerprint(bastion)]
    ran = tui_sync("profiles", "trust", "sftp://inner/x", *both[:2], home=home)
    assert ran.code == 7
    assert f"[127.0.0.1]:{bastion.port}" in ran.err
    ran = tui_sync("profiles", "trust", "sftp://inner/x", *both, home=home)
    assert ran.code == 0, ran.err
    trusted = (home / ".ssh" / "known_hosts").read_text().splitlines()
    assert trusted == [bastion.host_key_line, sshd.host_key_line]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nightly", "--yes", "abc"], "no fingerprint"),
        (["/a/b.toml"], "no such profile"),
        (["file:///tmp"], "no SFTP server"),
    ],
)
def test_what_cannot_be_trusted_is_said(home: Path, arguments: list[str], says: str) -> None:
    ran = tui_sync("profiles", "trust", *arguments, home=home)
    assert ran.code == 2
    assert says in ran.err


def test_a_test_shows_both_sides_and_writes_nothing(sshd: Sshd, home: Path) -> None:
    (home / "hosts").write_text(sshd.host_key_line + "\n")
    ran = tui_sync("profiles", "test", "nightly", home=home)
    assert ran.code == 0, ran.err
    source, target = ran.out.split("target: ")
    assert source.startswith("source: sftp://")
    assert "for a round trip" in source
    assert "1 entries in its folder" in source
    assert "times to the second" in source
    assert "does not exist yet" in target
    assert not (home / "target").exists()
    profile = home / ".config" / "tui-sync" / "profiles" / "nightly.toml"
    profile.write_text(profile.read_text() + '[sync]\ncompare = "checksum"\nworkers = 1\n')
    slow = tui_sync("profiles", "test", "nightly", home=home).out
    assert 'slow: compare = "checksum"' in slow
    assert "slow: workers = 1" in slow


def test_a_test_goes_on_after_a_side_that_fails(home: Path) -> None:
    ran = tui_sync("profiles", "test", "nightly", home=home)
    assert ran.code == 7
    assert "is not known" in ran.err
    assert "target: file://" in ran.out
    assert "connected in" in ran.out
