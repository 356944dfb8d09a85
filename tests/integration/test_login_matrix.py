"""Every way to log in that real servers offer, over both transports: what works by one works by the other."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ssh_server import SshServer
from tests.support.sshd import Sshd, make_key
from tui_sync.connectors.base import Connector, Endpoint, HostKey
from tui_sync.connectors.sftp.dialing import connect
from tui_sync.errors import ChangedHostKey, LoginRefused, UnknownHostKey

SECRET = "a passphrase never shown"

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")


class Prompts:
    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def secret(self, server: str, prompt: str) -> str | None:
        self.asked.append(prompt)
        return self.answers.pop(0) if self.answers else None

    def trust(self, server: str, key: HostKey) -> bool:
        return False


@pytest.fixture(scope="module")
def bastion(require_sshd: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with Sshd(tmp_path_factory.mktemp("bastion"), extra_config="AllowTcpForwarding yes") as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_of_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


class Way:
    """A configuration and known_hosts of the test's own, and one transport."""

    def __init__(self, folder: Path, transport: str) -> None:
        self.folder = folder
        self.transport = transport
        self.config = folder / "config"
        self.hosts = folder / "hosts"
        self.config.write_text("")
        self.hosts.write_text("")

    def trust(self, *servers: Sshd | SshServer) -> None:
        self.hosts.write_text("".join(f"{server.host_key_line}\n" for server in servers))

    def host(self, name: str, server: Sshd, *more: str, key: Path | None = None) -> None:
        lines = [f"HostName {server.host}", f"Port {server.port}", f"User {server.user}"]
        lines += [f"IdentityFile {key or server.identity_file}", "IdentitiesOnly yes", *more]
        lines += [f"UserKnownHostsFile {self.hosts}", "GlobalKnownHostsFile none"]
        with self.config.open("a") as file:
            file.write(f"Host {name}\n" + "".join(f"  {line}\n" for line in lines))

    def endpoint(
        self, host: str, port: int | None = None, user: str | None = None, **secrets: str
    ) -> Endpoint:
        options = {
            "ssh_config": str(self.config),
            "known_hosts": str(self.hosts),
            "transport": self.transport,
        }
        resolvers = {key: (lambda value=value: value) for key, value in secrets.items()}
        return Endpoint(f"sftp://{host}/", "sftp", "/", host, port, user, options, resolvers)


@pytest.fixture(params=["paramiko", "openssh"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    return Way(tmp_path, request.param)


def works(connector: Connector) -> bool:
    try:
        return connector.reader().list_dir("") is not None
    finally:
        connector.close()


def lock(key: Path, to: Path) -> Path:
    """A copy of the key, encrypted."""
    shutil.copy(key, to)
    to.chmod(0o600)
    command = ["ssh-keygen", "-q", "-p", "-P", "", "-N", SECRET, "-f", str(to)]
    subprocess.run(command, check=True, capture_output=True)
    return to


def test_a_key(way: Way, sshd: Sshd) -> None:
    way.host("server", sshd)
    way.trust(sshd)
    assert works(connect(way.endpoint("server"), Prompts()))


def test_a_wrong_key(way: Way, sshd: Sshd) -> None:
    way.host("server", sshd, key=make_key(way.folder / "other"))
    way.trust(sshd)
    with pytest.raises(LoginRefused):
        connect(way.endpoint("server"), Prompts())


@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "by the profile"])
def test_an_encrypted_key(way: Way, sshd: Sshd, asked: bool) -> None:
    way.host("server", sshd, key=lock(sshd.identity_file, way.folder / "locked"))
    way.trust(sshd)
    prompts = Prompts(SECRET) if asked else Prompts()
    secrets = {} if asked else {"passphrase": SECRET}
    assert works(connect(way.endpoint("server", **secrets), prompts))
    assert len(prompts.asked) == int(asked)


def test_a_certificate(way: Way, require_sshd: None) -> None:
    authority, key = make_key(way.folder / "authority"), make_key(way.folder / "key")
    with Sshd(way.folder / "sshd", extra_config=f"TrustedUserCAKeys {authority}.pub") as server:
        subprocess.run(
            ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", server.user, f"{key}.pub"],
            check=True,
            capture_output=True,
        )
        way.host("server", server, key=key)
        way.trust(server)
        assert works(connect(way.endpoint("server"), Prompts()))


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


