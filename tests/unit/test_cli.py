"""The command line: what it accepts, how it refuses, which face it hands over to."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tui_sync.batch
from tui_sync import __version__, cli
from tui_sync.batch import BatchOptions
from tui_sync.errors import Cancelled, NotFound
from tui_sync.model import CompareBy, DeleteLimit, Mode, Verify
from tui_sync.profiles import Profile

PROFILE = """
[source]
url = "sftp://me@source.example/data"
password = "env:HUSH_HUSH"

[target]
url = "/srv/backup"

[sync]
exclude = ["*.tmp"]
workers = 3
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Profiles and state of this test alone, with one profile called nightly."""
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "nightly.toml").write_text(PROFILE)
    monkeypatch.setenv("TUI_SYNC_PROFILES", str(folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("TUI_SYNC_DEBUG", raising=False)
    return tmp_path


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Profile, dict[str, Any]]]:
    """Takes batch mode's place and keeps what it was called with."""
    calls: list[tuple[Profile, dict[str, Any]]] = []

    def run_batch(profile: Profile, options: BatchOptions) -> int:
        calls.append((profile, asdict(options)))
        return 0

    monkeypatch.setattr(tui_sync.batch, "run_batch", run_batch)
    return calls


def test_a_profile_goes_to_batch_mode_as_it_is(called: list[Any]) -> None:
    assert cli.main(["--batch", "nightly"]) == 0
    [(profile, options)] = called
    assert profile.name == "nightly"
    assert profile.options.workers == 3
    assert options == asdict(BatchOptions())


def test_options_take_the_place_of_the_profiles_and_patterns_are_added(called: list[Any]) -> None:
    arguments = ["--mode", "mirror", "nightly", "--compare", "checksum", "--verify", "readback"]
    arguments += ["--exclude", "*.bak", "--exclude", ".git/", "--include", "*.csv", "--max-delete", "7"]
    arguments += ["--workers", "auto", "--bandwidth-limit", "20M", "--batch", "-q"]
    assert cli.main(arguments) == 0
    [(profile, options)] = called
    chosen = profile.options
    assert (chosen.mode, chosen.compare, chosen.verify) == (Mode.MIRROR, CompareBy.CHECKSUM, Verify.READBACK)
    assert chosen.exclude == ("*.tmp", "*.bak", ".git/")
    assert chosen.include == ("*.csv",)
    assert chosen.max_delete == DeleteLimit(7, percent=False)
    assert chosen.workers is None
    assert chosen.bandwidth_limit == 20 * 1024 * 1024
    assert options["quiet"] is True


def test_a_limit_of_nought_is_no_limit(called: list[Any]) -> None:
    assert cli.main(["--batch", "nightly", "--bandwidth-limit", "off"]) == 0
    assert called[0][0].options.bandwidth_limit is None


@pytest.mark.parametrize("option", ["--dry-run", "--json"])
def test_dry_run_and_json_imply_batch(called: list[Any], option: str) -> None:
    assert cli.main([option, "sftp://me@host:2222/a", "/srv/b"]) == 0
    [(profile, options)] = called
    assert (profile.source.host, profile.source.port) == ("host", 2222)
    assert profile.target.path == "/srv/b"
    assert options["dry_run"] is (option == "--dry-run")
    assert options["as_json"] is (option == "--json")


def test_options_may_stand_between_source_and_target(called: list[Any]) -> None:
    assert cli.main(["/a", "--batch", "/b"]) == 0
    assert called[0][0].source.path == "/a"
    assert called[0][0].target.path == "/b"


