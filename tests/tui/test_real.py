"""The app on the real session: two local folders with awkward names, from the trees to the files."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.tui.conftest import MakeApp, in_review, ready, said, shown, start, until
from tui_sync import profiles
from tui_sync.model import Mode
from tui_sync.profiles import Profile, with_options
from tui_sync.tui.app import TuiSyncApp
from tui_sync.tui.screens.ask import InputDialog
from tui_sync.tui.screens.compare import CompareScreen
from tui_sync.tui.screens.diff import DiffScreen, pairs
from tui_sync.tui.screens.report import ReportScreen
from tui_sync.tui.syntax import colours
from tui_sync.tui.widgets.details import Details
from tui_sync.tui.widgets.tree import halves

AWKWARD = (
    b"plain.txt",
    b"foo[bold].txt",
    b"[/]",
    b"[@click=app.quit]x[/]",
    b"esc\x1b[31mred\x1b]0;title\x07.txt",
    b"bidi\xe2\x80\xaegnp.exe",
    b"new\nline",
    b"tab\there",
    b"back\\slash",
    b"c1\xc2\x9b31m",
    b"undecodable\xff\xfe",
    "é-nfc".encode(),
    "e\u0301-nfd".encode(),
    "写真とても長い名前のファイルです.jpg".encode(),
    "\u0301begins-with-a-combining-mark".encode(),
    "👩‍👩‍👧 family ❤️".encode(),
    b"-rf",
    b"..hidden",
    b"a" * 255,
)
INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def assert_harmless(app: TuiSyncApp) -> None:
    """Nothing on the screen can move a cursor, turn writing round or hide."""
    bad = [char for char in shown(app).replace("\n", "") if unicodedata.category(char) in INVISIBLE]
    assert not bad


@pytest.fixture
def pair(tmp_path: Path) -> Profile:
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source, target, source / "deep/er", target / "deep"):
        folder.mkdir(parents=True)
    for number, name in enumerate(AWKWARD):
        path = os.path.join(os.fsencode(source), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(b"x" * (number * 997))
    (source / "deep/er/file.txt").write_text("one\ntwo\nthree\n")
    (source / "deep/changed.txt").write_text("one\ntwo\nnew \x1b[31m[b]line[/b]\n")
    (target / "deep/changed.txt").write_text("one\ntwo\n")
    (source / "same.txt").write_text("same")
    (target / "same.txt").write_text("same")
    os.utime(target / "same.txt", ns=(10**18, 10**18))
    os.utime(source / "same.txt", ns=(10**18, 10**18))
    (target / "left-over[").mkdir()
    (target / "left-over[/red].txt").write_text("old")
    return with_options(profiles.quick(str(source), str(target)), mode=Mode.MIRROR)


def names_below(folder: Path) -> dict[bytes, bytes | None]:
    found: dict[bytes, bytes | None] = {}
    root = os.fsencode(folder)
    for where, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(b".tui-sync")]
        for name in folders:
            found[os.path.relpath(os.path.join(where, name), root)] = None
        for name in files:
            path = os.path.join(where, name)
            found[os.path.relpath(path, root)] = Path(os.fsdecode(path)).read_bytes()
    return found


async def test_from_the_trees_to_the_files(make_app: MakeApp, pair: Profile, tmp_path: Path) -> None:
    app = make_app(pair)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await ready(pilot)
        assert_harmless(app)
        await start(pilot)
        await until(pilot, lambda: isinstance(app.screen, ReportScreen))
        await until(pilot, lambda: "▸Done" in shown(app) and "plain.txt" in shown(app))
        assert "✓ Done" in shown(app)
        assert "Not gone through 0" in shown(app)
        assert_harmless(app)
        assert names_below(tmp_path / "source") == names_below(tmp_path / "target")
        await pilot.press("enter")
        screen = await ready(pilot)
        assert screen.work is not None
        assert screen.work.totals.work == 0
        await pilot.press("h")
        await until(pilot, lambda: "✓ done" in shown(app))


async def test_what_is_taken_out_is_not_done(make_app: MakeApp, pair: Profile, tmp_path: Path) -> None:
    app = make_app(pair)
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        rows = screen.trees.rows
        for path in ("deep", "left-over[/red].txt"):
            screen.trees.update(rows.find(path))
            await pilot.press("space")
        await start(pilot)
        await until(pilot, lambda: isinstance(app.screen, ReportScreen))
    left = names_below(tmp_path / "target")
    assert left[b"left-over[/red].txt"] == b"old"
    assert b"deep/er" not in left
    assert left[b"deep/changed.txt"] == b"one\ntwo\n"
    assert left[b"plain.txt"] == b""


async def test_awkward_names_do_no_harm_on_any_screen(make_app: MakeApp, pair: Profile) -> None:
    app = make_app(pair)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await ready(pilot)
        for _ in range(len(screen.trees.rows.visible)):
            await pilot.press("j")
            assert_harmless(app)
        assert_harmless(app)
        await pilot.press("space", "slash", *"[/", "escape")
        assert_harmless(app)
        await in_review(pilot)
        assert_harmless(app)
        await pilot.press("end", "space")
        assert_harmless(app)


async def test_both_sides_line_up_whatever_the_names(make_app: MakeApp, pair: Profile) -> None:
    app = make_app(pair)
    async with app.run_test(size=(100, 60)) as pilot:
        tree = (await ready(pilot)).trees
        left, right = halves(tree.scrollable_content_region.width)
        for y in range(len(tree.rows.visible)):
            line = tree.render_line(y)
            assert line.cell_length == left + 3 + right
            middle = line.crop(left, left + 3).text
            assert middle == f" {tree.rows.glyph(tree.rows.visible[y])} "


async def test_differences_of_a_file(make_app: MakeApp, pair: Profile) -> None:
    app = make_app(pair)
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        screen.trees.update(screen.trees.rows.find("deep/changed.txt"))
        await pilot.press("enter")
        await until(pilot, lambda: "[b]line[/b]" in shown(app))
        assert isinstance(app.screen, DiffScreen)
        assert "+new \\x1b[31m[b]line[/b]" in shown(app)
        assert_harmless(app)
        await pilot.press("s")
        assert "two                              " in shown(app)
        assert "│" in shown(app)
        assert_harmless(app)
        await pilot.press("b")
        await until(pilot, lambda: "the target ends there" in shown(app))
        await pilot.press("escape")
        assert app.screen is screen


async def test_differences_of_what_has_none(make_app: MakeApp, pair: Profile) -> None:
    app = make_app(pair)
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        screen.trees.update(screen.trees.rows.find("same.txt"))
        await pilot.press("enter")
        await until(pilot, lambda: "no difference in content" in shown(app))


async def test_a_file_that_is_gone_when_its_differences_are_asked_for(
    make_app: MakeApp, pair: Profile, tmp_path: Path
) -> None:
    app = make_app(pair)
    async with app.run_test() as pilot:
        screen = await ready(pilot)
        (tmp_path / "source/deep/changed.txt").unlink()
        screen.trees.update(screen.trees.rows.find("deep/changed.txt"))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DiffScreen) and "Reading" not in shown(app))
        assert "changed.txt" in shown(app)


async def test_drift_is_reported(make_app: MakeApp, pair: Profile, tmp_path: Path) -> None:
    app = make_app(pair)
    async with app.run_test(size=(120, 40)) as pilot:
        await ready(pilot)
        (tmp_path / "source/deep/changed.txt").write_text("changed after the plan was made")
        await start(pilot)
        await until(pilot, lambda: isinstance(app.screen, ReportScreen))
        await until(pilot, lambda: "drifted" in shown(app))
        assert "deep/changed.txt" in shown(app)


async def test_a_missing_source_is_a_sentence(make_app: MakeApp, tmp_path: Path) -> None:
    app = make_app(profiles.quick(str(tmp_path / "nowhere"), str(tmp_path / "target")))
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.state == "failed")
        assert "nowhere" in shown(app)
        assert "Traceback" not in shown(app)


async def test_resizing_keeps_the_cursor_in_sight(make_app: MakeApp, pair: Profile) -> None:
    app = make_app(pair)
    async with app.run_test(size=(200, 60)) as pilot:
        screen = await ready(pilot)
        await pilot.press("end")
        for size in ((80, 24), (40, 12), (20, 6), (1, 1), (120, 40), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert_harmless(app)
        tree = screen.trees
        await until(
            pilot, lambda: tree.scroll_offset.y <= tree.cursor < tree.scroll_offset.y + tree.size.height
        )


async def test_the_details_tell_both_sides(make_app: MakeApp, pair: Profile) -> None:
    app = make_app(pair)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await ready(pilot)
        screen.trees.update(screen.trees.rows.find("deep/changed.txt"))
        await until(pilot, lambda: "replace on the target" in shown(app))
        lines = [strip.text for strip in (screen.query_one(Details).render_line(y) for y in range(4))]
        assert "deep/changed.txt" in lines[0]
        assert "Why" in lines[1]
        assert "rw-" in lines[2]
        assert "8 B" in lines[3]


def test_both_columns_hold_what_belongs_together() -> None:
    lines = [
        "@@ -1,3 +1,4 @@",
        " same",
        "-old 1",
        "-old 2",
        "+new 1",
        " more",
        "+added",
        "@@ -9 +10 @@",
        "-gone",
    ]
    assert list(pairs(lines)) == [
        ("@@ -1,3 +1,4 @@", None),
        ("same", "same"),
        ("new 1", "old 1"),
        (None, "old 2"),
        ("more", "more"),
        ("added", None),
        ("@@ -9 +10 @@", None),
        (None, "gone"),
    ]


def test_words_are_told_apart_and_nothing_of_a_line_is_lost() -> None:
    cut = colours("a/b.py")
    assert ("code--keyword", "def") in cut("def f(x):  # why")
    for line in ("def f(x):  # why", '"""open', "", "   ", "\x1b[31m", "x" * 5000):
        assert "".join(words for _, words in cut(line)) == line
    assert colours("unknown.zzz")("x = 1") == [("", "x = 1")]


async def test_an_approved_plan_is_saved_for_later(make_app: MakeApp, pair: Profile, tmp_path: Path) -> None:
    app = make_app(pair)
    async with app.run_test(size=(120, 40)) as pilot:
        review = await in_review(pilot)
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, InputDialog))
        app.screen.query_one(Input).value = str(tmp_path / "approved.plan")
        await pilot.press("enter")
        await until(pilot, lambda: "Written:" in said(app))
        plan, session = review.work.plan, review.work.session
        assert plan is not None
        assert session is not None
        loaded = session.load_plan(tmp_path / "approved.plan")
        assert loaded.totals == plan.totals
