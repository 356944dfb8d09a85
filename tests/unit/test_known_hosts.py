"""Known hosts files, as ssh reads them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_sync.connectors.sftp import known_hosts
from tui_sync.errors import ConnectError

KEY = base64.b64encode(b"the key").decode()


def lines_for(tmp_path: Path, content: str, name: str) -> list[int]:
    file = tmp_path / "known_hosts"
    file.write_text(content)
    return [record.line for record in known_hosts.lookup([file], name)]


@pytest.mark.parametrize(
    ("field", "name", "found"),
    [
        ("host", "host", True),
        ("HOST", "host", True),
        ("host", "hosts", False),
        ("a,host,b", "host", True),
        ("*.example.org", "a.example.org", True),
        ("*.example.org,!a.example.org", "a.example.org", False),
        ("!a.example.org,*.example.org", "a.example.org", False),
        ("h?st", "host", True),
        ("[host]:2222", "[host]:2222", True),
        ("[host]:2222", "host", False),
        ("host", "[host]:2222", False),
        ("h[o]st", "host", False),
        ("*", "[::1]:2222", True),
        ("|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=", "192.168.1.61", True),
        ("|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=", "192.168.1.62", False),
        ("|1|broken", "host", False),
        ("|1|@@|@@", "host", False),
    ],
)
def test_hosts_match_as_ssh_matches_them(tmp_path: Path, field: str, name: str, found: bool) -> None:
    assert bool(lines_for(tmp_path, f"{field} ssh-ed25519 {KEY}\n", name)) is found


def test_lines_are_counted_and_senseless_ones_passed_over(tmp_path: Path) -> None:
    senseless = f"# host ssh-ed25519 {KEY}\n\nhost\nhost ssh-rsa\nhost ssh-ed25519 !!!\n"
    content = f"{senseless}host ssh-ed25519 {KEY} me@here\n"
    assert lines_for(tmp_path, content, "host") == [6]


def test_markers(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(
        f"@revoked host ssh-ed25519 {KEY}\n@cert-authority host ssh-ed25519 {KEY}\n@new host a {KEY}\n"
    )
    revoked, authority = known_hosts.lookup([file], "host")
    assert revoked == known_hosts.Record(file, 1, "ssh-ed25519", b"the key", revoked=True)
    assert authority == known_hosts.Record(file, 2, "ssh-ed25519", b"the key", authority=True)


def test_missing_files_hold_nothing_and_unreadable_ones_are_an_error(tmp_path: Path) -> None:
    assert known_hosts.lookup([tmp_path / "none", tmp_path / "none" / "below"], "host") == []
    with pytest.raises(ConnectError, match="cannot read the known hosts"):
        known_hosts.lookup([tmp_path], "host")


@pytest.mark.parametrize(("host", "port", "name"), [("Host", 22, "host"), ("host", 2222, "[host]:2222")])
def test_names(host: str, port: int, name: str) -> None:
    assert known_hosts.host_name(host, port) == name


@given(st.binary(max_size=80), st.binary(min_size=1, max_size=80))
def test_what_is_appended_is_found(
    tmp_path_factory: pytest.TempPathFactory, before: bytes, blob: bytes
) -> None:
    file = tmp_path_factory.mktemp("hosts") / "new" / "known_hosts"
    file.parent.mkdir()
    file.write_bytes(before)
    known_hosts.append(file, known_hosts.key_line("[host]:1", "ssh-ed25519", blob))
    assert known_hosts.lookup([file], "[host]:1")[-1].blob == blob
    assert file.read_bytes().startswith(before)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConnectError, match=str(tmp_path)):
        known_hosts.append(tmp_path, "line")


def test_fingerprints_look_like_those_of_ssh_keygen() -> None:
    assert known_hosts.fingerprint(b"") == "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
