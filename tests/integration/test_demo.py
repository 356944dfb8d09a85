"""The demo from end to end: embedded servers, sample trees, batch mode, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import paramiko
import pytest

from tests.support.batch import environment, tui_sync
from tui_sync.demo.run import run_demo
from tui_sync.demo.servers import EmbeddedServer


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith("tui-sync-demo-")]


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where the demo puts its folder."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def test_the_demo_syncs_and_ends_in_a_summary(tmp_path: Path, scratch: Path) -> None:
    ran = tui_sync("demo", "--batch", "--json", "--size", "3M", home=tmp_path, TMPDIR=str(scratch))
    assert ran.code == 0, ran.err
    records = ran.records
    changes = {record["change"] for record in records if record["event"] == "item"}
    assert {"new", "modified", "target-newer", "extra"} <= changes
    assert ran.summary["status"] == "ok"
    assert ran.summary["exit_code"] == 0
    assert ran.summary["bytes"] > 3 * 1024 * 1024
    assert min(ran.summary[key] for key in ("created", "updated", "deleted", "unchanged")) > 0
    assert left_in(scratch) == []
    assert not (tmp_path / ".ssh").exists()
    assert not (tmp_path / ".local").exists()
    assert not (tmp_path / ".config").exists()


def test_the_demo_with_s3_syncs_too(require_s3: None, tmp_path: Path, scratch: Path) -> None:
    ran = tui_sync("demo", "--batch", "--json", "--s3", "--size", "9M", home=tmp_path, TMPDIR=str(scratch))
    assert ran.code == 0, ran.err
    changes = {record["change"] for record in ran.records if record["event"] == "item"}
    assert {"new", "modified", "extra"} <= changes
    assert ran.summary["bytes"] > 9 * 1024 * 1024
    assert min(ran.summary[key] for key in ("created", "updated", "deleted", "unchanged")) > 0
    assert left_in(scratch) == []


def test_kept_trees_are_equal_but_for_what_is_left_alone(tmp_path: Path, scratch: Path) -> None:
    ran = tui_sync("demo", "--batch", "--keep", "--size", "1M", home=tmp_path, TMPDIR=str(scratch))
    assert ran.code == 0, ran.err
    [name] = left_in(scratch)
    assert f"kept: {scratch / name}" in ran.err
    differences = subprocess.run(
        ["diff", "-rq", "--no-dereference", "source", "target"],
        cwd=scratch / name,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    assert sorted(differences) == [
        "Only in source/data: half written.tmp",
        "Only in source: .cache",
        "Only in source: latest handbook",
        "Only in target: .tui-sync-trash",
    ]


def test_a_dry_run_of_the_demo_writes_nothing(tmp_path: Path, scratch: Path) -> None:
    ran = tui_sync("demo", "--dry-run", "--keep", "--size", "1M", home=tmp_path, TMPDIR=str(scratch))
    assert ran.code == 0, ran.err
    assert "+ foo[/bar].txt\t" in ran.out
    assert "\x1b" not in ran.out + ran.err
    assert ran.out.splitlines()[-1].startswith("plan: ")
    [name] = left_in(scratch)
    assert not (scratch / name / "target" / "video").exists()
    assert not list((scratch / name / "target").glob(".tui-sync*"))


def test_the_demo_with_a_conflict_is_refused(tmp_path: Path, scratch: Path) -> None:
    ran = tui_sync("demo", "--json", "--conflict", "--size", "1k", home=tmp_path, TMPDIR=str(scratch))
    assert ran.code == 25
    assert ran.summary["status"] == "refused"
    assert left_in(scratch) == []


def test_a_demo_that_cannot_fit_is_refused(tmp_path: Path, scratch: Path) -> None:
    ran = tui_sync("demo", "--batch", "--size", "900T", home=tmp_path, TMPDIR=str(scratch))
    assert ran.code == 1
    assert "--size" in ran.err
    assert "Traceback" not in ran.err
    assert left_in(scratch) == []


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_demo_cleans_up_when_interrupted(tmp_path: Path, scratch: Path, kind: signal.Signals) -> None:
    command = [sys.executable, "-m", "tui_sync", "demo", "--batch", "--size", "2G"]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(tmp_path, TMPDIR=str(scratch)),
    ) as process:
        try:
            assert process.stderr is not None
            assert b"making sample data" in process.stderr.readline()
            process.send_signal(kind)
            told = process.stderr.read()
            assert process.wait(30) == 130
        finally:
            process.kill()
    assert b"error: interrupted" in told
    assert b"Traceback" not in told
    assert left_in(scratch) == []


def test_the_app_gets_the_demo_and_the_folder_goes_after_it(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []

    def run_app(profile: object, *, state_dir: Path) -> int:
        seen.append(state_dir.parent)
        assert (state_dir.parent / "source").is_dir()
        return 0

    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.setattr("tui_sync.tui.app.run_app", run_app)
    before = signal.getsignal(signal.SIGTERM)
    assert run_demo(size=1000, headless=False) == 0
    assert signal.getsignal(signal.SIGTERM) == before
    assert not seen[0].exists()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("embedded-sftp")]


def client(server: EmbeddedServer, password: str | None = None) -> paramiko.SSHClient:
    connection = paramiko.SSHClient()
    known_hosts = server.root.parent / f"known_hosts_{server.port}"
    known_hosts.write_text(f"{server.host_key_line}\n")
    connection.load_host_keys(str(known_hosts))
    connection.connect(
        server.host,
        server.port,
        server.user,
        password if password is not None else server.password,
        allow_agent=False,
        look_for_keys=False,
    )
    return connection


def test_the_embedded_server_is_a_chroot_with_its_own_key_and_password(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_text("inside")
    (tmp_path / "outside").write_text("outside")
    os.symlink("file", root / "link")
    with EmbeddedServer(root) as server, EmbeddedServer(root) as other:
        assert server.password != other.password
        assert server.host_key_line != other.host_key_line
        with client(server) as connection, connection.open_sftp() as sftp:
            assert sorted(sftp.listdir("/")) == ["file", "link"]
            assert sftp.readlink("/link") == "file"
            with pytest.raises(FileNotFoundError):
                sftp.stat("/../outside")
            with sftp.open("/new", "w") as file:
                file.write("new")
            sftp.posix_rename("/new", "/file")
        with pytest.raises(paramiko.AuthenticationException):
            client(server, "wrong")
    assert (root / "file").read_text() == "new"


def test_a_stopped_server_is_gone_with_its_connections(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path).start()
    connection = client(server)
    server.stop()
    server.stop()
    transport = connection.get_transport()
    assert transport is not None
    transport.join(10)
    assert not transport.is_active()
    connection.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port), 5)


def test_a_taken_port_is_an_error_of_start(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server, pytest.raises(OSError, match="address already in use"):
        EmbeddedServer(tmp_path, port=server.port).start()
