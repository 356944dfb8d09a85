"""Batch mode as cron and systemd use it: locks, signals, logs, metrics, retries; secrets that stay secret."""

from __future__ import annotations

import csv
import filecmp
import io
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.batch import Ran, environment, tui_sync
from tests.support.records import validate
from tui_sync import cli
from tui_sync.batch import log
from tui_sync.demo.servers import EmbeddedServer
from tui_sync.demo.trees import make_large, make_tree

SECRET = "marker-0f3a-never-to-be-seen"


class Pair:
    """A source server with a password, and a local target."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.source, self.target = home / "source", home / "target"
        self.source.mkdir()
        self.target.mkdir()
        self.server = EmbeddedServer(self.source, user="from", password=SECRET).start()
        (home / ".ssh").mkdir(mode=0o700)
        (home / ".ssh" / "known_hosts").write_text(f"{self.server.host_key_line}\n")
        self.profile = home / "pair.toml"
        self.write()

    def write(self, *, password: str = "env:PASSWORD", sync: str = "") -> None:
        self.profile.write_text(
            f'[source]\nurl = "{self.server.url("/")}"\npassword = {json.dumps(password)}\n'
            f'[target]\nurl = "{self.target}"\n[sync]\n{sync}\n'
        )

    def sync(self, *options: str | Path, **env: str) -> Ran:
        return tui_sync("--batch", *options, self.profile, home=self.home, **{"PASSWORD": SECRET, **env})

    @contextmanager
    def running(self, *options: str) -> Iterator[subprocess.Popen[str]]:
        """The program with --json, once it has begun to copy."""
        command = [sys.executable, "-m", "tui_sync", "--json", *options, str(self.profile)]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(self.home, PASSWORD=SECRET),
        ) as process:
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    if '"progress"' in line:
                        break
                yield process
            finally:
                process.kill()

    def slow(self) -> None:
        make_large(self.source / "large.bin", size=30_000_000)
        self.write(sync='bandwidth_limit = "3M"\nworkers = 1')


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    (made.source / "one.txt").write_text("one")
    yield made
    made.server.stop()


def test_the_second_of_two_runs_says_who_runs_and_ends(pair: Pair) -> None:
    pair.slow()
    with pair.running() as first:
        second = pair.sync("--json")
        assert second.code == 1
        assert f"another run of this pair is under way (process {first.pid}, since " in second.err
        validate(second.records)
        assert second.summary["status"] == "error"
        first.send_signal(signal.SIGINT)
        first.send_signal(signal.SIGINT)
        assert first.wait(30) == 130


def test_sigterm_ends_a_run_within_three_seconds_and_the_next_completes_it(pair: Pair) -> None:
    pair.slow()
    with pair.running() as process:
        assert process.stdout is not None
        process.send_signal(signal.SIGTERM)
        records = [json.loads(line) for line in process.stdout]
        assert process.wait(30) == 130
    validate(records)
    assert (records[-1]["status"], records[-1]["exit_code"]) == ("interrupted", 130)
    assert not (pair.target / "large.bin").exists()
    pair.write()
    assert pair.sync().code == 0
    assert filecmp.cmp(pair.source / "large.bin", pair.target / "large.bin", shallow=False)
    assert sorted(path.name for path in pair.target.iterdir()) == ["large.bin", "one.txt"]


def test_quiet_says_nothing_when_all_goes_well(pair: Pair) -> None:
    ran = pair.sync("-q")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    (pair.target / "one.txt").unlink()
    (pair.target / "one.txt").mkdir()
    ran = pair.sync("-q")
    assert ran.code != 0
    assert "one.txt" in ran.out
    assert ran.err != ""


def test_every_record_is_as_documented(pair: Pair) -> None:
    make_tree(pair.source / "tree", files=30, depth=2, seed=1, awkward=True)
    for options in (["--dry-run"], [], [], ["--mode", "mirror"]):
        ran = pair.sync("--json", *options)
        assert ran.code in (0, 23), ran.err
        validate(ran.records)
        assert {record["event"] for record in ran.records} >= {"plan", "summary"}
    for path in pair.source.rglob("*"):
        if path.is_file():
            path.unlink()
    ran = pair.sync("--json", "--mode", "mirror")
    assert ran.code == 25
    validate(ran.records)
    pair.server.stop()
    ran = pair.sync("--json")
    assert ran.code == 7
    validate(ran.records)


def test_a_record_that_is_not_as_documented_is_noticed() -> None:
    import jsonschema

    for wrong in ({"event": "summary"}, {"event": "error", "message": "x", "more": 1}, {"event": "other"}):
        with pytest.raises(jsonschema.ValidationError):
            validate([wrong])


def test_the_log_tells_of_each_run_and_is_for_its_owner_alone(pair: Pair) -> None:
    (pair.source / "new\nline \u202e.txt").write_text("x")
    file = pair.home / "sync.log"
    assert pair.sync("-q", "--log-file", file).code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert "INFO" in text
    assert "start: pair: sftp://from@127.0.0.1" in text
    assert "create: one.txt\n" in text
    assert "create: new\\nline \\u202e.txt\n" in text
    assert "end: ok (exit code 0): 2 created" in text
    assert pair.sync("-q", "--log-file", file, PASSWORD="wrong").code == 7
    assert "ERROR" in file.read_text().removeprefix(text)
    assert "exit code 0" in file.read_text()


def test_the_log_rotates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tui_sync.profiles import quick

    monkeypatch.setattr(log, "LARGEST", 1000)
    file = tmp_path / "a.log"
    with log.RunLog(file, quick("/a", "/b")) as run_log:
        for number in range(100):
            run_log.error(f"number {number} of a hundred")
    kept = sorted(tmp_path.iterdir())
    assert [path.name for path in kept] == ["a.log", *(f"a.log.{n}" for n in range(1, log.KEPT + 1))]
    assert all(path.stat().st_size <= 1000 for path in kept)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in kept)


def metrics(file: Path) -> dict[str, float]:
    found = {}
    for line in file.read_text().splitlines():
        match = re.fullmatch(r'(tui_sync_\w+)\{pair="[^"]+",profile="pair"\} (\S+)', line)
        assert match or line.startswith(("# HELP tui_sync_", "# TYPE tui_sync_")), line
        if match:
            found[match[1].removeprefix("tui_sync_")] = float(match[2])
    return found


def test_the_figures_of_the_last_run_are_there_for_prometheus(pair: Pair) -> None:
    file = pair.home / "sync.prom"
    assert pair.sync("--metrics-file", file, "--dry-run").code == 0
    assert not file.exists()
    assert pair.sync("--metrics-file", file).code == 0
    first = metrics(file)
    assert (first["exit_code"], first["created_files"], first["copied_bytes"]) == (0, 1, 3)
    assert pair.sync("--metrics-file", file, PASSWORD="wrong").code == 7
    second = metrics(file)
    assert (second["exit_code"], second["created_files"]) == (7, 0)
    assert second["last_success_timestamp_seconds"] == first["last_success_timestamp_seconds"]
    assert second["last_run_timestamp_seconds"] > first["last_run_timestamp_seconds"]
    assert sorted(path.name for path in pair.home.glob("*sync.prom*")) == ["sync.prom"]


def test_a_retry_does_what_was_left_and_nothing_else(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tui_sync.connectors.local import LocalReader
    from tui_sync.errors import PermissionDenied

    monkeypatch.setenv("PASSWORD", SECRET)
    monkeypatch.setenv("HOME", str(pair.home))
    monkeypatch.setenv("XDG_STATE_HOME", str(pair.home / "state"))
    local = pair.home / "local"
    (local / "sub").mkdir(parents=True)
    for name in ("good", "bad", "sub/bad too"):
        (local / name).write_text(name)
    assert cli.main(["--batch", "--retry-failed", str(local), str(pair.target)]) == 3
    assert "no earlier run" in capsys.readouterr().err
    with monkeypatch.context() as patched:
        sound = LocalReader.open

        def refuse(self: LocalReader, path: str) -> Any:
            if "bad" in path:
                raise PermissionDenied(f"cannot read {path}")
            return sound(self, path)

        patched.setattr(LocalReader, "open", refuse)
        assert cli.main(["--batch", str(local), str(pair.target)]) == 23
    (local / "newer").write_text("not part of it")
    capsys.readouterr()
    assert cli.main(["--json", "--retry-failed", str(local), str(pair.target)]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    validate(records)
    assert sorted(record["path"] for record in records if record["event"] == "item") == ["bad", "sub/bad too"]
    assert not (pair.target / "newer").exists()
    assert cli.main(["--json", "--retry-failed", str(local), str(pair.target)]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["created"], summary["updated"]) == (0, 0)


def everything_below(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


@pytest.mark.parametrize("reference", ["env:PASSWORD", "file:secret", "command"])
@pytest.mark.parametrize("outcome", ["well", "refused", "crash"])
def test_a_secret_shows_up_nowhere(pair: Pair, tmp_path: Path, reference: str, outcome: str) -> None:
    holder = pair.home / "secret"
    holder.write_text(SECRET + "\n")
    holder.chmod(0o600)
    if reference == "command":
        reference = f"command:cat {shlex.quote(str(holder))}"
    pair.write(password=reference)
    env = {"TUI_SYNC_DEBUG": "1"}
    if outcome == "refused":
        pair.server.password = "another"
    if outcome == "crash":
        # A bug in the middle of the login, with the secret in the frames of the traceback.
        (pair.home / "sitecustomize.py").write_text(
            "import paramiko\n"
            "def broken(self, user, password, *more, **named):\n"
            "    raise ZeroDivisionError('a bug')\n"
            "paramiko.Transport.auth_password = broken\n"
        )
        env["PYTHONPATH"] = f"{pair.home}{os.pathsep}{environment(pair.home)['PYTHONPATH']}"
    if not reference.startswith("env:"):
        env["PASSWORD"] = "not used"
    logs = pair.home / "log"
    ran = pair.sync("--json", "--log-file", logs, "--metrics-file", pair.home / "prom", **env)
    assert ran.code == {"well": 0, "refused": 7, "crash": 1}[outcome], ran.err
    if outcome == "crash":
        assert "ZeroDivisionError" in ran.err
    assert SECRET not in ran.out + ran.err
    shown = tui_sync("profiles", "show", pair.profile, home=pair.home, PASSWORD=SECRET)
    assert SECRET not in shown.out + shown.err
    seen = 0
    for path, content in everything_below(pair.home):
        if path != holder:
            seen += 1
            assert SECRET.encode() not in content, path
    assert seen > 3
    if outcome == "well":
        assert SECRET not in "".join(export(pair, form) for form in ("json", "csv", "html"))


def test_a_secret_is_in_no_process_arguments(pair: Pair) -> None:
    pair.slow()
    with pair.running() as process:
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert str(pair.profile).encode() in arguments
        for listed in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                assert SECRET.encode() not in listed.read_bytes()
            except OSError:
                continue
        process.send_signal(signal.SIGTERM)


def test_what_is_remembered_is_for_its_owner_alone(pair: Pair) -> None:
    pair.slow()
    with pair.running() as process:
        state = pair.home / ".local" / "state" / "tui-sync"
        found = {path: stat.S_IMODE(path.stat().st_mode) for path in state.rglob("*")}
        process.send_signal(signal.SIGTERM)
    assert {path.suffix for path in found} >= {".sqlite", ".lock", ".holder", ".sqlite-wal", ".sqlite-shm"}
    assert {path: mode for path, mode in found.items() if mode & 0o077} == {}


@pytest.fixture
def receipt(pair: Pair) -> Pair:
    """A pair with a run in which one name is an attack on whoever shows it, and one item is in conflict."""
    (pair.source / "<img src=x onerror=alert(1)>.txt").write_text("x")
    (pair.source / "=cmd|'calc'!A1").write_text("y")
    (pair.source / "-dash").write_text("z")
    assert pair.sync().code == 0
    return pair


def export(pair: Pair, form: str) -> str:
    ran = tui_sync("runs", "export", "last", "--format", form, home=pair.home)
    assert ran.code == 0, ran.err
    return ran.out


def test_a_receipt_as_json(receipt: Pair) -> None:
    made = json.loads(export(receipt, "json"))
    assert made["format"] == "tui-sync receipt 1"
    assert made["summary"]["created"] == 4
    assert [item["status"] for item in made["items"]] == ["done"] * 4
    assert made["source"] == receipt.server.url("/")
    paths = {item["path"] for item in made["items"]}
    assert paths == {path.name for path in receipt.source.iterdir()}


def test_a_receipt_as_csv_holds_no_formula(receipt: Pair) -> None:
    rows = list(csv.DictReader(io.StringIO(export(receipt, "csv"))))
    paths = {row["path"] for row in rows}
    assert "./=cmd|'calc'!A1" in paths
    assert "./-dash" in paths
    assert "one.txt" in paths
    assert {row["status"] for row in rows} == {"done"}


def test_a_receipt_as_html_needs_nothing_and_runs_nothing(receipt: Pair) -> None:
    page = export(receipt, "html")
    assert "&lt;img src=x onerror=alert(1)&gt;.txt" in page
    assert "<img" not in page
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert not re.search(r'(src|href)\s*=\s*["\']?(http|//)', page)
    assert page.rstrip().endswith("</html>")


def test_a_receipt_goes_into_a_new_file_only(receipt: Pair) -> None:
    file = receipt.home / "receipt.html"
    ran = tui_sync("runs", "export", "last", "--output", file, home=receipt.home)
    assert ran.code == 0, ran.err
    assert file.read_text().startswith("<!DOCTYPE html>")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = tui_sync("runs", "export", "last", "--output", file, home=receipt.home)
    assert again.code == 2
    assert "exists already" in again.err


def test_runs_are_pruned_and_what_was_synced_stays_known(receipt: Pair) -> None:
    for _ in range(3):
        assert receipt.sync().code == 0
    assert len(tui_sync("runs", "list", home=receipt.home).out.splitlines()) == 4
    pruned = tui_sync("runs", "prune", "--keep", "2", home=receipt.home)
    assert pruned.code == 0
    assert "2 forgotten" in pruned.out
    assert len(tui_sync("runs", "list", home=receipt.home).out.splitlines()) == 2
    assert tui_sync("runs", "show", "last", home=receipt.home).code == 0
    os.utime(receipt.target / "one.txt", (1, 1))
    assert receipt.sync("--json").summary["unchanged"] >= 3


def test_an_undo_brings_back_what_a_mirror_deleted(pair: Pair) -> None:
    (pair.target / "old" / "deep").mkdir(parents=True)
    (pair.target / "old" / "deep" / "file").write_text("precious")
    (pair.target / "old" / "other").write_text("too")
    (pair.target / "gone").write_text("replaced meanwhile")
    (pair.target / "old").chmod(0o750)
    ran = pair.sync("--mode", "mirror", "--max-delete", "100%")
    assert ran.code == 0, ran.err
    assert not (pair.target / "old").exists()
    (pair.target / "gone").write_text("new")
    ran = tui_sync("runs", "undo", pair.profile, home=pair.home)
    assert ran.code == 24
    assert "2 brought back, 1 left in the trash" in ran.out
    assert "gone\tis there again" in ran.err
    assert (pair.target / "old" / "deep" / "file").read_text() == "precious"
    assert (pair.target / "old" / "other").read_text() == "too"
    assert stat.S_IMODE((pair.target / "old").stat().st_mode) == 0o750
    assert (pair.target / "gone").read_text() == "new"
    (pair.target / "gone").unlink()
    ran = tui_sync("runs", "undo", pair.profile, home=pair.home)
    assert "1 brought back" in ran.out
    assert (pair.target / "gone").read_text() == "replaced meanwhile"
    assert not (pair.target / ".tui-sync-trash").exists()


def test_what_was_deleted_for_good_cannot_be_undone(pair: Pair) -> None:
    pair.write(sync='delete = "permanent"\nmode = "mirror"\nmax_delete = "100%"')
    (pair.target / "old").write_text("x")
    assert pair.sync().code == 0
    ran = tui_sync("runs", "undo", pair.profile, home=pair.home)
    assert ran.code == 2
    assert "for good" in ran.err


HOSTILE = {
    "not TOML": b"source = [",
    "empty": b"",
    "binary": bytes(range(256)),
    "unknown key": b'[source]\nurl = "/a"\nurll = "x"\n[target]\nurl = "/b"\n',
    "wrong type": b'[source]\nurl = 7\n[target]\nurl = "/b"\n',
    "plain password": f'[source]\nurl = "sftp://h/a"\npassword = "{SECRET}"\n[target]\nurl = "/b"\n'.encode(),
    "password in url": f'[source]\nurl = "sftp://u:{SECRET}@h/a"\n[target]\nurl = "/b"\n'.encode(),
    "unknown scheme": b'[source]\nurl = "gopher://h/a"\n[target]\nurl = "/b"\n',
    "percent over 100": b'[source]\nurl = "/a"\n[target]\nurl = "/b"\n[sync]\nmax_delete = "101%"\n',
    "negative workers": b'[source]\nurl = "/a"\n[target]\nurl = "/b"\n[sync]\nworkers = -1\n',
    "port": b'[source]\nurl = "sftp://h:70000/a"\n[target]\nurl = "/b"\n',
    "escape": b'[source]\nurl = "/a"\n"\\u001b[31m" = 1\n[target]\nurl = "/b"\n',
    "10 MB": b"#" * 10_000_000,
    "deep": b"a = " + b"[" * 100_000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_profile_is_one_sentence_and_exit_2(
    tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "hostile.toml"
    profile.write_bytes(HOSTILE[what])
    assert cli.main(["--batch", str(profile)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert "hostile.toml" in shown.err
    assert SECRET not in shown.err
    assert "\x1b" not in shown.err
