"""The asset `symbols`: every folder of the archive, and what exchangeInfo says of it."""

import dagster as dg
from pydantic import Field

from availability_pipeline import collection
from availability_pipeline.failures import failures_reported
from availability_pipeline.orphaned_runs import WRITERS_POOL
from availability_pipeline.progress import Progress
from availability_pipeline.resources import PipelineSettings, WorkingDatabase


class SelectedSymbols(dg.Config):
    """What a run is restricted to besides its days."""

    symbols: list[str] = Field(default=[], description="The contracts to collect; all tracked ones if empty")


@dg.asset(
    group_name="availability",
    kinds={"s3", "duckdb"},
    owners=["team:market-data"],
    pool=WRITERS_POOL,
    tags={"source": "binance"},
)
def symbols(
    context: dg.AssetExecutionContext,
    config: SelectedSymbols,
    settings: PipelineSettings,
    working_database: WorkingDatabase,
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult[None]:
    """Every contract that has ever had a folder on the archive, and which of them are tracked.

    exchangeInfo adds type, status and listing day of the contracts that still exist. It refuses many networks;
    then these columns keep what it last said.
    """
    with failures_reported(context, progress):
        loaded = settings.load()
        progress.stage("discovering contracts")
        discovery = collection.discover(loaded)
        collection.choose(discovery.tracked(loaded), config.symbols)
        with working_database.get_connection() as connection:
            removed = collection.take_back_unfinished_days(connection, discovery)
            report = collection.write_discovery(connection, discovery, loaded)
    if removed:
        progress.stage(removed)
        context.log.warning(removed)
    if discovery.exchange_problem:
        context.log.warning("Went on without exchangeInfo: %s", discovery.exchange_problem)
    if discovery.folders.unknown:
        context.log.warning(
            "Left out folders that are no contract's: %s", ", ".join(discovery.folders.unknown)
        )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": report.total,
            "tracked": report.tracked,
            "new": len(report.new),
            "new_symbols": ", ".join(report.new[:50]),
            "unknown_folders": ", ".join(discovery.folders.unknown[:50]),
            "requests": discovery.folders.pages + 1,
            "exchange_info": discovery.exchange_problem or f"{len(discovery.exchange.contracts)} contracts",
            "exchange_info_odd_entries": discovery.exchange.odd_entries,
        }
    )
