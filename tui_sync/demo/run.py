"""Runs the demo: servers, trees and profile in a temporary folder, then the app or batch mode on them."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType

from tui_sync.batch.prompts import RefusingPrompts
from tui_sync.connectors.base import Endpoint
from tui_sync.demo.pair import EXCLUDE, make_pair
from tui_sync.demo.servers import EmbeddedServer
from tui_sync.errors import NoSpace, TuiSyncError, UsageError
from tui_sync.model import DeleteTo, Mode, SyncOptions
from tui_sync.names import printable
from tui_sync.profiles import Profile
from tui_sync.session import Session

# Room for what is not the large file, and for the ledger.
_SPARE = 50 * 1024 * 1024


def run_demo(
    *,
    size: int,
    headless: bool,
    keep: bool = False,
    conflict: bool = False,
    s3: bool = False,
    dry_run: bool = False,
    as_json: bool = False,
    quiet: bool = False,
) -> int:
    """Set up, run the app or batch mode, clean up, and return the exit code. Raises TuiSyncError.

    ``s3``: the source is a bucket of an embedded S3 server.
    """
    with ExitStack() as stack:
        if s3:
            _need_s3()
        stack.enter_context(_terminated_like_interrupted())
        folder = stack.enter_context(_folder(keep))
        source, target = folder / "source", folder / "target"
        source.mkdir()
        target.mkdir()
        _need_space(folder, size)
        _say(f"making sample data in {printable(str(folder))}", quiet)
        make_pair(source, target, size=size, conflict=conflict)
        servers = [stack.enter_context(EmbeddedServer(target, user="target"))]
        if not s3:
            servers.append(stack.enter_context(EmbeddedServer(source, user="source")))
        known_hosts = folder / "known_hosts"
        known_hosts.write_text("".join(f"{server.host_key_line}\n" for server in servers), encoding="ascii")
        profile = Profile(
            name="demo",
            file=None,
            source=_bucket(stack, folder, source, quiet) if s3 else _endpoint(servers[1], known_hosts),
            target=_endpoint(servers[0], known_hosts),
            options=SyncOptions(mode=Mode.MIRROR, delete=DeleteTo.TRASH, exclude=EXCLUDE),
        )
        state = folder / "state"
        if headless:
            from tui_sync.batch import BatchOptions, run_batch

            options = BatchOptions(dry_run=dry_run, as_json=as_json, quiet=quiet, state_dir=state)
            return run_batch(profile, options)
        from tui_sync.tui.app import run_app

        return run_app(profile, state_dir=state)


def _endpoint(server: EmbeddedServer, known_hosts: Path) -> Endpoint:
    # The host key comes from the server object itself, not over the network: nothing is trusted blindly.
    return Endpoint(
        url=server.url("/"),
        scheme="sftp",
        path="/",
        host=server.host,
        port=server.port,
        user=server.user,
        options={"known_hosts": str(known_hosts), "ssh_config": "none"},
        secrets={"password": lambda: server.password},
    )


def _need_s3() -> None:
    from tui_sync.demo.s3_server import s3_missing

    if reason := s3_missing():
        raise UsageError(f"the demo with S3 cannot start: {reason}")


def _bucket(stack: ExitStack, folder: Path, source: Path, quiet: bool) -> Endpoint:
    """A bucket that holds what ``source`` holds, put there by the program itself."""
    from tui_sync.demo.s3_server import S3Server

    _say("starting an S3 server and filling a bucket", quiet)
    try:
        server = stack.enter_context(S3Server(folder / "s3"))
    except OSError as error:
        raise TuiSyncError(printable(str(error))) from None
    login = server.accounts[0]
    server.client().create_bucket(Bucket="demo")
    bucket = Endpoint(
        url="s3://demo/",
        scheme="s3",
        path="/",
        host="demo",
        options={"endpoint_url": server.endpoint_url, "region": "us-east-1"},
        secrets={"access_key": lambda: login.access_key, "secret_key": lambda: login.secret_key},
    )
    here = Endpoint(url=source.as_uri(), scheme="file", path=str(source))
    filling = Session(
        Profile(name="fill", file=None, source=here, target=bucket, options=SyncOptions()),
        prompts=RefusingPrompts(),
        state_dir=folder / "state",
    )
    with closing(filling):
        # A name that is not UTF-8 stays behind: no key can be that.
        filling.start(filling.make_plan()).wait()
    shutil.rmtree(source)
    return bucket


@contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tui-sync-demo-"))
    try:
        yield folder
    finally:
        if keep:
            _say(f"kept: {folder}", False)
        else:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the stack as ctrl-c does, so that the temporary folder goes."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _need_space(folder: Path, size: int) -> None:
    needed, free = 2 * size + _SPARE, shutil.disk_usage(folder).free
    if needed > free:
        raise NoSpace(
            f"the demo needs {needed:,} bytes and {printable(str(folder.parent))} has {free:,} free: "
            "use a smaller --size, or set TMPDIR to another folder"
        )


def _say(sentence: str, quiet: bool) -> None:
    if not quiet:
        sys.stderr.write(f"{sentence}\n")
