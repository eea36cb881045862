"""Runs in Dagster's records: one at a time by the lock, orphaned runs and their slots, old runs, service levels."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import dagster as dg

from availability_pipeline.catalogue.datasets import Dataset
from availability_pipeline.dates import DayRange
from availability_pipeline.defs.names import asset_key, writers_pool
from availability_pipeline.errors import DatabaseInUse
from availability_pipeline.queries.service_levels import UpdateRecords
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.lock import Holder, hold


@contextmanager
def alone(
    instance: dg.DagsterInstance, settings: Settings, run_id: str, tell: Callable[[str], object]
) -> Iterator[None]:
    """Hold the lock of the data directory for a run, after ending an orphaned run and freeing pool slots.

    Args:
        instance: Records the run.
        settings: The settings, for data directory and lock time-out.
        run_id: The run.
        tell: Called with a sentence about each run that is waited for or ended.

    Raises:
        DatabaseInUse: Another run still holds the lock.
        StoreError: The lock file cannot be used.
    """
    with hold(settings.working_path.parent, run_id, settings.lock_timeout_seconds, tell) as died:
        _end(instance, died, tell)
        _free_slots(instance, settings.dataset, run_id)
        yield


def end_orphaned_run(instance: dg.DagsterInstance, settings: Settings) -> None:
    """End a run whose process was killed, unless the lock is held again; its holder has done so. Raises StoreError."""
    if not settings.working_path.parent.exists():
        return
    with (
        suppress(DatabaseInUse),
        alone(instance, replace(settings, lock_timeout_seconds=0), "", lambda _: None),
    ):
        pass


def _end(instance: dg.DagsterInstance, died: Holder | None, tell: Callable[[str], object]) -> None:
    run = instance.get_run_by_id(died.run_id) if died else None
    if run and not run.is_finished:
        instance.report_run_failed(
            run, "The process of this run is gone. What it had not completed was not written."
        )
        tell(f"Ended the {died}, whose process is gone.")


def _free_slots(instance: dg.DagsterInstance, dataset: Dataset, run_id: str) -> None:
    """Free the pool slots of other runs, none of which can be writing to this data directory now.

    Runs on another data directory of the same instance go on without a slot.
    """
    storage = instance.event_log_storage
    pool = storage.get_concurrency_info(writers_pool(dataset))
    owners = {slot.run_id for slot in pool.claimed_slots} | {step.run_id for step in pool.pending_steps}
    for owner in owners - {run_id}:
        storage.free_concurrency_slots_for_run(owner)


_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def remove_old_runs(instance: dg.DagsterInstance, before: dt.datetime) -> int:
    """Remove finished runs created before a moment, with their logs; returns their number.

    Dagster removes materializations with their run. So the newest one of each partition is first reported again without
    a run, so that its partition stays materialized; a kill in between loses nothing.
    """
    filters = dg.RunsFilter(statuses=_FINISHED, created_before=before)
    runs = [record.dagster_run.run_id for record in instance.get_run_records(filters)]
    for run_id in runs:
        _report_again(instance, run_id)
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        _remove_file(instance, run_id)
    return len(runs)


def _report_again(instance: dg.DagsterInstance, run_id: str) -> None:
    for event in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
        materialization = event.asset_materialization
        if materialization is None:
            continue
        partitions = [materialization.partition] if materialization.partition else None
        newest = instance.fetch_materializations(
            dg.AssetRecordsFilter(materialization.asset_key, asset_partitions=partitions), limit=1
        ).records
        if newest and newest[0].run_id == run_id:
            instance.report_runless_asset_event(materialization)


def _remove_file(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove the run's SQLite file, which Dagster only empties."""
    path_for_shard = getattr(instance.event_log_storage, "path_for_shard", None)
    if path_for_shard:
        for ending in ("", "-wal", "-shm"):
            Path(path_for_shard(run_id) + ending).unlink(missing_ok=True)


RECALL = "recall"
"""The comparison's metadata entry with its recall, 0 to 1."""

_MOST_COMPARISONS = 1_000
"""How many of the newest comparisons are read; there are a few a day."""


def update_records(instance: dg.DagsterInstance, dataset: Dataset, days: DayRange) -> UpdateRecords:
    """The records of a dataset for these days; comparisons count from the end of the first day on."""
    since = dt.datetime.combine(days.start, dt.time()) + dt.timedelta(days=1)
    table = asset_key(dataset, "daily_availability")
    updates = {day: _first_update(instance, table, day) for day in days}
    return UpdateRecords(
        first=_first_update(instance, table),
        completed={day: moment for day, moment in updates.items() if moment},
        recalls=_recalls(instance, table, since),
    )


def _first_update(
    instance: dg.DagsterInstance, table: dg.AssetKey, day: dt.date | None = None
) -> dt.datetime | None:
    """The first materialization of a day, or of any day."""
    wanted = dg.AssetRecordsFilter(table, asset_partitions=[str(day)] if day else None)
    records = instance.fetch_materializations(wanted, limit=1, ascending=True).records
    return _moment(records[0].timestamp) if records else None


def _recalls(instance: dg.DagsterInstance, table: dg.AssetKey, since: dt.datetime) -> list[float]:
    """The recalls of evaluations since then, newest first."""
    history = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(table, "exchange_info"), limit=_MOST_COMPARISONS
    )
    return [
        float(str(evaluation.metadata[RECALL].value))
        for record in history
        # A planned evaluation that never ran has no metadata.
        if isinstance(evaluation := record.evaluation, dg.AssetCheckEvaluation)
        and RECALL in evaluation.metadata
        and _moment(record.create_timestamp) >= since
    ]


def _moment(timestamp: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(timestamp, dt.UTC).replace(tzinfo=None)
