"""One run in parts, each with an engine and a ledger of its own: and each may be tried again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.runs import QUICK_RETRY, differing, ledger_in, run, stored_plan
from tui_sync.connectors.base import Features
from tui_sync.connectors.memory import MemoryConnector
from tui_sync.ledger import Ledger
from tui_sync.model import Action, CompareBy, Item, Outcome, Partial, Status, SyncOptions, Verify
from tui_sync.transfer.engine import Engine
from tui_sync.transfer.part import Part

MTIME = 1_000_000_000
FIRST, AGAIN = Part(7), Part(7, again=True)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with ledger_in(tmp_path) as opened:
        yield opened


def memory(tree: dict[str, bytes | None], **features: object) -> MemoryConnector:
    return MemoryConnector(tree, mtime_ns=MTIME, features=Features(**features))  # type: ignore[arg-type]


def apply(
    source: MemoryConnector,
    target: MemoryConnector,
    ledger: Ledger,
    items: list[Item],
    part: Part,
    **options: object,
) -> dict[str, Outcome]:
    chosen = SyncOptions(**options)  # type: ignore[arg-type]
    plan = stored_plan(ledger, items, chosen)
    engine = run(Engine(source=source, target=target, ledger=ledger, plan=plan, retry=QUICK_RETRY, part=part))
    return {outcome.item.path: outcome for outcome in ledger.outcomes(engine.run_id)}


def test_what_an_earlier_attempt_has_copied_is_done_and_not_drifted(ledger: Ledger) -> None:
    source = memory({"new": b"n" * 300_000, "small": b"s", "changed": b"after it", "rest": b"r"})
    target = memory({"changed": b"before"})
    items = differing(source, target, mirror=False)
    done = [item for item in items if item.path != "rest"]
    assert {one.status for one in apply(source, target, ledger, done, FIRST).values()} == {Status.DONE}
    # Another machine's ledger knows nothing of that.
    with ledger_in(ledger.path.parent / "another") as other:
        outcomes = apply(source, target, other, items, AGAIN)
        assert {path: one.status for path, one in outcomes.items()} == dict.fromkeys(
            ["new", "small", "changed", "rest"], Status.DONE
        )
        assert outcomes["new"].bytes == 300_000
        assert outcomes["new"].verified is Verify.SIZE
        assert other.synced("changed") is not None
    assert target.tree() == source.tree()


def test_nothing_is_sent_twice(ledger: Ledger) -> None:
    source, target = memory({"a": b"a" * 200_000, "b": b"b"}), memory({})
    items = differing(source, target, mirror=False)
    apply(source, target, ledger, items, FIRST)
    before = sum(target.writes.values())
    apply(source, target, ledger, items, AGAIN)
    assert before > 0
    assert sum(target.writes.values()) == before


def test_a_first_attempt_takes_nothing_for_its_own(ledger: Ledger) -> None:
    source, target = memory({"a": b"a"}), memory({})
    items = differing(source, target, mirror=False)
    apply(source, target, ledger, items, FIRST)
    with ledger_in(ledger.path.parent / "another") as other:
        assert apply(source, target, other, items, FIRST)["a"].status is Status.DRIFTED


def test_what_somebody_else_has_put_there_meanwhile_has_drifted(ledger: Ledger) -> None:
    source, target = memory({"a": b"ours", "b": b"ours"}), memory({"b": b"old"})
    items = differing(source, target, mirror=False)
    target.add_file("a", b"theirs, longer")
    target.add_file("b", b"theirs, longer")
    outcomes = apply(source, target, ledger, items, AGAIN)
    assert {one.status for one in outcomes.values()} == {Status.DRIFTED}
    assert target.read("a") == b"theirs, longer"


def test_where_no_times_can_be_set_the_ledger_knows(ledger: Ledger) -> None:
    source, target = memory({"a": b"a", "b": b"b"}), memory({}, sets_mtime=False)
    items = differing(source, target, mirror=False)
    verified = apply(source, target, ledger, items, FIRST, verify=Verify.READBACK)["a"].verified
    outcomes = apply(source, target, ledger, items, AGAIN, verify=Verify.READBACK)
    assert {one.status for one in outcomes.values()} == {Status.DONE}
    assert outcomes["a"].verified is verified is Verify.READBACK


@pytest.mark.parametrize(("there", "status"), [(b"same", Status.DONE), (b"diff", Status.DRIFTED)])
def test_by_checksum_only_the_content_counts(ledger: Ledger, there: bytes, status: Status) -> None:
    source, target = memory({"a": b"same"}), memory({})
    items = differing(source, target, mirror=False)
    target.add_file("a", there, mtime_ns=MTIME)
    assert apply(source, target, ledger, items, AGAIN, compare=CompareBy.CHECKSUM)["a"].status is status


def test_deletes_that_an_earlier_attempt_has_made_are_done(ledger: Ledger) -> None:
    source, target = memory({}), memory({"d/a": b"a", "d/b": b"b", "c": b"c"})
    items = differing(source, target, mirror=True)
    apply(source, target, ledger, [item for item in items if item.path == "d/a"], FIRST)
    outcomes = apply(source, target, ledger, items, AGAIN)
    assert {one.status for one in outcomes.values()} == {Status.DONE}
    trash = f".tui-sync-trash/{ledger.tag}-7"
    assert {path for path in target.tree() if path.startswith(f"{trash}/")} == {
        f"{trash}/{path}" for path in ("c", "d", "d/a", "d/b")
    }


def test_nothing_is_deleted_after_another_part_failed(ledger: Ledger) -> None:
    target = memory({"a": b"a"})
    items = differing(memory({}), target, mirror=True)
    outcome = apply(memory({}), target, ledger, items, Part(7, last=True, uncopied="lost"))["a"]
    assert (outcome.status, "lost" in outcome.error) == (Status.HELD, True)
    assert target.read("a") == b"a"


def test_below_a_folder_that_could_not_be_made_nothing_is_tried(ledger: Ledger) -> None:
    source, target = memory({"d/a": b"a"}), memory({})
    items = [item for item in differing(source, target, mirror=False) if item.action is Action.CREATE]
    assert apply(source, target, ledger, items, Part(7, unmade=frozenset({"d"})))["d/a"].status is Status.HELD


def test_folders_get_their_attributes_in_the_last_part(ledger: Ledger) -> None:
    source, target = memory({"d/a": b"a"}), memory({})
    source.nodes["d"].mode, source.nodes["d"].mtime_ns = 0o555, 77 * MTIME
    folders = [item for item in differing(source, target, mirror=False) if item.action is Action.MKDIR]
    files = [item for item in differing(source, target, mirror=False) if item.action is Action.CREATE]
    apply(source, target, ledger, folders, FIRST)
    # A second attempt finds the folder there, and still answers for its attributes.
    with ledger_in(ledger.path.parent / "another") as other:
        apply(source, target, other, folders, AGAIN)
        assert [folder.mode for folder in other.unfinished_folders()] == [0o555]
    with ledger_in(ledger.path.parent / "shard") as shard:
        assert apply(source, target, shard, files, FIRST)["d/a"].status is Status.DONE
    assert target.nodes["d"].mode == 0o755
    apply(source, target, ledger, [], Part(7, last=True))
    assert (target.nodes["d"].mode, target.nodes["d"].mtime_ns) == (0o555, 77 * MTIME)
    assert ledger.unfinished_folders() == []


def test_a_ledger_is_copied_whole(ledger: Ledger, tmp_path: Path) -> None:
    source, target = memory({"a": b"a"}), memory({})
    apply(source, target, ledger, differing(source, target, mirror=False), FIRST)
    ledger.save_partial(Partial("p", source.reader().stat("a").identity, ".tmp"))
    copy = tmp_path / "copy" / "ledgers" / "pair.sqlite"
    copy.parent.mkdir(parents=True)
    ledger.save_copy(copy)
    with ledger_in(tmp_path / "copy") as copied:
        assert copied.tag == ledger.tag
        assert [one.item.path for one in copied.outcomes(copied.runs()[0].run_id)] == ["a"]
        assert copied.partials() == ledger.partials()
