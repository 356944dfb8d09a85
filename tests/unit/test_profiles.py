"""Profiles: what is read from them, and one sentence for every way to get one wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tui_sync.connectors import registry
from tui_sync.errors import ProfileError, UsageError
from tui_sync.model import CompareBy, DeleteLimit, DeleteTo, Mode, SyncOptions, Verify, WriteMode
from tui_sync.profiles import (
    Profile,
    available,
    find,
    folder,
    load,
    parse_delete_limit,
    parse_size,
    quick,
    with_options,
)

SIDES = '[source]\nurl = "sftp://u@h/a"\n[target]\nurl = "b"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "nightly.toml"


def written(file: Path, text: str | bytes) -> Profile:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(file)


def refused(file: Path, text: str | bytes) -> str:
    """The message without the file's name in front, checked to be one line that begins with it."""
    with pytest.raises(ProfileError) as caught:
        written(file, text)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    assert caught.value.exit_code == 2
    return message.removeprefix(f"{file}: ")


def test_every_key_arrives(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    profile = written(
        file,
        """
        [source]
        url = "sftp://me@files.example.com:2022/data"
        password = "env:A"
        passphrase = "env:B"
        identity_file = "~/.ssh/key"
        known_hosts = "hosts"
        transport = "paramiko"
        [target]
        url = "out"
        [sync]
        mode = "mirror"
        compare = "checksum"
        include = ["*.c"]
        exclude = ["*.tmp", ".cache/"]
        delete = "permanent"
        max_delete = "12.5%"
        verify = "readback"
        write = "direct"
        transform = "gzip"
        workers = 64
        bandwidth_limit = "20MB/s"
        """,
    )
    assert (profile.name, profile.file) == ("nightly", file)
    source = profile.source
    assert (source.scheme, source.host, source.port, source.user, source.path) == (
        "sftp",
        "files.example.com",
        2022,
        "me",
        "/data",
    )
    assert source.url == "sftp://me@files.example.com:2022/data"
    assert source.options == {
        "identity_file": "/home/me/.ssh/key",
        "known_hosts": str(file.parent / "hosts"),
        "transport": "paramiko",
    }
    assert set(source.secrets) == {"password", "passphrase"}
    assert (profile.target.scheme, profile.target.path) == ("file", str(file.parent / "out"))
    assert (dict(profile.target.options), dict(profile.target.secrets)) == ({}, {})
    assert profile.options == SyncOptions(
        Mode.MIRROR,
        CompareBy.CHECKSUM,
        ("*.c",),
        ("*.tmp", ".cache/"),
        DeleteTo.PERMANENT,
        DeleteLimit(12.5),
        Verify.READBACK,
        WriteMode.DIRECT,
        "gzip",
        64,
        20_000_000,
    )


def test_what_is_left_out_is_the_default(file: Path) -> None:
    profile = written(file, SIDES)
    assert profile.options == SyncOptions()
    assert (profile.source.port, profile.source.user) == (None, "u")
    assert (dict(profile.source.options), dict(profile.source.secrets)) == ({}, {})


def test_ask_is_a_secret_left_to_the_connector(file: Path) -> None:
    profile = written(file, SIDES.replace('/a"', '/a"\npassword = "ask"'))
    assert dict(profile.source.secrets) == {}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("max_delete = 0", DeleteLimit(0, percent=False)),
        ("max_delete = 100", DeleteLimit(100, percent=False)),
        ('max_delete = "100"', DeleteLimit(100, percent=False)),
        ('max_delete = "100%"', DeleteLimit(100)),
    ],
)
def test_limits_for_deletes(file: Path, line: str, expected: DeleteLimit) -> None:
    assert written(file, f"{SIDES}[sync]\n{line}\n").options.max_delete == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", None),
        ('"off"', None),
        ('"0"', None),
        ("4096", 4096),
        ('"2M"', 2 * 1024**2),
        ('"2MB/s"', 2_000_000),
    ],
)
def test_bandwidth_limits(file: Path, value: str, expected: int | None) -> None:
    profile = written(file, f"{SIDES}[sync]\nbandwidth_limit = {value}\nworkers = 'auto'")
    assert (profile.options.bandwidth_limit, profile.options.workers) == (expected, None)


