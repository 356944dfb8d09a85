"""Logging in, or being refused with a sentence: host keys, keys, agents, passwords."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.ssh_server import SshServer
from tests.support.sshd import Sshd, free_port, make_key
from tui_sync.connectors.base import Connector, Endpoint, HostKey
from tui_sync.connectors.sftp import known_hosts
from tui_sync.connectors.sftp.dialing import connect
from tui_sync.errors import (
    ChangedHostKey,
    ConnectError,
    ConnectionLost,
    LoginRefused,
    TuiSyncError,
    UnknownHostKey,
    UsageError,
)

SECRET = "s3cret-never-shown"


class Prompts:
    """Answers from a list; keeps what was asked."""

    def __init__(self, *answers: str | None, trusts: bool = False) -> None:
        self.answers = list(answers)
        self.trusts = trusts
        self.asked: list[str] = []
        self.offered: list[HostKey] = []

    def secret(self, server: str, prompt: str) -> str | None:
        self.asked.append(prompt)
        return self.answers.pop(0) if self.answers else None

    def trust(self, server: str, key: HostKey) -> bool:
        self.offered.append(key)
        return self.trusts


@pytest.fixture(autouse=True)
def no_keys_of_the_person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home folder of the test's own, and no agent."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


def works(connector: Connector) -> bool:
    try:
        connector.reader().list_dir("")
        return True
    finally:
        connector.close()


def eventually(call: Callable[[], int]) -> int:
    """Of a connection just cut the first call may be the one to find out."""
    for _ in range(5):
        with contextlib.suppress(ConnectionLost):
            return call()
    raise AssertionError("never connected again")


def refused(endpoint: Endpoint, kind: type[TuiSyncError], prompts: Prompts | None = None) -> str:
    with pytest.raises(kind) as caught:
        connect(endpoint, prompts or Prompts()).close()
    assert type(caught.value) is kind
    message = str(caught.value)
    assert SECRET not in message
    assert "\n" not in message
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in repr(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return message


def fingerprint_of(server: Sshd) -> str:
    return subprocess.run(
        ["ssh-keygen", "-lf", str(server.known_hosts)], capture_output=True, text=True, check=True
    ).stdout.split()[1]


def test_an_unknown_host_is_refused_with_fingerprint_and_command(sshd: Sshd, tmp_path: Path) -> None:
    file = tmp_path / "hosts file"
    message = refused(sshd.endpoint("/", known_hosts=str(file)), UnknownHostKey)
    assert fingerprint_of(sshd) in message
    assert not file.exists()
    assert message.endswith(f"trust it with: tui-sync profiles trust {sshd.url('/')}")
    named = replace(sshd.endpoint("/", known_hosts=str(file)), profile="my nightly")
    assert refused(named, UnknownHostKey).endswith("tui-sync profiles trust 'my nightly'")


def test_a_host_trusted_by_its_user_is_remembered(sshd: Sshd, tmp_path: Path) -> None:
    file = tmp_path / "made" / "known_hosts"
    prompts = Prompts(trusts=True)
    assert works(connect(sshd.endpoint("/", known_hosts=[str(file), "/nowhere/else"]), prompts))
    assert [key.fingerprint for key in prompts.offered] == [fingerprint_of(sshd)]
    assert file.read_text() == prompts.offered[0].line + "\n" == sshd.host_key_line + "\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert works(connect(sshd.endpoint("/", known_hosts=str(file)), Prompts()))


def test_without_the_option_the_home_folder_counts(sshd: Sshd, no_keys_of_the_person: Path) -> None:
    endpoint = Endpoint(
        sshd.url("/"), "sftp", "/", sshd.host, sshd.port, sshd.user, {"identity_file": sshd.identity_file}
    )
    assert works(connect(endpoint, Prompts(trusts=True)))
    assert sshd.host_key_line in (no_keys_of_the_person / ".ssh" / "known_hosts").read_text()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_changed_host_key_is_refused_and_its_line_named(sshd: Sshd, tmp_path: Path, kind: str) -> None:
    make_key(tmp_path / "other", kind=kind)
    name = known_hosts.host_name(sshd.host, sshd.port)
    file = tmp_path / "known_hosts"
    file.write_text(f"# comment\n\n{name} {(tmp_path / 'other.pub').read_text()}")
    prompts = Prompts(trusts=True)
    message = refused(sshd.endpoint("/", known_hosts=str(file)), ChangedHostKey, prompts)
    assert prompts.offered == []
    assert f"{file}, line 3" in message
    assert fingerprint_of(sshd) in message


def test_hashed_and_pattern_entries_are_known(sshd: Sshd, tmp_path: Path) -> None:
    hashed = tmp_path / "hashed"
    hashed.write_text(sshd.known_hosts.read_text())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(hashed)], check=True, capture_output=True)
    assert "127.0.0.1" not in hashed.read_text()
    assert works(connect(sshd.endpoint("/", known_hosts=str(hashed)), Prompts()))
    pattern = tmp_path / "pattern"
    key = sshd.host_key_line.partition(" ")[2]
    pattern.write_text(f"[127.0.0.?]:{sshd.port},other {key} a comment\n")
    assert works(connect(sshd.endpoint("/", known_hosts=str(pattern)), Prompts()))
    pattern.write_text(f"[127.*]:{sshd.port},![127.0.0.1]:{sshd.port} {key}\n")
    refused(sshd.endpoint("/", known_hosts=str(pattern)), UnknownHostKey)


def test_a_revoked_key_is_refused_though_it_is_known(sshd: Sshd, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    key = sshd.host_key_line.partition(" ")[2]
    file.write_text(f"{sshd.host_key_line}\n@revoked * {key}\n")
    message = refused(sshd.endpoint("/", known_hosts=str(file)), ChangedHostKey, Prompts(trusts=True))
    assert "revoked" in message
    assert "line 2" in message


def test_the_key_type_on_record_is_the_one_asked_for(require_sshd: None, tmp_path: Path) -> None:
    rsa = make_key(tmp_path / "rsa_key", kind="rsa")
    with Sshd(tmp_path / "sshd", extra_config=f"HostKey {rsa}") as server:
        name = known_hosts.host_name(server.host, server.port)
        file = tmp_path / "known_hosts"
        file.write_text(f"{name} {(tmp_path / 'rsa_key.pub').read_text()}")
        assert works(connect(server.endpoint("/", known_hosts=str(file)), Prompts()))


def test_a_known_hosts_file_that_cannot_be_read_is_no_empty_one(sshd: Sshd, tmp_path: Path) -> None:
    message = refused(sshd.endpoint("/", known_hosts=str(tmp_path)), ConnectError, Prompts(trusts=True))
    assert str(tmp_path) in message


def test_a_wrong_key_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    message = refused(sshd.endpoint("/", identity_file=str(other)), LoginRefused)
    assert str(other) in message
    assert "the server offers publickey" in message


def test_without_any_key_the_message_says_so(sshd: Sshd) -> None:
    message = refused(sshd.endpoint("/", identity_file=None), LoginRefused)
    assert "tried nothing" in message
    assert "publickey" in message


@pytest.mark.parametrize("content", [None, "no key"], ids=["missing", "garbage"])
def test_a_key_file_that_is_none_is_named(sshd: Sshd, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_text(content)
    assert str(path) in refused(sshd.endpoint("/", identity_file=str(path)), LoginRefused)


@pytest.fixture
def locked_key(sshd: Sshd, tmp_path: Path) -> Path:
    """The key that logs in, encrypted by a passphrase, its public half out of reach."""
    path = tmp_path / "locked"
    path.write_bytes(sshd.identity_file.read_bytes())
    path.chmod(0o600)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", SECRET, "-f", str(path)], check=True, capture_output=True
    )
    return path


def test_a_passphrase_is_asked_for(sshd: Sshd, locked_key: Path) -> None:
    prompts = Prompts("wrong", SECRET)
    assert works(connect(sshd.endpoint("/", identity_file=str(locked_key)), prompts))
    assert len(prompts.asked) == 2
    assert str(locked_key) in prompts.asked[0]


def test_a_passphrase_of_the_profile_is_used(sshd: Sshd, locked_key: Path) -> None:
    endpoint = sshd.endpoint("/", identity_file=str(locked_key))
    with_secret = Endpoint(
        endpoint.url,
        "sftp",
        "/",
        sshd.host,
        sshd.port,
        sshd.user,
        endpoint.options,
        {"passphrase": lambda: SECRET},
    )
    prompts = Prompts()
    assert works(connect(with_secret, prompts))
    assert prompts.asked == []


def test_a_passphrase_that_is_missing_or_wrong_is_refused(sshd: Sshd, locked_key: Path) -> None:
    endpoint = sshd.endpoint("/", identity_file=str(locked_key))
    assert "passphrase" in refused(endpoint, LoginRefused)
    assert "passphrase" in refused(endpoint, LoginRefused, Prompts("a", "b", "c"))


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


def test_the_agent_logs_in(sshd: Sshd, agent: None) -> None:
    endpoint = sshd.endpoint("/", identity_file=None)
    refused(endpoint, LoginRefused)
    subprocess.run(["ssh-add", "-q", str(sshd.identity_file)], check=True, capture_output=True)
    assert works(connect(endpoint, Prompts()))


def test_the_agent_spares_the_passphrase_of_a_named_key(sshd: Sshd, agent: None, locked_key: Path) -> None:
    public = sshd.identity_file.with_name("identity.pub").read_text()
    locked_key.with_name("locked.pub").write_text(public)
    subprocess.run(["ssh-add", "-q", str(sshd.identity_file)], check=True, capture_output=True)
    prompts = Prompts()
    assert works(connect(sshd.endpoint("/", identity_file=str(locked_key)), prompts))
    assert prompts.asked == []


def test_a_default_key_file_logs_in(sshd: Sshd, no_keys_of_the_person: Path) -> None:
    key = no_keys_of_the_person / ".ssh" / "id_ed25519"
    key.write_bytes(sshd.identity_file.read_bytes())
    assert works(connect(sshd.endpoint("/", identity_file=None), Prompts()))


def test_a_refused_connection_names_host_and_port() -> None:
    port = free_port()
    message = refused(Endpoint("", "sftp", "/", "127.0.0.1", port), ConnectError)
    assert "127.0.0.1" in message
    assert str(port) in message


def test_a_host_that_does_not_exist_is_named() -> None:
    assert "no.such.host.invalid" in refused(
        Endpoint("", "sftp", "/", "no.such.host.invalid", 22), ConnectError
    )


def test_what_is_no_ssh_server_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        answer = os.fork()
        if not answer:
            connection, _ = listener.accept()
            connection.sendall(b"220 ftp ready\r\n" * 200)
            connection.close()
            os._exit(0)
        message = refused(Endpoint("", "sftp", "/", "127.0.0.1", port), ConnectError)
        os.waitpid(answer, 0)
    assert f"127.0.0.1:{port}" in message


@pytest.mark.parametrize(
    "options",
    [{"known_hosts": 3}, {"known_hosts": []}, {"identity_file": 7}, {"transport": "putty"}],
    ids=str,
)
def test_options_that_cannot_be_used_are_refused(options: dict[str, object]) -> None:
    endpoint = Endpoint("", "sftp", "/", "127.0.0.1", 1, "me", options)
    with pytest.raises(UsageError, match=next(iter(options))):
        connect(endpoint, Prompts())


def endpoint_of(server: SshServer, tmp_path: Path, password: str | None = None) -> Endpoint:
    file = tmp_path / "known_hosts_of_asyncssh"
    file.write_text(server.host_key_line + "\n")
    secrets = {} if password is None else {"password": lambda: password}
    return Endpoint(
        "", "sftp", "/", "127.0.0.1", server.port, server.user, {"known_hosts": str(file)}, secrets
    )


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_a_password_of_the_profile_logs_in(tmp_path: Path, method: str) -> None:
    with SshServer(tmp_path, methods=(method,), password=SECRET) as server:
        prompts = Prompts()
        assert works(connect(endpoint_of(server, tmp_path, SECRET), prompts))
        assert prompts.asked == []
        assert server.attempts == [SECRET]


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_a_password_is_asked_for_again_when_wrong(tmp_path: Path, method: str) -> None:
    with SshServer(tmp_path, methods=(method,), password=SECRET) as server:
        prompts = Prompts("wrong", SECRET)
        assert works(connect(endpoint_of(server, tmp_path), prompts))
        assert len(prompts.asked) == 2


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_a_wrong_password_is_refused_without_being_shown(tmp_path: Path, method: str) -> None:
    with SshServer(tmp_path, methods=(method,)) as server:
        message = refused(endpoint_of(server, tmp_path, SECRET), LoginRefused)
        assert method in message
        assert server.attempts == [SECRET]
        refused(endpoint_of(server, tmp_path), LoginRefused)
        assert len(server.attempts) <= 2


def test_a_further_question_goes_to_the_person(tmp_path: Path) -> None:
    with SshServer(
        tmp_path, methods=("keyboard-interactive",), password=SECRET, questions=("Password: ", "Code: ")
    ) as server:
        prompts = Prompts(SECRET, "123456")
        assert works(connect(endpoint_of(server, tmp_path), prompts))
        assert prompts.asked == ["Password", "Code"]


def test_one_answer_lasts_for_every_channel_and_reconnect(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with SshServer(tmp_path, password=SECRET) as server:
        prompts = Prompts(SECRET)
        connector = connect(endpoint_of(server, tmp_path), prompts)
        reader = connector.reader()
        with reader.open("file"), reader.open("file"), reader.open("file"):
            pass
        server.drop()
        assert eventually(lambda: reader.stat("file").size) == 1
        assert server.logins == 2
        assert len(prompts.asked) == 1
        connector.close()
