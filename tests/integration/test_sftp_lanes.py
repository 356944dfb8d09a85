"""Large files through several channels, whatever becomes of some of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from tests.contract.support import MTIME, BatchPrompts, read, store
from tests.support.sshd import Sshd
from tui_sync import names
from tui_sync.connectors.sftp import connector as sftp
from tui_sync.connectors.sftp import dialing, pool
from tui_sync.connectors.sftp.paramiko_packets import BulkPacketizer
from tui_sync.connectors.sftp.pool import SessionPool
from tui_sync.errors import ConnectionLost, StorageError

SIZE = 40_000_003
TAG = "0badcafe"


@pytest.fixture(autouse=True)
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server seems to be 50 ms away."""
    monkeypatch.setattr(SessionPool, "rtt_s", property(lambda pool: 0.05))


@pytest.fixture(scope="module")
def data() -> bytes:
    return random.Random(7).randbytes(SIZE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def connect(server: Sshd, root: Path, transport: str) -> sftp.SftpConnector:
    connector = dialing.connect(server.endpoint(root, transport=transport, ssh_config="none"), BatchPrompts())
    # What opens them in the background, here and now.
    pool = connector._pool
    opened = []
    try:
        while len(opened) < 6:
            session = pool.acquire()
            if session in opened:
                pool.release(session)
                break
            opened.append(session)
    finally:
        for session in opened:
            pool.release(session)
    return connector


@pytest.fixture(params=["openssh", "paramiko"])
def connector(request: pytest.FixtureRequest, sshd: Sshd, root: Path) -> Iterator[sftp.SftpConnector]:
    connector = connect(sshd, root, request.param)
    yield connector
    connector.close()


def test_both_ways_byte_for_byte(connector: sftp.SftpConnector, root: Path, data: bytes) -> None:
    entry = store(connector, "file", data, block=255 << 10)
    assert (root / "file").read_bytes() == data
    assert (entry.size, entry.mtime_ns, entry.mode) == (SIZE, MTIME, 0o640)
    assert read(connector.reader(), "file") == data
    assert read(connector.reader(), "file", 1_000_001, 30_000_001) == data[1_000_001:30_000_001]
    assert connector._pool.leases == 0


def test_several_channels_are_used_and_given_back(
    connector: sftp.SftpConnector, root: Path, data: bytes
) -> None:
    (root / "file").write_bytes(data)
    with connector.reader().open("file") as download:
        blocks = download.blocks()
        next(blocks)
        assert connector._pool.leases == 5
        blocks.close()  # type: ignore[attr-defined]
        assert connector._pool.leases == 1
    upload = connector.writer().upload(
        "new", temporary=names.temporary("new", TAG), size=SIZE, mtime_ns=None, mode=None
    )
    upload.write(0, data[: 1 << 20])
    assert connector._pool.leases == 5
    upload.abort()
    assert connector._pool.leases == 0
    assert {path.name for path in root.iterdir()} == {"file"}


def test_a_small_file_takes_one_channel(connector: sftp.SftpConnector, root: Path) -> None:
    (root / "file").write_bytes(bytes(4_000_000))
    with connector.reader().open("file") as download:
        next(iter(download.blocks()))
        assert connector._pool.leases == 1


def test_what_was_acknowledged_is_there(connector: sftp.SftpConnector, root: Path, data: bytes) -> None:
    temporary = names.temporary("file", TAG)
    upload = connector.writer().upload("file", temporary=temporary, size=SIZE, mtime_ns=MTIME, mode=None)
    for start in range(0, SIZE // 2, 255 << 10):
        upload.write(start, data[start : start + (255 << 10)])
    acknowledged = upload.acknowledged
    assert acknowledged
    stored = (root / temporary).read_bytes()
    assert all(stored[start:stop] == data[start:stop] for start, stop in acknowledged)
    upload.suspend()
    again = connector.writer().resume(
        "file",
        temporary=temporary,
        token=upload.token,
        acknowledged=acknowledged,
        size=SIZE,
        mtime_ns=MTIME,
        mode=None,
    )
    start = again.held[-1][1] if again.held and again.held[0][0] == 0 and len(again.held) == 1 else 0
    again.write(start, data[start:])
    again.finish()
    again.publish(replace=False)
    assert (root / "file").read_bytes() == data


def test_a_path_that_is_another_file_by_now_is_not_read_from(
    connector: sftp.SftpConnector, root: Path, data: bytes
) -> None:
    (root / "file").write_bytes(data)
    with connector.reader().open("file") as download:
        (root / "file").rename(root / "elsewhere")
        (root / "file").write_bytes(bytes(SIZE + 1))
        assert b"".join(bytes(block) for block in download.blocks()) == data


def test_a_link_in_the_place_of_what_is_staged_is_not_written_through(
    connector: sftp.SftpConnector, root: Path, data: bytes
) -> None:
    outside = root.parent / "outside"
    outside.write_bytes(b"precious")
    temporary = names.temporary("file", TAG)
    upload = connector.writer().upload("file", temporary=temporary, size=SIZE, mtime_ns=None, mode=None)
    (root / temporary).unlink()
    (root / temporary).symlink_to(outside)
    for start in range(0, SIZE, 1 << 20):
        upload.write(start, data[start : start + (1 << 20)])
    upload.abort()
    assert outside.read_bytes() == b"precious"


@pytest.mark.parametrize("far_s", [0.0, 1000.0], ids=["all at once", "one by one"])
@pytest.mark.parametrize("transport", ["openssh", "paramiko"])
def test_few_sessions_are_enough(
    require_sshd: None,
    tmp_path: Path,
    root: Path,
    data: bytes,
    transport: str,
    far_s: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "FAR_S", far_s)
    with Sshd(tmp_path / "sshd", extra_config="MaxSessions 2\nMaxStartups 2") as server:
        connector = connect(server, root, transport)
        store(connector, "file", data, block=1 << 20)
        assert read(connector.reader(), "file") == data
        assert connector._pool.channels == 2
        connector.close()


def test_new_keys_of_ours_in_the_middle_change_nothing(
    sshd: Sshd, root: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = connect(sshd, root, "paramiko")
    monkeypatch.setattr(BulkPacketizer, "REKEY_BYTES", 3 << 20)
    keys = count_keys(monkeypatch)
    store(connector, "file", data, block=255 << 10)
    written = len(keys)
    assert written > 2
    assert read(connector.reader(), "file") == data
    assert len(keys) > written + 2
    assert (root / "file").read_bytes() == data
    assert connector._pool.losses == 0
    connector.close()


@pytest.mark.parametrize("ciphers", ["aes128-gcm@openssh.com", "aes256-ctr"])
def test_new_keys_of_the_server_in_the_middle_change_nothing(
    require_sshd: None,
    tmp_path: Path,
    root: Path,
    data: bytes,
    ciphers: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = count_keys(monkeypatch)
    with Sshd(tmp_path / "sshd", extra_config=f"RekeyLimit 4M\nCiphers {ciphers}") as server:
        connector = connect(server, root, "paramiko")
        store(connector, "file", data, block=255 << 10)
        assert read(connector.reader(), "file") == data
        assert connector._pool.losses == 0
        connector.close()
    assert len(keys) > 4


def count_keys(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each time that paramiko begins to use new keys."""
    keys: list[None] = []
    plain = paramiko.Transport._activate_inbound  # type: ignore[attr-defined]

    def activate(transport: paramiko.Transport) -> None:
        keys.append(None)
        plain(transport)

    monkeypatch.setattr(paramiko.Transport, "_activate_inbound", activate)
    return keys


def test_a_cut_is_told(connector: sftp.SftpConnector, sshd: Sshd, root: Path, data: bytes) -> None:
    (root / "file").write_bytes(data)
    with connector.reader().open("file") as download:
        blocks = download.blocks()
        next(blocks)
        connector._pool._transport.close()  # type: ignore[union-attr]
        with pytest.raises(ConnectionLost):
            list(blocks)
    with pytest.raises(StorageError):
        list(download.blocks())
    assert read(connector.reader(), "file", 0, 1000) == data[:1000]
