"""The completion scripts are valid for their shells, and bash's completes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tui_sync import cli


@pytest.fixture
def bash(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    assert cli.main(["completion", "bash"]) == 0
    return capsys.readouterr().out


def complete(script: str, *words: str, names: str = "alpha\\nbeta\\n") -> list[str]:
    """What bash would offer for the last word; ``names`` are the profiles as printf writes them."""
    line = " ".join(f"'{word}'" for word in words)
    code = (
        f"tui-sync() {{ printf '{names}'; }}\n{script}\nCOMP_WORDS=({line})\n"
        f"COMP_CWORD={len(words) - 1}\n_tui_sync\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    ran = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True, timeout=30)
    return ran.stdout.splitlines()


def test_bash_completes_commands_options_and_profiles(bash: str) -> None:
    assert complete(bash, "tui-sync", "pro") == ["profiles"]
    assert complete(bash, "tui-sync", "al") == ["alpha"]
    assert complete(bash, "tui-sync", "--dry") == ["--dry-run"]
    assert complete(bash, "tui-sync", "--batch", "al", "--ver") == ["--version", "--verify"]
    assert complete(bash, "tui-sync", "demo", "--ke") == ["--keep"]
    assert complete(bash, "tui-sync", "profiles", "tr") == ["trust"]
    assert complete(bash, "tui-sync", "profiles", "trust", "be") == ["beta"]
    assert complete(bash, "tui-sync", "profiles", "trust", "--y") == ["--yes"]
    assert complete(bash, "tui-sync", "runs", "export", "--f") == ["--format"]
    assert complete(bash, "tui-sync", "completion", "z") == ["zsh"]


def test_bash_runs_nothing_that_a_name_spells(bash: str, tmp_path: Path) -> None:
    names = f"$(touch {tmp_path}/one)\\n`touch {tmp_path}/two`\\nmy nightly\\n"
    assert complete(bash, "tui-sync", "my", names=names) == ["my\\ nightly"]
    assert len(complete(bash, "tui-sync", "profiles", "show", "", names=names)) == 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_scripts_parse(
    shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "dry-run" in script
    assert "set-secret" in script
    program = shutil.which(shell)
    if program is not None:
        (tmp_path / "script").write_text(script)
        subprocess.run([program, "-n", str(tmp_path / "script")], check=True, timeout=30)


def test_names_are_those_of_the_profiles(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUI_SYNC_PROFILES", str(tmp_path))
    (tmp_path / "nightly.toml").write_text("")
    assert cli.main(["completion", "names"]) == 0
    assert capsys.readouterr().out == "nightly\n"