def test_a_byte_order_mark_does_no_harm(file: Path) -> None:
    assert written(file, b"\xef\xbb\xbf" + SIDES.encode()).source.host == "h"


@pytest.mark.parametrize(
    ("text", "key", "remedy"),
    [
        ("", "the file is empty", "add [source] and [target]"),
        ("# nothing\n", "the file is empty", "add [source] and [target]"),
        ('[target]\nurl = "b"', "the section [source] is missing", 'url = "sftp://'),
        ('[source]\nurl = "a"', "the section [target] is missing", 'url = "sftp://'),
        ('[source]\n[target]\nurl = "b"', "source.url is missing", "add url ="),
        ('[source]\nulr = "a"\n[target]\nurl = "b"', "source.ulr", "did you mean url?"),
        ('[sorce]\nurl = "a"\n[target]\nurl = "b"', "[sorce]", "did you mean source?"),
        (SIDES + "[snyc]\nmode = 'copy'", "[snyc]", "did you mean sync?"),
        (SIDES + "[wholly_unknown]\n", "[wholly_unknown]", "[source], [target] and [sync]"),
        ("foo = 1\n" + SIDES, "the key foo", "[source], [target] and [sync]"),
        ("mode = 'copy'\n" + SIDES, "mode stands outside a section", "move it below [sync]"),
        (SIDES + "mode = 'copy'", "target.mode", "move mode below [sync]"),
        (SIDES + "[sync]\npassword = 'env:A'", "sync.password", "below [source] or [target]"),
        (SIDES + "[sync]\nfoo = 1", "sync.foo", "use one of mode, compare"),
        (SIDES + "[sync]\nmax_deletes = 1", "sync.max_deletes", "did you mean max_delete?"),
        ("source = 'a'\n[target]\nurl = 'b'", "source must be a section", "write [source] on a line"),
        ("sync = 3\n" + SIDES, "sync must be a section", "write [sync] on a line"),
        (SIDES.replace('"b"', "3"), "target.url", "must be text in quotes"),
        (SIDES.replace('"b"', '""'), "target.url", "must not be empty"),
        (SIDES.replace('"b"', '"x\\u0000"'), "target.url", "NUL"),
        (SIDES + "[sync]\nmode = 'mirorr'", "sync.mode", "copy, mirror: did you mean mirror?"),
        (SIDES + "[sync]\nmode = true", "sync.mode", "copy, mirror"),
        (SIDES + "[sync]\ncompare = 'hash'", "sync.compare", "auto, size, mtime, checksum"),
        (SIDES + "[sync]\nverify = 'none'", "sync.verify", "one of auto, size, checksum, readback"),
        (SIDES + "[sync]\ndelete = 'bin'", "sync.delete", "trash, permanent"),
        (SIDES + "[sync]\nwrite = 'fast'", "sync.write", "atomic, direct"),
        (SIDES + "[sync]\ntransform = 'zip'", "sync.transform", "none, gzip"),
        (SIDES + "[sync]\nexclude = '*.tmp'", "sync.exclude", "must be a list of patterns"),
        (SIDES + "[sync]\ninclude = ['a', 1]", "sync.include", "must be a list of patterns"),
        (SIDES + "[sync]\nexclude = ['*.tmp', '']", "the exclude pattern “”", "correct or remove it"),
        (SIDES + "[sync]\ninclude = ['# note']", "the include pattern “# note”", "correct or remove it"),
        (SIDES + "[sync]\nworkers = 0", "sync.workers", "from 1 to 64"),
        (SIDES + "[sync]\nworkers = -3", "sync.workers", "from 1 to 64"),
        (SIDES + "[sync]\nworkers = 65", "sync.workers", "from 1 to 64"),
        (SIDES + "[sync]\nworkers = true", "sync.workers", "from 1 to 64"),
        (SIDES + "[sync]\nworkers = 1.5", "sync.workers", "from 1 to 64"),
        (SIDES + "[sync]\nworkers = '4'", "sync.workers", '"auto" or a number'),
        (SIDES + "[sync]\nmax_delete = '101%'", "sync.max_delete", "from 0% to 100%"),
        (SIDES + "[sync]\nmax_delete = '-1%'", "sync.max_delete", "from 0% to 100%"),
        (SIDES + "[sync]\nmax_delete = -1", "sync.max_delete", "a number of files"),
        (SIDES + "[sync]\nmax_delete = 1.5", "sync.max_delete", "a number of files"),
        (SIDES + "[sync]\nmax_delete = true", "sync.max_delete", "a number of files"),
        (SIDES + "[sync]\nmax_delete = nan", "sync.max_delete", "a number of files"),
        (SIDES + "[sync]\nbandwidth_limit = '20Q'", "sync.bandwidth_limit", "K, M, G"),
        (SIDES + "[sync]\nbandwidth_limit = -1", "sync.bandwidth_limit", "K, M, G"),
        (SIDES + "[sync]\nbandwidth_limit = inf", "sync.bandwidth_limit", "K, M, G"),
        (SIDES.replace('/a"', '/a"\ntransport = "putty"'), "source.transport", "auto, openssh"),
        (SIDES.replace('/a"', '/a"\nregion = "eu"'), "source.region means nothing for SFTP", "remove it"),
        (SIDES + "identity_file = 'k'", "target.identity_file means nothing for a local folder", "remove it"),
        (SIDES + "password = 'env:A'", "target.password means nothing for a local folder", "remove it"),
        (SIDES.replace('/a"', '/a"\nknown_hosts = "~no-such-user/k"'), "source.known_hosts", "in full"),
        (SIDES.replace('/a"', '/a"\npassword = "keyring:x"'), "source.password", "a service and a user"),
    ],
)
def test_an_error_names_the_key_and_the_remedy(file: Path, text: str, key: str, remedy: str) -> None:
    message = refused(file, text)
    assert key in message
    assert remedy in message


