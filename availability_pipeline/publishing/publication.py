"""Publishing: write a new generation, audit it, let readers have it.

Until the swap, readers have the old generation, whatever happens here; after it, they have the new one, complete and
on disk. What the files hold is the business of `content` and `parquet`, which generation is read that of `generations`.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from availability_pipeline.analysis import Rules, derive_if_stale
from availability_pipeline.causes import cause_of
from availability_pipeline.drafts import draft_of, sync
from availability_pipeline.errors import PublicationError
from availability_pipeline.publishing import content, parquet
from availability_pipeline.publishing.audit import audit, differences
from availability_pipeline.publishing.generations import generation_read, install, remove_leftovers
from availability_pipeline.publishing.manifest import SCHEMA_VERSION, Manifest, describe, moment
from availability_pipeline.publishing.place import DATABASE, Place, id_read
from availability_pipeline.publishing.target import check_target


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
        derive_if_stale(connection, rules or Rules())
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


def _write_database(connection: duckdb.DuckDBPyConnection, path: Path, run_id: str) -> content.Totals:
    content.attach_new(connection, str(path))
    try:
        totals = content.write_content(connection, run_id)
        connection.execute("CHECKPOINT published")  # detaching does so as well, and does not say why it fails
    finally:
        with suppress(duckdb.Error):  # or it would hide what has failed before
            connection.execute("DETACH published")
    return totals


def _file_of(connection: duckdb.DuckDBPyConnection) -> Path | None:
    query = "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"
    row = connection.execute(query).fetchone()
    return Path(row[0]) if row and row[0] else None
