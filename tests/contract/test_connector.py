"""What every Connector promises about its end."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.contract.conftest import Place
from tests.contract.support import TAG, content
from tui_sync import names
from tui_sync.connectors.base import Connector, Reader, Upload, Writer
from tui_sync.errors import ConnectionLost

CALLS: dict[str, Callable[[Reader, Writer], object]] = {
    "list_dir": lambda reader, writer: reader.list_dir(""),
    "stat": lambda reader, writer: reader.stat("file"),
    "open": lambda reader, writer: reader.open("file"),
    "upload": lambda reader, writer: writer.upload(
        "x", temporary=names.temporary("x", TAG), size=1, mtime_ns=None, mode=None
    ),
    "make_dir": lambda reader, writer: writer.make_dir("x", mode=None),
    "set_attributes": lambda reader, writer: writer.set_attributes("file", mtime_ns=1, mode=None),
    "remove_file": lambda reader, writer: writer.remove_file("file"),
    "remove_dir": lambda reader, writer: writer.remove_dir("folder"),
    "rename": lambda reader, writer: writer.rename("file", "new"),
}


@pytest.mark.parametrize("name", CALLS)
def test_after_close_every_call_tells_that_the_connection_is_lost(
    place: Place, connector: Connector, name: str
) -> None:
    place.put("file", b"x")
    place.put("folder", None)
    reader, writer = connector.reader(), connector.writer()
    connector.close()
    connector.close()
    with pytest.raises(ConnectionLost):
        CALLS[name](reader, writer)
    assert place.children("") == {"file", "folder"}


@pytest.mark.parametrize("later_s", [0.0, 0.3])
def test_close_ends_reading_and_writing(place: Place, connector: Connector, later_s: float) -> None:
    """Even where everything has come meanwhile."""
    place.put("large", content(8_000_000))
    download = connector.reader().open("large")
    upload = connector.writer().upload(
        "new", temporary=names.temporary("new", TAG), size=None, mtime_ns=None, mode=None
    )
    blocks = download.blocks()
    next(blocks)
    time.sleep(later_s)
    connector.close()
    with pytest.raises(ConnectionLost):
        for _ in blocks:
            pass
    with pytest.raises(ConnectionLost):
        _write_on(upload)
    download.close()
    upload.abort()
    assert "new" not in place.children("")


def _write_on(upload: Upload) -> None:
    for number in range(1_000):
        upload.write(number * 65_536, bytes(65_536))
    upload.finish()


def test_one_connection_ends_without_the_other(place: Place, connector: Connector) -> None:
    other = place.connect()
    connector.close()
    assert other.reader().list_dir("") == []
    other.close()


def test_the_label_is_text(connector: Connector) -> None:
    assert connector.label
