"""From changes to items, totals and guards."""

from __future__ import annotations

import pytest

from tests.unit.planning import T0, Planned, S, execute, plan
from tui_sync.connectors.memory import MemoryConnector
from tui_sync.errors import PermissionDenied, StorageError
from tui_sync.model import (
    Action,
    Change,
    ChangeKind,
    DeleteLimit,
    Entry,
    Guard,
    Item,
    Kind,
    Mode,
    SyncOptions,
    Totals,
)
from tui_sync.planning.plan import build

CREATE, UPDATE, DELETE, MKDIR, SKIP = Action.CREATE, Action.UPDATE, Action.DELETE, Action.MKDIR, Action.SKIP
MIRROR = SyncOptions(mode=Mode.MIRROR, max_delete=DeleteLimit(100))


def memory(tree: dict[str, bytes | None] | None = None, mtime_ns: int = T0) -> MemoryConnector:
    return MemoryConnector(tree or {}, mtime_ns=mtime_ns)


def mirror(**more: object) -> SyncOptions:
    return SyncOptions(mode=Mode.MIRROR, **({"max_delete": DeleteLimit(100)} | more))  # type: ignore[arg-type]


def unreadable(connector: MemoryConnector, *paths: str) -> MemoryConnector:
    def fault(operation: str, path: str) -> None:
        if operation == "list_dir" and path in paths:
            raise PermissionDenied("no permission")

    connector.fault = fault
    return connector


def test_a_copy_to_nowhere_begins_with_the_root() -> None:
    planned = plan(memory({"a/b": b"1", "e": None}), None)
    assert [(item.seq, item.action, item.path) for item in planned.items] == [
        (0, MKDIR, ""),
        (1, MKDIR, "a"),
        (2, CREATE, "a/b"),
        (3, MKDIR, "e"),
    ]
    assert planned.items[0].entry_kind is Kind.DIRECTORY
    assert planned.draft.totals == Totals(create=1, mkdir=3, create_bytes=1, source_files=1, source_bytes=1)


def test_items_carry_both_sides_and_the_reason() -> None:
    planned = plan(memory({"f": b"new!"}, T0 + S), memory({"f": b"old"}))
    [item] = planned.items
    assert item == Item(
        1,
        UPDATE,
        "f",
        ChangeKind.MODIFIED,
        "size 3 -> 4 bytes, source is newer by 1 s",
        Entry("f", Kind.FILE, 4, T0 + S, 0o644),
        Entry("f", Kind.FILE, 3, T0, 0o644),
    )


def test_a_copy_keeps_what_is_only_on_the_target() -> None:
    planned = plan(memory({"a": b"1"}), memory({"a": b"1", "x/y": b"22", "z": b"3"}))
    assert planned.actions == {}
    assert {item.path: item.kind for item in planned.items} == dict.fromkeys(
        ["x", "x/y", "z"], ChangeKind.EXTRA
    )
    assert planned.draft.totals == Totals(
        skip=3, unchanged=1, source_files=1, source_bytes=1, target_files=3, target_bytes=4
    )


def test_a_mirror_deletes_what_is_only_on_the_target() -> None:
    target = memory({"a": b"1", "x/y": b"22", "x/z/q": b"", "e": None})
    planned = plan(memory({"a": b"1"}), target, MIRROR)
    assert planned.actions == dict.fromkeys(["e", "x", "x/y", "x/z", "x/z/q"], DELETE)
    totals = planned.draft.totals
    assert (totals.delete, totals.delete_bytes, totals.skip) == (5, 2, 0)
    seqs = {item.path: item.seq for item in planned.items}
    assert seqs["x"] < seqs["x/y"] < seqs["x/z"] < seqs["x/z/q"]


def test_a_newer_target_is_replaced_and_noted() -> None:
    planned = plan(memory({"f": b"1"}), memory({"f": b"1"}, T0 + 60 * S))
    assert planned.actions == {"f": UPDATE}
    assert planned.item("f").glyph == "<"
    assert planned.guards() == set()
    assert "“f” is newer on the target" in planned.guard("target-newer").message


