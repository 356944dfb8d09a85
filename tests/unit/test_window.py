"""How much of one file is under way."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import cast

import pytest

from tui_sync.connectors.sftp.pool import SessionPool
from tui_sync.connectors.sftp.session import Reply
from tui_sync.connectors.sftp.window import MOST, Window

MIB = 1 << 20


class Pool:
    leases = 1
    losses = 0

    def __init__(self, rtt_s: float) -> None:
        self.rtt_s = rtt_s
        self.carried = 0

    def carry(self, count: int) -> None:
        self.carried += count


def grown(rtt_s: float, carried: int, took_s: float = 0.0) -> int:
    """The window once that much was carried, MiB by MiB."""
    window = Window(cast(SessionPool, Pool(rtt_s)))
    for _ in range(carried // MIB):
        window.acknowledged(MIB, cast(Reply, SimpleNamespace(sent_at=time.monotonic() - took_s)))
    return window.size


@pytest.mark.parametrize(("carried", "size"), [(0, 1), (8, 1), (32, 2), (64, 4), (500, 4)])
def test_near_servers_get_much_only_once_much_was_carried(carried: int, size: int) -> None:
    assert grown(0.0001, carried * MIB) == size * MIB


def test_far_servers_get_much_at_once() -> None:
    assert grown(0.05, 4 * MIB) == MOST


def test_where_replies_take_long_less_is_under_way() -> None:
    assert grown(0.05, 4 * MIB, took_s=6) < MIB
