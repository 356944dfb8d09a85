"""What ``ssh HOST`` accepts works here: the ssh configuration, jump hosts, certificates, second factors."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ssh_server import SshServer
from tests.support.sshd import Sshd, make_key
from tui_sync.connectors.base import Connector, Endpoint, HostKey
from tui_sync.connectors.sftp.dialing import connect
from tui_sync.errors import ChangedHostKey, ConnectError, LoginRefused, TuiSyncError, UnknownHostKey

SECRET = "a passphrase never shown"


class Prompts:
    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []

    def secret(self, server: str, prompt: str) -> str | None:
        self.asked.append((server, prompt))
        return self.answers.pop(0) if self.answers else None

    def trust(self, server: str, key: HostKey) -> bool:
        return False


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


@pytest.fixture(scope="module")
def bastion(require_sshd: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A second server, with keys of its own."""
    with Sshd(tmp_path_factory.mktemp("bastion"), extra_config="AllowTcpForwarding yes") as server:
        yield server


def works(connector: Connector) -> bool:
    try:
        return connector.reader().list_dir("") is not None
    finally:
        connector.close()


def to(host: str, **options: object) -> Endpoint:
    return Endpoint(f"sftp://{host}/", "sftp", "/", host, options=options)


def write_config(home: Path, text: str) -> None:
    (home / ".ssh" / "config").write_text(text)


def host_section(name: str, server: Sshd, more: str = "") -> str:
    return (
        f"Host {name}\n  HostName {server.host}\n  Port {server.port}\n  User {server.user}\n"
        f"  IdentityFile {server.identity_file}\n{more}\n"
    )


def trust(home: Path, *servers: Sshd) -> None:
    lines = "".join(f"{server.host_key_line}\n" for server in servers)
    (home / ".ssh" / "known_hosts").write_text(lines)


def refused(endpoint: Endpoint, kind: type[TuiSyncError], prompts: Prompts | None = None) -> str:
    with pytest.raises(kind) as caught:
        connect(endpoint, prompts or Prompts()).close()
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_a_host_of_the_configuration(sshd: Sshd, home: Path) -> None:
    write_config(home, host_section("somewhere", sshd))
    trust(home, sshd)
    assert works(connect(to("somewhere"), Prompts()))
    refused(to("somewhere", ssh_config="none"), ConnectError)


def test_through_a_jump_host(sshd: Sshd, bastion: Sshd, home: Path) -> None:
    write_config(home, host_section("jump", bastion) + host_section("inner", sshd, "  ProxyJump jump"))
    trust(home, sshd, bastion)
    before = set(Sshd.sessions(bastion.pid))
    connector = connect(to("inner"), Prompts())
    assert set(Sshd.sessions(bastion.pid)) - before
    assert works(connector)


def test_the_jump_hosts_key_is_checked_too(sshd: Sshd, bastion: Sshd, home: Path) -> None:
    write_config(home, host_section("jump", bastion) + host_section("inner", sshd, "  ProxyJump jump"))
    trust(home, sshd)
    assert f"[127.0.0.1]:{bastion.port} is not known" in refused(to("inner"), UnknownHostKey)
    trust(home, bastion)
    assert f"[127.0.0.1]:{sshd.port} is not known" in refused(to("inner"), UnknownHostKey)
    wrong = sshd.host_key_line.split()
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{bastion.port} {wrong[1]} {wrong[2]}\n")
    assert "known_hosts, line 1" in refused(to("inner"), ChangedHostKey)


def test_a_jump_host_that_refuses_is_named(sshd: Sshd, bastion: Sshd, home: Path) -> None:
    make_key(home / "other")
    jump = host_section("jump", bastion).replace(str(bastion.identity_file), str(home / "other"))
    write_config(home, jump + host_section("inner", sshd, "  ProxyJump jump"))
    trust(home, sshd, bastion)
    message = refused(to("inner"), LoginRefused)
    assert message.startswith("at the jump host: ")
    assert str(bastion.port) in message


def test_a_jump_host_that_cannot_get_further_is_named(bastion: Sshd, home: Path) -> None:
    write_config(
        home, host_section("jump", bastion) + "Host inner\n  HostName 127.0.0.1\n  Port 1\n  ProxyJump jump\n"
    )
    trust(home, bastion)
    assert f"127.0.0.1:{bastion.port} cannot reach 127.0.0.1:1" in refused(to("inner"), ConnectError)


