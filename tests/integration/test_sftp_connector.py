"""The SFTP connector against real servers: much at once, little allowed, lost connections, odd servers."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncssh
import pytest

from tests.contract.support import MTIME, ODD_NAMES, BatchPrompts, content, read, store
from tests.support.proxy import Proxy
from tests.support.ssh_server import SshServer
from tests.support.sshd import Sshd
from tui_sync import names
from tui_sync.connectors.base import Connector, Endpoint, Upload
from tui_sync.connectors.sftp import connector as sftp
from tui_sync.connectors.sftp import dialing
from tui_sync.connectors.sftp import session as sftp_session
from tui_sync.errors import (
    AlreadyExists,
    ConnectError,
    ConnectionLost,
    NoSpace,
    NotFound,
    StorageError,
    TimedOut,
)
from tui_sync.model import Kind, SyncOptions
from tui_sync.profiles import Profile
from tui_sync.session import Session

TAG = "0badcafe"


def connect(endpoint: Endpoint) -> Connector:
    return dialing.connect(endpoint, BatchPrompts())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def connector(sshd: Sshd, root: Path) -> Iterator[Connector]:
    connector = connect(sshd.endpoint(root))
    yield connector
    connector.close()


@pytest.fixture
def proxy(sshd: Sshd) -> Iterator[Proxy]:
    with Proxy(sshd.port) as proxy:
        yield proxy


def through(proxy: Proxy, sshd: Sshd, root: Path, tmp_path: Path) -> Endpoint:
    """The server as reached by the proxy's port."""
    file = tmp_path / "known_hosts_of_proxy"
    file.write_text(sshd.host_key_line.replace(f":{sshd.port} ", f":{proxy.port} ") + "\n")
    return dataclasses.replace(sshd.endpoint(root, known_hosts=str(file)), port=proxy.port)


def channels(connector: Connector) -> int:
    assert isinstance(connector, sftp.SftpConnector)
    return connector._pool.channels


def until_cut(connector: Connector) -> None:
    """Wait until the connection is known to be gone."""
    assert isinstance(connector, sftp.SftpConnector)
    transport = connector._pool._transport
    assert transport is not None
    deadline = time.monotonic() + 10
    while transport.alive:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_file_of_many_blocks_makes_the_round_trip(connector: Connector, root: Path) -> None:
    data = random.Random(1).randbytes(20_000_003)
    (root / "source").write_bytes(data)
    with connector.reader().open("source") as download:
        upload = connector.writer().upload(
            "target",
            temporary=names.temporary("target", TAG),
            size=download.entry.size,
            mtime_ns=MTIME,
            mode=0o640,
        )
        at = 0
        for block in download.blocks():
            upload.write(at, block)
            at += len(block)
    upload.finish()
    entry = upload.publish(replace=True)
    assert hashlib.sha256((root / "target").read_bytes()).digest() == hashlib.sha256(data).digest()
    assert (entry.size, entry.mtime_ns, entry.mode) == (len(data), MTIME, 0o640)


@pytest.mark.parametrize("path", ["/~/", "/~", "", "/~/{}/"])
def test_the_login_folder_is_found(sshd: Sshd, path: str) -> None:
    home = Path.home()
    inner = next((one.name for one in home.iterdir() if one.is_dir() and "/" not in one.name), None)
    if "{}" in path:
        if inner is None:
            pytest.skip("no folder there to look into")
        home, path = home / inner, path.format(inner)
    connector = connect(sshd.endpoint(path))
    assert {child.name for child in connector.reader().list_dir("")} == set(os.listdir(home))
    connector.close()


def test_the_folder_of_another_user_is_not_guessed(sshd: Sshd) -> None:
    with pytest.raises(StorageError, match="another user"):
        connect(sshd.endpoint("/~nobody/x"))


def test_a_fifo_is_not_opened(connector: Connector, root: Path) -> None:
    os.mkfifo(root / "fifo")
    assert connector.reader().stat("fifo").kind is Kind.OTHER
    with pytest.raises(StorageError, match="no regular file"):
        connector.reader().open("fifo")


