"""An S3 server on loopback: OpenStack Swift with its s3api, in one process of its own, without root.

Run as a program it is that process. It is told what to serve in a line of JSON on its standard input,
answers with its port, and ends when that input does: with whoever started it, however they end.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

_HOST = "127.0.0.1"
_START_S = 30.0
_STOP_S = 5.0
_BACKENDS = ("account", "container", "object")
_PIPELINE = (
    "catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth copy slo dlo proxy-server"
)
_PLAIN = ("catch_errors", "gatekeeper", "healthcheck", "listing_formats", "bulk", "copy", "dlo")


def s3_missing() -> str | None:
    """Why no S3 server can be started here; None where one can."""
    for module in ("swift", "boto3"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed (pip install 'tui-sync[demo]')"
    if not hasattr(os, "setxattr"):
        return "Swift needs extended attributes, which this system does not have"
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.setxattr(folder, "user.swift", b"1")
        except OSError:
            return f"Swift needs extended attributes, which the file system of {folder} does not have"
    return None


@dataclass(frozen=True, slots=True)
class Account:
    """A login. One that is no ``admin`` may use nothing until a bucket's rules let it."""

    access_key: str
    secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    admin: bool = True


class S3Server:
    """Serves ``folder`` between ``start`` and ``stop``; what is stored there is served again the next time.

    Access keys have the form ``account:user``. ``smallest_part`` is the least size of a part but the last,
    ``longest_page`` the number of keys in one answer of a listing.
    """

    def __init__(
        self,
        folder: Path,
        accounts: Iterable[Account] = (),
        *,
        smallest_part: int = 5 << 20,
        longest_page: int = 1_000,
    ) -> None:
        self.folder = folder
        self.accounts = tuple(accounts) or (Account("demo:demo"),)
        self.port = 0
        self._limits = {"smallest_part": smallest_part, "longest_page": longest_page}
        self._process: subprocess.Popen[str] | None = None
        self._clients: dict[tuple[str, str], Any] = {}

    @property
    def endpoint_url(self) -> str:
        return f"http://{_HOST}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def client(self, account: Account | None = None) -> Any:
        """A boto3 client of an account, by default the first one. It is made once: that takes long."""
        from boto3.session import Session
        from botocore.config import Config

        login = account or self.accounts[0]
        known = self._clients.get((self.endpoint_url, login.access_key))
        if known is None:
            known = self._clients[self.endpoint_url, login.access_key] = Session().client(
                "s3",
                endpoint_url=self.endpoint_url,
                region_name="us-east-1",
                aws_access_key_id=login.access_key,
                aws_secret_access_key=login.secret_key,
                config=Config(s3={"addressing_style": "path"}, retries={"mode": "standard"}),
            )
        return known

    def start(self) -> Self:
        """Serve; returns once requests are answered. Raises OSError where it does not start."""
        if self._process is not None:
            raise RuntimeError("the server has been started already")
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "server.log"
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                # -P: what lies beside this file must not stand in for modules of other names.
                [sys.executable, "-P", "-W", "ignore", __file__, str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        wanted = {
            "accounts": [asdict(account) for account in self.accounts],
            "port": self.port,
            **self._limits,
        }
        try:
            self._process.stdin.write(json.dumps(wanted) + "\n")
            self._process.stdin.flush()
            told = _line_within(self._process.stdout, _START_S)
        except OSError:
            told = ""
        if not told.strip().isdecimal():
            self.stop()
            raise OSError(f"the S3 server did not start: {log.read_text(errors='replace')[-2000:]}")
        self.port = int(told)
        return self

    def stop(self) -> None:
        """End the server. May be called twice, and before ``start``; ``start`` may follow."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _line_within(stream: IO[str], seconds: float) -> str:
    ready, _, _ = select.select([stream], [], [], seconds)
    return stream.readline() if ready else ""


class Cache:
    """What Swift wants of memcached, in a dictionary: values and when they expire (0: never)."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[Any, float]] = {}

    def get(self, key: str, raise_on_error: bool = False) -> Any:
        value, expires = self._values.get(key, (None, 0.0))
        if expires and expires < time.monotonic():
            del self._values[key]
            return None
        return value

    def set(self, key: str, value: Any, time: float = 0, **_more: Any) -> None:
        self._values[key] = (value, _expiry(time))

    def incr(self, key: str, delta: int = 1, time: float = 0, **_more: Any) -> int:
        value = int(self.get(key) or 0) + delta
        self.set(key, value, time=time)
        return value

    def decr(self, key: str, delta: int = 1, time: float = 0, **_more: Any) -> int:
        return self.incr(key, -delta, time=time)

    def delete(self, key: str, server_key: str | None = None) -> None:
        self._values.pop(key, None)

    def set_multi(self, values: Mapping[str, Any], server_key: str, time: float = 0, **_more: Any) -> None:
        for key, value in values.items():
            self.set(key, value, time=time)

    def get_multi(self, keys: Iterable[str], server_key: str) -> list[Any]:
        return [self.get(key) for key in keys]


def _expiry(seconds: float) -> float:
    return time.monotonic() + seconds if seconds else 0.0


def cache_filter(_global: Mapping[str, str], **_local: str) -> Callable[[Any], Any]:
    """For Swift's pipeline: puts one Cache into every request's environment."""
    cache = Cache()

    def wrap(app: Any) -> Any:
        def with_cache(environ: dict[str, Any], start_response: Any) -> Any:
            environ["swift.cache"] = cache
            return app(environ, start_response)

        return with_cache

    return wrap


def _write(path: Path, *sections: str) -> None:
    path.write_text("\n".join(sections) + "\n", encoding="utf-8")
    path.chmod(0o600)


def _section(title: str, /, **values: object) -> str:
    return "\n".join([f"[{title}]", *(f"{key} = {value}" for key, value in values.items())])


def _configure(folder: Path, wanted: Mapping[str, Any], ports: Mapping[str, int]) -> None:
    """Write what Swift reads: rings of one device each, and one file for each server."""
    from swift.common.ring import RingBuilder

    (folder / "srv" / "d1").mkdir(parents=True, exist_ok=True)
    _write(
        folder / "swift.conf",
        _section("swift-hash", swift_hash_path_prefix="demo", swift_hash_path_suffix="demo"),
        _section("storage-policy:0", name="one", default="yes"),
        # Keys that are not ASCII become three times as long in some of Swift's own headers.
        _section("swift-constraints", max_header_size=32768),
    )
    common = {"bind_ip": _HOST, "swift_dir": folder, "log_level": "ERROR", "log_address": "/nonexistent"}
    for name in _BACKENDS:
        ring = RingBuilder(2, 1, 1)
        where = {"ip": _HOST, "port": ports[name]}
        ring.add_dev(
            {"region": 1, "zone": 1, "weight": 1, "device": "d1", **where}
            | {f"replication_{key}": value for key, value in where.items()}
        )
        ring.rebalance()
        ring.get_ring().save(str(folder / f"{name}.ring.gz"))
        chunks = {"disk_chunk_size": 1 << 20, "network_chunk_size": 1 << 20}
        _write(
            folder / f"{name}.conf",
            _section(
                "DEFAULT",
                **common,
                bind_port=ports[name],
                devices=folder / "srv",
                mount_check="false",
                fallocate_reserve=0,
                disable_fallocate="true",
            ),
            _section("pipeline:main", pipeline=f"{name}-server"),
            _section(f"app:{name}-server", use=f"egg:swift#{name}", **(chunks if name == "object" else {})),
        )
    logins: dict[str, str] = {
        f"user_{account['access_key'].replace(':', '_', 1)}": account["secret_key"]
        + (" .admin" if account["admin"] else "")
        for account in wanted["accounts"]
    }
    _write(
        folder / "proxy.conf",
        _section("DEFAULT", **common, bind_port=ports["proxy"], client_timeout=60),
        _section("pipeline:main", pipeline=_PIPELINE),
        _section(
            "app:proxy-server",
            use="egg:swift#proxy",
            account_autocreate="true",
            object_chunk_size=1 << 20,
            client_chunk_size=1 << 20,
            recheck_account_existence=0,
        ),
        *(_section(f"filter:{name}", use=f"egg:swift#{name}") for name in _PLAIN),
        _section("filter:cache", **{"paste.filter_factory": f"{__name__}:cache_filter"}),
        _section("filter:tempauth", use="egg:swift#tempauth", **logins),
        _section(
            "filter:slo",
            use="egg:swift#slo",
            max_manifest_segments=10_000,
            max_manifest_size=8 << 20,
            concurrency=4,
        ),
        _section(
            "filter:s3api",
            use="egg:swift#s3api",
            location="us-east-1",
            max_upload_part_num=10_000,
            min_segment_size=wanted["smallest_part"],
            max_bucket_listing=wanted["longest_page"],
            multi_delete_concurrency=8,
        ),
    )


def _serve(folder: Path, wanted: Mapping[str, Any]) -> None:
    """In the server's own process: never returns."""
    import eventlet
    import eventlet.wsgi

    # Sample data need not survive a power failure, and most of the time would go into making sure.
    os.fsync = os.fdatasync = lambda fd: None
    eventlet.monkey_patch()
    from swift.common import utils, wsgi

    servers = (*_BACKENDS, "proxy")
    sockets = {
        name: eventlet.listen((_HOST, wanted["port"] if name == "proxy" else 0), backlog=1024)
        for name in servers
    }
    _configure(folder, wanted, {name: socket.getsockname()[1] for name, socket in sockets.items()})
    utils.SWIFT_CONF_FILE = str(folder / "swift.conf")
    for name, socket in sockets.items():
        path = str(folder / f"{name}.conf")
        _, _, log_name = wsgi._initrp(path, f"{name}-server")
        # As swift.common.wsgi.run_server does, which takes a whole process for each.
        eventlet.spawn(
            eventlet.wsgi.server,
            socket,
            wsgi.loadapp(path, global_conf={"log_name": log_name}),
            utils.NullLogger(),
            custom_pool=wsgi.RestrictedGreenPool(size=1024),
            protocol=wsgi.SwiftHttpProtocol,
            socket_timeout=60,
            capitalize_response_headers=False,
            url_length_limit=16_384,
        )
    sys.stdout.write(f"{sockets['proxy'].getsockname()[1]}\n")
    sys.stdout.flush()
    eventlet.hubs.trampoline(sys.stdin.fileno(), read=True)
    os._exit(0)


def _main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    # The port has to be the only thing on the standard output.
    _serve(Path(sys.argv[1]), json.loads(os.read(sys.stdin.fileno(), 65_536)))


if __name__ == "__main__":
    _main()
