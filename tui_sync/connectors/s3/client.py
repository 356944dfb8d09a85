"""One bucket as the rest of the connector sees it: settings, boto3's client, requests and their count."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from boto3.session import Session
from botocore import UNSIGNED
from botocore import exceptions as boto
from botocore.config import Config
from botocore.credentials import Credentials

from tui_sync.connectors.base import Endpoint, Prompts
from tui_sync.connectors.s3 import faults
from tui_sync.connectors.s3.calls import Budget, Calls
from tui_sync.connectors.s3.keys import MIB, Place
from tui_sync.connectors.s3.reads import Reads
from tui_sync.errors import LoginRefused, NotFound, StorageError, TuiSyncError
from tui_sync.names import printable

T = TypeVar("T")

PART_SIZE = 5 * MIB
_THREADS = 32
# Parts being sent, and blocks fetched ahead, of all files together.
_UPLOAD_BYTES = 24 * MIB
_DOWNLOAD_BYTES = 32 * MIB
_FOLDERS = 100_000
_SHOWN = 10_000
_CONNECT_S = 10.0
_TICK_S = 0.2

_sessions: dict[str | None, Any] = {}
_session_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Settings:
    """The side's options, as the profile's keys of the same names explain them. Times in seconds."""

    endpoint_url: str | None = None
    region: str | None = None
    addressing: str = "auto"
    aws_profile: str | None = None
    anonymous: bool = False
    requester_pays: bool = False
    verify_tls: bool = True
    ca_bundle: str | None = None
    timeout: float = 60
    attempts: int = 5
    part_size: int = PART_SIZE

    @classmethod
    def of(cls, options: Mapping[str, object]) -> Settings:
        known: dict[str, Any] = {
            each.name: options[each.name] for each in fields(cls) if each.name in options
        }
        return cls(**known)


class Store:
    """What reader, writer, downloads and uploads of one connector share.

    ``requests`` counts what was sent, retries included, by the operation's name. ``account`` is equal for
    two stores that one server knows under one login: content can be copied there without coming here.
    """

    def __init__(
        self, endpoint: Endpoint, settings: Settings, client: Any, credentials: Any, account: object
    ) -> None:
        self.label = endpoint.url
        self.place = Place(endpoint.host, endpoint.path)
        self.settings = settings
        self.account = account
        self.calls = Calls(_THREADS)
        self.uploading = Budget(_UPLOAD_BYTES)
        self.downloading = Budget(_DOWNLOAD_BYTES)
        self.requests: Counter[str] = Counter()
        self.folders = Folders()
        self.shown = Shown()
        # Set once content was copied from here without being read: then opening need not fetch any.
        self.copied_on_server = False
        # Set where what is written here will be copies of that kind: begun when their source is known.
        self.filled_by_copies = False
        # Cleared where the server turns out not to know If-None-Match on writing.
        self.conditional = True
        # Cleared where an answer does not show that the server has the bytes that were sent.
        self.checks_uploads = True
        self._common: dict[str, Any] = {"RequestPayer": "requester"} if settings.requester_pays else {}
        self._client = client
        self._count = threading.Lock()
        self._publishing: set[str] = set()
        self._published = threading.Condition()
        self._reads = Reads(client, credentials, self._counted)
        client.meta.events.register(
            "before-send.s3", lambda event_name, **_: self._counted(event_name.rpartition(".")[2])
        )

    def _counted(self, operation: str) -> None:
        with self._count:
            self.requests[operation] += 1

    def send(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """One request to the bucket, in this thread. Raises what botocore raises."""
        parameters |= self._common
        answer = self._reads.send(operation, parameters)
        if answer is not None:
            return answer
        try:
            return self._sent(operation, parameters)
        except boto.ClientError as error:
            if operation == "head_object" and faults.code_of(error) in ("400", "403"):
                # HEAD is refused without a word. Raises what the server says to a GET.
                self._sent("get_object", parameters)["Body"].close()
            raise

    def _sent(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = getattr(self._client, operation)(Bucket=self.place.bucket, **parameters)
        return answer

    def call(self, operation: str, verb: str, path: str, **parameters: Any) -> dict[str, Any]:
        """One request to the bucket, waited for. Raises the program's errors."""
        return self.run(verb, path, lambda: self.send(operation, **parameters))

    def run(self, verb: str, path: str, job: Callable[[], T]) -> T:
        """The result of a job that sends requests, waited for. Raises the program's errors."""
        with self.telling(verb, path):
            return self.calls.run(job)

    @contextmanager
    def telling(self, verb: str, path: str) -> Iterator[None]:
        """Turn errors of botocore into the program's own: ``cannot VERB “PATH”: …``."""
        problem: TuiSyncError | None = None
        try:
            yield
        except TuiSyncError:
            raise
        except Exception as error:  # noqa: BLE001 - botocore's errors have no common base of their own
            problem = faults.translated(error, verb, path, self.place.bucket)
        # Raised outside the handler: botocore's errors hold requests, with what signed them.
        if problem is not None:
            raise problem

    def first_below(self, path: str) -> str | None:
        """The first key of the directory at ``path``, its marker before all else; None where it has none."""
        answer = self.call("list_objects_v2", "examine", path, Prefix=self.place.folder(path), MaxKeys=1)
        found = answer.get("Contents") or []
        return str(found[0]["Key"]) if found else None

    def need_folder(self, path: str) -> None:
        """Raise NotFound unless the directory at ``path`` is there; one that was seen counts as such."""
        if self.folders.known(path) or (not path and not self.place.prefix):
            return
        if self.first_below(path) is None:
            raise NotFound(f"the folder “{printable(path) or '/'}” does not exist")
        self.folders.add(path)

    def abort_empty_uploads(self, path: str) -> None:
        """Abort the multipart uploads of one object that have no part: what a kill right after one was begun
        leaves. One with parts may be somebody else's and stays. Troubles are passed over."""
        key = self.place.key(path)
        with suppress(StorageError):
            answer = self.call("list_multipart_uploads", "examine the uploads of", path, Prefix=key)
            for found in answer.get("Uploads") or ():
                if found["Key"] != key:
                    continue
                upload = {"Key": key, "UploadId": found["UploadId"]}
                parts = self.call("list_parts", "examine the uploads of", path, MaxParts=1, **upload)
                if not parts.get("Parts"):
                    self.call("abort_multipart_upload", "abort the upload of", path, **upload)

    @contextmanager
    def publishing(self, key: str) -> Iterator[None]:
        """One at a time for each key: not every server decides between two writers that meet."""
        with self._published:
            while key in self._publishing and not self.calls.closed:
                self._published.wait(_TICK_S)
            self._publishing.add(key)
        try:
            yield
        finally:
            with self._published:
                self._publishing.discard(key)
                self._published.notify_all()

    def close(self) -> None:
        self.calls.close()
        self.uploading.close()
        self.downloading.close()


