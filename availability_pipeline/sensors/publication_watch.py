"""The sensor `publication_watch`: a day is collected when the archive publishes it, not when a clock says so."""

import dagster as dg

from availability_pipeline.days import utc_now
from availability_pipeline.errors import AvailabilityError
from availability_pipeline.jobs import availability_update
from availability_pipeline.orphaned_runs import end_orphaned_run
from availability_pipeline.partitions import days_under_way, request_for
from availability_pipeline.publication_watch import Memory, look
from availability_pipeline.resources import PipelineSettings


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
