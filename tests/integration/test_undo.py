"""Backups and their undo, as a user has them: ``--batch``, then ``runs undo``, on folders and a server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.pair import leftovers, tree
from tests.support.batch import Ran, tui_sync
from tests.support.sshd import Sshd
from tui_sync.connectors.local import LocalWriter
from tui_sync.connectors.openat import keep_as

OLD, NEW = 1_500_000_000, 1_600_000_000


def put(path: Path, text: str, mtime: int = NEW) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (mtime, mtime))


@dataclass
class Pair:
    home: Path
    profile: Path

    @property
    def source(self) -> Path:
        return self.home / "source"

    @property
    def target(self) -> Path:
        return self.home / "target"

    @property
    def trash(self) -> Path:
        return self.target / ".tui-sync-trash"

    def options(self, **options: str) -> None:
        text = self.profile.read_text().partition("[sync]")[0] + "[sync]\n"
        self.profile.write_text(text + "".join(f"{key} = {value}\n" for key, value in options.items()))

    def sync(self, *arguments: str) -> Ran:
        return tui_sync("--batch", "--json", *arguments, self.profile, home=self.home)

    def undo(self, *arguments: str) -> Ran:
        return tui_sync("runs", "undo", self.profile, *arguments, home=self.home)


def _pair(tmp_path: Path, target: str) -> Pair:
    profile = tmp_path / "pair.toml"
    profile.write_text(f'[source]\nurl = "{tmp_path / "source"}"\n[target]\n{target}\n')
    pair = Pair(tmp_path, profile)
    pair.options(mode='"mirror"', backup="true", max_delete='"100%"')
    put(pair.source / "docs/changed", "the source's")
    put(pair.source / "docs/large", "L" * 3_000_000)
    put(pair.source / "new", "new")
    put(pair.target / "docs/changed", "the old one", OLD)
    put(pair.target / "docs/large", "the old large one", OLD)
    put(pair.target / "docs/extra", "the extra one", OLD)
    put(pair.target / "gone/deep/file", "the deep one", OLD)
    (pair.target / "gone/deep").chmod(0o750)
    return pair


@pytest.fixture(params=["local", "paramiko", "openssh"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    if request.param == "local":
        return _pair(tmp_path, f'url = "{tmp_path / "target"}"')
    server: Sshd = request.getfixturevalue("sshd")
    return _pair(
        tmp_path,
        f'url = "{server.url(tmp_path / "target")}"\ntransport = "{request.param}"\n'
        f'identity_file = "{server.identity_file}"\nknown_hosts = "{server.known_hosts}"',
    )


@pytest.fixture
def here(tmp_path: Path) -> Pair:
    return _pair(tmp_path, f'url = "{tmp_path / "target"}"')


def attributes(root: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(root)): (path.stat().st_mode, int(path.stat().st_mtime))
        for path in root.rglob("*")
        if not path.is_dir() and ".tui-sync-trash" not in path.parts
    }


def test_what_was_deleted_and_replaced_comes_back_as_it_was(pair: Pair) -> None:
    before, looked = tree(pair.target), attributes(pair.target)
    ran = pair.sync()
    assert ran.code == 0, ran.err
    assert tree(pair.target) == tree(pair.source)
    kept = pair.target / ran.summary["trash"]
    assert {str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()} == {
        *("docs/changed", "docs/large", "docs/extra"),
        "gone/deep/file",
    }
    assert (kept / "docs/changed").read_text() == "the old one"
    assert pair.sync("--dry-run").records[0]["update"] == 0
    undone = pair.undo()
    assert undone.code == 0, undone.err
    assert "2 brought back, 2 as they were before" in undone.out
    assert "1 created by that run" in undone.out
    assert tree(pair.target) == {**before, "new": b"new"}
    del (now := attributes(pair.target))["new"]
    assert now == looked
    assert (pair.target / "gone/deep").stat().st_mode & 0o777 == 0o750
    [aside] = pair.trash.iterdir()
    assert (aside / "docs/changed").read_text() == "the source's"
    assert (aside / "docs/large").stat().st_size == 3_000_000
    again = pair.undo()
    assert (again.code, again.err) == (0, "")
    assert tree(pair.target) == {**before, "new": b"new"}
    assert pair.sync().code == 0
    assert tree(pair.target) == tree(pair.source)
    assert leftovers(pair.target) == []


def test_what_changed_since_is_left_alone_and_reported(pair: Pair) -> None:
    assert pair.sync().code == 0
    put(pair.target / "docs/changed", "edited since", NEW + 50)
    put(pair.target / "docs/extra", "made anew", NEW + 50)
    undone = pair.undo()
    assert undone.code == 24
    assert "docs/changed\thas changed since that run" in undone.err
    assert "docs/extra\tis there again" in undone.err
    assert "1 brought back, 1 as they were before" in undone.out
    assert (pair.target / "docs/changed").read_text() == "edited since"
    assert (pair.target / "docs/extra").read_text() == "made anew"
    assert (pair.target / "docs/large").read_text() == "the old large one"
    assert len(list(pair.trash.rglob("changed"))) == 1


def test_a_run_without_backup_says_that_what_it_replaced_stays(here: Pair) -> None:
    assert here.sync("--no-backup").code == 0
    undone = here.undo()
    assert undone.code == 0
    assert "2 replaced without a backup" in undone.out
    assert (here.target / "docs/changed").read_text() == "the source's"
    assert (here.target / "docs/extra").read_text() == "the extra one"


def test_what_is_not_in_the_trash_any_more_is_told(here: Pair) -> None:
    assert here.sync().code == 0
    shutil.rmtree(here.trash)
    undone = here.undo()
    assert undone.code == 23
    assert undone.err.count("is not in the trash any more") == 4


def test_backup_alone_is_undone_where_deletes_are_for_good(here: Pair) -> None:
    here.options(mode='"copy"', backup="true", delete='"permanent"')
    assert here.sync().code == 0
    undone = here.undo()
    assert (undone.code, undone.err) == (0, "")
    assert (here.target / "docs/changed").read_text() == "the old one"


@pytest.mark.parametrize("planted", ["file", "link"])
def test_what_cannot_be_backed_up_is_not_replaced(here: Pair, planted: str) -> None:
    """A trash that is no folder, or leads out of the target."""
    outside = here.home / "outside"
    outside.mkdir()
    if planted == "file":
        here.trash.write_text("not a folder")
    else:
        here.trash.symlink_to(outside)
    here.options(mode='"copy"', backup="true")
    ran = here.sync()
    assert ran.code == 23
    failed = {record["path"]: record["error"] for record in ran.records if record.get("status") == "failed"}
    assert set(failed) == {"docs/changed", "docs/large"}
    assert all("could not be backed up" in why for why in failed.values())
    assert (here.target / "docs/changed").read_text() == "the old one"
    assert (here.target / "docs/large").read_text() == "the old large one"
    assert (here.target / "new").read_text() == "new"
    assert list(outside.iterdir()) == []
    assert leftovers(here.target) == [".tui-sync-trash"] or leftovers(here.target) == []


class Killed(BaseException):
    """In place of a kill -9: nothing cleans up behind it."""


def _dies(monkeypatch: pytest.MonkeyPatch, method: str, time: int, *, after: bool) -> None:
    real: Callable[..., object] = getattr(LocalWriter, method)
    calls = [0]

    def dying(self: LocalWriter, *arguments: object, **named: object) -> object:
        calls[0] += 1
        if calls[0] == time and not after:
            raise Killed
        result = real(self, *arguments, **named)
        if calls[0] == time:
            raise Killed
        return result

    monkeypatch.setattr(LocalWriter, method, dying)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("method", "time"),
    [
        *(("rename", 1), ("rename", 3), ("rename", 4)),
        *(("back_up_many", 1), ("back_up_many", 2), ("make_dir", 2), ("make_dir", 5), ("remove_dir", 2)),
    ],
)
def test_an_undo_that_is_killed_is_gone_on_with(
    here: Pair, monkeypatch: pytest.MonkeyPatch, method: str, time: int, after: bool
) -> None:
    from tui_sync import profiles
    from tui_sync.commands.undo import undo

    before = tree(here.target)
    assert here.sync().code == 0
    versions = {**tree(here.target), "docs/changed": b"the source's"}
    monkeypatch.setenv("HOME", str(here.home))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    profile = profiles.find(str(here.profile))
    with monkeypatch.context() as patched:
        _dies(patched, method, time, after=after)
        with pytest.raises(Killed):
            undo(profile, None)
    for name in ("docs/changed", "docs/large"):
        assert (here.target / name).read_bytes() in (before[name], versions[name]), (
            "the name was never missing"
        )
    undone = here.undo()
    assert undone.code == 0, undone.err
    assert tree(here.target) == {**before, "new": b"new"}
    kept = [path.read_bytes() for path in here.trash.rglob("*") if path.is_file()]
    assert sorted(kept, key=len) == [b"the source's", b"L" * 3_000_000], "the newer versions are kept"


def test_a_run_that_was_killed_is_undone_by_what_is_in_the_trash(here: Pair) -> None:
    """The last words of a killed run are lost: here all of them."""
    import sqlite3

    before = tree(here.target)
    assert here.sync().code == 0
    [ledger] = (here.home / ".local/state/tui-sync/ledgers").glob("*.sqlite")
    with sqlite3.connect(ledger) as db:
        db.execute("DELETE FROM outcomes")
        db.execute("UPDATE runs SET finished_ns = NULL, summary = NULL")
    db.close()
    undone = here.undo()
    assert undone.code == 0, undone.err
    assert tree(here.target) == {**before, "new": b"new"}


def test_a_file_that_may_not_be_linked_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    put(tmp_path / "file", "precious", OLD)
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "trash").mkdir()
    fd = os.open(tmp_path, os.O_RDONLY)
    there = os.open(tmp_path / "trash", os.O_RDONLY)
    with monkeypatch.context() as patched:
        patched.setattr(os, "link", refuse)
        for name in ("file", "link"):
            keep_as(name, fd, name, there, lambda: None)
        with pytest.raises(FileExistsError):
            keep_as("file", fd, "file", there, lambda: None)
    os.close(fd)
    os.close(there)
    kept = tmp_path / "trash/file"
    assert (kept.read_text(), int(kept.stat().st_mtime)) == ("precious", OLD)
    assert not kept.samefile(tmp_path / "file")
    assert os.readlink(tmp_path / "trash/link") == "file"
    assert sorted(os.listdir(tmp_path / "trash")) == ["file", "link"]
