"""``tui-sync profiles``: new, edit, import, schema, set-secret; test and trust have integration tests."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from tui_sync import cli, profiles
from tui_sync.connectors.sftp.randomart import randomart
from tui_sync.profiles import imports, template
from tui_sync.profiles.editor import json_schema

EXAMPLES = sorted((Path(__file__).parents[2] / "profiles").glob("*.toml"))
HIDDEN = "hunter2-in-the-clear"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A profiles folder of this test's own, not made yet."""
    monkeypatch.setenv("TUI_SYNC_PROFILES", str(tmp_path / "profiles"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    return tmp_path / "profiles"


def test_a_new_profile_is_valid_annotated_and_for_its_owner_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["profiles", "new", "nightly", "sftp://me@host:2222/data", "/srv/backup"]) == 0
    shown = capsys.readouterr()
    path = folder / "nightly.toml"
    assert shown.out == f"{path}\n"
    assert "tui-sync profiles trust nightly" in shown.err
    assert (folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    profile = profiles.find("nightly")
    pair = profiles.quick("sftp://me@host:2222/data", "/srv/backup")
    assert (profile.source, profile.target, profile.options) == (pair.source, pair.target, pair.options)


@pytest.mark.parametrize(
    "places",
    [("sftp://h/a", "s3://bucket/x"), ("/a", "sftp://[::1]:23/~/")],
)
def test_what_a_new_profile_has_commented_out_is_valid_too(folder: Path, places: tuple[str, str]) -> None:
    pair = profiles.quick(*places)
    text = template.text(pair.source, pair.target)
    loose = "\n".join(line.removeprefix("# ") if " = " in line else line for line in text.splitlines())
    assert loose != text
    template.write("loose", loose)


@pytest.mark.parametrize("place", ['/with "quotes" and \\', "/bytes \udcff\x7f\n", "/ünï"])
def test_awkward_places_survive(folder: Path, place: str) -> None:
    pair = profiles.quick(place, "sftp://h/b")
    template.write("odd", template.text(pair.source, pair.target))
    assert profiles.find("odd").source == pair.source


def test_a_profile_that_exists_is_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["profiles", "new", "mine", "/a", "/b"]) == 0
    before = (folder / "mine.toml").read_bytes()
    assert cli.main(["profiles", "new", "mine", "/c", "/d"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (folder / "mine.toml").read_bytes() == before


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../x", "esc\x1b", "-x"])
def test_a_name_that_is_none(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["profiles", "new", name, "/a", "/b"]) == 2
    assert "\x1b" not in capsys.readouterr().err
    assert not folder.exists() or list(folder.iterdir()) == []


def test_places_that_are_none_make_no_profile(folder: Path) -> None:
    assert cli.main(["profiles", "new", "x", "ftp://h/a", "/b"]) == 2
    assert cli.main(["profiles", "new", "x", "/a", "/a/b"]) == 2
    assert not folder.exists()


def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    script = tmp_path / "editor.py"
    script.write_text(
        "import pathlib, sys\nfile = pathlib.Path(sys.argv[1])\n"
        f"file.write_text(file.read_text().replace({old!r}, {new!r}))\n"
    )
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")


def test_editing_replaces_a_profile_by_a_valid_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["profiles", "new", "mine", "/a", "/b"])
    editor(tmp_path, monkeypatch, '"copy"', '"mirror"')
    assert cli.main(["profiles", "edit", "mine"]) == 0
    assert "valid" in capsys.readouterr().out
    assert profiles.find("mine").options.mode == "mirror"
    assert [path.name for path in folder.iterdir()] == ["mine.toml"]
    assert (folder / "mine.toml").stat().st_mode & 0o777 == 0o600


def test_editing_keeps_a_profile_where_the_text_is_not_valid(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["profiles", "new", "mine", "/a", "/b"])
    before = (folder / "mine.toml").read_text()
    editor(tmp_path, monkeypatch, '"copy"', '"both"')
    assert cli.main(["profiles", "edit", "mine"]) == 2
    told = capsys.readouterr().err
    assert "sync.mode must be one of copy, mirror" in told
    assert str(folder / ".mine.edit.toml") in told
    assert (folder / "mine.toml").read_text() == before
    assert [one.name for one in profiles.available()] == ["mine"]


def test_a_profile_that_is_not_valid_can_be_edited(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    (folder / "broken.toml").write_text('[source]\nurl = "/a"\n[target]\nurl = /b"\n')
    editor(tmp_path, monkeypatch, '/b"', '"/b"')
    assert cli.main(["profiles", "edit", "broken"]) == 0


@pytest.mark.parametrize("command", ["false", "no-such-editor-anywhere"])
def test_an_editor_that_fails_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    cli.main(["profiles", "new", "mine", "/a", "/b"])
    before = (folder / "mine.toml").read_text()
    monkeypatch.setenv("EDITOR", command)
    assert cli.main(["profiles", "edit", "mine"]) == 2
    assert (folder / "mine.toml").read_text() == before


def test_editing_goes_on_with_a_text_that_was_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["profiles", "new", "mine", "/a", "/b"])
    editor(tmp_path, monkeypatch, '"copy"', '"both"  # hours of work')
    assert cli.main(["profiles", "edit", "mine"]) == 2
    editor(tmp_path, monkeypatch, '"both"', '"mirror"')
    assert cli.main(["profiles", "edit", "mine"]) == 0
    assert "going on with your earlier text" in capsys.readouterr().err
    assert '"mirror"  # hours of work' in (folder / "mine.toml").read_text()
    assert [path.name for path in folder.iterdir()] == ["mine.toml"]


def test_editing_leaves_a_link_a_link(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.main(["profiles", "new", "mine", "/a", "/b"])
    (tmp_path / "elsewhere").mkdir()
    real = (folder / "mine.toml").rename(tmp_path / "elsewhere" / "real.toml")
    (folder / "mine.toml").symlink_to(real)
    editor(tmp_path, monkeypatch, '"copy"', '"mirror"')
    assert cli.main(["profiles", "edit", "mine"]) == 0
    assert (folder / "mine.toml").is_symlink()
    assert '"mirror"' in real.read_text()
    assert [path.name for path in real.parent.iterdir()] == ["real.toml"]


def test_editing_by_a_path_from_the_home_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.main(["profiles", "new", "mine", "/a", "/b"])
    editor(tmp_path, monkeypatch, '"copy"', '"mirror"')
    assert cli.main(["profiles", "edit", "~/profiles/mine.toml"]) == 0
    assert profiles.find("mine").options.mode == "mirror"


@pytest.mark.parametrize("name", ["demo", "runs.toml", "-x"])
def test_a_name_that_could_not_be_run_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert cli.main(["profiles", "new", "--", name, "/a", "/b"]) == 2
    assert "name" in capsys.readouterr().err
    assert not folder.exists()


def test_every_command_is_refused_as_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    for name in template.COMMANDS:
        assert cli.main([name, "--help"]) == 0
        assert f"usage: tui-sync {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("al:/x", "/data/x"),
        ("al:x/y", "/data/x/y"),
        ("al:../etc", "/data/etc"),
        ("al:", "/data"),
        ("here:/x", "/x"),
    ],
)
def test_an_alias_of_rclone_leads_below_its_folder(tmp_path: Path, place: str, path: str) -> None:
    file = tmp_path / "rclone.conf"
    file.write_text("[al]\ntype = alias\nremote = /data\n[here]\ntype = local\n")
    name, _, rest = place.partition(":")
    found = {each.name: each for each in imports.rclone(file)}
    assert imports.address(found[name], rest) == path


def test_a_login_in_an_endpoint_is_neither_imported_nor_read(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rclone.conf"
    file.write_text(f"[s]\ntype = s3\nendpoint = https://key:{HIDDEN}@host\n")
    load = ["profiles", "import", "rclone", "--file", str(file), "--source", "s:bucket", "--target", "/b"]
    assert cli.main([*load, "--name", "s"]) == 0
    text = (folder / "s.toml").read_text()
    assert 'endpoint_url = "https://host"' in text
    (folder / "s.toml").write_text(text.replace("https://", f"https://key:{HIDDEN}@"))
    assert cli.main(["profiles", "show", "s"]) == 2
    shown = capsys.readouterr()
    assert "source.endpoint_url holds a login" in shown.err
    assert HIDDEN not in text + shown.out + shown.err


def test_one_profile_with_an_endless_number_hides_no_other(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["profiles", "new", "mine", "/a", "/b"])
    (folder / "odd.toml").write_text(f"[sync]\nworkers = {'9' * 5000}\n")
    capsys.readouterr()
    assert cli.main(["profiles", "list"]) == 2
    shown = capsys.readouterr()
    assert shown.out.startswith("mine\t")
    assert f"{folder / 'odd.toml'}: not valid TOML: a number in it is too long" in shown.err


RCLONE = f"""\
[nas]
type = sftp
host = nas.example
user = me
port = 2222
pass = {HIDDEN}
key_file = ~/.ssh/nas
key_file_pass = {HIDDEN}

[bucket]
type = s3
provider = Minio
access_key_id = {HIDDEN}
secret_access_key = {HIDDEN}
endpoint = 127.0.0.1:9000
region = eu

[disk]
type = local

[drive]
type = drive
token = {HIDDEN}
"""


@pytest.fixture
def rclone(tmp_path: Path) -> Path:
    file = tmp_path / "rclone.conf"
    file.write_text(RCLONE)
    return file


def test_rclones_remotes_are_listed_without_their_secrets(
    rclone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["profiles", "import", "rclone", "--file", str(rclone)]) == 0
    shown = capsys.readouterr()
    assert HIDDEN not in shown.out + shown.err
    lines = dict(line.split("\t", 1) for line in shown.out.splitlines())
    assert lines["nas"].startswith("sftp://me@nas.example:2222/~/\t")
    assert lines["bucket"].startswith("s3://BUCKET/\t")
    assert lines["disk"] == "/"
    assert "type drive" in lines["drive"]


def test_a_profile_is_made_of_remotes(rclone: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["profiles", "import", "rclone", "--file", str(rclone), "--name", "both"]
    assert cli.main([*arguments, "--source", "nas:/srv/100% photos", "--target", "bucket:photos/all"]) == 0
    text = (folder / "both.toml").read_text()
    assert HIDDEN not in text + capsys.readouterr().err
    made = tomllib.loads(text)
    assert made["source"]["url"] == "sftp://me@nas.example:2222/srv/100%25 photos"
    assert made["source"]["identity_file"] == "~/.ssh/nas"
    assert made["source"]["password"] == "env:NAS_PASSWORD"
    assert made["source"]["passphrase"] == "env:NAS_PASSPHRASE"
    assert made["target"]["url"] == "s3://photos/all"
    assert made["target"]["endpoint_url"] == "https://127.0.0.1:9000"
    assert profiles.find("both").source.host == "nas.example"


def test_a_remote_and_a_place_of_ones_own(rclone: Path, folder: Path, tmp_path: Path) -> None:
    arguments = ["profiles", "import", "rclone", "--file", str(rclone), "--name", "down"]
    assert cli.main([*arguments, "--source", "nas:in/home", "--target", str(tmp_path / "here")]) == 0
    profile = profiles.find("down")
    assert (profile.source.path, profile.target.path) == ("/~/in/home", str(tmp_path / "here"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--name", "x", "--source", "nas:x"],
        ["--name", "x", "--source", "drive:x", "--target", "/b"],
        ["--name", "x", "--source", "bucket:", "--target", "/b"],
        ["--name", "x", "--source", "unknown:x", "--target", "/b"],
        ["--source", "nas:x", "--target", "/b"],
    ],
)
def test_what_cannot_be_imported_is_said(rclone: Path, folder: Path, arguments: list[str]) -> None:
    assert cli.main(["profiles", "import", "rclone", "--file", str(rclone), *arguments]) == 2
    assert not folder.exists()


@pytest.mark.parametrize("content", [None, f"pass = {HIDDEN}\n", b"\xff\xfe", f"[a]\n{HIDDEN}\n"])
def test_a_file_that_is_none_is_named_and_not_quoted(
    tmp_path: Path, content: str | bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "odd.conf"
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    assert cli.main(["profiles", "import", "rclone", "--file", str(file)]) == 2
    told = capsys.readouterr().err
    assert str(file) in told
    assert HIDDEN not in told


def test_ssh_hosts_are_imported_by_name(tmp_path: Path, folder: Path) -> None:
    file = tmp_path / "config"
    file.write_text("Host web\n  HostName web.example\nHost *.corp !x\nHost a b\n")
    assert [each.name for each in imports.ssh(file)] == ["web", "a", "b"]
    arguments = ["--file", str(file), "--name", "w", "--source", "web:logs", "--target", "/b"]
    assert cli.main(["profiles", "import", "ssh", *arguments]) == 0
    source = profiles.find("w").source
    assert (source.host, source.path, source.options["ssh_config"]) == ("web", "/~/logs", str(file))


def test_aws_profiles_are_imported(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(
        "[default]\nregion = us-east-1\n[profile work]\nregion=eu\nendpoint_url = http://x\ns3 =\n  a = b\n"
    )
    default, work = imports.aws(file)
    assert (default.name, dict(default.settings)) == ("default", {"region": "us-east-1"})
    assert (work.name, dict(work.settings)) == ("work", {"region": "eu", "endpoint_url": "http://x"})
    assert any("AWS_PROFILE=work" in line for line in work.notes)


@pytest.fixture
def schema(capsys: pytest.CaptureFixture[str]) -> jsonschema.Draft202012Validator:
    assert cli.main(["profiles", "schema"]) == 0
    made = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_schema_takes_the_examples(schema: jsonschema.Draft202012Validator, path: Path) -> None:
    schema.validate(tomllib.loads(path.read_text()))


def test_the_schema_knows_every_key() -> None:
    made = json_schema()["properties"]
    for section in ("source", "sync"):
        assert [key for key, value in made[section]["properties"].items() if not value] == []


SIDES: dict[str, Any] = {"source": {"url": "/a"}, "target": {"url": "/b"}}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"source": {"url": "/a"}},
        {**SIDES, "more": {}},
        {**SIDES, "source": {"url": "/a", "password": "plain"}},
        {**SIDES, "sync": {"mode": "both"}},
        {**SIDES, "sync": {"max_delete": "101%"}},
        {**SIDES, "sync": {"workers": 0}},
        {**SIDES, "sync": {"exclude": "*.tmp"}},
        {**SIDES, "sync": {"verify": "none"}},
    ],
)
def test_the_schema_refuses(schema: jsonschema.Draft202012Validator, wrong: dict[str, Any]) -> None:
    assert not schema.is_valid(wrong)


def test_a_secret_goes_into_the_keyring_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: dict[tuple[str, str], str] = {}
    keyring = SimpleNamespace(set_password=lambda service, user, value: kept.update({(service, user): value}))
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{HIDDEN}\n"))
    assert cli.main(["profiles", "set-secret", "keyring:tui-sync/me@host"]) == 0
    assert kept == {("tui-sync", "me@host"): HIDDEN}
    shown = capsys.readouterr()
    assert '"keyring:tui-sync/me@host"' in shown.out
    assert HIDDEN not in shown.out + shown.err


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_the_picture_of_a_key_is_that_of_ssh_keygen(tmp_path: Path, kind: str, require_sshd: None) -> None:
    import base64

    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(key)], check=True)
    told = subprocess.run(
        ["ssh-keygen", "-lvf", str(key)], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    blob = base64.b64decode(key.with_suffix(".pub").read_text().split()[1])
    assert randomart(blob) == told[1:]


@pytest.mark.parametrize(
    "command",
    [
        *(["profiles", name] for name in ("list", "show", "new", "edit", "test", "trust", "import")),
        *(["profiles", name] for name in ("path", "set-secret", "schema")),
        *(["runs", name] for name in ("list", "show", "export", "undo", "prune")),
    ],
    ids=" ".join,
)
def test_every_commands_help_says_what_it_does_and_gives_an_example(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "example:\n  " in shown
    assert f"tui-sync {' '.join(command)}" in shown.split("example:")[1]
