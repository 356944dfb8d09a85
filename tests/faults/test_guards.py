"""Each guard, through batch mode: exit 25, its numbers told, and not one request that writes."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.faults.pair import Pair, tree
from tests.faults.server import Asked, Honest, LyingServer
from tests.faults.test_lying_server import NEW, OLD, SERIAL, fill, put
from tui_sync.connectors.sftp import wire
from tui_sync.model import DeleteLimit, DeleteTo, Mode

_WRITES = {
    "Write",
    "SetStat",
    "FsetStat",
    "Remove",
    "MkDir",
    "RmDir",
    "Rename",
    wire.POSIX_RENAME,
    wire.LSETSTAT,
}


def asked_to_write(server: LyingServer) -> list[Asked]:
    return [asked for asked in server.asked if asked.name in _WRITES]


def empty_source(pair: Pair) -> str:
    for path in sorted(pair.ours.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    return "The source holds no files, and the target 3 files"


def too_many_deletes(pair: Pair) -> str:
    for number in range(5):
        put(pair.theirs / f"gone/{number}", b"", OLD)
    return "6 of 8 files on the target would be deleted (75%); the limit is 50%"


def too_little_space(pair: Pair) -> str:
    pair.target.free = 100_000
    return "The target has 100,000 bytes free, and up to 300,0"


def a_file_where_a_folder_must_be(pair: Pair) -> str:
    put(pair.ours / "gone", b"a file here")
    return "“gone” is a file on one side and something else on the other"


def names_that_collide(pair: Pair) -> str:
    """On a target that ignores case, as what it says of the names it has shows."""
    put(pair.ours / "NEW", b"another")

    def lie(asked: Asked, request: wire.Request, honest: Honest) -> wire.Response:
        if isinstance(request, wire.Lstat) and not os.path.lexists(f"{pair.target.folder}{request.path}"):
            head, _, name = request.path.rpartition("/")
            lower = f"{pair.target.folder}{head}/{name.lower()}"
            if os.path.lexists(lower):
                return wire.Attrs(wire.Attributes(size=1, permissions=0o100644, times=(NEW, NEW)))
        return honest()

    pair.target.lie = lie
    return "“new” is different from another name only in upper and lower case"


GUARDS = [
    empty_source,
    too_many_deletes,
    too_little_space,
    a_file_where_a_folder_must_be,
    names_that_collide,
]


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("guard", GUARDS)
def test_each_guard_refuses_before_the_first_byte(
    pair: Pair, guard: Callable[[Pair], str], dry_run: bool
) -> None:
    fill(pair)
    says = guard(pair)
    before = tree(pair.theirs)
    ran = pair.sync(SERIAL, dry_run=dry_run)
    assert ran.code == 25, ran.err
    assert says in ran.err
    assert ran.summary["status"] == "refused"
    assert asked_to_write(pair.target) == []
    assert tree(pair.theirs) == before


def test_a_limit_of_a_count(pair: Pair) -> None:
    fill(pair)
    put(pair.theirs / "gone/second", b"", OLD)
    refused = pair.sync(SERIAL, max_delete=DeleteLimit(1, percent=False))
    assert refused.code == 25
    assert "2 of 4 files on the target would be deleted (50%); the limit is 1." in refused.err
    assert pair.sync(SERIAL, max_delete=DeleteLimit(2, percent=False)).code == 0


@pytest.mark.parametrize("seen", [True, False])
def test_names_that_collide_nowhere_block_nobody(pair: Pair, seen: bool) -> None:
    """On a target that tells names apart, and on one of which nothing is known."""
    put(pair.ours / "name", b"one")
    put(pair.ours / "NAME", b"other")
    if seen:
        put(pair.theirs / "something", b"")
    ran = pair.sync(SERIAL, mode=Mode.COPY)
    assert ran.code == 0, ran.err
    assert "note: “name” is different from another name only" in ran.err
    assert tree(pair.theirs).items() >= tree(pair.ours).items()


def test_names_that_collide_unforeseen_replace_nothing(pair: Pair) -> None:
    """A target that was empty gave no sign; it publishes nothing over a name that is taken."""
    put(pair.ours / "name", b"one")
    put(pair.ours / "NAME", b"other")
    put(pair.ours / "folder/a", b"lower")
    put(pair.ours / "FOLDER/a", b"upper")

    def folded(path: str) -> str:
        return path if ".tui-sync" in path else path.lower()

    def lie(asked: Asked, request: wire.Request, honest: Honest) -> wire.Response:
        for field in ("path", "old", "new"):
            value = getattr(request, field, None)
            if isinstance(value, str):
                head, _, name = value.rpartition("/")
                object.__setattr__(request, field, f"{head.lower()}/{folded(name)}")
        return honest()

    pair.target.lie = lie
    ran = pair.sync(SERIAL, mode=Mode.COPY)
    assert ran.code == 23, ran.err
    there = tree(pair.theirs)
    assert there["name"] in (b"one", b"other")
    assert there["folder/a"] in (b"lower", b"upper")
    statuses = sorted(record["status"] for path, record in ran.items.items() if path.lower() == "name")
    assert statuses == ["done", "drifted"]


@pytest.mark.parametrize("to", [DeleteTo.TRASH, DeleteTo.PERMANENT])
def test_leftovers_in_a_folder_to_be_deleted_stop_no_mirror(pair: Pair, to: DeleteTo) -> None:
    """What is ours but not of this pair stays, with its folder; the next run finds nothing to do."""
    fill(pair)
    left = {
        "gone/.tui-sync-01234567-0123456789abcdef0123.part": b"of another machine",
        "gone/empty/.tui-sync-aside-0123456789abcdef": b"put aside",
        "gone/nested/.tui-sync-trash/01234567-1/precious": b"in another root's trash",
    }
    for path, data in left.items():
        put(pair.theirs / path, data)
    ran = pair.sync(SERIAL, delete=to)
    assert ran.code == 0, (ran.err, ran.items)
    assert not (pair.theirs / "gone/extra").exists()
    for path, data in left.items():
        assert (pair.theirs / path).read_bytes() == data
    again = pair.sync(SERIAL, delete=to)
    assert (again.code, again.summary["deleted"], again.summary["skipped"]) == (0, 0, 0)
