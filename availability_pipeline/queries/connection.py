"""A connection to a published database, shared by a reader and the results that were asked of it.

It closes with the last reference to it, so that a result can still be made after its reader was closed or reloaded.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from availability_pipeline.publishing.opening import reading
from availability_pipeline.queries.columns import Row

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

ROWS_AT_ONCE = 20_000
"""Rows that a stream holds."""

Values = Sequence[object] | dict[str, Any]
"""What is bound in a query."""


class Connection:
    """Runs queries, one at a time.

    Args:
        connection: The database, attached as `published`.
        path: The file, for errors.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        # A question of another thread on the same connection would take the answer away, and leave an empty one.
        self._alone = threading.Lock()
        self._duckdb, self._path = connection, path

    def fetch(self, query: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """All rows as tuples."""
        with self._alone, reading(self._path):
            return self._duckdb.execute(query, values).fetchall()

    def rows(self, query: str, values: Values = ()) -> list[Row]:
        """All rows as dicts whose keys are the columns of the query."""
        with self._alone, reading(self._path):
            found = self._duckdb.execute(query, values)
            columns = [column[0] for column in found.description or ()]
            return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]

    def arrow(self, query: str, values: Values = ()) -> pa.Table:
        """All rows as a table."""
        with self._alone, reading(self._path):
            return self._duckdb.sql(query, params=values).to_arrow_table()

    def stream(self, query: str, values: Values = ()) -> Iterator[list[tuple[Any, ...]]]:
        """The rows as tuples, in lists of some thousands."""
        # A cursor of its own: another question on the same connection would cut the answer off.
        with reading(self._path), self._duckdb.cursor() as cursor:
            cursor.execute(query, values)
            while found := cursor.fetchmany(ROWS_AT_ONCE):
                yield found
