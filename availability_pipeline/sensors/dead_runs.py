"""The sensor `dead_runs`: runs whose process was killed do not keep the next writer waiting."""

import dagster as dg

from availability_pipeline.liveness import end_dead_runs


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """End runs whose process was killed, so that the next writer does not wait for them."""
    ended = end_dead_runs(context.instance)
    return dg.SkipReason(f"ended {len(ended)} dead runs: {', '.join(ended)}" if ended else "no dead runs")