@pytest.mark.parametrize("keep_equal", [False, True])
def test_equal_and_excluded_paths_are_items_only_when_asked_for(keep_equal: bool) -> None:
    options = SyncOptions(exclude=("*.tmp", "cache/"))
    source = memory({"a/b": b"1", "a/c.tmp": b"", "cache/x": b"", "n": b""})
    planned = plan(source, memory({"a/b": b"1"}), options, keep_equal=keep_equal)
    found = {item.path: item.kind for item in planned.items}
    assert found == {"n": ChangeKind.NEW} | (
        {
            "a": ChangeKind.EQUAL,
            "a/b": ChangeKind.EQUAL,
            "a/c.tmp": ChangeKind.EXCLUDED,
            "cache": ChangeKind.EXCLUDED,
        }
        if keep_equal
        else {}
    )
    totals = planned.draft.totals
    assert (totals.create, totals.unchanged, totals.skip) == (1, 1, 2)


class TestProtection:
    """What a mirror must not delete."""

    def test_an_excluded_name_and_all_folders_above_it(self) -> None:
        target = memory({"x/keep.me": b"", "x/y/go": b"", "x/go": b"", "cache/data": b""})
        planned = plan(memory({"a": b""}), target, mirror(exclude=("*.me", "cache/")))
        assert planned.actions == {"a": CREATE, "x/go": DELETE, "x/y": DELETE, "x/y/go": DELETE}
        assert planned.item("x").action is SKIP
        assert "kept" in planned.item("x").reason

    def test_a_symlink_and_all_folders_above_it(self) -> None:
        target = memory({"x/go": b""})
        target.add_symlink("x/link", "/etc")
        planned = plan(memory({"a": b""}), target, MIRROR)
        assert planned.actions == {"a": CREATE, "x/go": DELETE}

    def test_what_the_source_could_not_list(self) -> None:
        source = unreadable(memory({"d/a": b"", "ok": None}), "d")
        planned = plan(source, memory({"d/a": b"", "d/b": b"", "d/sub/c": b"", "ok/go": b""}), MIRROR)
        assert planned.actions == {"ok/go": DELETE}
        assert planned.draft.totals.conflicts == 5
        assert planned.guards() == {"empty-source"}
        assert "“d” is unusable" in planned.guard("errors").message

    def test_what_the_target_could_not_list(self) -> None:
        target = unreadable(memory({"x/d/a": b"", "x/go": b""}), "x/d")
        planned = plan(memory({"a": b""}), target, MIRROR)
        assert planned.actions == {"a": CREATE, "x/go": DELETE}

    @pytest.mark.parametrize("side", ["source", "target"])
    def test_a_folder_in_which_a_name_was_refused(self, side: str) -> None:
        entry = Entry("d", Kind.DIRECTORY)
        changes = [
            Change("d", ChangeKind.EQUAL, "", entry, entry, complete=False),
            Change("d/extra", ChangeKind.EXTRA, "only on target", None, Entry("d/extra", Kind.FILE, 1)),
            Change("d/new", ChangeKind.NEW, "only on source", Entry("d/new", Kind.FILE, 1)),
            Change("d/sub", ChangeKind.EXTRA, "only on target", None, Entry("d/sub", Kind.DIRECTORY)),
            Change("e", ChangeKind.EXTRA, "only on target", None, Entry("e", Kind.FILE, 1)),
        ]
        planned = built(changes, MIRROR)
        assert planned.actions == {"d/new": CREATE, "e": DELETE}
        assert "not listed in full" in planned.item("d/extra").reason

    def test_a_root_in_which_a_name_was_refused(self) -> None:
        root, extra = Entry("", Kind.DIRECTORY), Entry("x", Kind.FILE, 1)
        changes = [
            Change("", ChangeKind.EQUAL, "", root, None, complete=False),
            Change("n", ChangeKind.NEW, "", Entry("n", Kind.FILE, 1)),
            Change("x", ChangeKind.EXTRA, "", None, extra),
        ]
        assert built(changes, MIRROR).actions == {"n": CREATE}

    def test_an_extra_folder_listed_in_part(self) -> None:
        changes = [
            Change("x", ChangeKind.EXTRA, "", None, Entry("x", Kind.DIRECTORY), complete=False),
            Change("x/y", ChangeKind.EXTRA, "", None, Entry("x/y", Kind.FILE, 1)),
        ]
        assert built(changes, MIRROR).actions == {}

    def test_our_own_names(self) -> None:
        target = memory({".tui-sync-trash/x": b"", "d/.tui-sync-1-2.part": b"", "d/f": b""})
        assert plan(memory({"d/f": b""}), target, MIRROR).actions == {}


