"""Secrets come from where the reference says, and show up nowhere else."""

from __future__ import annotations

import copy
import os
import shlex
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tui_sync.errors import ProfileError, UsageError
from tui_sync.profiles import load, secrets
from tui_sync.profiles.secrets import Secret, check_reference, secret

HIDDEN = "hunter2-Ünïcode"


def made(reference: str, base: Path) -> Secret:
    found = secret(check_reference(reference), where="p.toml: source.password", base=base)
    assert found is not None
    return found


def python(code: str) -> str:
    return f"command:{shlex.quote(sys.executable)} -c {shlex.quote(code)}"


def everything_in(error: BaseException) -> str:
    """All text that an exception carries along, as a log of it might show."""
    seen: list[str] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None:
            continue
        details = one.errors() if hasattr(one, "errors") else ""
        seen += [str(one), repr(one), repr(one.args), repr(vars(one)), str(details)]
        seen += [str(getattr(one, name, "")) for name in ("object", "doc", "output", "stdout", "cmd")]
        todo += [one.__cause__, one.__context__]
    return "\n".join(seen)


def refused(found: Secret) -> str:
    with pytest.raises(ProfileError) as caught:
        found()
    assert HIDDEN not in everything_in(caught.value)
    message = str(caught.value)
    assert message.startswith("p.toml: source.password: ")
    assert "\n" not in message
    return message


def test_from_the_environment_when_asked_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOME_SECRET", raising=False)
    found = made("env:SOME_SECRET", tmp_path)
    assert "SOME_SECRET is not set" in refused(found)
    monkeypatch.setenv("SOME_SECRET", "")
    assert "SOME_SECRET is empty" in refused(found)
    monkeypatch.setenv("SOME_SECRET", HIDDEN)
    assert found() == HIDDEN
    monkeypatch.setenv("SOME_SECRET", "another")
    assert found() == "another"


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_from_a_file_without_its_last_line_end(tmp_path: Path, ending: str) -> None:
    file = tmp_path / "the secret"
    file.write_text(HIDDEN + ending, newline="")
    file.chmod(0o600)
    assert made("file:the secret", tmp_path)() == HIDDEN
    assert made(f"file:{file}", Path("/"))() == HIDDEN


def test_white_space_may_belong_to_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("  two words \n")
    file.chmod(0o600)
    assert made("file:secret", tmp_path)() == "  two words "


def test_a_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "secret").write_text(HIDDEN)
    (tmp_path / "secret").chmod(0o400)
    assert made("file:~/secret", Path("/"))() == HIDDEN
    assert "write the path in full" in refused(made("file:~no-such-user/secret", Path("/")))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644])
def test_a_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "my secret"
    file.write_text(HIDDEN)
    file.chmod(mode)
    message = refused(made("file:my secret", tmp_path))
    assert f"chmod 600 '{file}'" in message


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (HIDDEN.encode() + b"\nuser: me\n", "more than one line"),
        (HIDDEN.encode() + b"\xff", "is not UTF-8"),
        (HIDDEN.encode() * 9000, "too long"),
        (HIDDEN.encode() + b"\0", "more than one line"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    file.chmod(0o600)
    assert problem in refused(made("file:secret", tmp_path))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "no regular file" in refused(made("file:pipe", tmp_path))
    assert "cannot read the file" in refused(made("file:missing", tmp_path))
    assert refused(made(f"file:{tmp_path}", tmp_path))


def test_from_a_command_without_a_shell(tmp_path: Path) -> None:
    assert made(python(f"print({HIDDEN!r})"), tmp_path)() == HIDDEN
    assert made("command:echo $HOME '*' ; ls", tmp_path)() == "$HOME * ; ls"
    assert made("command:pwd", tmp_path)() == str(tmp_path)


def test_a_failing_command_is_told_by_its_status_alone(tmp_path: Path) -> None:
    code = f"import sys; print({HIDDEN!r}); print({HIDDEN!r}, file=sys.stderr); sys.exit(3)"
    message = refused(made(python(code), tmp_path))
    assert "exit status 3" in message
    assert "print" not in message
    killed = made(python("import os; os.kill(os.getpid(), 9)"), tmp_path)
    assert "signal 9" in refused(killed)
    assert "cannot start no-such-program" in refused(made("command:no-such-program --x", tmp_path))
    assert "is empty" in refused(made("command:true", tmp_path))


def test_a_command_does_not_wait_for_the_keyboard(tmp_path: Path) -> None:
    assert made("command:sh -c 'read x; echo none'", tmp_path)() == "none"


def test_a_command_that_hangs_is_ended_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "COMMAND_SECONDS", 2)
    found = made(f"command:sh -c 'echo {HIDDEN}; sleep 60 & echo $! > pid; wait'", tmp_path)
    assert "gave nothing within" in refused(found)
    until_ended(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    "reference",
    [HIDDEN, "", "env", "env:", f"env:{HIDDEN} x", "env:1A", "file:", "file: ", "command:", "command: ",
     f"command:'{HIDDEN}", "Ask", f"password:{HIDDEN}", f"ENV:{HIDDEN}", f"keyring:{HIDDEN}",
     f"keyring:/{HIDDEN}", 12345, True, ["env:X"]],
)  # fmt: skip
def test_what_is_no_reference_is_refused_without_being_quoted(reference: object) -> None:
    with pytest.raises(ValueError, match=r"^(must be a reference|needs)") as caught:
        check_reference(reference)
    text = everything_in(caught.value)
    assert HIDDEN not in text
    assert "12345" not in text


