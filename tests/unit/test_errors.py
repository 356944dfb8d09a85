"""The errors and their exit codes."""

from __future__ import annotations

import re

import pytest

from tui_sync import errors
from tui_sync.errors import HostKeyError, TuiSyncError

ALL = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and value is not errors.ClassVar
}
DRAWN = dict(re.findall(r"([A-Z]\w+) *(\d*)", (errors.__doc__ or "").split("::")[1].split("A message")[0]))


def test_the_drawing_shows_every_error() -> None:
    assert set(DRAWN) == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_the_drawing_is_true(name: str) -> None:
    assert issubclass(ALL[name], TuiSyncError)
    assert DRAWN[name] in ("", str(ALL[name].exit_code))


@pytest.mark.parametrize("name", ALL)
def test_exit_codes_are_the_documented_ones(name: str) -> None:
    assert ALL[name].exit_code in {1, 2, 3, 7, 24, 25, 130}


def test_each_error_has_a_kind_of_its_own() -> None:
    kinds = [value.kind for value in ALL.values()]
    assert len(set(kinds)) == len(kinds)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", kind) for kind in kinds)


def test_what_may_be_tried_again() -> None:
    assert {name for name, value in ALL.items() if value.retryable} == {
        "ConnectError",
        "ConnectionLost",
        "TimedOut",
        "VerifyFailed",
    }


def test_a_host_key_error_names_the_key() -> None:
    error = HostKeyError("refused", host="[h]:22", key_type="ssh-ed25519", fingerprint="SHA256:x")
    assert (str(error), error.host, error.key_type, error.fingerprint) == (
        "refused",
        "[h]:22",
        "ssh-ed25519",
        "SHA256:x",
    )