REFUSED = [
    (["--batch"], "PROFILE"),
    (["--batch", "a", "b", "c"], "not 3 arguments"),
    (["--batch", "no-such-profile"], "no-such-profile"),
    (["--batch", "nightly", "--mode", "twoway"], "--mode"),
    (["--batch", "nightly", "--workers", "0"], "--workers"),
    (["--batch", "nightly", "--workers", "many"], "--workers"),
    (["--batch", "nightly", "--max-delete", "few"], "few"),
    (["--batch", "nightly", "--bandwidth-limit", "fast"], "fast"),
    (["nightly", "--apply", "x"], "is for --batch"),
    (["--batch", "nightly", "--apply", "x", "--mode", "copy"], "--mode cannot go with --apply"),
    (["--batch", "nightly", "--bogus\x1b[31m"], "\\x1b"),
    (["--batc", "nightly"], "--batc"),
    (["--quiet", "nightly"], "--batch"),
    (["--retry-failed", "nightly"], "--batch"),
    (["--log-file", "x", "nightly"], "--batch"),
    (["--metrics-file", "x", "nightly"], "--batch"),
    (["--batch", "--log-file", "/no/such/folder/x", "nightly"], "/no/such/folder/x"),
    (["--batch", "--metrics-file", "/no/such/folder/x", "nightly"], "/no/such/folder/x"),
    (["--batch", "/a", "ftp://host/b"], "ftp"),
    (["--batch", "sftp://me:secret@host/a", "/b"], "password"),
    ([], "terminal"),
    (["nightly"], "terminal"),
    (["demo"], "terminal"),
    (["demo", "--size", "huge"], "terminal"),
    (["demo", "--batch", "--size", "huge"], "huge"),
    (["profiles"], "COMMAND"),
    (["profiles", "tset", "nightly"], "tset"),
    (["profiles", "edit"], "edit"),
    (["profiles", "show", "absent"], "absent"),
    (["runs", "show", "seven"], "PAIR/RUN"),
]


@pytest.mark.parametrize(("arguments", "says"), REFUSED)
def test_a_wrong_command_line_is_one_sentence_and_exit_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert says in shown.err
    assert "\x1b" not in shown.err
    assert "secret" not in shown.err.replace("secrets", "").replace("'set-secret'", "")


def test_with_json_an_error_is_a_record_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--json", "no-such-profile"]) == 2
    shown = capsys.readouterr()
    record = json.loads(shown.out)
    assert record["event"] == "error"
    assert f"error: {record['message']}\n" == shown.err


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (NotFound("the source folder does not exist"), 3, "error: the source folder does not exist\n"),
        (Cancelled("interrupted: nothing was written"), 130, "error: interrupted: nothing was written\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_every_error_has_its_exit_code(
    error: BaseException,
    code: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def run_batch(*_: Any, **__: Any) -> int:
        raise error

    monkeypatch.setattr(tui_sync.batch, "run_batch", run_batch)
    monkeypatch.setattr(cli, "_silence_stdout", lambda: None)
    assert cli.main(["--batch", "nightly"]) == code
    assert capfd.readouterr().err == says


@pytest.mark.parametrize("debug", [False, True])
def test_a_bug_is_one_sentence_and_a_traceback_only_on_demand(
    debug: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_batch(*_: Any, **__: Any) -> int:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(tui_sync.batch, "run_batch", run_batch)
    if debug:
        monkeypatch.setenv("TUI_SYNC_DEBUG", "1")
    assert cli.main(["--batch", "nightly"]) == 1
    shown = capsys.readouterr().err
    assert "internal error: ZeroDivisionError: division by zero" in shown
    assert ("Traceback" in shown) is debug


@pytest.mark.parametrize("command", [[], ["demo"], ["profiles"], ["runs"]])
def test_help_ends_well_and_has_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "example:\n  tui-sync" in shown
    assert max(map(len, shown.splitlines())) <= 110


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"tui-sync {__version__}\n"


def test_the_demo_without_asyncssh_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    assert cli.main(["demo", "--batch"]) == 2
    assert "pip install 'tui-sync[demo]'" in capsys.readouterr().err


def test_the_app_is_opened_with_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    app = ModuleType("tui_sync.tui.app")
    app.run_app = lambda profile: opened.append(profile) or 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tui_sync.tui.app", app)
    monkeypatch.setattr(cli, "_require_terminal", lambda: None)
    assert cli.main(["nightly", "--mode", "mirror"]) == 0
    assert cli.main([]) == 0
    assert opened[0].options.mode is Mode.MIRROR
    assert opened[1] is None


def test_profiles_are_listed_and_a_broken_one_is_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["profiles", "list"]) == 0
    assert capsys.readouterr().out == "nightly\tsftp://me@source.example/data -> file:///srv/backup\n"
    (home / "profiles" / "broken.toml").write_text('[source]\npassword = "plain text"\n')
    assert cli.main(["profiles", "list"]) == 2
    shown = capsys.readouterr()
    assert shown.out.startswith("nightly\t")
    assert "broken.toml" in shown.err
    assert "plain text" not in shown.err


def test_a_profile_is_shown_without_what_leads_to_its_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["profiles", "show", "nightly"]) == 0
    shown = capsys.readouterr().out
    assert 'url = "sftp://me@source.example/data"' in shown
    assert 'password = "********"' in shown
    assert "HUSH_HUSH" not in shown
    assert 'exclude = ["*.tmp"]' in shown
    assert "workers = 3" in shown
    assert 'max_delete = "50%"' in shown


