"""From one folder of a server to another of the same: the content does not pass through here."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.support import MTIME, BatchPrompts
from tests.support.sshd import Sshd
from tui_sync import names
from tui_sync.connectors.base import Upload
from tui_sync.connectors.sftp import connector as sftp
from tui_sync.connectors.sftp import dialing
from tui_sync.connectors.sftp.download import SftpDownload

TAG = "0badcafe"
DATA = random.Random(3).randbytes(3_000_001)


@pytest.fixture(params=["openssh", "paramiko"])
def sides(
    request: pytest.FixtureRequest, sshd: Sshd, tmp_path: Path
) -> Iterator[tuple[sftp.SftpConnector, sftp.SftpConnector]]:
    found = []
    for name in ("source", "target"):
        (tmp_path / name).mkdir()
        endpoint = sshd.endpoint(tmp_path / name, transport=request.param, ssh_config="none")
        found.append(dialing.connect(endpoint, BatchPrompts()))
    yield found[0], found[1]
    for connector in found:
        connector.close()


def begin(target: sftp.SftpConnector, size: int) -> Upload:
    return target.writer().upload(
        "new", temporary=names.temporary("new", TAG), size=size, mtime_ns=MTIME, mode=0o640
    )


def test_the_server_copies(
    sides: tuple[sftp.SftpConnector, sftp.SftpConnector], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source" / "file").write_bytes(DATA)
    monkeypatch.setattr("tui_sync.connectors.sftp.upload._COPIED", 1_000_000)
    monkeypatch.setattr(SftpDownload, "blocks", None)
    upload = begin(sides[1], len(DATA))
    with sides[0].reader().open("file") as download:
        if not upload._session.offers("copy-data"):  # type: ignore[attr-defined]
            pytest.skip("this sshd cannot copy")
        assert upload.copy_from(download)
    assert upload.acknowledged == ((0, len(DATA)),)
    assert upload.finish().size == len(DATA)
    entry = upload.publish(replace=False)
    assert (entry.mtime_ns, entry.mode) == (MTIME, 0o640)
    assert (tmp_path / "target" / "new").read_bytes() == DATA


def test_what_changed_is_not_copied(
    sides: tuple[sftp.SftpConnector, sftp.SftpConnector], tmp_path: Path
) -> None:
    (tmp_path / "source" / "file").write_bytes(DATA)
    upload = begin(sides[1], len(DATA))
    with sides[0].reader().open("file") as download:
        (tmp_path / "source" / "file").write_bytes(DATA + b"x")
        assert not upload.copy_from(download)
        assert upload.acknowledged == ()
    upload.abort()


def test_another_login_is_another_place(
    sides: tuple[sftp.SftpConnector, sftp.SftpConnector], tmp_path: Path
) -> None:
    (tmp_path / "source" / "file").write_bytes(DATA)
    upload = begin(sides[1], len(DATA))
    with sides[0].reader().open("file") as download:
        assert isinstance(download, SftpDownload)
        download._remote = replace(download._remote, login=("elsewhere", 22, "me"))
        assert not upload.copy_from(download)
    upload.abort()
