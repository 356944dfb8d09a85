"""The ssh configuration is read as ssh reads it; ``ssh -G`` is the judge where it is installed."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from pathlib import Path

import pytest

from tui_sync.connectors.base import Endpoint, HostKey
from tui_sync.connectors.sftp.login import Login, login_of
from tui_sync.connectors.sftp.openssh_options import arguments
from tui_sync.connectors.sftp.route import resolve
from tui_sync.connectors.sftp.ssh_config import hosts
from tui_sync.errors import UsageError


class NoPrompts:
    def secret(self, server: str, prompt: str) -> str | None:
        raise AssertionError(prompt)

    def trust(self, server: str, key: HostKey) -> bool:
        raise AssertionError(key)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".ssh" / "config"


def asked(
    host: str, config: Path, *, user: str | None = None, port: int | None = None, **options: object
) -> Login:
    endpoint = Endpoint(
        f"sftp://{host}/", "sftp", "/", host, port, user, {"ssh_config": str(config), **options}
    )
    return resolve(login_of(endpoint, NoPrompts()))


EXAMPLE = """\
# comment
Include more.d/*.conf

Host web web-*
    HostName = %h.example.org
    Port 2022
    User "deploy"
    IdentityFile ~/.ssh/%r@%h
    IdentityFile /keys/second

Host db !db-old db-*
    ProxyJump me@bastion:2200,inner
    HostKeyAlias database

Match host web.example.org user deploy
    CertificateFile /keys/%n-cert.pub
    Port 1

Match originalhost inner
    ProxyCommand nc -q0 %h %p   # kept as it stands
    IdentitiesOnly yes

Host *
    User everybody
    UserKnownHostsFile ~/.ssh/hosts /shared/hosts
    GlobalKnownHostsFile none
"""


@pytest.fixture
def example(config: Path) -> Path:
    config.write_text(EXAMPLE)
    (config.parent / "more.d").mkdir()
    (config.parent / "more.d" / "first.conf").write_text("Host included\n  Port 77\n")
    return config


def test_a_host_is_what_its_section_says(example: Path, tmp_path: Path) -> None:
    login = asked("web", example)
    assert (login.host, login.port, login.user) == ("web.example.org", 2022, "deploy")
    assert login.identities == (tmp_path / ".ssh" / "deploy@web.example.org", Path("/keys/second"))
    assert login.certificates == (Path("/keys/web-cert.pub"),)
    assert login.known_hosts == [tmp_path / ".ssh" / "hosts", Path("/shared/hosts")]
    assert login.known_as == "[web.example.org]:2022"
    assert login.via is None


def test_what_the_profile_says_comes_first(example: Path) -> None:
    login = asked("web", example, user="me", port=2222, known_hosts="/mine")
    assert (login.port, login.user, login.known_hosts) == (2222, "me", [Path("/mine")])
    assert login.certificates == ()


def test_jump_hosts_are_looked_up_too_and_follow_each_other(example: Path) -> None:
    login = asked("db-1", example)
    assert login.known_as == "database"
    inner = login.via
    assert inner is not None
    assert (inner.host, inner.port, inner.user, inner.identities_only) == ("inner", 22, "everybody", True)
    assert inner.proxy_command == ""
    bastion = inner.via
    assert bastion is not None
    assert (bastion.host, bastion.port, bastion.user) == ("bastion", 2200, "me")
    assert bastion.via is None


def test_a_command_in_between(example: Path) -> None:
    assert asked("inner", example).proxy_command.startswith("nc -q0 inner 22")


def test_a_negated_pattern_excludes(example: Path) -> None:
    assert asked("db-old", example).via is None


def test_an_include_counts_where_it_stands(example: Path) -> None:
    assert asked("included", example).port == 77
    example.write_text("Host other\n  Include more.d/*\nHost *\n  Port 78\n")
    assert asked("included", example).port == 78


def test_none_and_a_missing_file_leave_all_as_it_is(config: Path) -> None:
    config.write_text("Host *\n  Port 99\n")
    endpoint = Endpoint("", "sftp", "/", "h", None, None, {"ssh_config": "none"})
    login = resolve(login_of(endpoint, NoPrompts()))
    assert (login.host, login.port, login.user) == ("h", 22, getpass.getuser())
    assert resolve(login_of(Endpoint("", "sftp", "/", "h"), NoPrompts())).port == 99
    config.unlink()
    assert resolve(login_of(Endpoint("", "sftp", "/", "h"), NoPrompts())).port == 22


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('Match exec "true"\n  Port 3\n', "Match exec"),
        ("Match final\n  HostName x\n", "Match final"),
        ("IdentityAgent /run/agent\n", "IdentityAgent"),
        ("HostName %C\n", "%C"),
        ("CanonicalizeHostname yes\n", "CanonicalizeHostname"),
    ],
)
def test_what_only_ssh_can_follow_is_said(config: Path, text: str, says: str) -> None:
    config.write_text(text)
    with pytest.raises(UsageError, match=f'{config}, line .*{says}.*transport = "openssh"'):
        asked("h", config)


def test_what_only_ssh_can_follow_does_no_harm_where_nothing_hangs_on_it(config: Path) -> None:
    config.write_text(
        'Port 5\nMatch exec "true"\n  ForwardAgent yes\n  Port 6\nMatch host other exec "x"\n  User y\n'
    )
    assert asked("h", config).port == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Port many\n", "line 1: “many”"),
        ("Host *\nProxyJump h\n", "by way of itself"),
        ("ProxyJump a b\n", "user@host:port"),
        ("Include config\n", "too deep"),
        ("IdentityFile ${NOT_SET_AT_ALL}/key\n", "NOT_SET_AT_ALL"),
        ("Match host\n  Port 3\n", "lacks its pattern"),
    ],
)
def test_what_cannot_be_meant_is_said(config: Path, text: str, says: str) -> None:
    config.write_text(text)
    with pytest.raises(UsageError, match=says):
        asked("h", config)


def test_a_file_that_others_can_write_is_not_followed(config: Path) -> None:
    config.write_text("ProxyCommand evil\n")
    config.chmod(0o666)
    with pytest.raises(UsageError, match="other users can change this file"):
        asked("h", config)


def test_the_names_in_a_file(example: Path) -> None:
    assert list(hosts(example)) == ["included", "web", "db"]


@pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")
@pytest.mark.parametrize(
    ("text", "preferred"),
    [
        ("Host web\n  Port 22\n", True),
        ("Ciphers aes256-ctr\n", False),
        ("Host *\n  cipherS=aes256-ctr\n", False),
        ('"Ciphers" aes256-ctr\n', False),
        ("Host other\n  Ciphers aes256-ctr\n", True),
        ("Match host web\n  Include {folder}/more\n", False),
    ],
)
def test_ciphers_are_preferred_only_where_the_configuration_names_none(
    config: Path, text: str, preferred: bool
) -> None:
    more = config.parent / "more"
    more.write_text("Ciphers aes192-ctr\n")
    config.write_text(text.format(folder=config.parent))
    endpoint = Endpoint("sftp://web/", "sftp", "/", "web", options={"ssh_config": str(config)})
    told = arguments(login_of(endpoint, NoPrompts()), config)
    assert any(option.startswith("Ciphers=") for option in told) == preferred


@pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")
@pytest.mark.parametrize("host", ["web", "web-2", "db", "db-1", "db-old", "inner", "included", "other"])
def test_ssh_reads_the_same(example: Path, host: str) -> None:
    (example.parent / "absolute").write_text(
        EXAMPLE.replace("more.d", f"{example.parent}/more.d").replace("~", str(example.parents[1]))
    )
    told = subprocess.run(
        ["ssh", "-F", str(example.parent / "absolute"), "-G", host],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    said: dict[str, list[str]] = {}
    for line in told.splitlines():
        key, _, value = line.partition(" ")
        said.setdefault(key, []).append(value)
    login = asked(host, example.parent / "absolute")
    assert (login.host, str(login.port), login.user) == (
        said["hostname"][0],
        said["port"][0],
        said["user"][0],
    )
    assert (login.via is not None) == ("proxyjump" in said)
    assert bool(login.proxy_command) == ("proxycommand" in said)
    assert login.host_key_alias == said.get("hostkeyalias", [""])[0]


@pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")
@pytest.mark.parametrize(
    "text",
    [
        "ProxyJump none\nProxyCommand nc %h\n",
        "ProxyCommand none\nProxyJump jump\n",
        "ProxyJump none\nProxyJump jump\nProxyCommand nc %h\n",
        "ProxyCommand nc %h\nProxyJump jump\n",
        "# a comment\u2028ProxyCommand nc %h\n",
        "# a comment\x0bProxyCommand nc %h\n",
    ],
)
def test_a_proxy_is_that_of_ssh(config: Path, text: str) -> None:
    config.write_text(text, "utf-8")
    ran = subprocess.run(["ssh", "-G", "-F", str(config), "web"], capture_output=True, text=True, check=True)
    told = dict(line.split(" ", 1) for line in ran.stdout.splitlines())
    found = asked("web", config)
    assert found.proxy_command == told.get("proxycommand", "").replace("%h", "web")
    assert (found.via.host if found.via else None) == told.get("proxyjump")


@pytest.mark.parametrize("text", ["Port\n", "HostName\n", "Match\n", 'User ""\n'])
def test_a_keyword_without_a_value_is_told_with_its_line(config: Path, text: str) -> None:
    config.write_text(f"# first\n{text}")
    with pytest.raises(UsageError, match=r"line 2: .* lacks its value"):
        asked("web", config)


def test_a_home_folder_that_does_not_exist_is_a_file_that_does_not(config: Path) -> None:
    path = "~no-such-user-here/x"
    config.write_text(
        f"Include {path}\nHost web\n  UserKnownHostsFile {path}\n"
        f"  IdentityFile {path}\n  CertificateFile {path}\n"
    )
    found = asked("web", config)
    assert Path(path) in found.known_hosts
    assert found.identities == (Path(path),)
    assert list(hosts(config)) == ["web"]