def test_ask_leaves_the_question_to_the_connector(tmp_path: Path) -> None:
    assert secret(check_reference("ask"), where="x", base=tmp_path) is None


@pytest.mark.parametrize("key", ["password", "passphrase"])
def test_a_profile_shows_where_a_secret_is_and_never_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("SOME_SECRET", HIDDEN)
    file = tmp_path / "p.toml"
    file.write_text(f'[source]\nurl = "sftp://u@h/a"\n{key} = "env:SOME_SECRET"\n[target]\nurl = "b"\n')
    profile = load(file)
    assert profile.source.secrets[key]() == HIDDEN
    for thing in (profile, profile.source, profile.source.secrets, profile.source.secrets[key]):
        assert HIDDEN not in repr(thing)
        assert HIDDEN not in str(thing)
    assert repr(profile.source.secrets[key]) == "<secret from env:SOME_SECRET>"
    assert copy.copy(profile).source.secrets[key]() == HIDDEN


def test_a_commands_arguments_are_not_shown(tmp_path: Path) -> None:
    assert HIDDEN not in repr(made(f"command:echo {HIDDEN}", tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        f'[source]\nurl = "sftp://u@h/a"\npassword = "{HIDDEN}"\n[target]\nurl = "b"\n',
        f'[source]\nurl = "sftp://u@h/a"\npasswrod = "{HIDDEN}"\n[target]\nurl = "b"\n',
        f'[source]\nurl = "sftp://u@h/a"\npassword = ["{HIDDEN}"]\n[target]\nurl = "b"\n',
        f'[source]\nurl = "sftp://u@h/a"\npassword = {{ x = "{HIDDEN}" }}\n[target]\nurl = "b"\n',
        f'password = "{HIDDEN}"\n[source]\nurl = "sftp://u@h/a"\n[target]\nurl = "b"\n',
        f'[source]\nurl = "sftp://u:{HIDDEN}@h/a"\n[target]\nurl = "b"\n',
        f'[source]\nurl = "sftp://u:a/{HIDDEN}@h/a"\n[target]\nurl = "b"\n',
        f'[source]\nurl = "sftp://u:{HIDDEN}/{HIDDEN}@h/a"\n[target]\nurl = "b"\n',
        f'[source]\nurl = "ftp://u:{HIDDEN}@h/a"\n[target]\nurl = "b"\n',
        f'[source]\nurl = "sftp:u:{HIDDEN}@h/a"\n[target]\nurl = "b"\n',
        f'[source]\nurl = "s3://{HIDDEN}"\nsecret_key = "{HIDDEN}"\n[target]\nurl = "b"\n',
        f'[source]\nurl = "sftp://u@h/a"\npassword = {HIDDEN}\n[target]\nurl = "b"\n',
        f'[source]\nurl = "sftp://u@h/a"\npassword = "{HIDDEN}\n[target]\nurl = "b"\n',
        f'[source]\nurl = "sftp://u@h/a"\npassword = "{HIDDEN}"\n',
        f'[source]\npassword = "{HIDDEN}"\nurl = 3\n[target]\nurl = "b"\n',
        f'source = "{HIDDEN}"\n[target]\nurl = "b"\n',
    ],
)
def test_a_plain_text_password_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    file = tmp_path / "p.toml"
    for content in (text.encode(), text.encode() + b"\xff"):
        file.write_bytes(content)
        with pytest.raises(ProfileError) as caught:
            load(file)
        assert HIDDEN not in everything_in(caught.value)
        assert str(caught.value).startswith(f"{file}: ")


class Keyring:
    """Takes the package's place: its two functions, over a dict."""

    def __init__(self, **kept: str) -> None:
        self.kept = {tuple(key.split("__")): value for key, value in kept.items()}

    def get_password(self, service: str, user: str) -> str | None:
        return self.kept.get((service, user))

    def set_password(self, service: str, user: str, value: str) -> None:
        self.kept[service, user] = value


class LockedKeyring(Keyring):
    def get_password(self, service: str, user: str) -> str | None:
        raise RuntimeError(f"locked, and here is {HIDDEN}")


