"""Sensors: what the daemon looks after between runs; each body reads its context and calls a plain function."""

from availability_pipeline.sensors.alerts import failure_alerts
from availability_pipeline.sensors.dead_runs import dead_runs
from availability_pipeline.sensors.publication_watch import publication_watch

SENSORS = (dead_runs, publication_watch, failure_alerts)
"""No writer waits for a run that was killed; a day is collected when it is published; somebody is told what failed."""
