"""Digests by the server's own shell: real shells, servers without one, and those that see other files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.support import ODD_NAMES, BatchPrompts
from tests.support.ssh_server import SshServer
from tests.support.sshd import Sshd
from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Endpoint
from tui_sync.connectors.digest import digest
from tui_sync.connectors.sftp import dialing, shell
from tui_sync.connectors.sftp.connector import SftpConnector
from tui_sync.connectors.sftp.shell import Hashed, Shell
from tui_sync.connectors.sftp.transport import ByteChannel
from tui_sync.errors import ConnectionLost, NotSupported

TRANSPORTS = ("paramiko", "openssh")
HOSTILE = [
    *ODD_NAMES,
    "$(touch INJECTED)",
    "`touch INJECTED`",
    "'; touch INJECTED; '",
    '"; touch INJECTED; "',
    "\n touch INJECTED\n",
    "-c",
    "%s%n%d",
    "\\0000\\",
    "a\\",
    "\udcff'\udc81; touch INJECTED",
    "x" * 200 + "\n" + "0" * 54,
]


def connect(server: Sshd, root: Path, transport: str = "paramiko") -> SftpConnector:
    return dialing.connect(server.endpoint(root, transport=transport, ssh_config="none"), BatchPrompts())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(root: Path, name: str, data: bytes) -> None:
    full = os.path.join(os.fsencode(root), name.encode("utf-8", "surrogateescape"))
    os.makedirs(os.path.dirname(full), exist_ok=True)
    Path(os.fsdecode(full)).write_bytes(data)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "it's a \n $(root) 100%"
    made.mkdir()
    return made


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_names_of_any_kind_are_hashed_and_none_is_a_command(
    sshd: Sshd, root: Path, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(HOSTILE):
        put(root, name, f"{number}".encode() * number)
        put(root, f"folder\n'$(touch INJECTED)/{name}", f"below {number}".encode())
    monkeypatch.setenv("HOME", str(root))
    connector = connect(sshd, root, transport)
    try:
        reader = connector.reader()
        assert reader.hashes()
        paths = [*HOSTILE, *(f"folder\n'$(touch INJECTED)/{name}" for name in HOSTILE)]
        entries = [reader.stat(path) for path in paths]
        wanted = [sha256(f"{number}".encode() * number) for number in range(len(HOSTILE))]
        wanted += [sha256(f"below {number}".encode()) for number in range(len(HOSTILE))]
        assert reader.digests(entries) == wanted
        assert [reader.checksum(path, "sha256") for path in paths[:3]] == wanted[:3]
        assert reader.checksum(paths[0], "md5") is None
    finally:
        connector.close()
    for place in (root, Path.home(), Path("/"), sshd.folder):
        assert not (place / "INJECTED").exists()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_one_that_is_missing_or_changed_costs_the_others_nothing(
    sshd: Sshd, root: Path, transport: str
) -> None:
    for number in range(300):
        put(root, f"{number}", b"%d" % number)
    put(root, "large", bytes(3 << 20))
    connector = connect(sshd, root, transport)
    try:
        reader = connector.reader()
        names = [f"{number}" for number in range(300)] + ["large"]
        entries = [reader.stat(name) for name in names]
        (root / "17").unlink()
        put(root, "18", b"another size")
        os.utime(root / "200", (1, 1))
        (root / "250").unlink()
        (root / "250").symlink_to("251")
        found = reader.digests(entries)
        for name, one in zip(names, found, strict=True):
            if name in ("17", "18", "200", "250"):
                assert one is None, name
            else:
                assert one == sha256((root / name).read_bytes()), name
    finally:
        connector.close()


@pytest.fixture(scope="module")
def shells(require_sshd: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Runs what ``force`` wrote down in place of any command."""
    home = tmp_path_factory.mktemp("forced")
    script = home / "forced"
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)
    with Sshd(home / "sshd", f"ForceCommand {script}") as server:
        yield server


def force(server: Sshd, text: str) -> None:
    """Also in place of the subsystem, which is therefore started here."""
    program = next(
        path
        for path in (
            "/usr/lib/openssh/sftp-server",
            "/usr/libexec/openssh/sftp-server",
            "/usr/libexec/sftp-server",
        )
        if os.path.exists(path)
    )
    (server.folder.parent / "forced").write_text(
        f"#!/bin/sh\ncase $SSH_ORIGINAL_COMMAND in *sftp*) exec {program};; esac\n{text}\n"
    )


