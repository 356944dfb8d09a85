"""What connectors promise that take many small files at a time."""

from __future__ import annotations

import pytest

from tests.contract.conftest import Place
from tests.contract.support import MTIME, ODD_NAMES, TAG, content, same_time
from tui_sync import names
from tui_sync.connectors.base import Connector, Fetched, Parcel, Reader, Writer
from tui_sync.errors import AlreadyExists, NotFound, StorageError
from tui_sync.model import Entry, Kind

MOST = 200_000


@pytest.fixture
def reader(connector: Connector) -> Reader:
    return connector.reader()


@pytest.fixture
def writer(connector: Connector) -> Writer:
    return connector.writer()


def parcel(path: str, data: bytes, *, replace: bool = False) -> Parcel:
    return Parcel(path, names.temporary(path, TAG), data, MTIME, 0o640, replace)


def test_fetch_gives_contents_and_errors_in_order(place: Place, reader: Reader) -> None:
    files = {f"d/{number}": content(number * 997, number) for number in range(place.bulk)}
    for path, data in files.items():
        place.put(path, data)
    place.put("large", content(MOST + 1))
    asked = [*files, "missing", "d", "large", "d/0"]
    found = reader.fetch_many(asked, [MOST] * len(asked))
    assert len(found) == len(asked)
    for path, one in zip(files, found, strict=False):
        assert isinstance(one, Fetched), one
        assert one.data == files[path]
        assert (one.before.path, one.before.size, one.before.kind) == (path, len(files[path]), Kind.FILE)
        assert one.before == one.after
    assert isinstance(found[-4], NotFound)
    assert isinstance(found[-3], StorageError)
    assert isinstance(found[-2], StorageError)
    assert isinstance(found[-1], Fetched)


def test_fetch_takes_no_link_for_a_file(place: Place, connector: Connector, reader: Reader) -> None:
    if not connector.reader().features.symlinks:
        pytest.skip("no symlinks there")
    place.put("file", b"x")
    place.symlink("link", "file")
    [one] = reader.fetch_many(["link"], [MOST])
    assert isinstance(one, StorageError)


def test_stat_many_is_stat(place: Place, connector: Connector, reader: Reader) -> None:
    for number in range(50):
        place.put(f"f{number}", b"x" * number)
    asked = [f"f{number}" for number in range(50)]
    found = reader.stat_many([*asked, "none"])
    assert found[:-1] == [connector.reader().stat(path) for path in asked]
    assert isinstance(found[-1], NotFound)


def test_nothing_is_visible_until_published(place: Place, connector: Connector, writer: Writer) -> None:
    place.put("f3", b"old")
    parcels = [
        parcel(f"f{number}", content(number * 997), replace=number == 3) for number in range(place.bulk)
    ]
    staged = writer.stage_many(parcels)
    for one, entry in zip(parcels, staged, strict=True):
        assert isinstance(entry, Entry), entry
        assert entry.size == len(one.data)
    assert {name for name in place.children("") if not names.is_ours(name)} == {"f3"}
    assert place.read("f3") == b"old"
    published = writer.publish_many(parcels)
    features = connector.reader().features
    precision, mode = features.mtime_precision_ns, 0o640 if features.sets_mode else None
    for one, entry in zip(parcels, published, strict=True):
        assert isinstance(entry, Entry), entry
        assert (entry.path, entry.size, entry.mode) == (one.path, len(one.data), mode)
        assert same_time(entry.mtime_ns, MTIME, precision)
        assert place.read(one.path) == one.data
    assert place.children("") == {one.path for one in parcels}


def test_one_bad_file_hurts_no_other(place: Place, writer: Writer) -> None:
    place.put("taken", b"old")
    parcels = [parcel("a", b"1"), parcel("no/folder", b"2"), parcel("taken", b"3"), parcel("z", b"4")]
    staged = writer.stage_many(parcels)
    assert [isinstance(one, Entry) for one in staged] == [True, False, True, True]
    good = [one for one, entry in zip(parcels, staged, strict=True) if isinstance(entry, Entry)]
    published = writer.publish_many(good)
    assert [type(one) for one in published] == [Entry, AlreadyExists, Entry]
    writer.discard_many([parcels[2]])
    assert place.children("") == {"a", "taken", "z"}
    assert place.read("taken") == b"old"


def test_discard_leaves_nothing(place: Place, writer: Writer) -> None:
    parcels = [parcel(f"f{number}", b"x") for number in range(20)]
    writer.stage_many(parcels)
    writer.discard_many(parcels)
    writer.discard_many(parcels)
    assert place.children("") == set()


def test_leftovers_under_the_temporary_names_are_replaced(
    place: Place, connector: Connector, writer: Writer
) -> None:
    if not connector.reader().features.rename:
        pytest.skip("nothing is staged under a name there")
    parcels = [parcel(f"f{number}", b"new") for number in range(20)]
    for one in parcels[::2]:
        place.put(one.temporary, b"left by an earlier run, longer")
    assert all(isinstance(one, Entry) for one in writer.stage_many(parcels))
    assert all(isinstance(one, Entry) for one in writer.publish_many(parcels))
    assert {place.read(one.path) for one in parcels} == {b"new"}
    assert place.children("") == {one.path for one in parcels}


def test_odd_names(place: Place, reader: Reader, writer: Writer) -> None:
    odd = [name for name in ODD_NAMES if place.takes(name)]
    parcels = [parcel(name, name.encode("utf-8", "surrogateescape")) for name in odd]
    assert all(isinstance(one, Entry) for one in writer.stage_many(parcels))
    published = writer.publish_many(parcels)
    assert [one.path for one in published if isinstance(one, Entry)] == odd
    fetched = reader.fetch_many(odd, [MOST] * len(odd))
    assert [one.data for one in fetched if isinstance(one, Fetched)] == [one.data for one in parcels]


def test_none_at_all(reader: Reader, writer: Writer) -> None:
    assert reader.fetch_many([], []) == reader.stat_many([]) == []
    assert writer.stage_many([]) == writer.publish_many([]) == []
