"""Sources whose links are followed: what only shows without a walk before."""

from __future__ import annotations

from pathlib import Path

from tui_sync.connectors.following import FollowingReader
from tui_sync.connectors.local import LocalConnector


def test_a_path_deeper_than_python_recurses_is_read_without_a_walk(tmp_path: Path) -> None:
    """As where a saved plan is applied by another process."""
    path = "/".join(["d"] * 400)
    (tmp_path / path).mkdir(parents=True)
    (tmp_path / path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("d")
    reader = FollowingReader(LocalConnector("source", str(tmp_path)).reader(), [str(tmp_path)])
    below = f"link{path[1:]}/file"
    assert reader.stat(below).path == below
    with reader.open(f"{path}/file") as download:
        assert b"".join(map(bytes, download.blocks())) == b"content"