LOGIN_SHELLS = [name for name in ("bash", "dash", "tcsh", "fish", "zsh", "mksh") if shutil.which(name)]
NO_SHELLS = {
    "sftp only": "echo This service allows sftp connections only.; exit 1",
    "says nothing and reads": "exec cat >/dev/null",
    "echoes what it is told": 'echo "$SSH_ORIGINAL_COMMAND"; exec cat',
    "talks without end": "exec yes",
    "no programs": 'PATH=/nonexistent exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"',
}


@pytest.mark.parametrize(
    ("what", "transport"), [*((what, "paramiko") for what in NO_SHELLS), ("sftp only", "openssh")]
)
def test_a_login_that_runs_no_shell_is_done_without(
    shells: Sshd, root: Path, transport: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "_START_S", 0.3)
    force(shells, NO_SHELLS[what])
    put(root, "file", b"content")
    connector = connect(shells, root, transport)
    try:
        reader = connector.reader()
        entry = reader.stat("file")
        for _ in range(3):
            assert not reader.hashes()
            assert reader.digests([entry]) == [None]
        assert digest(reader, "file", CancelToken()) == sha256(b"content")
        assert reader.stat("file") == entry, "the connection is as it was"
    finally:
        connector.close()


@pytest.mark.parametrize("login_shell", LOGIN_SHELLS)
def test_any_login_shell_will_do(shells: Sshd, root: Path, login_shell: str) -> None:
    force(shells, f'echo "Welcome!"; printf "To all: "; exec {login_shell} -c "$SSH_ORIGINAL_COMMAND"')
    put(root, "a'b\n100%", b"content")
    connector = connect(shells, root)
    try:
        reader = connector.reader()
        assert reader.hashes()
        assert reader.digests([reader.stat("a'b\n100%")]) == [sha256(b"content")]
    finally:
        connector.close()


def test_sftp_alone_is_forced(require_sshd: None, tmp_path: Path, root: Path) -> None:
    put(root, "file", b"content")
    with Sshd(tmp_path / "sshd", "ForceCommand internal-sftp") as server:
        connector = connect(server, root)
        try:
            assert not connector.reader().hashes()
            assert connector.reader().stat("file").size == 7
        finally:
            connector.close()


def test_a_shell_that_sees_other_files_is_not_believed(tmp_path: Path) -> None:
    """SFTP is in a root of its own, where the same path leads to another file."""
    tree = tmp_path / "tree"
    put(tmp_path / "chroot" / tree.relative_to("/"), "both", b"content of SFTP")
    put(tmp_path / "chroot" / tree.relative_to("/"), "one", b"content")
    put(tree, "both", b"content of shell")
    with SshServer(tmp_path / "chroot", shell=True) as server:
        hosts = tmp_path / "known_hosts"
        hosts.write_text(server.host_key_line + "\n")
        endpoint = Endpoint(
            f"sftp://{server.user}@127.0.0.1:{server.port}{tree}",
            *("sftp", str(tree), "127.0.0.1", server.port, server.user),
            {"known_hosts": str(hosts), "ssh_config": "none"},
            {"password": lambda: "right"},
        )
        connector = dialing.connect(endpoint, BatchPrompts())
        try:
            reader = connector.reader()
            assert reader.hashes(), "there is one"
            assert reader.digests([reader.stat("both"), reader.stat("one")]) == [None, None]
            assert digest(reader, "both", CancelToken()) == sha256(b"content of SFTP")
        finally:
            connector.close()


def test_a_shell_that_ends_is_started_anew_and_one_that_fails_is_given_up() -> None:
    asked = 0

    def refuse(_command: str) -> ByteChannel:
        nonlocal asked
        asked += 1
        raise NotSupported("no")

    refused = Shell(refuse)
    for _ in range(5):
        assert refused.digests([Hashed("/a", 1, 1)]) == [None]
        assert not refused.works()
    assert asked == 2


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_after_a_cut_there_is_a_shell_again(
    require_sshd: None, tmp_path: Path, root: Path, transport: str
) -> None:
    put(root, "file", b"content")
    with Sshd(tmp_path / "sshd") as server:
        connector = connect(server, root, transport)
        try:
            reader = connector.reader()
            entry = reader.stat("file")
            assert reader.digests([entry]) == [sha256(b"content")]
            server.cut()
            for _ in range(3):
                with contextlib.suppress(ConnectionLost):
                    assert reader.stat("file") == entry
            assert reader.digests([entry]) == [sha256(b"content")]
        finally:
            connector.close()
