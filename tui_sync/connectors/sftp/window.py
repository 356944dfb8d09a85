"""How many bytes of one file may be under way."""

from __future__ import annotations

import time

from tui_sync.connectors.sftp.pool import SessionPool
from tui_sync.connectors.sftp.session import Reply

_LEAST = 512 << 10
_FIRST = 1 << 20
MOST = 4 << 20
# What a channel carries in a round trip, and a little to wait at its mouth.
_LANE = 2560 << 10
_ALL_FILES = 24 << 20
# Up to here nothing is won by much under way early, and it costs: OpenSSH copies all that waits in a buffer
# each time that buffer grows by another packet.
_NEAR_S = 0.002
_GENTLE_SHARE = 16
_QUICK_S = 1.0
_SLOW_S = 5.0
# Of a line that has been lost before: what is under way at the next cut has to be sent again.
_CAREFUL_LEAST = 128 << 10
_CAREFUL_SHARE = 10


class Window:
    """Grows while replies come quickly, and shrinks where they take seconds: on a slow line much under way
    only means waiting longer for every reply, until it looks like a dead one. All files share a bound.

    After a line was lost, no more than a tenth of what its successor has carried is under way.
    """

    __slots__ = ("_carried", "_near", "_pool", "_size", "lanes")

    def __init__(self, pool: SessionPool) -> None:
        self._pool = pool
        self._size = _FIRST
        self._carried = 0
        self._near = pool.rtt_s < _NEAR_S
        self.lanes = 1

    @property
    def size(self) -> int:
        """Bytes."""
        if not self._pool.losses:
            return self._size
        return min(self._size, max(_CAREFUL_LEAST, self._pool.carried // _CAREFUL_SHARE))

    def acknowledged(self, count: int, last: Reply) -> None:
        """``count`` bytes have been answered for, ``last`` being the newest of the replies."""
        self._pool.carry(count)
        self._carried += count
        took = time.monotonic() - last.sent_at
        if took < _QUICK_S:
            most = MOST if self.lanes == 1 else self.lanes * _LANE
            most = min(most, self.lanes * _ALL_FILES // max(self.lanes, self._pool.leases))
            if self._near:
                most = min(most, max(_FIRST, self._carried // _GENTLE_SHARE))
            self._size = max(_LEAST, min(2 * self._size, most))
        elif took > _SLOW_S:
            self._size = max(_LEAST, self._size // 2)
