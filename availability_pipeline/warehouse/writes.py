"""Writes to the working database: collections with ledger and run record, contracts, removal of unfinished days.

Each is one transaction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import duckdb
import pyarrow as pa

from availability_pipeline.archive.exchange_info import ListedContract
from availability_pipeline.archive.names import Symbol
from availability_pipeline.catalogue.columns import IN_FILES, STORED
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET, Dataset
from availability_pipeline.errors import StoreError
from availability_pipeline.warehouse.database import set_source, transaction

ROWS_PER_SLICE = 300_000
"""Rows built at once, which bounds the memory of a whole history."""


@dataclass(frozen=True)
class Block:
    """Days × contracts to write, one row each."""

    days: Sequence[dt.date]
    symbols: Sequence[str]


@dataclass(frozen=True)
class Collection:
    """The record of one collection; the fields are the first columns of `collection_runs`."""

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
    """The result of a write."""

    rows: int
    available: int
    bytes: int
    changes: Mapping[str, int]
    """Ledger entries by kind."""


_KEY = ("date", "symbol")

_FOUND = ", ".join(f"files.{column.name}" for column in IN_FILES if column.name not in _KEY)

_INCOMING = f"""
CREATE OR REPLACE TEMP TABLE incoming AS
SELECT
    days.date, contracts.symbol, files.date IS NOT NULL AS available,
    if(files.date IS NULL, 404, 200)::INTEGER AS status_code, ?::TIMESTAMP AS probe_timestamp, {_FOUND}
FROM days CROSS JOIN contracts LEFT JOIN files ON files.date = days.date AND files.symbol = contracts.symbol
ORDER BY days.date, contracts.symbol
"""  # noqa: S608 - our own text

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

# A HEAD does not know has_checksum, so the value of an earlier listing stays while the file is the same.
_TAKEN_OVER = ", ".join(
    f"{column.name} = incoming.{column.name}"
    for column in STORED
    if column.name not in (*_KEY, "has_checksum")
)

_UPDATE = f"""
UPDATE availability AS held SET
    {_TAKEN_OVER},
    has_checksum = coalesce(
        incoming.has_checksum,
        if((incoming.file_size_bytes, incoming.last_modified) = (held.file_size_bytes, held.last_modified),
           held.has_checksum, NULL)
    )
FROM incoming WHERE incoming.date = held.date AND incoming.symbol = held.symbol
"""  # noqa: S608 - our own text

# Restricted to the days of the slice, which bounds the memory.
_INSERT = """
INSERT INTO availability BY NAME
SELECT * FROM incoming ANTI JOIN (
    FROM availability WHERE date BETWEEN (SELECT min(date) FROM incoming) AND (SELECT max(date) FROM incoming)
) USING (date, symbol) ORDER BY date, symbol
"""


_COMPLETE_DAYS = """
SELECT date
FROM daily_availability SEMI JOIN (FROM symbols WHERE tracked) USING (symbol)
WHERE date BETWEEN $first AND $last
GROUP BY date
HAVING count(*) = (
    SELECT count(*)
    FROM (SELECT DISTINCT symbol FROM daily_availability) SEMI JOIN (FROM symbols WHERE tracked) USING (symbol)
)
ORDER BY date
"""


def write_collection(
    connection: duckdb.DuckDBPyConnection,
    blocks: Sequence[Block],
    files: pa.Table,
    archive_url: str,
    collection: Collection,
    dataset: Dataset = DEFAULT_DATASET,
) -> WriteReport:
    """Upsert a collection with its ledger entries and record, in one transaction; idempotent but for `probe_timestamp`.

    Args:
        connection: The working database.
        blocks: The rows to write, without overlap.
        files: All existing files of the blocks, as `archive.files.FILES`; other rows are ignored.
        archive_url: The base of every `url`.
        collection: The record of the run.
        dataset: What the files are of.

    Raises:
        StoreError: A file appears twice, or there are rows of another dataset; nothing is written.
    """
    rows = available = size = 0
    connection.register("found", files)
    with transaction(connection):
        set_source(connection, dataset, archive_url)
        connection.execute("CREATE OR REPLACE TEMP TABLE files AS SELECT * FROM found ORDER BY date, symbol")
        for block in blocks:
            for days in _slices(block):
                totals = _write_slice(connection, days, block.symbols, collection)
                rows, available, size = rows + totals[0], available + totals[1], size + totals[2]
        connection.execute("DROP TABLE files; DROP TABLE IF EXISTS incoming")
        changes = _changes_of(connection, collection.run_id)
        _record(connection, collection, rows, sum(changes.values()))
    for name in ("found", "days", "contracts"):
        connection.unregister(name)
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
    """Write days × symbols; returns rows, files and bytes."""
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
        [*astuple(collection), rows, changes],
    )


def _column(
    connection: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, dt.date] | None = None
) -> list[Any]:
    return [value for (value,) in connection.execute(query, dict(values or {})).fetchall()]


def held_days(connection: duckdb.DuckDBPyConnection) -> list[dt.date]:
    """The days with rows, in order."""
    return _column(connection, "SELECT DISTINCT date FROM daily_availability ORDER BY date")


def complete_days(
    connection: duckdb.DuckDBPyConnection, first: dt.date = dt.date.min, last: dt.date = dt.date.max
) -> list[dt.date]:
    """The days from `first` to `last` with a row of every tracked contract that has any, in order.

    Runs for some contracts leave others.
    """
    return _column(connection, _COMPLETE_DAYS, {"first": first, "last": last})


def days_with_files(connection: duckdb.DuckDBPyConnection) -> set[dt.date]:
    """The days on which any contract has a file."""
    return set(_column(connection, "SELECT DISTINCT date FROM daily_availability WHERE available"))


def symbols_with_rows(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The contracts with rows."""
    return set(_column(connection, "SELECT DISTINCT symbol FROM daily_availability"))


