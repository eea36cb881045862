"""The sensor `failure_alerts`: a message about what failed in the runs that have ended.

Why it is not one of Dagster's run status sensors is in docs/decisions/0020-alerts.md.
"""

import os

import dagster as dg

from availability_pipeline.alerts import Memory
from availability_pipeline.ended_runs import findings, newly_ended
from availability_pipeline.logs import written
from availability_pipeline.settings import VARIABLES, log_format


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def failure_alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Tell AVAILABILITY_ALERT_URLS of failed runs and checks, once a day for each thing that fails."""
    # Not Settings.load: a setting that is wrong, this one included, is what alerts may have to tell.
    variable, _ = VARIABLES["alert_urls"]
    urls = os.environ.get(variable, "").split()
    origin = context.code_location_origin
    memory = Memory.read(context.cursor)
    with written(log_format()):
        ended = newly_ended(context.instance, memory.cursors, origin.location_name if origin else None)
        noted = [memory.note(finding) for run in ended for finding in findings(context.instance, run)]
        sent = memory.deliver([text for text in noted if text], urls)
    context.update_cursor(memory.write())
    return dg.SkipReason(f"new failures: {len(noted)}, messages sent: {sent}, waiting: {memory.waiting}")
