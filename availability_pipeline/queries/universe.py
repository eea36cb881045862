"""Queries of universes: the contracts that were tradable on a day, as known on that day."""

from __future__ import annotations

import datetime as dt
import operator
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from availability_pipeline.dates import DayRange
from availability_pipeline.errors import IncompleteDayWarning, UsageError
from availability_pipeline.queries.columns import UNIVERSE_COLUMNS, Row, UniverseRow
from availability_pipeline.queries.contracts import ContractQueries
from availability_pipeline.queries.liquidity import LiquidityRules, Ranked, RankedBy, Statistic
from availability_pipeline.queries.listings import (
    DEFAULT_TYPE,
    Endings,
    ListingHistory,
    Member,
    MembershipSpan,
    UniverseRules,
    histories_of,
    member,
    membership_spans,
)
from availability_pipeline.queries.reader import Day, whole_number
from availability_pipeline.queries.result import Result

if TYPE_CHECKING:
    import pyarrow as pa


WINDOW_DAYS = 30
"""The default window, days."""

DaysInWindow = int | tuple[int, int]
"""Minimum number of days with a live file in the window, optionally with the window's length: `25`, `(50, 60)`."""

LONGEST_DAYS = 36_500
"""Limit of rules in days: a hundred years."""

_SPANS = """
SELECT spans.symbol, spans.first_day, spans.last_day, status, spans.known_from, episodes.first_day
FROM published.status_spans AS spans LEFT JOIN published.symbol_lifecycle AS episodes USING (symbol, episode)
ORDER BY spans.symbol, spans.first_day
"""

_DAYS_WITH_BARS = "SELECT DISTINCT date FROM published.daily_volume WHERE list_contains($days, date)"

_HELD = "SELECT symbol FROM published.availability_by_date WHERE date = ?"

_CONTRACTS = """
SELECT symbol, any_value(nullif(contract_type, '')), any_value(successor)
FROM published.symbol_lifecycle JOIN published.symbols USING (symbol) GROUP BY symbol
"""


