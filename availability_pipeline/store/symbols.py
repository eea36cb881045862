"""The table `symbols`: every folder ever seen, and what exchangeInfo last said of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from availability_pipeline.archive.exchange_info import ListedContract
from availability_pipeline.archive.keys import Symbol
from availability_pipeline.store.connection import transaction


@dataclass(frozen=True)
class SymbolsReport:
    """What a discovery changed."""

    total: int
    tracked: int
    new: tuple[str, ...]


_UPSERT = """
INSERT INTO symbols (symbol, contract, quote, tracked, first_seen)
SELECT symbol, contract, quote, tracked, ? FROM seen
ON CONFLICT (symbol) DO UPDATE SET contract = excluded.contract, quote = excluded.quote, tracked = excluded.tracked
"""

_LISTED = """
UPDATE symbols
SET contract_type = listed.contract_type, status = listed.status, onboard_date = listed.onboard_date, seen_at = ?
FROM listed WHERE listed.symbol = symbols.symbol
"""


def write_symbols(
    connection: duckdb.DuckDBPyConnection,
    symbols: Sequence[Symbol],
    listed: Sequence[ListedContract],
    *,
    tracked: set[str],
    now: dt.datetime,
) -> SymbolsReport:
    """Remember all folders that were seen, and what exchangeInfo says of them.

    Args:
        connection: The working database.
        symbols: All folders of the archive.
        listed: What exchangeInfo says; empty if it could not be asked.
        tracked: The names that are to have rows in `daily_availability`.
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
        }
    )
    known = {name for (name,) in connection.execute("SELECT symbol FROM symbols").fetchall()}
    connection.register("seen", seen)
    connection.register("listed", contracts)
    with transaction(connection):
        connection.execute(_UPSERT, [now])
        connection.execute(_LISTED, [now])
    new = tuple(symbol.name for symbol in symbols if symbol.name not in known)
    return SymbolsReport(len(known) + len(new), len(tracked), new)


def tracked_symbols(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The contracts that have rows in `daily_availability`, in order."""
    rows = connection.execute("SELECT symbol FROM symbols WHERE tracked ORDER BY symbol").fetchall()
    return [symbol for (symbol,) in rows]
