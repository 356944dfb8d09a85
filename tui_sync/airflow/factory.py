"""A DAG that syncs: plan, folders, shards side by side, deletes, report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, TriggerRule, get_current_context, task
from airflow.sdk.configuration import conf

from tui_sync.airflow.places import FromConnections, FromProfile, Pair, Side
from tui_sync.airflow.storage import default_storage
from tui_sync.errors import UsageError
from tui_sync.planning.shards import ShardLimits
from tui_sync.profiles import parse_size
from tui_sync.profiles.schema import read_options

MOST_SHARDS = 1_000
DEFAULT_POOL = "default_pool"
_POOL = (
    "The tasks need the pool `{pool}`, and wait for ever where it is not there: "
    '`airflow pools set {pool} 4 "tasks at the server"`'
)


def sync_dag(
    dag_id: str,
    *,
    profile: str | None = None,
    source: Side | None = None,
    target: Side | None = None,
    sync: Mapping[str, object] | None = None,
    pool: str = DEFAULT_POOL,
    parallel: int = 4,
    retries: int = 3,
    retry_delay: timedelta = timedelta(seconds=30),
    shard_files: int = 10_000,
    shard_bytes: int | str = "1G",
    drift_fails: bool = True,
    storage: str | None = None,
    **dag_options: Any,
) -> Any:
    """A DAG for one pair: of a profile, or of a source and a target behind connections.

    ``profile`` is a name or path that every worker knows. ``sync`` has the keys of a profile's ``[sync]``.
    Every task that talks to the servers takes a slot of ``pool``, and at most ``parallel`` shards of a run go
    side by side. A shard has about ``shard_files`` small files or ``shard_bytes``. ``drift_fails``: a run
    that had to skip what changed since the plan fails. ``storage``: see ``storage.default_storage``. The rest
    goes to the DAG.

    Raises UsageError for options that cannot be.
    """
    pair = _pair(dag_id, profile, source, target, sync)
    size = parse_size(shard_bytes) if isinstance(shard_bytes, str) else shard_bytes
    if dag_options.get("max_active_runs", 1) != 1:
        raise UsageError(f"{dag_id}: max_active_runs must be 1: two runs would sync into one target")
    if min(parallel, shard_files, size) < 1:
        raise UsageError(f"{dag_id}: parallel, shard_files and shard_bytes must be at least 1")

    def plan() -> list[str]:
        """Scan both sides and write nothing to either. Returns the names of the shards."""
        from tui_sync.airflow.plan import make_plan

        most = min(MOST_SHARDS, conf.getint("core", "max_map_length", fallback=MOST_SHARDS))
        context = get_current_context()
        run, shards = make_plan(
            pair,
            storage=storage or default_storage(),
            limits=ShardLimits(shard_files, size, most),
            side_by_side=parallel,
            name=str(context["run_id"]),
        )
        # Only what a task returns can be mapped.
        context["ti"].xcom_push(key="run", value=run)
        return shards

    def folders(run: str) -> dict[str, Any]:
        """Make the folders on the target."""
        return _carry_out(pair, run, "folders")

    def shard(run: str, name: str) -> dict[str, Any]:
        """Copy the files of one shard."""
        return _carry_out(pair, run, name)

    def deletes(run: str) -> dict[str, Any]:
        """Delete, and give folders their attributes."""
        return _carry_out(pair, run, "deletes")

    def report() -> dict[str, Any]:
        """Merge the receipts; fails where items failed."""
        from tui_sync.airflow.report import make_report

        # Asked for here: as an argument it could not be missing, as it is where there is no plan.
        run = get_current_context()["ti"].xcom_pull(task_ids="plan", key="run")
        return make_report(run, drift_fails=drift_fails)

    again = {
        "retries": retries,
        "retry_delay": retry_delay,
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=10),
    }
    working = {"pool": pool, **again}
    # Without files there are no shards: the tasks after them still have their say.
    after_shards = {"trigger_rule": TriggerRule.NONE_FAILED}
    described = {} if pool == DEFAULT_POOL else {"doc_md": _POOL.format(pool=pool)}
    usual = {"schedule": None, "catchup": False, "max_active_runs": 1, **described}
    with DAG(dag_id, **{**usual, **dag_options}) as dag:
        planned = task(task_id="plan", **working)(plan)()
        made = task(task_id="folders", **working)(folders)(planned["run"])
        copied = (
            task(
                task_id="shard",
                max_active_tis_per_dagrun=parallel,
                map_index_template="{{ name }}",
                **working,
            )(shard)
            .partial(run=planned["run"])
            .expand(name=planned)
        )
        deleted = task(task_id="deletes", **working, **after_shards)(deletes)(planned["run"])
        reported = task(task_id="report", trigger_rule=TriggerRule.ALL_DONE, **again)(report)()
        made >> copied >> deleted >> reported
    return dag


def _carry_out(pair: Pair, run: str, part: str) -> dict[str, Any]:
    from tui_sync.airflow.parts import carry_out

    get_current_context()["name"] = part
    return carry_out(pair, run, part)


def _pair(
    dag_id: str,
    profile: str | None,
    source: Side | None,
    target: Side | None,
    sync: Mapping[str, object] | None,
) -> Pair:
    if profile is not None:
        if source is not None or target is not None or sync is not None:
            raise UsageError(f"{dag_id}: give either a profile, or source, target and sync")
        return FromProfile(profile)
    if source is None or target is None:
        raise UsageError(f"{dag_id}: give a profile, or both source and target")
    return FromConnections(dag_id, source, target, read_options(sync or {}, where=dag_id))
