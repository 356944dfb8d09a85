"""What comes of a run afterwards: receipts with names made to harm, and undone deletes that leave nothing."""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tui_sync import cli
from tui_sync.ledger.store import pair_ledgers

NAMES = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(1)",
    "\t=1",
    "\uff1d1",
    "<img src=x>",
    '"><script>',
    "a,b",
    "new\nline",
    "\u202ex",
]


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A source with these names and a target that is not there yet; a home of the test's own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    source = tmp_path / "source"
    (source / "a" / "b").mkdir(parents=True)
    for name in NAMES:
        (source / name).write_text(name)
    (source / "a" / "kept").write_text("1")
    (source / "a" / "b" / "deep").write_text("2")
    return source, tmp_path / "target"


def sync(pair: tuple[Path, Path], *options: str) -> int:
    return cli.main(["--batch", "-q", "--mode", "mirror", *options, *map(str, pair)])


def exported(form: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert cli.main(["runs", "export", "last", "--format", form]) == 0
    return capsys.readouterr().out


def test_no_cell_of_a_csv_is_a_formula(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert sync(pair) == 0
    rows = list(csv.DictReader(io.StringIO(exported("csv", capsys))))
    paths = {row["path"] for row in rows}
    assert {
        "./=1+1",
        "./+1",
        "./-1",
        "./@SUM(1)",
        "\\t=1",
        "./\uff1d1",
        "a,b",
        "new\\nline",
        "\\u202ex",
    } <= paths
    assert not [
        cell for row in rows for cell in row.values() if cell[:1] in set("=+-@\t\r\uff1d\uff0b\uff0d\uff20")
    ]


def test_no_name_is_markup(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert sync(pair) == 0
    tags: set[str] = set()

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            tags.add(tag)

    page = exported("html", capsys)
    Tags().feed(page)
    assert "td" in tags
    assert not {"img", "script"} & tags
    assert "\u202e" not in page


def test_json_has_every_name_as_it_is(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert sync(pair) == 0
    assert set(NAMES) <= {item["path"] for item in json.loads(exported("json", capsys))["items"]}


def test_an_undo_leaves_no_empty_folders_in_the_trash(
    pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = pair
    assert sync(pair) == 0
    (source / "a" / "b" / "deep").unlink()
    (source / "a" / "kept").unlink()
    assert sync(pair) == 0
    assert (target / ".tui-sync-trash").is_dir()
    assert cli.main(["runs", "undo", *map(str, pair)]) == 0
    assert (target / "a" / "b" / "deep").read_text() == "2"
    assert not (target / ".tui-sync-trash").exists()
    capsys.readouterr()
    assert cli.main(["runs", "undo", *map(str, pair)]) == 0
    assert capsys.readouterr().out == "0 brought back, 0 left in the trash\n"
    (target / "a" / "kept").unlink()
    assert cli.main(["runs", "undo", *map(str, pair)]) == 23
    assert capsys.readouterr().out == "0 brought back, 0 left in the trash, 1 not there any more\n"


def test_an_undo_replaces_nothing(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    source, target = pair
    assert sync(pair) == 0
    (source / "a" / "kept").unlink()
    assert sync(pair) == 0
    (target / "a" / "kept").write_text("new")
    capsys.readouterr()
    assert cli.main(["runs", "undo", *map(str, pair)]) == 24
    assert capsys.readouterr().out == "0 brought back, 1 left in the trash\n"
    assert (target / "a" / "kept").read_text() == "new"
    assert [file.read_text() for file in (target / ".tui-sync-trash").rglob("kept")] == ["1"]


def test_asking_to_undo_a_pair_that_never_ran_makes_no_ledger(pair: tuple[Path, Path]) -> None:
    assert cli.main(["runs", "undo", *map(str, pair)]) == 3
    assert pair_ledgers() == []


@pytest.mark.parametrize("name", ["", "x" * 300])
def test_what_cannot_be_a_metrics_file_is_refused_before_anything_is_done(
    pair: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    assert sync(pair, "--metrics-file", str(tmp_path / name)) == 2
    assert not pair[1].exists()