def test_an_agent(way: Way, sshd: Sshd, agent: None) -> None:
    locked = lock(sshd.identity_file, way.folder / "locked")
    shutil.copy(f"{sshd.identity_file}.pub", f"{locked}.pub")
    subprocess.run(["ssh-add", "-q", str(sshd.identity_file)], check=True, capture_output=True)
    way.host("server", sshd, key=locked)
    way.trust(sshd)
    prompts = Prompts()
    assert works(connect(way.endpoint("server"), prompts))
    assert prompts.asked == []


def test_a_jump_host(way: Way, sshd: Sshd, bastion: Sshd) -> None:
    way.host("jump", bastion)
    way.host("inner", sshd, "ProxyJump jump")
    way.trust(sshd, bastion)
    before = set(Sshd.sessions(bastion.pid))
    connector = connect(way.endpoint("inner"), Prompts())
    assert set(Sshd.sessions(bastion.pid)) - before
    assert works(connector)


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "by the profile"])
def test_a_password(way: Way, method: str, asked: bool) -> None:
    with SshServer(way.folder, methods=(method,), password=SECRET) as server:
        way.trust(server)
        prompts = Prompts(SECRET) if asked else Prompts()
        secrets = {} if asked else {"password": SECRET}
        assert works(connect(way.endpoint("127.0.0.1", server.port, server.user, **secrets), prompts))
        assert len(prompts.asked) == int(asked)


def test_a_second_factor(way: Way) -> None:
    (way.folder / "file").write_bytes(b"x")
    questions = ("Password: ", "Code: ")
    with SshServer(
        way.folder, methods=("keyboard-interactive",), password=SECRET, questions=questions
    ) as server:
        way.trust(server)
        prompts = Prompts(SECRET, "123456")
        connector = connect(way.endpoint("127.0.0.1", server.port, server.user), prompts)
        reader = connector.reader()
        with reader.open("file"), reader.open("file"), reader.open("file"):
            assert server.logins == 1
        connector.close()
        assert len(prompts.asked) == 2


def test_an_unknown_key(way: Way, sshd: Sshd) -> None:
    way.host("server", sshd)
    with pytest.raises(UnknownHostKey, match="tui-sync profiles trust"):
        connect(way.endpoint("server"), Prompts())
    assert way.hosts.read_text() == ""


def test_a_changed_key(way: Way, sshd: Sshd) -> None:
    way.host("server", sshd)
    make_key(way.folder / "other")
    name = sshd.host_key_line.split()[0]
    way.hosts.write_text(f"# comment\n{name} {(way.folder / 'other.pub').read_text()}")
    with pytest.raises(ChangedHostKey, match=f"{way.hosts}, line 2"):
        connect(way.endpoint("server"), Prompts())


def test_hashed_names(way: Way, sshd: Sshd) -> None:
    way.host("server", sshd)
    way.trust(sshd)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(way.hosts)], check=True, capture_output=True)
    assert "127.0.0.1" not in way.hosts.read_text()
    assert works(connect(way.endpoint("server"), Prompts()))


def test_an_authority_of_hosts(way: Way, require_sshd: None) -> None:
    """The ssh program asks it; in process there is a sentence that says so."""
    authority, host_key = make_key(way.folder / "authority"), make_key(way.folder / "host_key")
    subprocess.run(
        ["ssh-keygen", "-q", "-s", str(authority), "-I", "host", "-h", "-n", "127.0.0.1", f"{host_key}.pub"],
        check=True,
        capture_output=True,
    )
    config = f"HostCertificate {host_key}-cert.pub"
    with Sshd(way.folder / "sshd", extra_config=config, host_key=host_key) as server:
        way.host("server", server)
        public = (way.folder / "authority.pub").read_text()
        way.hosts.write_text(f"@cert-authority [127.0.0.1]:{server.port} {public}")
        if way.transport == "openssh":
            assert works(connect(way.endpoint("server"), Prompts()))
            return
        with pytest.raises(UnknownHostKey, match=r'line 1 names an authority.*transport = "openssh"'):
            connect(way.endpoint("server"), Prompts())
