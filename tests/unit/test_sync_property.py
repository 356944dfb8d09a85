"""Random pairs of trees through session and engine: the target becomes what the model says, and stays so."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.contract.support import BatchPrompts
from tests.unit.test_planning_property import OPTIONS, Oracle, Side, pairs
from tui_sync.connectors import registry
from tui_sync.connectors.base import Endpoint
from tui_sync.connectors.memory import MemoryConnector
from tui_sync.model import Action, CompareBy, DeleteTo, Kind, Status, SyncOptions, Verify, WriteMode
from tui_sync.names import is_ours
from tui_sync.profiles import Profile
from tui_sync.session import Session
from tui_sync.transfer.engine import Engine
from tui_sync.transfer.undo import Undo

HOW = st.tuples(
    st.sampled_from(DeleteTo),
    st.sampled_from([Verify.AUTO, Verify.NONE, Verify.SIZE, Verify.CHECKSUM, Verify.READBACK]),
    st.sampled_from(WriteMode),
    st.sampled_from([1, 4]),
    st.booleans(),
)


def users_files(place: MemoryConnector) -> dict[str, object]:
    """What is there but for what is ours: bytes of a file, None for a folder, the text of a link."""
    return {
        path: bytes(node.data) if node.kind is Kind.FILE else node.link_target
        for path, node in place.nodes.items()
        if not any(is_ours(name) for name in path.split("/"))
    }


def expected(
    source: MemoryConnector, target: MemoryConnector, actions: dict[str, Action]
) -> dict[str, object]:
    wanted = users_files(target)
    for path, action in actions.items():
        if action is Action.DELETE:
            del wanted[path]
        elif action is Action.MKDIR:
            wanted[path] = None
        else:
            node = source.nodes[path]
            wanted[path] = node.link_target if node.kind is Kind.SYMLINK else source.read(path)
    return wanted


def run(session: Session) -> Engine:
    # What is in conflict stays as it is; a guard for it would end the example here.
    engine = session.start(session.make_plan(), override_guards=True)
    assert engine.wait(30), "the run did not end"
    return engine


@settings(deadline=None, max_examples=80)
@given(pair=pairs(), options=OPTIONS, how=HOW)
def test_after_a_run_the_target_is_what_the_model_says(
    pair: tuple[Side, Side], options: SyncOptions, how: tuple[DeleteTo, Verify, WriteMode, int, bool]
) -> None:
    delete, verify, write, workers, backup = how
    options = replace(options, delete=delete, verify=verify, write=write, workers=workers, backup=backup)
    source, target = pair[0].connector(), pair[1].connector()
    actions = Oracle(*pair, options).actions
    wanted, untouched = expected(source, target, actions), users_files(source)
    before = users_files(target)
    goes = {Action.DELETE: delete is DeleteTo.TRASH, Action.UPDATE: backup}
    kept = {path: before[path] for path, action in actions.items() if goes.get(action)}
    places = {"source": source, "target": target}
    ends = (Endpoint(f"memory://{side}", "memory", "/", side) for side in places)
    with (
        tempfile.TemporaryDirectory() as state,
        patch.object(registry, "connect", lambda endpoint, prompts: places[endpoint.host]),
    ):
        session = Session(
            Profile("pair", None, *ends, options), prompts=BatchPrompts(), state_dir=Path(state)
        )
        try:
            engine = run(session)
            statuses = {
                outcome.item.path: outcome.status for outcome in session.ledger.outcomes(engine.run_id)
            }
            assert statuses == dict.fromkeys(actions, Status.DONE)
            assert users_files(target) == wanted
            assert users_files(source) == untouched
            in_trash = {
                path.split("/", 2)[2]: node.link_target or bytes(node.data)
                for path, node in target.nodes.items()
                if path.startswith(".tui-sync-trash/") and node.kind is not Kind.DIRECTORY
            }
            assert in_trash == {path: what for path, what in kept.items() if what is not None}
            left = [path for path in target.nodes if is_ours(path.rpartition("/")[2])]
            assert set(left) <= {".tui-sync-trash"}
            assert session.make_plan().totals.work == 0
        finally:
            session.close()


ONE_TIME = 1_600_000_000_000_000_000
# Only a checksum tells the two apart, before the run and after it.
ALIKE = (Side({"b": (b"1", ONE_TIME)}, set()), Side({"b": (b"2", ONE_TIME)}, set()))


@settings(deadline=None, max_examples=60)
@given(pair=pairs(), options=OPTIONS, backs_up=st.booleans())
@example(pair=ALIKE, options=SyncOptions(compare=CompareBy.CHECKSUM), backs_up=False)
@example(pair=ALIKE, options=SyncOptions(compare=CompareBy.CHECKSUM), backs_up=True)
def test_an_undo_brings_the_target_back_to_what_it_was(
    pair: tuple[Side, Side], options: SyncOptions, backs_up: bool
) -> None:
    """But for what is new, which stays."""
    options = replace(options, backup=True)
    source, target = pair[0].connector(), pair[1].connector()
    target.features = replace(target.features, backs_up=backs_up)
    actions = Oracle(*pair, options).actions
    before, wanted = users_files(target), expected(source, target, actions)
    new = {path: wanted[path] for path in actions if path in wanted and path not in before}
    places = {"source": source, "target": target}
    ends = (Endpoint(f"memory://{side}", "memory", "/", side) for side in places)
    with (
        tempfile.TemporaryDirectory() as state,
        patch.object(registry, "connect", lambda endpoint, prompts: places[endpoint.host]),
    ):
        session = Session(
            Profile("pair", None, *ends, options), prompts=BatchPrompts(), state_dir=Path(state)
        )
        try:
            run(session)
            [last] = session.ledger.runs(limit=1)
            troubles: list[str] = []
            for _ in range(2):
                undone = Undo(
                    session.ledger,
                    last,
                    target.reader(),
                    target.writer(),
                    lambda glyph, item, why: troubles.append(why) if why else None,
                ).run()
                assert (undone.exit_code, troubles) == (0, [])
                assert users_files(target) == before | new
        finally:
            session.close()