def test_the_profiles_folder_is_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["profiles", "path"]) == 0
    assert capsys.readouterr().out == f"{home / 'profiles'}\n"


def test_runs_are_listed_and_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = home / "source"
    source.mkdir()
    (source / "new\nline.txt").write_text("one")
    assert cli.main(["runs", "list"]) == 0
    assert capsys.readouterr().out == ""
    for _ in range(2):
        assert cli.main(["--batch", str(source), str(home / "target")]) == 0
    capsys.readouterr()
    assert cli.main(["runs", "list"]) == 0
    newest, oldest = capsys.readouterr().out.splitlines()
    assert "ok: 0 created" in newest
    assert "ok: 1 created" in oldest
    assert cli.main(["runs", "show", oldest.partition("\t")[0]]) == 0
    shown = capsys.readouterr().out
    assert "+ new\\nline.txt\tonly on source\n" in shown
    assert "ok: 1 created" in shown
    assert cli.main(["runs", "show", f"{oldest.rpartition('/')[0].partition('/')[0]}/99"]) == 3
    assert cli.main(["runs", "show", "nothing/1"]) == 3


def test_a_damaged_ledger_is_told_and_the_others_are_listed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "source").mkdir()
    assert cli.main(["--batch", str(home / "source"), str(home / "target")]) == 0
    ledgers = home / "state" / "tui-sync" / "ledgers"
    (ledgers / "broken.sqlite").write_bytes(b"no database " * 100)
    capsys.readouterr()
    assert cli.main(["runs", "list"]) == 1
    shown = capsys.readouterr()
    assert "broken.sqlite" in shown.err
    assert "ok: " in shown.out


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "tui_sync", *arguments]
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


def test_no_arguments_and_no_terminal_is_a_usage_error() -> None:
    done = run()
    assert done.returncode == 2
    assert b"--batch" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--batch", "sftp://me:s3cret@host/x"],
        ["--batch", "sftp:/me:s3cret@host/x"],
        ["sftp://me:s3cret@host/x"],
        ["--batch", "--soruce=sftp://me:s3cret@h/x"],
        ["--batch", "--soruce=sftp://me:a/b@s3cret@h/x", "y"],
        ["--batch", "--workers=sftp://me:s3cret@h/x", "a", "b"],
        ["--batch", "--max-delete=sftp://me:s3cret@h/x", "a", "b"],
        ["--batch", "--log-file=/no/sftp://me:s3cret@h/x", "a", "b"],
        ["--batch", "sftp://me:s3cret@h/x", "b"],
        ["profiles", "show", "sftp://me:s3cret@h/x"],
        ["profiles", "shwo", "sftp://me:s3cret@h/x"],
        ["profiles", "sftp://me:s3cret@h/x"],
        ["profiles", "trust", "sftp://me:s3cret@h/x"],
        ["runs", "show", "sftp://me:s3cret@h/x"],
        ["runs", "undo", "sftp://me:s3cret@h/x"],
        ["demo", "sftp://me:s3cret@h/x"],
        ["completion", "sftp://me:s3cret@h/x"],
    ],
)
def test_a_password_in_a_url_is_told_nowhere(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) != 0
    told = capsys.readouterr()
    assert "error: " in told.err
    assert "s3cret" not in told.out + told.err


def test_one_url_alone_lacks_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--batch", "sftp://me@host/x"]) == 2
    assert capsys.readouterr().err.startswith("error: a TARGET is missing")


