"""Random pairs of trees through session and engine: the target becomes what the model says, and stays so."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.support import BatchPrompts
from tests.unit.test_planning_property import OPTIONS, Oracle, Side, pairs
from tui_sync.connectors import registry
from tui_sync.connectors.base import Endpoint
from tui_sync.connectors.memory import MemoryConnector
from tui_sync.model import Action, DeleteTo, Kind, Status, SyncOptions, Verify, WriteMode
from tui_sync.names import is_ours
from tui_sync.profiles import Profile
from tui_sync.session import Session
from tui_sync.transfer.engine import Engine

HOW = st.tuples(
    st.sampled_from(DeleteTo),
    st.sampled_from([Verify.AUTO, Verify.NONE, Verify.SIZE, Verify.CHECKSUM, Verify.READBACK]),
    st.sampled_from(WriteMode),
    st.sampled_from([1, 4]),
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
            wanted[path] = source.read(path)
    return wanted


def run(session: Session) -> Engine:
    # What is in conflict stays as it is; a guard for it would end the example here.
    engine = session.start(session.make_plan(), override_guards=True)
    assert engine.wait(30), "the run did not end"
    return engine


@settings(deadline=None, max_examples=80)
@given(pair=pairs(), options=OPTIONS, how=HOW)
def test_after_a_run_the_target_is_what_the_model_says(
    pair: tuple[Side, Side], options: SyncOptions, how: tuple[DeleteTo, Verify, WriteMode, int]
) -> None:
    delete, verify, write, workers = how
    options = replace(options, delete=delete, verify=verify, write=write, workers=workers)
    source, target = pair[0].connector(), pair[1].connector()
    actions = Oracle(*pair, options).actions
    wanted, untouched = expected(source, target, actions), users_files(source)
    deleted = {path: target.read(path) for path in actions if _deletes_file(actions, path, target)}
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
                path.split("/", 2)[2]: bytes(node.data)
                for path, node in target.nodes.items()
                if path.startswith(".tui-sync-trash/") and node.kind is Kind.FILE
            }
            assert in_trash == (deleted if delete is DeleteTo.TRASH else {})
            left = [path for path in target.nodes if is_ours(path.rpartition("/")[2])]
            assert set(left) <= {".tui-sync-trash"}
            assert session.make_plan().totals.work == 0
        finally:
            session.close()


def _deletes_file(actions: dict[str, Action], path: str, target: MemoryConnector) -> bool:
    return actions[path] is Action.DELETE and target.nodes[path].kind is Kind.FILE