def test_the_password_is_for_the_target_and_not_for_the_jump_host(bastion: Sshd, home: Path) -> None:
    with SshServer(home, password=SECRET) as inner:
        write_config(
            home,
            host_section("jump", bastion)
            + f"Host inner\n  HostName 127.0.0.1\n  Port {inner.port}\n  User {inner.user}\n"
            + "  ProxyJump jump\n",
        )
        trust(home, bastion)
        with (home / ".ssh" / "known_hosts").open("a") as file:
            file.write(inner.host_key_line + "\n")
        endpoint = Endpoint(
            "sftp://inner/", "sftp", "/", "inner", options={}, secrets={"password": lambda: SECRET}
        )
        assert works(connect(endpoint, Prompts()))
        assert inner.attempts == [SECRET]
    with SshServer(home, password=SECRET) as jump:
        write_config(
            home,
            f"Host jump\n  HostName 127.0.0.1\n  Port {jump.port}\n  User {jump.user}\n"
            + host_section("inner", bastion, "  ProxyJump jump"),
        )
        with (home / ".ssh" / "known_hosts").open("a") as file:
            file.write(jump.host_key_line + "\n")
        prompts = Prompts()
        refused(endpoint, LoginRefused, prompts)
        assert [server for server, _ in prompts.asked] == [f"somebody@127.0.0.1:{jump.port}"]
        assert jump.attempts == []


RELAY = """
import os, socket, sys, threading
line = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def up():
    while data := os.read(0, 65536):
        line.sendall(data)
    line.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
while data := line.recv(65536):
    os.write(1, data)
"""


def test_through_a_command(sshd: Sshd, home: Path) -> None:
    relay = home / "relay.py"
    relay.write_text(RELAY)
    write_config(home, host_section("odd", sshd, f'  ProxyCommand {sys.executable} "{relay}" %p'))
    trust(home, sshd)
    connector = connect(to("odd"), Prompts())
    running = [pid for pid in Path("/proc").glob("[0-9]*") if _runs(pid, str(relay))]
    assert len(running) == 1
    assert works(connector)
    assert not any(_runs(pid, str(relay)) for pid in running)


def _runs(pid: Path, word: str) -> bool:
    try:
        return word in (pid / "cmdline").read_text()
    except OSError:
        return False


def test_a_command_that_ends_at_once_is_a_sentence(sshd: Sshd, home: Path) -> None:
    write_config(home, host_section("odd", sshd, "  ProxyCommand false"))
    assert "does not answer as an SSH server" in refused(to("odd"), ConnectError)


def test_another_name_for_the_key(sshd: Sshd, home: Path) -> None:
    write_config(home, host_section("somewhere", sshd, "  HostKeyAlias alias"))
    key = sshd.host_key_line.partition(" ")[2]
    (home / ".ssh" / "known_hosts").write_text(f"alias {key}\n")
    assert works(connect(to("somewhere"), Prompts()))


@pytest.fixture
def certified(require_sshd: None, tmp_path: Path) -> Iterator[tuple[Sshd, Path]]:
    """A server that lets in whoever an authority vouches for, and a key with such a certificate."""
    authority = make_key(tmp_path / "authority")
    key = make_key(tmp_path / "certified")
    with Sshd(tmp_path / "sshd", extra_config=f"TrustedUserCAKeys {authority}.pub") as server:
        subprocess.run(
            ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", server.user, f"{key}.pub"],
            check=True,
            capture_output=True,
        )
        yield server, key


def test_a_certificate_beside_its_key(certified: tuple[Sshd, Path]) -> None:
    server, key = certified
    assert works(connect(server.endpoint("/", identity_file=str(key)), Prompts()))
    key.with_name("certified-cert.pub").unlink()
    refused(server.endpoint("/", identity_file=str(key)), LoginRefused)


def test_a_certificate_of_the_configuration(certified: tuple[Sshd, Path], home: Path) -> None:
    server, key = certified
    moved = shutil.move(key.with_name("certified-cert.pub"), home / "elsewhere.pub")
    section = host_section("certified", server).replace(str(server.identity_file), str(key))
    trust(home, server)
    write_config(home, section)
    refused(to("certified"), LoginRefused)
    write_config(home, section + f"  CertificateFile {moved}\n")
    assert works(connect(to("certified"), Prompts()))


