"""Connects to an SFTP server. What works on a session is loaded while ssh logs in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tui_sync.connectors.base import Endpoint, Prompts
from tui_sync.connectors.sftp import openssh_transport
from tui_sync.connectors.sftp.login import Login, login_of
from tui_sync.errors import ConnectError, ConnectionLost, StorageError, TimedOut

if TYPE_CHECKING:
    from tui_sync.connectors.sftp.connector import SftpConnector
    from tui_sync.connectors.sftp.transport import SshTransport


def connect(endpoint: Endpoint, prompts: Prompts) -> SftpConnector:
    """Log in and find the root, which need not exist as long as its parent does.

    Raises ConnectError and its kinds, also where a login has no SFTP to it, UsageError for a bad option, and
    NotFound where the root cannot be made either.
    """
    login = login_of(endpoint, prompts)
    dial, abort = _begun(endpoint, login)
    try:
        from tui_sync.connectors.sftp.connector import SftpConnector
        from tui_sync.connectors.sftp.pool import SessionPool
    except BaseException:
        abort()
        raise
    pool = SessionPool(dial, abort=abort)
    try:
        try:
            pool.release(pool.acquire())
        except (ConnectionLost, TimedOut):
            raise
        except StorageError as error:
            # An answer to the login, whatever it says: there is nothing yet to be stored or found.
            raise ConnectError(f"cannot use SFTP at {login.server}: {error}") from error
        return SftpConnector(endpoint, pool, login)
    except BaseException:
        pool.close()
        raise


def _begun(endpoint: Endpoint, login: Login) -> tuple[Callable[[], SshTransport], Callable[[], None]]:
    """Start to log in with ssh, or get ready to without: what makes a login, and what ends one under way."""
    if _by_ssh(endpoint, login):
        dialer = openssh_transport.Dialer(login)
        dialer.begin()
        return dialer.connect, dialer.abort
    # Slow to load.
    from tui_sync.connectors.sftp import paramiko_transport

    return partial(paramiko_transport.connect, login), lambda: None


def _by_ssh(endpoint: Endpoint, login: Login) -> bool:
    """Which transport it is; left to us it is ssh, unless a stored password can only be typed in there."""
    transport = endpoint.options.get("transport", "auto")
    if transport != "auto":
        return transport == "openssh"
    found = {"identity_file", "known_hosts", "ssh_config"} <= endpoint.options.keys()
    return (
        openssh_transport.installed()
        and not login.configured("password")
        and (found or openssh_transport.sees_the_same_home())
    )
