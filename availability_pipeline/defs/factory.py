"""The definitions of the code location: sensors, assets, checks, jobs, schedule and resources put together."""

import dagster as dg

from availability_pipeline.archive.batch import Progress
from availability_pipeline.defs.alerts import failure_alerts
from availability_pipeline.defs.assets import ASSETS
from availability_pipeline.defs.automation import JOBS, SCHEDULES, publication_watch
from availability_pipeline.defs.checks import CHECKS
from availability_pipeline.defs.logging import use_log_format
from availability_pipeline.defs.resources import PipelineSettings, WorkingDatabase

SENSORS = (publication_watch, failure_alerts)
"""A day is collected when it is published; somebody is told what failed."""


def build_defs(progress: Progress | None = None) -> dg.Definitions:
    """Fresh definitions; what they work with comes from the environment of each run.

    Args:
        progress: Who is told how far a run is.
    """
    use_log_format()
    settings = PipelineSettings()
    resources = {
        "settings": settings,
        "working_database": WorkingDatabase(settings=settings),
        "progress": progress or Progress(),
    }
    return dg.Definitions(
        assets=ASSETS,
        asset_checks=CHECKS,
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=SENSORS,
        resources=resources,
        executor=dg.in_process_executor,
    )
