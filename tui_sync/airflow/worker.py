"""What all tasks have in common: a session on a worker, and errors as Airflow takes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from tui_sync.airflow.places import Pair
from tui_sync.connectors.base import HostKey
from tui_sync.errors import (
    GuardRefused,
    HostKeyError,
    LedgerError,
    LoginRefused,
    NotFound,
    TuiSyncError,
    UnknownHostKey,
    UsageError,
)
from tui_sync.ledger import ledger_path, open_ledger
from tui_sync.names import printable
from tui_sync.profiles import Profile
from tui_sync.session import Session

# Trying again would end in the same.
_FINAL = (GuardRefused, HostKeyError, LoginRefused, NotFound, UsageError)


class WorkerPrompts:
    """Nobody is there to ask on a worker."""

    def secret(self, server: str, prompt: str) -> str | None:
        raise LoginRefused(
            f"{printable(server)} asks “{printable(prompt.strip().rstrip(':'))}” and nobody can answer on a "
            "worker: enter it in the connection, or name it in the profile"
        )

    def trust(self, server: str, key: HostKey) -> bool:
        return False


@contextmanager
def opened(profile: Profile, state_dir: Path, tag: str | None = None, *, stored: str) -> Iterator[Session]:
    """A session whose ledger is in ``state_dir``, a copy of that ``stored`` there; a new one gets the
    ``tag``."""
    with named_as_stored(ledger_path(profile.pair_id, state_dir), stored):
        open_ledger(
            profile.pair_id,
            source=profile.source.url,
            target=profile.target.url,
            state_dir=state_dir,
            tag=tag,
        ).close()
        session = Session(profile, prompts=WorkerPrompts(), state_dir=state_dir)
        try:
            yield session
        finally:
            session.close()


@contextmanager
def named_as_stored(file: Path, stored: str) -> Iterator[None]:
    """What is wrong with the ledger in ``file`` is told of what it is a copy of, which outlives the task."""
    try:
        yield
    except LedgerError as error:
        raise LedgerError(str(error).replace(str(file), printable(stored))) from None


@contextmanager
def told(pair: Pair | None = None) -> Iterator[None]:
    """Errors in one sentence, which says more than a traceback; those that stay are not tried again."""
    try:
        yield
    except TuiSyncError as error:
        sentence = str(error)
        if isinstance(error, UnknownHostKey) and pair is not None and pair.connections:
            names = " or ".join(f"“{name}”" for name in pair.connections)
            sentence += f"; or enter the server's key as host_key in the extra of the connection {names}"
        kind = AirflowFailException if isinstance(error, _FINAL) else AirflowException
        raise kind(sentence) from None
