"""Sensors: what the daemon looks after between runs; each body reads its context and calls a plain function."""

from availability_pipeline.sensors.dead_runs import dead_runs
from availability_pipeline.sensors.publication_watch import publication_watch

SENSORS = (dead_runs, publication_watch)
"""Runs whose process was killed do not keep the next writer waiting; a day is collected when it is published."""
