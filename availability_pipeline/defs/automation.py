"""Jobs, the schedule and the sensor that starts runs."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from availability_pipeline.collecting.collect import daily_window
from availability_pipeline.collecting.watch import Memory, look
from availability_pipeline.dates import DayRange, utc_now
from availability_pipeline.defs.assets import ASSETS
from availability_pipeline.defs.partitions import days_under_way, request_for
from availability_pipeline.defs.resources import PipelineSettings
from availability_pipeline.defs.runs import end_orphaned_run
from availability_pipeline.defs.runs import remove_old_runs as remove
from availability_pipeline.errors import AvailabilityError, UsageError

availability_update = dg.define_asset_job(
    "availability_update",
    selection=dg.AssetSelection.assets(*ASSETS),
    description="Discover contracts, collect the days of the run, publish. Started by `backfill` and `update`.",
)


LEAST_DAYS = 60
"""The service levels look back 30 days, and the alerts for as long as the daemon stood still."""


class KeptRuns(dg.Config):
    """What is kept: the runs of so many days."""

    days: int = 365


@dg.op
def old_runs(context: dg.OpExecutionContext, config: KeptRuns) -> None:
    """Remove the runs and say how many."""
    if config.days < LEAST_DAYS:
        raise dg.Failure(f"days is {config.days}; it must be {LEAST_DAYS} or more", allow_retries=False)
    before = dt.datetime.now(dt.UTC) - dt.timedelta(days=config.days)
    context.log.info("Removed %d runs from before %s.", remove(context.instance, before), before.date())


@dg.job(
    description="Remove finished runs that are older than a year from Dagster's records. Started by hand only."
)
def remove_old_runs() -> None:
    """The job of the one op."""
    old_runs()


JOBS = (availability_update, remove_old_runs)


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


@dg.sensor(
    job=availability_update,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def publication_watch(
    context: dg.SensorEvaluationContext, settings: PipelineSettings
) -> dg.SensorResult | dg.SkipReason:
    """Ask for a few of the files that recent days still lack, and request a run when one of them is there."""
    try:
        loaded = settings.load()
        # A run that was killed would count as under way.
        end_orphaned_run(context.instance, loaded)
        seen = look(loaded, Memory.read(context.cursor), utc_now(), days_under_way(context.instance))
    except AvailabilityError as error:
        return dg.SkipReason(f"Nothing could be looked for: {error}")
    if not seen.runs:
        return dg.SensorResult(skip_reason=seen.reason, cursor=seen.memory.write())
    context.log.info(seen.reason)
    requests = [request_for(days, run_key) for run_key, days in seen.runs.items()]
    return dg.SensorResult(run_requests=requests, cursor=seen.memory.write())