def test_a_narrow_encoding_does_no_harm(home: Path) -> None:
    source = home / "source"
    source.mkdir()
    (source / "caf\u00e9").write_text("x")
    done = run("--dry-run", str(source), str(home / "target"), PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert b"+ caf\\xe9" in done.stdout


def test_a_closed_pipe_is_no_traceback(home: Path) -> None:
    source = home / "source"
    source.mkdir()
    for number in range(3000):
        (source / f"a rather long name to fill the pipe with {number:05d}").touch()
    command = [sys.executable, "-m", "tui_sync", "--dry-run", str(source), str(home / "target")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait(30) == 1
    assert b"Traceback" not in told
    assert b"Exception ignored" not in told


def filled(home: Path, files: int) -> list[str]:
    """A source of so many files and a target to be made, as arguments."""
    source = home / "source"
    source.mkdir()
    for number in range(files):
        (source / f"a rather long name to fill the pipe with {number:05d}").touch()
    return [str(source), str(home / "target")]


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_keeps_nothing_from_being_done(home: Path, closed: str) -> None:
    command = f'exec "$@" {closed}'
    program = [sys.executable, "-m", "tui_sync", "--batch", *filled(home, 3)]
    done = subprocess.run(["sh", "-c", command, "sh", *program], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert len(list((home / "target").glob("a rather*"))) == 3
    again = run("--json", *program[4:])
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["unchanged"] == 3


@pytest.mark.parametrize("arguments", [["--batch"], ["--dry-run"], ["--json"], ["profiles", "list"]])
def test_a_full_disk_under_the_output_is_one_sentence(home: Path, arguments: list[str]) -> None:
    pair = [] if "profiles" in arguments else filled(home, 2000)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tui_sync", *arguments, *pair],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert b"error: cannot write the output: No space left on device\n" in done.stderr
    for word in (b"internal", b"Traceback", b"Exception ignored"):
        assert word not in done.stderr


def test_what_cannot_be_told_is_no_error(home: Path) -> None:
    program = [sys.executable, "-m", "tui_sync", "--batch", *filled(home, 3)]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(program, stdout=subprocess.PIPE, stderr=full, timeout=60, check=False)
    assert done.returncode == 0
    assert b"ok: 3 created" in done.stdout


@pytest.mark.parametrize("both", [False, True])
def test_two_interrupts_end_a_run_whose_reader_is_stuck(home: Path, both: bool) -> None:
    program = [sys.executable, "-m", "tui_sync", "--json", *filled(home, 3000)]
    reading, writing = os.pipe()
    err = writing if both else subprocess.DEVNULL
    with subprocess.Popen(program, stdout=writing, stderr=err) as process:
        os.close(writing)
        try:
            until_full(reading)
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            try:
                code = process.wait(3)
            except subprocess.TimeoutExpired:
                # Both came before it ran again, which makes them one.
                process.send_signal(signal.SIGINT)
                code = process.wait(10)
            assert code == 130
        finally:
            process.kill()
            os.close(reading)


def until_full(pipe: int) -> None:
    """Wait until what is in the pipe has not grown for a while."""
    waiting, since = -1, time.monotonic()
    while time.monotonic() - since < 0.5 or waiting < 4096:
        now = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
        if now != waiting:
            waiting, since = now, time.monotonic()
        time.sleep(0.02)


def test_batch_mode_does_not_load_the_app(home: Path) -> None:
    (home / "source").mkdir()
    code = (
        "import sys; from tui_sync.cli import main; "
        f"code = main(['--batch', {str(home / 'source')!r}, {str(home / 'target')!r}]); "
        "loaded = {name.partition('.')[0] for name in sys.modules}; "
        "print(sorted(loaded & {'textual', 'rich', 'click', 'asyncssh'})); "
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == b"[]"


def test_an_interrupt_while_the_program_is_loaded_is_no_traceback() -> None:
    code = """
import runpy, sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "tui_sync.commands.parser":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
runpy.run_module("tui_sync", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (130, b"")


def test_a_working_folder_that_is_gone_is_one_sentence(home: Path) -> None:
    (home / "gone").mkdir()
    (home / "source").mkdir()
    script = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    for pair, code in (
        (["source", "target"], 2),
        ([str(home / "source"), str(home / "target")], 0),
    ):
        (home / "gone").mkdir(exist_ok=True)
        program = [sys.executable, "-m", "tui_sync", "--batch", *pair]
        done = subprocess.run(
            ["sh", "-c", script, "sh", str(home / "gone"), *program],
            capture_output=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert (b"the working folder is gone" in done.stderr) == (code == 2)
