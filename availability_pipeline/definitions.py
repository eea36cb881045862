"""The one place where the Dagster code location is put together."""

import dagster as dg

from availability_pipeline.assets import ASSETS
from availability_pipeline.checks import CHECKS
from availability_pipeline.jobs import JOBS
from availability_pipeline.progress import Progress
from availability_pipeline.resources import PipelineSettings, WorkingDatabase
from availability_pipeline.run_console import use_log_format
from availability_pipeline.schedules import SCHEDULES
from availability_pipeline.sensors import SENSORS


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


defs = build_defs()
