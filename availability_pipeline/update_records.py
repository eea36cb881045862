"""What Dagster's records say about the daily updates and the comparisons with exchangeInfo, for the service levels."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from availability_pipeline.days import DayRange, parse_day
from availability_pipeline.service_levels import UpdateRecords

TABLE = dg.AssetKey("daily_availability")
COMPARISON = dg.AssetCheckKey(TABLE, "exchange_info")
RECALL = "recall"
"""The metadata of the comparison that is its recall, a number from 0 to 1."""

_AT_ONCE = 500


def update_records(instance: dg.DagsterInstance, days: DayRange) -> UpdateRecords:
    """What there is about these days; comparisons count from the end of the first day on."""
    first = instance.fetch_materializations(TABLE, limit=1, ascending=True).records
    since = dt.datetime.combine(days.start, dt.time()) + dt.timedelta(days=1)
    return UpdateRecords(
        first=_moment(first[0].timestamp) if first else None,
        completed=_completed(instance, days),
        recalls=list(_recalls(instance, since)),
    )


def _completed(instance: dg.DagsterInstance, days: DayRange) -> dict[dt.date, dt.datetime]:
    """By day, its first materialization."""
    wanted = dg.AssetRecordsFilter(TABLE, asset_partitions=[str(day) for day in days])
    found: dict[dt.date, dt.datetime] = {}
    cursor, more = None, True
    while more and len(found) < len(days):
        page = instance.fetch_materializations(wanted, limit=_AT_ONCE, cursor=cursor, ascending=True)
        for record in page.records:
            found.setdefault(parse_day(record.partition_key or ""), _moment(record.timestamp))
        cursor, more = page.cursor, page.has_more
    return found


def _recalls(instance: dg.DagsterInstance, since: dt.datetime) -> Iterator[float]:
    """The recall of each evaluation that has one, newest first."""
    cursor = None
    while True:
        page = instance.event_log_storage.get_asset_check_execution_history(
            COMPARISON, limit=_AT_ONCE, cursor=cursor
        )
        for record in page:
            if _moment(record.create_timestamp) < since:
                return
            evaluation = record.evaluation
            # One that was planned and never made has no metadata.
            if isinstance(evaluation, dg.AssetCheckEvaluation) and RECALL in evaluation.metadata:
                yield float(str(evaluation.metadata[RECALL].value))
        if len(page) < _AT_ONCE:
            return
        cursor = page[-1].id


def _moment(timestamp: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(timestamp, dt.UTC).replace(tzinfo=None)
