"""Runs against SFTP servers that fail, lie, and name what leads out of the root."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.support import read, store
from tests.faults.pair import Pair, Ran, leftovers, tree
from tests.faults.server import EXTENSIONS, LIMITS, Asked, Honest, LyingServer
from tui_sync.connectors.base import Endpoint
from tui_sync.connectors.sftp import wire
from tui_sync.connectors.sftp.pool import SessionPool
from tui_sync.connectors.sftp.wire import StatusCode
from tui_sync.model import Mode, SyncOptions, WriteMode

MIB = 1 << 20
OLD = 1_600_000_000
NEW = 1_700_000_000
SERIAL = SyncOptions(mode=Mode.MIRROR, workers=1)


def put(path: Path, data: bytes, mtime: int = NEW) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (mtime, mtime))


def fill(pair: Pair) -> None:
    """Something of every action, a file large enough to be sent in parts."""
    put(pair.ours / "new", b"new")
    put(pair.ours / "changed", b"changed on the source")
    put(pair.ours / "folder/below", b"below")
    put(pair.ours / "same", b"same")
    put(pair.ours / "large", random.Random(1).randbytes(300_000))
    put(pair.theirs / "changed", b"as it was", OLD)
    put(pair.theirs / "same", b"same")
    put(pair.theirs / "gone/extra", b"extra", OLD)


def check_nothing_torn(pair: Pair, ran: Ran, before: dict[str, bytes | None]) -> None:
    """Every name holds the old content, or the new one."""
    wanted = tree(pair.ours)
    for path, data in tree(pair.theirs).items():
        assert data in (wanted.get(path), before.get(path)), path
        assert path in wanted or path in before, path


def requests_of_a_run(pair: Pair, side: str) -> list[Asked]:
    fill(pair)
    server = getattr(pair, side)
    assert pair.sync(SERIAL).code == 0
    assert tree(pair.theirs) == tree(pair.ours)
    # Whether two ask at one moment, so that a further session begins, is a matter of time.
    return [asked for asked in server.asked if asked.name != wire.LIMITS or asked.time == 0]


def fail(_request: wire.Request, _honest: Honest) -> wire.Response | None:
    return wire.Status(StatusCode.FAILURE, "Failure")


def deny(_request: wire.Request, _honest: Honest) -> wire.Response | None:
    return wire.Status(StatusCode.PERMISSION_DENIED, "Permission denied")


def cut(_request: wire.Request, _honest: Honest) -> wire.Response | None:
    return None


def cut_after(_request: wire.Request, honest: Honest) -> wire.Response | None:
    honest()
    return None


@pytest.mark.parametrize(
    ("side", "harm"),
    # To a source it is all the same whether it had read before its answer was lost.
    [("source", harm) for harm in (fail, deny, cut)]
    + [("target", harm) for harm in (fail, deny, cut, cut_after)],
)
def test_every_request_failed_once_in_turn(
    side: str,
    harm: Callable[[wire.Request, Honest], wire.Response | None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    template = Pair(tmp_path / "template", monkeypatch)
    asked = requests_of_a_run(template, side)
    assert len(asked) > 30
    outcomes: dict[str, list[int]] = {}
    for number, aim in enumerate(asked):
        pair = Pair(tmp_path / str(number), monkeypatch)
        fill(pair)
        before = tree(pair.theirs)
        hit = []

        def lie(
            one: Asked, request: wire.Request, honest: Honest, aim: Asked = aim, hit: list[Asked] = hit
        ) -> wire.Response | None:
            if one == aim:
                hit.append(one)
                return harm(request, honest)
            return honest()

        getattr(pair, side).lie = lie
        ran = pair.sync(SERIAL)
        told = f"{harm.__name__} {side} {aim}: {ran.code} {ran.error} {ran.err}"
        assert hit, told
        outcomes.setdefault(f"{ran.code}", []).append(number)
        check_nothing_torn(pair, ran, before)
        if not ran.records:
            # Without the roots there is no plan, and nothing was written.
            assert harm in (fail, deny), told
            assert aim.path in ("/tree", "", "."), told
            assert tree(pair.theirs) == before, told
        else:
            assert ran.code in (0, 23), told
            bad = {path for path, record in ran.items.items() if record["status"] != "done"}
            wanted = tree(pair.ours)
            for path, record in ran.items.items():
                if record["status"] == "done" and record["action"] in ("create", "update"):
                    assert tree(pair.theirs)[path] == wanted[path], told
            if ran.code == 0:
                assert tree(pair.theirs) == wanted, told
                assert not bad, told
        getattr(pair, side).lie = lambda one, request, honest: honest()
        again = pair.sync(SERIAL)
        assert again.code == 0, f"{told}\nthen {again.err} {again.error}"
        assert tree(pair.theirs) == tree(pair.ours), told
        assert leftovers(pair.theirs) == [], told
    # A cut line is no reason for anything to be left undone.
    if harm in (cut, cut_after):
        assert set(outcomes) == {"0"}, {code: [str(asked[n]) for n in at] for code, at in outcomes.items()}


# ".." is what every listing has, and no listing's child.
HOSTILE = ["../../etc/x", "/abs", "a/../../b", "nul\0byte", "with/slash", "..", "", "ok\nname"]


@pytest.mark.parametrize("side", ["source", "target"])
def test_hostile_names_in_a_listing_lead_nowhere(pair: Pair, side: str) -> None:
    put(pair.ours / "good", b"good")
    put(pair.ours / "sub/good", b"good too")
    put(pair.theirs / "extra", b"only on the target", OLD)
    for disk in (pair.source.folder, pair.target.folder):
        for name in ("etc/x", "abs", "b", "slash"):
            put(disk / name, b"outside")
    outside = {
        disk: {path: data for path, data in tree(disk).items() if not path.startswith("tree")}
        for disk in (pair.source.folder, pair.target.folder)
    }
    file = wire.Attributes(size=7, permissions=0o100644, times=(NEW, NEW))
    folder = wire.Attributes(size=0, permissions=0o040755, times=(NEW, NEW))
    hostile = [wire.NameEntry(name, name, file) for name in HOSTILE]
    hostile += [wire.NameEntry(name, name, folder) for name in ("../..", "/etc", "d\0d")]

    def lie(asked: Asked, _request: wire.Request, honest: Honest) -> wire.Response:
        answer = honest()
        if asked.name == "ReadDir" and asked.path == "/tree" and isinstance(answer, wire.Name):
            return wire.Name((*answer.entries, *hostile))
        return answer

    getattr(pair, side).lie = lie
    ran = pair.sync(SyncOptions(mode=Mode.MIRROR))
    assert ran.code == 23, ran.err
    for disk, was in outside.items():
        now = {path: data for path, data in tree(disk).items() if not path.startswith("tree")}
        assert now == was
    assert tree(pair.theirs)["good"] == b"good"
    assert tree(pair.theirs)["sub/good"] == b"good too"
    assert tree(pair.theirs)["extra"] == b"only on the target", "not all of the root was listed"
    assert ran.summary["conflicts"] >= len(HOSTILE) - 2
    reasons = " ".join(record["reason"] for record in ran.items.values())
    for problem in ("contains a slash", "contains a NUL byte", "is empty"):
        assert problem in reasons
    for server in (pair.source, pair.target):
        for asked in server.asked:
            assert os.path.normpath(asked.path).startswith(("/tree", ".")), asked
            assert ".." not in asked.path.split("/"), asked
            assert "\0" not in asked.path, asked


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_folder_that_may_be_listed_but_not_entered_is_not_taken_for_empty(pair: Pair, side: str) -> None:
    """OpenSSH leaves out of a listing what it cannot look at, which is all, and says no word."""
    put(pair.ours / "dark/kept", b"kept")
    put(pair.ours / "light", b"light")
    put(pair.theirs / "dark/kept", b"kept")
    put(pair.theirs / "dark/extra", b"extra")

    def lie(asked: Asked, _request: wire.Request, honest: Honest) -> wire.Response:
        answer = honest()
        if asked.name == "ReadDir" and asked.path == "/tree/dark" and isinstance(answer, wire.Name):
            return wire.Status(StatusCode.EOF, "End of file")
        if asked.path.startswith("/tree/dark/"):
            return wire.Status(StatusCode.PERMISSION_DENIED, "Permission denied")
        return answer

    getattr(pair, side).lie = lie
    before = tree(pair.theirs)
    ran = pair.sync(SyncOptions(mode=Mode.MIRROR))
    assert ran.code == 23, ran.err
    assert "may not be looked at" in ran.items["dark"]["reason"]
    assert tree(pair.theirs) == {**before, "light": b"light"}


@pytest.mark.parametrize("dotted", [True, False])
def test_a_server_that_lists_itself_nowhere_lists_empty_folders_as_such(pair: Pair, dotted: bool) -> None:
    put(pair.ours / "file", b"file")
    (pair.ours / "empty").mkdir()
    put(pair.theirs / "file", b"file")
    put(pair.theirs / "empty/extra", b"extra")

    def lie(asked: Asked, request: wire.Request, honest: Honest) -> wire.Response:
        answer = honest()
        if asked.name == "ReadDir" and isinstance(answer, wire.Name):
            return wire.Name(tuple(entry for entry in answer.entries if entry.name not in (".", "..")))
        if not dotted and asked.path.endswith("/."):
            return wire.Status(StatusCode.NO_SUCH_FILE, "No such file")
        return answer

    pair.source.lie = pair.target.lie = lie
    assert pair.sync(SyncOptions(mode=Mode.MIRROR)).code == 0
    assert tree(pair.theirs) == tree(pair.ours)


def test_short_reads_lose_nothing(pair: Pair) -> None:
    fill(pair)
    dice = random.Random(5)

    def lie(asked: Asked, _request: wire.Request, honest: Honest) -> wire.Response:
        answer = honest()
        if isinstance(answer, wire.Data):
            return wire.Data(answer.data[: dice.randint(1, len(answer.data))])
        return answer

    pair.source.lie = lie
    assert pair.sync(SERIAL).code == 0
    assert tree(pair.theirs) == tree(pair.ours)


@pytest.mark.parametrize("seed", range(3))
def test_replies_in_any_order_change_nothing(pair: Pair, seed: int) -> None:
    fill(pair)
    pair.source.shuffle = random.Random(seed)
    pair.target.shuffle = random.Random(seed + 100)
    assert pair.sync(SyncOptions(mode=Mode.MIRROR)).code == 0, f"seed {seed}"
    assert tree(pair.theirs) == tree(pair.ours), f"seed {seed}"


def test_servers_that_tell_no_limits_are_asked_for_32_kib_at_a_time(pair: Pair) -> None:
    fill(pair)
    sizes: dict[str, int] = {}

    def note(asked: Asked, request: wire.Request, honest: Honest) -> wire.Response:
        size = request.length if isinstance(request, wire.Read) else 0
        size = len(request.data) if isinstance(request, wire.Write) else size
        sizes[asked.name] = max(size, sizes.get(asked.name, 0))
        return honest()

    for server in (pair.source, pair.target):
        server.limits, server.extensions, server.lie = None, (), note
    assert pair.sync(SERIAL).code == 0
    assert tree(pair.theirs) == tree(pair.ours)
    assert (sizes["Read"], sizes["Write"]) == (32 << 10, 32 << 10)


@pytest.mark.parametrize("limits", [LIMITS, None], ids=["64 KiB", "32 KiB"])
def test_several_channels_short_answers_and_any_order_give_the_right_file(
    tmp_path: Path, limits: wire.Limits | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SessionPool, "rtt_s", 0.05)
    monkeypatch.setattr("tui_sync.connectors.sftp.lanes._LEAST_SIZE", 1 << 20)
    data = random.Random(3).randbytes(1_800_001)
    server = LyingServer(tmp_path / "disk", shuffle=random.Random(4), limits=limits)
    dice = random.Random(5)
    opened: list[Asked] = []

    def lie(asked: Asked, request: wire.Request, honest: Honest) -> wire.Response:
        answer = honest()
        if asked.name == "Open":
            opened.append(asked)
        if isinstance(answer, wire.Data) and len(answer.data) > 20_000 and dice.random() < 0.3:
            return wire.Data(answer.data[: dice.randint(20_000, len(answer.data))])
        return answer

    server.lie = lie
    connector = server.connector(Endpoint("sftp://server/", "sftp", "/", "server"))
    pool = connector._pool
    taken = []
    while pool.channels < 5:
        taken.append(pool.acquire())
    for session in taken:
        pool.release(session)
    store(connector, "file", data, block=200_000)
    assert (server.folder / "file").read_bytes() == data
    assert len(opened) == 5
    assert read(connector.reader(), "file") == data
    assert read(connector.reader(), "file", 100_001, 1_700_001) == data[100_001:1_700_001]
    assert len(opened) == 15
    connector.close()


@pytest.mark.parametrize("by", [-5, 5])
@pytest.mark.parametrize("where", [("Lstat",), ("Fstat",), ("ReadDir",), ("Lstat", "Fstat", "ReadDir")])
def test_a_source_that_lies_about_sizes_never_gets_a_wrong_file_published(
    pair: Pair, by: int, where: tuple[str, ...]
) -> None:
    fill(pair)
    before = tree(pair.theirs)

    def wrong(attributes: wire.Attributes) -> wire.Attributes:
        assert attributes.size is not None
        return wire.Attributes(
            attributes.size + by, attributes.owner, attributes.permissions, attributes.times
        )

    def lie(asked: Asked, _request: wire.Request, honest: Honest) -> wire.Response:
        answer = honest()
        if asked.name in where and isinstance(answer, wire.Attrs) and asked.path.endswith("changed"):
            return wire.Attrs(wrong(answer.attributes))
        if asked.name in where and isinstance(answer, wire.Name):
            return wire.Name(
                tuple(
                    wire.NameEntry(one.name, one.long_name, wrong(one.attributes))
                    if one.name == "changed"
                    else one
                    for one in answer.entries
                )
            )
        return answer

    pair.source.lie = lie
    ran = pair.sync(SERIAL)
    after = tree(pair.theirs)
    if (by, len(where)) == (-5, 3):
        # Nothing tells a smaller size, kept to everywhere, from a file of that size.
        assert after["changed"] == b"changed on the s"
    else:
        assert ran.code == 24, ran.err
        assert after["changed"] == before["changed"]
    assert after["new"] == b"new"
    assert leftovers(pair.theirs) == []


def test_a_target_that_keeps_fewer_bytes_than_it_says(pair: Pair) -> None:
    fill(pair)
    before = tree(pair.theirs)

    def lie(asked: Asked, request: wire.Request, honest: Honest) -> wire.Response:
        if isinstance(request, wire.Write) and request.offset and asked.path != "/tree/new":
            return wire.Status(StatusCode.OK)
        return honest()

    pair.target.lie = lie
    ran = pair.sync(SERIAL)
    assert ran.code == 23
    assert "large" not in tree(pair.theirs)
    assert tree(pair.theirs).keys() >= before.keys(), "nothing is deleted beside what was not copied"
    assert ran.items["large"]["status"] == "failed"


def test_a_target_without_renames(pair: Pair) -> None:
    fill(pair)
    before = tree(pair.theirs)
    forbidden = wire.Status(StatusCode.PERMISSION_DENIED, "Permission denied")
    pair.target.lie = lambda asked, request, honest: (
        forbidden if asked.name in ("Rename", wire.POSIX_RENAME) else honest()
    )
    ran = pair.sync(SERIAL)
    assert ran.code == 23
    assert {path: data for path, data in tree(pair.theirs).items() if data is not None} == {
        path: data for path, data in before.items() if data is not None
    }
    assert leftovers(pair.theirs) == []
    direct = pair.sync(SERIAL, mode=Mode.COPY, write=WriteMode.DIRECT)
    assert direct.code == 0, direct.err
    assert tree(pair.theirs).items() >= tree(pair.ours).items()


@pytest.mark.parametrize(
    "code", [StatusCode.PERMISSION_DENIED, StatusCode.OP_UNSUPPORTED, StatusCode.FAILURE]
)
def test_a_target_that_sets_no_attributes(pair: Pair, code: StatusCode) -> None:
    fill(pair)
    pair.target.lie = lambda asked, request, honest: (
        wire.Status(code, "no") if asked.name in ("SetStat", "FsetStat", wire.LSETSTAT) else honest()
    )
    ran = pair.sync(SERIAL)
    assert {path: data for path, data in tree(pair.theirs).items() if data is not None} == {
        path: data for path, data in tree(pair.ours).items() if data is not None
    }
    assert ran.summary["created"] == 3
    again = pair.sync(SERIAL)
    assert again.code == 0
    assert (again.summary["created"], again.summary["updated"], again.summary["deleted"]) == (0, 0, 0)


def test_a_target_without_any_extension(pair: Pair) -> None:
    fill(pair)
    pair.target.extensions = ()
    ran = pair.sync(SERIAL)
    assert ran.code == 0
    assert [guard["code"] for guard in ran.records[0]["guards"]] == ["no-atomic-replace"]
    assert tree(pair.theirs) == tree(pair.ours)
    assert leftovers(pair.theirs) == []


def test_a_target_whose_disk_fills_up_half_way(pair: Pair) -> None:
    """It says so late, as OpenSSH does: with the one status for everything."""
    fill(pair)
    before = tree(pair.theirs)
    room = [150_000]

    def lie(asked: Asked, request: wire.Request, honest: Honest) -> wire.Response:
        if isinstance(request, wire.Write):
            room[0] -= len(request.data)
            if room[0] < 0:
                pair.target.free = 0
                return wire.Status(StatusCode.FAILURE, "Failure")
        return honest()

    pair.target.lie = lie
    ran = pair.sync(SERIAL)
    assert ran.code == 23
    assert "no space left" in ran.items["large"]["error"]
    assert ran.items["large"]["attempts"] == 1, "no room now is no room in a second"
    assert leftovers(pair.theirs) == []
    assert tree(pair.theirs).items() >= {"gone/extra": before["gone/extra"]}.items()
    pair.target.free = 1 << 40
    pair.target.lie = lambda asked, request, honest: honest()
    assert pair.sync(SERIAL).code == 0
    assert tree(pair.theirs) == tree(pair.ours)


def test_extensions_are_those_that_the_connector_uses() -> None:
    assert set(EXTENSIONS) == {wire.POSIX_RENAME, wire.FSYNC, wire.STATVFS, wire.LSETSTAT}


def test_an_extra_folder_with_files_of_another_tui_sync_is_kept(pair: Pair) -> None:
    put(pair.ours / "same", b"same")
    put(pair.theirs / "same", b"same")
    foreign = pair.theirs / "extra/below/.tui-sync-0badcafe-0123456789abcdef0123.part"
    put(foreign, b"half of a file")
    put(pair.theirs / "other/.tui-sync-trash/x", b"x")
    (pair.theirs / "empty").mkdir()
    for _ in range(2):
        ran = pair.sync(SyncOptions(mode=Mode.MIRROR))
        assert ran.code == 0, ran.err
        assert foreign.read_bytes() == b"half of a file"
        assert not (pair.theirs / "empty").exists()
    planned = pair.sync(SyncOptions(mode=Mode.MIRROR), dry_run=True).items
    for path in ("extra/below", "other"):
        assert planned[path]["reason"].endswith("kept: holds temporary files of another tui-sync")
    assert planned["extra"]["action"] == "skip"