def test_links_come_with_their_text(connector: Connector, root: Path) -> None:
    (root / "link").symlink_to("to \udcff\nwhere")
    [listed] = connector.reader().list_dir("")
    assert listed.link_target == "to \udcff\nwhere" == connector.reader().stat("link").link_target


def test_a_link_at_the_temporary_name_is_not_written_through(connector: Connector, root: Path) -> None:
    outside = root.parent / "outside"
    outside.write_bytes(b"precious")
    (root / names.temporary("file", TAG)).symlink_to(outside)
    store(connector, "file", b"new")
    assert outside.read_bytes() == b"precious"
    assert not (root / "file").is_symlink()
    assert (root / "file").read_bytes() == b"new"


def test_publishing_replaces_a_link_itself(connector: Connector, root: Path) -> None:
    outside = root.parent / "outside"
    outside.write_bytes(b"precious")
    (root / "file").symlink_to(outside)
    store(connector, "file", b"new", replace=True)
    assert outside.read_bytes() == b"precious"
    assert not (root / "file").is_symlink()


def test_direct_writing_does_not_follow_a_link(connector: Connector, root: Path) -> None:
    outside = root.parent / "outside"
    outside.write_bytes(b"precious")
    (root / "file").symlink_to(outside)
    with pytest.raises(StorageError, match="no regular file"):
        connector.writer().upload("file", temporary="file", size=1, mtime_ns=None, mode=None)
    assert outside.read_bytes() == b"precious"


def test_what_is_staged_is_nobody_elses_to_read(connector: Connector, root: Path) -> None:
    temporary = names.temporary("file", TAG)
    upload = connector.writer().upload("file", temporary=temporary, size=1, mtime_ns=None, mode=0o644)
    upload.write(0, b"x")
    assert (root / temporary).stat().st_mode & 0o777 == 0o600
    upload.finish()
    upload.publish(replace=False)
    assert (root / "file").stat().st_mode & 0o777 == 0o644


