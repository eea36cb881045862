"""Liquidity of contracts for universes: what their bars of a window of calendar days come to, and who is in for it.

A bar without a trade counts as 0; a day without a bar does not count. Only contracts with a trade on the day itself are
ranked. Nothing after the day has a say.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from availability_pipeline.dates import DayRange
from availability_pipeline.errors import UsageError
from availability_pipeline.queries.reader import whole_number

Statistic = Literal["median", "mean", "sum", "min", "max"]
RankedBy = Literal["quote_volume", "trades"]

STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
RANKED_BY: tuple[RankedBy, ...] = get_args(RankedBy)

LONGEST_WINDOW = 3_650
"""Days."""

_MOST = 2**31 - 1
"""Limit of `top`, as ranks are counted."""

_OF_DAY = """
SELECT symbol, $aggregate($ranked_by)::DOUBLE AS liquidity, $aggregate(quote_volume)::DOUBLE AS value
FROM published.daily_volume WHERE date BETWEEN $last::DATE - ($window::INTEGER - 1) AND $last::DATE
GROUP BY symbol HAVING any_value(trades) FILTER (date = $last::DATE) > 0
"""

_OF_DAYS = """
WITH windows AS (
    SELECT
        date, symbol, trades, $aggregate($ranked_by) OVER past AS liquidity, $aggregate(quote_volume) OVER past AS value
    FROM published.daily_volume
    WHERE date BETWEEN $first::DATE - ($window::INTEGER - 1) AND $last::DATE
    WINDOW past AS (
        PARTITION BY symbol ORDER BY date RANGE BETWEEN to_days($window::INTEGER - 1) PRECEDING AND CURRENT ROW
    )
),
liquid AS (
    SELECT members.*, liquidity::DOUBLE AS liquidity
    FROM members JOIN (FROM windows WHERE trades > 0) AS windows USING (date, symbol)
    WHERE $least IS NULL OR value >= $least
)
SELECT * EXCLUDE (liquidity, rank), rank, liquidity FROM (
    SELECT *, (row_number() OVER (PARTITION BY date ORDER BY liquidity DESC, symbol))::INTEGER AS rank FROM liquid
) WHERE $top IS NULL OR rank <= $top ORDER BY date, symbol
"""


def _amount(value: float) -> float:
    try:
        amount = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        amount = math.nan
    if not (math.isfinite(amount) and amount >= 0):
        raise UsageError(f"min_quote_volume is {value!r}, but it must be a number from 0 up")
    return amount


class Ranked(NamedTuple):
    """The place of a contract in the universe of a day."""

    rank: int
    liquidity: float


@dataclass
class LiquidityRules:
    """Conditions for membership in a universe that bars decide.

    Args:
        top: How many contracts are in, the most liquid first; all that are ranked if None.
        rank_by: What ranks them.
        window_days: The length of the window that ends with the day, in calendar days.
        statistic: What the bars of the window come to.
        min_quote_volume: The least value of the same statistic of the traded value, in the quote asset.

    Raises:
        UsageError: One of them is out of range.
    """

    top: int | None = None
    rank_by: RankedBy = "quote_volume"
    window_days: int = 30
    statistic: Statistic = "median"
    min_quote_volume: float | None = None

    def __post_init__(self) -> None:
        if self.top is not None:
            self.top = whole_number("top", self.top, 1, _MOST)
        self.window_days = whole_number("window_days", self.window_days, 1, LONGEST_WINDOW)
        for name, value, allowed in (
            ("rank_by", self.rank_by, RANKED_BY), ("statistic", self.statistic, STATISTICS),
        ):  # fmt: skip
            if value not in allowed:
                raise UsageError(f"{name} is {value!r}, but it must be one of {', '.join(allowed)}")
        if self.min_quote_volume is not None:
            self.min_quote_volume = _amount(self.min_quote_volume)

    @property
    def is_asked(self) -> bool:
        """Whether they exclude anything."""
        return self.top is not None or self.min_quote_volume is not None

    def query_of_day(self) -> str:
        """SQL of symbol, liquidity and traded value of every contract that can be ranked on `$last`."""
        return self._filled(_OF_DAY)

    def query_of_days(self) -> str:
        """SQL of the rows of `members` that are in, with rank and liquidity, for days from `$first` to `$last`."""
        return self._filled(_OF_DAYS)

    def _filled(self, query: str) -> str:
        aggregate = {"mean": "avg"}.get(self.statistic, self.statistic)
        return query.replace("$aggregate", aggregate).replace("$ranked_by", self.rank_by)

    def values_of_day(self, day: dt.date) -> dict[str, Any]:
        """The values of the parameters of `query_of_day`."""
        return {"last": day, "window": self.window_days}

    def values_of_days(self, days: DayRange) -> dict[str, Any]:
        """The values of the parameters of `query_of_days`."""
        return {
            "first": days.start,
            "last": days.end,
            "window": self.window_days,
            "least": self.min_quote_volume,
            "top": self.top,
        }

    def exclusions(
        self, symbols: Iterable[str], found: Mapping[str, tuple[float, float]]
    ) -> tuple[dict[str, Ranked], dict[str, str]]:
        """Which of a day's contracts are in by rank, and why the others are not.

        Args:
            symbols: The contracts that all other rules let in.
            found: By contract, its liquidity and traded value.
        """
        reasons: dict[str, str] = {}
        liquid: list[tuple[float, str]] = []
        for symbol in symbols:
            if symbol not in found:
                reasons[symbol] = "not_traded"
            elif self.min_quote_volume is not None and found[symbol][1] < self.min_quote_volume:
                reasons[symbol] = "low_volume"
            else:
                liquid.append((-found[symbol][0], symbol))
        liquid.sort()
        if self.top is not None:
            reasons.update((symbol, "rank") for _, symbol in liquid[self.top :])
        ranks = {symbol: Ranked(rank, -negative) for rank, (negative, symbol) in enumerate(liquid, 1)}
        return ranks, reasons
