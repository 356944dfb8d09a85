"""Walking one side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest

from tests.unit.planning import scanned
from tui_sync import names
from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Features, Listed, Listings
from tui_sync.connectors.memory import MemoryConnector
from tui_sync.errors import Cancelled, ConnectionLost, NotFound, PermissionDenied, StorageError, TimedOut
from tui_sync.model import Kind
from tui_sync.planning import scan as scanning
from tui_sync.planning.filters import Filters
from tui_sync.planning.scan import ScanCounters, scan
from tui_sync.planning.scanned import one_by_one

FILE, DIRECTORY = Kind.FILE, Kind.DIRECTORY


class FakeReader:
    """Listings by path, as a hostile server may send them."""

    features = Features()

    def __init__(
        self, listings: dict[str, Sequence[Listed]], hook: Callable[[str], None] = lambda path: None
    ) -> None:
        self.listings = listings
        self.hook = hook

    def list_dir(self, path: str) -> list[Listed]:
        self.hook(path)
        return list(self.listings.get(path, ()))


class Together(FakeReader):
    """Lists up to four directories in one call; ``calls`` are what was asked for, ``ended`` that one
    of them is over."""

    lists_together = 4

    def __init__(self, listings: dict[str, Sequence[Listed]], hook: Callable[[str], None]) -> None:
        super().__init__(listings, hook)
        self.calls: list[list[str]] = []
        self.ended = threading.Event()

    def list_many(self, paths: Sequence[str]) -> Listings:
        self.calls.append(list(paths))
        try:
            for path in paths:
                try:
                    found = self.list_dir(path)
                except (ConnectionLost, TimedOut):
                    raise
                except StorageError as error:
                    yield path, error
                else:
                    yield path, found
        finally:
            self.ended.set()


def folders(count: int, files: int) -> dict[str, Sequence[Listed]]:
    """Listings of a root with so many folders of so many files."""
    inner = {f"{number:03}": [Listed(f"{file:03}", FILE) for file in range(files)] for number in range(count)}
    return {"": [Listed(name, DIRECTORY) for name in inner], **inner}


def paths(reader: object, **more: object) -> list[str]:
    return [each.path for each in scanned(reader, **more)]  # type: ignore[arg-type]


def test_depth_first_siblings_by_code_point() -> None:
    tree = MemoryConnector({"b/x": b"", "b/a/deep": b"", "b-": b"", "b": None, "B": b"", "é": b"", "a": None})
    expected = ["B", "a", "b", "b/a", "b/a/deep", "b/x", "b-", "é"]
    assert paths(tree.reader()) == expected
    assert expected == sorted(expected, key=names.sort_key)


def test_an_empty_root() -> None:
    assert scanned(MemoryConnector().reader()) == []


def test_our_own_names_are_left_out() -> None:
    tree = MemoryConnector({".tui-sync-trash/x": b"", "a/.tui-sync-00-11.part": b"", "a/b": b""})
    assert paths(tree.reader()) == ["a", "a/b"]


def test_an_excluded_directory_is_not_listed() -> None:
    tree = MemoryConnector({"keep/a.tmp": b"", "keep/b": b"", "cache/x": b""})
    asked: list[str] = []
    tree.fault = lambda operation, path: asked.append(path)
    found = scanned(tree.reader(), Filters(exclude=["cache/", "*.tmp"]))
    assert [(each.path, each.excluded) for each in found] == [
        ("cache", True),
        ("keep", False),
        ("keep/a.tmp", True),
        ("keep/b", False),
    ]
    assert sorted(asked) == ["", "keep"]


def test_renamed_files_are_where_they_will_be() -> None:
    tree = MemoryConnector({"a": b"", "a.b": b"", "dir.x/c": b""})
    found = scanned(tree.reader(), rename=lambda name: f"{name}.gz")
    assert [(each.path, each.entry.path) for each in found] == [
        ("a.b.gz", "a.b"),
        ("a.gz", "a"),
        ("dir.x", "dir.x"),
        ("dir.x/c.gz", "dir.x/c"),
    ]


def test_filters_see_the_name_before_renaming() -> None:
    tree = MemoryConnector({"a.csv": b"", "b.txt": b""})
    found = scanned(tree.reader(), Filters(["*.csv"]), rename=lambda name: f"{name}.gz")
    assert [(each.path, each.excluded) for each in found] == [("a.csv.gz", False), ("b.txt.gz", True)]


@pytest.mark.parametrize("kind", [FILE, DIRECTORY])
def test_two_names_that_become_one_are_both_refused(kind: Kind) -> None:
    reader = FakeReader({"": [Listed("a", FILE), Listed("a.gz", kind), Listed("b", FILE)]})
    rename = {"a": "a.gz", "a.gz": "a.gz", "b": "b"}
    found = scanned(reader, rename=rename.__getitem__)  # type: ignore[arg-type]
    assert [each.path for each in found] == ["a.gz", "b"]
    assert "“a” and “a.gz” would both become “a.gz”" in found[0].error
    assert not found[1].error


def test_an_excluded_name_is_in_nobodys_way() -> None:
    reader = FakeReader({"": [Listed("a", FILE), Listed("a.gz", FILE)]})
    found = scanned(
        reader,  # type: ignore[arg-type]
        Filters(exclude=["a.gz"]),
        rename=lambda name: "a.gz",
    )
    assert [(each.path, each.entry.path, each.excluded, each.error) for each in found] == [
        ("a.gz", "a", False, "")
    ]


def test_a_name_listed_twice_is_refused() -> None:
    reader = FakeReader({"": [Listed("a", FILE, 1), Listed("b", FILE), Listed("a", DIRECTORY)], "a": []})
    found = scanned(reader)  # type: ignore[arg-type]
    assert [each.path for each in found] == ["a", "b"]
    assert "listed twice" in found[0].error
    assert not found[1].error


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../../etc/passwd", "/abs", "nul\0", "\ud800"])
@pytest.mark.parametrize("kind", [FILE, DIRECTORY])
def test_a_hostile_name_is_shown_and_never_used(name: str, kind: Kind) -> None:
    asked: list[str] = []
    reader = FakeReader(
        {"": [Listed("dir", DIRECTORY)], "dir": [Listed(name, kind, 5), Listed("good", FILE)]}, asked.append
    )
    found = {each.path: each for each in scanned(reader)}  # type: ignore[arg-type]
    bad = [each for each in found.values() if each.error]
    assert len(bad) == 1
    assert names.parent(bad[0].path) == "dir"
    names.check_path(bad[0].path)
    assert bad[0].entry.path == bad[0].path
    assert not found["dir"].complete
    assert not found["dir"].error
    assert not found["dir/good"].error
    assert sorted(asked) == ["", "dir"]


def test_stand_ins_never_take_a_real_name() -> None:
    reader = FakeReader(
        {"": [Listed("a/b", FILE), Listed("a\\x2fb", FILE), Listed("a/b", FILE), Listed("/" * 500, FILE)]}
    )
    found = scanned(reader)  # type: ignore[arg-type]
    assert found[0].path == ""
    assert not found[0].complete
    rest = found[1:]
    assert len({each.path for each in rest}) == len(rest) == 4
    assert [each.path for each in rest if not each.error] == ["a\\x2fb"]
    assert [each.path for each in rest] == sorted(each.path for each in rest)


def test_a_root_listed_in_full_is_not_yielded() -> None:
    assert paths(MemoryConnector({"a": b""}).reader()) == ["a"]


@pytest.mark.parametrize("error", [PermissionDenied, NotFound, TimedOut, StorageError])
def test_a_directory_that_cannot_be_listed_says_so(error: type[StorageError]) -> None:
    tree = MemoryConnector({"a/x": b"", "bad/x": b"", "c/x": b""})

    def fault(operation: str, path: str) -> None:
        if path == "bad":
            raise error("no such luck")

    tree.fault = fault
    counters = ScanCounters()
    found = {each.path: each.error for each in scanned(tree.reader(), counters=counters)}
    assert found == {"a": "", "a/x": "", "bad": "no such luck", "c": "", "c/x": ""}
    assert (counters.directories, counters.entries, counters.errors) == (4, 5, 1)


@pytest.mark.parametrize("path", ["", "a"])
@pytest.mark.parametrize("error", [ConnectionLost, ZeroDivisionError])
def test_what_is_no_matter_of_one_directory_is_raised(path: str, error: type[Exception]) -> None:
    def hook(asked: str) -> None:
        if asked == path:
            raise error("gone")

    with pytest.raises(error, match="gone"):
        scanned(FakeReader({"": [Listed("a", DIRECTORY)]}, hook))  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [NotFound, PermissionDenied])
def test_a_root_that_cannot_be_listed_is_raised(error: type[StorageError]) -> None:
    def hook(path: str) -> None:
        raise error("no root")

    with pytest.raises(error, match="no root"):
        scanned(FakeReader({}, hook))  # type: ignore[arg-type]


def test_directories_are_listed_ahead_by_several_threads() -> None:
    """All but the root have to be asked for at the same time, or the barrier breaks."""
    together = threading.Barrier(8, timeout=30)

    def hook(path: str) -> None:
        if path:
            together.wait()

    reader = FakeReader({"": [Listed(f"d{number}", DIRECTORY) for number in range(8)]}, hook)
    assert len(scanned(reader, workers=8)) == 8  # type: ignore[arg-type]


def test_no_more_threads_than_asked_for() -> None:
    seen: set[str] = set()
    reader = FakeReader(
        {"": [Listed(f"d{number}", DIRECTORY) for number in range(50)]},
        lambda path: seen.add(threading.current_thread().name),
    )
    assert len(scanned(reader, workers=3)) == 50  # type: ignore[arg-type]
    assert 1 <= len(seen) <= 3


def test_what_is_listed_ahead_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "AHEAD_DIRECTORIES", 10)
    asked: list[str] = []
    idle = threading.Event()

    def hook(path: str) -> None:
        asked.append(path)
        if len(asked) >= 10:
            idle.set()

    listings: dict[str, list[Listed]] = {"": [Listed(f"{number:03}", DIRECTORY) for number in range(200)]}
    walk = scan(FakeReader(listings, hook), filters=Filters(), cancel=CancelToken(), workers=4)  # type: ignore[arg-type]
    first = next(walk)
    assert first.path == "000"
    assert idle.wait(30)
    # The root and the first are consumed, ten may be ahead, and each thread may have one more in hand.
    assert len(asked) <= 2 + 10 + 4
    assert len(list(walk)) == 199
    assert len(asked) == 201


def test_directories_listed_together_are_what_each_is() -> None:
    def hook(path: str) -> None:
        if path.endswith("7"):
            raise PermissionDenied("not for you")

    listings = folders(40, 3)
    reader = Together(listings, hook)
    assert scanned(reader, workers=2) == scanned(FakeReader(listings, hook))  # type: ignore[arg-type]
    assert max(len(call) for call in reader.calls) == 4
    assert len({path for call in reader.calls for path in call}) <= 40


def test_where_several_take_too_long_each_is_listed_by_itself() -> None:
    def hook(path: str) -> None:
        if path == "005":
            raise TimedOut("too slow")

    found = scanned(Together(folders(8, 1), hook), workers=1)  # type: ignore[arg-type]
    assert {each.path: each.error for each in found if each.error} == {"005": "too slow"}
    assert len(found) == 15


def test_a_connection_lost_while_several_are_listed_is_raised() -> None:
    def hook(path: str) -> None:
        if path == "005":
            raise ConnectionLost("gone")

    with pytest.raises(ConnectionLost):
        scanned(Together(folders(8, 1), hook))  # type: ignore[arg-type]


def test_of_several_that_hold_very_much_the_rest_is_left_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "AHEAD_ENTRIES", 100)
    asked: list[str] = []
    reader = Together(folders(20, 250), asked.append)
    walk = scan(reader, filters=Filters(), cancel=CancelToken(), workers=1)  # type: ignore[arg-type]
    next(walk)
    assert reader.ended.wait(30)
    # The first may have been consumed by the time that the second was there.
    assert asked in (["", "000"], ["", "000", "001"])
    assert reader.calls == [["000", "001", "002", "003"]]
    assert len(list(one_by_one(walk))) == 20 * 251 - 1
    assert sorted(asked) == sorted(reader.listings)


def test_a_walk_that_waits_long_gets_more_threads() -> None:
    seen: set[str] = set()
    both = threading.Event()

    def hook(path: str) -> None:
        seen.add(threading.current_thread().name)
        if len(seen) > 1:
            both.set()
        if path:
            assert both.wait(30)

    assert len(scanned(Together(folders(20, 1), hook), workers=4)) == 40  # type: ignore[arg-type]
    assert len(seen) > 1


def test_a_tight_bound_does_not_stop_the_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "AHEAD_DIRECTORIES", 1)
    monkeypatch.setattr(scanning, "AHEAD_ENTRIES", 1)
    tree = MemoryConnector({f"{a}/{b}/{c}": b"" for a in "xyz" for b in "xyz" for c in "xyz"})
    found = paths(tree.reader(), workers=4)
    assert found == sorted(tree.nodes, key=names.sort_key)
    together = Together(
        {path: tree.reader().list_dir(path) for path in ("", *tree.nodes) if len(path) < 4}, print
    )
    assert paths(together, workers=4) == found


def test_cancel_ends_a_scan_that_hangs() -> None:
    cancel = CancelToken()
    release = threading.Event()

    def hook(path: str) -> None:
        if path:
            cancel.cancel()
            release.wait(60)

    reader = FakeReader({"": [Listed("a", DIRECTORY)]}, hook)
    with pytest.raises(Cancelled):
        list(scan(reader, filters=Filters(), cancel=cancel))  # type: ignore[arg-type]
    release.set()


def test_cancel_between_two_paths() -> None:
    cancel = CancelToken()
    walk = scan(MemoryConnector({"a/x": b"", "b/x": b""}).reader(), filters=Filters(), cancel=cancel)
    next(walk)
    cancel.cancel()
    with pytest.raises(Cancelled):
        list(walk)


def test_closing_the_scan_ends_its_threads() -> None:
    threads: set[threading.Thread] = set()
    reader = FakeReader(
        {"": [Listed(f"d{number}", DIRECTORY) for number in range(2_000)]},
        lambda path: threads.add(threading.current_thread()),
    )
    walk = scan(reader, filters=Filters(), cancel=CancelToken())  # type: ignore[arg-type]
    next(walk)
    walk.close()
    assert threads
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_the_end_of_the_scan_ends_its_threads() -> None:
    threads: set[threading.Thread] = set()
    reader = FakeReader({"": [Listed("a", DIRECTORY)]}, lambda path: threads.add(threading.current_thread()))
    scanned(reader)  # type: ignore[arg-type]
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
