"""Whether a new published database can be trusted: it is opened as a reader would, and compared with the working one.

Nothing is repaired here. A file that fails is thrown away by `write`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb

from availability_pipeline.errors import PublicationError
from availability_pipeline.lifecycle.derive import DERIVED_TABLES, is_derived
from availability_pipeline.publishing.manifest import SCHEMA_VERSION
from availability_pipeline.publishing.opening import reading_back
from availability_pipeline.publishing.rows import DayPrint, day_prints, row_count_of
from availability_pipeline.publishing.volume import table_problems
from availability_pipeline.warehouse.database import CONTRADICTORY

_COLUMNS = "SELECT column_name, column_type FROM (DESCRIBE FROM query_table(?))"

# A sum of hashes for each column, to name those that differ.
_FINGERPRINT = "SELECT sum(hash(date, symbol, COLUMNS(*))) FROM query_table(?)"

# What views add to the rows is the same expression for all days: one day proves it for every contract.
_URLS = """
SELECT count(*), sum(hash(symbol, url)) FROM query_table($view)
WHERE date = (SELECT max(date) FROM query_table($view))
"""

_VIEWS = {"daily_availability": "availability_by_date", "symbol_timeline": "availability_by_symbol"}
"""By view, the table whose rows it shows."""

_COPIED_TABLES = ("symbols", "contract_history", "availability_changes", "collection_runs")

_COPY = "SELECT count(*), sum(hash(copied)) FROM query_table(?) AS copied"

# What each summary says and the rows do not, or the other way round.
_SUMMARIES = {
    "published_days": """
        WITH counted AS (
            SELECT
                date, count(*) AS row_count, count(*) FILTER (available) AS file_count,
                coalesce(sum(file_size_bytes), 0)::BIGINT AS bytes,
                count(*) FILTER (available AND status = 'published'), count(*) FILTER (available AND status = 'flat'),
                count(*) FILTER (NOT available AND status = 'pending'),
                count(*) FILTER (NOT available AND status = 'missing'),
                count(*) FILTER (NOT available AND status = 'not_listed'),
                count(*) FILTER (NOT available AND status = 'ended')
            FROM availability_by_date AS held LEFT JOIN status_spans AS spans
                ON spans.symbol = held.symbol AND held.date BETWEEN spans.first_day AND spans.last_day
            WHERE date >= $since
            GROUP BY date
        ),
        said AS (FROM published_days WHERE date >= $since)
        SELECT count(*) FROM ((FROM said EXCEPT FROM counted) UNION ALL (FROM counted EXCEPT FROM said))
    """,
    "published_symbols": """
        WITH counted AS (
            SELECT
                symbol, min(date) FILTER (available), max(date) FILTER (available), count(*) FILTER (available)
            FROM symbol_timeline GROUP BY symbol
        )
        SELECT count(*)
        FROM ((FROM published_symbols EXCEPT FROM counted) UNION ALL (FROM counted EXCEPT FROM published_symbols))
    """,
    "publication": """
        WITH counted AS (
            SELECT
                min(date) AS first_day, max(date) AS data_through, sum(row_count) AS row_count,
                sum(file_count) AS file_count, (SELECT count(*) FROM published_symbols) AS symbol_count
            FROM published_days
        )
        SELECT count(*) FROM counted ANTI JOIN publication
        USING (first_day, data_through, row_count, file_count, symbol_count)
    """,
}

# Rows that are not strictly after the row before them, or not before the tail: none proves the physical order, and that
# no row is there twice. By symbol, the rows of the tail come after all others.
_MISPLACED = {
    "availability_by_date": """
        SELECT count(*) FROM (
            SELECT date, symbol, lag(date) OVER () AS date_before, lag(symbol) OVER () AS symbol_before
            FROM availability_by_date WHERE date >= $since
        ) WHERE NOT (date > date_before OR (date = date_before AND symbol > symbol_before))
    """,
    "availability_by_symbol": """
        WITH placed AS (
            SELECT date, symbol, coalesce(date >= (SELECT tail_from FROM publication), false) AS late
            FROM availability_by_symbol WHERE date >= $since
        )
        SELECT count(*) FROM (
            SELECT
                late, symbol, date, lag(late) OVER () AS late_before, lag(symbol) OVER () AS symbol_before,
                lag(date) OVER () AS date_before
            FROM placed
        ) WHERE NOT (
            late > late_before
            OR (late = late_before AND (symbol > symbol_before OR (symbol = symbol_before AND date > date_before)))
        )
    """,
}
_BEHIND = """
SELECT count(*) FROM $table
WHERE date < $since AND rowid > (SELECT min(rowid) FROM $table WHERE date >= $since)
"""

_CONTRADICTORY = "SELECT count(*) FROM daily_availability WHERE date >= $since AND $contradictory".replace(
    "$contradictory", CONTRADICTORY
)


def audit(
    working: duckdb.DuckDBPyConnection, path: Path, since: dt.date, days: Mapping[dt.date, DayPrint]
) -> None:
    """Compare a published file with the working database.

    Args:
        working: The working database.
        path: The new file, attached nowhere.
        since: The first day of which rows were written. The rows of all days are compared; order, summary and
            consistency of earlier days were proven of the file that they come from.
        days: The days of the working database, which nothing has changed since they were taken.

    Raises:
        PublicationError: They differ, or a row contradicts itself; the message says what was found.
    """
    problems = differences(working, path, since, days)
    if problems:
        raise PublicationError(
            f"the new published database failed its audit: {'; '.join(problems)}; readers keep the one from before; "
            "check the disk, then run `publish`"
        )


def differences(
    working: duckdb.DuckDBPyConnection,
    path: Path,
    since: dt.date = dt.date.min,
    days: Mapping[dt.date, DayPrint] | None = None,
) -> list[str]:
    """How a published file differs from the working database, or contradicts itself; empty if it does not.

    Args:
        working: The working database.
        path: The file.
        since: As `audit`.
        days: As `audit`; taken now if None.

    Raises:
        duckdb.Error: The file cannot be read.
    """
    expected = day_prints(working, "availability") if days is None else days
    with _attached(path) as published:
        [(version,)] = published.execute("SELECT schema_version FROM publication").fetchall()
        if version != SCHEMA_VERSION:
            return [f"it has schema version {version} instead of {SCHEMA_VERSION}"]
        # All of them, and so every block of the file is read once.
        return [
            *_differences(working, published, expected),
            *_contradictions(published, since),
            *table_problems(working, published),
        ]


def differences_in_content(working: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    """How the rows and copied tables of a file that has passed its audit, and is the same since, differ from those now.

    Raises:
        duckdb.Error: The file cannot be read.
    """
    with _attached(path) as published:
        found = list(_differing_tables(working, published))
        if day_prints(working, "availability") != day_prints(published, "availability_by_date"):
            found.append("daily_availability differs from the working table")
        return [*found, *table_problems(working, published)]


@contextmanager
def _attached(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with reading_back(path) as published:
        # Attached: duckdb.connect() would hand out what this process has open under the path.
        published.execute("ATTACH ? AS published (READ_ONLY)", [str(path)])
        published.execute("USE published")
        yield published


def _differences(
    working: duckdb.DuckDBPyConnection,
    published: duckdb.DuckDBPyConnection,
    expected: Mapping[dt.date, DayPrint],
) -> Iterator[str]:
    columns = _columns(working, "availability")
    shown = [working.execute(query, values).fetchall() for query, values in _of_view("daily_availability")]
    for view, table in _VIEWS.items():
        found = day_prints(published, table)
        if _columns(published, table) != columns:
            yield f"{view} has other columns than the working table"
        elif row_count_of(found) != row_count_of(expected):
            yield f"{view} has {row_count_of(found)} rows instead of {row_count_of(expected)}"
        elif found != expected:
            yield f"{view} differs from the working table in {_differing_columns(working, published, table)}"
        elif [published.execute(query, values).fetchall() for query, values in _of_view(view)] != shown:
            yield f"{view} has other columns or urls than the working database"
    yield from _differing_tables(working, published)


def _differing_tables(
    working: duckdb.DuckDBPyConnection, published: duckdb.DuckDBPyConnection
) -> Iterator[str]:
    derived = DERIVED_TABLES if is_derived(working) else ()
    if not derived:
        yield f"the working database has no {' and '.join(DERIVED_TABLES)} yet"
    for table in (*_COPIED_TABLES, *derived):
        if published.execute(_COPY, [table]).fetchall() != working.execute(_COPY, [table]).fetchall():
            yield f"{table} differs from the working database"


def _of_view(view: str) -> Iterator[tuple[str, list[str] | dict[str, str]]]:
    """The questions whose answers must be those of the working database."""
    yield _COLUMNS, [view]
    yield _URLS, {"view": view}


def _contradictions(published: duckdb.DuckDBPyConnection, since: dt.date) -> Iterator[str]:
    for table, query in _MISPLACED.items():
        behind = _count(published, _BEHIND.replace("$table", table), since)
        if rows := _count(published, query, since) + behind:
            yield f"{rows} rows of {table} are duplicates or out of order"
    for table, query in _SUMMARIES.items():
        if _count(published, query, since):
            yield f"{table} does not agree with the rows"
    if rows := _count(published, _CONTRADICTORY, since):
        yield f"{rows} rows contradict themselves (available, status, size and last-modified do not agree)"


def _columns(connection: duckdb.DuckDBPyConnection, relation: str) -> list[tuple[str, str]]:
    return connection.execute(_COLUMNS, [relation]).fetchall()


def _differing_columns(
    working: duckdb.DuckDBPyConnection, published: duckdb.DuckDBPyConnection, table: str
) -> str:
    expected, found = (
        working.execute(_FINGERPRINT, ["availability"]),
        published.execute(_FINGERPRINT, [table]),
    )
    names = [column[0] for column in expected.description or ()]
    pairs = zip(names, expected.fetchone() or (), found.fetchone() or (), strict=True)
    return ", ".join(name for name, value, other in pairs if value != other)


def _count(connection: duckdb.DuckDBPyConnection, query: str, since: dt.date) -> int:
    row = connection.execute(query, {"since": since} if "$since" in query else {}).fetchone()
    return int(row[0]) if row else 0
