"""What only a folder of this machine can be asked."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.support import MTIME, TAG, BatchPrompts, as_root, read, store
from tui_sync import names
from tui_sync.connectors import openat, registry
from tui_sync.connectors.base import Connector, Endpoint, Parcel
from tui_sync.connectors.local import LocalConnector
from tui_sync.errors import (
    AlreadyExists,
    NoSpace,
    NotFound,
    PermissionDenied,
    StorageError,
    TimedOut,
    UnsafeName,
    UsageError,
)
from tui_sync.model import Kind


def connect(path: Path | str) -> Connector:
    return registry.connect(Endpoint(str(path), "file", str(path)), BatchPrompts())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made


@pytest.fixture
def place_outside(tmp_path: Path, root: Path) -> Path:
    """A folder outside of the root, to which a symlink in the root leads."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"precious")
    (root / "link").symlink_to(outside)
    return outside


class TestConnect:
    def test_a_folder(self, root: Path) -> None:
        assert connect(root).label == str(root)

    def test_a_symlink_to_a_folder_is_followed_for_the_root(self, tmp_path: Path, root: Path) -> None:
        (root / "f").write_bytes(b"x")
        (tmp_path / "alias").symlink_to(root)
        connector = connect(tmp_path / "alias")
        assert connector.reader().stat("").kind is Kind.DIRECTORY
        assert read(connector.reader(), "f") == b"x"
        store(connector, "g", b"y")
        assert (root / "g").read_bytes() == b"y"

    def test_a_folder_yet_to_be_made(self, tmp_path: Path) -> None:
        connector = connect(tmp_path / "new")
        with pytest.raises(NotFound):
            connector.reader().list_dir("")
        assert connector.reader().free_space()
        connector.writer().make_dir("", mode=None)
        assert (tmp_path / "new").is_dir()

    def test_a_missing_parent_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match=r"nor does “.*/no” above it: correct the path"):
            connect(tmp_path / "no" / "where")

    def test_a_file_is_no_root(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"x")
        with pytest.raises(NotFound, match="is not a folder"):
            connect(tmp_path / "file")

    def test_a_relative_path_is_refused(self) -> None:
        with pytest.raises(UsageError, match="not an absolute path"):
            connect("somewhere")

    def test_a_path_that_cannot_be_one(self, tmp_path: Path) -> None:
        with pytest.raises(UnsafeName):
            connect(f"{tmp_path}/\ud800")
        with pytest.raises(StorageError, match="too long"):
            connect(f"{tmp_path}/{'x' * 300}")


CALLS: dict[str, Callable[[Connector, str], object]] = {
    "list_dir": lambda there, path: there.reader().list_dir(path),
    "stat": lambda there, path: there.reader().stat(f"{path}/precious"),
    "open": lambda there, path: there.reader().open(f"{path}/precious"),
    "checksum": lambda there, path: there.reader().checksum(f"{path}/precious", "md5"),
    "upload": lambda there, path: store(there, f"{path}/new", b"x"),
    "make_dir": lambda there, path: there.writer().make_dir(f"{path}/new", mode=None),
    "set_attributes": lambda there, path: there.writer().set_attributes(
        f"{path}/precious", mtime_ns=MTIME, mode=0o600
    ),
    "remove_file": lambda there, path: there.writer().remove_file(f"{path}/precious"),
    "rename from": lambda there, path: there.writer().rename(f"{path}/precious", "taken"),
    "rename to": lambda there, path: there.writer().rename("mine", f"{path}/mine"),
}


ASTRAY = ["link", "link/../link", "../outside", "/etc", "a//b", ""]


@pytest.mark.parametrize(
    ("name", "path"),
    [(name, path) for name in CALLS for path in ASTRAY if (name, path) != ("list_dir", "")],
)
def test_no_path_leaves_the_root(root: Path, place_outside: Path, name: str, path: str) -> None:
    (root / "mine").write_bytes(b"mine")
    before = os.stat(place_outside / "precious")
    with pytest.raises((NotFound, UnsafeName)):
        CALLS[name](connect(root), path)
    assert os.listdir(place_outside) == ["precious"]
    assert os.stat(place_outside / "precious") == before
    assert set(os.listdir(root)) == {"mine", "link"}


def test_a_fifo_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "fifo")
    reader = connect(root).reader()
    assert reader.stat("fifo").kind is Kind.OTHER
    with pytest.raises(StorageError, match="no regular file"):
        reader.open("fifo")


