"""A plan saved, carried elsewhere, and run: as it was approved, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tui_sync import cli
from tui_sync.ledger import exchange

OLD = 1_600_000_000
AWKWARD = os.fsdecode(b"bytes \xff\xfe.txt")


class Home:
    """A source and a target folder, and batch mode in this process with a state of its own."""

    def __init__(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.source, self.target, self.plan = root / "source", root / "target", root / "plan"
        self.source.mkdir()
        self.target.mkdir()
        self._root = root
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.use_state("one machine")

    def use_state(self, name: str) -> None:
        self._monkeypatch.setenv("XDG_STATE_HOME", str(self._root / name))

    def put(self, path: Path, text: str, mtime: int = OLD) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (mtime, mtime))

    def run(
        self, *options: str | Path, places: tuple[Path, ...] = ()
    ) -> tuple[int, list[dict[str, Any]], str]:
        self._capsys.readouterr()
        places = places or (self.source, self.target)
        code = cli.main(["--batch", "--json", *map(str, options), *map(str, places)])
        told = self._capsys.readouterr()
        return code, [json.loads(line) for line in told.out.splitlines()], told.err

    def files(self) -> dict[str, str]:
        found = {}
        for path in self.target.rglob("*"):
            if path.is_file() and ".tui-sync-trash" not in path.parts:
                found[str(path.relative_to(self.target))] = path.read_text()
        return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Home:
    made = Home(tmp_path, monkeypatch, capsys)
    made.put(made.source / "new", "new")
    made.put(made.source / "deep/er/new", "new too")
    made.put(made.source / "changed", "changed")
    made.put(made.source / AWKWARD, "awkward")
    made.put(made.target / "changed", "was", OLD - 100)
    made.put(made.target / "extra", "extra")
    return made


def test_a_saved_plan_is_what_runs_on_another_machine(home: Home) -> None:
    before = home.files()
    code, records, err = home.run("--mode", "mirror", "--save-plan", home.plan)
    assert code == 0, err
    assert records[-1]["dry_run"] is True
    assert home.files() == before
    assert stat.S_IMODE(home.plan.stat().st_mode) == 0o600
    assert home.plan.read_bytes().isascii()
    planned = {record["path"]: record["action"] for record in records if record["event"] == "item"}

    home.use_state("another machine")
    home.put(home.source / "later", "appeared after the plan")
    code, records, err = home.run("--apply", home.plan)
    assert code == 0, err
    done = {record["path"]: record["action"] for record in records if record["event"] == "item"}
    assert done == planned
    assert home.files() == {"new": "new", "deep/er/new": "new too", "changed": "changed", AWKWARD: "awkward"}
    code, records, _ = home.run("--mode", "mirror", "--dry-run")
    assert [record["path"] for record in records if record["event"] == "item"] == ["later"]


def test_a_saved_plan_can_be_looked_at(home: Home) -> None:
    home.run("--save-plan", home.plan)
    before = home.files()
    code, records, _ = home.run("--apply", home.plan, "--dry-run")
    assert code == 0
    assert records[-1]["dry_run"] is True
    assert {record["path"] for record in records if record["event"] == "item"} >= {"new", "changed"}
    assert home.files() == before


@pytest.mark.parametrize("mode", ["copy", "mirror"])
def test_what_drifted_since_it_was_saved_is_left_alone(home: Home, mode: str) -> None:
    home.run("--mode", mode, "--save-plan", home.plan)
    home.put(home.source / "new", "another by now", OLD + 50)
    home.put(home.target / "changed", "edited on the target", OLD + 60)
    (home.source / "deep/er/new").unlink()
    code, records, err = home.run("--apply", home.plan)
    assert code == 24, err
    statuses = {record["path"]: record["status"] for record in records if record["event"] == "item"}
    assert (statuses["new"], statuses["changed"]) == ("drifted", "drifted")
    assert statuses["deep/er/new"] == "vanished"
    files = home.files()
    assert "new" not in files
    assert files["changed"] == "edited on the target"
    assert files[AWKWARD] == "awkward"
    assert files["extra"] == "extra", "nothing is deleted where something was not copied"


def test_a_plan_that_has_run_finds_its_work_done(home: Home) -> None:
    home.run("--save-plan", home.plan)
    assert home.run("--apply", home.plan)[0] == 0
    after = home.files()
    code, _, _ = home.run("--apply", home.plan)
    assert code == 24
    assert home.files() == after


def test_a_refused_plan_is_refused_from_a_file_too(home: Home) -> None:
    code, _, _ = home.run("--mode", "mirror", "--max-delete", "0", "--save-plan", home.plan)
    assert code == 25
    before = home.files()
    code, records, err = home.run("--apply", home.plan)
    assert code == 25
    assert "limit is 0" in err
    assert records[-1]["status"] == "refused"
    assert home.files() == before


def forged(lines: list[bytes]) -> bytes:
    """The lines with a digest that fits."""
    content = b"".join(lines[:-1])
    return content + json.dumps({"sha256": hashlib.sha256(content).hexdigest()}).encode() + b"\n"


def changed(lines: list[bytes], number: int, **values: object) -> list[bytes]:
    return [
        json.dumps({**json.loads(line), **values}).encode() + b"\n" if at == number else line
        for at, line in enumerate(lines)
    ]


def item_at(lines: list[bytes], path: str) -> int:
    return next(at for at, line in enumerate(lines) if json.loads(line).get("path") == path)


HARMS: dict[str, tuple[Callable[[list[bytes]], bytes], str]] = {
    "a byte changed": (lambda lines: b"".join(lines).replace(b"changed", b"chanted", 1), "was changed"),
    "an item taken out": (lambda lines: b"".join([*lines[:2], *lines[3:]]), "was changed"),
    "an item twice": (lambda lines: b"".join([*lines[:2], lines[1], *lines[2:]]), "was changed"),
    "cut inside a line": (lambda lines: b"".join(lines)[: -len(lines[-1]) - 10], "not complete"),
    "cut between lines": (lambda lines: b"".join(lines[:-2]), "not complete"),
    "cut at its end": (lambda lines: b"".join(lines)[:-1], "not complete"),
    "with more after its end": (lambda lines: b"".join(lines) + b"{}\n", "was changed"),
    "no plan": (lambda lines: b"\x89PNG\r\n\x1a\n" + bytes(100), "no plan"),
    "another JSON": (lambda lines: b'{"format": "something"}\n', "no plan"),
    "empty": (lambda lines: b"", "no plan"),
    "of a later format": (lambda lines: forged(changed(lines, 0, version=2)), "later version"),
    "with options of a later version": (
        lambda lines: forged(changed(lines, 0, options={"mode": "copy", "teleport": True})),
        "later version",
    ),
    "with a path out of the root": (
        lambda lines: forged(changed(lines, item_at(lines, "new"), path="../new")),
        "was changed",
    ),
    "with an absolute path": (
        lambda lines: forged(changed(lines, item_at(lines, "new"), path="/tmp/new")),
        "was changed",
    ),
    "with a path of our own": (
        lambda lines: forged(changed(lines, item_at(lines, "new"), path=".tui-sync-trash/x")),
        "was changed",
    ),
    "with an unknown action": (
        lambda lines: forged(changed(lines, item_at(lines, "new"), action="format")),
        "was changed",
    ),
    "with nothing to copy from": (
        lambda lines: forged(changed(lines, item_at(lines, "new"), source=None)),
        "was changed",
    ),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_plan_that_is_not_as_it_was_saved_is_refused(home: Home, harm: str) -> None:
    home.run("--mode", "mirror", "--save-plan", home.plan)
    make, says = HARMS[harm]
    home.plan.write_bytes(make(home.plan.read_bytes().splitlines(keepends=True)))
    before = home.files()
    code, records, err = home.run("--apply", home.plan)
    assert code == 2
    assert says in err
    assert str(home.plan) in err
    assert "Traceback" not in err
    assert [record["event"] for record in records] == ["error"]
    assert home.files() == before


def test_a_plan_of_another_pair_is_refused(home: Home, tmp_path: Path) -> None:
    home.run("--save-plan", home.plan)
    (tmp_path / "elsewhere").mkdir()
    code, _, err = home.run("--apply", home.plan, places=(home.source, tmp_path / "elsewhere"))
    assert code == 2
    assert "another pair" in err
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_plan_that_is_not_there(home: Home) -> None:
    code, _, err = home.run("--apply", home.plan)
    assert code == 2
    assert "cannot read the plan" in err
    code, _, err = home.run("--save-plan", home.plan / "below")
    assert code == 2
    assert "cannot write the plan" in err


@pytest.mark.parametrize("option", ["--mode=mirror", "--exclude=x", "--workers=auto", "--retry-failed"])
def test_nothing_is_chosen_anew_for_a_saved_plan(home: Home, option: str) -> None:
    home.run("--save-plan", home.plan)
    code, _, err = home.run("--apply", home.plan, option)
    assert code == 2
    assert f"{option.partition('=')[0]} cannot go with --apply" in err


def test_the_version_read_is_the_one_written() -> None:
    assert exchange.VERSION == 1
