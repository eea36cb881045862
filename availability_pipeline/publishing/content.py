"""What a published database holds, and the version of that form; `tables.sql` and `views.sql` spell it out.

Rows are copied from the working database and counted, never judged: that is `audit`'s business.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from importlib.resources import files

import duckdb

from availability_pipeline.archive.keys import url_sql
from availability_pipeline.days import utc_now
from availability_pipeline.errors import PublicationError
from availability_pipeline.publishing.manifest import SCHEMA_VERSION
from availability_pipeline.store.connection import read_info
from availability_pipeline.version import __version__

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
    views = _sql("views.sql").replace("$url", url_sql(_literal(archive_url)))
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