@pytest.mark.parametrize(
    "text", ["[source", "a = ", 'a = "x', "a = 1\na = 2", "a = " + "[" * 9000, "\x01", "a=1e999x"]
)
def test_what_is_not_toml_is_told_with_its_place(file: Path, text: str) -> None:
    message = refused(file, text)
    assert re.search(r"not valid TOML: .*\(at |nested too deeply", message)


def test_a_toml_error_names_line_and_column(file: Path) -> None:
    message = refused(file, "[source]\n# a comment\nurl = sftp://u@h/a\n")
    assert re.search(r"\(at line 3, column \d+\)", message)


def test_bytes_that_are_no_text_are_told_with_their_line(file: Path) -> None:
    assert refused(file, SIDES.encode() + b"# \xff\n") == "not UTF-8 text (line 5): save it as UTF-8"


def test_a_huge_file_is_refused_unread(file: Path) -> None:
    with file.open("wb") as stream:
        stream.truncate(10**12)
    with pytest.raises(ProfileError, match="larger than 1,000,000 bytes"):
        load(file)


def test_what_is_no_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProfileError, match=r"a folder: name a \.toml file"):
        load(tmp_path)
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ProfileError, match="no regular file"):
        load(tmp_path / "pipe.toml")
    with pytest.raises(ProfileError, match="no such profile"):
        load(tmp_path / "missing.toml")

    def denied(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(
        ProfileError, match=r"cannot be read \(Permission denied\): check the file's permissions"
    ):
        load(tmp_path / "secret.toml")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sftp://h/a", ("sftp://h/a", "h", None, None, "/a")),
        (
            "SFTP://H.Example.COM:22//a/./b/",
            ("sftp://h.example.com/a/b", "h.example.com", None, None, "/a/b"),
        ),
        ("sftp://u@h:2222/", ("sftp://u@h:2222/", "h", 2222, "u", "/")),
        ("sftp://u@h/~/", ("sftp://u@h/~/", "h", None, "u", "/~/")),
        ("sftp://u@h/~", ("sftp://u@h/~/", "h", None, "u", "/~/")),
        ("sftp://u@h/~/in/x/", ("sftp://u@h/~/in/x", "h", None, "u", "/~/in/x")),
        ("sftp://u@[::1]:2222/a", ("sftp://u@[::1]:2222/a", "::1", 2222, "u", "/a")),
        ("sftp://[FE80::1%25eth0]/a", ("sftp://[fe80::1%25eth0]/a", "fe80::1%eth0", None, None, "/a")),
        ("sftp://me%40corp@h/a", ("sftp://me%40corp@h/a", "h", None, "me@corp", "/a")),
        ("sftp://me@corp@h/a", ("sftp://me%40corp@h/a", "h", None, "me@corp", "/a")),
        ("sftp://h/a%20b/%C3%BC", ("sftp://h/a b/ü", "h", None, None, "/a b/ü")),
        ("sftp://h/100%", ("sftp://h/100%25", "h", None, None, "/100%")),
        ("sftp://h/a?b#c", ("sftp://h/a?b#c", "h", None, None, "/a?b#c")),
        ("sftp://h/%FF%0A%1B", ("sftp://h/%FF%0A%1B", "h", None, None, "/\udcff\n\x1b")),
        ("sftp://h/a@b:c", ("sftp://h/a@b:c", "h", None, None, "/a@b:c")),
        ("sftp://my_host-1/a", ("sftp://my_host-1/a", "my_host-1", None, None, "/a")),
    ],
)
def test_sftp_urls(url: str, expected: tuple[object, ...], tmp_path: Path) -> None:
    source = quick(url, str(tmp_path)).source
    assert (source.url, source.host, source.port, source.user, source.path) == expected
    assert quick(source.url, str(tmp_path)).source == source


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sftp://h", "names no folder"),
        ("sftp://", "no usable host name"),
        ("sftp:///a", "no usable host name"),
        ("sftp://-oProxyCommand=x/a", "no usable host name"),
        ("sftp://h h/a", "no usable host name"),
        ("sftp://@h/a", "user name"),
        ("sftp://-l@h/a", "user name"),
        ("sftp://u%0A@h/a", "user name"),
        ("sftp://u:pw@h/a", "holds a password"),
        ("sftp://u:@h/a", "holds a password"),
        ("sftp://u:p/w@h/a", "holds a password"),
        ("sftp://h:0/a", "from 1 to 65535"),
        ("sftp://h:65536/a", "from 1 to 65535"),
        ("sftp://h:-1/a", "from 1 to 65535"),
        ("sftp://h:²/a", "from 1 to 65535"),
        ("sftp://h:ssh/a", "from 1 to 65535"),
        ("sftp://::1/a", "without brackets"),
        ("sftp://[::1/a", "not IPv6"),
        ("sftp://[h]/a", "not IPv6"),
        ("sftp://[::1]22/a", "not IPv6"),
        ("sftp://h/a/../b", "“..”"),
        ("sftp://h/a/%2e%2e/b", "“..”"),
        ("sftp://h/a%00", "NUL"),
        ("sftp:/h/a", "looks like an address for scp"),
        ("u@h:/a", "looks like an address for scp"),
        ("h:a", "looks like an address for scp"),
        (
            "ftp://h/a",
            "begins with ftp://, which is not known: use a local folder or one of file://, sftp://, s3://",
        ),
        ("s3://", "names no bucket"),
        ("s3:///folder", "names no bucket"),
        ("s3://key:secret@bucket/a", "access_key and secret_key in a profile"),
        ("s3://host:9000/bucket", "the server as endpoint_url"),
        ("s3://bucket/a/../b", "write the folder in full"),
        ("s3://bucket/%ff", "not UTF-8"),
        ("file://h/a", "file:///folder"),
        ("file://", "file:///folder"),
        ("file://~/a", "file:///folder"),
        ("~no-such-user/a", "does not exist here"),
        ("", "is empty"),
        ("  ", "is empty"),
        ("a\0b", "NUL"),
    ],
)
def test_urls_that_are_none(url: str, message: str, tmp_path: Path) -> None:
    if not set(url) & {"\0"} and url.strip():
        (tmp_path / "p.toml").write_text(f'[source]\nurl = "{url}"\n[target]\nurl = "/b"\n', "utf-8")
        with pytest.raises(ProfileError, match=re.escape(message)) as caught:
            load(tmp_path / "p.toml")
        assert "p.toml: source.url " in str(caught.value)
    with pytest.raises(ProfileError, match=f"^the target .*{re.escape(message)}"):
        quick("/a", url)


