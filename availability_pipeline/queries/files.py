"""Queries of files: a day, also as of a past moment, a contract, a range, a matrix of dates × contracts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

from availability_pipeline.catalogue.columns import DAILY_AVAILABILITY, AvailabilityRow, arrow_schema
from availability_pipeline.dates import DayRange, parse_moment
from availability_pipeline.errors import UsageError
from availability_pipeline.queries.columns import COLUMNS, Row
from availability_pipeline.queries.reader import Connection, Day, Reader, Values
from availability_pipeline.queries.result import Result, rows_of

if TYPE_CHECKING:
    import pyarrow as pa

    from availability_pipeline.publishing.opening import Publication


Fetch = Callable[[str, dict[str, Any]], list[tuple[Any, ...]]]
"""Runs a query with bound values."""

# The rows as known at a moment: contracts seen by then, with later changes reverted from the ledger's old values.
_AS_OF = """
WITH taken_back AS (
    SELECT
        symbol, arg_min_null(old_file_size_bytes, observed_at) AS size,
        arg_min_null(old_last_modified, observed_at) AS modified
    FROM published.availability_changes WHERE date = $date AND observed_at > $as_of GROUP BY symbol
)
SELECT
    held.symbol,
    if(taken_back.symbol IS NULL, file_size_bytes, size) AS size_then,
    if(taken_back.symbol IS NULL, last_modified, modified) AS modified_then
