"""What every connector promises of an upload that is suspended and taken up again."""

from __future__ import annotations

import pytest

from tests.contract.conftest import Place
from tests.contract.support import MTIME, TAG, content
from tui_sync import names
from tui_sync.connectors.base import Connector, Range, Upload
from tui_sync.connectors.ranges import Ranges
from tui_sync.errors import StorageError

STAGED = names.temporary("file", TAG)
DATA = content(3_000_000)
HALF = 1_500_000


def begin(connector: Connector) -> Upload:
    return connector.writer().upload("file", temporary=STAGED, size=len(DATA), mtime_ns=MTIME, mode=0o640)


def resume(connector: Connector, token: str, acknowledged: tuple[Range, ...] = ()) -> Upload:
    return connector.writer().resume(
        "file",
        temporary=STAGED,
        token=token,
        acknowledged=acknowledged,
        size=len(DATA),
        mtime_ns=MTIME,
        mode=0o640,
    )


def write_all(upload: Upload, start: int, stop: int) -> None:
    for offset in range(start, stop, 100_000):
        upload.write(offset, DATA[offset : min(offset + 100_000, stop)])


def test_a_suspended_upload_goes_on_where_it_was(place: Place, connector: Connector) -> None:
    place.put("file", b"old")
    first = begin(connector)
    assert first.held == ()
    write_all(first, 0, HALF)
    first.suspend()
    first.suspend()
    first.abort()
    assert place.read("file") == b"old"

    second = resume(connector, first.token, first.acknowledged)
    assert Ranges(second.held).common([(HALF, len(DATA))]) == ()
    assert Ranges(second.held).common(first.acknowledged) == first.acknowledged
    for start, stop in Ranges(second.held).missing(len(DATA)):
        write_all(second, start, stop)
    assert second.finish().size == len(DATA)
    assert second.acknowledged == ((0, len(DATA)),)
    entry = second.publish(replace=True)
    assert entry.size == len(DATA)
    if connector.reader().features.sets_mode:
        assert entry.mode == 0o640
    assert place.read("file") == DATA
    assert place.children("") == {"file"}


def test_a_hole_is_not_held(place: Place, connector: Connector) -> None:
    if not connector.reader().features.random_write:
        pytest.skip("blocks in order only")
    first = begin(connector)
    write_all(first, HALF, len(DATA))
    first.suspend()
    second = resume(connector, first.token, first.acknowledged)
    assert Ranges(second.held).common([(0, HALF)]) == ()
    for start, stop in Ranges(second.held).missing(len(DATA)):
        write_all(second, start, stop)
    second.finish()
    second.publish(replace=False)
    assert place.read("file") == DATA


def test_what_was_resumed_can_be_aborted(place: Place, connector: Connector) -> None:
    first = begin(connector)
    write_all(first, 0, HALF)
    first.suspend()
    resume(connector, first.token).abort()
    assert place.children("") == set()


def test_there_is_nothing_to_resume(place: Place, connector: Connector) -> None:
    token = begin(connector)
    token.abort()
    with pytest.raises(StorageError):
        resume(connector, token.token)
    assert place.children("") == set()


def test_a_symlink_is_not_resumed(place: Place, connector: Connector) -> None:
    if not connector.reader().features.symlinks:
        pytest.skip("no symlinks there")
    place.put("victim", b"precious")
    place.symlink(STAGED, "victim")
    with pytest.raises(StorageError):
        resume(connector, "")
    assert place.read("victim") == b"precious"


def test_a_new_upload_forgets_a_suspended_one(place: Place, connector: Connector) -> None:
    first = begin(connector)
    write_all(first, 0, HALF)
    first.suspend()
    second = connector.writer().upload("file", temporary=STAGED, size=3, mtime_ns=MTIME, mode=0o640)
    second.write(0, b"new")
    assert second.finish().size == 3
    second.publish(replace=False)
    assert place.read("file") == b"new"
    assert place.children("") == {"file"}


def test_everything_is_acknowledged_once_finished(connector: Connector) -> None:
    upload = begin(connector)
    write_all(upload, 0, len(DATA))
    upload.finish()
    assert upload.acknowledged == ((0, len(DATA)),)
    upload.abort()
