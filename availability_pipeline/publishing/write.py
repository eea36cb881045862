"""Publishing: write a new generation with its Parquet files, audit it, release it."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import duckdb

from availability_pipeline import __version__
from availability_pipeline.catalogue import select_sql
from availability_pipeline.dates import utc_now
from availability_pipeline.errors import PublicationError, cause_of
from availability_pipeline.lifecycle.derive import derive_if_stale
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.publishing import parquet
from availability_pipeline.publishing.audit import audit, differences
from availability_pipeline.publishing.manifest import (
    DATABASE,
    SCHEMA_VERSION,
    Manifest,
    Place,
    describe,
    id_read,
    moment,
)
from availability_pipeline.publishing.opening import check_target
from availability_pipeline.publishing.release import generation_read, install, remove_leftovers
from availability_pipeline.warehouse.atomic import draft_of, sync
from availability_pipeline.warehouse.database import dataset_of, read_info

STORAGE_VERSION = "v1.4.0"
"""DuckDB's file format; clients from this version on can read it."""

ROW_GROUP_SIZE = 20_480
"""Rows that are skipped or read together. Smaller than DuckDB's own, which costs 2 MB and saves a timeline 0.2 ms."""

_PUBLICATION = """
INSERT INTO published.publication
SELECT
    ?, min(date), max(date), max(date) FILTER (file_count > 0), sum(row_count), sum(file_count),
    (SELECT count(*) FROM published.published_symbols), ?, ?, ?, ?
FROM published.published_days
"""

_TOTALS = """
SELECT row_count, file_count, symbol_count, first_day, data_through, last_file_day, published_at
FROM published.publication
"""


@dataclass(frozen=True)
class Totals:
    """The numbers of a published database, as its own `publication` has them."""

    rows: int
    files: int
    symbols: int
    first_day: dt.date
    data_through: dt.date
    last_file_day: dt.date | None
    published_at: dt.datetime
    """UTC."""


def attach_new(connection: duckdb.DuckDBPyConnection, path: str) -> None:
    """Make the file and attach it, empty, as `published`."""
    options = f"STORAGE_VERSION '{STORAGE_VERSION}', ROW_GROUP_SIZE {ROW_GROUP_SIZE}"
    connection.execute(f"ATTACH ? AS published ({options})", [path])


def write_content(connection: duckdb.DuckDBPyConnection, run_id: str) -> Totals:
    """Fill the attached file from the working database.

    Args:
        connection: The working database, with the new file attached.
        run_id: The run that publishes.

    Raises:
        PublicationError: The working database has no rows yet.
    """
    archive_url = read_info(connection, "archive_url")
    if archive_url is None or not connection.execute("SELECT 1 FROM daily_availability LIMIT 1").fetchall():
        raise PublicationError(
            "there is nothing to publish, the working database has no rows yet; run `backfill`"
        )
    connection.execute(_sql("tables.sql"))
    connection.execute(_PUBLICATION, [SCHEMA_VERSION, run_id, utc_now(), archive_url, __version__])
    _create_views(connection, archive_url)
    [row] = connection.execute(_TOTALS).fetchall()
    return Totals(*row)


def _create_views(connection: duckdb.DuckDBPyConnection, archive_url: str) -> None:
    """Made inside the new file, so that they work under any name that a client attaches it by."""
    url = dataset_of(connection).url_sql(_literal(archive_url))
    views = _sql("views.sql").replace("$columns", select_sql(url))
    row = connection.execute("SELECT current_database()").fetchone()
    connection.execute("USE published")
    try:
        connection.execute(views)
    finally:
        connection.execute(f"USE {_identifier(row[0] if row else 'memory')}")


def _sql(name: str) -> str:
    return files("availability_pipeline.publishing").joinpath(name).read_text("utf-8")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class PublishReport:
    """What was published."""

    path: Path
    """The database that readers open."""
    rows: int
    files: int
    """Rows that have a file."""
    symbols: int
    bytes: int
    """Size of the database."""
    seconds: float
    generation: str
    """The id of the new generation."""
    folder: Path
    """Where its files are."""
    manifest: Path
    """What readers of Parquet follow."""


