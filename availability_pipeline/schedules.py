"""The schedule: what is collected every day at 02:00 UTC, and how it makes up for what was missed."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from availability_pipeline.daily_window import daily_window
from availability_pipeline.days import DayRange
from availability_pipeline.errors import UsageError
from availability_pipeline.jobs import availability_update
from availability_pipeline.partitions import request_for
from availability_pipeline.resources import PipelineSettings


@dg.schedule(
    job=availability_update,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def daily_availability_schedule(
    context: dg.ScheduleEvaluationContext, settings: PipelineSettings
) -> Iterator[dg.RunRequest]:
    """Yesterday by HEAD, then the look-back window by LIST, from the first day on that is not complete.

    Dagster does not catch up missed ticks; this one looks at what is missing instead of at the clock.
    """
    yesterday = context.scheduled_execution_time.astimezone(dt.UTC).date() - dt.timedelta(days=1)
    try:
        window = daily_window(settings.load(), yesterday)
    except UsageError as error:
        # The run fails with this sentence, and so somebody is told.
        context.log.warning("A setting is wrong: %s", error)
        yield request_for(DayRange(yesterday, yesterday), f"{yesterday} day")
        return
    if window.remark:
        context.log.warning("The range %s was chosen with a reservation: %s", window.days, window.remark)
    yield request_for(DayRange(yesterday, yesterday), f"{yesterday} day")
    if len(window.days) > 1:
        yield request_for(window.days, f"{yesterday} range")


SCHEDULES = (daily_availability_schedule,)
