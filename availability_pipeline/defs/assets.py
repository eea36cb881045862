"""The assets of a dataset, from the contracts to the published database."""

import base64
import datetime as dt
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from availability_pipeline.catalogue import DAILY_AVAILABILITY, DAILY_VOLUME, FILE_CONTENTS, Column, Dataset
from availability_pipeline.collecting import collect
from availability_pipeline.collecting import volume as volumes
from availability_pipeline.collecting.collect import Collected, Discovery
from availability_pipeline.collecting.inspect import Inspection, inspect_files
from availability_pipeline.collecting.report import ReportMade, make_report
from availability_pipeline.dates import utc_now
from availability_pipeline.defs.failures import failures_reported
from availability_pipeline.defs.names import asset_key, writers_pool
from availability_pipeline.defs.partitions import daily_partitions, days_of_run
from availability_pipeline.defs.resources import resource_keys, resources_of
from availability_pipeline.errors import ArchiveError, ArchiveFailures
from availability_pipeline.lifecycle.derive import DeriveReport, derive
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.publishing.remote.replicate import mirror
from availability_pipeline.publishing.write import PublishReport
from availability_pipeline.quality.guard import publish_checked
from availability_pipeline.settings import Settings
from availability_pipeline.symbols import counted
from availability_pipeline.warehouse.contents import files_not_inspected, write_contents
from availability_pipeline.warehouse.database import columns_of_table
from availability_pipeline.warehouse.volume import write_volume
from availability_pipeline.warehouse.writes import SymbolsReport, WriteReport

# Chosen knowingly: one run for a range is what makes a whole history feasible.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)


class SelectedSymbols(dg.Config):
    """What a run is restricted to besides its days."""

    symbols: list[str] = Field(default=[], description="The contracts to collect; all tracked ones if empty")


FROM_ARCHIVE: dict[str, Any] = {"kinds": {"s3", "duckdb"}, "tags": {"source": "binance"}}
"""What the assets that ask the archive have in common."""


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
    published = _published_database(dataset, derived)
    return [symbols, *collected, *derived, published, _report(dataset, published)]


_DOCS = {
    "symbol_lifecycle": "docs/reference/statuses.md",
    "published_database": "docs/guides/queries.md",
    "report": "docs/guides/report.md",
}
"""Where to read more of an asset, in the checkout."""


AssetDecorator = Callable[[Callable[..., object]], dg.AssetsDefinition]


def _asset(
    dataset: Dataset, name: str, metadata: dict[str, Any] | None = None, **options: Any
) -> AssetDecorator:
    """`dagster.asset` with what every asset of a dataset has."""
    described: dict[str, Any] = {"docs": dg.MetadataValue.path(_DOCS.get(name, "docs/reference/tables.md"))}
    if name not in ("published_database", "report"):
        described["dagster/relation_identifier"] = f"availability.main.{name}"
    if options.get("kinds", set()) >= {"s3"}:
        described["dagster/uri"] = f"s3://{Settings.s3_bucket}/{dataset.root}"
    decorator: AssetDecorator = dg.asset(
        key=asset_key(dataset, name),
        group_name=dataset.market.name,
        owners=["team:market-data"],
        pool=writers_pool(dataset),
        required_resource_keys=resource_keys(dataset),
        metadata={**described, **(metadata or {})},
        **options,
    )
    return decorator


def _symbols(dataset: Dataset) -> dg.AssetsDefinition:
    @_asset(dataset, "symbols", **FROM_ARCHIVE)
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
                report = collect.write_discovery(connection, discovery, loaded)
                columns = columns_of_table(connection, "symbols")
        if removed:
            progress.stage(removed)
            context.log.warning(removed)
        if discovery.exchange_problem:
            context.log.warning("Went on without exchangeInfo: %s", discovery.exchange_problem)
        if discovery.folders.unknown:
            context.log.warning(
                "Left out folders that are no contract's: %s", ", ".join(discovery.folders.unknown)
            )
        schema = {"dagster/column_schema": _column_schema(columns)}
        return dg.MaterializeResult(metadata={**_discovery_metadata(discovery, report), **schema})

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


