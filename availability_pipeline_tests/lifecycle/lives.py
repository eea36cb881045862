"""Contracts' lives as text, one letter per day, so that tests show what goes in and what must come out together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET, Dataset
from availability_pipeline.lifecycle.derive import derive
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.warehouse.database import check_version

FIRST_DAY = dt.date(2024, 1, 1)

SIZES = {
    "L": 46_000, "w": 18_000, "q": 12_000, "b": 9_200, "s": 8_000, "t": 6_900, "z": 22,
    "T": 46_000, "r": 8_000, "i": 8_000, "I": 46_000,
}  # fmt: skip
"""Bytes by letter: live, weak, quiet, a small file that may have trades, one without a trade, one of a
part of a day, and a zip of nothing; then, with bars: traded, rarely traded, idle, and idle in a large file."""

TRADES = {"T": 30_000, "r": 12, "i": 0, "I": 0, "n": 0}
"""Trades in the bar of the day by letter; other letters have no bar. `n` is a bar without a file."""

NO_FILE, NO_ROW = ".", "?"

LETTERS = {
    ("not_listed", None): "-", ("published", None): "p", ("published", "undecided"): "u", ("flat", "size"): "f",
    ("pending", None): "w", ("missing", None): "m", ("ended", None): "e",
    ("flat", "no_row"): "z", ("flat", "volume"): "v",
}  # fmt: skip
"""Letters for status and evidence; a row without a status has none, one with two statuses two."""

Life = str | Sequence[int | None]
"""Letters, or bytes per day and None for no file."""


def day(number: int) -> dt.date:
    """The day of a letter."""
    return FIRST_DAY + dt.timedelta(days=number)


def database() -> duckdb.DuckDBPyConnection:
    """An empty working database in memory."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    check_version(connection, Path(":memory:"), read_only=False)
    return connection


def collect(
    connection: duckdb.DuckDBPyConnection, lives: Mapping[str, Life], first_day: dt.date = FIRST_DAY
) -> None:
    """Put the lives into the tables."""
    rows = [
        {
            "date": first_day + dt.timedelta(days=number),
            "symbol": symbol,
            "size": SIZES.get(each) if isinstance(each, str) else each,
        }
        for symbol, life in lives.items()
        for number, each in enumerate(life)
        if each != NO_ROW
    ]
    kinds = pa.schema({"date": pa.date32(), "symbol": pa.string(), "size": pa.int64()})
    connection.register("lives", pa.Table.from_pylist(rows, kinds))
    connection.execute("""
        INSERT INTO availability
        SELECT
            date, symbol, size IS NOT NULL, size, if(size IS NULL, NULL, date + 1), if(size IS NULL, 404, 200),
            TIMESTAMP '2030-01-01', NULL
        FROM lives
    """)
    connection.execute("""
        INSERT INTO symbols
        SELECT DISTINCT
            symbol, if(symbol LIKE '%SETTLED', 'settled', 'perpetual'), 'USDT', true, TIMESTAMP '2030-01-01',
            NULL, NULL, NULL::DATE, NULL::TIMESTAMP
        FROM lives
    """)
    connection.unregister("lives")
    trades = {
        (symbol, first_day + dt.timedelta(days=number)): TRADES[each]
        for symbol, life in lives.items()
        for number, each in enumerate(life)
        if isinstance(each, str) and each in TRADES
    }
    write_bars(connection, trades)


def write_bars(connection: duckdb.DuckDBPyConnection, trades: Mapping[tuple[str, dt.date], int]) -> None:
    """Put bars with so many trades into the table, by contract and day."""
    rows = [{"symbol": symbol, "date": date, "trades": count} for (symbol, date), count in trades.items()]
    kinds = pa.schema({"symbol": pa.string(), "date": pa.date32(), "trades": pa.int64()})
    connection.register("bars", pa.Table.from_pylist(rows, kinds))
    connection.execute("""
        INSERT INTO daily_volume
        SELECT date, symbol, 1, 1, 1, 1, trades, trades, trades, 0, 0, 'daily', date + 1 FROM bars
    """)
    connection.unregister("bars")


def derived(
    lives: Mapping[str, Life],
    *,
    gap: int = 30,
    age: int = 10,
    tradifi: bool = False,
    dataset: Dataset = DEFAULT_DATASET,
) -> duckdb.DuckDBPyConnection:
    """A database of these lives with its derived tables, so many days after the last one."""
    connection = database()
    collect(connection, lives)
    if tradifi:
        connection.execute("UPDATE symbols SET contract_type = 'TRADIFI_PERPETUAL'")
    derive(connection, Rules(gap, day(max(map(len, lives.values())) - 1 + age), dataset))
    return connection


def statuses(connection: duckdb.DuckDBPyConnection, symbol: str) -> str:
    """The status of every collected day of a contract, as letters."""
    found = connection.execute(
        """
        SELECT spans.status, spans.evidence
        FROM daily_availability AS held LEFT JOIN status_spans AS spans
            ON spans.symbol = held.symbol AND held.date BETWEEN spans.first_day AND spans.last_day
        WHERE held.symbol = ? ORDER BY held.date
        """,
        [symbol],
    ).fetchall()
    return "".join(LETTERS.get(each, "") for each in found)


def status_of(life: Life, **options: Any) -> str:
    """The statuses of one contract alone."""
    return statuses(derived({"AUSDT": life}, **options), "AUSDT")


def episodes(connection: duckdb.DuckDBPyConnection, symbol: str) -> list[dict[str, Any]]:
    """The episodes of a contract; days are numbers of letters."""
    result = connection.execute("FROM symbol_lifecycle WHERE symbol = ? ORDER BY episode", [symbol])
    names = [column[0] for column in result.description or ()]
    return [
        {
            name: (value - FIRST_DAY).days if isinstance(value, dt.date) else value
            for name, value in zip(names, row, strict=True)
        }
        for row in result.fetchall()
    ]
