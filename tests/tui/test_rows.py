"""The row model: order, folding, filtering, sums, and taking out. Without Textual."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import fake_session as fake
from tui_sync.ledger.store import open_ledger
from tui_sync.model import Action, ChangeKind, Entry, Item, Kind, SyncOptions, Totals
from tui_sync.tui.columns import Names
from tui_sync.tui.rows import Counts, Rows


@pytest.fixture
def rows() -> Rows:
    return Rows(fake.sample_items())


def paths(rows: Rows) -> list[str]:
    return [rows.path(row) for row in rows.visible]


def at(rows: Rows, path: str) -> int:
    row = rows.find(path)
    assert rows.path(row) == path
    return row


def test_every_item_is_a_row_with_its_own_path() -> None:
    items = fake.sample_items()
    rows = Rows(items)
    rows.fold_all(False)
    known = [item.path for item in items]
    # "site/foo[" is no item: it is filled in, so that its child has a parent.
    assert [path for path in paths(rows) if path != "site/foo["] == known


def test_the_row_model_needs_no_textual() -> None:
    code = "import sys; import tui_sync.tui.rows; sys.exit('textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_at_first_folders_without_change_are_folded(rows: Rows) -> None:
    assert rows.is_folded(at(rows, "docs/old"))
    assert not rows.is_folded(at(rows, "docs"))
    assert "docs/old/2019.md" not in paths(rows)
    assert "docs/notes.md" in paths(rows)


def test_fold_hides_all_below_and_unfold_brings_it_back(rows: Rows) -> None:
    before = paths(rows)
    media = at(rows, "media")
    rows.fold(media, True)
    assert not [path for path in paths(rows) if path.startswith("media/")]
    assert "media" in paths(rows)
    rows.fold(media, False)
    assert paths(rows) == before


def test_fold_of_a_file_does_nothing(rows: Rows) -> None:
    before = paths(rows)
    rows.fold(at(rows, "docs/notes.md"), True)
    assert paths(rows) == before


def test_fold_all_leaves_the_top(rows: Rows) -> None:
    rows.fold_all(True)
    assert paths(rows) == ["docs", "empty", "media", "site", "zz-left-over.iso"]


def test_reveal_unfolds_what_is_above(rows: Rows) -> None:
    rows.fold_all(True)
    row = at(rows, "docs/old/2020.md")
    rows.reveal(row)
    assert rows.visible[rows.position(row)] == row
    assert rows.is_folded(at(rows, "media"))


def test_position_of_a_hidden_row_is_what_stands_for_it(rows: Rows) -> None:
    rows.fold(at(rows, "media"), True)
    hidden = at(rows, "media/2025")
    assert rows.path(rows.visible[rows.position(hidden)]) == "media"


def test_filter_shows_matches_with_what_is_above_and_below(rows: Rows) -> None:
    rows.set_filter("OLD")
    assert paths(rows) == ["docs", "docs/old", "docs/old/2019.md", "docs/old/2020.md"]


def test_filter_matches_what_is_shown_not_what_is_hidden_in_the_name(rows: Rows) -> None:
    rows.set_filter("\\x1b")
    assert [path for path in paths(rows) if "evil" in path]
    rows.set_filter("\x1b")
    assert paths(rows) == []


def test_filter_with_a_slash_matches_paths(rows: Rows) -> None:
    rows.set_filter("docs/n")
    assert paths(rows) == ["docs", "docs/notes.md"]
    assert rows.path(rows.first_match) == "docs/notes.md"


def test_the_end_of_a_filter_brings_the_folds_back(rows: Rows) -> None:
    rows.fold(at(rows, "media"), True)
    before = paths(rows)
    rows.set_filter("jpg")
    assert len(paths(rows)) == 4
    rows.set_filter("")
    assert paths(rows) == before


def test_hide_equal_hides_equal_files_and_folders_without_change(rows: Rows) -> None:
    rows.set_hide_equal(True)
    left = paths(rows)
    assert "docs" in left
    assert not {"docs/guide.md", "docs/old", "empty", "site/style.css"} & set(left)
    rows.set_hide_equal(False)
    assert "empty" in paths(rows)


def test_folders_carry_the_sums_of_what_is_below(rows: Rows) -> None:
    assert rows.counts(at(rows, "media")) == Counts(create=4)
    assert rows.counts(at(rows, "site")) == Counts(update=2, delete=1, conflicts=2)
    assert rows.side_size(at(rows, "docs"), 0) == 48_213 + 2_310 + 8_200 + 9_100
    assert rows.side_size(at(rows, "docs"), 1) == 48_213 + 1_204 + 8_200 + 9_100
    assert rows.side_size(at(rows, "media"), 1) == 0


@pytest.mark.parametrize(
    ("path", "glyph"),
    [
        ("media", "+"),
        ("docs/notes.md", "M"),
        ("docs", "M"),
        ("docs/old", "="),
        ("docs/guide.md", "="),
        ("zz-left-over.iso", "-"),
        ("site/index.html", "<"),
        ("site/upload", "T"),
        ("site/private", "!"),
        ("site/scratch.tmp", "x"),
    ],
)
def test_glyphs(rows: Rows, path: str, glyph: str) -> None:
    assert rows.glyph(at(rows, path)) == glyph


def test_an_extra_that_stays_has_a_dot() -> None:
    extra = Item(1, Action.SKIP, "kept", ChangeKind.EXTRA, target=fake.file("kept", 3))
    assert Rows([extra]).glyph(0) == "."


def test_taking_out_a_folder_takes_out_all_below_and_corrects_every_sum(rows: Rows) -> None:
    row = at(rows, "media/2025")
    rows.set_included(row, False)
    assert rows.glyph(row) == "x"
    assert rows.glyph(at(rows, "media/2025/写真の一覧と長い名前.jpg")) == "x"
    assert rows.counts(at(rows, "media")) == Counts(create=1, out=4)
    assert rows.taken_out() == 4
    rows.set_included(row, True)
    assert rows.counts(at(rows, "media")) == Counts(create=4)
    assert rows.taken_out() == 0


def test_taking_out_leaves_equal_rows_equal(rows: Rows) -> None:
    rows.set_included(at(rows, "docs"), False)
    assert rows.glyph(at(rows, "docs/guide.md")) == "="
    assert rows.glyph(at(rows, "docs/notes.md")) == "x"


def test_ancestors_that_change_with_a_row_are_counted(rows: Rows) -> None:
    media = at(rows, "media")
    rows.set_included(media, False)
    child = at(rows, "media/2025/Überblick – façade.jpg")
    rows.set_included(child, True, [(at(rows, "media/2025"), True), (media, True)])
    assert rows.counts(media) == Counts(create=1, out=3)
    assert rows.is_in(media)


def test_sums_by_parts_are_the_sums_of_a_fresh_count(rows: Rows) -> None:
    for path, included in (("media", False), ("media/2025", True), ("site", False), ("docs/notes.md", False)):
        rows.set_included(at(rows, path), included)
    sums = [rows.counts(row) for row in range(len(rows))]
    taken_out = [bool(included) for included in rows.included]
    fresh = Rows(
        item._replace(included=taken_out[at(rows, item.path)]) for item in fake.sample_items() if item.path
    )
    assert [fresh.counts(row) for row in range(len(fresh))] == sums


def test_next_change_goes_round_and_skips_what_is_equal(rows: Rows) -> None:
    rows.fold_all(False)
    row = rows.next_change(at(rows, "docs/guide.md"), 1)
    assert rows.path(row) == "docs/notes.md"
    assert rows.path(rows.next_change(row, 1)) == "media"
    assert rows.path(rows.next_change(row, -1)) == "zz-left-over.iso"


def test_next_change_of_equal_trees_is_none() -> None:
    rows = Rows(fake.items([fake.equal("a", 1), fake.equal("b", 1)]))
    assert rows.next_change(0, 1) == -1


def test_work_and_what_is_left_alone(rows: Rows) -> None:
    assert rows.has_work(at(rows, "media"))
    assert not rows.has_work(at(rows, "docs/old"))
    assert {rows.path(row) for row in rows.conflicts()} == {"site/private", "site/upload"}
    assert [rows.path(row) for row in rows.group(Action.DELETE)] == ["site/.cache.tmp", "zz-left-over.iso"]
    assert rows.filtered_out() == 1


def test_no_rows_at_all() -> None:
    rows = Rows()
    rows.set_filter("x")
    rows.set_hide_equal(True)
    assert list(rows.visible) == []
    assert rows.next_change(0, 1) == -1
    assert rows.find("x") == -1


def test_the_root_itself_is_no_row() -> None:
    root = Item(0, Action.MKDIR, "", ChangeKind.NEW, source=Entry("", Kind.DIRECTORY))
    rows = Rows([root, *fake.items([fake.new("a", 1)])])
    assert rows.root is root
    assert paths(rows) == ["a"]


def test_sizes_and_times_beyond_64_bits_do_not_break_a_row() -> None:
    entry = Entry("big", Kind.FILE, 2**70, 2**80)
    rows = Rows([Item(1, Action.CREATE, "big", ChangeKind.NEW, source=entry)])
    assert rows.side_size(0, 0) == 0
    assert rows.side_time(0, 0) is None


def test_very_deep_trees() -> None:
    deep = "/".join(["d"] * 3000)
    rows = Rows([Item(1, Action.CREATE, deep, ChangeKind.NEW, source=Entry(deep, Kind.FILE, 7))])
    rows.fold_all(False)
    assert len(rows) == 3000
    assert rows.path(rows.visible[-1]) == deep
    assert rows.counts(0) == Counts(create=1)


def test_toggling_agrees_with_the_ledger(tmp_path: Path) -> None:
    """The rows say of every item what the ledger says, whatever is toggled."""
    items = fake.sample_items()
    ledger = open_ledger("pair", source="a", target="b", state_dir=tmp_path)
    plan_id = ledger.new_plan("a", "b", SyncOptions())
    ledger.add_items(plan_id, items)
    ledger.finish_plan(plan_id, Totals(), ())
    rows = Rows(ledger.items(plan_id))
    for path in ("media", "media/2025/Überblick – façade.jpg", "site", "media", "site/.cache.tmp"):
        row = at(rows, path)
        included = not rows.is_in(row)
        ledger.include(plan_id, path, included)
        also = []
        for above in rows.ancestors(row):
            item = ledger.item(plan_id, rows.path(above))
            if item is not None:
                also.append((above, item.included))
        rows.set_included(row, included, also)
        for item in ledger.items(plan_id):
            if item.action is not Action.SKIP:
                assert bool(rows.included[at(rows, item.path)]) is item.included, (path, item.path)
    ledger.close()


def test_rows_that_come_while_they_are_shown_end_up_the_same() -> None:
    items = [item for item in fake.sample_items() if item.path]
    # A folder's item may come after what is in it.
    late = sorted(items, key=lambda item: item.path + "/~" if item.path in ("media", "site") else item.path)
    grown = Rows(growing=True)
    for item in late:
        grown.add([item])
        grown.refresh()
        assert all(row < len(grown) for row in grown.visible)
    grown.finish()
    whole = Rows(items)
    assert [grown.path(row) for row in range(len(grown))] == [whole.path(row) for row in range(len(whole))]
    for row in range(len(whole)):
        assert grown.glyph(row) == whole.glyph(row)
        assert grown.counts(row) == whole.counts(row)
        assert grown.side_size(row, 0) == whole.side_size(row, 0)
        assert grown.is_folded(row) == whole.is_folded(row)
    assert grown.visible == whole.visible


def test_names_that_are_not_text_survive_the_columns() -> None:
    names = ["plain", "写真", "\udcff\udcfe", "new\nline", "", "é"]
    column = Names()
    for name in names:
        column.append(name)
    assert [column[row] for row in range(len(column))] == names