def test_what_can_be_connected_to_is_the_registrys_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(registry, "_MODULES", {"file": "x"})
    with pytest.raises(ProfileError, match="begins with sftp://, which is not known"):
        quick("sftp://h/a", str(tmp_path))


def test_local_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    cases = {
        "sub/x/": f"{tmp_path}/sub/x",
        ".": str(tmp_path),
        "./a:b": f"{tmp_path}/a:b",
        "../y": f"{tmp_path.parent}/y",
        "~": "/home/me",
        "~/d": "/home/me/d",
        "/abs/100%25": "/abs/100%25",
        "file:///abs/100%25": "/abs/100%",
        "file://localhost/abs/a%20b": "/abs/a b",
        "FILE:///abs": "/abs",
    }
    for text, path in cases.items():
        side = quick(text, "sftp://h/a").source
        assert (side.scheme, side.path, side.host, side.port) == ("file", path, "", None)
        assert quick(side.url, "sftp://h/a").source == side


def test_a_local_path_in_a_profile_starts_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "p.toml").write_text(SIDES)
    monkeypatch.chdir(tmp_path)
    assert load(Path("sub/p.toml")).target.path == str(tmp_path / "sub" / "b")


@pytest.mark.parametrize(
    ("source", "target", "problem"),
    [
        ("/x/a", "/x/a", "source and target are the same folder"),
        ("/x/a", "file:///x/a/", "source and target are the same folder"),
        ("/x/a", "/x/a/b", "the target lies inside the source"),
        ("/x/a/b", "/x/a", "the source lies inside the target"),
        ("/x", "/", "the source lies inside the target"),
        ("sftp://u@h/a", "sftp://u@H:22/a/", "source and target are the same folder"),
        ("sftp://u@h/a", "sftp://u@h/a/b", "the target lies inside the source"),
        ("sftp://u@h/~/a", "sftp://u@h/~/", "the source lies inside the target"),
        ("sftp://localhost/a", "sftp://127.0.0.1/a", "source and target are the same folder"),
        ("/x/a", "/x/ab", None),
        ("/x/a", "sftp://h/x/a", None),
        ("sftp://u@h/a", "sftp://v@h/a", None),
        ("sftp://u@h:22/a", "sftp://u@h:23/a", None),
        ("sftp://u@h/a", "sftp://u@g/a", None),
        ("sftp://u@h/~/a", "sftp://u@h/a", None),
    ],
)
def test_sides_must_lie_apart(source: str, target: str, problem: str | None, file: Path) -> None:
    text = f'[source]\nurl = "{source}"\n[target]\nurl = "{target}"\n'
    if problem is None:
        assert written(file, text).source == quick(source, target).source
        return
    assert refused(file, text) == f"{problem}: choose two folders apart from each other"
    with pytest.raises(ProfileError, match=f"^{problem}"):
        quick(source, target)


