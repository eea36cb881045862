"""The asset `daily_availability`: whether each tracked contract has its file, for each UTC day."""

import dagster as dg

from availability_pipeline import collection
from availability_pipeline.assets.symbols import SelectedSymbols, symbols
from availability_pipeline.collection import Collected
from availability_pipeline.days import utc_now
from availability_pipeline.failures import failures_reported
from availability_pipeline.orphaned_runs import WRITERS_POOL
from availability_pipeline.partitions import DAILY, days_of_run
from availability_pipeline.progress import Progress
from availability_pipeline.resources import PipelineSettings, WorkingDatabase
from availability_pipeline.store.availability import WriteReport


@dg.asset(
    partitions_def=DAILY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=[symbols],
    group_name="availability",
    kinds={"s3", "duckdb"},
    owners=["team:market-data"],
    pool=WRITERS_POOL,
    tags={"source": "binance"},
)
def daily_availability(
    context: dg.AssetExecutionContext,
    config: SelectedSymbols,
    settings: PipelineSettings,
    working_database: WorkingDatabase,
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult[None]:
    """Whether the archive has the 1-minute kline file of each tracked contract and UTC day, how large, since when.

    One partition is probed with a HEAD per contract, a range is listed with about one LIST per contract; both write
    the same rows. A contract without history gets all days that the table holds. The metadata is about the whole run.
    """
    started = utc_now()
    with failures_reported(context, progress):
        loaded = settings.load()
        with working_database.get_connection() as connection:
            plan = collection.plan_collection(connection, days_of_run(context), config.symbols)
        collected = collection.collect(plan, loaded, progress)
        progress.stage(f"writing {len(plan.days):,} days of {len(plan.symbols):,} contracts")
        with working_database.get_connection() as connection:
            report = collection.write(connection, plan, collected, loaded, context.run.run_id)
    progress.stage(f"recording {len(plan.days):,} partitions in Dagster")
    return dg.MaterializeResult(metadata=_metadata(collected, report, (utc_now() - started).total_seconds()))


def _metadata(collected: Collected, report: WriteReport, seconds: float) -> dict[str, int | float | str]:
    return {
        "mode": collected.mode,
        "dagster/row_count": report.rows,
        "available": report.available,
        "changed": sum(report.changes.values()),
        "changes": ", ".join(f"{count} {kind}" for kind, count in report.changes.items()) or "none",
        "requests": collected.requests,
        "pages": collected.pages,
        "seconds": round(seconds, 3),
        "bytes": report.bytes,
    }
