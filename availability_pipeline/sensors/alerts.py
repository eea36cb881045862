"""The sensor `failure_alerts`: a message about what failed in the runs that have ended."""

import os

import dagster as dg

from availability_pipeline.alerts import Memory, alert_settings, deliver
from availability_pipeline.ended_runs import findings, newly_ended
from availability_pipeline.logs import written


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def failure_alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Tell AVAILABILITY_ALERT_WEBHOOK of failed runs and checks, once a day for each thing that fails."""
    settings = alert_settings(os.environ)
    origin = context.code_location_origin
    memory = Memory.read(context.cursor)
    found = 0
    with written(settings.log_format):
        for run in newly_ended(context.instance, memory, origin.location_name if origin else None):
            for finding in findings(context.instance, run):
                memory.note(finding)
                found += 1
        sent = deliver(memory, settings.alert_webhook)
    context.update_cursor(memory.write())
    return dg.SkipReason(f"new failures: {found}, messages sent: {sent}, waiting: {len(memory.unsent)}")