def publish(
    connection: duckdb.DuckDBPyConnection, path: Path, run_id: str, rules: Rules | None = None
) -> PublishReport:
    """Let readers have an audited copy of the working database, with derived tables that fit its rows.

    Args:
        connection: The working database, with no transaction open.
        path: Where readers look for the published database (`Settings.db_path`).
        run_id: The run that publishes.
        rules: What the derived tables are made by, the defaults if None.

    Raises:
        PublicationError: Nothing was published, and what readers have is as it was.
    """
    started = time.perf_counter()
    place = Place.of(path)
    try:
        check_target(place.database, _file_of(connection))
        derive_if_stale(connection, rules or Rules(sizes=dataset_of(connection).sizes))
        remove_leftovers(place.database)
        place.generations.mkdir(parents=True, exist_ok=True)
        with draft_of(place.draft) as draft:
            draft.mkdir()
            manifest = install(place, draft, _write_generation(connection, place, draft, run_id))
    except (duckdb.Error, OSError) as error:
        cause = cause_of(error)
        raise PublicationError(
            f"the published database {place.database} could not be made ({cause.reason}); {cause.remedy}; readers keep "
            "the one from before"
        ) from error
    return _report(place, manifest, time.perf_counter() - started)


def published_by(
    connection: duckdb.DuckDBPyConnection, path: Path, run_ids: Collection[str | None]
) -> PublishReport | None:
    """What one of these runs has published already, if it is what is read and the working database is still the same.

    Args:
        connection: The working database.
        path: Where readers look for the published database.
        run_ids: The runs.
    """
    started = time.perf_counter()
    place = Place.of(path)
    try:
        generation = generation_read(place)
        if generation is None or generation.manifest.run_id not in run_ids:
            return None
        if id_read(place) != generation.manifest.generation or differences(connection, place.database):
            return None
    except (PublicationError, duckdb.Error, OSError):  # so it is published anew, or that says what is wrong
        return None
    return _report(place, generation.manifest, time.perf_counter() - started)


def _report(place: Place, manifest: Manifest, seconds: float) -> PublishReport:
    return PublishReport(
        path=place.database,
        rows=manifest.rows,
        files=manifest.available,
        symbols=manifest.symbols,
        bytes=manifest.file(DATABASE).bytes,
        seconds=seconds,
        generation=manifest.generation,
        folder=place.generations / manifest.generation,
        manifest=place.manifest,
    )


def _write_generation(
    connection: duckdb.DuckDBPyConnection, place: Place, folder: Path, run_id: str
) -> Manifest:
    """Write the files of a generation, read them back, and see that they are on disk; it has no id yet."""
    totals = _write_database(connection, folder / DATABASE, run_id)
    audit(connection, folder / DATABASE)
    files = parquet.export(connection, folder, generation_read(place))
    for path in (*folder.rglob("*"), folder):
        sync(path)
    return Manifest(
        schema_version=SCHEMA_VERSION,
        generation="",
        run_id=run_id,
        published_at=moment(totals.published_at),
        first_day=str(totals.first_day),
        data_through=str(totals.data_through),
        last_file_day=str(totals.last_file_day) if totals.last_file_day else None,
        rows=totals.rows,
        available=totals.files,
        symbols=totals.symbols,
        files=(describe(folder, folder / DATABASE, totals.rows), *files),
    )


def _write_database(connection: duckdb.DuckDBPyConnection, path: Path, run_id: str) -> Totals:
    attach_new(connection, str(path))
    try:
        totals = write_content(connection, run_id)
        connection.execute("CHECKPOINT published")  # detaching does so as well, and does not say why it fails
    finally:
        with suppress(duckdb.Error):  # or it would hide what has failed before
            connection.execute("DETACH published")
    return totals


def _file_of(connection: duckdb.DuckDBPyConnection) -> Path | None:
    query = "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"
    row = connection.execute(query).fetchone()
    return Path(row[0]) if row and row[0] else None
