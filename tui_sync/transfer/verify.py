"""How far a staged file is checked before it is published."""

from __future__ import annotations

from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Features, Reader
from tui_sync.connectors.digest import ALGORITHM, digest_by_reading
from tui_sync.errors import VerifyFailed
from tui_sync.model import Entry, Verify


def level(wish: Verify, target: Features) -> Verify:
    """The level to verify at: ``auto`` takes the strongest that costs no further transfer; ``checksum``
    becomes ``readback``, which is stronger, where the target computes no digest."""
    own = ALGORITHM in target.checksums
    if wish is Verify.AUTO:
        return Verify.CHECKSUM if own else Verify.SIZE
    if wish is Verify.CHECKSUM and not own:
        return Verify.READBACK
    return wish


def check(
    reader: Reader,
    staged: Entry,
    *,
    wanted: Verify,
    size: int,
    digest: str | None,
    cancel: CancelToken,
) -> Verify:
    """Check the file at ``staged.path`` against what was sent and return the level reached.

    ``digest`` is that of the bytes sent, needed above ``size``. Raises VerifyFailed where they differ.
    """
    if staged.size != size:
        raise VerifyFailed(f"{size} bytes were sent but the target holds {staged.size}")
    if wanted in (Verify.NONE, Verify.SIZE) or digest is None:
        return Verify.SIZE
    found = reader.checksum(staged.path, ALGORITHM) if wanted is Verify.CHECKSUM else None
    reached = Verify.CHECKSUM
    if found is None:
        found = digest_by_reading(reader, staged.path, cancel)
        reached = Verify.READBACK
    if found.lower() != digest:
        raise VerifyFailed("the target holds other bytes than were sent")
    return reached
