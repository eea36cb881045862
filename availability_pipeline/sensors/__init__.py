"""Sensors: what the daemon looks after between runs; each body reads its context and calls a plain function."""

from availability_pipeline.sensors.alerts import failure_alerts
from availability_pipeline.sensors.publication_watch import publication_watch

SENSORS = (publication_watch, failure_alerts)
"""A day is collected when it is published; somebody is told what failed."""
