"""Requests that read, past botocore's client: what it adds to each costs more than the request itself.

Its client takes 1 to 1.5 ms of processor time for a GET or HEAD and 70 ms to take a listing of a thousand
keys apart; here it is 0.5 ms and 6 ms. Logins, signatures, TLS, proxies and connections stay botocore's.
Whatever is out of the ordinary stays the client's: an answer that is no success, a connection that breaks, an
address or a signature of another kind. The client is asked then, as if nobody had asked before. But a listing
that is not understood here is taken from nobody: the client would find an empty one in whatever it is given.

This file alone knows an inside of botocore: the HTTP session of a client. Where there is none, all goes
through the client.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote_plus
from xml.etree import ElementTree as ET

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from tui_sync.errors import StorageError

# "Authorization header" in "Authenticating Requests (AWS Signature Version 4)", S3 API reference.
_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=[^,]*/\d{8}/([^/,]+)/s3/aws4_request,")
# After an answer that is no success the client alone is asked for so long: it knows how to wait.
_REST_S = 5.0
# What is not there, or not as the condition says, is no trouble.
_USUAL = (404, 412, 416)

_OBJECT = {
    "Range": "Range",
    "IfMatch": "If-Match",
    "ChecksumMode": "x-amz-checksum-mode",
    "RequestPayer": "x-amz-request-payer",
}
_LISTING = {
    "Prefix": "prefix",
    "Delimiter": "delimiter",
    "ContinuationToken": "continuation-token",
    "MaxKeys": "max-keys",
}
_TOLD = {
    "ETag": "ETag",
    "ContentRange": "Content-Range",
    "ContentType": "Content-Type",
    "ContentEncoding": "Content-Encoding",
    "ContentLanguage": "Content-Language",
    "ContentDisposition": "Content-Disposition",
    "CacheControl": "Cache-Control",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSECustomerAlgorithm": "x-amz-server-side-encryption-customer-algorithm",
    "ChecksumCRC32": "x-amz-checksum-crc32",
    "ChecksumSHA1": "x-amz-checksum-sha1",
    "ChecksumSHA256": "x-amz-checksum-sha256",
    "ChecksumType": "x-amz-checksum-type",
}
_METADATA = "x-amz-meta-"


class Reads:
    """GetObject, HeadObject and ListObjectsV2 of one bucket.

    ``credentials`` are botocore's, None for requests that are not signed; ``counted`` is told the operation
    of each request that is sent. Where they go and how they are signed is learned from the listings that the
    client sends.
    """

    def __init__(self, client: Any, credentials: Any, counted: Callable[[str], None]) -> None:
        self._http: Any = getattr(getattr(client, "_endpoint", None), "http_session", None)
        self._credentials = credentials
        self._counted = counted
        # The bucket's own address, and what comes before the slash and the key of an object. "": not known.
        self._bucket = ""
        self._base = ""
        self._region = ""
        self._agent = ""
        self._rests_until = 0.0
        client.meta.events.register("before-send.s3.ListObjectsV2", self._learn)

    def _learn(self, request: Any, **_more: object) -> None:
        """From a request as the client sends it."""
        signed = _SIGNED.match(_text(request.headers.get("Authorization")))
        if "X-Amz-S3session-Token" in request.headers or bool(signed) is (self._credentials is None):
            self._bucket = ""
            return
        self._region = signed[1] if signed else ""
        self._agent = _text(request.headers.get("User-Agent"))
        self._bucket = request.url.partition("?")[0]
        self._base = self._bucket.rstrip("/")

    def send(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
        """What the client's answer would be, as far as this program looks at it; None where it has to be
        asked itself. Raises ClientError where there is no such object, if the answer says no more."""
        send = {"get_object": self._get, "head_object": self._head, "list_objects_v2": self._list}.get(
            operation
        )
        if send is None or not self._bucket or self._http is None or time.monotonic() < self._rests_until:
            return None
        try:
            return send(dict(parameters))
        except (ClientError, StorageError):
            raise
        except Exception:  # noqa: BLE001 - whatever it was, the client tells it better
            self._rests_until = time.monotonic() + _REST_S
            return None

    def _get(self, parameters: dict[str, Any]) -> dict[str, Any] | None:
        response = self._object("GET", "GetObject", parameters)
        if response is None:
            return None
        try:
            answer = _described(response.headers)
        except BaseException:
            response.raw.close()
            raise
        return {**answer, "Body": StreamingBody(response.raw, str(answer["ContentLength"]))}

    def _head(self, parameters: dict[str, Any]) -> dict[str, Any] | None:
        response = self._object("HEAD", "HeadObject", parameters)
        return None if response is None else _described(response.headers)

    def _object(self, method: str, name: str, parameters: dict[str, Any]) -> Any:
        key = parameters.pop("Key")
        headers = {_OBJECT[each]: value for each, value in parameters.items()}
        return self._sent(method, name, f"{self._base}/{quote(key, safe='/~')}", headers)

    def _list(self, parameters: dict[str, Any]) -> dict[str, Any] | None:
        headers = {}
        if "RequestPayer" in parameters:
            headers["x-amz-request-payer"] = parameters.pop("RequestPayer")
        query = {_LISTING[each]: str(value) for each, value in parameters.items()}
        query |= {"list-type": "2", "encoding-type": "url"}
        text = "&".join(f"{name}={quote(query[name], safe='-_.~')}" for name in sorted(query))
        response = self._sent("GET", "ListObjectsV2", f"{self._bucket}?{text}", headers)
        if response is None:
            return None
        content = response.content
        try:
            return _listing(content)
        except ET.ParseError:
            # Cut, perhaps: the client asks again.
            raise
        except Exception:  # noqa: BLE001 - of one that is not understood nothing is taken, by nobody
            raise StorageError("the server's listing is none, or not whole") from None

    def _sent(self, method: str, name: str, url: str, headers: dict[str, str]) -> Any:
        """The response, None where it is no success."""
        headers["User-Agent"] = self._agent
        if self._credentials is not None:
            request = AWSRequest(method, url, headers)
            S3SigV4Auth(self._credentials.get_frozen_credentials(), "s3", self._region).add_auth(request)
            headers = dict(request.headers.items())
        stream = name == "GetObject"
        self._counted(name)
        response = self._http.send(AWSPreparedRequest(method, url, headers, None, stream))
        if response.status_code in (200, 206):
            return response
        if response.status_code == 404 and method == "HEAD":
            raise ClientError({"Error": {"Code": "404"}, "ResponseMetadata": {"HTTPStatusCode": 404}}, name)
        if response.status_code not in _USUAL:
            self._rests_until = time.monotonic() + _REST_S
        with closing(response.raw):
            return None


def _text(value: str | bytes | None) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value or ""


def _described(headers: Mapping[str, str]) -> dict[str, Any]:
    """An object as the headers of an answer tell it. Raises KeyError or ValueError where they do not."""
    answer: dict[str, Any] = {"ContentLength": int(headers["Content-Length"])}
    for name, header in _TOLD.items():
        value = headers.get(header)
        if value is not None:
            answer[name] = value
    when = headers.get("Last-Modified")
    if when is not None:
        changed = parsedate_to_datetime(when)
        answer["LastModified"] = changed if changed.tzinfo else changed.replace(tzinfo=UTC)
    answer["Metadata"] = {
        name[len(_METADATA) :]: value
        for name, value in headers.items()
        if name[: len(_METADATA)].lower() == _METADATA
    }
    return answer


def _listing(body: bytes) -> dict[str, Any]:
    """A ListBucketResult ("ListObjectsV2", S3 API reference). Raises something where it is none, or no whole
    one."""
    root = ET.fromstring(body)
    # Some servers put it into a namespace, some do not.
    space = root.tag.removesuffix("ListBucketResult")
    if space == root.tag:
        raise ValueError("no listing")
    encoded = root.findtext(f"{space}EncodingType") == "url"
    tags = {f"{space}{name}": name for name in ("Key", "Size", "ETag", "Prefix")}
    contents, prefixes = [], []
    for element in root:
        kind = element.tag.removeprefix(space)
        if kind not in ("Contents", "CommonPrefixes"):
            continue
        told = [one for one in element if one.tag in tags]
        found: dict[str, Any] = {tags[one.tag]: one.text or "" for one in told}
        if len(found) < len(told):
            raise ValueError("the same said twice")
        name = "Key" if kind == "Contents" else "Prefix"
        if encoded:
            found[name] = unquote_plus(found[name], errors="surrogateescape")
        if kind == "Contents":
            found["Size"] = int(found["Size"])
            contents.append(found)
        else:
            prefixes.append(found)
    answer: dict[str, Any] = {"Contents": contents, "CommonPrefixes": prefixes}
    answer["IsTruncated"] = {"true": True, "false": False}[root.findtext(f"{space}IsTruncated", "").strip()]
    if answer["IsTruncated"]:
        token = root.findtext(f"{space}NextContinuationToken")
        if not token:
            raise ValueError("more, and no way to it")
        answer["NextContinuationToken"] = token
    return answer
