"""What a jump host may not do: go untrusted, or hear what is meant for the server behind it."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.batch import started, tui_sync
from tests.support.proxy import Proxy
from tests.support.ssh_server import SshServer
from tests.support.sshd import Sshd, make_key
from tui_sync.connectors.base import Endpoint, HostKey
from tui_sync.connectors.sftp.dialing import connect
from tui_sync.errors import ChangedHostKey, LoginRefused, UnknownHostKey

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")


class Prompts:
    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.offered: list[HostKey] = []

    def secret(self, server: str, prompt: str) -> str | None:
        self.asked.append(prompt)
        return self.answers.pop(0) if self.answers else None

    def trust(self, server: str, key: HostKey) -> bool:
        self.offered.append(key)
        return False


class Nobody(Prompts):
    def secret(self, server: str, prompt: str) -> str | None:
        raise LoginRefused("nobody is there")


@pytest.fixture(autouse=True)
def nothing_of_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture(params=["paramiko", "openssh"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def inner(folder: Path, transport: str, **secrets: str) -> Endpoint:
    options = {"ssh_config": str(folder / "config"), "known_hosts": str(folder / "hosts")}
    resolvers = {key: (lambda value=value: value) for key, value in secrets.items()}
    return Endpoint(
        "sftp://inner/", "sftp", "/", "inner", options={**options, "transport": transport}, secrets=resolvers
    )


@pytest.fixture
def servers(tmp_path: Path, sshd: Sshd, require_sshd: None) -> Iterator[tuple[Sshd, Sshd]]:
    """A jump host and the server behind it; the configuration takes any key of a host it has not seen."""
    with Sshd(tmp_path / "bastion", extra_config="AllowTcpForwarding yes") as jump:
        (tmp_path / "config").write_text(
            "".join(
                f"Host {name}\n  HostName {server.host}\n  Port {server.port}\n  User {server.user}\n"
                f"  IdentityFile {server.identity_file}\n"
                for name, server in (("jump", jump), ("inner", sshd))
            )
            + f"  ProxyJump jump\nHost *\n  UserKnownHostsFile {tmp_path}/more\n"
            "  GlobalKnownHostsFile none\n  StrictHostKeyChecking no\n"
        )
        yield jump, sshd


def test_the_profiles_known_hosts_hold_for_a_jump_host(
    tmp_path: Path, servers: tuple[Sshd, Sshd], transport: str
) -> None:
    jump, server = servers
    (tmp_path / "hosts").write_text(f"{jump.host_key_line}\n{server.host_key_line}\n")
    connector = connect(inner(tmp_path, transport), Prompts())
    assert connector.reader().list_dir("")
    connector.close()
    assert not (tmp_path / "more").exists()


def test_no_configuration_makes_an_unknown_jump_host_trusted(
    tmp_path: Path, servers: tuple[Sshd, Sshd], transport: str
) -> None:
    jump, server = servers
    (tmp_path / "hosts").write_text(f"{server.host_key_line}\n")
    prompts = Prompts()
    with pytest.raises(UnknownHostKey):
        connect(inner(tmp_path, transport), prompts)
    assert [key.line for key in prompts.offered] == [jump.host_key_line]
    assert prompts.asked == []
    assert (tmp_path / "hosts").read_text() == f"{server.host_key_line}\n"
    assert not (tmp_path / "more").exists()


def test_a_jump_host_whose_key_has_changed_is_refused(
    tmp_path: Path, servers: tuple[Sshd, Sshd], transport: str
) -> None:
    jump, server = servers
    make_key(tmp_path / "other")
    public = (tmp_path / "other.pub").read_text()
    (tmp_path / "hosts").write_text(f"{server.host_key_line}\n{jump.host_key_line.split()[0]} {public}")
    with pytest.raises(ChangedHostKey, match="line 2"):
        connect(inner(tmp_path, transport), Prompts())


@pytest.fixture
def by_password(tmp_path: Path) -> Iterator[tuple[SshServer, SshServer]]:
    (tmp_path / "root").mkdir()
    with (
        SshServer(tmp_path / "root", password="for the jump host", forwards=True) as jump,
        SshServer(tmp_path / "root", password="for the server") as server,
    ):
        (tmp_path / "hosts").write_text(f"{jump.host_key_line}\n{server.host_key_line}\n")
        (tmp_path / "config").write_text(
            f"Host jump\n  Port {jump.port}\nHost inner\n  Port {server.port}\n  ProxyJump jump\n"
            f"Host *\n  HostName 127.0.0.1\n  User {server.user}\n"
        )
        yield jump, server


@pytest.mark.parametrize("stored", [True, False], ids=["by the profile", "asked for"])
def test_each_host_hears_its_own_password(
    tmp_path: Path, by_password: tuple[SshServer, SshServer], transport: str, stored: bool
) -> None:
    jump, server = by_password
    prompts = Prompts("for the jump host", *([] if stored else ["for the server"]))
    secrets = {"password": "for the server"} if stored else {}
    connect(inner(tmp_path, transport, **secrets), prompts).close()
    assert jump.attempts == ["for the jump host"]
    assert server.attempts == ["for the server"]


def test_what_a_prompt_raises_ends_the_login(
    tmp_path: Path,
    by_password: tuple[SshServer, SshServer],
    transport: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(LoginRefused, match="nobody is there"):
        connect(inner(tmp_path, transport), Nobody())
    assert by_password[0].attempts == []
    assert capfd.readouterr().err == ""


@pytest.fixture
def profile(tmp_path: Path) -> Iterator[tuple[Path, SshServer]]:
    (tmp_path / "root").mkdir()
    with SshServer(tmp_path / "root") as server:
        (tmp_path / "hosts").write_text(server.host_key_line + "\n")
        file = tmp_path / "pair.toml"
        file.write_text(
            f'[source]\nurl = "sftp://{server.user}@127.0.0.1:{server.port}/"\nssh_config = "none"\n'
            'known_hosts = "hosts"\ntransport = "openssh"\npassword = "env:NOT_SET"\n'
            '[target]\nurl = "target"\n'
        )
        yield file, server


def test_a_secret_that_is_not_there_is_one_sentence(tmp_path: Path, profile: tuple[Path, SshServer]) -> None:
    ran = tui_sync("--batch", "-q", profile[0], home=tmp_path, timeout=40)
    assert ran.code == 2
    assert ran.err == (
        f"error: {profile[0]}: source.password: the environment variable NOT_SET is not set: "
        "set it and start again\n"
    )


def test_stopped_while_it_logs_in_leaves_no_process_and_no_folder(
    tmp_path: Path, profile: tuple[Path, SshServer]
) -> None:
    file, server = profile
    with tempfile.TemporaryDirectory(prefix="tst", dir="/tmp") as folder, Proxy(server.port) as proxy:
        temporary = Path(folder)
        proxy.freeze()
        file.write_text(file.read_text().replace(f":{server.port}/", f":{proxy.port}/"))
        with started("--batch", file, home=tmp_path, TMPDIR=str(temporary)) as process:
            while not any(temporary.glob("*/askpass")):
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 130
        assert list(temporary.iterdir()) == []
        for process_arguments in Path("/proc").glob("[0-9]*/cmdline"):
            # It may come to its end.
            with contextlib.suppress(OSError):
                assert str(temporary).encode() not in process_arguments.read_bytes()
