"""The definitions of the code location: those of each dataset that is collected, and what all of them share."""

import dagster as dg

from availability_pipeline.archive.batch import Progress
from availability_pipeline.catalogue.datasets import Dataset
from availability_pipeline.defs.alerts import failure_alerts
from availability_pipeline.defs.assets import make_assets
from availability_pipeline.defs.automation import make_publication_watch, make_schedule, remove_old_runs
from availability_pipeline.defs.checks import make_checks
from availability_pipeline.defs.logging import use_log_format
from availability_pipeline.defs.names import job_name, writers_pool
from availability_pipeline.defs.resources import PipelineSettings, WorkingDatabase
from availability_pipeline.settings import datasets_of_environment


def dataset_definitions(dataset: Dataset, settings: PipelineSettings) -> dg.Definitions:
    """Everything of one dataset: assets, checks, job, schedule, sensor, and its working database.

    Args:
        dataset: An entry of the catalogue.
        settings: The resource that reads the settings, which all datasets share.
    """
    assets = make_assets(dataset)
    job = dg.define_asset_job(
        job_name(dataset),
        selection=dg.AssetSelection.assets(*assets),
        description="Discover contracts, collect the days of the run, publish. Started by `backfill` and `update`.",
    )
    return dg.Definitions(
        assets=assets,
        asset_checks=make_checks(dataset),
        jobs=[job],
        schedules=[make_schedule(dataset)] if dataset.goes_on else [],
        sensors=[make_publication_watch(dataset)] if dataset.goes_on else [],
        resources={writers_pool(dataset): WorkingDatabase(settings=settings, dataset=dataset.name)},
    )


def build_defs(progress: Progress | None = None, only: Dataset | None = None) -> dg.Definitions:
    """Fresh definitions; what they work with comes from the environment of each run.

    Args:
        progress: Who is told how far a run is.
        only: The dataset that is defined; those of AVAILABILITY_DATASETS if None.

    Raises:
        UsageError: AVAILABILITY_DATASETS names an unknown one.
    """
    use_log_format()
    datasets = (only,) if only else datasets_of_environment()
    settings = PipelineSettings()
    shared = dg.Definitions(
        jobs=[remove_old_runs],
        sensors=[failure_alerts],
        resources={"settings": settings, "progress": progress or Progress()},
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(shared, *(dataset_definitions(each, settings) for each in datasets))