FROM published.availability_by_date AS held
JOIN published.symbols USING (symbol) LEFT JOIN taken_back USING (symbol)
WHERE held.date = $date AND first_seen <= $as_of ORDER BY held.symbol
"""

# The first collection of the day, and the last one before a moment.
_COLLECTED = """
SELECT min(finished_at), max(finished_at) FILTER (finished_at <= $as_of)
FROM published.collection_runs WHERE $date BETWEEN window_start AND window_end
"""


def known_at(fetch: Fetch, day: dt.date, moment: dt.datetime) -> list[tuple[Any, ...]]:
    """The rows of a snapshot as known at a moment: symbol, size, last-modified, time of the last collection by then.

    Args:
        fetch: Queries the published database.
        day: A collected UTC day.
        moment: Naive, UTC.

    Raises:
        UsageError: The day was first collected later.
    """
    values = {"date": day, "as_of": moment}
    [(first, last)] = fetch(_COLLECTED, values)
    if last is None:
        raise UsageError(
            f"what was known of {day} at {moment} UTC cannot be told, because it was first collected after that, "
            f"until {first.replace(microsecond=0) + dt.timedelta(seconds=1)}; ask for that moment or a later one"
        )
    return [(*row, last) for row in fetch(_AS_OF, values)]


# Rows are not made from Arrow, which takes ten times as long. A timeline of 2,500 rows shall take 1 ms, so these are
# minimal. No ORDER BY: files are stored in this order, and so are all rows of a contract. No available and
# status_code: they follow from the size. The audit of every publication proves both. No url: Python builds it in less
# time than DuckDB needs to plan the expression. No condition on `available` in a snapshot: a second filter costs more
# than the rows that it removes.
_SNAPSHOT = """
SELECT symbol, file_size_bytes, last_modified, probe_timestamp FROM published.availability_by_date WHERE date = ?
"""
_TIMELINE = """
SELECT date, file_size_bytes, last_modified, probe_timestamp FROM published.availability_by_symbol
WHERE symbol = ? AND date >= ?
"""
_RANGE = """
SELECT date, symbol, file_size_bytes, last_modified, probe_timestamp FROM published.availability_by_date
WHERE date BETWEEN ? AND ? AND available
"""
_RANGE_OF_CONTRACT = """
SELECT date, symbol, file_size_bytes, last_modified, probe_timestamp FROM published.availability_by_symbol
WHERE date BETWEEN ? AND ? AND available AND symbol = ?
"""

_WITHOUT_CHECKSUM = """
SELECT date, symbol, has_checksum FROM published.availability_by_date
WHERE date BETWEEN ? AND ? AND available AND has_checksum IS NOT TRUE
"""

_RANGE_ARROW = "FROM published.daily_availability WHERE date BETWEEN ? AND ? AND available"
_RANGE_OF_CONTRACT_ARROW = (
    "FROM published.symbol_timeline WHERE date BETWEEN ? AND ? AND available AND symbol = ?"
)
_TIMELINE_ARROW = "FROM published.symbol_timeline WHERE symbol = ? AND date >= ?"

_MATRIX = "SELECT available FROM published.availability_by_symbol WHERE date >= ? AND date < ?"

# For days that were not collected for every contract; NULL means not collected.
_MATRIX_WITH_GAPS = """
SELECT available
FROM (SELECT symbol FROM published.published_symbols) CROSS JOIN (SELECT unnest($days) AS date)
LEFT JOIN published.availability_by_symbol USING (symbol, date) ORDER BY symbol, date
"""


def _row(
    date: dt.date, symbol: str, size: int | None, modified: dt.datetime | None, url: str, probed: dt.datetime
) -> AvailabilityRow:
    return {
        "date": date,
        "symbol": symbol,
        "available": size is not None,
        "file_size_bytes": size,
        "last_modified": modified,
        "url": url,
        "status_code": 404 if size is None else 200,
        "probe_timestamp": probed,
    }


class FileQueries(Reader):
    """Queries of files."""

    def get_available_symbols_on_date(
        self, date: Day, *, as_of: str | dt.datetime | None = None
    ) -> Result[AvailabilityRow]:
        """The contracts that have a file on a day, by symbol.

        Args:
            date: The UTC day.
            as_of: A moment, UTC without offset: the files as the database knew them then, without those that appeared
                later and with the former sizes of replaced ones. `probe_timestamp` is then the day's last collection
                before that moment. A contract counts as collected from the day's first collection on, even if that was
                restricted to other contracts (`backfill --symbols`).

        Raises:
            UsageError: The day is invalid, has no data, or was first collected after `as_of`.

        Warns:
            IncompleteDayWarning: The day was collected for some contracts only.

        Example:
            >>> rows = queries.get_available_symbols_on_date("2024-01-15")
            >>> len(rows), rows[0]["symbol"], rows[0]["file_size_bytes"]
            (10, '1000BONKUSDT', 59511)
        """
        day = self._collected_day(date)
        connection, bases, ending = self._connection, self._url_bases, self._url_endings[day]

        made = partial(_snapshot, day, bases, ending)
        if as_of is None:
            return Result(
                COLUMNS,
                lambda: made(connection.fetch(_SNAPSHOT, [day])),
                lambda: connection.arrow(_RANGE_ARROW, [day, day]),
            )
        # Not lazily, because it may raise.
        rows = made(known_at(connection.fetch, day, parse_moment(as_of, "as_of")))
        return Result(COLUMNS, lambda: rows, lambda: _table_of(rows))

    def get_symbol_availability_timeline(self, symbol: str) -> Result[AvailabilityRow]:
        """Every day of a contract from its first file to the last collected day, available or not, by date.

        Args:
            symbol: The contract, in any spelling: `BTCUSDT`, `btcusdt`, `BTC-USDT`, `币安人生usdt`.

        Raises:
            UsageError: No such contract; the message has similar names.

        Example:
            >>> rows = queries.get_symbol_availability_timeline("btcusdt")
            >>> rows[0]["date"], rows[0]["available"], rows[0]["url"].rsplit("/")[-1]
            (datetime.date(2019, 12, 31), True, 'BTCUSDT-1m-2019-12-31.zip')
        """
        name = self._known_symbol(symbol)
        base, endings = self._url_bases[name], self._url_endings
        connection, values = self._connection, [name, self._first_days[name]]
        return Result(
            COLUMNS,
            lambda: [
                _row(date, name, size, modified, base + endings[date], probed)
                for date, size, modified, probed in connection.fetch(_TIMELINE, values)
            ],
            lambda: connection.arrow(_TIMELINE_ARROW, values),
        )

    def get_availability_range(
        self, start: Day, end: Day, symbols: Collection[str] = ()
    ) -> Result[AvailabilityRow]:
        """Every file of a range of days, both ends included, by date and symbol.

        `.stream()` avoids holding the some 700,000 dicts of a whole history.

        Args:
            start: The first UTC day.
            end: The last UTC day, included.
            symbols: Only these contracts, in any spelling; the order is then by contract and date.

        Raises:
            UsageError: The start is after the end, there is no data of a day, or a contract is unknown.

        Warns:
            IncompleteDayWarning: A day was collected for some contracts only.

        Example:
            >>> len(queries.get_availability_range("2024-01-15", "2024-01-21"))
            70
            >>> len(queries.get_availability_range("2024-01-15", "2024-01-21", ["btcusdt", "ethusdt"]))
            14
        """
        days = self._collected_range(start, end)
        names = dict.fromkeys(self._known_symbol(symbol) for symbol in symbols)
        connection, ends = self._connection, [days.start, days.end]
        if not names:
            stream = self._streaming()
            return Result(COLUMNS, lambda: stream(_RANGE, ends), lambda: connection.arrow(_RANGE_ARROW, ends))
        return self._range_of_contracts(ends, list(names))

    def _range_of_contracts(self, ends: list[dt.date], names: list[str]) -> Result[AvailabilityRow]:
        connection = self._connection
        stream = self._streaming()

        def table() -> pa.Table:
            import pyarrow as pa  # noqa: PLC0415 - only frames need it

            return pa.concat_tables(
                connection.arrow(_RANGE_OF_CONTRACT_ARROW, [*ends, name]) for name in names
            )

        return Result(
            COLUMNS,
            lambda: (row for name in names for row in stream(_RANGE_OF_CONTRACT, [*ends, name])),
            table,
        )

    def files_without_checksum(self, start: Day, end: Day) -> dict[tuple[dt.date, str], bool | None]:
        """The files of a range of days without a known `.CHECKSUM`.

        Returns:
            By day and contract: False if the archive has none, None if unknown, because the day was probed and not
            listed since.

        Raises:
            UsageError: The start is after the end, or there is no data of a day.
            PublishedDatabaseError: The database was published by a version that did not record checksums.

        Example:
            >>> queries.files_without_checksum("2024-01-15", "2024-01-21")
            {}
        """
        days = self._collected_range(start, end)
        self._check_version(2, "record checksums")
        found = self._fetch(_WITHOUT_CHECKSUM, [days.start, days.end])
        return {(day, symbol): has_checksum for day, symbol, has_checksum in found}

    def availability_matrix(self, start: Day, end: Day) -> Result[Row]:
        """Dates × contracts, for masking a panel of prices.

        Returns:
            One row per day, oldest first: the column `date`, and one Boolean column, by name, for every contract with
            any file. False is a day without a file, None a day that was not collected for the contract. Calculate with
            `.df()`, `.pl()` or `.arrow()`.

        Raises:
            UsageError: The start is after the end, or there is no data of a day.

        Warns:
            IncompleteDayWarning: A day was collected for some contracts only.

        Example:
            >>> matrix = queries.availability_matrix("2022-05-10", "2022-05-15")
            >>> [row["LUNAUSDT"] for row in matrix]
            [True, True, True, True, False, False]
        """
        days = self._collected_range(start, end)
        connection, publication = self._connection, self.publication
        symbols = sorted(self._first_days)
        shown = [symbol for symbol in symbols if self._first_days[symbol] is not None]

        @cache
        def table() -> pa.Table:
            import pyarrow as pa  # noqa: PLC0415 - only frames need it

            parts = _cells(connection, days, symbols, publication)
            columns = {
                symbol: pa.chunked_array(
                    [cells.slice(place[symbol] * length, length) for cells, length, place in parts],
                    pa.bool_(),
                )
                for symbol in shown
            }
            return pa.table({"date": pa.array(days, pa.date32()), **columns})

        return Result(["date", *shown], lambda: rows_of(table()), table)

    def _streaming(self) -> Callable[[str, Values], Iterator[AvailabilityRow]]:
        """A function that streams the files of a query from the current connection, even after a reload."""
        connection, bases, endings = self._connection, self._url_bases, self._url_endings

        def stream(query: str, values: Values) -> Iterator[AvailabilityRow]:
            for found in connection.stream(query, values):
                for date, symbol, size, modified, probed in found:
                    yield _row(date, symbol, size, modified, bases[symbol] + endings[date], probed)

        return stream


def _cells(
    connection: Connection, days: DayRange, symbols: list[str], publication: Publication
) -> list[tuple[pa.Array, int, dict[str, int]]]:
    """Truth values by symbol, then by day, number of days, and symbols' places: before the tail, and in it."""
    after = days.end + dt.timedelta(days=1)
    cut = min(max(days.start, publication.tail_from or dt.date.max), after)
    # Contracts all of whose rows lie in the tail come last.
    before = sorted(symbols, key=lambda symbol: (symbol in publication.tail_symbols, symbol))
    parts = []
    for first, end, order in ((days.start, cut, before), (cut, after, symbols)):
        if length := (end - first).days:
            table = connection.arrow(_MATRIX, [first, end])
            if table.num_rows != length * len(symbols):
                order = symbols  # noqa: PLW2901
                table = connection.arrow(
                    _MATRIX_WITH_GAPS, {"days": list(DayRange(first, end - dt.timedelta(days=1)))}
                )
            places = {symbol: place for place, symbol in enumerate(order)}
            parts.append((table["available"].combine_chunks(), length, places))
    return parts


def _snapshot(
    day: dt.date, bases: Mapping[str, str], ending: str, found: list[tuple[Any, ...]]
) -> list[AvailabilityRow]:
    """The rows of a day with a file."""
    return [
        _row(day, symbol, size, modified, bases[symbol] + ending, probed)
        for symbol, size, modified, probed in found
        if size is not None
    ]


def _table_of(rows: list[AvailabilityRow]) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415 - only frames need it

    return pa.Table.from_pylist(cast("list[Row]", rows), arrow_schema(DAILY_AVAILABILITY))