def built(changes: list[Change], options: SyncOptions, **more: object) -> Planned:
    items: list[Item] = []
    arguments = {"keep_equal": False, "free_space": lambda: None, "target_exists": True} | more
    draft = build(changes, options, add=items.append, **arguments)  # type: ignore[arg-type]
    return Planned(draft, changes, items)


class TestInclude:
    """Folders follow what is included in them."""

    PHOTOS = ("*.jpg", "albums/")

    def test_no_folder_is_made_for_nothing(self) -> None:
        tree: dict[str, bytes | None] = {
            "a/b/c.jpg": b"1",
            "a/d/e.txt": b"2",
            "albums/empty": None,
            "none": None,
            "x/y": None,
        }
        source, target = memory(tree), memory()
        planned = plan(source, target, SyncOptions(include=self.PHOTOS), keep_equal=True)
        assert planned.actions == {
            "a": MKDIR,
            "a/b": MKDIR,
            "a/b/c.jpg": CREATE,
            "albums": MKDIR,
            "albums/empty": MKDIR,
        }
        assert planned.item("none").kind is ChangeKind.EXCLUDED
        execute(planned, source, target)
        assert plan(source, target, SyncOptions(include=self.PHOTOS)).actions == {}

    def test_a_mirror_deletes_only_what_is_included(self) -> None:
        target = memory({"a/b.jpg": b"", "c/d.jpg": b"", "c/e.txt": b"", "f": None, "albums/g": None})
        planned = plan(memory({"z.jpg": b""}), target, mirror(include=self.PHOTOS))
        assert planned.actions == {
            "z.jpg": CREATE,
            "a": DELETE,
            "a/b.jpg": DELETE,
            "c/d.jpg": DELETE,
            "albums": DELETE,
            "albums/g": DELETE,
        }

    def test_a_folder_in_which_nothing_is_included_is_in_no_conflict(self) -> None:
        target = memory({"a": b"", "b.jpg": b""})
        planned = plan(memory({"a/x.txt": b"", "b.jpg/y.jpg": b""}), target, SyncOptions(include=self.PHOTOS))
        assert planned.draft.totals.conflicts == 2
        assert "“b.jpg” is a file on one side" in planned.guard("type-conflict").message


class TestTypes:
    @pytest.mark.parametrize("mode", list(Mode))
    def test_a_changed_type_is_left_alone_and_refused(self, mode: Mode) -> None:
        one = memory({"x/a": b"1", "x/b/c": b"2", "ok": b""})
        other = memory({"x": b"file", "ok": b""})
        for source, target in ((one, other), (other, one)):
            planned = plan(source, target, SyncOptions(mode=mode))
            assert planned.actions == {}
            assert {item.path for item in planned.items} == {"x", "x/a", "x/b", "x/b/c"}
            assert planned.draft.totals.conflicts == 4
            assert planned.guards() == {"type-conflict"}
            assert planned.guard("type-conflict").message.startswith("“x” is a file on one side")

    def test_a_file_where_the_target_has_a_symlink(self) -> None:
        target = memory()
        target.add_symlink("x", "/etc/passwd")
        planned = plan(memory({"x": b"1"}), target)
        assert planned.actions == {}
        assert planned.guards() == {"type-conflict"}