def last_files_before(connection: duckdb.DuckDBPyConnection, day: dt.date) -> dict[str, dt.date]:
    """By contract with a file before `day`, the last day with one."""
    return dict(
        connection.execute(
            "SELECT symbol, max(date) FROM daily_availability WHERE available AND date < ? GROUP BY symbol",
            [day],
        ).fetchall()
    )


@dataclass(frozen=True)
class SymbolsReport:
    """The result of `write_symbols`."""

    total: int
    tracked: int
    new: tuple[str, ...]


_UPSERT = """
INSERT INTO symbols (symbol, contract, quote, tracked, first_seen)
SELECT symbol, contract, quote, tracked, ? FROM seen
ON CONFLICT (symbol) DO UPDATE SET
    contract = excluded.contract, quote = coalesce(symbols.quote, excluded.quote), tracked = excluded.tracked
"""

_LISTED = """
UPDATE symbols
SET
    contract_type = listed.contract_type, status = listed.status, onboard_date = listed.onboard_date,
    quote = coalesce(listed.quote, symbols.quote), seen_at = ?
FROM listed WHERE listed.symbol = symbols.symbol
"""

# Of each contract the last row, and what the answer says of it; answers before the last one have no say.
_SAID = """
CREATE OR REPLACE TEMP TABLE said AS
WITH last AS (
    FROM contract_history QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY valid_from DESC) = 1
)
SELECT
    listed.*, last.valid_from,
    last.symbol IS NOT NULL
    AND (listed.contract_type, listed.status, listed.onboard_date, listed.delivery_date, listed.underlying_type)
    IS NOT DISTINCT FROM
    (last.contract_type, last.status, last.onboard_date, last.delivery_date, last.underlying_type) AS is_same
FROM listed LEFT JOIN last USING (symbol)
WHERE last.symbol IS NULL OR last.valid_to < $now
"""

_SAME_STATE = """
UPDATE contract_history SET valid_to = $now
FROM said
WHERE said.is_same AND said.symbol = contract_history.symbol AND said.valid_from = contract_history.valid_from
"""

_NEW_STATE = """
INSERT INTO contract_history
SELECT symbol, contract_type, status, onboard_date, delivery_date, underlying_type, $now, $now
FROM said WHERE NOT is_same ORDER BY symbol
"""


