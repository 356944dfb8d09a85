"""Symbolic links and special files through ``--batch``: on local folders and a real server, either way."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.integration.test_undo import NEW, Pair, _pair, put
from tests.support.sshd import Sshd


@pytest.fixture(params=["local", "to paramiko", "to openssh", "from paramiko", "from openssh"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    way, _, transport = request.param.partition(" ")
    pair = _pair(tmp_path, f'url = "{tmp_path / "target"}"')
    for side in (pair.source, pair.target):
        for path in sorted(side.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    if way != "local":
        server: Sshd = request.getfixturevalue("sshd")
        ends = [f'url = "{pair.source}"', f'url = "{pair.target}"']
        side = ("from", "to").index(way)
        ends[side] = (
            f'url = "{server.url((pair.source, pair.target)[side])}"\ntransport = "{transport}"\n'
            f'identity_file = "{server.identity_file}"\nknown_hosts = "{server.known_hosts}"'
        )
        pair.profile.write_text(f"[source]\n{ends[0]}\n[target]\n{ends[1]}\n")
    put(tmp_path / "outside/secret", "secret")
    put(pair.source / "docs/file", "content")
    put(pair.source / "docs/deep/other", "other")
    for path, text in LINKS.items():
        (pair.source / path).parent.mkdir(parents=True, exist_ok=True)
        (pair.source / path).symlink_to(text.replace("ROOT", str(pair.source)))
    return pair


LINKS = {
    "to file": "docs/file",
    "to folder": "docs",
    "docs/up": "../docs/deep/other",
    "absolute": "ROOT/docs/file",
    "chain": "to folder/deep/other",
    "dangling": "docs/none",
    "through a file": "docs/file/x",
    "docs/out": "../../outside/secret",
    "absolute out": "/etc/passwd",
    "docs/deep/loop": "..",
    "self": "self",
    "ping": "pong",
    "pong": "ping",
}
LEADING_OUT = {"absolute", "docs/out", "absolute out"}


def shown(root: Path) -> dict[str, str]:
    """Content of files, and -> before the text of links."""
    found = {}
    for path in root.rglob("*"):
        if path.is_symlink():
            found[str(path.relative_to(root))] = "-> " + os.readlink(path)
        elif path.is_file():
            found[str(path.relative_to(root))] = path.read_text()
    return found


def guards(ran: object) -> dict[str, str]:
    return {guard["code"]: guard["message"] for guard in ran.records[0]["guards"]}  # type: ignore[attr-defined]


def nothing_to_do(pair: Pair, *arguments: str) -> None:
    again = pair.sync("--dry-run", *arguments)
    plan = again.records[0]
    assert (plan["create"], plan["update"], plan["delete"], plan["mkdir"]) == (0, 0, 0, 0)


def test_skipped_links_are_left_out_and_told(pair: Pair) -> None:
    pair.options(mode='"mirror"', max_delete='"100%"')
    pair.target.mkdir(exist_ok=True)
    (pair.target / "theirs").symlink_to("docs")
    ran = pair.sync()
    assert ran.code == 0, ran.err
    assert f"{len(LINKS)} paths" in guards(ran)["links"]
    assert shown(pair.target) == {
        "docs/file": "content",
        "docs/deep/other": "other",
        "theirs": "-> docs",
    }
    nothing_to_do(pair)


def test_followed_links_are_what_they_lead_to(pair: Pair) -> None:
    pair.options(symlinks='"follow"')
    ran = pair.sync()
    assert ran.code == 23, "links in a loop are conflicts"
    docs = {"file": "content", "deep/other": "other", "up": "other"}
    assert shown(pair.target) == {
        **{f"docs/{name}": data for name, data in docs.items()},
        **{f"to folder/{name}": data for name, data in docs.items()},
        **{"to file": "content", "absolute": "content", "chain": "other"},
    }
    conflicts = {
        record["path"]: record["reason"] for record in ran.records if record.get("status") == "conflict"
    }
    assert set(conflicts) == {"docs/deep/loop", "to folder/deep/loop", "self", "ping", "pong"}
    assert set(conflicts.values()) == {"symbolic link in a loop"}
    assert "5 paths" in guards(ran)["links"], "docs/out twice, and three more"
    assert not any(path.is_symlink() for path in pair.target.rglob("*"))
    for path in ("docs/deep/loop", "self", "ping", "pong"):
        (pair.source / path).unlink()
    assert pair.sync().code == 0
    nothing_to_do(pair)
    put(pair.source / "docs/file", "changed since", NEW + 10)
    assert pair.sync().summary["updated"] == 4
    assert shown(pair.target)["to folder/file"] == shown(pair.target)["absolute"] == "changed since"
    nothing_to_do(pair)


def test_copied_links_are_links_with_the_same_text(pair: Pair) -> None:
    pair.options(symlinks='"copy"', mode='"mirror"', max_delete='"100%"', backup="true")
    ran = pair.sync()
    assert ran.code == 0, ran.err
    assert shown(pair.target) == shown(pair.source)
    assert f"{len(LEADING_OUT)} paths" in guards(ran)["links-lead-out"]
    nothing_to_do(pair)
    for path, text in (("to file", "docs/deep"), ("dangling", "/")):
        (pair.source / path).unlink()
        (pair.source / path).symlink_to(text)
    (pair.source / "chain").unlink()
    ran = pair.sync()
    assert ran.code == 0, ran.err
    assert (ran.summary["updated"], ran.summary["deleted"]) == (2, 1)
    kept = pair.target / ran.summary["trash"]
    assert shown(kept) == {
        "to file": "-> docs/file",
        "dangling": "-> docs/none",
        "chain": "-> to folder/deep/other",
    }
    theirs = {path: what for path, what in shown(pair.target).items() if not path.startswith(".tui-sync")}
    assert theirs == shown(pair.source)
    nothing_to_do(pair)
    assert pair.undo().code == 0
    assert os.readlink(pair.target / "to file") == "docs/file"
    assert os.readlink(pair.target / "chain") == "to folder/deep/other"


def test_a_link_where_a_folder_is_to_be_is_not_followed(pair: Pair) -> None:
    for policy in ("skip", "follow", "copy"):
        outside = pair.home / "outside"
        pair.target.mkdir(exist_ok=True)
        (pair.target / "docs").symlink_to(outside)
        pair.options(symlinks=f'"{policy}"', mode='"mirror"', max_delete='"100%"')
        assert pair.sync().code == 25
        assert shown(outside) == {"secret": "secret"}
        (pair.target / "docs").unlink()


def test_special_files_are_left_out_and_told(pair: Pair) -> None:
    os.mkfifo(pair.source / "pipe")
    there = os.getcwd()
    with socket.socket(socket.AF_UNIX) as bound:
        # Its path has room for a hundred bytes.
        os.chdir(pair.source)
        try:
            bound.bind("socket")
        finally:
            os.chdir(there)
    for policy in ("skip", "copy"):
        ran = pair.sync("--symlinks", policy)
        assert ran.code == 0, ran.err
        assert "2 paths (the first is “pipe”) are neither file nor folder" in guards(ran)["specials"]
        assert not {"pipe", "socket"} & set(os.listdir(pair.target))
