"""The assets of a dataset, from the contracts to the published database."""

import warnings
from collections.abc import Sequence
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from availability_pipeline.catalogue.columns import DAILY_AVAILABILITY, DAILY_VOLUME, FILE_CONTENTS
from availability_pipeline.catalogue.datasets import Dataset
from availability_pipeline.collecting import collect
from availability_pipeline.collecting import volume as volumes
from availability_pipeline.collecting.collect import Collected, Discovery
from availability_pipeline.collecting.inspect import Inspection, inspect_files
from availability_pipeline.dates import utc_now
from availability_pipeline.defs.asset import FROM_ARCHIVE, asset, column_schema
from availability_pipeline.defs.failures import failures_reported
from availability_pipeline.defs.names import asset_key
from availability_pipeline.defs.partitions import daily_partitions, days_of_run
from availability_pipeline.defs.published import published_database, report
from availability_pipeline.defs.resources import resources_of
from availability_pipeline.errors import ArchiveError, ArchiveFailures
from availability_pipeline.lifecycle.derive import DeriveReport, derive
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.queries.columns import LifecycleRow, SymbolRow, described
from availability_pipeline.symbols import counted
from availability_pipeline.warehouse.contents import files_not_inspected, write_contents
from availability_pipeline.warehouse.volume import write_volume
from availability_pipeline.warehouse.writes import SymbolsReport, WriteReport

# Chosen knowingly: one run for a range is what makes a whole history feasible.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)


class SelectedSymbols(dg.Config):
    """What a run is restricted to besides its days."""

    symbols: list[str] = Field(default=[], description="The contracts to collect; all tracked ones if empty")


def _by_day(dataset: Dataset) -> dict[str, Any]:
    """The options of assets that ask the archive for the days of a run."""
    single_run = dg.BackfillPolicy.single_run()
    return {**FROM_ARCHIVE, "partitions_def": daily_partitions(dataset), "backfill_policy": single_run}


def make_assets(dataset: Dataset) -> list[dg.AssetsDefinition]:
    """The assets of a dataset, each downstream of the one before."""
    symbols = _symbols(dataset)
    collected = [_daily_availability(dataset, symbols)]
    if dataset.has_volume:
        collected.append(_daily_volume(dataset, collected[0]))
    derived = [_symbol_lifecycle(dataset, collected)]
    if dataset.has_minutes:
        derived.append(_file_contents(dataset, collected[0]))
    published = published_database(dataset, derived)
    return [symbols, *collected, *derived, published, report(dataset, published)]


def _schema_of(row_type: type) -> dict[str, Any]:
    return {"dagster/column_schema": column_schema(described(row_type))}


def _symbols(dataset: Dataset) -> dg.AssetsDefinition:
    @asset(dataset, "symbols", _schema_of(SymbolRow), **FROM_ARCHIVE)
    def symbols(context: dg.AssetExecutionContext, config: SelectedSymbols) -> dg.MaterializeResult[None]:
        """Every contract that has ever had a folder on the archive, and which of them are tracked.

        exchangeInfo adds type, status and listing day of the contracts that still exist. It refuses many networks;
        then these columns keep what it last said. Each different answer is kept in `contract_history`.
        """
        settings, working_database, progress = resources_of(context, dataset)
        with failures_reported(context, progress):
            loaded = settings.load(dataset)
            progress.stage("discovering contracts")
            discovery = collect.discover(loaded)
            collect.choose(discovery.tracked(loaded), config.symbols)
            with working_database.get_connection() as connection:
                removed = collect.take_back_unfinished_days(connection, discovery)
                written = collect.write_discovery(connection, discovery, loaded)
        if removed:
            progress.stage(removed)
            context.log.warning(removed)
        if discovery.exchange_problem:
            context.log.warning("Went on without exchangeInfo: %s", discovery.exchange_problem)
        if discovery.folders.unknown:
            context.log.warning(
                "Left out folders that are no contract's: %s", ", ".join(discovery.folders.unknown)
            )
        return dg.MaterializeResult(metadata=_discovery_metadata(discovery, written))

    return symbols


def _discovery_metadata(discovery: Discovery, report: SymbolsReport) -> dict[str, int | str]:
    return {
        "dagster/row_count": report.total,
        "tracked": report.tracked,
        "new": len(report.new),
        "new_symbols": ", ".join(report.new[:50]),
        "unknown_folders": ", ".join(discovery.folders.unknown[:50]),
        "requests": discovery.folders.pages + 1,
        "exchange_info": discovery.exchange_problem or f"{len(discovery.exchange.contracts)} contracts",
        "exchange_info_odd_entries": discovery.exchange.odd_entries,
    }


def _daily_availability(dataset: Dataset, symbols: dg.AssetsDefinition) -> dg.AssetsDefinition:
    @asset(
        dataset,
        "daily_availability",
        **_by_day(dataset),
        deps=[symbols],
        metadata={"dagster/column_schema": column_schema(DAILY_AVAILABILITY)},
        description=_ABOUT_AVAILABILITY.format(dataset.name),
    )
    def daily_availability(
        context: dg.AssetExecutionContext, config: SelectedSymbols
    ) -> dg.MaterializeResult[None]:
        settings, working_database, progress = resources_of(context, dataset)
        started = utc_now()
        with failures_reported(context, progress):
            loaded = settings.load(dataset)
            with working_database.get_connection() as connection:
                plan = collect.plan_collection(connection, days_of_run(context), config.symbols)
            working_database.release()
            collected = collect.collect(plan, loaded, progress)
            progress.stage(f"writing {len(plan.days):,} days of {len(plan.symbols):,} contracts")
            with working_database.get_connection() as connection:
                report = collect.write(connection, plan, collected, loaded, context.run.run_id)
        if collected.strays:
            context.log.warning(_about_strays(collected.strays, dataset))
        progress.stage(f"recording {len(plan.days):,} partitions in Dagster")
        seconds = (utc_now() - started).total_seconds()
        return dg.MaterializeResult(metadata=_metadata(collected, report, seconds))

    return daily_availability


