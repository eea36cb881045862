"""Removing old runs from Dagster's records, which would grow for ever, without losing which days are materialized."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg

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
