"""Queries of volume: the daily bars of a contract, ranks by traded value, a matrix of dates × contracts, the market."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from availability_pipeline.catalogue.columns import DAILY_VOLUME, VolumeRow
from availability_pipeline.dates import DayRange
from availability_pipeline.errors import UsageError
from availability_pipeline.publishing.rankings import rankings_sql
from availability_pipeline.queries.columns import MarketRow, RankingRow, Row
from availability_pipeline.queries.reader import Connection, Day, Reader
from availability_pipeline.queries.result import Result, rows_of

if TYPE_CHECKING:
    import pyarrow as pa

NUMBERS = tuple(column.name for column in DAILY_VOLUME if column.sql_type in ("DOUBLE", "BIGINT"))
"""The columns of bars that are numbers."""

_BARS = "FROM published.daily_volume WHERE symbol = ? ORDER BY date"

_RANKINGS = (
    f"{rankings_sql('published.daily_volume', 'published.availability_by_date')} ORDER BY rank, symbol"
)

_MATRIX = """
SELECT $field FROM (SELECT unnest($symbols) AS symbol) CROSS JOIN (SELECT unnest($days) AS date)
LEFT JOIN published.daily_volume USING (symbol, date) ORDER BY symbol, date
"""

_MARKET = """
WITH ranked AS (
    SELECT *, row_number() OVER (ORDER BY quote_volume DESC) AS place
    FROM published.daily_volume WHERE date = $date
)
SELECT
    $date::DATE AS date, count(*) AS bars, count(*) FILTER (trades > 0) AS traded,
    coalesce(sum(quote_volume), 0)::DOUBLE AS quote_volume, coalesce(sum(trades), 0)::BIGINT AS trades,
    100 * sum(quote_volume) FILTER (place <= 10) / nullif(sum(quote_volume), 0) AS top_10_share_pct,
    100 * sum(quote_volume) FILTER (place <= 50) / nullif(sum(quote_volume), 0) AS top_50_share_pct,
    100 * sum(quote_volume) FILTER (place <= 100) / nullif(sum(quote_volume), 0) AS top_100_share_pct
FROM ranked
"""


class VolumeQueries(Reader):
    """Queries of volume."""

    def get_volume(self, symbol: str) -> Result[VolumeRow]:
        """The daily bars of a contract, by date.

        Args:
            symbol: The contract, in any spelling.

        Returns:
            Rows of `VolumeRow`. A day without a row has no bar in the archive, or none yet; a bar without a trade has
            `trades` 0.

        Raises:
            UsageError: No such contract.
            PublishedDatabaseError: The database was published by a version that did not read bars.

        Example:
            >>> bars = queries.get_volume("btcusdt")
            >>> bars[0]["date"], bars[0]["source"]
            (datetime.date(2019, 12, 31), 'daily')
        """
        self._check_has_volume()
        return self._result(VolumeRow, _BARS, [self._known_symbol(symbol)])

    def get_rankings(self, date: Day) -> Result[RankingRow]:
        """The contracts that traded on a day, by rank of the traded value.

        Args:
            date: The UTC day.

        Returns:
            Rows of `RankingRow`, as in `volume_rankings.parquet`, which also has `generation_timestamp`.

        Raises:
            UsageError: The day is invalid or has no data.
            PublishedDatabaseError: The database was published by a version that did not read bars.

        Example:
            >>> [(row["rank"], row["symbol"]) for row in queries.get_rankings("2024-01-15")][0]
            (1, 'BTCUSDT')
        """
        self._check_has_volume()
        day = self._collected_day(date)
        return self._result(RankingRow, _RANKINGS, {"first": day, "last": day})

    def get_market_summary(self, date: Day) -> Result[MarketRow]:
        """What was traded on a day in all contracts, and how much of it in the largest.

        Args:
            date: The UTC day.

        Returns:
            One row of `MarketRow`.

        Raises:
            UsageError: The day is invalid or has no data.
            PublishedDatabaseError: The database was published by a version that did not read bars.

        Example:
            >>> queries.get_market_summary("2024-01-15")[0]["traded"]
            9
        """
        self._check_has_volume()
        return self._result(MarketRow, _MARKET, {"date": self._collected_day(date)})

    def volume_matrix(self, start: Day, end: Day, field: str = "quote_volume") -> Result[Row]:
        """Dates × contracts of one number of the daily bars, beside `availability_matrix`.

        Args:
            start: The first UTC day.
            end: The last UTC day.
            field: A number of `VolumeRow`, such as `quote_volume`, `trades` or `close`.

        Returns:
            One row per day, oldest first: the column `date`, and one column, by name, for every contract with any
            file. None is a day without a bar.

        Raises:
            UsageError: The start is after the end, there is no data of a day, or there is no such number.
            PublishedDatabaseError: The database was published by a version that did not read bars.

        Example:
            >>> matrix = queries.volume_matrix("2022-05-10", "2022-05-15", "trades")
            >>> [row["LUNAUSDT"] is None for row in matrix]
            [False, False, False, False, True, True]
        """
        self._check_has_volume()
        days = self._collected_range(start, end)
        if field not in NUMBERS:
            raise UsageError(f"field is {field!r}, but it must be one of {', '.join(NUMBERS)}")
        symbols = sorted(symbol for symbol, first in self._first_days.items() if first is not None)
        connection = self._connection

        @cache
        def table() -> pa.Table:
            return _matrix(connection, days, symbols, field)

        return Result(["date", *symbols], lambda: rows_of(table()), table)


def _matrix(connection: Connection, days: DayRange, symbols: list[str], field: str) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415 - only frames need it

    found = connection.arrow(_MATRIX.replace("$field", field), {"symbols": symbols, "days": list(days)})
    cells = found[field].combine_chunks()
    columns = {symbol: cells.slice(number * len(days), len(days)) for number, symbol in enumerate(symbols)}
    return pa.table({"date": pa.array(days, pa.date32()), **columns})
