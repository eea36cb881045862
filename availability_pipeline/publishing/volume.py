"""The tables of days beside the files: bars and contents, written anew or with another tail than before.

Rows are in the order of day and contract, as they lie behind each other in the file: a window of days, from which
universes and rankings are made, is a few neighbouring row groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

import duckdb

from availability_pipeline.publishing.rows import day_prints

DAY_TABLES = {"daily_volume": "date, symbol", "file_contents": "date, symbol, last_modified, file_size_bytes"}
"""Tables whose rows are about a day, and their order; a file has a row of contents for each of its versions."""

# Rows that are not after the row before them, or the same once more.
_MISPLACED = """
SELECT count(*) FROM (SELECT ($order) AS key, lag(($order)) OVER () AS key_before FROM $table) WHERE key <= key_before
"""


def write_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Write all rows of the working database into the attached `published`."""
    for table, order in DAY_TABLES.items():
        connection.execute(f"CREATE TABLE published.{table} AS FROM {table} ORDER BY {order}")


def take_over_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Replace the rows from the first day on that differs from the working database."""
    for table, order in DAY_TABLES.items():
        held, days = day_prints(connection, f"published.{table}"), day_prints(connection, table)
        changed = [day for day in days.keys() | held.keys() if days.get(day) != held.get(day)]
        if not changed:
            continue
        connection.execute(f"DELETE FROM published.{table} WHERE date >= ?", [min(changed)])  # noqa: S608 - our own names
        connection.execute(
            f"INSERT INTO published.{table} BY NAME FROM {table} WHERE date >= ? ORDER BY {order}",
            [min(changed)],
        )


def table_problems(working: duckdb.DuckDBPyConnection, published: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """How the published tables differ from the working database, or are out of order."""
    for table, order in DAY_TABLES.items():
        if day_prints(published, table) != day_prints(working, table):
            yield f"{table} differs from the working database"
        query = _MISPLACED.replace("$order", order).replace("$table", table)
        [(misplaced,)] = published.execute(query).fetchall()
        if misplaced:
            yield f"{misplaced} rows of {table} are duplicates or out of order"


def rankings_sql(volume: str, availability: str) -> str:
    """SQL of the ranks by traded value on the days from `$first` to `$last`.

    Args:
        volume: The relation of daily bars.
        availability: The relation of files.
    """
    script = files("availability_pipeline.publishing").joinpath("rankings.sql").read_text("utf-8")
    return script.replace("$volume", volume).replace("$files", availability)
