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
from availability_pipeline.publishing.rows import (
    ALL_ROWS,
    TABLES,
    DayPrints,
    Rows,
    Table,
    content_text,
    day_prints,
    misplaced_rows,
    prints_of,
    row_count_of,
)
from availability_pipeline.warehouse.database import CONTRADICTORY

_COLUMNS = "SELECT column_name, column_type FROM (DESCRIBE FROM query_table(?))"

# A sum of hashes for each column, to name those that differ.
_FINGERPRINT = "SELECT sum(hash(date, symbol, COLUMNS(*))) FROM query_table(?)"

# What views add to the rows is the same expression for all days: one day proves it for every contract.
_URLS = """
SELECT count(*), sum(hash(symbol, url)) FROM query_table($view)
WHERE date = (SELECT max(date) FROM query_table($view))
"""

_VIEWS = {"availability_by_date": "daily_availability", "availability_by_symbol": "symbol_timeline"}
"""By table, the view that shows its rows."""

_IS_TAIL = (
    "coalesce(date >= (SELECT tail_from FROM publication), false) "
    "OR list_contains((SELECT tail_symbols FROM publication), symbol)"
)
"""What is true of rows of `availability` that lie behind all others."""

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

_CONTRADICTORY = "SELECT count(*) FROM daily_availability WHERE $part AND $contradictory".replace(
    "$contradictory", CONTRADICTORY
)


def audit(
    working: duckdb.DuckDBPyConnection,
    path: Path,
    rows: Rows,
    days: Mapping[str, DayPrints],
) -> None:
    """Compare a published file with the working database.

    Args:
        working: The working database.
        path: The new file, attached nowhere.
        rows: What was written. The rows of all days are compared; order, summary and consistency of those taken over
            were proven of the file that they come from.
        days: The days of the working database, as `prints_of`, which nothing has changed since they were taken.

    Raises:
        PublicationError: They differ, or a row contradicts itself; the message says what was found.
    """
    problems = differences(working, path, rows, days)
    if problems:
        raise PublicationError(
            f"the new published database failed its audit: {'; '.join(problems)}; readers keep the one from before; "
            "check the disk, then run `publish`"
        )


def differences(
    working: duckdb.DuckDBPyConnection,
    path: Path,
    rows: Rows | None = None,
    days: Mapping[str, DayPrints] | None = None,
) -> list[str]:
    """How a published file differs from the working database, or contradicts itself; empty if it does not.

    Args:
        working: The working database.
        path: The file.
        rows: As `audit`; all if None.
        days: As `audit`; taken now if None.

    Raises:
        duckdb.Error: The file cannot be read.
    """
    with _attached(path) as published:
        [(version,)] = published.execute("SELECT schema_version FROM publication").fetchall()
        if version != SCHEMA_VERSION:
            return [f"it has schema version {version} instead of {SCHEMA_VERSION}"]
        # All of them, and so every block of the file is read once.
        return [
            *_differences(working, published, days or prints_of(working)),
            *_contradictions(published, rows),
        ]


def content_of(working: duckdb.DuckDBPyConnection, days: Mapping[str, DayPrints] | None = None) -> str:
    """All that is published of the working database, as fingerprints in a text that is the same for the same content.

    Args:
        working: The working database.
        days: As `audit`; taken now if None.
    """
    derived = DERIVED_TABLES if is_derived(working) else ()
    copies = {table: working.execute(_COPY, [table]).fetchall()[0] for table in (*_COPIED_TABLES, *derived)}
    return content_text(days or prints_of(working), copies)


def differences_in_content(working: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    """How the rows and copied tables of a file that has passed its audit, and is the same since, differ from those now.

    Raises:
        duckdb.Error: The file cannot be read.
    """
    with _attached(path) as published:
        days, by_day = prints_of(working), (table for table in TABLES if table.order.startswith("date"))
        return [
            *_differing_tables(working, published),
            *(
                f"{_label(table)} differs from the working table"
                for table in by_day
                if days[table.source] != day_prints(published, table.name)
            ),
        ]


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
    expected: Mapping[str, DayPrints],
) -> Iterator[str]:
    shown = [working.execute(query, values).fetchall() for query, values in _of_view("daily_availability")]
    for table in TABLES:
        found, days, label = day_prints(published, table.name), expected[table.source], _label(table)
        view = _VIEWS.get(table.name)
        if _columns(published, table.name) != _columns(working, table.source):
            yield f"{label} has other columns than the working table"
        elif row_count_of(found) != row_count_of(days):
            yield f"{label} has {row_count_of(found)} rows instead of {row_count_of(days)}"
        elif found != days:
            yield f"{label} differs from the working table in {_differing_columns(working, published, table)}"
        elif (
            view
            and [published.execute(query, values).fetchall() for query, values in _of_view(view)] != shown
        ):
            yield f"{view} has other columns or urls than the working database"
    yield from _differing_tables(working, published)


def _label(table: Table) -> str:
    return _VIEWS.get(table.name, table.name)


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


def _contradictions(published: duckdb.DuckDBPyConnection, written: Rows | None) -> Iterator[str]:
    parts = {table.source: written.replaced[table.source] if written else ALL_ROWS for table in TABLES}
    for name, source, order in TABLES:
        key = f"{_IS_TAIL}, {order}" if name in _VIEWS else order
        if rows := misplaced_rows(published, name, key, parts[source]):
            yield f"{rows} rows of {name} are duplicates or out of order"
    part = parts["availability"]
    first = dt.date.min if written and written.has_new_symbols else part.since
    for table, query in _SUMMARIES.items():
        if _count(published, query, {"since": first}):
            yield f"{table} does not agree with the rows"
    if rows := _count(published, _CONTRADICTORY.replace("$part", part.condition), part.values):
        yield f"{rows} rows contradict themselves (available, status, size and last-modified do not agree)"


def _columns(connection: duckdb.DuckDBPyConnection, relation: str) -> list[tuple[str, str]]:
    return connection.execute(_COLUMNS, [relation]).fetchall()


def _differing_columns(
    working: duckdb.DuckDBPyConnection, published: duckdb.DuckDBPyConnection, table: Table
) -> str:
    expected, found = (
        working.execute(_FINGERPRINT, [table.source]),
        published.execute(_FINGERPRINT, [table.name]),
    )
    names = [column[0] for column in expected.description or ()]
    pairs = zip(names, expected.fetchone() or (), found.fetchone() or (), strict=True)
    return ", ".join(name for name, value, other in pairs if value != other)


def _count(connection: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, object]) -> int:
    row = connection.execute(query, values if "$" in query else {}).fetchone()
    return int(row[0]) if row else 0
