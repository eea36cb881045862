"""Runs in Dagster's records: one at a time by the lock, freeing what dead runs hold, removing old runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import dagster as dg

from availability_pipeline.catalogue import Dataset
from availability_pipeline.defs.names import writers_pool
from availability_pipeline.errors import DatabaseInUse
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.opening import Holder, hold


@contextmanager
def alone(
    instance: dg.DagsterInstance, settings: Settings, run_id: str, tell: Callable[[str], object]
) -> Iterator[None]:
    """Hold the lock of the data directory for a run, with nothing in Dagster's records that it would wait for.

    Args:
        instance: Where the run is recorded.
        settings: Whose data directory, and how long to wait for another run.
        run_id: The run.
        tell: Called with a sentence about each run that is waited for or ended.

    Raises:
        DatabaseInUse: Another run holds the lock still.
        StoreError: The lock cannot be taken at all.
    """
    with hold(settings.working_path.parent, run_id, settings.lock_timeout_seconds, tell) as died:
        _end(instance, died, tell)
        _free_slots(instance, settings.dataset, run_id)
        yield


def end_orphaned_run(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Do the same for a run whose process was killed, unless another one has begun meanwhile, which has done it.

    Raises:
        StoreError: The lock cannot be taken at all.
    """
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
    """Free what other runs hold of the pool or are waiting for: none of them can be writing now.

    One on another data directory that shares the instance goes on as before; it has no need of its slot.
    """
    storage = instance.event_log_storage
    pool = storage.get_concurrency_info(writers_pool(dataset))
    owners = {slot.run_id for slot in pool.claimed_slots} | {step.run_id for step in pool.pending_steps}
    for owner in owners - {run_id}:
        storage.free_concurrency_slots_for_run(owner)


_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def remove_old_runs(instance: dg.DagsterInstance, before: dt.datetime) -> int:
    """Remove the finished runs that were created before a moment, with their logs; returns how many there were.

    Dagster removes materializations with their run, and their partitions would count as never materialized. So those
    that are the newest of their partition are reported again first, without a run: a kill in between loses nothing.
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
    """With SQLite, each run has a file of its own, which Dagster empties and does not make smaller."""
    path_for_shard = getattr(instance.event_log_storage, "path_for_shard", None)
    if path_for_shard:
        for ending in ("", "-wal", "-shm"):
            Path(path_for_shard(run_id) + ending).unlink(missing_ok=True)
