"""An open published database, without any query: connection, reload, and the checks of days, symbols and numbers."""

from __future__ import annotations

import datetime as dt
import operator
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from availability_pipeline.catalogue.datasets import Dataset, dataset_named
from availability_pipeline.dates import DayRange, parse_day
from availability_pipeline.errors import IncompleteDayWarning, PublishedDatabaseError, UsageError
from availability_pipeline.publishing.opening import open_published, reading
from availability_pipeline.publishing.remote.cache import published_file
from availability_pipeline.queries.columns import Row, columns_of
from availability_pipeline.queries.result import Result
from availability_pipeline.settings import Settings
from availability_pipeline.symbols import known, suggestion

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

R = TypeVar("R", bound=Mapping[str, object])

Day = str | dt.date
"""A UTC day: `2024-01-15`, `yesterday`, or a `datetime.date`."""

# Without contracts that are no longer tracked, which have no rows on newer days.
_CONTRACTS = (
    "SELECT count(*) FROM published.published_symbols JOIN published.symbols USING (symbol) WHERE tracked"
)


ROWS_AT_ONCE = 20_000
"""Rows per batch of a stream."""

Values = Sequence[object] | dict[str, Any]
"""Parameters of a query."""


def whole_number(name: str, value: object, least: int, most: int) -> int:
    """A number that a caller gave, which may be NumPy's; raises UsageError, which calls it `name`."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or not least <= number <= most:
        raise UsageError(f"{name} is {value!r}, but it must be a whole number from {least:,} to {most:,}")
    return number


class Connection:
    """Runs queries on a database attached as `published`, one at a time.

    A reader and its results share it, so that a result can still be made after its reader was closed or reloaded; it
    closes with the last reference.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        # A query of another thread on the same connection would discard the open result.
        self._alone = threading.Lock()
        self._duckdb, self._path = connection, path

    def fetch(self, query: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """All rows as tuples."""
        with self._alone, reading(self._path):
            return self._duckdb.execute(query, values).fetchall()

    def rows(self, query: str, values: Values = ()) -> list[Row]:
        """All rows as dicts whose keys are the columns of the query."""
        with self._alone, reading(self._path):
            found = self._duckdb.execute(query, values)
            columns = [column[0] for column in found.description or ()]
            return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]

    def arrow(self, query: str, values: Values = (), **tables: pa.Table) -> pa.Table:
        """All rows as a table; the query can name these tables as well."""
        with self._alone, reading(self._path):
            for name, table in tables.items():
                self._duckdb.register(name, table)
            try:
                return self._duckdb.sql(query, params=values).to_arrow_table()
            finally:
                for name in tables:
                    self._duckdb.unregister(name)

    def stream(self, query: str, values: Values = ()) -> Iterator[list[tuple[Any, ...]]]:
        """The rows as tuples, in batches."""
        # A separate cursor, because another query on the same connection would end this one.
        with reading(self._path), self._duckdb.cursor() as cursor:
            cursor.execute(query, values)
            while found := cursor.fetchmany(ROWS_AT_ONCE):
                yield found


class _UrlBases(dict[str, str]):
    """URL prefixes by symbol, made on first use."""

    def __init__(self, dataset: Dataset, archive_url: str) -> None:
        super().__init__()
        self._dataset, self._archive_url = dataset, archive_url

    def __missing__(self, symbol: str) -> str:
        base = self[symbol] = self._dataset.url_stem(self._archive_url, symbol)
        return base


