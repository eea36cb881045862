"""The asset `symbol_lifecycle`: what the files mean, as trading episodes and the status of every day."""

import dagster as dg

from availability_pipeline.analysis import DeriveReport, Rules, derive
from availability_pipeline.assets.daily_availability import daily_availability
from availability_pipeline.failures import failures_reported
from availability_pipeline.orphaned_runs import WRITERS_POOL
from availability_pipeline.progress import Progress
from availability_pipeline.resources import PipelineSettings, WorkingDatabase


@dg.asset(
    deps=[daily_availability],
    group_name="availability",
    kinds={"duckdb"},
    owners=["team:market-data"],
    pool=WRITERS_POOL,
)
def symbol_lifecycle(
    context: dg.AssetExecutionContext,
    settings: PipelineSettings,
    working_database: WorkingDatabase,
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult[None]:
    """When each contract was listed, traded, went flat and ended, and the status of each of its days.

    The tables `symbol_lifecycle` and `status_spans` are made anew from all rows, whatever the days of the run.
    """
    progress.stage("deriving status and lifecycle")
    with failures_reported(context, progress), working_database.get_connection() as connection:
        report = derive(connection, Rules.of(settings.load()))
    return dg.MaterializeResult(metadata=_metadata(report))


def _metadata(report: DeriveReport) -> dict[str, int | float]:
    return {
        "dagster/row_count": report.episodes,
        "spans": report.spans,
        "symbols": report.symbols,
        "open": report.open,
        "settled": report.settled,
        "purged": report.purged,
        "relisted": report.relisted,
        "flat_days": report.flat_days,
        "gaps": report.gaps,
        "seconds": round(report.seconds, 3),
    }