def _column_schema(columns: Sequence[Column]) -> dg.TableSchema:
    return dg.TableSchema(
        [
            dg.TableColumn(
                column.name,
                column.sql_type,
                column.meaning,
                dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in columns
        ]
    )


def _daily_availability(dataset: Dataset, symbols: dg.AssetsDefinition) -> dg.AssetsDefinition:
    @_asset(
        dataset,
        "daily_availability",
        **_by_day(dataset),
        deps=[symbols],
        metadata={"dagster/column_schema": _column_schema(DAILY_AVAILABILITY)},
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
    @_asset(
        dataset,
        "daily_volume",
        **_by_day(dataset),
        deps=[availability],
        metadata={"dagster/column_schema": _column_schema(DAILY_VOLUME)},
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
    @_asset(
        dataset,
        "file_contents",
        **_by_day(dataset),
        deps=[availability],
        metadata={"dagster/column_schema": _column_schema(FILE_CONTENTS)},
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
    @_asset(dataset, "symbol_lifecycle", kinds={"duckdb"}, deps=collected)
    def symbol_lifecycle(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """When each contract was listed, traded, went flat and ended, and the status of each of its days.

        The tables `symbol_lifecycle` and `status_spans` are made anew from all rows, whatever the days of the run.
        """
        settings, working_database, progress = resources_of(context, dataset)
        progress.stage("deriving status and lifecycle")
        with failures_reported(context, progress), working_database.get_connection() as connection:
            report = derive(connection, Rules.of(settings.load(dataset)))
            columns = columns_of_table(connection, "symbol_lifecycle")
        schema = {"dagster/column_schema": _column_schema(columns)}
        return dg.MaterializeResult(metadata={**_lifecycle_metadata(report), **schema})

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


def _published_database(dataset: Dataset, derived: Sequence[dg.AssetsDefinition]) -> dg.AssetsDefinition:
    @_asset(
        dataset,
        "published_database",
        kinds={"duckdb"},
        deps=derived,
        metadata={
            "dagster/relation_identifier": "availability.main.daily_availability",
            "dagster/column_schema": _column_schema(DAILY_AVAILABILITY),
            "dagster/column_lineage": _same_columns(dataset),
        },
        freshness_policy=PUBLISHED_EVERY_NIGHT if dataset.goes_on else None,
    )
    def published_database(
        context: dg.AssetExecutionContext, config: Publication
    ) -> dg.MaterializeResult[None]:
        """The database that readers open: an audited copy of the working database, swapped in by a rename.

        The blocking checks of `daily_availability` come first in the same run; a run that publishes alone makes up for
        those that are not about the days of a run.
        """
        settings, working_database, progress = resources_of(context, dataset)
        progress.stage("publishing")
        with failures_reported(context, progress):
            loaded = settings.load(dataset)
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
            if loaded.publish_url:
                working_database.release()
            uploaded = mirror(loaded, progress)
        return dg.MaterializeResult(
            metadata={**_publication_metadata(report), **(uploaded.metadata() if uploaded else {})}
        )

    return published_database


def _same_columns(dataset: Dataset) -> dg.TableColumnLineage:
    """What is published of `daily_availability` are its columns."""
    source = asset_key(dataset, "daily_availability")
    return dg.TableColumnLineage(
        {column.name: [dg.TableColumnDep(source, column.name)] for column in DAILY_AVAILABILITY}
    )


def _publication_metadata(report: PublishReport) -> dict[str, int | float | str | dg.MetadataValue]:
    return {
        "dagster/row_count": report.rows,
        "available": report.files,
        "symbols": report.symbols,
        "bytes": report.bytes,
        "seconds": round(report.seconds, 3),
        "path": dg.MetadataValue.path(report.path),
        "generation": report.generation,
        "written": report.how,
    }


def _report(dataset: Dataset, published: dg.AssetsDefinition) -> dg.AssetsDefinition:
    @_asset(dataset, "report", kinds={"html"}, deps=[published])
    def report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        """The page about what is published: completeness, lives of contracts, the universe, changes.

        One HTML file in the folder of the generation, and beside it in object storage. A page that cannot be made is a
        warning, and the publication stays.
        """
        settings, _, progress = resources_of(context, dataset)
        progress.stage("drawing the report")
        try:
            made = make_report(settings.load(dataset))
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody waits for a picture
            context.log.warning("The report could not be made: %s", error)
            return dg.MaterializeResult(metadata={"problem": str(error)})
        return dg.MaterializeResult(metadata=_report_metadata(made))

    return report


def _report_metadata(made: ReportMade) -> dict[str, int | float | str | dg.MetadataValue]:
    picture = base64.b64encode(made.calendar).decode()
    link = made.uploaded_to or made.path.as_uri()
    return {
        "calendar": dg.MetadataValue.md(f"![Completeness of every day](data:image/png;base64,{picture})"),
        "page": dg.MetadataValue.url(link),
        "path": dg.MetadataValue.path(made.path),
        "bytes": made.size,
        "completeness": made.overview.completeness,
        "seconds": round(made.seconds, 3),
    }