class Folders:
    """Directories that were seen, so that nobody need ask for them again; the oldest are forgotten.

    ``listed`` ones were seen with all that is in them: a name that a listing did not show is not a directory.
    """

    def __init__(self, most: int = _FOLDERS) -> None:
        self._most = most
        self._seen: OrderedDict[str, bool] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, path: str, *, listed: bool = False) -> None:
        with self._lock:
            self._seen[path] = listed or self._seen.get(path, False)
            self._seen.move_to_end(path)
            if len(self._seen) > self._most:
                self._seen.popitem(last=False)

    def known(self, path: str) -> bool:
        return path in self._seen

    def listed(self, path: str) -> bool:
        return self._seen.get(path, False)

    def forget(self, path: str) -> None:
        with self._lock:
            self._seen.pop(path, None)


class Shown:
    """ETags of objects that went up in parts, by key, as listings showed them; the oldest are forgotten."""

    def __init__(self, most: int = _SHOWN) -> None:
        self._most = most
        self._etags: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, key: str, etag: str) -> None:
        with self._lock:
            self._etags[key] = etag
            if len(self._etags) > self._most:
                self._etags.popitem(last=False)

    def get(self, key: str) -> str | None:
        return self._etags.get(key)


def open_store(endpoint: Endpoint, prompts: Prompts) -> Store:
    """The client for an endpoint; sends nothing. Raises LoginRefused where a secret is not to be had."""
    settings = Settings.of(endpoint.options)
    access_key, secret_key, token = _login(endpoint, prompts)
    problem: TuiSyncError | None = None
    try:
        client, credentials = _client(settings, access_key, secret_key, token)
    except Exception as error:  # noqa: BLE001 - botocore's errors have no common base of their own
        problem = faults.translated(error, "open", "", endpoint.host)
    if problem is not None:
        raise problem
    account = (settings.endpoint_url, settings.aws_profile, settings.anonymous, access_key, token)
    return Store(endpoint, settings, client, credentials, account)


def _login(endpoint: Endpoint, prompts: Prompts) -> tuple[str | None, str | None, str | None]:
    values: dict[str, str | None] = {}
    asked = endpoint.options.get("ask")
    for name in ("access_key", "secret_key", "session_token"):
        resolve = endpoint.secrets.get(name)
        if resolve is not None:
            values[name] = resolve()
        elif isinstance(asked, tuple) and name in asked:
            values[name] = prompts.secret(endpoint.url, name.replace("_", " ").capitalize())
            if not values[name]:
                raise LoginRefused(f"no {name} was given for {printable(endpoint.url)}")
    access_key, secret_key = values.get("access_key"), values.get("secret_key")
    if (access_key is None) is not (secret_key is None):
        lacking = "access_key" if access_key is None else "secret_key"
        raise LoginRefused(
            f"{lacking} is missing for {printable(endpoint.url)}: give both keys, or neither to use "
            "the AWS tools' login"
        )
    return access_key, secret_key, values.get("session_token")


def _client(
    settings: Settings, access_key: str | None, secret_key: str | None, token: str | None
) -> tuple[Any, Any]:
    """The client, and the credentials that it signs with: None where it does not, or finds none."""
    style = settings.addressing
    if style == "auto" and settings.endpoint_url:
        # Servers other than Amazon's seldom have a host name for each bucket.
        style = "path"
    config = Config(
        signature_version=UNSIGNED if settings.anonymous else None,
        s3={"addressing_style": style},
        connect_timeout=min(settings.timeout, _CONNECT_S),
        read_timeout=settings.timeout,
        retries={"mode": "standard", "total_max_attempts": settings.attempts},
        max_pool_connections=_THREADS,
        # Checksums are made and checked here, where it is known what they are good for.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
        user_agent_extra="tui-sync",
    )
    # A session is not for several threads at once, and making one takes a while.
    with _session_lock:
        session = _sessions.get(settings.aws_profile)
        if session is None:
            session = _sessions[settings.aws_profile] = Session(profile_name=settings.aws_profile)
        client = session.client(
            "s3",
            endpoint_url=settings.endpoint_url,
            region_name=settings.region or session.region_name or "us-east-1",
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            aws_session_token=token,
            verify=(settings.ca_bundle or None) if settings.verify_tls else False,
            config=config,
        )
        if settings.anonymous:
            return client, None
        if access_key is not None:
            return client, Credentials(access_key, secret_key, token)
        return client, session.get_credentials()
