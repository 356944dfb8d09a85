"""Every error the program raises on purpose, and the exit code each one ends in.

::

    TuiSyncError                 1
    ├── UsageError               2   wrong arguments
    │   └── ProfileError         2   a profile that cannot be read as one
    ├── ConnectError             7   no connection; retryable within a run
    │   ├── LoginRefused         7   wrong or missing credentials
    │   └── HostKeyError         7
    │       ├── UnknownHostKey   7   never seen, not trusted yet
    │       └── ChangedHostKey   7   differs from the one on record
    ├── StorageError             1   a request that a connector could not fulfil
    │   ├── NotFound             3
    │   ├── AlreadyExists
    │   ├── PermissionDenied
    │   ├── NoSpace
    │   ├── NotSupported             the storage has no such operation
    │   ├── ConnectionLost           retryable
    │   └── TimedOut                 retryable
    ├── UnsafeName               1   a remote name that must not be used
    ├── Drifted                 24   what is there is not what was planned for
    │   └── Vanished            24
    ├── VerifyFailed             1   what was written is not what was read; retryable
    ├── GuardRefused            25   a plan that must not run
    ├── PairLocked               1   another run of the same pair is under way
    ├── LedgerError              1
    └── Cancelled              130

A message is one sentence for a person. It may quote remote names only through ``names.printable`` and never
holds a secret. ``kind`` is a class's stable word, for programs and for what is kept of an error.
"""

from __future__ import annotations

from typing import ClassVar


class TuiSyncError(Exception):
    """Base of all errors raised on purpose."""

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "other"
    retryable: ClassVar[bool] = False


class UsageError(TuiSyncError):
    exit_code = 2
    kind = "usage"


class ProfileError(UsageError):
    """Names file, key and remedy."""

    kind = "profile"


class ConnectError(TuiSyncError):
    exit_code = 7
    kind = "connect"
    retryable = True


class LoginRefused(ConnectError):
    """The server answered and does not accept these credentials."""

    kind = "login-refused"
    retryable = False


class HostKeyError(ConnectError):
    """``host`` as in known_hosts; ``key_type`` and ``fingerprint`` (``SHA256:…``) of the offered key."""

    kind = "host-key"
    retryable = False

    def __init__(self, message: str, *, host: str, key_type: str, fingerprint: str) -> None:
        super().__init__(message)
        self.host = host
        self.key_type = key_type
        self.fingerprint = fingerprint


class UnknownHostKey(HostKeyError):
    """No key on record for this host."""

    kind = "unknown-host-key"


class ChangedHostKey(HostKeyError):
    """Another key is on record for this host."""

    kind = "changed-host-key"


class StorageError(TuiSyncError):
    """A connector's request failed; the item fails, the run goes on."""

    kind = "storage"


class NotFound(StorageError):
    exit_code = 3
    kind = "not-found"


class AlreadyExists(StorageError):
    kind = "already-exists"


class PermissionDenied(StorageError):
    kind = "permission-denied"


class NoSpace(StorageError):
    kind = "no-space"


class NotSupported(StorageError):
    kind = "not-supported"


class ConnectionLost(StorageError):
    kind = "connection-lost"
    retryable = True


class TimedOut(StorageError):
    kind = "timed-out"
    retryable = True


class UnsafeName(TuiSyncError):
    kind = "unsafe-name"


class Drifted(TuiSyncError):
    exit_code = 24
    kind = "drifted"


class Vanished(Drifted):
    kind = "vanished"


class VerifyFailed(TuiSyncError):
    kind = "verify-failed"
    retryable = True


class GuardRefused(TuiSyncError):
    exit_code = 25
    kind = "guard-refused"


class PairLocked(TuiSyncError):
    kind = "pair-locked"


class LedgerError(TuiSyncError):
    kind = "ledger"


class Cancelled(TuiSyncError):
    exit_code = 130
    kind = "cancelled"