def test_a_hole_in_what_was_staged_is_not_held(connector: Connector) -> None:
    temporary = names.temporary("file", TAG)
    size = 2_000_000
    first = connector.writer().upload("file", temporary=temporary, size=size, mtime_ns=None, mode=None)
    first.write(size // 2, bytes(size // 2))
    first.suspend()
    for acknowledged in ((), first.acknowledged, ((size // 2, size),), ((size // 2, 2 * size),)):
        resumed = connector.writer().resume(
            "file",
            temporary=temporary,
            token=first.token,
            acknowledged=acknowledged,
            size=size,
            mtime_ns=None,
            mode=None,
        )
        assert all(size // 2 <= start < stop <= size for start, stop in resumed.held)
        assert bool(resumed.held) is bool(acknowledged)
        resumed.suspend()


def test_many_threads_and_many_files(connector: Connector, root: Path) -> None:
    expected = {
        f"f{number}": content(random.Random(number).randrange(700_000), number + 1) for number in range(80)
    }
    for name, data in expected.items():
        (root / name).write_bytes(data)

    def copy(name: str) -> None:
        data = read(connector.reader(), name)
        store(connector, f"copy of {name}", data)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(copy, expected))
    for name, data in expected.items():
        assert (root / f"copy of {name}").read_bytes() == data
    assert 1 < channels(connector) <= 8
    assert len(connector.reader().list_dir("")) == 160


@pytest.mark.parametrize("most", [1, 2])
def test_a_server_that_grants_few_sessions_is_content(
    require_sshd: None, tmp_path: Path, root: Path, most: int
) -> None:
    for number in range(12):
        (root / f"f{number}").write_bytes(content(300_000, number + 1))
    with Sshd(tmp_path / "sshd", extra_config=f"MaxSessions {most}") as server:
        connector = connect(server.endpoint(root))
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda number: read(connector.reader(), f"f{number}"), range(12)))
        assert found == [content(300_000, number + 1) for number in range(12)]
        assert channels(connector) == most
        connector.close()


def test_a_connection_cut_while_reading_is_lost_and_made_again(
    proxy: Proxy, sshd: Sshd, root: Path, tmp_path: Path
) -> None:
    data = content(30_000_000)
    (root / "large").write_bytes(data)
    connector = connect(through(proxy, sshd, root, tmp_path))
    with connector.reader().open("large") as download:
        blocks = download.blocks()
        next(blocks)
        proxy.cut()
        with pytest.raises(ConnectionLost):
            list(blocks)
    assert read(connector.reader(), "large") == data
    assert proxy.connections == 2
    connector.close()


def _write_on(upload: Upload) -> None:
    for number in range(1, 2_000):
        upload.write(number * 100_000, bytes(100_000))


def test_a_connection_cut_while_writing_leaves_the_old_file(
    proxy: Proxy, sshd: Sshd, root: Path, tmp_path: Path
) -> None:
    (root / "file").write_bytes(b"old")
    connector = connect(through(proxy, sshd, root, tmp_path))
    temporary = names.temporary("file", TAG)
    upload = connector.writer().upload("file", temporary=temporary, size=None, mtime_ns=None, mode=None)
    upload.write(0, bytes(100_000))
    proxy.cut()
    with pytest.raises(ConnectionLost):
        _write_on(upload)
    upload.abort()
    assert (root / "file").read_bytes() == b"old"
    store(connector, "file", b"new", replace=True)
    assert (root / "file").read_bytes() == b"new"
    assert not (root / temporary).exists()
    connector.close()


def test_the_end_of_the_servers_sessions_is_survived(require_sshd: None, tmp_path: Path, root: Path) -> None:
    (root / "file").write_bytes(b"x")
    with Sshd(tmp_path / "sshd") as server:
        connector = connect(server.endpoint(root))
        assert server.cut() >= 1
        until_cut(connector)
        assert connector.reader().stat("file").size == 1
        connector.close()


def test_many_threads_make_one_new_connection(proxy: Proxy, sshd: Sshd, root: Path, tmp_path: Path) -> None:
    (root / "file").write_bytes(b"x")
    connector = connect(through(proxy, sshd, root, tmp_path))
    reader = connector.reader()
    proxy.cut()
    start = threading.Barrier(8)

    def until_it_works(_: int) -> int:
        start.wait(10)
        for _ in range(50):
            try:
                return reader.stat("file").size
            except ConnectionLost:
                continue
        raise AssertionError("never connected again")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(until_it_works, range(8))) == [1] * 8
    assert proxy.connections == 2
    connector.close()


def test_a_server_that_is_gone_is_a_lost_connection(require_sshd: None, tmp_path: Path, root: Path) -> None:
    with Sshd(tmp_path / "sshd") as server:
        connector = connect(server.endpoint(root))
    for _ in range(3):
        with pytest.raises(ConnectionLost):
            connector.reader().stat("")
    connector.close()


BLOCKED: dict[str, Callable[[Connector], object]] = {
    "reading": lambda connector: read(connector.reader(), "large"),
    "writing": lambda connector: store(connector, "new", bytes(40_000_000)),
    "listing": lambda connector: connector.reader().list_dir(""),
    "connecting again": lambda connector: connector.reader().stat("large"),
}


@pytest.mark.parametrize("doing", BLOCKED)
def test_close_frees_a_call_that_waits(
    proxy: Proxy, sshd: Sshd, root: Path, tmp_path: Path, doing: str
) -> None:
    (root / "large").write_bytes(bytes(40_000_000))
    connector = connect(through(proxy, sshd, root, tmp_path))
    if doing == "connecting again":
        proxy.cut()
        until_cut(connector)
    proxy.freeze()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(BLOCKED[doing], connector)
        with pytest.raises(TimeoutError):
            call.result(0.3)
        connector.close()
        with pytest.raises(ConnectionLost):
            call.result(10)


def test_a_dead_line_ends_by_the_deadline(
    proxy: Proxy, sshd: Sshd, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sftp_session.SftpSession.__init__, "__kwdefaults__", {"deadline": 0.3, "in_flight": 1 << 23}
    )
    connector = connect(through(proxy, sshd, root, tmp_path))
    proxy.freeze()
    with pytest.raises(TimedOut):
        connector.reader().stat("")
    connector.close()


def test_a_full_disk_is_told_from_other_failures(
    connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    upload = connector.writer().upload(
        "file", temporary=names.temporary("file", TAG), size=1, mtime_ns=None, mode=None
    )
    assert isinstance(upload, sftp.SftpUpload)
    session = upload._session
    real = upload._handle
    upload._handle = session.send(sftp.wire.Open(str(full), sftp.wire.OpenFlag.WRITE), "open", "x").handle()
    upload.write(0, b"x")
    with pytest.raises(StorageError, match="Failure"):
        upload.finish()
    upload._failure = None
    monkeypatch.setattr(sftp.wire.FileSystem, "free", property(lambda self: 17))
    upload.write(0, b"x")
    with pytest.raises(NoSpace, match="17 bytes are free"):
        upload.finish()
    upload._handle = real
    upload.abort()


@pytest.fixture(params=["all extensions", "none"])
def odd_server(
    request: pytest.FixtureRequest, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Connector]:
    """An SFTP server that is not OpenSSH's, with its extensions and without."""
    if request.param == "none":
        monkeypatch.setattr(asyncssh.sftp.SFTPServerHandler, "_extensions", [])
    with SshServer(root) as server:
        connector = connect_to(server, tmp_path)
        yield connector
        connector.close()


def test_another_server_keeps_a_whole_file(odd_server: Connector, root: Path) -> None:
    data = content(3_000_000)
    for replace in (False, True):
        store(odd_server, "file", data, replace=replace)
        assert (root / "file").read_bytes() == data
        assert read(odd_server.reader(), "file") == data
    with pytest.raises(AlreadyExists):
        store(odd_server, "file", b"other")
    assert set(os.listdir(root)) == {"file", names.temporary("file", TAG)}
    assert (root / "file").read_bytes() == data
    assert odd_server.reader().stat("file").mtime_ns == MTIME


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_another_server_keeps_odd_names(odd_server: Connector, root: Path, name: str) -> None:
    odd_server.writer().make_dir(name, mode=0o750)
    store(odd_server, f"{name}/{name}", b"odd")
    assert [child.name for child in odd_server.reader().list_dir(name)] == [name]
    assert read(odd_server.reader(), f"{name}/{name}") == b"odd"


def connect_to(server: SshServer, tmp_path: Path) -> Connector:
    file = tmp_path / "known_hosts_of_asyncssh"
    file.write_text(server.host_key_line + "\n")
    return connect(
        Endpoint(
            "",
            "sftp",
            "/",
            "127.0.0.1",
            server.port,
            server.user,
            {"known_hosts": str(file)},
            {"password": lambda: server.password},
        )
    )


def test_a_server_that_answers_reads_in_part_gives_the_whole_file(root: Path, tmp_path: Path) -> None:
    chance = random.Random(11)

    class Short(asyncssh.SFTPServer):
        def read(self, file_obj: object, offset: int, size: int) -> object:
            return super().read(file_obj, offset, chance.randint(1, size))

    data = random.Random(2).randbytes(3_000_000)
    (root / "file").write_bytes(data)
    with SshServer(root, sftp_server=Short) as server:
        connector = connect_to(server, tmp_path)
        assert read(connector.reader(), "file") == data
        assert read(connector.reader(), "file", 1_234, 2_345_678) == data[1_234:2_345_678]
        connector.close()


def test_replacing_without_the_extension_restores_the_old_file_on_failure(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncssh.sftp.SFTPServerHandler, "_extensions", [])

    class Stubborn(asyncssh.SFTPServer):
        def rename(self, oldpath: bytes, newpath: bytes) -> object:
            if oldpath.endswith(b".part"):
                raise asyncssh.SFTPFailure("not today")
            return super().rename(oldpath, newpath)

    with SshServer(root, sftp_server=Stubborn) as server:
        connector = connect_to(server, tmp_path)
        assert not connector.reader().features.atomic_replace
        (root / "file").write_bytes(b"old")
        upload = connector.writer().upload(
            "file", temporary=names.temporary("file", TAG), size=0, mtime_ns=None, mode=None
        )
        upload.finish()
        with pytest.raises(StorageError, match="not today"):
            upload.publish(replace=True)
        upload.abort()
        assert os.listdir(root) == ["file"]
        assert (root / "file").read_bytes() == b"old"
        connector.close()


def test_a_missing_root_is_found_out_by_its_first_use(sshd: Sshd, root: Path) -> None:
    (root / "gone").mkdir()
    connector = connect(sshd.endpoint(root / "gone" / "there"))
    (root / "gone").rmdir()
    assert (connector.reader().free_space() or 0) > 0
    with pytest.raises(NotFound):
        connector.reader().list_dir("")
    with pytest.raises(NotFound):
        connector.writer().make_dir("", mode=None)
    connector.close()


def test_a_folder_whose_names_do_not_fit_into_the_servers_paths_is_not_listed_in_part(
    connector: Connector, root: Path
) -> None:
    """OpenSSH leaves out names that make a path longer than it can look at."""
    path = ""
    folder = os.open(root, os.O_RDONLY)
    while len(f"{root}/{path}") < 3_950:
        name = "n" * (200 if len(f"{root}/{path}") < 3_600 else 50)
        os.mkdir(name, dir_fd=folder)
        above, folder = folder, os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(above)
        path = f"{path}/{name}" if path else name
    os.close(os.open("leaf" * 50, os.O_CREAT, dir_fd=folder))
    os.close(folder)
    with pytest.raises(StorageError, match="too long to be listed in full"):
        connector.reader().list_dir(path)
    assert len(connector.reader().list_dir("")) == 1


def test_a_root_that_cannot_be_made_is_told_while_connecting(sshd: Sshd, root: Path) -> None:
    connect(sshd.endpoint(root / "new")).close()
    with pytest.raises(NotFound, match=f"nor does “{root}/none” above it"):
        connect(sshd.endpoint(root / "none/new"))
    (root / "dangling").symlink_to("nowhere")
    with pytest.raises(NotFound, match="dangling” is a symbolic link that leads nowhere"):
        connect(sshd.endpoint(root / "dangling"))


@pytest.mark.parametrize("transport", ["openssh", "paramiko"])
@pytest.mark.parametrize("subsystem", ["", "Subsystem sftp /bin/false", "Subsystem sftp /bin/ls /"])
def test_a_login_without_sftp_is_no_connection(
    require_sshd: None, tmp_path: Path, transport: str, subsystem: str
) -> None:
    class WithoutSftp(Sshd):
        def _config(self, host_key: Path) -> str:
            return super()._config(host_key).replace("Subsystem sftp internal-sftp", subsystem)

    (tmp_path / "root").mkdir()
    with WithoutSftp(tmp_path / "sshd") as server:
        profile = Profile(
            "pair",
            None,
            server.endpoint(tmp_path / "root", transport=transport),
            Endpoint(f"file://{tmp_path}/target", "file", f"{tmp_path}/target"),
            SyncOptions(),
        )
        session = Session(profile, prompts=BatchPrompts(), state_dir=tmp_path / "state")
        try:
            with pytest.raises(ConnectError):
                session.connect()
        finally:
            session.close()


def test_a_time_before_1970_is_read_as_such_and_never_written_as_2106(
    connector: Connector, root: Path
) -> None:
    (root / "old").write_bytes(b"old")
    os.utime(root / "old", (0, -5))
    [listed] = connector.reader().list_dir("")
    assert listed.mtime_ns == connector.reader().stat("old").mtime_ns == -5 * 10**9
    store(connector, "copy", b"old", mtime_ns=-5 * 10**9)
    assert (root / "copy").stat().st_mtime < time.time() + 86_400
