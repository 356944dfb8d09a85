"""What every connector's Writer promises."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.contract.conftest import Place, kinds
from tests.contract.support import MTIME, NS, ODD_NAMES, TAG, content, read, same_time, store
from tui_sync import names
from tui_sync.connectors.base import Connector, Reader, Writer
from tui_sync.errors import AlreadyExists, NotFound, StorageError
from tui_sync.model import Kind


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_048_577])
def test_a_file_arrives_whole(place: Place, connector: Connector, size: int) -> None:
    data = content(size)
    entry = store(connector, "file", data)
    assert (entry.path, entry.kind, entry.size) == ("file", Kind.FILE, size)
    assert place.read("file") == data
    assert place.children("") == {"file"}


def test_finish_and_publish_tell_size_time_and_mode(connector: Connector) -> None:
    reader = connector.reader()
    features = reader.features
    upload = connector.writer().upload(
        "file", temporary=names.temporary("file", TAG), size=3, mtime_ns=MTIME + 123_456_789, mode=0o604
    )
    upload.write(0, b"new")
    staged = upload.finish()
    published = upload.publish(replace=False)
    for entry in (staged, published, reader.stat("file")):
        assert entry.size == 3
        if features.sets_mtime:
            assert same_time(entry.mtime_ns, MTIME + 123_456_789, features.mtime_precision_ns)
    if features.sets_mode:
        assert reader.stat("file").mode == 0o604
    assert published == reader.stat("file")


@pytest.mark.parametrize("mtime_ns", [0, 1 * NS, (2**31 - 1) * NS])
def test_times_at_the_edges(connector: Connector, mtime_ns: int) -> None:
    entry = store(connector, "file", b"x", mtime_ns=mtime_ns)
    features = connector.reader().features
    if features.sets_mtime:
        assert same_time(entry.mtime_ns, mtime_ns, features.mtime_precision_ns)


@pytest.mark.parametrize(
    "mtime_ns", [-1, 2**31 * NS, (2**32 - 1) * NS, -(2**33) * NS, 2**33 * NS, 2**63, -(2**80)]
)
def test_a_time_that_cannot_be_kept_fails_no_file(place: Place, connector: Connector, mtime_ns: int) -> None:
    entry = store(connector, "file", b"x", mtime_ns=mtime_ns)
    assert entry == connector.reader().stat("file")
    assert place.read("file") == b"x"
    connector.writer().set_attributes("file", mtime_ns=mtime_ns, mode=None)


def test_without_attributes_a_file_is_readable_for_its_owner(connector: Connector) -> None:
    entry = store(connector, "file", b"x", mtime_ns=None, mode=None)
    assert entry.mode is None or entry.mode & 0o600 == 0o600


def test_blocks_in_any_order(place: Place, connector: Connector) -> None:
    if not connector.reader().features.random_write:
        pytest.skip("blocks in order only")
    data = content(2_000_000)
    upload = connector.writer().upload(
        "file", temporary=names.temporary("file", TAG), size=len(data), mtime_ns=None, mode=None
    )
    offsets = list(range(0, len(data), 77_777))
    random.Random(7).shuffle(offsets)
    for offset in offsets:
        upload.write(offset, data[offset : offset + 77_777])
    assert upload.finish().size == len(data)
    upload.publish(replace=False)
    assert place.read("file") == data


def test_blocks_from_many_threads(place: Place, connector: Connector) -> None:
    if not connector.reader().features.random_write:
        pytest.skip("blocks in order only")
    data = content(2_000_000)
    upload = connector.writer().upload(
        "file", temporary=names.temporary("file", TAG), size=None, mtime_ns=None, mode=None
    )
    with ThreadPoolExecutor(8) as pool:
        parts = range(0, len(data), 50_000)
        list(pool.map(lambda offset: upload.write(offset, data[offset : offset + 50_000]), parts))
    upload.finish()
    upload.publish(replace=False)
    assert place.read("file") == data


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview], ids=["bytes", "bytearray", "memoryview"])
def test_any_kind_of_buffer(place: Place, connector: Connector, wrap: type) -> None:
    upload = connector.writer().upload(
        "file", temporary=names.temporary("file", TAG), size=5, mtime_ns=None, mode=None
    )
    upload.write(0, wrap(b"12345"))
    upload.finish()
    upload.publish(replace=False)
    assert place.read("file") == b"12345"


def test_nothing_is_visible_before_publish(place: Place, connector: Connector) -> None:
    reader = connector.reader()
    upload = connector.writer().upload(
        "file", temporary=names.temporary("file", TAG), size=3, mtime_ns=MTIME, mode=0o644
    )
    upload.write(0, b"new")
    upload.finish()
    assert "file" not in place.children("")
    with pytest.raises(NotFound):
        reader.stat("file")
    if upload.staged_path is not None:
        assert names.is_ours(upload.staged_path)
        assert read(reader, upload.staged_path) == b"new"
    upload.publish(replace=False)
    assert place.children("") == {"file"}


def test_the_old_file_stays_until_publish_replaces_it(place: Place, connector: Connector) -> None:
    place.put("file", b"old")
    upload = connector.writer().upload(
        "file", temporary=names.temporary("file", TAG), size=3, mtime_ns=MTIME, mode=0o644
    )
    upload.write(0, b"new")
    upload.finish()
    assert place.read("file") == b"old"
    upload.publish(replace=True)
    assert place.read("file") == b"new"
    assert place.children("") == {"file"}


@pytest.mark.parametrize("what", ["file", "directory", "symlink"])
def test_publish_without_replace_leaves_what_is_there(place: Place, connector: Connector, what: str) -> None:
    upload = connector.writer().upload(
        "name", temporary=names.temporary("name", TAG), size=3, mtime_ns=MTIME, mode=0o644
    )
    upload.write(0, b"new")
    upload.finish()
    if what == "file":
        place.put("name", b"old")
    elif what == "directory":
        place.put("name", None)
    else:
        place.symlink("name", "nowhere")
    with pytest.raises(AlreadyExists):
        upload.publish(replace=False)
    upload.abort()
    assert kinds(connector.reader()) == {"name": Kind(what)}
    if what == "file":
        assert place.read("name") == b"old"


def test_a_directory_is_never_replaced_by_a_file(place: Place, connector: Connector) -> None:
    place.put("name/inner", b"old")
    upload = connector.writer().upload(
        "name", temporary=names.temporary("name", TAG), size=0, mtime_ns=MTIME, mode=0o644
    )
    upload.finish()
    with pytest.raises(StorageError):
        upload.publish(replace=True)
    upload.abort()
    assert place.read("name/inner") == b"old"
    assert place.children("") == {"name"}


def test_publish_before_finish_is_refused(place: Place, connector: Connector) -> None:
    upload = connector.writer().upload(
        "file", temporary=names.temporary("file", TAG), size=3, mtime_ns=None, mode=None
    )
    upload.write(0, b"new")
    with pytest.raises(StorageError):
        upload.publish(replace=True)
    upload.abort()
    assert place.children("") == set()


@pytest.mark.parametrize("finished", [False, True])
def test_abort_leaves_nothing(place: Place, connector: Connector, finished: bool) -> None:
    place.put("file", b"old")
    upload = connector.writer().upload(
        "file", temporary=names.temporary("file", TAG), size=3, mtime_ns=MTIME, mode=0o644
    )
    upload.write(0, b"new")
    if finished:
        upload.finish()
    upload.abort()
    upload.abort()
    assert place.children("") == {"file"}
    assert place.read("file") == b"old"


def test_abort_after_publish_does_nothing(place: Place, connector: Connector) -> None:
    upload = connector.writer().upload(
        "file", temporary=names.temporary("file", TAG), size=3, mtime_ns=MTIME, mode=0o644
    )
    upload.write(0, b"new")
    upload.finish()
    upload.publish(replace=False)
    upload.abort()
    assert place.read("file") == b"new"


def test_a_leftover_is_replaced(place: Place, connector: Connector) -> None:
    if not connector.reader().features.rename:
        pytest.skip("nothing is staged under a name there")
    temporary = names.temporary("folder/file", TAG)
    place.put(temporary, b"a much longer leftover of an earlier run")
    store(connector, "folder/file", b"new")
    assert place.read("folder/file") == b"new"
    assert place.children("folder") == {"file"}


def test_a_symlink_at_the_temporary_name_is_not_followed(place: Place, connector: Connector) -> None:
    if not connector.reader().features.symlinks:
        pytest.skip("no symlinks there")
    place.put("precious", b"precious")
    place.symlink(names.temporary("file", TAG), "precious")
    store(connector, "file", b"new")
    assert place.read("precious") == b"precious"
    assert kinds(connector.reader()) == {"precious": Kind.FILE, "file": Kind.FILE}
    assert place.read("file") == b"new"


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_odd_names(place: Place, connector: Connector, name: str) -> None:
    if not place.takes(name):
        with pytest.raises(StorageError):
            store(connector, name, b"odd")
        return
    writer = connector.writer()
    writer.make_dir(name, mode=None)
    store(connector, f"{name}/{name}", b"odd")
    assert place.children("") == {name}
    assert place.children(name) == {name}
    writer.set_attributes(f"{name}/{name}", mtime_ns=MTIME, mode=0o600)
    writer.rename(f"{name}/{name}", f"{name}/other")
    writer.remove_file(f"{name}/other")
    writer.remove_dir(name)
    assert place.children("") == set()


def test_no_parent_is_made_silently(place: Place, connector: Connector) -> None:
    writer = connector.writer()
    with pytest.raises(NotFound):
        writer.upload(
            "no/file", temporary=names.temporary("no/file", TAG), size=0, mtime_ns=None, mode=None
        ).finish()
    with pytest.raises(NotFound):
        writer.make_dir("no/folder", mode=None)
    assert place.children("") == set()


def test_make_dir(place: Place, connector: Connector) -> None:
    writer, reader = connector.writer(), connector.reader()
    writer.make_dir("folder", mode=0o750)
    writer.make_dir("folder/inner", mode=None)
    assert reader.stat("folder/inner").kind is Kind.DIRECTORY
    if reader.features.sets_mode:
        assert reader.stat("folder").mode == 0o750
    store(connector, "folder/inner/file", b"x")


@pytest.mark.parametrize("what", ["file", "directory", "symlink"])
def test_make_dir_where_something_is(place: Place, writer: Writer, what: str) -> None:
    if what == "symlink":
        place.put("real", None)
        place.symlink("name", "real")
    else:
        place.put("name", b"x" if what == "file" else None)
    with pytest.raises(AlreadyExists):
        writer.make_dir("name", mode=0o755)


def test_make_dir_makes_a_missing_root(place: Place) -> None:
    place.remove_root()
    connector = place.connect()
    connector.writer().make_dir("", mode=None)
    assert connector.reader().list_dir("") == []
    with pytest.raises(AlreadyExists):
        connector.writer().make_dir("", mode=None)
    connector.close()


def test_remove_file(place: Place, writer: Writer) -> None:
    place.put("folder/file", b"x")
    writer.remove_file("folder/file")
    assert place.children("folder") == set()
    with pytest.raises(NotFound):
        writer.remove_file("folder/file")


def test_remove_file_takes_the_symlink_and_not_what_it_means(place: Place, connector: Connector) -> None:
    if not connector.reader().features.symlinks:
        pytest.skip("no symlinks there")
    place.put("real", b"x")
    place.symlink("link", "real")
    connector.writer().remove_file("link")
    assert place.children("") == {"real"}


def test_remove_file_refuses_a_directory(place: Place, writer: Writer) -> None:
    place.put("folder", None)
    with pytest.raises(StorageError):
        writer.remove_file("folder")
    assert place.children("") == {"folder"}


def test_remove_dir_removes_only_what_is_empty(place: Place, writer: Writer) -> None:
    place.put("folder/file", b"x")
    with pytest.raises(StorageError):
        writer.remove_dir("folder")
    assert place.read("folder/file") == b"x"
    writer.remove_file("folder/file")
    writer.remove_dir("folder")
    assert place.children("") == set()
    with pytest.raises(NotFound):
        writer.remove_dir("folder")


def test_remove_dir_refuses_a_file(place: Place, writer: Writer) -> None:
    place.put("file", b"x")
    with pytest.raises(StorageError):
        writer.remove_dir("file")
    assert place.read("file") == b"x"


def test_rename_moves_files_and_whole_folders(place: Place, connector: Connector) -> None:
    if not connector.reader().features.rename:
        pytest.skip("cannot rename")
    place.put("a/deep/file", b"x")
    place.put("b", None)
    writer = connector.writer()
    writer.rename("a/deep", "b/moved")
    writer.rename("b/moved/file", "file")
    assert place.read("file") == b"x"
    assert place.children("a") == set()
    assert place.children("b") == {"moved"}


@pytest.mark.parametrize("old", ["file", "folder"])
@pytest.mark.parametrize("new", ["other file", "empty folder", "full folder", "link"])
def test_rename_never_replaces(place: Place, connector: Connector, old: str, new: str) -> None:
    features = connector.reader().features
    if not features.rename or not features.symlinks:
        pytest.skip("cannot rename, or has no symlinks")
    place.put("file", b"file")
    place.put("folder", None)
    place.put("other file", b"other")
    place.put("empty folder", None)
    place.put("full folder/file", b"inner")
    place.symlink("link", "nowhere")
    before = kinds(connector.reader())
    with pytest.raises(AlreadyExists):
        connector.writer().rename(old, new)
    assert kinds(connector.reader()) == before
    assert place.read("other file") == b"other"
    assert place.read("full folder/file") == b"inner"


def test_rename_of_what_is_missing(connector: Connector) -> None:
    with pytest.raises(NotFound):
        connector.writer().rename("missing", "new")


def test_set_attributes(place: Place, connector: Connector) -> None:
    reader, writer = connector.reader(), connector.writer()
    place.put("file", b"x")
    place.put("folder", None)
    for path in ("file", "folder"):
        writer.set_attributes(path, mtime_ns=MTIME, mode=0o700)
        if reader.features.sets_mtime:
            assert same_time(reader.stat(path).mtime_ns, MTIME, reader.features.mtime_precision_ns)
        if reader.features.sets_mode:
            assert reader.stat(path).mode == 0o700
    before = reader.stat("file")
    writer.set_attributes("file", mtime_ns=None, mode=None)
    assert reader.stat("file") == before
    writer.set_attributes("file", mtime_ns=None, mode=0o711)
    assert reader.stat("file").mtime_ns == before.mtime_ns
    with pytest.raises(NotFound):
        writer.set_attributes("missing", mtime_ns=MTIME, mode=0o600)


def test_set_attributes_follows_no_symlink(place: Place, connector: Connector) -> None:
    reader = connector.reader()
    if not reader.features.symlinks:
        pytest.skip("no symlinks there")
    store(connector, "real", b"x", mtime_ns=MTIME, mode=0o644)
    place.symlink("link", "real")
    with suppress(StorageError):  # refusing is as good
        connector.writer().set_attributes("link", mtime_ns=MTIME + 5_000 * NS, mode=0o777)
    real = reader.stat("real")
    assert same_time(real.mtime_ns, MTIME, reader.features.mtime_precision_ns)
    assert real.mode == 0o644


def test_many_uploads_at_once(place: Place, connector: Connector) -> None:
    place.put("folder", None)
    expected = {f"folder/file-{number}": content(70_000, seed=number + 1) for number in range(40)}
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda path: store(connector, path, expected[path]), expected))
    assert {f"folder/{name}" for name in place.children("folder")} == set(expected)
    assert all(place.read(path) == data for path, data in expected.items())


def test_one_winner_where_many_publish_one_name(place: Place, connector: Connector) -> None:
    writer = connector.writer()
    uploads = []
    for number in range(8):
        upload = writer.upload(
            "name", temporary=names.temporary("name", f"{number:08x}"), size=1, mtime_ns=None, mode=None
        )
        upload.write(0, b"%d" % number)
        upload.finish()
        uploads.append(upload)

    def publish(number: int) -> int | None:
        try:
            uploads[number].publish(replace=False)
        except AlreadyExists:
            uploads[number].abort()
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        [winner] = [number for number in pool.map(publish, range(8)) if number is not None]
    assert place.read("name") == b"%d" % winner
    assert place.children("") == {"name"}


def test_what_was_written_is_seen_by_the_reader(reader: Reader, connector: Connector) -> None:
    store(connector, "file", b"one")
    assert read(reader, "file") == b"one"
    store(connector, "file", b"two!", replace=True)
    assert read(reader, "file") == b"two!"
    assert reader.stat("file").size == 4
