"""What every connector's Reader promises."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.conftest import Place, kinds
from tests.contract.support import MTIME, ODD_NAMES, content, read, same_time, store
from tui_sync.connectors.base import Connector, Reader, Writer
from tui_sync.connectors.digest import HashesFiles
from tui_sync.errors import NotFound, StorageError
from tui_sync.model import Kind

RELAXED = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SIZE = 3_000_001


def test_a_reader_has_no_method_that_writes(reader: Reader) -> None:
    writing = {name for name in dir(Writer) if not name.startswith("_")}
    assert writing == {
        *("upload", "resume", "stage_many", "publish_many", "discard_many"),
        *("make_dir", "set_attributes", "remove_file", "remove_dir", "rename"),
        *("back_up_many", "make_link"),
    }
    assert isinstance(reader, Reader)
    assert not writing & set(dir(reader))
    assert not isinstance(reader, Writer)


def test_listing_gives_direct_children_with_their_attributes(place: Place, connector: Connector) -> None:
    place.put("folder/inner/deep", b"x")
    place.put("folder/empty", None)
    store(connector, "folder/file", b"12345", mtime_ns=MTIME, mode=0o640)
    reader = connector.reader()
    found = {child.name: child for child in reader.list_dir("folder")}
    assert {name: child.kind for name, child in found.items()} == {
        "inner": Kind.DIRECTORY,
        "empty": Kind.DIRECTORY,
        "file": Kind.FILE,
    }
    assert found["file"].size == 5
    if reader.features.sets_mtime and reader.features.lists_mtime:
        assert same_time(found["file"].mtime_ns, MTIME, reader.features.mtime_precision_ns)
    if reader.features.sets_mode:
        assert found["file"].mode == 0o640
    assert kinds(reader) == {"folder": Kind.DIRECTORY}
    assert reader.list_dir("folder/empty") == []


def test_listing_reports_symlinks_as_such(place: Place, reader: Reader) -> None:
    if not reader.features.symlinks:
        pytest.skip("no symlinks there")
    place.put("folder/file", b"x")
    place.symlink("link", "folder")
    place.symlink("broken", "nowhere")
    assert kinds(reader) == {"folder": Kind.DIRECTORY, "link": Kind.SYMLINK, "broken": Kind.SYMLINK}
    assert reader.stat("link").kind is Kind.SYMLINK
    assert reader.stat("broken").kind is Kind.SYMLINK


def test_no_symlink_is_followed_on_the_way_to_a_file(place: Place, reader: Reader) -> None:
    if not reader.features.symlinks:
        pytest.skip("no symlinks there")
    place.put("file", b"x")
    place.symlink("link", "file")
    with pytest.raises(StorageError):
        read(reader, "link")


def test_a_large_directory_is_listed_in_full(place: Place, reader: Reader) -> None:
    expected = {f"file-{number:04}" for number in range(place.many)}
    for name in expected:
        place.put(name, b"")
    assert set(kinds(reader)) == expected


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_odd_names(place: Place, reader: Reader, name: str) -> None:
    place.put(f"{name}/{name}", b"odd")
    assert kinds(reader) == {name: Kind.DIRECTORY}
    assert kinds(reader, name) == {name: Kind.FILE}
    assert reader.stat(f"{name}/{name}").size == 3
    assert read(reader, f"{name}/{name}") == b"odd"


def test_names_that_differ_in_unicode_form_alone_are_two(place: Place, reader: Reader) -> None:
    place.put("caf\u00e9", b"composed")
    place.put("cafe\u0301", b"decomposed")
    assert set(kinds(reader)) == {"caf\u00e9", "cafe\u0301"}
    assert read(reader, "caf\u00e9") == b"composed"
    assert read(reader, "cafe\u0301") == b"decomposed"


def test_the_root_can_be_examined(place: Place, reader: Reader) -> None:
    entry = reader.stat("")
    assert (entry.path, entry.kind) == ("", Kind.DIRECTORY)


def test_stat_agrees_with_the_listing(place: Place, reader: Reader) -> None:
    place.put("folder/file", b"12345")
    [listed] = reader.list_dir("folder")
    found = reader.stat("folder/file")
    assert (found.path, found.kind, found.size) == ("folder/file", Kind.FILE, 5)
    assert listed.at("folder/file").identity == found.identity


@pytest.mark.parametrize("path", ["missing", "missing/deeper", "file/below"])
def test_what_is_missing_is_not_found(place: Place, reader: Reader, path: str) -> None:
    place.put("file", b"x")
    with pytest.raises(NotFound):
        reader.stat(path)
    with pytest.raises(NotFound):
        reader.open(path)
    with pytest.raises(NotFound):
        reader.list_dir(path)


def test_a_missing_root_is_not_found(place: Place) -> None:
    place.remove_root()
    connector = place.connect()
    with pytest.raises(NotFound):
        connector.reader().list_dir("")
    with pytest.raises(NotFound):
        connector.reader().stat("")
    connector.close()


def test_a_directory_cannot_be_opened(place: Place, reader: Reader) -> None:
    place.put("folder", None)
    with pytest.raises(StorageError):
        read(reader, "folder")


def test_reading_an_empty_file(place: Place, reader: Reader) -> None:
    place.put("empty", b"")
    with reader.open("empty") as download:
        assert download.entry.size == 0
        assert list(download.blocks()) == []


def test_reading_a_file_of_many_blocks(place: Place, reader: Reader) -> None:
    data = content(SIZE)
    place.put("large", data)
    with reader.open("large") as download:
        assert (download.entry.path, download.entry.size) == ("large", SIZE)
        blocks = [bytes(block) for block in download.blocks()]
    assert len(blocks) > 1
    assert b"".join(blocks) == data


@RELAXED
@given(
    start=st.integers(0, SIZE + 10),
    length=st.none() | st.integers(0, SIZE) | st.sampled_from([1, 32768, 261120]),
)
def test_reading_ranges(place: Place, reader: Reader, start: int, length: int | None) -> None:
    data = content(SIZE)
    if "large" not in place.children(""):
        place.put("large", data)
    stop = None if length is None else start + length
    assert read(reader, "large", start, stop) == data[start:stop]


def test_ranges_of_one_download_read_at_once(place: Place, reader: Reader) -> None:
    data = content(SIZE)
    place.put("large", data)
    cuts = [*range(0, SIZE, 333_333), SIZE]
    with reader.open("large") as download, ThreadPoolExecutor(8) as pool:
        parts = pool.map(lambda cut: b"".join(bytes(b) for b in download.blocks(*cut)), pairwise(cuts))
        assert b"".join(parts) == data


def test_reading_may_stop_early(place: Place, reader: Reader) -> None:
    data = content(SIZE)
    place.put("large", data)
    with reader.open("large") as download:
        assert data.startswith(bytes(next(iter(download.blocks()))))
    assert read(reader, "large", SIZE - 5) == data[-5:]


def test_restat_sees_what_is_there_now(place: Place, reader: Reader) -> None:
    place.put("file", b"old")
    with reader.open("file") as download:
        place.put("file", b"longer than before")
        assert download.restat().size == 18
        assert download.entry.size == 3


def test_restat_after_removal(place: Place, connector: Connector) -> None:
    place.put("file", b"old")
    with connector.reader().open("file") as download:
        connector.writer().remove_file("file")
        with pytest.raises(NotFound):
            download.restat()


def test_a_download_may_be_closed_twice(place: Place, reader: Reader) -> None:
    place.put("file", b"x")
    download = reader.open("file")
    download.close()
    download.close()


def test_checksums_are_those_of_the_content_or_none(place: Place, reader: Reader) -> None:
    data = content(200_000)
    place.put("file", data)
    for algorithm in ("sha256", "md5"):
        computed = algorithm in reader.features.checksums
        if isinstance(reader, HashesFiles):
            assert reader.hashes(), "sshd has a shell"
            assert reader.digests([reader.stat("file")]) == [hashlib.sha256(data).hexdigest()]
            computed = algorithm == "sha256"
        expected = hashlib.new(algorithm, data).hexdigest() if computed else None
        assert reader.checksum("file", algorithm) == expected
    assert reader.checksum("file", "no such algorithm") is None


def test_free_space_is_a_number_or_unknown(reader: Reader) -> None:
    free = reader.free_space()
    assert free is None or free > 0


def test_many_threads_at_once(place: Place, reader: Reader) -> None:
    expected = {f"d{number}/f": content(40_000, seed=number + 1) for number in range(20)}
    for path, data in expected.items():
        place.put(path, data)

    def everything(path: str) -> tuple[str, bytes, int, list[str]]:
        return path, read(reader, path), reader.stat(path).size, [c.name for c in reader.list_dir(path[:-2])]

    with ThreadPoolExecutor(16) as pool:
        for path, data, size, listed in pool.map(everything, [*expected] * 2):
            assert data == expected[path]
            assert size == 40_000
            assert listed == ["f"]
