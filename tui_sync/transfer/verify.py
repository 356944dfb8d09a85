"""How far a staged file is checked before it is published."""

from __future__ import annotations

from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Features, Reader
from tui_sync.connectors.digest import ALGORITHM, digest_by_reading
from tui_sync.errors import VerifyFailed
from tui_sync.model import Verify


def needs_digest(wanted: Verify) -> bool:
    """Whether the bytes have to be hashed in flight for this level."""
    return wanted in (Verify.CHECKSUM, Verify.READBACK)


def level(wish: Verify, target: Features) -> Verify:
    """The level to verify at: ``auto`` takes the strongest that costs no further transfer; ``checksum``
    becomes ``readback``, which is stronger, where the target computes no digest."""
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


def check(
    reader: Reader,
    path: str,
    *,
    wanted: Verify,
    digest: str | None,
    cancel: CancelToken,
) -> Verify:
    """Check the content at ``path`` on the target against the digest of the bytes sent (None: none was
    taken) and return the level reached. The caller has compared the sizes. Raises VerifyFailed."""
    if digest is None:
        return Verify.SIZE
    found = reader.checksum(path, ALGORITHM) if wanted is Verify.CHECKSUM else None
    reached = Verify.CHECKSUM
    if found is None:
        found = digest_by_reading(reader, path, cancel)
        reached = Verify.READBACK
    if found.lower() != digest:
        raise VerifyFailed("the target holds other bytes than were sent")
    return reached
