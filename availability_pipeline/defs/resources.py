"""Resources of assets: settings and the working database, as plain objects of the package."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import Field, PrivateAttr

from availability_pipeline.archive.batch import Progress
from availability_pipeline.catalogue.datasets import DATASETS, DEFAULT_DATASET, Dataset
from availability_pipeline.defs.names import writers_pool
from availability_pipeline.defs.runs import alone
from availability_pipeline.errors import UsageError
from availability_pipeline.settings import VARIABLES, Settings
from availability_pipeline.settings.values import database_path
from availability_pipeline.warehouse.database import connect


class PipelineSettings(dg.ConfigurableResource[None]):
    """The settings; unset fields come from the environment (`settings.VARIABLES`)."""

    data_dir: str | None = Field(default=None, description="Where everything is kept")
    db_path: str | None = Field(default=None, description="The published database")
    s3_endpoint: str | None = Field(default=None, description="Where the bucket is listed")
    s3_bucket: str | None = Field(default=None, description="The bucket's name")
    archive_url: str | None = Field(default=None, description="Where files are served")
    fapi_url: str | None = Field(default=None, description="Where exchangeInfo is served")
    connections: str | None = Field(default=None, description="Requests under way at once")

    def load(self, dataset: Dataset = DEFAULT_DATASET) -> Settings:
        """Load and check them, for a dataset.

        Raises:
            UsageError: A value is invalid, the published database is a URL, or a demo's data directory would get real
                data.
        """
        # Only the sensor sends alerts: an invalid URL must not fail a run.
        alert_urls, _ = VARIABLES["alert_urls"]
        environ = {name: value for name, value in os.environ.items() if name != alert_urls}
        settings = Settings.load(environ, **self.model_dump())
        _ = settings.db_file
        if settings.is_demo and not urlsplit(settings.s3_endpoint).netloc.startswith("127.0.0.1:"):
            raise UsageError(
                f"{settings.data_dir} holds the demo's simulated data; set AVAILABILITY_DATA_DIR to another folder"
            )
        return settings.of_dataset(dataset)


class WorkingDatabase(DuckDBResource):
    """The working database of a dataset as dagster-duckdb's resource, with connections of `warehouse.database`.

    dagster-duckdb waits silently for locks, leaks the connection of a body that raises, and has no read-only mode.
    In a run, a connection goes from step to step, with the temporary tables on it, until `release` or an error.
    """

    database: str = Field(default="", description="Path of the file; from the settings if empty")
    dataset: str = Field(
        default=DEFAULT_DATASET.name, description="The dataset, by its name in the catalogue"
    )
    settings: dg.ResourceDependency[PipelineSettings]
    _is_kept: bool = PrivateAttr(default=False)
    _kept: tuple[duckdb.DuckDBPyConnection, ExitStack] | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["WorkingDatabase"]:
        """Hold the lock of the data directory from before the first step until after the last."""
        if not (context.instance and context.run):
            yield self
            return
        try:
            settings = self.settings.load(DATASETS[self.dataset])
        except UsageError:  # reported by the first step
            yield self
            return
        tell = (context.log or dg.get_dagster_logger()).warning
        with alone(context.instance, settings, context.run.run_id, tell):
            self._is_kept = True
            try:
                yield self
            finally:
                self._is_kept = False
                self.release()

    @contextmanager
    def get_connection(self, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """An open connection, with no transaction; raises StoreError."""
        if read_only:
            with connect(self._path(), read_only=True) as connection:
                yield connection
            return
        with ExitStack() as opened:
            connection = self._taken(opened) or opened.enter_context(connect(self._path()))
            yield connection
            if self._is_kept and self._kept is None:
                self._kept = connection, opened.pop_all()

    def _taken(self, stack: ExitStack) -> duckdb.DuckDBPyConnection | None:
        """The connection that is kept, which the stack closes now."""
        if self._kept is None:
            return None
        (connection, closing), self._kept = self._kept, None
        stack.enter_context(closing)
        return connection

    def _path(self) -> Path:
        if self.database:
            return database_path("database", self.database)
        return self.settings.load(DATASETS[self.dataset]).working_path

    def release(self) -> None:
        """Let other processes open the database: before requests are sent, which may take long."""
        with ExitStack() as closing:
            self._taken(closing)


class StepResources(NamedTuple):
    """What a step is given."""

    settings: PipelineSettings
    working_database: WorkingDatabase
    progress: Progress


def resource_keys(dataset: Dataset) -> set[str]:
    """The keys of these resources. Each dataset has a working database, so not every function can name it."""
    return {"settings", writers_pool(dataset), "progress"}


def resources_of(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, dataset: Dataset
) -> StepResources:
    """The resources of a step that requires `resource_keys`."""
    given = context.resources
    return StepResources(given.settings, getattr(given, writers_pool(dataset)), given.progress)