def test_a_key_that_the_server_knows_is_tried_after_its_useless_certificate(
    sshd: Sshd, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    shutil.copy(sshd.identity_file, key)
    shutil.copy(sshd.identity_file.with_name("identity.pub"), tmp_path / "key.pub")
    authority = make_key(tmp_path / "authority")
    subprocess.run(
        ["ssh-keygen", "-q", "-s", str(authority), "-I", "x", f"{key}.pub"], check=True, capture_output=True
    )
    assert works(connect(sshd.endpoint("/", identity_file=str(key)), Prompts()))


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    path = tmp_path / "agent"
    with subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        yield
        process.send_signal(signal.SIGTERM)


def test_a_certificate_of_the_agent(certified: tuple[Sshd, Path], agent: None) -> None:
    server, key = certified
    subprocess.run(["ssh-add", "-q", str(key)], check=True, capture_output=True)
    key.unlink()
    assert works(connect(server.endpoint("/", identity_file=None), Prompts()))


def test_only_the_named_identities_of_the_agent(
    certified: tuple[Sshd, Path], agent: None, home: Path
) -> None:
    server, _ = certified
    subprocess.run(["ssh-add", "-q", str(server.identity_file)], check=True, capture_output=True)
    other = make_key(home / "other")
    trust(home, server)
    section = host_section("only", server).replace(str(server.identity_file), str(other))
    write_config(home, section)
    assert works(connect(to("only"), Prompts()))
    write_config(home, section + "  IdentitiesOnly yes\n")
    refused(to("only"), LoginRefused)


def test_the_passphrase_of_the_profile_opens_the_key_of_the_configuration(sshd: Sshd, home: Path) -> None:
    locked = home / "locked"
    shutil.copy(sshd.identity_file, locked)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", SECRET, "-f", str(locked)], check=True, capture_output=True
    )
    section = host_section("locked", sshd).replace(str(sshd.identity_file), str(locked))
    write_config(home, section)
    trust(home, sshd)
    endpoint = Endpoint("", "sftp", "/", "locked", secrets={"passphrase": lambda: SECRET})
    prompts = Prompts()
    assert works(connect(endpoint, prompts))
    assert prompts.asked == []
    prompts = Prompts(SECRET)
    assert works(connect(to("locked"), prompts))
    assert [question for _, question in prompts.asked] == [f"Passphrase of the key {locked}"]


def test_one_key_on_the_way_and_at_the_end_asks_once(sshd: Sshd, bastion: Sshd, home: Path) -> None:
    locked = home / "locked"
    shutil.copy(sshd.identity_file, locked)
    with (bastion.folder / "authorized_keys").open("a") as file:
        file.write(sshd.identity_file.with_name("identity.pub").read_text())
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", SECRET, "-f", str(locked)], check=True, capture_output=True
    )
    both = host_section("jump", bastion) + host_section("inner", sshd, "  ProxyJump jump")
    for server in (sshd, bastion):
        both = both.replace(str(server.identity_file), str(locked))
    write_config(home, both)
    trust(home, sshd, bastion)
    prompts = Prompts(SECRET)
    assert works(connect(to("inner"), prompts))
    assert len(prompts.asked) == 1


def test_a_second_factor_is_asked_once_for_all_channels(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with SshServer(
        tmp_path, methods=("keyboard-interactive",), password=SECRET, questions=("Password: ", "Code: ")
    ) as server:
        file = tmp_path / "hosts"
        file.write_text(server.host_key_line + "\n")
        endpoint = Endpoint(
            "", "sftp", "/", "127.0.0.1", server.port, server.user, {"known_hosts": str(file)}
        )
        prompts = Prompts(SECRET, "123456")
        connector = connect(endpoint, prompts)
        reader = connector.reader()
        with reader.open("file"), reader.open("file"), reader.open("file"), reader.open("file"):
            assert server.logins == 1
        connector.close()
        assert len(prompts.asked) == 2


def test_an_authority_in_known_hosts_is_said_to_be_beyond(sshd: Sshd, home: Path) -> None:
    key = sshd.host_key_line.partition(" ")[2]
    file = home / "hosts"
    file.write_text(f"# comment\n@cert-authority * {key}\n")
    message = refused(sshd.endpoint("/", known_hosts=str(file)), UnknownHostKey)
    assert f"{file}, line 2 names an authority" in message
    assert 'transport = "openssh"' in message