_ABOUT_AVAILABILITY = """Whether the archive has the {} file of each tracked contract and UTC day, how large, since
when.

One partition is probed with a HEAD per contract, a range is listed with about one LIST per contract; both write
the same rows. A contract without history gets all days that the table holds. The metadata is about the whole run.
"""


def _about_strays(strays: Sequence[str], dataset: Dataset) -> str:
    keys = counted(len(strays), "key that names", "keys that name")
    return f"Left out {keys} no file of {dataset.name}: {', '.join(strays[:3])}"


def _metadata(collected: Collected, report: WriteReport, seconds: float) -> dict[str, int | float | str]:
    return {
        "mode": collected.mode,
        "dagster/row_count": report.rows,
        "available": report.available,
        "changed": sum(report.changes.values()),
        "changes": ", ".join(f"{count} {kind}" for kind, count in report.changes.items()) or "none",
        "requests": collected.requests,
        "pages": collected.pages,
        "stray_keys": len(collected.strays),
        "seconds": round(seconds, 3),
        "bytes": report.bytes,
    }


def _daily_volume(dataset: Dataset, availability: dg.AssetsDefinition) -> dg.AssetsDefinition:
    @asset(
        dataset,
        "daily_volume",
        **_by_day(dataset),
        deps=[availability],
        metadata={"dagster/column_schema": column_schema(DAILY_VOLUME)},
    )
    def daily_volume(
        context: dg.AssetExecutionContext, config: SelectedSymbols
    ) -> dg.MaterializeResult[None]:
        """The daily bar of each contract: prices, volume and trades.

        Months that are over are read from monthly files, other days from daily files. A file is read again only when
        it was replaced. The metadata is about the whole run.
        """
        settings, working_database, progress = resources_of(context, dataset)
        with failures_reported(context, progress):
            loaded = settings.load(dataset)
            with working_database.get_connection() as connection:
                plan = volumes.plan_volume(connection, days_of_run(context), config.symbols)
            working_database.release()
            found = volumes.collect_volume(plan, loaded, progress)
            progress.stage(f"writing {found.bars.num_rows:,} daily bars")
            with working_database.get_connection() as connection:
                report = write_volume(connection, found.files, found.bars)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": report.bars,
                "files": report.files,
                "faulty_files": report.faulty,
                "requests": found.requests,
            }
        )

    return daily_volume


def _file_contents(dataset: Dataset, availability: dg.AssetsDefinition) -> dg.AssetsDefinition:
    @asset(
        dataset,
        "file_contents",
        **_by_day(dataset),
        deps=[availability],
        metadata={"dagster/column_schema": column_schema(FILE_CONTENTS)},
    )
    def file_contents(
        context: dg.AssetExecutionContext, config: SelectedSymbols
    ) -> dg.MaterializeResult[None]:
        """What is in each 1-minute file: whether it agrees with its checksum, which minutes it has, what it adds up to.

        A version of a file is inspected once, with two requests; again while it disagrees with its checksum. The
        metadata is about the whole run.
        """
        settings, working_database, progress = resources_of(context, dataset)
        with failures_reported(context, progress):
            loaded = settings.load(dataset)
            with working_database.get_connection() as connection:
                files = files_not_inspected(connection, days_of_run(context), config.symbols)
            working_database.release()

            def write(rows: pa.Table) -> None:
                with working_database.get_connection() as connection:
                    write_contents(connection, rows)
                working_database.release()

            done, problem = Inspection(), ""
            try:
                inspect_files(files, loaded, progress, write, done)
            except (ArchiveError, ArchiveFailures) as error:
                if not _collects(context, dataset):
                    raise
                # What is collected is published all the same; the next run inspects the rest.
                problem = str(error)
                context.log.warning("Went on without inspecting all files: %s", problem)
            if done.mirror_problem:
                context.log.warning("Went on without keeping all files: %s", done.mirror_problem)
        return dg.MaterializeResult(metadata=_inspection_metadata(done, problem))

    return file_contents


def _inspection_metadata(done: Inspection, problem: str) -> dict[str, int | str]:
    return {
        "dagster/row_count": done.files,
        "requests": done.requests,
        "gone": done.gone,
        "kept": done.kept,
        "problem": problem or done.mirror_problem or "none",
        **done.verdicts,
    }


def _collects(context: dg.AssetExecutionContext, dataset: Dataset) -> bool:
    """Whether the run collects days as well, and does not only inspect."""
    # None or nothing is chosen in a run of the whole job.
    chosen = context.run.asset_selection
    return not chosen or asset_key(dataset, "daily_availability") in chosen


def _symbol_lifecycle(dataset: Dataset, collected: Sequence[dg.AssetsDefinition]) -> dg.AssetsDefinition:
    @asset(dataset, "symbol_lifecycle", _schema_of(LifecycleRow), kinds={"duckdb"}, deps=collected)
    def symbol_lifecycle(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """When each contract was listed, traded, went flat and ended, and the status of each of its days.

        The tables `symbol_lifecycle` and `status_spans` are made anew from all rows, whatever the days of the run.
        """
        settings, working_database, progress = resources_of(context, dataset)
        progress.stage("deriving status and lifecycle")
        with failures_reported(context, progress), working_database.get_connection() as connection:
            report = derive(connection, Rules.of(settings.load(dataset)))
        return dg.MaterializeResult(metadata=_lifecycle_metadata(report))

    return symbol_lifecycle


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
