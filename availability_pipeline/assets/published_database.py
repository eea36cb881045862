"""The asset `published_database`: the audited copy that everybody reads."""

import dagster as dg

from availability_pipeline.assets.daily_availability import daily_availability
from availability_pipeline.failures import failures_reported
from availability_pipeline.liveness import WRITERS_POOL
from availability_pipeline.progress import Progress
from availability_pipeline.publishing import publish
from availability_pipeline.resources import PipelineSettings, WorkingDatabase


@dg.asset(
    deps=[daily_availability],
    group_name="availability",
    kinds={"duckdb"},
    owners=["team:market-data"],
    pool=WRITERS_POOL,
)
def published_database(
    context: dg.AssetExecutionContext,
    settings: PipelineSettings,
    working_database: WorkingDatabase,
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult[None]:
    """The database that readers open: an audited copy of the working database, swapped in by a rename."""
    progress.stage("publishing")
    with failures_reported(context, progress), working_database.get_connection() as connection:
        report = publish(connection, settings.load().db_path, context.run.run_id)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": report.rows,
            "available": report.files,
            "symbols": report.symbols,
            "bytes": report.bytes,
            "seconds": round(report.seconds, 3),
            "path": dg.MetadataValue.path(report.path),
        }
    )
