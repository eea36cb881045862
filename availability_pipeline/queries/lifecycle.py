"""Queries of listings: episodes, gaps, new listings and delistings."""

from __future__ import annotations

from availability_pipeline.queries.columns import DelistingRow, GapRow, LifecycleRow, ListingRow
from availability_pipeline.queries.reader import Day, Reader
from availability_pipeline.queries.result import Result

_LIFECYCLE = """
FROM published.symbol_lifecycle WHERE $symbol IS NULL OR symbol = $symbol ORDER BY symbol, episode
"""

_GAPS = """
SELECT symbol, episode, first_day, last_day, last_day - first_day + 1 AS days
FROM published.status_spans WHERE status = 'missing' AND ($symbol IS NULL OR symbol = $symbol)
ORDER BY symbol, first_day
"""

_LISTINGS = """
SELECT symbol, episode, first_day, contract_type
FROM published.symbol_lifecycle JOIN published.symbols USING (symbol) WHERE first_day = ? ORDER BY symbol
"""

_DELISTINGS = """
SELECT symbol, episode, last_trading_day, last_day, end_reason, known_from
FROM published.symbol_lifecycle WHERE last_trading_day = ? AND NOT is_open ORDER BY symbol
"""


class LifecycleQueries(Reader):
    """Queries of listings."""

    def get_lifecycle(self, symbol: str | None = None) -> Result[LifecycleRow]:
        """The trading episodes of a contract, or of all, by symbol and first day; a relisting begins another episode.

        Args:
            symbol: The contract, in any spelling; all by default.

        Raises:
            UsageError: No such contract; the message has similar names.

        Example:
            >>> [episode] = queries.get_lifecycle("lunausdt")
            >>> episode["last_trading_day"], episode["end_reason"]
            (datetime.date(2022, 5, 13), 'purged')
        """
        return self._result(LifecycleRow, _LIFECYCLE, self._of(symbol))

    def get_gaps(self, symbol: str | None = None) -> Result[GapRow]:
        """Gaps: days without a file between files of an episode, of a contract or of all, by symbol and day.

        Files that are merely late are no gap, nor is the time between two listings of one name.

        Args:
            symbol: The contract, in any spelling; all by default.

        Raises:
            UsageError: No such contract; the message has similar names.

        Example:
            >>> queries.get_gaps("btcusdt")
            []
        """
        return self._result(GapRow, _GAPS, self._of(symbol))

    def detect_new_listings(self, date: Day) -> Result[ListingRow]:
        """The contracts whose first file is of a day, by symbol; also those that were listed again.

        Raises:
            UsageError: The day is invalid or has no data.

        Warns:
            IncompleteDayWarning: The day was collected for some contracts only.

        Example:
            >>> [row["symbol"] for row in queries.detect_new_listings("2019-12-31")]
            ['BTCUSDT', 'ETHUSDT']
        """
        return self._result(ListingRow, _LISTINGS, [self._collected_day(date)])

    def detect_delistings(self, date: Day) -> Result[DelistingRow]:
        """The contracts that were traded for the last time on a day, by symbol.

        The last trade counts, not the last file: delisted contracts have flat files for months. An end is known some
        days later (`known_from`), so the newest days have none yet.

        Raises:
            UsageError: The day is invalid or has no data.

        Warns:
            IncompleteDayWarning: The day was collected for some contracts only.

        Example:
            >>> [(row["symbol"], row["last_day"]) for row in queries.detect_delistings("2022-11-14")]
            [('FTTUSDT', datetime.date(2026, 11, 19))]
        """
        return self._result(DelistingRow, _DELISTINGS, [self._collected_day(date)])

    def _of(self, symbol: str | None) -> dict[str, str | None]:
        return {"symbol": None if symbol is None else self._known_symbol(symbol)}