def test_a_symlink_does_not_hide_that_sides_are_one(tmp_path: Path) -> None:
    (tmp_path / "real" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(ProfileError, match="the target lies inside the source"):
        quick(str(tmp_path / "real"), str(tmp_path / "link" / "in"))


def test_a_pair_is_its_two_places(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(SIDES)
    (tmp_path / "two.toml").write_text(SIDES + "[sync]\nmode = 'mirror'\n")
    one, two = load(tmp_path / "one.toml"), load(tmp_path / "two.toml")
    assert one.pair_id == two.pair_id == quick("sftp://u@h:22/a/", str(tmp_path / "b")).pair_id
    assert re.fullmatch(r"h-to-local-[0-9a-f]{12}", one.pair_id)
    others = [quick("sftp://u@h/b", "/b"), quick("/b", "sftp://u@h/b"), quick("sftp://h/b", "/b")]
    assert len({one.pair_id, *(other.pair_id for other in others)}) == 4
    assert quick("/a", "/b").pair_id == "local-to-local-" + quick("/a", "/b").pair_id[-12:]
    assert re.fullmatch(r"[a-z0-9-]+", quick("sftp://[::1]/a", "sftp://ümlaut_1/b").pair_id)


def test_find_by_name_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nightly.toml").write_text(SIDES)
    (tmp_path / "weekly.toml").write_text(SIDES)
    assert find("nightly", tmp_path).name == "nightly"
    assert find(str(tmp_path / "weekly.toml")).name == "weekly"
    monkeypatch.setenv("TUI_SYNC_PROFILES", str(tmp_path))
    assert find("weekly").name == "weekly"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find("weekly.toml").name == "weekly"
    assert find("./weekly.toml").name == "weekly"
    assert find("~/weekly.toml").name == "weekly"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nightley", "no profile “nightley” in .*: did you mean nightly\\?$"),
        ("zzz", "no profile “zzz” in .*: there are nightly, weekly$"),
        ("zzz\x1b[2J", "no profile “zzz\\\\x1b\\[2J” in"),
        ("nightley.toml", "nightley.toml: no such profile: did you mean nightly\\?$"),
        ("no/such/folder.toml", "there are no profiles in no/such"),
        ("~no-such-user/x.toml", "no such user"),
        ("", "must not be empty"),
        ("a\0b", "must not be empty"),
        ("..", "no profile “..” in"),
        ("n" * 300, "no profile “nnn"),
    ],
)
def test_a_profile_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    (tmp_path / "nightly.toml").write_text(SIDES)
    (tmp_path / "weekly.toml").write_text("broken")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProfileError, match=message):
        find(name, tmp_path)


