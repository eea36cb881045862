"""What Dagster's records say about the daily updates and the comparisons with exchangeInfo, for the service levels."""

from __future__ import annotations

import datetime as dt

import dagster as dg

from availability_pipeline.catalogue import Dataset
from availability_pipeline.dates import DayRange
from availability_pipeline.defs.names import asset_key
from availability_pipeline.queries.service_levels import UpdateRecords

RECALL = "recall"
"""The metadata of the comparison that is its recall, a number from 0 to 1."""

_MOST_COMPARISONS = 1_000
"""How many of the newest comparisons are looked at; there are a few a day."""


def update_records(instance: dg.DagsterInstance, dataset: Dataset, days: DayRange) -> UpdateRecords:
    """What there is about these days of a dataset; comparisons count from the end of the first day on."""
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
    """When a day, or any day, was materialized for the first time."""
    wanted = dg.AssetRecordsFilter(table, asset_partitions=[str(day)] if day else None)
    records = instance.fetch_materializations(wanted, limit=1, ascending=True).records
    return _moment(records[0].timestamp) if records else None


def _recalls(instance: dg.DagsterInstance, table: dg.AssetKey, since: dt.datetime) -> list[float]:
    """The recall of each evaluation since then that has one, newest first."""
    history = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(table, "exchange_info"), limit=_MOST_COMPARISONS
    )
    return [
        float(str(evaluation.metadata[RECALL].value))
        for record in history
        # One that was planned and never made has no metadata.
        if isinstance(evaluation := record.evaluation, dg.AssetCheckEvaluation)
        and RECALL in evaluation.metadata
        and _moment(record.create_timestamp) >= since
    ]


def _moment(timestamp: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(timestamp, dt.UTC).replace(tzinfo=None)
