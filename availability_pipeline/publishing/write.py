"""Publishing: write a new generation with its Parquet files, audit it, release it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import duckdb

from availability_pipeline import __version__
from availability_pipeline.catalogue.columns import select_sql
from availability_pipeline.dates import utc_now
from availability_pipeline.errors import PublicationError, cause_of
from availability_pipeline.lifecycle.derive import derive_if_stale
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.publishing import parquet
from availability_pipeline.publishing.audit import audit, content_of, differences
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
from availability_pipeline.publishing.release import Generation, generation_read, install, remove_leftovers
from availability_pipeline.publishing.rows import (
    CONTENT,
    DayPrints,
    RebuildNeeded,
    Rows,
    fingerprint_of,
    prints_of,
    take_over_rows,
    write_rows,
)
from availability_pipeline.warehouse.atomic import draft_of, sync
from availability_pipeline.warehouse.database import dataset_of, read_info

_PUBLICATION = """
INSERT INTO published.publication
SELECT
    ?, min(date), max(date), max(date) FILTER (file_count > 0), sum(row_count), sum(file_count),
    (SELECT count(*) FROM published.published_symbols), ?, ?, ?, ?, ?, ?, ?, ?
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


@dataclass(frozen=True)
class Written:
    """What a new published database says of itself, and how it was written."""

    totals: Totals
    rows: Rows
    rebuilt: str | None = None
    """Why all rows were written; None if only the tail was."""
    remark: str | None = None
    """The same where something is wrong with the generation before."""


def _write_database(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    run_id: str,
    days: Mapping[str, DayPrints],
    before: Generation | None,
    *,
    full: bool,
) -> Written:
    """Write a database that passes its audit: a copy of the one before with another tail, or, where not, all anew."""
    try:
        if full:
            raise RebuildNeeded("that was asked for")
        return _audited(
            connection, path, run_id, days, lambda: take_over_rows(connection, before, path, days)
        )
    except RebuildNeeded as need:
        reason, remark = str(need), None
    except (PublicationError, duckdb.Error, OSError) as error:
        reason = str(error) if isinstance(error, PublicationError) else cause_of(error).reason
        remark = f"the generation before could not be continued, so all rows were written anew: {reason}"
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    written = _audited(connection, path, run_id, days, lambda: write_rows(connection, path))
    return dataclasses.replace(written, rebuilt=reason, remark=remark)


def _audited(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    run_id: str,
    days: Mapping[str, DayPrints],
    attach: Callable[[], Rows],
) -> Written:
    try:
        rows = attach()
        totals = _fill(connection, rows, run_id)
        connection.execute("CHECKPOINT published")  # detaching does so as well, and does not say why it fails
    finally:
        with suppress(duckdb.Error):  # or it would hide what has failed before
            connection.execute("DETACH published")
    audit(connection, path, rows, days)
    return Written(totals, rows)


def _fill(connection: duckdb.DuckDBPyConnection, rows: Rows, run_id: str) -> Totals:
    """Write all but the rows into the attached file."""
    archive_url, dataset = read_info(connection, "archive_url") or "", dataset_of(connection).name
    connection.execute(_sql("tables.sql"))
    connection.execute(
        _PUBLICATION,
        [
            SCHEMA_VERSION,
            run_id,
            utc_now(),
            archive_url,
            __version__,
            dataset,
            rows.rebuilt_at,
            None if rows.tail.since == dt.date.max else rows.tail.since,
            list(rows.tail.symbols),
        ],
    )
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
    written: int
    """Rows that were written; the others are those of the generation before."""
    rebuilt: str | None
    """Why all rows were written; None if they were not."""
    remark: str | None
    """What is wrong with the generation before, if that is why."""

    @property
    def how(self) -> str:
        """How many rows were written, and why if these are all."""
        return f"{self.written:,} rows written" + (f", because {self.rebuilt}" if self.rebuilt else "")


def publish(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    run_id: str,
    rules: Rules | None = None,
    *,
    full: bool = False,
) -> PublishReport:
    """Let readers have an audited copy of the working database, with derived tables that fit its rows.

    Args:
        connection: The working database, with no transaction open.
        path: Where readers look for the published database (`Settings.db_path`).
        run_id: The run that publishes.
        rules: What the derived tables are made by, the defaults if None.
        full: Write all rows anew, whatever has changed.

    Raises:
        PublicationError: Nothing was published, and what readers have is as it was.
    """
    started = time.perf_counter()
    place = Place.of(path)
    try:
        check_target(place.database, _file_of(connection))
        derive_if_stale(connection, rules or Rules(dataset=dataset_of(connection)))
        remove_leftovers(place.database)
        place.generations.mkdir(parents=True, exist_ok=True)
        with draft_of(place.draft) as draft:
            draft.mkdir()
            made, written = _write_generation(connection, place, draft, run_id, full=full)
            manifest = install(place, draft, made)
    except (duckdb.Error, OSError) as error:
        cause = cause_of(error)
        raise PublicationError(
            f"the published database {place.database} could not be made ({cause.reason}); {cause.remedy}; readers keep "
            "the one from before"
        ) from error
    return _report(place, manifest, time.perf_counter() - started, written)


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


def _report(
    place: Place, manifest: Manifest, seconds: float, written: Written | None = None
) -> PublishReport:
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
        written=written.rows.written if written else 0,
        rebuilt=written.rebuilt if written else None,
        remark=written.remark if written else None,
    )


def _write_generation(
    connection: duckdb.DuckDBPyConnection, place: Place, folder: Path, run_id: str, *, full: bool
) -> tuple[Manifest, Written]:
    """Write the files of a generation, read them back, and see that they are on disk; it has no id yet."""
    days = prints_of(connection)
    if read_info(connection, "archive_url") is None or not days["availability"]:
        raise PublicationError(
            "there is nothing to publish, the working database has no rows yet; run `backfill`"
        )
    before = generation_read(place)
    written = _write_database(connection, folder / DATABASE, run_id, days, before, full=full)
    totals = written.totals
    content = content_of(connection, days)
    (folder / CONTENT).write_text(content, encoding="utf-8")
    files = parquet.export(connection, folder, None if full else before, days, written.rows.held)
    for path in (*folder.rglob("*"), folder):
        sync(path)
    manifest = Manifest(
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
        files=(describe(folder, folder / DATABASE, totals.rows, fingerprint_of(content)), *files),
    )
    return manifest, written


def _file_of(connection: duckdb.DuckDBPyConnection) -> Path | None:
    query = "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"
    row = connection.execute(query).fetchone()
    return Path(row[0]) if row and row[0] else None
