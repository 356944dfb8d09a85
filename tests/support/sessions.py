"""One whole sync inside the test's process, with its connectors in reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.contract.support import BatchPrompts
from tui_sync.connectors.base import Endpoint
from tui_sync.connectors.s3.connector import S3Connector
from tui_sync.model import Item, Outcome, Plan, Summary, SyncOptions
from tui_sync.profiles import Profile
from tui_sync.session import Session

WAIT_S = 60.0


def local(path: Path) -> Endpoint:
    return Endpoint(f"file://{path}", "file", str(path))


@contextmanager
def session(source: Endpoint, target: Endpoint, state: Path, **options: object) -> Iterator[Session]:
    profile = Profile("test", None, source, target, SyncOptions(**options))  # type: ignore[arg-type]
    opened = Session(profile, prompts=BatchPrompts(), state_dir=state)
    try:
        yield opened
    finally:
        opened.close()


def run(opened: Session) -> tuple[Plan, Summary, list[Outcome]]:
    """Plan and carry out; the outcomes of what did not go well."""
    plan = opened.make_plan()
    engine = opened.start(plan)
    assert engine.wait(WAIT_S), "the run did not end"
    bad = [one for one in opened.ledger.outcomes(engine.run_id) if one.error]
    return plan, engine.summary, bad


def items(opened: Session, plan: Plan) -> dict[str, Item]:
    return {item.path: item for item in opened.ledger.items(plan.plan_id)}


def requests(opened: Session, side: str) -> Counter[str]:
    """What the S3 connector of a side has sent so far."""
    connector = opened._logins.connector(side)
    assert isinstance(connector, S3Connector)
    return connector.requests
