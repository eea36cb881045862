"""What is in the 1-minute files: which were inspected, writing what was found, and the verdict on each.

`file_contents` has one row per inspected version of a file. A verdict follows from the row and, where minutes are
missing at an end, from the contract's life, so that it is judged again when that is derived anew.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

import duckdb
import pyarrow as pa

from availability_pipeline.catalogue.columns import FILE_CONTENTS, arrow_schema
from availability_pipeline.dates import DayRange
from availability_pipeline.warehouse.database import transaction

CONTENTS = arrow_schema(FILE_CONTENTS)
"""The columns of a table of inspected files."""


class FileVersion(NamedTuple):
    """A version of a file that exists."""

    date: dt.date
    symbol: str
    file_size_bytes: int
    last_modified: dt.datetime
    """UTC."""
    has_checksum: bool | None
    """None where it is not known."""


# A checksum can be corrected, or come after its file, without another version of that.
_NOT_INSPECTED = """
SELECT date, symbol, file_size_bytes, last_modified, has_checksum
FROM availability ANTI JOIN (FROM file_contents WHERE verdict <> 'bad_checksum')
    USING (date, symbol, file_size_bytes, last_modified)
WHERE available AND date BETWEEN $first AND $last AND (len($symbols) = 0 OR list_contains($symbols, symbol))
ORDER BY date, symbol
"""

_WRITE = """
DELETE FROM file_contents AS held USING inspected
WHERE held.date = inspected.date AND held.symbol = inspected.symbol
    AND held.file_size_bytes = inspected.file_size_bytes AND held.last_modified = inspected.last_modified;
INSERT INTO file_contents BY NAME SELECT * FROM inspected ORDER BY date, symbol;
"""

# A day on which trade began has no minutes before, one on which it ended none after. A contract that goes on has no
# last day, so a file that breaks off is truncated until the contract is known to have ended.
_JUDGE = """
UPDATE file_contents AS held SET verdict = judged.verdict
FROM (
    SELECT
        file.date, symbol, file_size_bytes, last_modified,
        CASE
            WHEN first_minute + 1439 - last_minute < missing_minutes OR first_minute > 0 AND NOT is_first THEN 'gaps'
            WHEN last_minute = 1439 THEN 'partial_first_day'
            WHEN is_last THEN 'partial_last_day'
            ELSE 'truncated'
        END AS verdict
    FROM (
        SELECT
            file.date, symbol, file_size_bytes, last_modified, first_minute, last_minute, missing_minutes,
            coalesce(bool_or(date = first_day), false) AS is_first,
            coalesce(bool_or(NOT is_open AND date IN (last_trading_day, last_day)), false) AS is_last
        FROM file_contents AS file LEFT JOIN symbol_lifecycle USING (symbol)
        WHERE missing_minutes > 0 AND verdict NOT IN ('unreadable', 'bad_checksum')
        GROUP BY ALL
    ) AS file
) AS judged
WHERE held.date = judged.date AND held.symbol = judged.symbol AND held.file_size_bytes = judged.file_size_bytes
    AND held.last_modified = judged.last_modified AND held.verdict <> judged.verdict
"""


def files_not_inspected(
    connection: duckdb.DuckDBPyConnection, days: DayRange, symbols: Sequence[str] = ()
) -> pa.Table:
    """The files of some days to inspect, by day and contract: the fields of `FileVersion`.

    Those are the files of which this version was not inspected, or disagreed with its checksum.

    Args:
        connection: The working database.
        days: The days.
        symbols: The contracts; all if empty.
    """
    values = {"first": days.start, "last": days.end, "symbols": list(symbols)}
    return connection.sql(_NOT_INSPECTED, params=values).to_arrow_table()


def write_contents(connection: duckdb.DuckDBPyConnection, inspected: pa.Table) -> None:
    """Write what was found in files, as `CONTENTS`, in one transaction, and judge all."""
    connection.register("inspected", inspected)
    with transaction(connection):
        connection.execute(_WRITE)
        judge(connection)
    connection.unregister("inspected")


def judge(connection: duckdb.DuckDBPyConnection) -> None:
    """Bring the verdicts on files with missing minutes up to date with the lives of contracts, if those are derived."""
    tables = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    if ("symbol_lifecycle",) in tables:
        connection.execute(_JUDGE)
