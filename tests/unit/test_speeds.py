"""How fast a run was: sampled while it runs, kept with it, drawn in its page."""

from __future__ import annotations

import sqlite3
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.unit.test_receipts import exported
from tui_sync import cli
from tui_sync.ledger import schema
from tui_sync.ledger.store import open_ledger, pair_ledgers
from tui_sync.model import Summary, SyncOptions, Totals
from tui_sync.transfer.speeds import MOST_SAMPLES, Speeds


def test_a_run_of_any_length_has_few_samples_and_keeps_its_bytes() -> None:
    speeds = Speeds(lambda: 0)
    lasted = 0.0
    while lasted < 10_000:
        lasted += speeds.interval_s
        speeds.add(2000)
    assert MOST_SAMPLES // 2 <= len(speeds.samples) < MOST_SAMPLES
    assert len(speeds.samples) * speeds.interval_s == lasted
    speeds.samples[-2:] = [1000, 3000]
    while len(speeds.samples) != MOST_SAMPLES // 2:
        speeds.add(2000)
    assert sum(speeds.samples) == 2000 * len(speeds.samples)


def test_the_last_sample_is_taken_at_the_end() -> None:
    done = [0]
    speeds = Speeds(lambda: done[0])
    speeds.start()
    done[0] = 1 << 30
    speeds.stop()
    assert len(speeds.samples) == 1
    assert speeds.samples[0] > 0


def test_a_ledger_of_the_version_before_gets_what_it_lacks(tmp_path: Path) -> None:
    ledger = open_ledger("pair", source="a", target="b", state_dir=tmp_path)
    plan = ledger.new_plan("a", "b", SyncOptions())
    ledger.finish_plan(plan, Totals(), ())
    run = ledger.start_run(plan)
    ledger.finish_run(run, Summary())
    ledger.close()
    connection = sqlite3.connect(ledger.path)
    connection.executescript(
        "DROP TABLE speeds; ALTER TABLE outcomes DROP COLUMN error_kind; PRAGMA user_version = 1"
    )
    connection.close()
    ledger = open_ledger("pair", source="a", target="b", state_dir=tmp_path)
    assert ledger.speeds(run) == (1.0, [])
    ledger.record_speeds(run, 0.5, [1, 2, 3])
    assert ledger.speeds(run) == (0.5, [1, 2, 3])
    assert ledger.prune(0) == 1
    assert ledger.speeds(run) == (1.0, [])
    ledger.close()
    connection = sqlite3.connect(ledger.path)
    assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    connection.close()


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.points = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.points = self.points or dict(attrs).get("points") or ""


def test_the_page_of_a_run_draws_its_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(bytes(100_000))
    assert cli.main(["--batch", "-q", str(source), str(tmp_path / "target")]) == 0
    page = exported("html", capsys)
    tags = _Tags()
    tags.feed(page)
    assert tags.tags.count("svg") == 1
    assert len(tags.points.split()) >= 3
    assert not {"script", "link", "img", "iframe"} & set(tags.tags)
    (path,) = pair_ledgers()
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM speeds")
    connection.commit()
    connection.close()
    assert "<svg" not in exported("html", capsys)