class UniverseQueries(ContractQueries):
    """Queries of universes."""

    def get_universe(  # noqa: PLR0913 - the rules of a universe
        self,
        date: Day,
        min_age_days: int = 0,
        min_days_in_window: DaysInWindow | None = None,
        include_flat: bool = False,
        contract_types: Collection[str] | None = None,
        *,
        exclude_ending: int | None = None,
        top: int | None = None,
        rank_by: RankedBy = "quote_volume",
        window_days: int = WINDOW_DAYS,
        statistic: Statistic = "median",
        min_quote_volume: float | None = None,
        explain: bool = False,
    ) -> Result[UniverseRow]:
        """The contracts that were tradable on a day, by symbol, as known on that day.

        Only files of this day and earlier ones count. A contract that went flat is therefore excluded from the day on
        which that could be known: the first day without a trade where its daily bars are known.

        Args:
            date: The UTC day.
            min_age_days: Minimum days since the first file of the listing; 0 includes contracts on their first day.
            min_days_in_window: Minimum days with a live file among the last 30, including this day, such as `25`; with
                another window, such as `(50, 60)`.
            include_flat: Whether to include contracts that are listed and no longer traded.
            contract_types: Only these types of exchangeInfo, such as `PERPETUAL` and `TRADIFI_PERPETUAL`; contracts
                unknown to it count as `PERPETUAL`.
            exclude_ending: Exclude contracts that are announced to end within so many days, 0 for this day, by what the
                exchange had said by the end of this day.
            top: Only so many contracts, the most liquid of those that the other rules let in.
            rank_by: What ranks them: `quote_volume` or `trades`.
            window_days: Length of the window that ends with this day, in calendar days.
            statistic: What the bars of the window come to: `median`, `mean`, `sum`, `min` or `max`. A bar without a
                trade counts as 0, a day without a bar does not count.
            min_quote_volume: The least value of the same statistic of the traded value, in the quote asset.
            explain: Whether to return excluded contracts as well, with the reason.

        Returns:
            Rows of `UniverseRow`. Reasons are `flat`; `pending`, `missing` or `ended` for a day without a file;
            `young`; `few_days`; `contract_type`; `ending`; `same_contract` for a SETTLED folder on days that its
            successor has as well; with `top` or `min_quote_volume` also `not_traded` on this day, `low_volume`, `rank`.

        Raises:
            UsageError: The day is invalid, has no data, or a rule is out of range.

        Warns:
            IncompleteDayWarning: The day was collected for some contracts only, nothing of it is published,
                `exclude_ending` is given and nothing is recorded of what the exchange said by then, or contracts are
                to be ranked and there is no daily bar of the day.

        Example:
            >>> [row["symbol"] for row in queries.get_universe("2022-11-25", min_age_days=365)]
            ['BTCUSDT', 'ETHUSDT', 'LITUSDT', 'SOLUSDT']
        """
        day = self._collected_day(date)
        rules = self._rules(
            min_age_days, min_days_in_window, contract_types, exclude_ending, include_flat=include_flat
        )
        liquidity = LiquidityRules(top, rank_by, window_days, statistic, min_quote_volume)
        found = [one for history in self._histories_on(day) if (one := member(history, day, rules))]
        self._warn_of_nothing(DayRange(day, day))
        self._warn_of_silence(day, rules)
        ranks, reasons = self._ranked(found, day, liquidity)
        if explain:
            members = [
                one if one.reason else one._replace(reason=reasons.get(one.history.symbol)) for one in found
            ]
        else:
            members = [one for one in found if one.reason is None and one.history.symbol not in reasons]
        return Result(
            UNIVERSE_COLUMNS,
            lambda: (row_of(day, one, ranks) for one in members),
            lambda: table_of_day(day, members, ranks),
        )

    def _ranked(
        self, found: list[Member], day: dt.date, rules: LiquidityRules
    ) -> tuple[dict[str, Ranked], dict[str, str]]:
        """By contract, the places of those that are ranked, and why others are excluded by liquidity."""
        if not rules.is_asked:
            return {}, {}
        self._check_has_volume()
        bars = self._fetch(rules.query_of_day(), rules.values_of_day(day))
        liquidity = {symbol: (value, quote_volume) for symbol, value, quote_volume in bars}
        members = [one.history.symbol for one in found if one.reason is None]
        if members and not liquidity:
            self._warn_of_no_bars([day])
        return rules.exclusions(members, liquidity)

    def _warn_of_no_bars(self, days: Collection[dt.date]) -> None:
        """Warn of those among the days, on which no contract is ranked, that have no bar at all."""
        with_bars = {day for (day,) in self._fetch(_DAYS_WITH_BARS, {"days": sorted(days)})}
        without = sorted(set(days) - with_bars)
        if without:
            more = f" and {len(without) - 1} more days" if len(without) > 1 else ""
            warnings.warn(
                f"there is no daily bar of {without[0]}{more} yet, so no contract can be ranked there",
                IncompleteDayWarning,
                stacklevel=4,
            )

    def _histories_on(self, day: dt.date) -> list[ListingHistory]:
        """The contracts that the day was collected for."""
        if day not in self._incomplete:
            return self._histories
        held = {symbol for (symbol,) in self._fetch(_HELD, [day])}
        return [history for history in self._histories if history.symbol in held]

    def universe_history(  # noqa: PLR0913, PLR0917 - the rules of a universe, by place as well
        self,
        start: Day,
        end: Day,
        step: int = 1,
        min_age_days: int = 0,
        min_days_in_window: DaysInWindow | None = None,
        include_flat: bool = False,
        contract_types: Collection[str] | None = None,
        *,
        exclude_ending: int | None = None,
        top: int | None = None,
        rank_by: RankedBy = "quote_volume",
        window_days: int = WINDOW_DAYS,
        statistic: Statistic = "median",
        min_quote_volume: float | None = None,
    ) -> Result[Row]:
        """The universes of many days, for a backtest, each as known on its own day.

        Args:
            start: The first UTC day.
            end: The last UTC day.
            step: Days from one universe to the next.
            min_age_days: As for `get_universe`.
            min_days_in_window: As for `get_universe`.
            include_flat: As for `get_universe`.
            contract_types: As for `get_universe`.
            exclude_ending: As for `get_universe`.
            top: As for `get_universe`.
            rank_by: As for `get_universe`.
            window_days: As for `get_universe`.
            statistic: As for `get_universe`.
            min_quote_volume: As for `get_universe`.

        Returns:
            Rows of `UniverseRow` without `reason`, by date and symbol. For a Parquet file:
            `pyarrow.parquet.write_table(result.arrow(), "universe.parquet")`.

        Raises:
            UsageError: As for `get_universe`; also a step that is out of range.

        Warns:
            IncompleteDayWarning: As for `get_universe`.

        Example:
            >>> universes = queries.universe_history("2022-01-01", "2022-12-31", step=7, min_age_days=30)
            >>> universes.arrow().num_rows, universes.columns[:3]
            (325, ('date', 'symbol', 'status'))
        """
        days = self._collected_range(start, end)
        every = whole_number("step", step, 1, LONGEST_DAYS)
        rules = self._rules(
            min_age_days, min_days_in_window, contract_types, exclude_ending, include_flat=include_flat
        )
        liquidity = LiquidityRules(top, rank_by, window_days, statistic, min_quote_volume)
        self._warn_of_nothing(days)
        self._warn_of_silence(days.start, rules)
        chosen = list(days)[::every]
        table = table_of(
            (one for history in self._histories for one in membership_spans(history, days, rules)), chosen
        )
        table = self._without_uncollected(table, [day for day in chosen if day in self._incomplete])
        return Result.of_arrow(self._with_ranks(table, days, liquidity))

    def _with_ranks(self, table: pa.Table, days: DayRange, rules: LiquidityRules) -> pa.Table:
        """The rows that the rules let in, with the columns of ranked ones."""
        import pyarrow as pa  # noqa: PLC0415 - only frames need it

        if rules.is_asked:
            self._check_has_volume()
            ranked = self._connection.arrow(rules.query_of_days(), rules.values_of_days(days), members=table)
            if without := set(table["date"].unique().to_pylist()).difference(
                ranked["date"].unique().to_pylist()
            ):
                self._warn_of_no_bars(without)
            return ranked
        nothing = {"rank": pa.int32(), "liquidity": pa.float64()}
        for name, kind in nothing.items():
            table = table.append_column(name, pa.nulls(table.num_rows, kind))
        return table

    def _without_uncollected(self, table: pa.Table, incomplete: list[dt.date]) -> pa.Table:
        """The rows of contracts that their day was collected for."""
        import pyarrow as pa  # noqa: PLC0415 - only frames need it

        if not incomplete:
            return table
        held = {(day, history.symbol) for day in incomplete for history in self._histories_on(day)}
        keys = zip(table["date"].to_pylist(), table["symbol"].to_pylist(), strict=True)
        return table.filter(pa.array([key[0] not in self._incomplete or key in held for key in keys]))

    @cached_property
    def _histories(self) -> list[ListingHistory]:
        contracts = {symbol: (kind, successor) for symbol, kind, successor in self._fetch(_CONTRACTS)}
        return histories_of(self._fetch(_SPANS), contracts)

    def _rules(
        self,
        min_age: int,
        days_in_window: DaysInWindow | None,
        types: Collection[str] | None,
        exclude_ending: int | None,
        *,
        include_flat: bool,
    ) -> UniverseRules:
        age = whole_number("min_age_days", min_age, 0, LONGEST_DAYS)
        window = None if days_in_window is None else _window(days_in_window)
        chosen = None if types is None else self._types(types)
        return UniverseRules(age, window, include_flat, chosen, self._endings(exclude_ending))

    def _endings(self, days: int | None) -> Endings | None:
        if days is None:
            return None
        return Endings(whole_number("exclude_ending", days, 0, LONGEST_DAYS), self._announcements())

    def _types(self, types: Collection[str]) -> frozenset[str]:
        if (
            not isinstance(types, Collection)
            or not all(isinstance(name, str) for name in types)
            or isinstance(types, str)
        ):
            raise UsageError(f"contract_types is {types!r}, but it must be a list such as ['PERPETUAL']")
        chosen = frozenset(name.strip().upper() for name in types)
        known = {history.contract_type or DEFAULT_TYPE for history in self._histories} | {DEFAULT_TYPE}
        if unknown := sorted(chosen - known):
            raise UsageError(
                f"contract_types has {', '.join(map(repr, unknown))}, which no contract is; there are "
                f"{', '.join(sorted(known))}"
            )
        return chosen

    def _warn_of_nothing(self, days: DayRange) -> None:
        """Warn of days without any file, which differ from days without trades."""
        empty = [day for day in days if not self._file_counts[day] and self._is_awaited(day)]
        if empty:
            more = f" and {len(empty) - 1} more days" if len(empty) > 1 else ""
            warnings.warn(
                f"the archive has no file of {empty[0]}{more}, so the universe is empty there; the last day with "
                f"files is {self.publication.last_file_day}",
                IncompleteDayWarning,
                stacklevel=3,
            )

    @staticmethod
    def _warn_of_silence(day: dt.date, rules: UniverseRules) -> None:
        """Warn of days before the first answer of the exchange, on which nothing can be excluded by it."""
        if rules.endings is None:
            return
        said = (one.said_on for announced in rules.endings.announcements.values() for one in announced)
        first = min(said, default=None)
        if first is None or day < first:
            since = f"is recorded before {first}" if first else "is recorded yet"
            warnings.warn(
                f"nothing that the exchange said {since}, so exclude_ending excludes nothing on earlier days",
                IncompleteDayWarning,
                stacklevel=3,
            )

    def _is_awaited(self, day: dt.date) -> bool:
        spans = (history.span_on(day) for history in self._histories)
        return any(span.status in ("pending", "missing") for span in spans if span)