def test_an_empty_profiles_folder_says_what_else_to_do(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="put one there, or give SOURCE and TARGET"):
        find("nightly", tmp_path / "none")


def test_the_profiles_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUI_SYNC_PROFILES", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert folder() == tmp_path / "tui-sync" / "profiles"
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("TUI_SYNC_PROFILES", "~/p")
    assert folder() == Path("/home/me/p")


def test_available_tells_the_bad_ones_with_their_error(tmp_path: Path) -> None:
    (tmp_path / "good.toml").write_text(SIDES)
    (tmp_path / "bad.toml").write_text("[source")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / ".hidden.toml").write_text(SIDES)
    (tmp_path / "notes.txt").write_text("no profile")
    (tmp_path / "dangling.toml").symlink_to("nowhere")
    found = available(tmp_path)
    assert [one.name for one in found] == ["bad", "dangling", "folder", "good"]
    assert [one.profile is not None for one in found] == [False, False, False, True]
    assert all(one.error and str(one.path) in one.error for one in found[:3])
    assert (found[3].error, found[3].path) == (None, tmp_path / "good.toml")
    assert "a link to a file that is not there" in str(found[1].error)
    assert available(tmp_path / "none") == []
    with pytest.raises(ProfileError, match=r"the profiles folder .* cannot be read \(Not a directory\)"):
        available(tmp_path / "bad.toml")


def test_options_can_be_overridden(tmp_path: Path) -> None:
    profile = quick("/a", "/b")
    changed = with_options(profile, mode=Mode.MIRROR, workers=3)
    assert (changed.options.mode, changed.options.workers) == (Mode.MIRROR, 3)
    assert profile.options == SyncOptions()
    assert changed.pair_id == profile.pair_id


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("off", 0),
        ("OFF", 0),
        ("4096", 4096),
        ("512B", 512),
        ("1K", 1024),
        ("1k", 1024),
        ("1KiB", 1024),
        ("1Ki", 1024),
        ("1KB", 1000),
        ("20M", 20 * 1024**2),
        ("20M/s", 20 * 1024**2),
        ("20MB/s", 20_000_000),
        ("20 mb/s", 20_000_000),
        (" 1.5GiB ", 3 * 2**29),
        ("0.1KB", 100),
        ("2T", 2 * 1024**4),
        ("8388607T", 8388607 * 1024**4),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "M", "-1", "1Q", "20Mbit/s", "1 000", "1,5M", "1e3", "nan", "inf", "0x10", "1iB", "1i", "5/s/s", "٣",
     "9223372036854775808", "8388608T", "9" * 5000, "1." + "9" * 5000 + "M", "20M\n20M"],
)  # fmt: skip
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="write bytes, or a number with K, M, G"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("0", DeleteLimit(0, percent=False)),
        ("100", DeleteLimit(100, percent=False)),
        ("0%", DeleteLimit(0)),
        ("50%", DeleteLimit(50)),
        (" 12.5 % ", DeleteLimit(12.5)),
        ("100%", DeleteLimit(100)),
    ],
)
def test_delete_limits(text: str, limit: DeleteLimit) -> None:
    assert parse_delete_limit(text) == limit


@pytest.mark.parametrize(
    "text", ["", "%", "-1", "-1%", "100.1%", "101%", "1.5", "nan%", "half", "5%%", "9" * 500, "٣%"]
)
def test_what_is_no_delete_limit(text: str) -> None:
    with pytest.raises(
        UsageError, match="write a number of files such as 100, or a percentage from 0% to 100%"
    ):
        parse_delete_limit(text)
