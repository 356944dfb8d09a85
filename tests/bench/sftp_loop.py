"""One large file from SFTP to SFTP: ours against a loop of paramiko's ``SFTPFile.read`` and ``write``.

Run from the repository: ``python -m tests.bench.sftp_loop --size 1G``. Starts two sshd on loopback, makes the
files, lets the ways run in turn, each in a process of its own, checks the copies, and prints MiB/s, ratios
and peak memory. The loop runs as paramiko leaves it and, to be fair to it, also with Nagle's algorithm
switched off. Exit code 1 where ours is not 8 times as fast as the loop.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import paramiko

from tests.support.sshd import Sshd, sshd_missing
from tui_sync import names
from tui_sync.connectors.base import Endpoint, HostKey
from tui_sync.connectors.sftp.dialing import connect

REQUIRED = 8.0
LOOP_BLOCK = 32 << 10


class NoPrompts:
    def secret(self, server: str, prompt: str) -> str | None:
        return None

    def trust(self, server: str, key: HostKey) -> bool:
        return False


def copy_ours(source: Endpoint, target: Endpoint, name: str) -> None:
    """What the engine does with one file: one thread, block by block."""
    reading, writing = connect(source, NoPrompts()), connect(target, NoPrompts())
    try:
        with reading.reader().open(name) as download:
            temporary = names.temporary(name, "bench")
            upload = writing.writer().upload(
                name,
                temporary=temporary,
                size=download.entry.size,
                mtime_ns=download.entry.mtime_ns,
                mode=download.entry.mode,
            )
            at = 0
            for block in download.blocks():
                upload.write(at, block)
                at += len(block)
            upload.finish()
            upload.publish(replace=True)
    finally:
        reading.close()
        writing.close()


def copy_loop(source: Endpoint, target: Endpoint, name: str, *, no_delay: bool = False) -> None:
    """The obvious program: read a block, write it, go on."""
    clients = []
    for endpoint in (source, target):
        client = paramiko.SSHClient()
        client.load_host_keys(str(endpoint.options["known_hosts"]))
        client.connect(
            endpoint.host,
            endpoint.port or 22,
            endpoint.user,
            key_filename=str(endpoint.options["identity_file"]),
            allow_agent=False,
            look_for_keys=False,
        )
        if no_delay:
            transport = client.get_transport()
            assert transport is not None
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        clients.append(client)
    reading, writing = (client.open_sftp() for client in clients)
    with (
        reading.open(f"{source.path}/{name}", "rb") as old,
        writing.open(f"{target.path}/{name}", "wb") as new,
    ):
        while block := old.read(LOOP_BLOCK):
            new.write(block)
    for client in clients:
        client.close()


WAYS = {"ours": copy_ours, "loop": copy_loop, "loop-nodelay": partial(copy_loop, no_delay=True)}


def parse_size(text: str) -> int:
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(float(text[:-1]) * units[text[-1].upper()]) if text[-1].upper() in units else int(text)


def make_file(path: Path, size: int) -> None:
    with path.open("wb") as file:
        while size:
            file.write(os.urandom(min(size, 4 << 20)))
            size -= min(size, 4 << 20)


def run_one(
    way: str, source: Sshd, target: Sshd, folders: tuple[Path, Path], name: str
) -> tuple[float, float]:
    """MiB/s and peak MiB of one copy in a process of its own."""
    sides = [
        {"port": server.port, "user": server.user, "path": str(folder), "keys": str(server.folder)}
        for server, folder in zip((source, target), folders, strict=True)
    ]
    command = [sys.executable, "-m", "tests.bench.sftp_loop", "--child", way, json.dumps(sides), name]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=3600)
    elapsed, peak = json.loads(answer.stdout)
    if not filecmp.cmp(folders[0] / name, folders[1] / name, shallow=False):
        raise SystemExit(f"{way}: the copy of {name} differs")
    size = (folders[0] / name).stat().st_size
    (folders[1] / name).unlink()
    return size / elapsed / (1 << 20), peak


def child(way: str, sides: str, name: str) -> None:
    endpoints = [
        Endpoint(
            url="",
            scheme="sftp",
            path=side["path"],
            host="127.0.0.1",
            port=side["port"],
            user=side["user"],
            options={
                "identity_file": f"{side['keys']}/identity",
                "known_hosts": f"{side['keys']}/known_hosts",
            },
        )
        for side in json.loads(sides)
    ]
    before = time.perf_counter()
    WAYS[way](endpoints[0], endpoints[1], name)
    elapsed = time.perf_counter() - before
    print(json.dumps([elapsed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="1G", help="size of the file we copy (K, M, G; default 1G)")
    parser.add_argument("--loop-size", default="16M", help="size of the file the loop copies (default 16M)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--folder", type=Path, help="where to put the files (default: a temporary folder)")
    options = parser.parse_args()
    if reason := sshd_missing():
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        base = Path(folder)
        folders = (base / "source", base / "target")
        for one in folders:
            one.mkdir()
        for way in WAYS:
            make_file(folders[0] / way, parse_size(options.size if way == "ours" else options.loop_size))
        speeds: dict[str, list[float]] = {way: [] for way in WAYS}
        with Sshd(base / "sshd-source") as source, Sshd(base / "sshd-target") as target:
            for number in range(options.runs):
                for way in WAYS:
                    speed, peak = run_one(way, source, target, folders, way)
                    speeds[way].append(speed)
                    print(f"run {number + 1}  {way:12}  {speed:7.1f} MiB/s  peak {peak:.0f} MiB", flush=True)
        medians = {way: statistics.median(found) for way, found in speeds.items()}
        for way, speed in medians.items():
            print(f"median  {way:12}  {speed:7.1f} MiB/s  ours is {medians['ours'] / speed:.1f} times that")
        return 0 if medians["ours"] / medians["loop"] >= REQUIRED else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        sys.exit(main())