class Reader:
    """The base class of queries: opens the file and checks arguments."""

    def __init__(
        self,
        path: Path | str | None = None,
        *,
        settings: Settings | None = None,
        dataset: str | None = None,
    ) -> None:
        if path is None or dataset is not None:
            settings = (settings or Settings.load()).of_dataset(dataset)
            path = settings.db_path if path is None else path
        self._settings, self.location = settings, path
        self.path = published_file(path, settings)
        self._open()

    def _open(self) -> None:
        connection, publication = open_published(self.path)
        self._opened: Connection | None = Connection(connection, self.path)
        self.publication = publication
        self.dataset = dataset_named(publication.dataset, f"the dataset of {self.path}")
        self._url_bases = _UrlBases(self.dataset, publication.archive_url)
        days = self._fetch("SELECT date, file_count, row_count FROM published.published_days ORDER BY date")
        self._file_counts: dict[dt.date, int] = {day: files for day, files, _ in days}
        self._contracts: int = self._fetch(_CONTRACTS)[0][0]
        self._incomplete: dict[dt.date, int] = {day: rows for day, _, rows in days if rows < self._contracts}
        self._url_endings = {day: f"{day}.zip" for day in self._file_counts}
        symbols = self._fetch("SELECT symbol, first_file_day FROM published.published_symbols")
        self._first_days: dict[str, dt.date | None] = dict(symbols)

    def close(self) -> None:
        """Close the file; idempotent. Further queries fail.

        Results stay usable; those not made yet keep the file open.

        Example:
            >>> opened = AvailabilityQueries()
            >>> opened.close()
        """
        self._opened = None

    @property
    def _connection(self) -> Connection:
        if self._opened is None:
            raise UsageError(f"this {type(self).__name__} of {self.location} is closed; open another one")
        return self._opened

    def _check_open(self) -> None:
        """Raise UsageError if closed, for queries that do not use the connection."""
        _ = self._connection

    def reload(self) -> bool:
        """Open the newest publication; earlier results do not change.

        Returns:
            Whether there was a new one.

        Raises:
            PublishedDatabaseError: It cannot be read; this object keeps the one before.
            UsageError: This object is closed.

        Example:
            >>> queries.reload()
            False
        """
        self._check_open()
        fresh = type(self)(self.location, settings=self._settings)
        changed = fresh.publication != self.publication
        vars(self).clear()
        vars(self).update(vars(fresh))
        return changed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetch(self, query: str, values: Values = ()) -> list[tuple[Any, ...]]:
        return self._connection.fetch(query, values)

    def _result(self, row_type: type[R], query: str, values: Values = ()) -> Result[R]:
        """The result of a query whose columns are those of the row type."""
        connection = self._connection
        return Result(
            columns_of(row_type),
            lambda: cast("list[R]", connection.rows(query, values)),
            lambda: connection.arrow(query, values),
        )

    def _check_version(self, since: int, what: str) -> None:
        """Raise PublishedDatabaseError if the program that published did not yet do something, in words."""
        self._check_open()
        if self.publication.schema_version < since:
            raise PublishedDatabaseError(
                f"{self.path} was published by a version that did not {what}; run `publish`"
            )

    def _check_has_volume(self) -> None:
        self._check_version(4, "read volume")

    def _collected_day(self, date: Day) -> dt.date:
        day = parse_day(date, "date")
        self._check_collected(DayRange(day, day))
        return day

    def _collected_range(self, start: Day, end: Day) -> DayRange:
        days = DayRange(parse_day(start, "start"), parse_day(end, "end"))
        self._check_collected(days)
        return days

    def _check_held(self, days: DayRange) -> None:
        self._check_open()
        first, last = self.publication.first_day, self.publication.data_through
        for day in (days.start, days.end):
            if not first <= day <= last:
                raise UsageError(f"there is no data of {day}; the published database has {first} to {last}")

    def _check_collected(self, days: DayRange) -> None:
        self._check_held(days)
        for day in days:
            if day not in self._file_counts:
                raise UsageError(
                    f"{day} was never collected; run `binance-futures-availability backfill --start {day} --end {day}`"
                )
        if incomplete := [day for day in days if day in self._incomplete]:
            # The caller of the public method.
            message = self.dataset.in_commands(self._incompleteness(incomplete))
            warnings.warn(message, IncompleteDayWarning, stacklevel=4)

    def _incompleteness(self, days: Sequence[dt.date]) -> str:
        first, last = days[0], days[-1]
        command = f"`binance-futures-availability backfill --start {first} --end {last}`"
        for_some = f"for only {self._incomplete[first]} of {self._contracts} contracts"
        if first == last:
            return f"{first} is collected {for_some}; {command} completes it"
        return (
            f"{len(days)} days are collected for some contracts only, the first of them, {first}, {for_some}; "
            f"{command} completes them"
        )

    def _known_symbol(self, symbol: str) -> str:
        if not isinstance(symbol, str):
            raise UsageError(f"the contract is {symbol!r}, but it must be a string such as 'BTCUSDT'")
        if (name := known(symbol, self._first_days)) is not None:
            return name
        others = [name for (name,) in self._fetch("SELECT symbol FROM published.symbols")]
        if (name := known(symbol, others)) is not None:
            raise UsageError(
                f"{name} is in the archive, but it is not tracked, so there is no data of it; "
                "AVAILABILITY_TRACKED_QUOTES and AVAILABILITY_TRACKED_CONTRACTS say what is"
            )
        raise UsageError(f"no contract is called {symbol!r}{suggestion(symbol, self._first_days)}")