def test_from_the_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = Keyring()
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    found = made("keyring:tui/sync/me@host", tmp_path)
    assert "set-secret tui/sync/me@host" in refused(found)
    secrets.store_in_keyring("tui/sync/me@host", HIDDEN)
    assert keyring.kept == {("tui/sync", "me@host"): HIDDEN}
    assert found() == HIDDEN
    assert repr(found) == "<secret from keyring:…>"


def test_a_keyring_that_is_locked_or_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", LockedKeyring())
    assert "unlocked?" in refused(made("keyring:a/b", tmp_path))
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert "pip install 'tui-sync[keyring]'" in refused(made("keyring:a/b", tmp_path))


@pytest.mark.parametrize(
    ("entry", "value"), [("x", "v"), ("/x", "v"), ("x/", "v"), ("a/b", ""), ("a/b", "1\n2")]
)
def test_what_cannot_be_stored_is_refused(monkeypatch: pytest.MonkeyPatch, entry: str, value: str) -> None:
    keyring = Keyring()
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    with pytest.raises(UsageError):
        secrets.store_in_keyring(entry, value)
    assert keyring.kept == {}


_ENDS_FIRST = """
import subprocess, sys, threading, time
from pathlib import Path
from tui_sync.profiles.secrets import secret

class Slow(subprocess.Popen):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        time.sleep(float(sys.argv[2]))

subprocess.Popen = Slow
resolve = secret("command:sh -c 'echo $$ > pid; exec sleep 60'", where="here", base=Path(sys.argv[1]))
threading.Thread(target=resolve, daemon=True).start()
while not Path(sys.argv[1], "pid").exists() or not Path(sys.argv[1], "pid").read_text().endswith(chr(10)):
    time.sleep(0.01)
"""


@pytest.mark.parametrize("seconds_to_start", [0, 0.5])
def test_a_command_does_not_outlive_the_program(tmp_path: Path, seconds_to_start: float) -> None:
    subprocess.run(
        [sys.executable, "-c", _ENDS_FIRST, str(tmp_path), str(seconds_to_start)], check=True, timeout=30
    )
    until_ended(int((tmp_path / "pid").read_text()))


_INTERRUPTED = """
import os, signal, sys, threading, time
from pathlib import Path
from tui_sync.profiles.secrets import secret

pid = Path(sys.argv[1], "pid")

def interrupt():
    while not pid.exists() or not pid.read_text().endswith(chr(10)):
        time.sleep(0.01)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
try:
    secret("command:sh -c 'echo $$ > pid; exec sleep 60'", where="here", base=Path(sys.argv[1]))()
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_command_does_not_outlive_an_interrupt(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _INTERRUPTED, str(tmp_path)]
    assert subprocess.run(command, check=True, timeout=30, capture_output=True).stdout == b"interrupted\n"
    until_ended(int((tmp_path / "pid").read_text()))


def test_a_command_that_cannot_start_keeps_no_other_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the folder of the one is on a server that does not answer."""
    begun, answers = threading.Event(), threading.Event()

    class Stuck(subprocess.Popen[bytes]):
        def __init__(self, words: list[str], **options: Any) -> None:
            if words == ["stuck"]:
                begun.set()
                answers.wait(60)
            super().__init__(words, **options)

    monkeypatch.setattr(subprocess, "Popen", Stuck)
    stuck = made("command:stuck", tmp_path)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(refused, stuck)
        try:
            assert begun.wait(10)
            assert pool.submit(made("command:echo hi", tmp_path)).result(30) == "hi"
        finally:
            answers.set()
        assert "cannot start stuck" in waiting.result(30)


_FORKS = """
import os, sys, threading, time
from pathlib import Path
from tui_sync.profiles.secrets import secret

base = Path(sys.argv[1])
there = threading.Event()
resolve = secret("command:sh -c 'echo $$ > pid; read line < answer; echo $line'", where="here", base=base)
os.mkfifo(base / "answer")
answers = []
thread = threading.Thread(target=lambda: answers.append(resolve()))
thread.start()
while not (base / "pid").exists():
    time.sleep(0.01)
child = os.fork()
if child == 0:
    assert secret("command:echo hi", where="here", base=base)() == "hi"
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
(base / "answer").write_text("still there\\n")
thread.join()
print(*answers)
"""


def test_a_fork_that_ends_leaves_the_commands_of_its_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", _FORKS, str(tmp_path)]
    assert subprocess.run(command, check=True, timeout=30, capture_output=True).stdout == b"still there\n"


def until_ended(pid: int) -> None:
    stat = Path("/proc", str(pid), "stat")
    deadline = time.monotonic() + 10
    # It may be gone at any time.
    with suppress(OSError):
        while stat.read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < deadline, "the command still runs"
            time.sleep(0.01)
