"""Which channels a login gets, and how many."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.server import LyingServer
from tui_sync.connectors.sftp.pool import SessionPool
from tui_sync.connectors.sftp.session import SftpSession
from tui_sync.errors import NotSupported, StorageError, TimedOut


def test_channels_opened_from_two_sides_are_no_more_than_the_cap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = SessionPool(LyingServer(tmp_path / "disk")._dial, channels=3)
    taken = [pool.acquire()]
    transport = pool._transport
    assert transport is not None
    plain = pool._open

    def open_slowly() -> SftpSession:
        """Meanwhile all that are allowed have been opened in the background."""
        monkeypatch.setattr(pool, "_open", plain)
        for _ in range(3):
            pool._open_one(transport)
        return plain()

    monkeypatch.setattr(pool, "_open", open_slowly)
    taken += [pool.acquire() for _ in range(5)]
    assert pool.channels == 3
    assert pool.leases == 6
    for session in taken:
        pool.release(session)
    pool.close()


def test_a_login_that_grants_no_session_any_more_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server with MaxSessions 1 counts one that broke off until it has noticed."""
    server = LyingServer(tmp_path / "disk")
    pool = SessionPool(server._dial)
    first = pool.acquire()
    pool.release(first)

    def refuse() -> None:
        raise NotSupported("the server refuses a further session")

    monkeypatch.setattr(pool._transport, "open_sftp", refuse)
    second = pool.acquire()
    assert second is first
    third = pool.acquire()
    assert third is first, "refused while there is another one"
    first.close()
    assert pool.acquire().alive
    assert server.connections == 2
    pool.close()


@pytest.mark.parametrize("kind", [NotSupported, TimedOut])
def test_a_channel_that_is_not_to_be_had_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[StorageError]
) -> None:
    """On a slow line that others keep busy it may take too long to open one more."""
    pool = SessionPool(LyingServer(tmp_path / "disk")._dial)
    first = pool.acquire()
    tried = []

    def fail() -> None:
        tried.append(kind)
        raise kind("not now")

    monkeypatch.setattr(pool._transport, "open_sftp", fail)
    assert [pool.acquire() for _ in range(3)] == [first] * 3
    assert len(tried) == 1
    first.close()
    assert (pool.leases, pool.channels) == (4, 0)
    pool.close()