def test_listing_tells_where_a_symlink_leads(root: Path, place_outside: Path) -> None:
    [listed] = connect(root).reader().list_dir("")
    assert (listed.kind, listed.size, listed.link_target) == (Kind.SYMLINK, 0, str(place_outside))


def test_staged_content_is_its_owners_alone(root: Path) -> None:
    upload = (
        connect(root)
        .writer()
        .upload("f", temporary=names.temporary("f", TAG), size=3, mtime_ns=MTIME, mode=0o644)
    )
    upload.write(0, b"abc")
    [staged] = root.iterdir()
    assert staged.stat().st_mode & 0o777 == 0o600
    upload.finish()
    upload.publish(replace=False)
    assert (root / "f").stat().st_mode & 0o777 == 0o644
    assert (root / "f").stat().st_mtime_ns == MTIME


def test_without_a_mode_the_umask_decides(root: Path) -> None:
    before = os.umask(0o027)
    try:
        connector = connect(root)
        store(connector, "f", b"x", mode=None)
        connector.writer().make_dir("d", mode=None)
    finally:
        os.umask(before)
    assert (root / "f").stat().st_mode & 0o777 == 0o640
    assert (root / "d").stat().st_mode & 0o777 == 0o750


def test_a_mode_is_exact_whatever_the_umask(root: Path) -> None:
    before = os.umask(0o077)
    try:
        connector = connect(root)
        store(connector, "f", b"x", mode=0o666)
        connector.writer().make_dir("d", mode=0o777)
        connector.writer().set_attributes("f", mtime_ns=None, mode=0o4606)
    finally:
        os.umask(before)
    assert (root / "f").stat().st_mode & 0o7777 == 0o606
    assert (root / "d").stat().st_mode & 0o777 == 0o777


def test_attributes_of_a_file_that_may_not_be_read(root: Path) -> None:
    (root / "f").write_bytes(b"x")
    (root / "f").chmod(0)
    connect(root).writer().set_attributes("f", mtime_ns=MTIME, mode=0o200)
    found = (root / "f").stat()
    assert (found.st_mode & 0o777, found.st_mtime_ns) == (0o200, MTIME)


@pytest.mark.skipif(as_root(), reason="permissions do not bind root")
def test_what_is_not_permitted_is_said(root: Path) -> None:
    (root / "closed").mkdir(mode=0)
    (root / "secret").write_bytes(b"x")
    (root / "secret").chmod(0)
    connector = connect(root)
    with pytest.raises(PermissionDenied):
        connector.reader().list_dir("closed")
    with pytest.raises(PermissionDenied):
        connector.reader().open("secret")
    with pytest.raises(PermissionDenied):
        store(connector, "closed/f", b"x")


class TestWithoutHardLinks:
    """As on exFAT and many network file systems."""

    @pytest.fixture(autouse=True)
    def _refuse(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def link(*args: object, **more: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", link)

    def test_publish_still_works_and_still_replaces_nothing(self, root: Path) -> None:
        connector = connect(root)
        store(connector, "f", b"one")
        with pytest.raises(AlreadyExists):
            store(connector, "f", b"two")
        assert (root / "f").read_bytes() == b"one"

    def test_rename_too(self, root: Path) -> None:
        (root / "a").write_bytes(b"a")
        (root / "b").write_bytes(b"b")
        writer = connect(root).writer()
        with pytest.raises(AlreadyExists):
            writer.rename("a", "b")
        writer.rename("a", "c")
        assert {path.name: path.read_bytes() for path in root.iterdir()} == {"b": b"b", "c": b"a"}


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EROFS, PermissionDenied),
        (errno.ETIMEDOUT, TimedOut),
        (errno.EIO, StorageError),
    ],
)
def test_a_disk_that_fails_while_being_written(
    root: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[StorageError]
) -> None:
    connector = connect(root)
    upload = connector.writer().upload(
        "f", temporary=names.temporary("f", TAG), size=3, mtime_ns=None, mode=None
    )

    def fail(*args: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(error, match="cannot write “f”: ") as caught:
        upload.write(0, b"abc")
    assert type(caught.value) is error
    upload.abort()
    assert os.listdir(root) == []


def test_a_short_write_is_completed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: whole(fd, bytes(data)[:7], offset))
    store(connect(root), "f", b"0123456789" * 10)
    assert (root / "f").read_bytes() == b"0123456789" * 10


