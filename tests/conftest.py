"""Fixtures for every test: a real sshd and a real S3 server, kept for the whole run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support import s3
from tests.support.sshd import Sshd, sshd_missing
from tui_sync.demo.s3_server import S3Server, s3_missing


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores: half of the time tests wait for servers and processes."""
    return 2 * (os.cpu_count() or 1)


@pytest.fixture(scope="session")
def require_sshd() -> None:
    """Skip where no sshd is installed, or fail where TUI_SYNC_REQUIRE_SSHD=1 says there has to be one."""
    reason = sshd_missing()
    if reason is None:
        return
    if os.environ.get("TUI_SYNC_REQUIRE_SSHD") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def sshd(require_sshd: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server that all tests share: log in with its ``identity_file``, trust it by its ``known_hosts``."""
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="session")
def require_s3() -> None:
    """Skip where no S3 server can be started, or fail where TUI_SYNC_REQUIRE_S3=1 asks for one."""
    reason = s3_missing()
    if reason is None:
        return
    if os.environ.get("TUI_SYNC_REQUIRE_S3") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def s3_server(require_s3: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that all tests share, each with buckets of its own."""
    server = s3.start(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture
def bucket(s3_server: S3Server) -> s3.Bucket:
    return s3.Bucket(s3_server)
