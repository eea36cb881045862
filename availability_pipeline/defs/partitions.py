"""The daily partitions, one per day from the first one of the market to yesterday, and which of them runs cover."""

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import dagster as dg

from availability_pipeline.catalogue.datasets import DATASETS, Dataset
from availability_pipeline.dates import DayRange, parse_day
from availability_pipeline.defs.names import asset_key, job_name
from availability_pipeline.errors import UsageError

_PARTITION = "dagster/partition"
_RANGE_START, _RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


class _Days(dg.DailyPartitionsDefinition):
    """Days, of which the keys are counted from the first to the last; Dagster asks a cron schedule for each."""

    def get_partition_keys(
        self,
        current_time: dt.datetime | None = None,
        dynamic_partitions_store: Any = None,
    ) -> Sequence[str]:
        with dg.partition_loading_context(current_time, dynamic_partitions_store):
            first, last = self.get_first_partition_key(), self.get_last_partition_key()
        return [str(day) for day in DayRange(parse_day(first), parse_day(last))] if first and last else []


@cache
def daily_partitions(dataset: Dataset) -> dg.DailyPartitionsDefinition:
    """One partition for each day of the dataset; one object for all assets, which counts them once."""
    last = dataset.last_file_day
    return _Days(
        start_date=dataset.first_day.isoformat(),
        end_date=(last + dt.timedelta(days=1)).isoformat() if last else None,
        timezone=dataset.time_zone,
    )


def days_of_run(context: dg.AssetExecutionContext) -> DayRange:
    """The days of the run: one partition, or one contiguous range of them."""
    keys = context.partition_key_range
    return DayRange(parse_day(keys.start), parse_day(keys.end))


def range_tags(days: DayRange) -> dict[str, str]:
    """The tags by which Dagster makes one run over all these partitions."""
    return {_RANGE_START: str(days.start), _RANGE_END: str(days.end)}


def request_for(days: DayRange, run_key: str, assets: Sequence[dg.AssetKey] | None = None) -> dg.RunRequest:
    """The request for one run over these days: a partition if it is one, else a range.

    Args:
        days: The days.
        run_key: By which Dagster starts it once only.
        assets: What it materializes; everything if None.
    """
    if len(days) == 1:
        return dg.RunRequest(run_key=run_key, partition_key=str(days.start), asset_selection=assets)
    return dg.RunRequest(run_key=run_key, tags=range_tags(days), asset_selection=assets)


def days_under_way(instance: dg.DagsterInstance, dataset: Dataset) -> set[dt.date]:
    """The days of the dataset of all runs that are queued or not over yet."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))
    windows = (window_of(run.tags) for run in runs if _may_collect(run, dataset))
    return {day for window in windows if window for day in window}


def _may_collect(run: dg.DagsterRun, dataset: Dataset) -> bool:
    """Whether a run may be about the dataset: it selects its assets, or is not the job of another one."""
    if not run.asset_selection:  # empty or None: the whole job
        return run.job_name not in {
            job_name(other) for other in DATASETS.values() if other.name != dataset.name
        }
    return asset_key(dataset, "daily_availability") in run.asset_selection


def window_of(tags: Mapping[str, str]) -> DayRange | None:
    """The days that the tags of a run name; None if they name none."""
    first = tags.get(_RANGE_START) or tags.get(_PARTITION)
    last = tags.get(_RANGE_END) or tags.get(_PARTITION)
    if not (first and last):
        return None
    try:
        return DayRange(parse_day(first), parse_day(last))
    except UsageError:  # a run of another project on the same instance, whose partitions are no days
        return None
