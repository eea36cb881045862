"""The jobs: discover, collect, publish, over one partition or a range of them; and removing old runs, where wanted."""

import datetime as dt

import dagster as dg

from availability_pipeline.assets import ASSETS
from availability_pipeline.old_runs import remove_old_runs as remove

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
