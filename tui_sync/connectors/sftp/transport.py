"""What is needed from SSH: byte streams to a subsystem or a command, however they are brought about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tui_sync.connectors.base import Buffer


class ByteChannel(Protocol):
    """A reliable two-way byte stream. One thread may receive while others send."""

    def send(self, buffers: Sequence[Buffer], timeout: float) -> None:
        """Send all the buffers, one after the other, whole. Raises TimedOut where the peer took nothing for
        ``timeout`` seconds, ConnectionLost where the stream ended. After an error the stream is unusable."""

    def receive(self, limit: int, timeout: float) -> Buffer:
        """At least one and at most ``limit`` bytes. Raises TimedOut, or ConnectionLost at the end."""

    def close(self) -> None:
        """End the stream at once; blocked calls in other threads raise ConnectionLost. Never raises."""


class SshTransport(Protocol):
    """One authenticated SSH login, over which several channels run."""

    @property
    def server(self) -> str:
        """The address that was connected to, ``ADDRESS:PORT``, or as the login has it where the way there
        leads through something else. The same for all who log in there."""

    def open_sftp(self) -> ByteChannel:
        """A new channel to the SFTP subsystem. Raises ConnectionLost, or NotSupported where the server
        refuses a further session."""

    def open_command(self, command: str) -> ByteChannel:
        """A new channel to a command that the server gives to the login's shell, and what it says on stdout.
        Raises as ``open_sftp`` does."""

    @property
    def alive(self) -> bool: ...

    def close(self) -> None:
        """End the login and all its channels. Never raises."""
