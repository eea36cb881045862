"""The rows of `daily_availability`, with their ledger and the record of runs: one transaction per collection.

Existing rows are updated and new ones inserted, never deleted and inserted again: DuckDB keeps deleted rows in the
file and checks keys against rows that the same transaction has deleted. What is read comes from the view
`daily_availability`, what is written goes to the table `availability` below it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from availability_pipeline.errors import StoreError
from availability_pipeline.store.connection import read_info, transaction, write_info

ROWS_PER_SLICE = 300_000
"""Rows of the dense table that are built at once, to bound the memory of a whole history."""


@dataclass(frozen=True)
class Block:
    """Days and contracts of which every combination gets a row."""

    days: Sequence[dt.date]
    symbols: Sequence[str]


@dataclass(frozen=True)
class Collection:
    """What one run collected, for the record."""

    run_id: str
    mode: str
    """list or head."""
    window_start: dt.date
    window_end: dt.date
    started_at: dt.datetime
    finished_at: dt.datetime
    requests: int
    pages: int
    keys_seen: int


@dataclass(frozen=True)
class WriteReport:
    """What a write did."""

    rows: int
    available: int
    bytes: int
    changes: Mapping[str, int]
    """Number of entries in the ledger by kind."""


_INCOMING = """
CREATE OR REPLACE TEMP TABLE incoming AS
SELECT
    days.date, contracts.symbol, files.date IS NOT NULL AS available, files.file_size_bytes, files.last_modified,
    if(files.date IS NULL, 404, 200)::INTEGER AS status_code, ?::TIMESTAMP AS probe_timestamp, files.has_checksum
FROM days CROSS JOIN contracts LEFT JOIN files ON files.date = days.date AND files.symbol = contracts.symbol
ORDER BY days.date, contracts.symbol
"""

_TOTALS = (
    "SELECT count(*), count(*) FILTER (available), coalesce(sum(file_size_bytes), 0)::BIGINT FROM incoming"
)

_LEDGER = """
INSERT INTO availability_changes BY NAME
SELECT
    date, symbol,
    CASE WHEN NOT old.available THEN 'published' WHEN new.available THEN 'republished' ELSE 'withdrawn' END AS kind,
    old.file_size_bytes AS old_file_size_bytes, new.file_size_bytes AS new_file_size_bytes,
    old.last_modified AS old_last_modified, new.last_modified AS new_last_modified,
    new.probe_timestamp AS observed_at, ? AS run_id
FROM incoming AS new JOIN availability AS old USING (date, symbol)
WHERE old.file_size_bytes IS DISTINCT FROM new.file_size_bytes
   OR old.last_modified IS DISTINCT FROM new.last_modified
ORDER BY date, symbol
"""

# What a listing has said of a checksum stays known while the file is the same: a HEAD does not ask for it.
_UPDATE = """
UPDATE availability AS held SET
    available = incoming.available, file_size_bytes = incoming.file_size_bytes, last_modified = incoming.last_modified,
    status_code = incoming.status_code, probe_timestamp = incoming.probe_timestamp,
    has_checksum = coalesce(
        incoming.has_checksum,
        if((incoming.file_size_bytes, incoming.last_modified) = (held.file_size_bytes, held.last_modified),
           held.has_checksum, NULL)
    )
