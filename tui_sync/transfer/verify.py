"""How far a staged file is checked before it is published."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Features, Reader
from tui_sync.connectors.digest import ALGORITHM, HashesFiles, digest_by_reading
from tui_sync.errors import ConnectionLost, StorageError, TimedOut, VerifyFailed
from tui_sync.model import Entry, Verify

# Of files up to this size many are hashed for one request.
SMALL = 128 << 10


def needs_digest(wanted: Verify) -> bool:
    """Whether the bytes have to be hashed in flight for this level."""
    return wanted in (Verify.CHECKSUM, Verify.READBACK)


def level(wish: Verify, target: Features) -> Verify:
    """The level to verify at, by what is known of a target without asking it: ``auto`` takes the strongest
    that costs no further transfer; ``checksum`` becomes ``readback``, which is stronger, where the target
    computes no digest."""
    if target.checks_uploads:
        # The storage checks the digest of what is sent, and shows nothing before it is published.
        return Verify.READBACK if wish is Verify.READBACK else Verify.SIZE
    own = ALGORITHM in target.checksums
    if wish is Verify.AUTO:
        return Verify.CHECKSUM if own else Verify.SIZE
    if wish is Verify.CHECKSUM and not own:
        return Verify.READBACK
    return wish


def with_storage(reached: Verify, target: Features) -> Verify:
    """The level a file has reached that was published by a storage that may have checked it too."""
    return Verify.CHECKSUM if target.checks_uploads and reached is Verify.SIZE else reached


class Verifier:
    """Verifies the staged files of a run as its user wishes, for all workers."""

    def __init__(self, wish: Verify, target: Reader, cancel: CancelToken) -> None:
        self._target = target
        self._cancel = cancel
        self._level = level(wish, target.features)
        asks = wish in (Verify.AUTO, Verify.CHECKSUM) and not (
            self._level is Verify.CHECKSUM or target.features.checks_uploads
        )
        # Where it has first to be found out whether the target computes digests.
        self._hasher = target if asks and isinstance(target, HashesFiles) else None
        self._prepared = False
        self.optional = wish is Verify.AUTO and self._hasher is not None
        """Whether the size alone will do where the target computes no digest after all."""

    def prepare(self, size: int) -> None:
        """Have the target asked what it can do, before the first file for which that matters waits for the
        answer; ``size`` is that of one to come. By one thread only."""
        hasher = self._hasher
        if hasher is not None and not self._prepared and self._asks(size):
            self._prepared = True
            threading.Thread(target=hasher.hashes, name="tui-sync-verify", daemon=True).start()

    def aim(self, size: int) -> Verify:
        """The level to try for a file of ``size`` bytes. May ask the target, the first time."""
        hasher = self._hasher
        if hasher is None or not self._asks(size) or not hasher.hashes():
            return self._level
        return Verify.CHECKSUM

    def _asks(self, size: int) -> bool:
        """Whether it has to be known of a file of that size if the target computes digests."""
        hasher = self._hasher
        return hasher is not None and (not self.optional or size <= SMALL or hasher.far)

    def check(self, staged: Entry, digest: str, aim: Verify) -> Verify:
        """Check the content of a staged file on the target against the digest of the bytes sent, and return
        the level reached. The caller has compared the sizes. Raises VerifyFailed."""
        found = self.own_digests([staged])[0] if aim is Verify.CHECKSUM else None
        if found is not None:
            _compare(found, digest)
            return Verify.CHECKSUM
        if aim is Verify.CHECKSUM and self.optional:
            return Verify.SIZE
        return self.read_back(staged.path, digest)

    def read_back(self, path: str, digest: str) -> Verify:
        """As ``check``, by reading the file at ``path``."""
        _compare(digest_by_reading(self._target, path, self._cancel), digest)
        return Verify.READBACK

    def own_digests(self, staged: Sequence[Entry]) -> list[str | None]:
        """What the target computes of each of these files, None where it does not."""
        if self._hasher is not None:
            return self._hasher.digests(staged)
        return [self._own_digest(entry) for entry in staged]

    def _own_digest(self, staged: Entry) -> str | None:
        try:
            return self._target.checksum(staged.path, ALGORITHM)
        except (ConnectionLost, TimedOut):
            raise
        except StorageError:
            return None


def _compare(found: str, sent: str) -> None:
    if found.lower() != sent:
        raise VerifyFailed("the target holds other bytes than were sent")
