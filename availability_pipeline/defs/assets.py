"""The assets: symbols, daily_availability, symbol_lifecycle, published_database."""

import datetime as dt
import warnings

import dagster as dg
from pydantic import Field

from availability_pipeline.archive.batch import Progress
from availability_pipeline.catalogue import DAILY_AVAILABILITY
from availability_pipeline.collecting import collect
from availability_pipeline.collecting.collect import Collected
from availability_pipeline.dates import utc_now
from availability_pipeline.defs.failures import failures_reported
from availability_pipeline.defs.partitions import DAILY, days_of_run
from availability_pipeline.defs.resources import PipelineSettings, WorkingDatabase
from availability_pipeline.defs.runs import WRITERS_POOL
from availability_pipeline.lifecycle.derive import DeriveReport, derive
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.publishing.remote.replicate import mirror
from availability_pipeline.quality.guard import publish_checked
from availability_pipeline.warehouse.writes import WriteReport

# Chosen knowingly: one run for a range is what makes a whole history feasible.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)


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
        discovery = collect.discover(loaded)
        collect.choose(discovery.tracked(loaded), config.symbols)
        with working_database.get_connection() as connection:
            removed = collect.take_back_unfinished_days(connection, discovery)
            report = collect.write_discovery(connection, discovery, loaded)
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


_COLUMN_SCHEMA = dg.TableSchema(
    [
        dg.TableColumn(
            column.name,
            column.sql_type,
            column.meaning,
            dg.TableColumnConstraints(nullable=column.nullable),
        )
        for column in DAILY_AVAILABILITY
    ]
)


@dg.asset(
    partitions_def=DAILY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=[symbols],
    group_name="availability",
    kinds={"s3", "duckdb"},
    owners=["team:market-data"],
    pool=WRITERS_POOL,
    tags={"source": "binance"},
    metadata={"dagster/column_schema": _COLUMN_SCHEMA},
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
            plan = collect.plan_collection(connection, days_of_run(context), config.symbols)
        collected = collect.collect(plan, loaded, progress)
        progress.stage(f"writing {len(plan.days):,} days of {len(plan.symbols):,} contracts")
        with working_database.get_connection() as connection:
            report = collect.write(connection, plan, collected, loaded, context.run.run_id)
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
    return dg.MaterializeResult(metadata=_lifecycle_metadata(report))


def _lifecycle_metadata(report: DeriveReport) -> dict[str, int | float]:
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
        if report.remark:
            context.log.warning(report.remark)
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
            "written": report.how,
            **(uploaded.metadata() if uploaded else {}),
        }
    )


ASSETS = (symbols, daily_availability, symbol_lifecycle, published_database)
