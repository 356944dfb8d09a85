"""What goes wrong in practice ends in a sentence, the documented exit code, and nothing lost."""

from __future__ import annotations

import errno
import filecmp
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.batch import Ran, environment, tui_sync
from tests.support.sshd import Sshd
from tui_sync import cli
from tui_sync.demo import servers
from tui_sync.demo.servers import EmbeddedServer
from tui_sync.demo.trees import make_large
from tui_sync.names import is_ours

PASSWORD = "not for the eyes of others"


class Pair:
    """Two embedded servers, a profile for them, and a home of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.source_root, self.target_root = home / "source", home / "target"
        self.source_root.mkdir()
        self.target_root.mkdir()
        (self.source_root / "one.txt").write_text("one")
        (self.source_root / "two.txt").write_text("two")
        self.source = EmbeddedServer(self.source_root, user="from", password=PASSWORD).start()
        self.target = EmbeddedServer(self.target_root, user="to", password=PASSWORD).start()
        self.known_hosts = home / "known_hosts"
        self.known_hosts.write_text(f"{self.source.host_key_line}\n{self.target.host_key_line}\n")
        self.profile = home / "pair.toml"
        self.write()

    def write(
        self,
        *,
        source_url: str | None = None,
        password: str = '"env:PASSWORD"',
        known_hosts: Path | None = None,
        sync: str = "",
    ) -> None:
        hosts = f'known_hosts = "{known_hosts or self.known_hosts}"'
        self.profile.write_text(
            f'[source]\nurl = "{source_url or self.source.url("/")}"\npassword = {password}\n{hosts}\n'
            f'[target]\nurl = "{self.target.url("/")}"\npassword = "env:PASSWORD"\n{hosts}\n'
            f"[sync]\n{sync}\n"
        )

    def sync(self, *options: str, **env: str) -> Ran:
        return tui_sync("--batch", *options, self.profile, home=self.home, **{"PASSWORD": PASSWORD, **env})

    def stop(self) -> None:
        self.source.stop()
        self.target.stop()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.stop()


def check(ran: Ran, code: int, *says: str) -> None:
    """The exit code, a sentence with these words on stderr, no traceback, no secret."""
    assert ran.code == code, ran.err
    for words in says:
        assert words in ran.err
    assert "Traceback" not in ran.out + ran.err
    assert "internal error" not in ran.out + ran.err
    assert PASSWORD not in ran.out + ran.err


def test_without_trouble_all_is_well(pair: Pair) -> None:
    check(pair.sync("--mode", "mirror"), 0)
    assert (pair.target_root / "one.txt").read_text() == "one"
    ran = pair.sync("--json")
    check(ran, 0)
    assert (ran.summary["created"], ran.summary["updated"], ran.summary["unchanged"]) == (0, 0, 2)


def test_a_wrong_password(pair: Pair) -> None:
    ran = pair.sync("--json", PASSWORD="guessed wrong")
    check(ran, 7, f"from@127.0.0.1:{pair.source.port}", "password")
    assert ran.records == [{"event": "error", "message": ran.err.splitlines()[-1].removeprefix("error: ")}]
    assert "guessed wrong" not in ran.out + ran.err


def test_a_secret_that_is_not_there(pair: Pair) -> None:
    pair.write(password='"env:NOBODY_SET_THIS"')
    check(pair.sync(), 2, "NOBODY_SET_THIS", "password")


def test_a_secret_that_would_have_to_be_asked_for(pair: Pair) -> None:
    pair.write(password='"ask"')
    check(pair.sync(), 7, 'password = "env:NAME"')


def test_an_unknown_host_key(pair: Pair, tmp_path: Path) -> None:
    pair.known_hosts.write_text(f"{pair.target.host_key_line}\n")
    check(pair.sync(), 7, pair.source.fingerprint, f"tui-sync profiles trust {pair.profile}")
    assert pair.known_hosts.read_text() == f"{pair.target.host_key_line}\n"
    pair.known_hosts.write_text(f"{pair.source.host_key_line}\n{pair.target.host_key_line}\n")
    check(pair.sync(), 0)


def test_a_changed_host_key(pair: Pair) -> None:
    other = pair.target.host_key_line.split()[2]
    host, kind, _ = pair.source.host_key_line.split()
    pair.known_hosts.write_text(f"{host} {kind} {other}\n{pair.target.host_key_line}\n")
    check(pair.sync(), 7, pair.source.fingerprint, "changed")
    assert list(pair.target_root.iterdir()) == []


def test_a_refused_connection(pair: Pair) -> None:
    pair.source.stop()
    check(pair.sync(), 7, "127.0.0.1", "refuses")


def test_a_server_that_is_no_ssh_server(pair: Pair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pair.write(source_url=f"sftp://from@127.0.0.1:{listener.getsockname()[1]}/")
        command = [sys.executable, "-m", "tui_sync", "--batch", str(pair.profile)]
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=environment(pair.home, PASSWORD=PASSWORD)
        ) as process:
            listener.settimeout(30)
            connection, _ = listener.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()
            assert process.stderr is not None
            told = process.stderr.read()
        assert process.returncode == 7
        assert "does not answer as an SSH server" in told
        assert "Traceback" not in told


def test_a_missing_source_folder(pair: Pair) -> None:
    pair.write(source_url=pair.source.url("/not/there"))
    ran = pair.sync("--json", "--mode", "mirror")
    check(ran, 3, "/not/there")
    assert [record["event"] for record in ran.records] == ["error"]


def test_a_source_that_is_a_file(pair: Pair) -> None:
    pair.write(source_url=pair.source.url("/one.txt"))
    check(pair.sync(), 3, "one.txt")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not = [valid", "not valid TOML"),
        ("", "[source]"),
        ('[source]\nurl = "/a"\n[target]\nurl = "/b"\nsurplus = 1', "surplus"),
        ('[source]\nurl = "sftp://a/x"\npassword = "hunter2"\n[target]\nurl = "/b"', "env:"),
        ('[source]\nurl = "/a"\n[target]\nurl = "/b"\n[sync]\nmode = "both"', "mode"),
    ],
)
def test_a_malformed_profile(pair: Pair, text: str, says: str) -> None:
    pair.profile.write_text(text)
    ran = pair.sync()
    check(ran, 2, "pair.toml", says)
    assert "hunter2" not in ran.err


def test_a_bad_pattern(pair: Pair) -> None:
    check(pair.sync("--exclude", "["), 2, "[")


def test_deletes_beyond_the_limit_are_refused(pair: Pair) -> None:
    for number in range(3):
        (pair.target_root / f"only here {number}").write_text("precious")
    ran = pair.sync("--json", "--mode", "mirror", "--max-delete", "2")
    check(ran, 25, "3 of 3")
    assert (ran.summary["status"], ran.summary["exit_code"]) == ("refused", 25)
    assert sorted(path.name for path in pair.target_root.iterdir()) == [f"only here {n}" for n in range(3)]


def test_an_emptied_source_is_refused(pair: Pair) -> None:
    check(pair.sync(), 0)
    for path in pair.source_root.iterdir():
        path.unlink()
    check(pair.sync("--mode", "mirror", "--max-delete", "100%"), 25, "empty")
    assert (pair.target_root / "one.txt").read_text() == "one"


# The following put a fault into the server, so they run in this process.


@pytest.fixture
def in_process(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Pair:
    monkeypatch.setenv("PASSWORD", PASSWORD)
    monkeypatch.setenv("XDG_STATE_HOME", str(pair.home / "state"))
    return pair


def test_an_unreadable_file_fails_alone(
    in_process: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = servers._Files.open

    def refuse(self: Any, path: bytes, pflags: int, attrs: Any) -> Any:
        if path.endswith(b"one.txt"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return sound(self, path, pflags, attrs)

    monkeypatch.setattr(servers._Files, "open", refuse)
    assert cli.main(["--batch", str(in_process.profile)]) == 23
    shown = capsys.readouterr()
    assert "! one.txt\tfailed: " in shown.out
    assert "+ two.txt\t" in shown.out
    assert "1 failed" in shown.err
    assert [path.name for path in in_process.target_root.iterdir()] == ["two.txt"]


def test_a_full_target_keeps_the_old_files(
    in_process: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = in_process.target_root / "one.txt"
    old.write_text("the old one")
    os.utime(old, (1, 1))

    def full(self: Any, file_obj: Any, offset: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(servers._Files, "write", full, raising=False)
    assert cli.main(["--batch", str(in_process.profile)]) == 23
    assert "space" in capsys.readouterr().out.lower()
    assert old.read_text() == "the old one"
    assert [path.name for path in in_process.target_root.iterdir()] == ["one.txt"]


def test_a_folder_that_cannot_be_listed_is_a_conflict_and_loses_nothing(
    in_process: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for root in (in_process.source_root, in_process.target_root):
        (root / "closed").mkdir()
    kept = in_process.target_root / "closed" / "kept.txt"
    kept.write_text("kept")
    (in_process.target_root / "extra.txt").write_text("extra")
    sound = servers._Files.scandir
    closed = os.fsencode(in_process.source_root / "closed")

    def refuse(self: Any, path: bytes) -> Any:
        if self.map_path(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied")
        return sound(self, path)

    monkeypatch.setattr(servers._Files, "scandir", refuse)
    assert cli.main(["--batch", "--mode", "mirror", "--max-delete", "100%", str(in_process.profile)]) == 23
    assert "! closed/\t" in capsys.readouterr().out
    assert kept.read_text() == "kept"
    assert not (in_process.target_root / "extra.txt").exists()


def test_a_file_that_changes_after_the_plan_is_skipped_with_24(
    in_process: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tui_sync.session import Session

    sound = Session.start

    def meddle(self: Session, *arguments: Any, **options: Any) -> Any:
        (in_process.source_root / "one.txt").write_text("something else meanwhile")
        (in_process.source_root / "two.txt").unlink()
        return sound(self, *arguments, **options)

    monkeypatch.setattr(Session, "start", meddle)
    assert cli.main(["--batch", "--json", str(in_process.profile)]) == 24
    last = capsys.readouterr().out.splitlines()[-1]
    assert '"skipped": 2' in last
    assert '"exit_code": 24' in last
    assert list(in_process.target_root.iterdir()) == []


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGINT, signal.SIGTERM]])
def test_an_interrupted_run_ends_in_130_and_the_next_completes_it(
    pair: Pair, signals: list[signal.Signals]
) -> None:
    make_large(pair.source_root / "large.bin", size=15_000_000)
    pair.write(sync='bandwidth_limit = "5M"\nworkers = 1')
    command = [sys.executable, "-m", "tui_sync", "--json", str(pair.profile)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment(pair.home, PASSWORD=PASSWORD)
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if '"progress"' in line:
                break
        for kind in signals:
            process.send_signal(kind)
        lines += process.stdout.readlines()
    assert process.returncode == 130
    summary = json.loads(lines[-1])
    assert (summary["event"], summary["status"], summary["exit_code"]) == ("summary", "interrupted", 130)
    # The first signal lets the file in flight come to its end, the second does not.
    names = [path.name for path in pair.target_root.iterdir() if not is_ours(path.name)]
    assert names == (["large.bin"] if len(signals) == 1 else [])
    pair.write()
    check(pair.sync(), 0)
    assert filecmp.cmp(pair.source_root / "large.bin", pair.target_root / "large.bin", shallow=False)
    assert sorted(path.name for path in pair.target_root.iterdir()) == ["large.bin", "one.txt", "two.txt"]


@pytest.mark.parametrize("name", ["LC_ALL", "LC_CTYPE"])
def test_names_are_utf8_whatever_the_locale(tmp_path: Path, require_sshd: None, name: str) -> None:
    names = ["caf\u00e9", "bytes\udcff", "plain"]
    for each in names:
        (tmp_path / "s\u00f6urce" / each).parent.mkdir(exist_ok=True)
        (tmp_path / "s\u00f6urce" / each).write_text("x")
    with Sshd(tmp_path / "sshd") as server:
        profile = tmp_path / "pair.toml"
        profile.write_text(
            f'[source]\nurl = "{tmp_path}/s\u00f6urce"\n[target]\nurl = "{server.url(tmp_path / "target")}"\n'
            f'identity_file = "{server.identity_file}"\nknown_hosts = "{server.known_hosts}"\n'
        )
        # Which of the variables says it is told by one locale as well as by two.
        for locale in ("C", latin_1(tmp_path)) if name == "LC_ALL" else ("C",):
            more = {"LANG": "", "LC_ALL": "", "LOCPATH": str(tmp_path / "locales")}
            settings = {**more, name: locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
            check(tui_sync("--batch", profile, home=tmp_path, **settings), 0)
            assert sorted(os.listdir(tmp_path / "target")) == sorted(names)
            again = tui_sync("--json", profile, home=tmp_path, **settings)
            assert again.summary["unchanged"] == 3
            local = tui_sync(
                "--batch",
                tmp_path / "s\u00f6urce",
                tmp_path / f"l\u00f6cal-{locale}",
                home=tmp_path,
                **settings,
            )
            check(local, 0)
            assert sorted(os.listdir(tmp_path / f"l\u00f6cal-{locale}")) == sorted(names)


def latin_1(folder: Path) -> str:
    """A locale made in ``folder``/locales; C where none can be made."""
    if shutil.which("localedef") is None:
        return "C"
    (folder / "locales").mkdir()
    made = folder / "locales/de_DE.ISO-8859-1"
    command = ["localedef", "-i", "POSIX", "-f", "ISO-8859-1", str(made)]
    subprocess.run(command, capture_output=True, check=False, timeout=60)
    return made.name if made.exists() else "C"