def write_symbols(
    connection: duckdb.DuckDBPyConnection,
    symbols: Sequence[Symbol],
    listed: Sequence[ListedContract],
    *,
    tracked: set[str],
    now: dt.datetime,
) -> SymbolsReport:
    """Upsert the folders of the archive with their exchangeInfo, and append to the history of what that said.

    Args:
        connection: The working database.
        symbols: All folders of the archive.
        listed: exchangeInfo's contracts, also those without a folder; empty if unknown.
        tracked: The names that have rows in `daily_availability`.
        now: The moment of the discovery, UTC.
    """
    seen = pa.table(
        {
            "symbol": [symbol.name for symbol in symbols],
            "contract": [symbol.contract for symbol in symbols],
            "quote": pa.array([symbol.quote for symbol in symbols], pa.string()),
            "tracked": [symbol.name in tracked for symbol in symbols],
        }
    )
    contracts = pa.table(
        {
            "symbol": pa.array([contract.symbol for contract in listed], pa.string()),
            "contract_type": pa.array([contract.contract_type for contract in listed], pa.string()),
            "status": pa.array([contract.status for contract in listed], pa.string()),
            "onboard_date": pa.array([contract.onboard_date for contract in listed], pa.date32()),
            "delivery_date": pa.array([contract.delivery_date for contract in listed], pa.timestamp("us")),
            "underlying_type": pa.array([contract.underlying_type for contract in listed], pa.string()),
            "quote": pa.array([contract.quote for contract in listed], pa.string()),
        }
    )
    known = set(_column(connection, "SELECT symbol FROM symbols"))
    connection.register("seen", seen)
    connection.register("listed", contracts)
    with transaction(connection):
        connection.execute(_UPSERT, [now])
        connection.execute(_LISTED, [now])
        _append_to_history(connection, now)
    connection.unregister("seen").unregister("listed")
    new = tuple(symbol.name for symbol in symbols if symbol.name not in known)
    return SymbolsReport(len(known) + len(new), len(tracked), new)


def _append_to_history(connection: duckdb.DuckDBPyConnection, now: dt.datetime) -> None:
    """Add what `listed` says now to `contract_history`."""
    connection.execute(_SAID, {"now": now})
    connection.execute(_SAME_STATE, {"now": now})
    connection.execute(_NEW_STATE, {"now": now})
    connection.execute("DROP TABLE said")


def tracked_symbols(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The tracked contracts, in order."""
    return _column(connection, "SELECT symbol FROM symbols WHERE tracked ORDER BY symbol")


_FOUND = "SELECT count(*), min(date), max(date) FROM daily_availability WHERE date >= $today"

_REMOVE = (
    "DELETE FROM availability WHERE date >= $today",
    "DELETE FROM availability_changes WHERE date >= $today",
    "DELETE FROM daily_volume WHERE date >= $today",
    "DELETE FROM volume_files WHERE last_day >= $today",
    "DELETE FROM file_contents WHERE date >= $today",
    "DELETE FROM collection_runs WHERE window_start >= $today",
    "UPDATE collection_runs SET window_end = $today::DATE - 1 WHERE window_end >= $today",
)

# The clock's error is unknown; only moments after now are certainly wrong.
_BRING_BACK = (
    "UPDATE availability SET probe_timestamp = $now WHERE probe_timestamp > $now",
    "UPDATE availability_changes SET observed_at = $now WHERE observed_at > $now",
    "UPDATE collection_runs SET started_at = least(started_at, $now), finished_at = $now WHERE finished_at > $now",
    "UPDATE volume_files SET read_at = $now WHERE read_at > $now",
    "UPDATE file_contents SET inspected_at = $now WHERE inspected_at > $now",
    "UPDATE symbols SET first_seen = $now WHERE first_seen > $now",
    "UPDATE symbols SET seen_at = $now WHERE seen_at > $now",
    # Of the states of one contract that are all of wrong moments, the last one stays.
    """
    DELETE FROM contract_history AS held WHERE valid_from >= $now AND exists(
        FROM contract_history AS later WHERE later.symbol = held.symbol AND later.valid_from > held.valid_from
    )
    """,
    "UPDATE contract_history SET valid_from = least(valid_from, $now), valid_to = $now WHERE valid_to > $now",
)


@dataclass(frozen=True)
class UnfinishedDays:
    """Removed rows of `daily_availability`."""

    rows: int
    first: dt.date
    last: dt.date


def remove_unfinished_days(connection: duckdb.DuckDBPyConnection, now: dt.datetime) -> UnfinishedDays | None:
    """Remove rows of unfinished days and cap all moments at `now`, in one transaction; None if there were none.

    Args:
        connection: The working database.
        now: The current moment, naive in UTC, by a verified clock: one that is behind would remove good rows.
    """
    with transaction(connection):
        [(rows, first, last)] = connection.execute(_FOUND, {"today": now.date()}).fetchall()
        for statement in _REMOVE:
            connection.execute(statement, {"today": now.date()})
        for statement in _BRING_BACK:
            connection.execute(statement, {"now": now})
    return UnfinishedDays(rows, first, last) if rows else None