def test_direct_writing_leaves_nothing_half_done(root: Path) -> None:
    writer = connect(root).writer()
    upload = writer.upload("f", temporary="f", size=3, mtime_ns=MTIME, mode=0o644)
    upload.write(0, b"abc")
    upload.finish()
    upload.publish(replace=False)
    assert (root / "f").read_bytes() == b"abc"
    again = writer.upload("f", temporary="f", size=3, mtime_ns=MTIME, mode=0o644)
    again.finish()
    with pytest.raises(AlreadyExists):
        again.publish(replace=False)
    again.abort()
    assert os.listdir(root) == []


def test_the_temporary_must_be_beside_the_file(root: Path) -> None:
    (root / "d").mkdir()
    with pytest.raises(StorageError, match="not beside"):
        connect(root).writer().upload(
            "d/f", temporary=names.temporary("f", TAG), size=0, mtime_ns=None, mode=None
        )


def test_a_file_that_vanishes_while_listed_is_not_listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (root / name).write_bytes(b"x")

    class Vanishing:
        """A directory iterator between whose steps a file goes."""

        def __init__(self, fd: int) -> None:
            self.inner = scandir(fd)

        def __enter__(self) -> object:
            entries = list(self.inner)
            (root / "b").unlink()
            return entries

        def __exit__(self, *args: object) -> None:
            self.inner.close()

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", Vanishing)
    assert [child.name for child in connect(root).reader().list_dir("")] == ["a"]


def test_a_handle_is_closed_by_its_last_user(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    handle = openat.Handle(fd)
    inside, leave = threading.Event(), threading.Event()

    def use() -> None:
        with handle.use():
            inside.set()
            leave.wait(30)

    user = threading.Thread(target=use)
    user.start()
    assert inside.wait(30)
    handle.close()
    handle.close()
    os.fstat(fd)
    with pytest.raises(StorageError), handle.use():
        pass
    leave.set()
    user.join(30)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_no_descriptor_is_left_open(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/f").write_bytes(b"x")
    connector = connect(root)
    before = set(os.listdir("/proc/self/fd"))
    reader, writer = connector.reader(), connector.writer()
    for _ in range(3):
        store(connector, "d/new", b"x", replace=True)
        read(reader, "d/f")
        reader.list_dir("d")
        reader.stat("d/f")
        writer.set_attributes("d/f", mtime_ns=MTIME, mode=0o600)
        for bad in ("d/f/x", "no/where", "d/f"):
            with pytest.raises(StorageError):
                reader.list_dir(bad)
        with pytest.raises(StorageError):
            reader.open("d")
        upload = writer.upload("d/g", temporary=names.temporary("d/g", TAG), size=1, mtime_ns=None, mode=None)
        upload.abort()
    assert set(os.listdir("/proc/self/fd")) == before


def test_many_staged_files_hold_no_descriptors(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    writer = LocalConnector("file:", str(root)).writer()
    before = len(os.listdir("/proc/self/fd"))
    parcels = [
        Parcel(f"f{number}", names.temporary(f"f{number}", "0badcafe"), b"x", None, 0o644, False)
        for number in range(100)
    ]
    writer.stage_many(parcels)
    assert len(os.listdir("/proc/self/fd")) < before + 10
    writer.publish_many(parcels)
    assert len(os.listdir(root)) == 100


@pytest.mark.parametrize("mode", [0o044, 0o000, 0o400, 0o644])
def test_a_staged_file_can_be_read_and_ends_with_its_own_mode(tmp_path: Path, mode: int) -> None:
    root = tmp_path / "root"
    root.mkdir()
    writer = LocalConnector("file:", str(root)).writer()
    staged = names.temporary("f", "0badcafe")
    upload = writer.upload("f", temporary=staged, size=1, mtime_ns=None, mode=mode)
    upload.write(0, b"x")
    upload.finish()
    assert (root / staged).stat().st_mode & 0o400
    assert upload.publish(replace=False).mode == mode
    assert (root / "f").stat().st_mode & 0o777 == mode


def test_a_root_that_is_a_link_to_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(NotFound, match="dangling” is a symbolic link that leads nowhere"):
        registry.connect(Endpoint("file:///x", "file", str(tmp_path / "dangling")), BatchPrompts())


def test_the_umask_is_read_without_setting_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = os.umask(0o027)
    try:
        if not os.path.exists("/proc/self/status"):
            pytest.skip("this system tells the mask only to who sets it")
        monkeypatch.setattr(os, "umask", lambda _: pytest.fail("another thread sees the mask change"))
        assert openat.Tree(str(tmp_path)).umask == 0o027
    finally:
        monkeypatch.undo()
        os.umask(mask)
