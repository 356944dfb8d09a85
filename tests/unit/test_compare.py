"""The lock-step merge and what makes two files equal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.planning import T0, S, plan
from tui_sync.connectors.memory import MemoryConnector
from tui_sync.errors import Cancelled, ConnectionLost, PermissionDenied
from tui_sync.model import Change, ChangeKind, CompareBy, Entry, Kind, Synced, SyncOptions
from tui_sync.planning.compare import CHECKSUM_WORKERS, LOOK_AHEAD, Digests, compare
from tui_sync.planning.scanned import Scanned

HOUR = 3_600 * S
AUTO, SIZE, MTIME, CHECKSUM = CompareBy.AUTO, CompareBy.SIZE, CompareBy.MTIME, CompareBy.CHECKSUM
EQUAL, MODIFIED, NEWER = ChangeKind.EQUAL, ChangeKind.MODIFIED, ChangeKind.TARGET_NEWER


def file(path: str, size: int = 10, mtime_ns: int | None = T0) -> Scanned:
    return Scanned(path, Entry(path, Kind.FILE, size, mtime_ns))


def folder(path: str, **more: object) -> Scanned:
    return Scanned(path, Entry(path, Kind.DIRECTORY), **more)  # type: ignore[arg-type]


def link(path: str) -> Scanned:
    return Scanned(path, Entry(path, Kind.SYMLINK, link_target="x"))


def changes(
    source: list[Scanned],
    target: list[Scanned],
    by: CompareBy = AUTO,
    *,
    precision_ns: int = 1,
    synced: Synced | None = None,
    digests: Digests | None = None,
    sizes_comparable: bool = True,
) -> dict[str, Change]:
    found = list(
        compare(
            source,
            target,
            by=by,
            precision_ns=precision_ns,
            known=lambda path: synced if synced is not None and synced.path == path else None,
            digests=digests,
            sizes_comparable=sizes_comparable,
        )
    )
    assert len({change.path for change in found}) == len(found)
    return {change.path: change for change in found}


def kinds(*args: object, **more: object) -> dict[str, ChangeKind]:
    return {path: change.kind for path, change in changes(*args, **more).items()}  # type: ignore[arg-type]


def pair(
    by: CompareBy,
    source: tuple[int, int | None],
    target: tuple[int, int | None],
    precision_ns: int = 1,
    **more: object,
) -> Change:
    return changes([file("f", *source)], [file("f", *target)], by, precision_ns=precision_ns, **more)["f"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("by", "source", "target", "kind", "reason"),
    [
        (AUTO, (10, T0), (10, T0), EQUAL, "same size and time"),
        (AUTO, (12, T0), (10, T0), MODIFIED, "size 10 -> 12 bytes"),
        (AUTO, (10, T0 + 3 * HOUR + 5 * S), (10, T0), MODIFIED, "source is newer by 3 h"),
        (AUTO, (10, T0), (10, T0 + 90 * S), NEWER, "target is newer by 1 min"),
        (AUTO, (12, T0), (10, T0 + 49 * HOUR), NEWER, "size 10 -> 12 bytes, target is newer by 2 days"),
        (AUTO, (10, T0 + 1), (10, T0), MODIFIED, "source is newer by less than 1 s"),
        (AUTO, (10, None), (10, T0), MODIFIED, "source has no time to compare"),
        (AUTO, (10, T0), (10, None), MODIFIED, "target has no time to compare"),
        (AUTO, (10, None), (10, None), MODIFIED, "both sides have no time to compare"),
        (AUTO, (12, None), (10, None), MODIFIED, "size 10 -> 12 bytes"),
        (SIZE, (10, T0), (10, T0 + HOUR), EQUAL, "same size"),
        (SIZE, (10, None), (10, None), EQUAL, "same size"),
        (SIZE, (12, T0), (10, T0), MODIFIED, "size 10 -> 12 bytes"),
        (MTIME, (12, T0), (10, T0), EQUAL, "same time"),
        (MTIME, (10, T0 + HOUR), (10, T0), MODIFIED, "source is newer by 1 h"),
        (MTIME, (10, None), (10, T0), MODIFIED, "source has no time to compare"),
    ],
)
def test_two_files(
    by: CompareBy,
    source: tuple[int, int | None],
    target: tuple[int, int | None],
    kind: ChangeKind,
    reason: str,
) -> None:
    change = pair(by, source, target)
    assert (change.kind, change.reason) == (kind, reason)


@pytest.mark.parametrize(
    ("delta", "precision_ns", "kind"),
    [
        (0, 1, EQUAL),
        (1, 1, MODIFIED),
        (-1, 1, NEWER),
        (S - 1, S, EQUAL),
        (1 - S, S, EQUAL),
        (S, S, MODIFIED),
        (-S, S, NEWER),
        (2 * S - 1, 2 * S, EQUAL),
        (0, 0, EQUAL),
        (1, 0, MODIFIED),
    ],
)
def test_times_within_the_precision_are_the_same(delta: int, precision_ns: int, kind: ChangeKind) -> None:
    assert pair(AUTO, (10, T0 + delta), (10, T0), precision_ns).kind is kind


@given(st.integers(-(2**63), 2**63), st.sampled_from([1, 100, 1_000, S, 2 * S]))
def test_a_time_that_was_rounded_down_is_the_same(mtime_ns: int, precision_ns: int) -> None:
    rounded = mtime_ns // precision_ns * precision_ns
    assert pair(AUTO, (10, mtime_ns), (10, rounded), precision_ns).kind is EQUAL


class TestKnown:
    """What the ledger remembers of the last run."""

    SOURCE, TARGET = file("f", 10, T0), file("f", 99, None)
    SYNCED = Synced("f", SOURCE.entry.identity, TARGET.entry.identity)

    @pytest.mark.parametrize("by", [AUTO, SIZE, MTIME])
    def test_both_sides_as_last_synced_are_equal(self, by: CompareBy) -> None:
        change = changes([self.SOURCE], [self.TARGET], by, synced=self.SYNCED)["f"]
        assert (change.kind, change.reason) == (EQUAL, "as last synced")

    @pytest.mark.parametrize(
        ("source", "target"),
        [
            (file("f", 10, T0 + 1), TARGET),
            (file("f", 11, T0), TARGET),
            (SOURCE, file("f", 98, None)),
            (SOURCE, file("f", 99, T0)),
        ],
    )
    def test_a_side_that_moved_on_is_not(self, source: Scanned, target: Scanned) -> None:
        assert kinds([source], [target], synced=self.SYNCED)["f"] is not EQUAL

    def test_a_checksum_does_not_trust_it(self) -> None:
        one, other = file("f"), file("f")
        synced = Synced("f", one.entry.identity, other.entry.identity)
        found = kinds([one], [other], CHECKSUM, synced=synced, digests=lambda one, other: ("1", "2"))
        assert found == {"f": MODIFIED}

    @pytest.mark.parametrize("by", list(CompareBy))
    def test_sizes_mean_nothing_after_a_transform(self, by: CompareBy) -> None:
        found = kinds([self.SOURCE], [self.TARGET], by, synced=self.SYNCED, sizes_comparable=False)
        assert found == {"f": EQUAL}
        assert pair(by, (10, T0), (3, T0), sizes_comparable=False).kind is EQUAL
        assert pair(by, (10, T0), (10, T0 - S), sizes_comparable=False).kind is MODIFIED
        assert pair(by, (10, T0), (10, None), sizes_comparable=False).kind is MODIFIED


def test_every_path_once_in_walking_order() -> None:
    source = [folder("a"), file("a/x"), folder("b"), file("b/x"), file("b-"), file("c")]
    target = [file("A"), folder("b"), file("b/w"), file("b/x"), file("d")]
    assert list(kinds(source, target).items()) == [
        ("A", ChangeKind.EXTRA),
        ("a", ChangeKind.NEW),
        ("a/x", ChangeKind.NEW),
        ("b", EQUAL),
        ("b/w", ChangeKind.EXTRA),
        ("b/x", EQUAL),
        ("b-", ChangeKind.NEW),
        ("c", ChangeKind.NEW),
        ("d", ChangeKind.EXTRA),
    ]


@pytest.mark.parametrize("order", [["b", "a"], ["a", "a"], ["a-", "a/x"], ["a", "b", "a/x"]])
@pytest.mark.parametrize("side", [0, 1])
def test_a_side_out_of_order_is_an_error_and_not_a_delete(order: list[str], side: int) -> None:
    sides: list[list[Scanned]] = [[file("a")], [file("a")]]
    sides[side] = [file(path) for path in order]
    with pytest.raises(ValueError, match="out of order"):
        changes(*sides)


def test_a_renamed_file_is_compared_under_its_new_name() -> None:
    source = [Scanned("a.gz", Entry("a", Kind.FILE, 10, T0))]
    change = changes(source, [file("a.gz", 3)], sizes_comparable=False)["a.gz"]
    assert (change.kind, change.source and change.source.path) == (EQUAL, "a")


def test_a_file_renamed_to_an_excluded_name_is_still_compared() -> None:
    source = [Scanned("a.gz", Entry("a", Kind.FILE, 10, T0))]
    target = [Scanned("a.gz", Entry("a.gz", Kind.FILE, 3, T0 - S), excluded=True)]
    assert kinds(source, target, sizes_comparable=False) == {"a.gz": MODIFIED}


@pytest.mark.parametrize("one", [file, folder, link])
@pytest.mark.parametrize("other", [file, folder, link])
def test_kinds_that_differ_are_a_conflict_unless_a_link_is_left_out(one: object, other: object) -> None:
    found = changes([one("x")], [other("x")])["x"]  # type: ignore[operator]
    if one is link:
        assert (found.kind, found.reason) == (ChangeKind.EXCLUDED, "symbolic link, not followed")
    elif one is other:
        assert found.kind is EQUAL
    else:
        assert found.kind is ChangeKind.TYPE_CHANGED
        assert " on source, " in found.reason


@pytest.mark.parametrize("kind", [Kind.SYMLINK, Kind.OTHER])
def test_what_is_neither_file_nor_folder_is_left_out(kind: Kind) -> None:
    special = Scanned("x", Entry("x", kind))
    assert kinds([special], []) == {"x": ChangeKind.EXCLUDED}
    assert kinds([], [special]) == {"x": ChangeKind.EXCLUDED}


def test_nothing_below_a_changed_type_is_new_or_extra() -> None:
    inside = [file("x/a"), folder("x/b"), file("x/b/c"), Scanned("x/d", Entry("x/d", Kind.FILE), True)]
    expected = dict.fromkeys(("x", "x/a", "x/b", "x/b/c"), ChangeKind.TYPE_CHANGED)
    expected |= {"x/d": ChangeKind.EXCLUDED, "x-": EQUAL}
    assert kinds([folder("x"), *inside, file("x-")], [file("x"), file("x-")]) == expected
    assert kinds([file("x"), file("x-")], [folder("x"), *inside, file("x-")]) == expected


@pytest.mark.parametrize("side", [0, 1])
def test_what_was_not_listed_in_full_decides_for_all_below(side: int) -> None:
    bad = [folder("x", error="no permission"), file("y")]
    good = [folder("x"), file("x/a"), folder("x/b"), file("x/b/c"), file("y")]
    found = changes(*([bad, good] if side == 0 else [good, bad]))
    assert {path for path, change in found.items() if change.kind is ChangeKind.ERROR} == {
        "x",
        "x/a",
        "x/b",
        "x/b/c",
    }
    assert found["x"].reason == f"{('source', 'target')[side]}: no permission"
    assert not found["x"].complete
    assert found["y"].kind is EQUAL


def test_an_excluded_directory_on_one_side_protects_the_other() -> None:
    out = folder("x", excluded=True)
    inside = [folder("x"), file("x/a")]
    assert set(kinds([out], inside).values()) == {ChangeKind.EXCLUDED}
    assert kinds([out], []) == kinds([], [out]) == {"x": ChangeKind.EXCLUDED}


def test_an_excluded_target_of_another_kind_is_left_alone() -> None:
    assert kinds([file("x")], [folder("x", excluded=True)]) == {"x": ChangeKind.EXCLUDED}


@pytest.mark.parametrize("side", [0, 1])
def test_a_directory_with_refused_names_is_incomplete_but_compared(side: int) -> None:
    partly, whole = folder("x", complete=False), folder("x")
    found = changes(*[[partly if side == each else whole, file("x/a")] for each in (0, 1)])
    assert (found["x"].kind, found["x"].complete) == (EQUAL, False)
    assert found["x/a"].kind is EQUAL
    assert not changes([partly], [])["x"].complete
    assert not changes([], [partly])["x"].complete


@pytest.mark.parametrize("side", [0, 1])
def test_an_incomplete_root_comes_first(side: int) -> None:
    sides = [[file("a")], [file("a")]]
    sides[side].insert(0, folder("", complete=False))
    found = list(changes(*sides).values())
    assert [(change.path, change.kind, change.complete) for change in found] == [
        ("", EQUAL, False),
        ("a", EQUAL, True),
    ]


class TestChecksum:
    def test_content_decides_whatever_the_times_say(self) -> None:
        source = [file("differs"), file("empty", 0, T0), file("same", 10, T0), file("size", 9)]
        target = [file("differs"), file("empty", 0, T0 + S), file("same", 10, T0 + HOUR), file("size", 8)]
        asked = []

        def digests(one: str, other: str) -> tuple[str, str]:
            asked.append(one)
            return one, "same"

        found = changes(source, target, CHECKSUM, digests=digests)
        assert {path: (change.kind, change.reason) for path, change in found.items()} == {
            "differs": (MODIFIED, "same size, other checksum"),
            "empty": (EQUAL, "both empty"),
            "same": (EQUAL, "same checksum"),
            "size": (MODIFIED, "size 8 -> 9 bytes"),
        }
        assert sorted(asked) == ["differs", "same"]

    def test_it_needs_digests(self) -> None:
        with pytest.raises(ValueError, match="digests"):
            changes([], [], CHECKSUM)

    def test_a_file_that_cannot_be_read_is_one_error(self) -> None:
        def digests(one: str, other: str) -> tuple[str, str]:
            if one == "b":
                raise PermissionDenied("not for you")
            return "same", "same"

        sides = [file("a"), file("b"), file("c")]
        found = changes(sides, sides, CHECKSUM, digests=digests)
        assert {path: change.kind for path, change in found.items()} == {
            "a": EQUAL,
            "b": ChangeKind.ERROR,
            "c": EQUAL,
        }
        assert "not for you" in found["b"].reason

    @pytest.mark.parametrize("error", [Cancelled, ConnectionLost, ZeroDivisionError])
    def test_what_is_no_matter_of_one_file_is_raised(self, error: type[Exception]) -> None:
        def digests(one: str, other: str) -> tuple[str, str]:
            raise error("over")

        with pytest.raises(error, match="over"):
            changes([file("a")], [file("a")], CHECKSUM, digests=digests)

    def test_order_is_kept_and_several_are_read_at_once(self) -> None:
        """The first ones meet at a barrier, and then end in reverse order."""
        together = threading.Barrier(CHECKSUM_WORKERS, timeout=30)
        paths = [f"{number:03}" for number in range(CHECKSUM_WORKERS)]
        ended = {path: threading.Event() for path in paths}

        def digests(one: str, other: str) -> tuple[str, str]:
            together.wait()
            later = f"{int(one) + 1:03}"
            assert later not in ended or ended[later].wait(30)
            ended[one].set()
            return one, other

        sides = [file(path) for path in paths]
        assert list(kinds(sides, sides, CHECKSUM, digests=digests)) == paths

    def test_what_is_read_ahead_is_bounded(self) -> None:
        """The first file is not done before as many others as may be are."""
        taken = 0
        others: list[str] = []
        enough = threading.Event()

        def side() -> Iterator[Scanned]:
            nonlocal taken
            for number in range(2_000):
                taken += 1
                yield file(f"{number:05}")

        def digests(one: str, other: str) -> tuple[str, str]:
            if one == "00000":
                assert enough.wait(30)
            others.append(one)
            if len(others) == 2 * CHECKSUM_WORKERS:
                enough.set()
            return one, other

        target = [file(f"{number:05}") for number in range(2_000)]
        merged = compare(
            side(), target, by=CHECKSUM, precision_ns=1, known=lambda path: None, digests=digests
        )
        assert next(merged).path == "00000"
        assert taken <= 2 * CHECKSUM_WORKERS + 2 < LOOK_AHEAD
        assert len(list(merged)) == 1_999

    def test_closing_early_asks_for_no_more(self) -> None:
        asked: list[str] = []

        def digests(one: str, other: str) -> tuple[str, str]:
            asked.append(one)
            return one, other

        sides = [file(f"{number:05}") for number in range(500)]
        merged = compare(sides, sides, by=CHECKSUM, precision_ns=1, known=lambda path: None, digests=digests)
        next(merged)
        merged.close()  # type: ignore[attr-defined]
        for thread in threading.enumerate():
            if thread.name.startswith("checksum"):
                thread.join(30)
        assert len(asked) <= 2 * CHECKSUM_WORKERS + 2


def test_merging_reads_both_sides_only_as_far_as_needed() -> None:
    def endless(name: str) -> Iterator[Scanned]:
        return (file(f"{name}{number:06}") for number in chain(range(10**6)))

    merged = compare(
        endless("a"), endless("a"), by=AUTO, precision_ns=1, known=lambda path: None, digests=None
    )
    assert [next(merged).path for _ in range(3)] == ["a000000", "a000001", "a000002"]


def test_checksums_of_two_real_trees() -> None:
    source = MemoryConnector({"a": b"1", "b": b"2", "c/d": b"3"}, mtime_ns=T0)
    target = MemoryConnector({"a": b"1", "b": b"X", "c/d": b"3"}, mtime_ns=T0 + HOUR)
    planned = plan(source, target, SyncOptions(compare=CHECKSUM))
    assert planned.kinds == {"a": EQUAL, "b": NEWER, "c": EQUAL, "c/d": EQUAL}
