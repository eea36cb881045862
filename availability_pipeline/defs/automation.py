"""The schedule and the sensor that start the job of a dataset, and the job that removes old runs."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from availability_pipeline.catalogue.datasets import Dataset
from availability_pipeline.collecting.collect import daily_window
from availability_pipeline.collecting.watch import Memory, look
from availability_pipeline.dates import DayRange, utc_now
from availability_pipeline.defs.names import assets_of_run, job_name, prefixed
from availability_pipeline.defs.partitions import days_under_way, request_for
from availability_pipeline.defs.resources import PipelineSettings
from availability_pipeline.defs.runs import end_orphaned_run
from availability_pipeline.defs.runs import remove_old_runs as remove
from availability_pipeline.errors import AvailabilityError, UsageError


def make_schedule(dataset: Dataset) -> dg.ScheduleDefinition:
    """The schedule that runs the dataset's job every night."""

    @dg.schedule(
        name=prefixed(dataset, "daily_availability_schedule"),
        job_name=job_name(dataset),
        cron_schedule="0 2 * * *",
        execution_timezone=dataset.time_zone,
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
            loaded = settings.load(dataset)
            window = daily_window(loaded, yesterday)
        except UsageError as error:
            # The run fails with this sentence, and its failure is reported.
            context.log.warning("A setting is wrong: %s", error)
            yield request_for(DayRange(yesterday, yesterday), f"{yesterday} day")
            return
        if window.remark:
            context.log.warning("The range %s was chosen with a reservation: %s", window.days, window.remark)
        for days, name in ((DayRange(yesterday, yesterday), "day"), (window.days, "range")):
            if name == "day" or len(days) > 1:
                yield request_for(days, f"{yesterday} {name}", assets_of_run(loaded, days))

    return daily_availability_schedule


def make_publication_watch(dataset: Dataset) -> dg.SensorDefinition:
    """The sensor that runs the dataset's job when the archive publishes a day."""

    @dg.sensor(
        name=prefixed(dataset, "publication_watch"),
        job_name=job_name(dataset),
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def publication_watch(
        context: dg.SensorEvaluationContext, settings: PipelineSettings
    ) -> dg.SensorResult | dg.SkipReason:
        """Ask for a few of the files that recent days still lack, and request a run when one of them is there."""
        try:
            loaded = settings.load(dataset)
            # A run that was killed would count as under way.
            end_orphaned_run(context.instance, loaded)
            under_way = days_under_way(context.instance, dataset)
            seen = look(loaded, Memory.read(context.cursor), utc_now(), under_way)
        except AvailabilityError as error:
            return dg.SkipReason(f"Nothing could be looked for: {error}")
        if not seen.runs:
            return dg.SensorResult(skip_reason=seen.reason, cursor=seen.memory.write())
        context.log.info(seen.reason)
        requests = [
            request_for(days, run_key, assets_of_run(loaded, days)) for run_key, days in seen.runs.items()
        ]
        return dg.SensorResult(run_requests=requests, cursor=seen.memory.write())

    return publication_watch


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