def _window(days: DaysInWindow) -> tuple[int, int]:
    """`min_days_in_window` as minimum and length."""
    try:
        least, length = (
            operator.index(number) for number in (days if isinstance(days, tuple) else (days, WINDOW_DAYS))
        )
    except (TypeError, ValueError):
        least = length = 0
    if not 1 <= least <= length <= LONGEST_DAYS:
        raise UsageError(
            f"min_days_in_window is {days!r}, but it must be a number of the last {WINDOW_DAYS} days such as 25, or "
            "two numbers such as (50, 60), of which the first is 1 or more and not above the second, which is "
            f"{LONGEST_DAYS:,} at most"
        )
    return least, length


def row_of(day: dt.date, member: Member, ranks: Mapping[str, Ranked]) -> UniverseRow:
    """A contract on a day."""
    history, status, listed_on, reason = member
    rank, liquidity = ranks.get(history.symbol, (None, None))
    return {
        "date": day,
        "symbol": history.symbol,
        "status": status,
        "first_day": listed_on,
        "age_days": (day - listed_on).days if listed_on else None,
        "contract_type": history.contract_type,
        "rank": rank,
        "liquidity": liquidity,
        "reason": reason,
    }


def table_of_day(day: dt.date, members: Iterable[Member], ranks: Mapping[str, Ranked]) -> pa.Table:
    """Contracts on one day, with the reasons of exclusions."""
    import pyarrow as pa  # noqa: PLC0415 - only frames need it

    schema = pa.schema(
        {
            "date": pa.date32(),
            "symbol": pa.string(),
            "status": pa.string(),
            "first_day": pa.date32(),
            "age_days": pa.int32(),
            "contract_type": pa.string(),
            "rank": pa.int32(),
            "liquidity": pa.float64(),
            "reason": pa.string(),
        }
    )
    return pa.Table.from_pylist([dict(row_of(day, member, ranks)) for member in members], schema)


def table_of(found: Iterable[MembershipSpan], days: list[dt.date]) -> pa.Table:
    """One row for each chosen day of each span, by date and symbol."""
    import pyarrow as pa  # noqa: PLC0415 - only frames need it
    import pyarrow.compute as pc  # noqa: PLC0415

    dates: list[dt.date] = []
    members: list[Member] = []
    for one in found:
        chosen = days[bisect_left(days, one.first_day) : bisect_right(days, one.last_day)]
        dates += chosen
        members += [one.member] * len(chosen)
    date = pa.array(dates, pa.date32())
    first_day = pa.array([one.listed_on for one in members], pa.date32())
    columns = {
        "date": date,
        "symbol": pa.array([one.history.symbol for one in members], pa.string()),
        "status": pa.array([one.status for one in members], pa.string()),
        "first_day": first_day,
        "age_days": pc.subtract(date.cast(pa.int32()), first_day.cast(pa.int32())),
        "contract_type": pa.array([one.history.contract_type for one in members], pa.string()),
    }
    return pa.table(columns).sort_by([("date", "ascending"), ("symbol", "ascending")])
