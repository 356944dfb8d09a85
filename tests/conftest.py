"""Fixtures for every test: a real sshd, kept for the whole run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.sshd import Sshd, sshd_missing


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
