"""The asset `published_database`: the audited copy that everybody reads."""

import datetime as dt

import dagster as dg
from pydantic import Field

from availability_pipeline.assets.symbol_lifecycle import symbol_lifecycle
from availability_pipeline.failures import failures_reported
from availability_pipeline.object_storage.mirror import mirror
from availability_pipeline.orphaned_runs import WRITERS_POOL
from availability_pipeline.progress import Progress
from availability_pipeline.resources import PipelineSettings, WorkingDatabase
from availability_pipeline.validation.guard import publish_checked

PUBLISHED_EVERY_NIGHT = dg.FreshnessPolicy.time_window(
    warn_window=dt.timedelta(hours=26), fail_window=dt.timedelta(hours=50)
)
"""Stale when the run of 02:00 UTC has not published two hours later, and failing when two nights in a row have not."""


class Publication(dg.Config):
    """How a run publishes."""

    accept_fewer_files: bool = Field(
        default=False,
        description="Publish although complete days have lost files, because they are really gone",
    )


@dg.asset(
    deps=[symbol_lifecycle],
    group_name="availability",
    kinds={"duckdb"},
    owners=["team:market-data"],
    pool=WRITERS_POOL,
    freshness_policy=PUBLISHED_EVERY_NIGHT,
)
def published_database(
    context: dg.AssetExecutionContext,
    config: Publication,
    settings: PipelineSettings,
    working_database: WorkingDatabase,
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult[None]:
    """The database that readers open: an audited copy of the working database, swapped in by a rename.

    The blocking checks of `daily_availability` come first in the same run; a run that publishes alone makes up for
    those that are not about the days of a run.
    """
    progress.stage("publishing")
    with failures_reported(context, progress):
        loaded = settings.load()
        with working_database.get_connection() as connection:
            report = publish_checked(
                connection,
                loaded,
                context.run.run_id,
                repeated=(context.run.parent_run_id, context.run.root_run_id),
                accept_fewer_files=config.accept_fewer_files,
            )
        uploaded = mirror(loaded, progress)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": report.rows,
            "available": report.files,
            "symbols": report.symbols,
            "bytes": report.bytes,
            "seconds": round(report.seconds, 3),
            "path": dg.MetadataValue.path(report.path),
            "generation": report.generation,
            **(uploaded.metadata() if uploaded else {}),
        }
    )
