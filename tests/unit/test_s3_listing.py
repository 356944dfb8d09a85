"""The listing that runs ahead gives what listing each directory alone gives, for any keys at all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Listed
from tui_sync.connectors.s3 import listing
from tui_sync.connectors.s3.client import Folders, Shown
from tui_sync.connectors.s3.download import _get
from tui_sync.connectors.s3.keys import Place
from tui_sync.connectors.s3.listing import _check_whole
from tui_sync.connectors.s3.reads import Reads
from tui_sync.errors import NotFound, StorageError
from tui_sync.model import Kind
from tui_sync.planning.filters import Filters
from tui_sync.planning.scan import scan
from tui_sync.planning.scanned import one_by_one

PAGE = 3


class FakeStore:
    """ListObjectsV2 over a set of keys, a few to a page, as the S3 API reference describes it."""

    def __init__(self, keys: set[str], prefix: str = "", page: int = PAGE) -> None:
        self.keys = sorted(keys, key=lambda key: key.encode())
        self.place = Place("bucket", prefix)
        self.folders = Folders()
        self.shown = Shown()
        self.requests = 0
        self._page = page

    def call(self, operation: str, verb: str, path: str, **asked: Any) -> dict[str, Any]:
        assert operation == "list_objects_v2"
        self.requests += 1
        prefix = asked["Prefix"]
        found: list[tuple[bool, str]] = []
        for key in self.keys:
            if key.startswith(prefix):
                head, slash, _ = key[len(prefix) :].partition(asked.get("Delimiter", "\0"))
                one = (True, prefix + head + slash) if slash else (False, key)
                if one not in found:
                    found.append(one)
        start = int(asked.get("ContinuationToken", "0"))
        page = found[start : start + self._page]
        return {
            "Contents": [
                {"Key": key, "Size": 0 if key.endswith("/") else 1, "ETag": f'"{key}"'}
                for common, key in page
                if not common
            ],
            "CommonPrefixes": [{"Prefix": key} for common, key in page if common],
            "IsTruncated": start + self._page < len(found),
            "NextContinuationToken": str(start + self._page),
        }


def as_store(fake: FakeStore) -> Any:
    return fake


NAMES = st.sampled_from(["a", "b", "a-", "a!", "..", ".", "", "é"])
KEYS = st.sets(st.lists(NAMES, min_size=1, max_size=4).map("/".join).filter(bool), max_size=25)


@settings(max_examples=300, deadline=None)
@given(KEYS, st.integers(0, 12), st.integers(0, 20))
@example({"x", "x/y", "x/", "a//b", "dot/../x", "/lead"}, 0, 100)
def test_ahead_and_alone_agree(keys: set[str], ahead: int, held: int) -> None:
    fake = FakeStore(keys)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "AHEAD", ahead)
        patch.setattr(listing, "HELD", held)
        walk = listing.Ahead(as_store(fake))
        waiting = [""]
        while waiting:
            path = waiting.pop()
            found = walk.list_dir(path)
            assert sorted(found, key=order) == sorted(listing.list_alone(as_store(fake), path), key=order)
            for child in found:
                if child.kind is Kind.DIRECTORY and child.name not in ("", ".", ".."):
                    waiting.append(f"{path}/{child.name}" if path else child.name)


def order(child: Listed) -> tuple[str, str, int]:
    return child.name, child.kind, child.size


def test_a_tree_that_fits_costs_its_pages_and_no_more() -> None:
    fake = FakeStore({f"d{number % 7}/e{number % 3}/f{number}" for number in range(90)}, page=30)
    walk = listing.Ahead(as_store(fake))
    for folder in ("", *(f"d{number}" for number in range(7))):
        walk.list_dir(folder)
    assert sum(len(walk.list_dir(f"d{one}/e{other}")) for one in range(7) for other in range(3)) == 90
    assert fake.requests == 3


def test_a_tree_that_does_not_fit_is_listed_a_few_times_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "AHEAD", 50)
    keys = {f"d{number % 10}/f{number:04}" for number in range(1_000)}
    fake = FakeStore(keys, page=10)
    walk = listing.Ahead(as_store(fake))
    assert len(walk.list_dir("")) == 10
    assert sum(len(walk.list_dir(f"d{number}")) for number in range(10)) == 1_000
    assert fake.requests <= 100 + 10 + 1


def test_nothing_below_a_name_is_no_directory() -> None:
    fake = FakeStore({"a", "ab/c"})
    for path in ("a", "b"):
        with pytest.raises(NotFound):
            listing.Ahead(as_store(fake)).list_dir(path)
        with pytest.raises(NotFound):
            listing.list_alone(as_store(fake), path)
    assert listing.list_alone(as_store(FakeStore(set())), "") == []
    with pytest.raises(NotFound):
        listing.list_alone(as_store(FakeStore({"other/x"}, "/pre")), "")


def test_a_scan_makes_conflicts_of_keys_that_are_no_paths() -> None:
    keys = {"good/file", "a//b", "dot/../x", "..", "/lead", "x", "x/y", "full/", "caf\u00e9", "cafe\u0301"}
    reader = SimpleNamespace(list_dir=listing.Ahead(as_store(FakeStore(keys))).list_dir)
    found = {
        one.path: one
        for one in one_by_one(scan(as_reader(reader), filters=Filters(), cancel=CancelToken(), workers=1))
    }
    assert {path for path, one in found.items() if not one.error and path} == {
        *("good", "good/file", "a", "dot", "full", "caf\u00e9", "cafe\u0301")
    }
    assert not found[""].complete
    assert not found["a"].complete
    assert not found["dot"].complete
    assert "twice" in found["x"].error


def as_reader(reader: SimpleNamespace) -> Any:
    return reader


def test_a_marker_with_content_is_not_passed_over() -> None:
    fake = FakeStore({"d/x"})
    answer = {"IsTruncated": False, "Contents": [{"Key": "d/", "Size": 7, "ETag": '"e"'}]}
    fake.call = lambda *_, **__: answer  # type: ignore[method-assign]
    assert listing.list_alone(as_store(fake), "d") == [Listed("", Kind.FILE, 7, etag="e")]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"IsTruncated": "True", "Contents": []},
        {"IsTruncated": True},
        {"IsTruncated": True, "NextContinuationToken": ""},
        {"IsTruncated": True, "NextContinuationToken": "the same"},
        {"IsTruncated": False, "Contents": [{"Key": "a"}]},
        {"IsTruncated": False, "Contents": [{"Size": 1}]},
    ],
)
def test_a_listing_that_may_not_be_whole_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(StorageError, match="not whole"):
        _check_whole(answer, "folder", "the same")


def test_one_that_goes_on_elsewhere_is_taken() -> None:
    _check_whole({"IsTruncated": True, "NextContinuationToken": "next"}, "", "the same")
    _check_whole({"IsTruncated": False, "Contents": [{"Key": "a", "Size": 1}]}, "", None)


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>maintenance</body></html>",
        b"<ListBucketResult/>",
        b"<ListBucketResult><IsTruncated>True</IsTruncated></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>false</IsTruncated><CommonPrefixes><Prefix>p/</Prefix>"
        b"<Prefix>q/</Prefix></CommonPrefixes></ListBucketResult>",
    ],
)
def test_what_is_no_whole_listing_is_not_asked_for_again_less_strictly(body: bytes) -> None:
    reads = Reads(FakeClient(body), None, lambda _operation: None)
    reads._bucket = reads._base = "http://s3/bucket"
    with pytest.raises(StorageError, match="not whole"):
        reads.send("list_objects_v2", {"Prefix": ""})


class FakeClient:
    """With the inside that ``Reads`` uses."""

    def __init__(self, body: bytes) -> None:
        response = SimpleNamespace(status_code=200, content=body, headers={})
        self._endpoint = SimpleNamespace(http_session=SimpleNamespace(send=lambda _request: response))
        self.meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_: None))


@pytest.mark.parametrize(("told", "refused"), [('"v1"', False), ('"v2"', True), ("", True)])
def test_a_server_that_ignores_the_condition_gives_no_part_of_another_version(
    told: str, refused: bool
) -> None:
    closed = []
    body = SimpleNamespace(close=lambda: closed.append(True))
    answer = {"ETag": told, "ContentRange": "bytes 5-9/20", "ContentLength": 5, "Body": body}
    store = SimpleNamespace(send=lambda _operation, **_parameters: answer)
    if refused:
        with pytest.raises(ClientError, match="PreconditionFailed"):
            _get(store, "key", 5, 10, "v1")  # type: ignore[arg-type]
    else:
        assert _get(store, "key", 5, 10, "v1") is answer  # type: ignore[arg-type]
    assert bool(closed) is refused
