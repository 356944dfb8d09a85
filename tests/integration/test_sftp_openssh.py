"""SFTP by the ssh program: logging in, being refused, what is asked, and no process left behind."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.batch import ROOT
from tests.support.proxy import Proxy
from tests.support.ssh_server import SshServer
from tests.support.sshd import Sshd, make_key
from tui_sync.connectors.base import Endpoint, HostKey
from tui_sync.connectors.sftp import openssh_transport, ssh_process
from tui_sync.connectors.sftp.connector import SftpConnector
from tui_sync.connectors.sftp.dialing import connect
from tui_sync.connectors.sftp.login import login_of
from tui_sync.connectors.sftp.pool import SessionPool
from tui_sync.connectors.sftp.private_folder import PrivateFolder
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

pytestmark = pytest.mark.skipif(not openssh_transport.installed(), reason="the ssh program is not installed")


class Prompts:
    def __init__(self, *answers: str | None, trusts: bool = False) -> None:
        self.answers = list(answers)
        self.trusts = trusts
        self.asked: list[str] = []
        self.offered: list[HostKey] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def secret(self, server: str, prompt: str) -> str | None:
        self.asked.append(prompt)
        self.meanwhile()
        return self.answers.pop(0) if self.answers else None

    def trust(self, server: str, key: HostKey) -> bool:
        self.offered.append(key)
        return self.trusts


@pytest.fixture(autouse=True)
def nothing_of_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder of the test's own for what is temporary, by which its processes can be told."""
    folder = Path(tempfile.mkdtemp(prefix="tst", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


def endpoint(server: Sshd, **options: object) -> Endpoint:
    return server.endpoint("/", **{"transport": "openssh", "ssh_config": "none", **options})


def to(server: SshServer, tmp_path: Path, **options: object) -> Endpoint:
    file = tmp_path / "known_hosts_of_asyncssh"
    file.write_text(server.host_key_line + "\n")
    given = {"transport": "openssh", "ssh_config": "none", "known_hosts": str(file), **options}
    return Endpoint("", "sftp", "/", "127.0.0.1", server.port, server.user, given)


def works(connector: SftpConnector) -> bool:
    try:
        return connector.reader().list_dir("") is not None
    finally:
        connector.close()


def refused(where: Endpoint, kind: type[TuiSyncError], prompts: Prompts | None = None) -> str:
    with pytest.raises(kind) as caught:
        connect(where, prompts or Prompts()).close()
    assert type(caught.value) is kind
    assert SECRET not in repr(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def processes(folder: Path) -> dict[int, str]:
    """Those with the folder in their command line or environment that live."""
    found = {}
    for one in Path("/proc").glob("[0-9]*"):
        try:
            command = (one / "cmdline").read_bytes()
            environment = (one / "environ").read_bytes()
            state = (one / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if int(one.name) != os.getpid() and state != "Z" and os.fsencode(folder) in command + environment:
            found[int(one.name)] = (command + b" " + environment).decode("utf-8", "replace")
    return found


def until_none(folder: Path) -> None:
    deadline = time.monotonic() + 10
    while left := processes(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


def test_an_unknown_host_is_refused_and_once_trusted_known(sshd: Sshd, tmp_path: Path) -> None:
    file = tmp_path / "hosts file"
    message = refused(endpoint(sshd, known_hosts=str(file)), UnknownHostKey)
    assert "tui-sync profiles trust" in message
    assert not file.exists()
    prompts = Prompts(trusts=True)
    assert works(connect(endpoint(sshd, known_hosts=str(file)), prompts))
    assert file.read_text() == sshd.host_key_line + "\n"
    again = Prompts()
    assert works(connect(endpoint(sshd, known_hosts=str(file)), again))
    assert again.offered == []


def test_a_changed_host_key_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    file = tmp_path / "known_hosts"
    file.write_text(f"[127.0.0.1]:{sshd.port} {(tmp_path / 'other.pub').read_text()}")
    prompts = Prompts(trusts=True)
    assert f"{file}, line 1" in refused(endpoint(sshd, known_hosts=str(file)), ChangedHostKey, prompts)
    assert prompts.offered == []


def test_a_wrong_key_is_refused_in_the_words_of_ssh(sshd: Sshd, tmp_path: Path, marked: Path) -> None:
    other = make_key(tmp_path / "other")
    message = refused(endpoint(sshd, identity_file=str(other)), LoginRefused)
    assert "Permission denied (publickey)" in message
    until_none(marked)
    assert list(marked.iterdir()) == []


def test_nobody_there(tmp_path: Path, sshd: Sshd) -> None:
    where = replace(endpoint(sshd), port=1)
    assert "Connection refused" in refused(where, ConnectError)


def test_without_the_program_the_remedy_is_named(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert 'transport = "paramiko"' in refused(endpoint(sshd), UsageError)
    assert works(connect(endpoint(sshd, transport="auto"), Prompts()))


def test_a_password_reaches_ssh_and_nobody_else(tmp_path: Path, marked: Path) -> None:
    with SshServer(tmp_path, password=SECRET) as server:
        prompts = Prompts("wrong", SECRET)
        seen: list[str] = []
        prompts.meanwhile = lambda: seen.extend(processes(marked).values())
        connector = connect(to(server, tmp_path), prompts)
        seen += processes(marked).values()
        assert connector.reader().list_dir("") is not None
        assert server.attempts == ["wrong", SECRET]
        assert prompts.asked == ["Password", "Password"]
        assert len(seen) >= 3
        assert not any(SECRET in one or "wrong" in one for one in seen)
        connector.close()
    until_none(marked)
    assert list(marked.iterdir()) == []


def test_a_question_nobody_answers_ends_the_login(tmp_path: Path, marked: Path) -> None:
    with SshServer(tmp_path, password=SECRET) as server:
        assert "Password" in refused(to(server, tmp_path), LoginRefused)
        assert server.attempts == []
    until_none(marked)


def test_a_wrong_password_of_the_profile_is_tried_once(tmp_path: Path) -> None:
    with SshServer(tmp_path, password=SECRET) as server:
        where = replace(to(server, tmp_path), secrets={"password": lambda: "wrong"})
        refused(where, LoginRefused)
        assert server.attempts == ["wrong"]


def test_questions_of_a_second_factor(tmp_path: Path) -> None:
    with SshServer(
        tmp_path, methods=("keyboard-interactive",), password=SECRET, questions=("Password: ", "Code: ")
    ) as server:
        prompts = Prompts(SECRET, "123456")
        assert works(connect(to(server, tmp_path), prompts))
        assert prompts.asked == ["Password", "Code"]


def test_the_passphrase_of_a_key(sshd: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "locked key"
    shutil.copy(sshd.identity_file, key)
    key.chmod(0o600)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", SECRET, "-f", str(key)], check=True, capture_output=True
    )
    prompts = Prompts("wrong", SECRET)
    assert works(connect(endpoint(sshd, identity_file=str(key)), prompts))
    assert len(prompts.asked) == 2
    assert str(key) in prompts.asked[0]
    stored = replace(endpoint(sshd, identity_file=str(key)), secrets={"passphrase": lambda: SECRET})
    assert works(connect(stored, Prompts()))


def test_the_configuration_of_ssh_counts(sshd: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"Host somewhere\n  HostName {sshd.host}\n  Port {sshd.port}\n  User {sshd.user}\n"
        f"  IdentityFile {sshd.identity_file}\n  UserKnownHostsFile {sshd.known_hosts}\n"
        "  LocalForward 1 localhost:1\n  PermitLocalCommand yes\n"
        f"  LocalCommand touch {tmp_path}/no\n  RemoteCommand false\n  RequestTTY yes\n"
    )
    where = Endpoint(
        "", "sftp", "/", "somewhere", options={"transport": "openssh", "ssh_config": str(config)}
    )
    assert works(connect(where, Prompts()))
    assert not (tmp_path / "no").exists()


def test_a_server_without_sftp_says_so(require_sshd: None, tmp_path: Path) -> None:
    with Sshd(tmp_path / "sshd", extra_config="ForceCommand /bin/false") as server:
        assert "SFTP" in refused(endpoint(server), ConnectError)


def test_closing_leaves_no_process_and_no_file(
    sshd: Sshd, marked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine round trips take as long as over a line, where all channels are opened at once.
    monkeypatch.setattr("tui_sync.connectors.sftp.pool.FAR_S", math.inf)
    connector = connect(endpoint(sshd), Prompts())
    sessions = [connector._pool.acquire() for _ in range(4)]
    assert len({id(session) for session in sessions}) == 4
    assert len(processes(marked)) == 4
    connector.close()
    until_none(marked)
    assert list(marked.iterdir()) == []


def test_a_frozen_line_is_let_go_at_once(sshd: Sshd, tmp_path: Path, marked: Path) -> None:
    with Proxy(sshd.port) as proxy:
        file = tmp_path / "known_hosts"
        file.write_text(sshd.host_key_line.replace(f":{sshd.port} ", f":{proxy.port} ") + "\n")
        connector = connect(replace(endpoint(sshd, known_hosts=str(file)), port=proxy.port), Prompts())
        proxy.freeze()
        failures: list[BaseException] = []

        def ask() -> None:
            try:
                connector.reader().list_dir("")
            except ConnectionLost as error:
                failures.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        while not connector._pool.leases:
            time.sleep(0.005)
        connector.close()
        thread.join(10)
        assert not thread.is_alive()
        assert failures
        until_none(marked)


def test_a_login_under_way_is_given_up(sshd: Sshd, tmp_path: Path, marked: Path) -> None:
    with Proxy(sshd.port) as proxy:
        proxy.freeze()
        file = tmp_path / "known_hosts"
        file.write_text(sshd.host_key_line.replace(f":{sshd.port} ", f":{proxy.port} ") + "\n")
        where = replace(endpoint(sshd, known_hosts=str(file)), port=proxy.port)
        dialer = openssh_transport.Dialer(login_of(where, Prompts()))
        pool = SessionPool(dialer.connect, abort=dialer.abort)

        def ask() -> None:
            with pytest.raises(ConnectionLost):
                pool.acquire()

        thread = threading.Thread(target=ask)
        thread.start()
        while not processes(marked):
            time.sleep(0.01)
        pool.close()
        thread.join(10)
        assert not thread.is_alive()
        until_none(marked)


def copying_a_large_file(
    sshd: Sshd, folder: Path, marked: Path, by: Sequence[str] = (), stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """The program in the middle of it, started ``by`` another."""
    for side in ("source", "target"):
        (folder / side).mkdir()
    with (folder / "source" / "large").open("wb") as file:
        file.truncate(4 << 30)
    profile = folder / "pair.toml"
    profile.write_text(
        "".join(
            f'[{side}]\nurl = "{sshd.url(folder / side)}"\nidentity_file = "{sshd.identity_file}"\n'
            f'known_hosts = "{sshd.known_hosts}"\ntransport = "openssh"\nssh_config = "none"\n'
            for side in ("source", "target")
        )
    )
    process = subprocess.Popen(
        [*by, sys.executable, "-m", "tui_sync", "--batch", str(profile)],
        env={**os.environ, "TMPDIR": str(marked), "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not any((folder / "target").iterdir()):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    return process


def test_a_login_that_was_begun_and_never_waited_for_is_given_up(sshd: Sshd, marked: Path) -> None:
    dialer = openssh_transport.Dialer(login_of(endpoint(sshd), Prompts()))
    dialer.begin()
    assert processes(marked)
    dialer.abort()
    until_none(marked)
    with pytest.raises(ConnectError, match="closed"):
        dialer.connect()


@pytest.mark.parametrize("lacking", ["pipe", "PipeChannel"])
def test_what_is_short_here_leaves_the_channels_there_are(
    sshd: Sshd, tmp_path: Path, marked: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    (tmp_path / "one").write_text("one")
    connector = connect(replace(endpoint(sshd), path=str(tmp_path)), Prompts())
    before = processes(marked)

    def too_many(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(ssh_process if lacking == "pipe" else openssh_transport, lacking, too_many)
    pool = connector._pool
    with pool.session() as session, pool.session() as another:
        assert another is session
    assert not connector.reader().hashes()
    with connector.reader().open("one") as download:
        assert b"".join(bytes(block) for block in download.blocks()) == b"one"
    connector.close()
    assert before
    until_none(marked)


@pytest.mark.parametrize("lacking", ["pipe", "PipeChannel", "Askpass", "mkdtemp", "thread"])
def test_what_is_short_for_a_new_login_is_a_lost_connection(
    sshd: Sshd, marked: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    """Which is worth another try later."""
    connector = connect(endpoint(sshd), Prompts())
    transport = connector._pool._transport
    assert transport is not None
    transport.close()

    def too_many(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def no_more(thread: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        if lacking == "thread":
            patch.setattr(threading.Thread, "start", no_more)
        elif lacking == "mkdtemp":
            patch.setattr(tempfile, "mkdtemp", too_many)
        else:
            patch.setattr(ssh_process if lacking == "pipe" else openssh_transport, lacking, too_many)
        with pytest.raises(ConnectionLost, match=r"Too many open files|can't start new thread"):
            connector.reader().list_dir("")
    connector.reader().list_dir("")
    connector.close()
    until_none(marked)
    assert list(marked.iterdir()) == []


def test_without_a_thread_to_listen_there_is_no_ssh(
    sshd: Sshd, marked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def no_more(thread: threading.Thread) -> None:
        if thread.name == "tui-sync-ssh":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", no_more)
    there = len(os.listdir("/proc/self/fd"))
    assert refused(endpoint(sshd), ConnectError) == "cannot start ssh: can't start new thread"
    until_none(marked)
    # Those of earlier tests may still be closed.
    assert len(os.listdir("/proc/self/fd")) <= there


def test_a_close_that_is_interrupted_is_done_by_the_next(
    sshd: Sshd, marked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = openssh_transport.OpensshTransport(login_of(endpoint(sshd), Prompts()))
    transport.log_in()

    def interrupted(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ssh_process.SshProcess, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            transport.close()
    assert len(list(marked.iterdir())) == 1
    transport.close()
    assert list(marked.iterdir()) == []
    until_none(marked)
    with pytest.raises(ConnectionLost):
        transport.open_sftp()


def test_a_folder_goes_also_where_no_more_files_may_be_open(marked: Path) -> None:
    folder = PrivateFolder()
    folder.remove()
    folder.make()
    folder.file("config").write_text("Host *")
    folder.file("never made")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        folder.remove()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert list(marked.iterdir()) == []


_ENDS_FIRST = """
import subprocess, sys, tempfile, threading, time
from tui_sync.connectors.base import Endpoint
from tui_sync.connectors.sftp.dialing import connect

slow, port, hosts = sys.argv[1:]
began = threading.Event()

def late(made):
    began.set()
    time.sleep(0.5)
    return made

class Slow(subprocess.Popen):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        late(self)

make_folder = tempfile.mkdtemp
if slow == "Popen":
    subprocess.Popen = Slow
else:
    tempfile.mkdtemp = lambda *arguments, **options: late(make_folder(*arguments, **options))
options = {"transport": "openssh", "ssh_config": "none", "known_hosts": hosts}
where = Endpoint("", "sftp", "/", "127.0.0.1", int(port), None, options)
threading.Thread(target=connect, args=(where, None), daemon=True).start()
assert began.wait(60)
"""


@pytest.mark.parametrize("slow", ["Popen", "mkdtemp"])
def test_a_login_that_has_just_begun_does_not_outlive_the_program(
    sshd: Sshd, tmp_path: Path, marked: Path, slow: str
) -> None:
    with Proxy(sshd.port) as proxy:
        proxy.freeze()
        command = [sys.executable, "-c", _ENDS_FIRST, slow, str(proxy.port), str(tmp_path / "hosts")]
        environment = {**os.environ, "TMPDIR": str(marked)}
        subprocess.run(command, env=environment, check=True, timeout=60, stderr=subprocess.DEVNULL)
        until_none(marked)
    assert list(marked.iterdir()) == []


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_in_the_middle_no_process_stays(
    sshd: Sshd, tmp_path: Path, marked: Path, signal_number: int
) -> None:
    process = copying_a_large_file(sshd, tmp_path, marked)
    assert len(processes(marked)) >= 3
    # The first SIGTERM lets the file come to its end, the second does not.
    deadline = time.monotonic() + 30
    while process.poll() is None:
        assert time.monotonic() < deadline
        process.send_signal(signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
    until_none(marked)
    assert not (tmp_path / "target" / "large").exists()


@pytest.mark.parametrize("terminal", [False, True])
def test_an_interrupt_is_for_us_and_what_ssh_asks_not_for_the_terminal(
    sshd: Sshd, tmp_path: Path, marked: Path, terminal: bool
) -> None:
    """A terminal interrupts a whole group of processes, and can be asked by those of its session."""
    theirs, ours = os.openpty()
    by = ["setsid", "--ctty"] if terminal else ["setsid"]
    with contextlib.closing(os.fdopen(theirs)) as screen:
        process = copying_a_large_file(sshd, tmp_path, marked, by, stdin=ours)
        os.close(ours)
        mine = os.getsid(process.pid)
        found = [pid for pid, command in processes(marked).items() if command.startswith("ssh\0")]
        assert len(found) >= 2
        assert {os.getpgid(pid) for pid in found} == set(found)
        assert {os.getsid(pid) for pid in found} == (set(found) if terminal else {mine})
        if terminal:
            # As when its window is closed.
            screen.close()
        else:
            process.send_signal(signal.SIGHUP)
        assert process.wait(10) == 130
    until_none(marked)
    assert list(marked.iterdir()) == []
