"""Sensors: what the daemon looks after between runs; each body reads its context and calls a plain function."""

from availability_pipeline.sensors.alerts import failure_alerts
from availability_pipeline.sensors.dead_runs import dead_runs

SENSORS = (dead_runs, failure_alerts)
