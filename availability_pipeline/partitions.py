"""The daily partitions: one per UTC day from the first day of the market; the last one is yesterday's."""

import dagster as dg

from availability_pipeline.days import FIRST_DAY, DayRange, parse_day

DAILY = dg.DailyPartitionsDefinition(start_date=FIRST_DAY.isoformat(), timezone="UTC")


def days_of_run(context: dg.AssetExecutionContext) -> DayRange:
    """The days of the run: one partition, or one contiguous range of them."""
    keys = context.partition_key_range
    return DayRange(parse_day(keys.start), parse_day(keys.end))