class TestGuards:
    def test_an_empty_source(self) -> None:
        planned = plan(memory({"empty": None}), memory({"a": b"", "b": b""}), MIRROR)
        assert planned.guards() == {"empty-source"}
        assert "2 files" in planned.guard("empty-source").message
        assert plan(memory(), memory({"a": b""}), SyncOptions()).guards() == set()
        assert plan(memory(), memory({"a": None}), MIRROR).guards() == set()
        assert plan(memory(), None, MIRROR).guards() == set()

    @pytest.mark.parametrize(
        ("limit", "deleted", "refused"),
        [
            (DeleteLimit(50), 5, False),
            (DeleteLimit(50), 6, True),
            (DeleteLimit(0), 0, False),
            (DeleteLimit(0), 1, True),
            (DeleteLimit(100), 9, False),
            (DeleteLimit(5, percent=False), 5, False),
            (DeleteLimit(5, percent=False), 6, True),
            (DeleteLimit(0, percent=False), 1, True),
        ],
    )
    def test_too_many_deletes(self, limit: DeleteLimit, deleted: int, refused: bool) -> None:
        target: dict[str, bytes | None] = {f"d/{number}": b"" for number in range(10)}
        kept: dict[str, bytes | None] = {f"d/{number}": b"" for number in range(deleted, 10)}
        planned = plan(memory(kept), memory(target | {"empty": None}), mirror(max_delete=limit))
        assert planned.guards() == ({"max-delete"} if refused else set())
        if refused:
            message = planned.guard("max-delete").message
            assert f"{deleted} of 10 files" in message
            assert f"{deleted * 10}%" in message
            assert str(limit) in message

    @pytest.mark.parametrize(("free", "refused"), [(None, False), (18, False), (17, True), (0, True)])
    def test_free_space(self, free: int | None, refused: bool) -> None:
        """5 for the new file, 3 by which one grows, none for the one that shrinks, 10 while one is staged."""
        source = memory({"new": bytes(5), "grown": bytes(10), "shrunk": bytes(2)}, T0 + S)
        target = memory({"grown": bytes(7), "shrunk": bytes(900), "extra": bytes(900)})
        planned = plan(source, target, MIRROR, free=free)
        assert planned.guards() == ({"free-space"} if refused else set())
        if refused:
            message = planned.guard("free-space").message
            assert f"{free} bytes free" in message
            assert "18 bytes" in message

    def test_free_space_is_not_asked_for_nothing(self) -> None:
        def asked() -> int:
            raise AssertionError

        file = Entry("a", Kind.FILE, 1)
        built([Change("a", ChangeKind.EQUAL, "", file, file)], SyncOptions(), free_space=asked)

    def test_unknown_free_space_refuses_nothing(self) -> None:
        def unknown() -> int:
            raise StorageError("cannot tell")

        change = Change("a", ChangeKind.NEW, "", Entry("a", Kind.FILE, 1))
        assert built([change], SyncOptions(), free_space=unknown).draft.guards == ()

    def test_after_a_transform_space_is_a_guess(self) -> None:
        change = Change("a", ChangeKind.NEW, "", Entry("a", Kind.FILE, 9))
        planned = built([change], SyncOptions(transform="gzip"), free_space=lambda: 1)
        assert planned.guards() == set()
        assert planned.guards(blocking=False) == {"free-space"}

    @pytest.mark.parametrize(
        ("tree", "count"),
        [
            (["a/Foo", "a/foo", "b/foo"], 1),
            (["caf\u00e9", "cafe\u0301", "CAFE\u0301"], 2),
            (["straße", "strasse"], 1),
            (["foo", "bar"], 0),
            (["Dir/x", "dir/x"], 1),
        ],
    )
    def test_colliding_names_are_noted(self, tree: list[str], count: int) -> None:
        planned = plan(memory(dict.fromkeys(tree, b"")), memory())
        assert planned.guards() == set()
        assert planned.guards(blocking=False) == ({"collision"} if count else set())
        if count == 2:
            assert planned.guard("collision").message.startswith("2 paths (the first is “")

    def test_messages_show_names_without_their_dangers(self) -> None:
        planned = plan(memory({"\x1b[31m": b""}), memory({"\x1b[31m/x": b""}))
        assert "\x1b" not in planned.guard("type-conflict").message
        assert "\\x1b[31m" in planned.guard("type-conflict").message

    def test_notes_come_along(self) -> None:
        note = Guard("direct-write", "Files are written in place.", blocking=False)
        assert plan(memory(), memory(), notes=[note]).draft.guards == (note,)


def test_planning_writes_nothing() -> None:
    source, target = memory({"a/b": b"1"}), memory({"x": b"2"})
    plan(source, target, MIRROR)
    assert not source.writes
    assert not target.writes
    assert target.calls["list_dir"] == 1


def test_a_renaming_transform_plans_under_the_new_name() -> None:
    source, target = memory({"a": b"1", "d/b": b"2"}), memory({"a.gz": b"zipped", "b": b""})
    planned = plan(source, target, MIRROR, rename=lambda name: f"{name}.gz")
    assert planned.actions == {"b": DELETE, "d": MKDIR, "d/b.gz": CREATE}
    created = planned.item("d/b.gz")
    assert created.source is not None
    assert created.source.path == "d/b"
