"""Queries of what the exchange said of contracts, and when: exchangeInfo's answers since the first collection."""

from __future__ import annotations

import datetime as dt
from itertools import groupby

from availability_pipeline.dates import parse_moment
from availability_pipeline.queries.columns import ContractRow
from availability_pipeline.queries.listings import Announcement
from availability_pipeline.queries.reader import Reader
from availability_pipeline.queries.result import Result
from availability_pipeline.symbols import known

_CONTRACT = """
SELECT
    symbol, contract_type, status, onboard_date, delivery_date AS scheduled_end, underlying_type, valid_from,
    least(valid_to, coalesce($as_of, valid_to)) AS valid_to
FROM published.contract_history
WHERE symbol = $symbol AND ($as_of IS NULL OR valid_from <= $as_of) ORDER BY valid_from
"""

_NAMES = "SELECT DISTINCT symbol FROM published.contract_history"

_ANNOUNCEMENTS = """
SELECT symbol, valid_from::DATE, delivery_date::DATE FROM published.contract_history ORDER BY symbol, valid_from
"""


class ContractQueries(Reader):
    """Queries of what the exchange said."""

    def get_contract(self, symbol: str, as_of: str | dt.datetime | None = None) -> Result[ContractRow]:
        """What the exchange said of a contract, by time: a row for each state that differs from the one before.

        Contracts without a folder in the archive, such as announced ones, have rows as well. There are none if the
        contract ended before the first answer was recorded.

        Args:
            symbol: The contract, in any spelling.
            as_of: A moment, UTC without offset: only what had been said by then; `valid_to` is that moment at most.

        Raises:
            UsageError: No such contract, or `as_of` is no moment.
            PublishedDatabaseError: The database was published by a version that did not record what was said.

        Example:
            >>> [state] = queries.get_contract("fttusdt")
            >>> state["status"], state["scheduled_end"]
            ('SETTLING', datetime.datetime(2022, 11, 15, 0, 0))
        """
        self._check_version(4, "record what the exchange said")
        names = {name for (name,) in self._fetch(_NAMES)}
        name = known(symbol, names) if isinstance(symbol, str) else None
        moment = None if as_of is None else parse_moment(as_of, "as_of")
        values = {"symbol": name or self._known_symbol(symbol), "as_of": moment}
        return self._result(ContractRow, _CONTRACT, values)

    def _announcements(self) -> dict[str, list[Announcement]]:
        """What was said of contracts' ends, by symbol."""
        self._check_version(4, "record what the exchange said")
        rows = groupby(self._fetch(_ANNOUNCEMENTS), key=lambda row: row[0])
        return {symbol: [Announcement(*row[1:]) for row in group] for symbol, group in rows}
