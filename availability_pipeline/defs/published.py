"""The assets that readers have: the published database and the report."""

import base64
import datetime as dt
from collections.abc import Sequence

import dagster as dg
from pydantic import Field

from availability_pipeline.catalogue.columns import DAILY_AVAILABILITY
from availability_pipeline.catalogue.datasets import Dataset
from availability_pipeline.collecting.report import ReportMade, make_report
from availability_pipeline.defs.asset import asset, column_schema
from availability_pipeline.defs.failures import failures_reported
from availability_pipeline.defs.names import asset_key
from availability_pipeline.defs.resources import resources_of
from availability_pipeline.publishing.remote.replicate import mirror
from availability_pipeline.publishing.write import PublishReport
from availability_pipeline.quality.guard import publish_checked

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


def published_database(dataset: Dataset, derived: Sequence[dg.AssetsDefinition]) -> dg.AssetsDefinition:
    """The asset of a dataset that publishes what is derived.

    Args:
        dataset: An entry of the catalogue.
        derived: The assets that it follows from.
    """

    @asset(
        dataset,
        "published_database",
        kinds={"duckdb"},
        deps=derived,
        metadata={
            "dagster/relation_identifier": "availability.main.daily_availability",
            "dagster/column_schema": column_schema(DAILY_AVAILABILITY),
            "dagster/column_lineage": _same_columns(dataset),
        },
        freshness_policy=PUBLISHED_EVERY_NIGHT if dataset.goes_on else None,
    )
    def publish(context: dg.AssetExecutionContext, config: Publication) -> dg.MaterializeResult[None]:
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

    return publish


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


def report(dataset: Dataset, published: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """The asset of a dataset that draws what is published.

    Args:
        dataset: An entry of the catalogue.
        published: Its published database.
    """

    @asset(dataset, "report", kinds={"html"}, deps=[published])
    def draw(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
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

    return draw


def _report_metadata(made: ReportMade) -> dict[str, int | float | str | dg.MetadataValue]:
    picture = base64.b64encode(made.calendar.encode()).decode()
    link = made.uploaded_to or made.path.as_uri()
    return {
        "calendar": dg.MetadataValue.md(f"![Completeness of every day](data:image/svg+xml;base64,{picture})"),
        "page": dg.MetadataValue.url(link),
        "path": dg.MetadataValue.path(made.path),
        "bytes": made.size,
        "completeness": made.overview.completeness,
        "seconds": round(made.seconds, 3),
    }
