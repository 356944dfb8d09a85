"""The generators: deterministic, careful with what is there, awkward on demand."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tui_sync.demo.pair import make_pair
from tui_sync.demo.trees import SPARSE_STEP, awkward_names, blocks, make_large, make_tree
from tui_sync.errors import AlreadyExists, NoSpace, UsageError

SCRIPTS = Path(__file__).resolve().parents[2] / "sample_data"


def look(root: Path) -> dict[bytes, tuple[object, ...]]:
    """Everything about a tree: kind, mode, mtime and content by path."""
    found: dict[bytes, tuple[object, ...]] = {}
    base = os.fsencode(root)
    for folder, folders, files in os.walk(base):
        for name in folders + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            content = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).digest() if name in files else None
            found[os.path.relpath(path, base)] = (status.st_mode, status.st_mtime_ns, content)
    return found


def test_the_same_seed_makes_the_same_tree_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        make_tree(tmp_path / name, files=60, depth=3, seed=seed, awkward=True, max_size=500)
    first = look(tmp_path / "a")
    assert first == look(tmp_path / "b")
    assert first != look(tmp_path / "c")


def test_a_tree_has_what_was_asked_for(tmp_path: Path) -> None:
    made = make_tree(tmp_path / "t", files=200, depth=3, seed=1, max_size=1000)
    paths = look(tmp_path / "t")
    sizes = [len(Path(tmp_path / "t" / os.fsdecode(path)).read_bytes()) for path in paths if paths[path][2]]
    assert made.files == len(sizes) == 200
    assert made.bytes == sum(sizes)
    assert max(sizes) <= 1000
    assert 0 in sizes
    assert max(path.count(b"/") for path in paths) == 3
    assert any(not os.listdir(folder) for folder, _, _ in os.walk(tmp_path / "t")), "no empty folder"


def test_awkward_names_are_all_there(tmp_path: Path) -> None:
    names = awkward_names()
    made = make_tree(tmp_path / "t", files=len(names), depth=1, awkward=True)
    assert made.files + len(made.refused) == len(names)
    if not made.refused:
        found = {name for _, _, files in os.walk(os.fsencode(tmp_path / "t")) for name in files}
        assert found == {name.encode("utf-8", "surrogateescape") for name in names}
    raw = [name.encode("utf-8", "surrogateescape") for name in names]
    assert max(map(len, raw)) == 255
    assert any("\n" in name for name in names)
    assert any("\x1b" in name for name in names)
    assert any("\u202e" in name for name in names)
    assert any("\udcff" in name for name in names)
    assert {"caf\u00e9 composed.txt", "cafe\u0301 composed.txt", "..hidden"} <= set(names)
    assert any(name.startswith("-") for name in names)


def test_depth_nought_puts_everything_into_one_folder(tmp_path: Path) -> None:
    make_tree(tmp_path / "t", files=50, depth=0, awkward=True, max_size=10)
    assert not [path for path in (tmp_path / "t").iterdir() if path.is_dir()]


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(AlreadyExists, match="--force"):
        make_tree(tmp_path, files=3)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    make_tree(tmp_path, files=3, force=True)
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_tree_that_cannot_fit_is_refused_before_the_first_file(tmp_path: Path) -> None:
    with pytest.raises(NoSpace, match="are free"):
        make_tree(tmp_path / "t", files=10**9, max_size=10**9)
    assert not (tmp_path / "t").exists()


def test_blocks_have_the_size_and_no_two_are_the_same() -> None:
    size = 3 * 4 * 1024 * 1024 + 5
    parts = list(blocks(size, seed=3))
    assert sum(map(len, parts)) == size
    assert len(set(parts)) == len(parts)
    assert parts == list(blocks(size, seed=3))
    assert parts != list(blocks(size, seed=4))
    assert list(blocks(0, seed=1)) == []


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("size", [0, 1, 4096, SPARSE_STEP + 1])
def test_a_large_file_has_its_size(tmp_path: Path, size: int, sparse: bool) -> None:
    path = tmp_path / "large"
    heard: list[int] = []
    make_large(path, size=size, sparse=sparse, progress=heard.append)
    assert path.stat().st_size == size
    assert heard[-1] == size
    assert heard == sorted(heard)


def test_a_sparse_file_takes_little_room_and_is_not_all_zero(tmp_path: Path) -> None:
    path = tmp_path / "large"
    make_large(path, size=4 * SPARSE_STEP, sparse=True)
    assert path.stat().st_blocks * 512 < SPARSE_STEP
    with path.open("rb") as file:
        marks = []
        for number in range(4):
            file.seek(number * SPARSE_STEP)
            marks.append(file.read(64))
    assert len(set(marks)) == 4


def test_a_large_file_is_not_overwritten_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_text("mine")
    with pytest.raises(AlreadyExists, match="--force"):
        make_large(path, size=10)
    assert path.read_text() == "mine"
    make_large(path, size=10, force=True)
    assert path.stat().st_size == 10


def test_a_large_file_that_cannot_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoSpace):
        make_large(tmp_path / "large", size=10**17)
    assert not (tmp_path / "large").exists()


def test_sizes_below_nought_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        make_large(tmp_path / "large", size=-1)
    with pytest.raises(UsageError):
        make_tree(tmp_path / "t", files=-1)


def run_script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_scripts_run_from_a_clone(tmp_path: Path) -> None:
    tree = run_script("make_tree.py", str(tmp_path / "t"), "--files", "40", "--depth", "2", "--awkward-names")
    assert tree.returncode == 0, tree.stderr
    assert sum(len(files) for _, _, files in os.walk(tmp_path / "t")) == 40
    large = run_script("make_large.py", str(tmp_path / "l"), "--size", "1.5M")
    assert large.returncode == 0, large.stderr
    assert (tmp_path / "l").stat().st_size == 3 * 512 * 1024


@pytest.mark.parametrize(
    ("script", "arguments", "code", "says"),
    [
        ("make_large.py", ["{tmp}/taken", "--size", "1k"], 1, "--force"),
        ("make_large.py", ["{tmp}/new", "--size", "many"], 2, "is no size"),
        ("make_large.py", ["{tmp}/new", "--size", "1k", "--sparse", "--random"], 2, "not allowed"),
        ("make_large.py", ["{tmp}/no/such/folder/new", "--size", "1k"], 1, "No such file"),
        ("make_tree.py", ["{tmp}"], 1, "--force"),
    ],
)
def test_the_scripts_refuse_with_a_sentence(
    tmp_path: Path, script: str, arguments: list[str], code: int, says: str
) -> None:
    (tmp_path / "taken").write_text("mine")
    done = run_script(script, *[argument.format(tmp=tmp_path) for argument in arguments])
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "taken").read_text() == "mine"


def test_the_demo_pair_differs_in_every_way(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    make_pair(source, target, size=1_000_000)
    left, right = look(source), look(target)
    both = left.keys() & right.keys()
    assert (source / "video" / "ridge-timelapse.mp4").stat().st_size == 1_000_000
    assert left.keys() - right.keys()
    assert right.keys() - left.keys()
    assert any(left[path] == right[path] and left[path][2] for path in both), "nothing equal"
    assert any(left[path][1] > right[path][1] for path in both if left[path][2]), "nothing newer on source"  # type: ignore[operator]
    assert any(left[path][1] < right[path][1] for path in both if left[path][2]), "nothing newer on target"  # type: ignore[operator]
    assert (source / "latest handbook").is_symlink()
    assert any(b"\x1b" in path for path in left)
    assert any(b"\n" in path for path in left)
