"""Keeping what a name stands for while another file takes it, and symbolic links."""

from __future__ import annotations

import pytest

from tests.contract.conftest import Place, kinds
from tests.contract.support import MTIME, NS, TAG, content, same_time, store
from tui_sync import names
from tui_sync.connectors.base import Connector
from tui_sync.errors import AlreadyExists, NotFound, NotSupported, StorageError
from tui_sync.model import Entry, Kind


def back_up(connector: Connector, path: str, backup: str) -> None:
    [error] = connector.writer().back_up_many([(path, backup)])
    if error is not None:
        raise error


def link(connector: Connector, path: str, text: str, *, replace: bool = False) -> Entry:
    return connector.writer().make_link(
        path, text, temporary=names.temporary(path, TAG), replace=replace, mtime_ns=MTIME
    )


def test_a_backup_is_the_file_as_it_was_and_outlives_its_successor(
    place: Place, connector: Connector
) -> None:
    place.put("trash", None)
    old = content(200_000)
    was = store(connector, "file", old, mtime_ns=MTIME, mode=0o640)
    back_up(connector, "file", "trash/file")
    assert place.read("file") == place.read("trash/file") == old
    store(connector, "file", b"new", mtime_ns=MTIME + 9 * NS, replace=True)
    assert (place.read("file"), place.read("trash/file")) == (b"new", old)
    kept = connector.reader().stat("trash/file")
    assert (kept.size, kept.mode) == (was.size, was.mode)
    assert same_time(kept.mtime_ns, was.mtime_ns, connector.reader().features.mtime_precision_ns)
    assert place.children("trash") == {"file"}


def test_each_of_many_backups_ends_on_its_own(place: Place, connector: Connector) -> None:
    for path in ("one", "two", "taken", "trash/taken"):
        place.put(path, path.encode())
    place.put("folder", None)
    paths = ["one", "missing", "taken", "folder", "two"]
    results = connector.writer().back_up_many([(path, f"trash/{path}") for path in paths])
    assert results[0] is results[4] is None
    assert isinstance(results[1], NotFound)
    assert isinstance(results[2], AlreadyExists)
    assert isinstance(results[3], StorageError)
    assert place.children("trash") == {"one", "two", "taken"}
    assert place.read("trash/taken") == b"trash/taken"


def test_a_backup_needs_its_folder(place: Place, connector: Connector) -> None:
    place.put("file", b"x")
    with pytest.raises(NotFound):
        back_up(connector, "file", "nowhere/file")
    assert place.children("") == {"file"}


def test_rename_replaces_only_where_it_is_told_to(place: Place, connector: Connector) -> None:
    place.put("old", b"old")
    place.put("new", b"new")
    place.put("folder/file", b"inner")
    writer = connector.writer()
    with pytest.raises(AlreadyExists):
        writer.rename("old", "new")
    writer.rename("old", "new", replace=True)
    assert place.read("new") == b"old"
    assert place.children("") == {"new", "folder"}
    with pytest.raises(StorageError):
        writer.rename("new", "folder", replace=True)
    assert place.read("folder/file") == b"inner"
    assert place.read("new") == b"old"


def needs_links(connector: Connector) -> None:
    if not connector.reader().features.symlinks:
        with pytest.raises(NotSupported):
            link(connector, "link", "x")
        pytest.skip("no symlinks there")


@pytest.mark.parametrize(
    "text",
    ["file", "../outside", "/etc/passwd", "nowhere/at all", "a\nb\x1b", "\udcff", "x" * 900],
    ids=["inside", "above", "absolute", "dangling", "controls", "bytes", "long"],
)
def test_a_link_has_the_text_it_was_given(place: Place, connector: Connector, text: str) -> None:
    needs_links(connector)
    place.put("file", b"x")
    made = link(connector, "link", text)
    assert (made.path, made.kind, made.link_target) == ("link", Kind.SYMLINK, text)
    assert connector.reader().stat("link") == made
    assert place.children("") == {"file", "link"}
    assert place.read("file") == b"x"


@pytest.mark.parametrize("text", ["", "a\0b"])
def test_a_text_that_no_link_can_have_is_refused(place: Place, connector: Connector, text: str) -> None:
    needs_links(connector)
    with pytest.raises(StorageError):
        link(connector, "link", text)
    assert place.children("") == set()


@pytest.mark.parametrize("what", ["file", "directory", "symlink"])
def test_a_link_takes_no_name_that_is_taken(place: Place, connector: Connector, what: str) -> None:
    needs_links(connector)
    place.put("real", b"real")
    if what == "symlink":
        place.symlink("name", "real")
    else:
        place.put("name", b"x" if what == "file" else None)
    before = connector.reader().stat("name")
    with pytest.raises(AlreadyExists):
        link(connector, "name", "elsewhere")
    assert connector.reader().stat("name") == before
    assert place.children("") == {"name", "real"}


def test_a_link_is_replaced_and_never_followed(place: Place, connector: Connector) -> None:
    needs_links(connector)
    place.put("real/file", b"real")
    place.symlink("name", "real")
    # A leftover of an earlier attempt.
    place.symlink(names.temporary("name", TAG), "real")
    assert link(connector, "name", "other", replace=True).link_target == "other"
    assert connector.reader().stat("name").link_target == "other"
    assert place.children("") == {"name", "real"}
    assert place.children("real") == {"file"}
    place.put("folder", None)
    with pytest.raises(StorageError):
        link(connector, "folder", "other", replace=True)
    assert kinds(connector.reader())["folder"] is Kind.DIRECTORY


def test_a_link_is_backed_up_as_a_link(place: Place, connector: Connector) -> None:
    needs_links(connector)
    place.put("trash", None)
    place.put("real", b"real")
    place.symlink("link", "real")
    back_up(connector, "link", "trash/link")
    link(connector, "link", "other", replace=True)
    kept = connector.reader().stat("trash/link")
    assert (kept.kind, kept.link_target) == (Kind.SYMLINK, "real")
    assert place.read("real") == b"real"
