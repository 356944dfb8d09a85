"""The plan task: scan, compare, guard, cut what is to be done into parts. Writes nothing to either side."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from tui_sync.airflow.places import Pair
from tui_sync.airflow.storage import Folder, scratch, slug
from tui_sync.airflow.worker import opened, told
from tui_sync.errors import GuardRefused, UsageError
from tui_sync.ledger import Ledger, ledger_path, open_ledger
from tui_sync.ledger.exchange import export_part
from tui_sync.model import Action, Item, Partial, Plan
from tui_sync.names import printable
from tui_sync.planning.shards import ShardLimits, cut
from tui_sync.profiles import Profile
from tui_sync.session import Session

_log = logging.getLogger(__name__)

LEDGER = "ledger.sqlite"
RUN = "run.json"
FOLDERS = "folders"
DELETES = "deletes"
_COPIES = (Action.CREATE, Action.UPDATE)


@dataclass(frozen=True, slots=True)
class Run:
    """What the tasks of one run have to know of it; kept beside its parts.

    ``run`` and ``plan`` are numbers in the pair's ledger, ``tag`` is that ledger's. ``parts`` are those that
    there is something to do in, in their order; ``leftovers`` are temporary files of earlier runs.
    """

    pair: str
    tag: str
    plan: int
    run: int
    parts: tuple[str, ...]
    leftovers: tuple[str, ...] = ()

    @classmethod
    def of(cls, folder: Folder) -> Run:
        """Raises UsageError where the folder holds no run."""
        raw = folder.read(RUN)
        if raw is None:
            raise UsageError(
                f"{printable(folder.url)} holds no plan: let [tui_sync] storage name a folder that all "
                "workers reach, and start the run anew"
            )
        try:
            return cls(**{**raw, "parts": tuple(raw["parts"]), "leftovers": tuple(raw["leftovers"])})
        except (KeyError, TypeError):
            raise UsageError(
                f"{printable(folder.url)}/{RUN} is not as the plan task stored it: start the run anew"
            ) from None


def make_plan(
    pair: Pair, *, storage: str, limits: ShardLimits, side_by_side: int, name: str
) -> tuple[str, list[str]]:
    """Plan, store the plan in parts below ``storage``, and return where that is, and the names of the shards.

    At most ``side_by_side`` shards share the bandwidth limit. ``name`` is the DAG run's.
    """
    with told(pair), scratch() as here:
        profile = pair.profile(here)
        home = Folder(storage).child(profile.pair_id)
        home.fetch(LEDGER, ledger_path(profile.pair_id, here))
        with opened(profile, here, stored=f"{home.url}/{LEDGER}") as session:
            plan = session.make_plan()
            _tell(plan)
            if plan.refused:
                raise GuardRefused(" ".join(guard.message for guard in plan.refused))
            run_id = session.ledger.start_run(plan.plan_id)
            # In the order of the runs, and never that of another attempt.
            folder = home.child(f"{run_id:06}-{slug(name)}-{secrets.token_hex(4)}")
            shards = _Parts(session, plan, run_id, folder, here).store(limits, side_by_side)
            copy = here / LEDGER
            session.ledger.save_copy(copy)
            home.put(LEDGER, copy)
        return folder.url, shards


def _tell(plan: Plan) -> None:
    totals = plan.totals
    _log.info(
        "plan: %s to create, %s to update, %s to delete, %s folders to make, %s unchanged, %s in conflict; "
        "%s bytes",
        *(f"{n:,}" for n in (totals.create, totals.update, totals.delete, totals.mkdir, totals.unchanged)),
        f"{totals.conflicts:,}",
        f"{totals.bytes:,}",
    )
    for guard in plan.guards:
        if not guard.blocking:
            _log.warning("%s", guard.message)


class _Parts:
    """Stores the parts of a plan, and with each what earlier runs left to go on with in it."""

    def __init__(self, session: Session, plan: Plan, run_id: int, folder: Folder, here: Path) -> None:
        self._run_id = run_id
        self._session = session
        self._ledger = session.ledger
        self._profile = session.profile
        self._plan = plan
        self._folder = folder
        self._here = here
        self._partials = {partial.path: partial for partial in self._ledger.partials()}
        self._names: list[str] = []

    def store(self, limits: ShardLimits, side_by_side: int) -> list[str]:
        """Returns the names of the shards."""
        resumed: set[str] = set()
        if self._plan.totals.mkdir:
            self._store(FOLDERS, self._items(Action.MKDIR), self._plan)
        shards = self._store_shards(limits, side_by_side, resumed)
        unfinished = self._ledger.unfinished_folders()
        orphans = [partial for path, partial in self._partials.items() if path not in resumed]
        kept = {self._partials[path].temporary for path in resumed}
        leftovers = tuple(path for path in self._session.progress.target.leftovers if path not in kept)
        if orphans or unfinished:
            _seed(self._folder, FOLDERS, self._ledger, self._profile, orphans)
        if self._plan.totals.work or leftovers or orphans or unfinished:
            self._store(DELETES, self._items(Action.DELETE), self._plan)
        run = Run(
            self._profile.pair_id,
            self._ledger.tag,
            self._plan.plan_id,
            self._run_id,
            tuple(self._names),
            leftovers,
        )
        self._folder.write(RUN, asdict(run))
        return shards

    def _store_shards(self, limits: ShardLimits, side_by_side: int, resumed: set[str]) -> list[str]:
        totals = self._plan.totals
        copies = cut(self._items(*_COPIES), totals, limits)
        plan = _with_a_share(self._plan, side_by_side)
        shards: list[str] = []
        for number, numbered in groupby(copies, key=itemgetter(0)):
            name = f"shard-{number + 1:04}"
            mine: list[Partial] = []

            def watched(found: Iterator[tuple[int, Item]], mine: list[Partial] = mine) -> Iterator[Item]:
                for _, item in found:
                    if item.path in self._partials:
                        mine.append(self._partials[item.path])
                    yield item

            self._store(name, watched(numbered), plan)
            if mine:
                resumed.update(partial.path for partial in mine)
                _seed(self._folder, name, self._ledger, self._profile, mine, folders=False)
            shards.append(name)
        return shards

    def _store(self, name: str, items: Iterator[Item], plan: Plan) -> None:
        file = self._here / f"{name}.plan"
        export_part(plan, self._profile.pair_id, items, file)
        self._folder.put(file.name, file)
        file.unlink()
        self._names.append(name)

    def _items(self, *actions: Action) -> Iterator[Item]:
        return self._ledger.items(self._plan.plan_id, actions=actions, included=True)


def _with_a_share(plan: Plan, side_by_side: int) -> Plan:
    """A limit is one for all shards that run side by side."""
    limit = plan.options.bandwidth_limit
    if limit is None:
        return plan
    return replace(plan, options=replace(plan.options, bandwidth_limit=max(1, limit // side_by_side)))


def _seed(
    folder: Folder,
    name: str,
    pair: Ledger,
    profile: Profile,
    partials: Collection[Partial],
    *,
    folders: bool = True,
) -> None:
    """Store a ledger that a part begins with."""
    with scratch() as here:
        ledger = open_ledger(
            profile.pair_id, source=pair.source, target=pair.target, state_dir=here, tag=pair.tag
        )
        try:
            for partial in partials:
                ledger.save_partial(partial)
            for unfinished in pair.unfinished_folders() if folders else ():
                ledger.folder_unfinished(unfinished)
            copy = here / LEDGER
            ledger.save_copy(copy)
        finally:
            ledger.close()
        folder.put(f"{name}.sqlite", copy)
