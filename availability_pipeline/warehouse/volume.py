"""Daily bars in the working database: which files they were read from, and writing those of new or replaced files.

`daily_volume` has one row per contract and day with a bar; `volume_files` each file that was read, so that none is
read again before it changes. Files of single days are forgotten when a monthly file has their bars.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from availability_pipeline.catalogue.columns import DAILY_VOLUME, arrow_schema
from availability_pipeline.dates import DayRange
from availability_pipeline.warehouse.database import transaction

BARS = arrow_schema(DAILY_VOLUME, moments="s")
"""The columns of a table of bars."""

READ = pa.schema(
    {
        "symbol": pa.string(),
        "source": pa.string(),
        "date": pa.date32(),
        "last_day": pa.date32(),
        "file_size_bytes": pa.int64(),
        "last_modified": pa.timestamp("s"),
        "bars": pa.int32(),
        "fault": pa.string(),
        "read_at": pa.timestamp("us"),
    }
)
"""The columns of a table of files that were read, those of `volume_files`."""

FileId = tuple[str, str, dt.date]
"""Contract, source (monthly or daily), first day."""

Version = tuple[int, dt.datetime]
"""Bytes and last-modified in UTC of a file."""

# A file that was read before takes its rows with it; a bar of a month takes the place of that of its day.
_WRITE = """
DELETE FROM daily_volume AS held USING files_read AS read
WHERE held.symbol = read.symbol AND held.source = read.source AND held.date BETWEEN read.date AND read.last_day;
DELETE FROM daily_volume AS held USING bars_read AS bars
WHERE held.symbol = bars.symbol AND held.date = bars.date;
INSERT INTO daily_volume BY NAME SELECT * FROM bars_read ORDER BY date, symbol;
DELETE FROM volume_files AS held USING files_read AS read
WHERE held.symbol = read.symbol AND held.source = read.source AND held.date = read.date;
DELETE FROM volume_files AS held USING bars_read AS bars
WHERE bars.source = 'monthly' AND held.source = 'daily' AND held.symbol = bars.symbol AND held.date = bars.date;
INSERT INTO volume_files BY NAME SELECT * FROM files_read ORDER BY symbol, source, date;
"""

_FIRST_DAYS = """
SELECT symbol, min(date) FROM (
    SELECT symbol, date FROM availability WHERE available UNION ALL SELECT symbol, date FROM daily_volume
) GROUP BY symbol
"""


_MONTHLY = """
SELECT symbol, bitstring_agg(date - $first::DATE, 0::BIGINT, $last::DATE - $first::DATE)::VARCHAR
FROM daily_volume WHERE source = 'monthly' AND date BETWEEN $first AND $last GROUP BY symbol
"""


@dataclass(frozen=True)
class VolumeReport:
    """The result of a write."""

    files: int
    bars: int
    """Rows that were written."""
    faulty: int
    """Files that could not be used."""


def files_read(connection: duckdb.DuckDBPyConnection, days: DayRange) -> dict[FileId, Version]:
    """The files with any of these days that were read, and the version of each."""
    found = connection.execute(
        "SELECT symbol, source, date, file_size_bytes, last_modified FROM volume_files "
        "WHERE last_day >= ? AND date <= ?",
        [days.start, days.end],
    ).fetchall()
    return {(symbol, source, date): (size, modified) for symbol, source, date, size, modified in found}


def days_of_monthly_bars(connection: duckdb.DuckDBPyConnection, days: DayRange) -> dict[str, int]:
    """By contract, the days among these whose bar is from a monthly file: bits, of which the first day's is 1."""
    found = connection.execute(_MONTHLY, {"first": days.start, "last": days.end}).fetchall()
    return {symbol: int(bits[::-1], 2) for symbol, bits in found}


def first_days(connection: duckdb.DuckDBPyConnection) -> dict[str, dt.date]:
    """By contract, its first day with a file or a bar."""
    return dict(connection.execute(_FIRST_DAYS).fetchall())


def write_volume(connection: duckdb.DuckDBPyConnection, files: pa.Table, bars: pa.Table) -> VolumeReport:
    """Write what was read, in one transaction; idempotent but for `read_at`.

    Args:
        connection: The working database.
        files: The files, as `READ`.
        bars: Their bars, as `BARS`.
    """
    connection.register("files_read", files)
    connection.register("bars_read", bars)
    with transaction(connection):
        connection.execute(_WRITE)
    connection.unregister("files_read")
    connection.unregister("bars_read")
    return VolumeReport(files.num_rows, bars.num_rows, files.num_rows - files["fault"].null_count)