FROM incoming WHERE incoming.date = held.date AND incoming.symbol = held.symbol
"""

# Only the days of the slice, so that the memory does not grow with the history.
_INSERT = """
INSERT INTO availability BY NAME
SELECT * FROM incoming ANTI JOIN (
    FROM availability WHERE date BETWEEN (SELECT min(date) FROM incoming) AND (SELECT max(date) FROM incoming)
) USING (date, symbol) ORDER BY date, symbol
"""


_COMPLETE_DAYS = """
WITH tracked AS (SELECT date, symbol FROM daily_availability SEMI JOIN (FROM symbols WHERE tracked) USING (symbol))
SELECT date FROM tracked
GROUP BY date HAVING count(*) = (SELECT count(DISTINCT symbol) FROM tracked)
ORDER BY date
"""


def write_collection(
    connection: duckdb.DuckDBPyConnection,
    blocks: Sequence[Block],
    files: pa.Table,
    archive_url: str,
    collection: Collection,
) -> WriteReport:
    """Write what was found, and what was not, in one transaction.

    Writing the same again changes nothing but `probe_timestamp`.

    Args:
        connection: The working database.
        blocks: The rows to write; no day and contract in more than one.
        files: `archive.files.FILES`: every file of the blocks that exists. Other rows of it are ignored.
        archive_url: Where files are served; the base of every `url`.
        collection: The record of the run.

    Raises:
        StoreError: A file is there twice; nothing is written.
    """
    rows = available = size = 0
    connection.register("found", files)
    with transaction(connection):
        if read_info(connection, "archive_url") != archive_url:
            write_info(connection, "archive_url", archive_url)
        connection.execute("CREATE OR REPLACE TEMP TABLE files AS SELECT * FROM found ORDER BY date, symbol")
        for block in blocks:
            for days in _slices(block):
                totals = _write_slice(connection, days, block.symbols, collection)
                rows, available, size = rows + totals[0], available + totals[1], size + totals[2]
        connection.execute("DROP TABLE files; DROP TABLE IF EXISTS incoming")
        changes = _changes_of(connection, collection.run_id)
        _record(connection, collection, rows, sum(changes.values()))
    connection.unregister("found")
    return WriteReport(rows, available, size, changes)


def _slices(block: Block) -> Iterator[Sequence[dt.date]]:
    days_per_slice = max(1, ROWS_PER_SLICE // max(1, len(block.symbols)))
    ordered = sorted(set(block.days))
    for start in range(0, len(ordered), days_per_slice):
        yield ordered[start : start + days_per_slice]


def _write_slice(
    connection: duckdb.DuckDBPyConnection,
    days: Sequence[dt.date],
    symbols: Sequence[str],
    collection: Collection,
) -> tuple[int, int, int]:
    """Write all combinations; returns rows, files and bytes."""
    connection.register("days", pa.table({"date": pa.array(days, pa.date32())}))
    names = sorted(set(symbols))
    connection.register("contracts", pa.table({"symbol": pa.array(names, pa.string())}))
    connection.execute(_INCOMING, [collection.finished_at])
    [totals] = connection.execute(_TOTALS).fetchall()
    if totals[0] != len(days) * len(names):
        raise StoreError(
            f"the files of {days[0]} to {days[-1]} have a contract and day twice; nothing was written"
        )
    connection.execute(_LEDGER, [collection.run_id])
    connection.execute(_UPDATE)
    connection.execute(_INSERT)
    return totals


def _changes_of(connection: duckdb.DuckDBPyConnection, run_id: str) -> dict[str, int]:
    return dict(
        connection.execute(
            "SELECT kind, count(*) FROM availability_changes WHERE run_id = ? GROUP BY kind ORDER BY kind",
            [run_id],
        ).fetchall()
    )


def _record(connection: duckdb.DuckDBPyConnection, collection: Collection, rows: int, changes: int) -> None:
    connection.execute(
        "INSERT INTO collection_runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            collection.run_id,
            collection.mode,
            collection.window_start,
            collection.window_end,
            collection.started_at,
            collection.finished_at,
            collection.requests,
            collection.pages,
            collection.keys_seen,
            rows,
            changes,
        ],
    )


def held_days(connection: duckdb.DuckDBPyConnection) -> list[dt.date]:
    """The days that the table has rows of, in order."""
    rows = connection.execute("SELECT DISTINCT date FROM daily_availability ORDER BY date").fetchall()
    return [day for (day,) in rows]


def complete_days(connection: duckdb.DuckDBPyConnection) -> list[dt.date]:
    """The days with a row of every tracked contract that has rows at all, in order.

    A run for some contracts only leaves days without the others.
    """
    rows = connection.execute(_COMPLETE_DAYS).fetchall()
    return [day for (day,) in rows]


def days_with_files(connection: duckdb.DuckDBPyConnection) -> set[dt.date]:
    """The days on which any contract has a file."""
    rows = connection.execute("SELECT DISTINCT date FROM daily_availability WHERE available").fetchall()
    return {day for (day,) in rows}


def symbols_with_rows(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The contracts that the table has rows of."""
    rows = connection.execute("SELECT DISTINCT symbol FROM daily_availability").fetchall()
    return {symbol for (symbol,) in rows}


def last_files_before(connection: duckdb.DuckDBPyConnection, day: dt.date) -> dict[str, dt.date]:
    """By contract, its last day with a file before a day; contracts without one are left out."""
    return dict(
        connection.execute(
            "SELECT symbol, max(date) FROM daily_availability WHERE available AND date < ? GROUP BY symbol",
            [day],
        ).fetchall()
    )
