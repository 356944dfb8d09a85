"""Requests past botocore's client: the same answers, the same bucket; whatever is unusual is the client's.

Where a new botocore has another inside, the first tests here fail, and nothing else does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.contract.support import BatchPrompts, content, read
from tests.support.s3 import Bucket, connected
from tests.support.s3_servers import Between, Lying
from tui_sync.connectors.s3 import reads
from tui_sync.connectors.s3.client import Store, open_store
from tui_sync.connectors.s3.reads import Reads
from tui_sync.errors import NotFound, PermissionDenied, StorageError

KEYS = [
    "plain",
    "with space",
    "plus+%41&?#=",
    "deep/er/file",
    "caf\u00e9",
    "cafe\u0301",
    "new\nline",
    "a/",
    "~",
]


@pytest.fixture
def store(bucket: Bucket) -> Iterator[Store]:
    """Of a bucket that was listed once, by the client."""
    for key in KEYS:
        bucket.put(key, b"" if key.endswith("/") else key.encode(), mtime="5.5")
    opened = open_store(bucket.endpoint(), BatchPrompts())
    opened.send("list_objects_v2", MaxKeys=1)
    yield opened
    opened.close()


def of_the_client(store: Store, operation: str, **parameters: Any) -> dict[str, Any]:
    answer: dict[str, Any] = getattr(store._client, operation)(Bucket=store.place.bucket, **parameters)
    return answer


def no_client(store: Store) -> None:
    def called(*_: object, **more: object) -> None:
        raise AssertionError(f"the client was asked: {more}")

    store._client = type("NoClient", (), {"__getattr__": lambda *_: called})()


@pytest.mark.parametrize("key", KEYS)
def test_an_object_is_told_as_by_the_client(store: Store, key: str) -> None:
    for operation in ("head_object", "get_object"):
        ours = store._reads.send(operation, {"Key": key, "ChecksumMode": "ENABLED"})
        theirs = of_the_client(store, operation, Key=key, ChecksumMode="ENABLED")
        assert ours is not None, "botocore's inside is another one"
        body, expected = ours.pop("Body", None), theirs.pop("Body", None)
        assert (body and body.read()) == (expected and expected.read())
        assert {"ETag", "Metadata", "LastModified", "ContentLength"} <= ours.keys()
        assert ours == {name: theirs[name] for name in ours}


@pytest.mark.parametrize(
    "asked",
    [{}, {"Prefix": "deep/", "Delimiter": "/"}, {"Delimiter": "/"}, {"MaxKeys": 2}, {"Prefix": "none"}],
)
def test_a_listing_is_told_as_by_the_client(store: Store, asked: dict[str, Any]) -> None:
    while True:
        ours = store._reads.send("list_objects_v2", asked)
        theirs = of_the_client(store, "list_objects_v2", **asked)
        assert ours is not None, "botocore's inside is another one"
        assert ours["Contents"] == [
            {name: one[name] for name in ("Key", "ETag", "Size")} for one in theirs.get("Contents", [])
        ]
        assert ours["CommonPrefixes"] == theirs.get("CommonPrefixes", [])
        assert ours["IsTruncated"] is theirs["IsTruncated"]
        if not ours["IsTruncated"]:
            return
        asked = {**asked, "ContinuationToken": ours["NextContinuationToken"]}


def test_all_that_only_reads_goes_this_way_and_is_counted(bucket: Bucket) -> None:
    for key in KEYS:
        bucket.put(key, b"" if key.endswith("/") else key.encode())
    with connected(bucket.endpoint()) as connector:
        no_client(connector._store)
        reader = connector.reader()
        assert {one.name for one in reader.list_dir("")} == {key.partition("/")[0] for key in KEYS}
        for key in KEYS:
            if not key.endswith("/"):
                assert reader.stat(key).size == len(key.encode())
                assert read(reader, key) == key.encode()
        assert connector.requests == {"ListObjectsV2": 2, "HeadObject": 8, "GetObject": 8}
        with pytest.raises(NotFound):
            reader.stat("nowhere")
        assert connector.requests == {"ListObjectsV2": 3, "HeadObject": 9, "GetObject": 8}


def test_without_that_inside_of_botocore_the_client_does_it_all(bucket: Bucket) -> None:
    made = content(6 << 20)
    bucket.put("file", made)
    with connected(bucket.endpoint()) as connector:
        store = connector._store
        store._reads = Reads(type("Client", (), {"meta": store._client.meta})(), None, store._counted)
        reader = connector.reader()
        assert [one.name for one in reader.list_dir("")] == ["file"]
        assert read(reader, "file") == made
        assert b"".join(map(bytes, reader.open("file").blocks(1, 9))) == made[1:9]
        assert store.requests == {"ListObjectsV2": 2, "GetObject": 3}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [((404, "NoSuchKey"), NotFound), ((403, "AccessDenied"), PermissionDenied), ((400, "Odd"), StorageError)],
)
def test_an_answer_that_is_no_success_is_asked_for_again_by_the_client(
    bucket: Bucket, answer: tuple[int, str], kind: type[StorageError]
) -> None:
    """Whoever is refused is asked by the client alone for a while; a file that is not there is no trouble."""
    bucket.put("file", b"x")
    refused: list[str] = []

    def rule(method: str, path: str) -> tuple[int, str] | None:
        if "file" not in path:
            return None
        refused.append(method)
        return answer

    with (
        Between(bucket.server.port, rule) as front,
        connected(bucket.endpoint(endpoint_url=front.url)) as connector,
    ):
        for _ in range(2):
            with pytest.raises(kind):
                connector.reader().open("file")
    assert len(refused) == (4 if kind is NotFound else 3)


def test_a_cut_answer_is_asked_for_again_by_the_client(bucket: Bucket) -> None:
    for key in KEYS:
        bucket.put(key, b"x")
    with connected(bucket.endpoint()) as connector:
        store = connector._store
        send = store._reads._http.send

        def cut(request: Any) -> Any:
            response = send(request)
            if "list-type" in request.url and not request.stream_output:
                response._content = response.content[:-30]
            return response

        store._reads._http = type("Session", (), {"send": staticmethod(cut)})()
        assert len(connector.reader().list_dir("")) == len(KEYS)
        assert store.requests["ListObjectsV2"] == 3


def test_a_request_without_a_login_is_not_signed() -> None:
    with Lying(b"x") as server, connected(server.endpoint(anonymous=True)) as connector:
        no_client(connector._store)
        assert read(connector.reader(), "file") == b"x"
        assert all("Authorization" not in headers for headers in server.seen)
    with Lying(b"x") as server, connected(server.endpoint()) as connector:
        no_client(connector._store)
        assert read(connector.reader(), "file") == b"x"
        assert all("Credential=key/" in headers["Authorization"] for headers in server.seen)


def test_a_requester_who_pays_says_so_in_every_request() -> None:
    with Lying(b"x") as server, connected(server.endpoint(requester_pays=True)) as connector:
        no_client(connector._store)
        reader = connector.reader()
        reader.stat("file"), reader.list_dir(""), read(reader, "file")
        assert {headers.get("x-amz-request-payer") for headers in server.seen} == {"requester"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<ListBucketResult>",
        b"<Error><Code>InternalError</Code></Error>",
        b"<ListBucketResult></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents/></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>x</Size></Contents>"
        b"</ListBucketResult>",
    ],
)
def test_what_is_no_whole_listing_is_none(body: bytes) -> None:
    with pytest.raises((ET.ParseError, KeyError, ValueError)):
        reads._listing(body)


def test_a_listing_in_a_namespace_and_with_keys_encoded_or_not() -> None:
    told = (
        "<IsTruncated>false</IsTruncated>{}<Contents><Key>a+b%20c</Key><Size>3</Size><ETag>&quot;e&quot;</ETag>"
        "<Owner><ID>x</ID></Owner></Contents><CommonPrefixes><Prefix>d+/</Prefix></CommonPrefixes>"
        "</ListBucketResult>"
    )
    space = '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    for start in (space, "<ListBucketResult>"):
        plain = reads._listing((start + told.format("")).encode())
        assert plain["Contents"] == [{"Key": "a+b%20c", "Size": 3, "ETag": '"e"'}]
        encoded = reads._listing((start + told.format("<EncodingType>url</EncodingType>")).encode())
        assert encoded["Contents"] == [{"Key": "a b c", "Size": 3, "ETag": '"e"'}]
        assert encoded["CommonPrefixes"] == [{"Prefix": "d /"}]
