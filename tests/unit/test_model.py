"""The words as values."""

from __future__ import annotations

import sys
from enum import Enum

import pytest

from tui_sync import model
from tui_sync.model import (
    GLYPHS,
    Action,
    ChangeKind,
    DeleteLimit,
    Entry,
    Guard,
    Identity,
    Item,
    Kind,
    Plan,
    SyncOptions,
    Totals,
    Verify,
)

VALUES = [
    value
    for value in vars(model).values()
    if isinstance(value, type) and not issubclass(value, Enum) and value.__module__ == "tui_sync.model"
]
FILE = Entry("a", Kind.FILE, 10, 20, 0o644, "tag")


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_every_value_is_frozen_and_slotted(value: type) -> None:
    frozen = issubclass(value, tuple) or value.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert frozen
    assert "__slots__" in vars(value)
    assert "__dict__" not in dir(value)


def test_nothing_can_be_changed_in_an_entry() -> None:
    with pytest.raises(AttributeError):
        FILE.size = 11  # type: ignore[misc]
    with pytest.raises(AttributeError):
        FILE.owner = "me"  # type: ignore[attr-defined]


def test_the_model_needs_the_standard_library_alone() -> None:
    with open(model.__file__, encoding="utf-8") as file:
        imports = [
            line.split()[1].partition(".")[0] for line in file if line.startswith(("from ", "import "))
        ]
    assert imports
    assert set(imports) <= sys.stdlib_module_names


def test_an_identity_is_what_makes_a_file_the_same() -> None:
    assert FILE.identity == Identity(Kind.FILE, 10, None, "tag"), "an etag says more than a time"
    assert FILE._replace(etag=None).identity == Identity(Kind.FILE, 10, 20)
    assert FILE._replace(mode=0o600, path="b").identity == FILE.identity
    assert FILE._replace(size=11).identity != FILE.identity


def test_every_kind_of_change_has_a_glyph_of_its_own() -> None:
    assert set(GLYPHS) == set(ChangeKind)
    assert len(set(GLYPHS.values())) == len(ChangeKind)


@pytest.mark.parametrize(
    ("item", "glyph"),
    [
        (Item(1, Action.CREATE, "a", ChangeKind.NEW, source=FILE), "+"),
        (Item(1, Action.UPDATE, "a", ChangeKind.TARGET_NEWER, source=FILE, target=FILE), "<"),
        (Item(1, Action.DELETE, "a", ChangeKind.EXTRA, target=FILE), "-"),
        (Item(1, Action.SKIP, "a", ChangeKind.EXTRA, target=FILE), "."),
        (Item(1, Action.DELETE, "a", ChangeKind.EXTRA, target=FILE, included=False), "x"),
    ],
)
def test_the_glyph_of_an_item(item: Item, glyph: str) -> None:
    assert item.glyph == glyph


def test_an_item_moves_the_source_s_bytes() -> None:
    larger = FILE._replace(size=99)
    assert Item(1, Action.CREATE, "a", ChangeKind.NEW, source=FILE).bytes == 10
    assert Item(1, Action.UPDATE, "a", ChangeKind.MODIFIED, source=FILE, target=larger).bytes == 10
    assert Item(1, Action.DELETE, "a", ChangeKind.EXTRA, target=FILE).bytes == 0
    assert Item(1, Action.SKIP, "a", ChangeKind.EQUAL, source=FILE, target=FILE).bytes == 0


def test_what_an_item_is_goes_by_the_source_first() -> None:
    folder = Entry("a", Kind.DIRECTORY)
    assert (
        Item(1, Action.SKIP, "a", ChangeKind.TYPE_CHANGED, source=FILE, target=folder).entry_kind is Kind.FILE
    )
    assert Item(1, Action.DELETE, "a", ChangeKind.EXTRA, target=folder).entry_kind is Kind.DIRECTORY
    assert Item(1, Action.SKIP, "a", ChangeKind.ERROR).entry_kind is Kind.OTHER


def test_totals_add_up() -> None:
    totals = Totals(create=1, update=2, delete=4, mkdir=8, create_bytes=10, update_bytes=20, delete_bytes=40)
    assert (totals.files, totals.bytes, totals.work) == (3, 30, 15)


def test_only_blocking_guards_refuse() -> None:
    guards = (Guard("note", "", blocking=False), Guard("stop", ""))
    plan = Plan(1, 0, "a", "b", SyncOptions(), Totals(), guards)
    assert [guard.code for guard in plan.refused] == ["stop"]


def test_levels_of_verification_have_an_order() -> None:
    levels = [Verify.NONE, Verify.SIZE, Verify.CHECKSUM, Verify.READBACK]
    assert sorted(reversed(levels), key=lambda level: level.strength) == levels


@pytest.mark.parametrize(
    ("limit", "text"), [(DeleteLimit(), "50%"), (DeleteLimit(12.5), "12.5%"), (DeleteLimit(7, False), "7")]
)
def test_a_delete_limit_as_text(limit: DeleteLimit, text: str) -> None:
    assert str(limit) == text
