"""Reading goes on after a lost connection."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tui_sync.cancel import CancelToken
from tui_sync.connectors.base import Listed, Listings
from tui_sync.errors import ConnectError, ConnectionLost, NotFound, TuiSyncError
from tui_sync.model import Kind
from tui_sync.transfer.retry import Retry
from tui_sync.transfer.steady import SteadyReader


class Cut:
    """Lists so many directories until the connection is lost, every time."""

    lists_together = 7

    def __init__(self, at_a_time: int, error: type[TuiSyncError] = ConnectionLost) -> None:
        self.at_a_time = at_a_time
        self.error = error
        self.calls: list[list[str]] = []

    def list_many(self, paths: Sequence[str]) -> Listings:
        self.calls.append(list(paths))
        for path in paths[: self.at_a_time]:
            yield path, NotFound("gone") if path == "c" else [Listed(path, Kind.FILE)]
        if len(paths) > self.at_a_time:
            raise self.error("cut")


def steady(reader: Cut, attempts: int = 2) -> SteadyReader:
    return SteadyReader(reader, Retry(attempts=attempts, first_pause_s=0.001), CancelToken())  # type: ignore[arg-type]


def test_only_those_that_are_left_are_listed_again() -> None:
    reader = Cut(2)
    found = dict(steady(reader).list_many("abcde"))
    assert list(found) == [*"abcde"]
    assert isinstance(found.pop("c"), NotFound)
    assert found == {path: [Listed(path, Kind.FILE)] for path in "abde"}
    assert reader.calls == [[*"abcde"], [*"cde"], ["e"]]


def test_a_line_on_which_nothing_comes_through_is_given_up() -> None:
    reader = Cut(0)
    with pytest.raises(ConnectionLost):
        list(steady(reader, attempts=3).list_many("ab"))
    assert len(reader.calls) == 3


def test_a_login_is_not_tried_again() -> None:
    reader = Cut(0, ConnectError)
    with pytest.raises(ConnectError):
        list(steady(reader).list_many("ab"))
    assert len(reader.calls) == 1


def test_only_who_lists_several_is_asked_for_several() -> None:
    assert steady(Cut(1)).lists_together == 7
    assert SteadyReader(object(), Retry(), CancelToken()).lists_together == 1  # type: ignore[arg-type]
