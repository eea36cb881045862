"""The Python API: what the archive held, asked of the published database, read-only.

Questions and their SQL live here. How the file is made and opened is `publishing`'s business, how answers are
printed is `cli`'s. Rows are plain dicts whose keys are the columns of `daily_availability`: date (`datetime.date`),
symbol, available, file_size_bytes, last_modified (UTC, naive), url, status_code, probe_timestamp (UTC, naive).
Methods whose names end in `_arrow` give the same rows as a `pyarrow.Table`.
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from availability_pipeline.archive.keys import url_base
from availability_pipeline.days import DayRange, parse_day
from availability_pipeline.errors import IncompleteDayWarning, UsageError
from availability_pipeline.publishing.opening import Publication, open_published, reading
from availability_pipeline.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
"""One row; the keys are column names."""

Day = str | dt.date
"""A UTC day: `2024-01-15`, `yesterday`, or a `datetime.date`."""

COLUMNS = (
    "date",
    "symbol",
    "available",
    "file_size_bytes",
    "last_modified",
    "url",
    "status_code",
    "probe_timestamp",
)
"""The columns of `daily_availability`, which are the keys of its rows, in order."""

CHANGE_COLUMNS = (
    "date",
    "symbol",
    "kind",
    "old_file_size_bytes",
    "new_file_size_bytes",
    "old_last_modified",
    "new_last_modified",
    "observed_at",
    "run_id",
)
"""The columns of `availability_changes`, in order."""

RECENT_DAYS = 3
"""How many collected days a status looks at for files that are not there yet."""

RECENT_RUNS = 5
"""How many collections a status tells of."""

_ROWS_AT_ONCE = 20_000

# A timeline of 2,500 rows is to take 2 ms, so these ask for as little as can be. No ORDER BY: the tables are stored in
# this order. No available and no status_code: they follow from the size. The audit of every publication proves both.
# No url: Python puts it together in less time than DuckDB needs to plan the expression. No condition on `available`
# in a snapshot: a second filter in the scan costs more than the rows that it would leave out.
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

_RANGE_ARROW = "FROM published.daily_availability WHERE date BETWEEN ? AND ? AND available"
_TIMELINE_ARROW = "FROM published.symbol_timeline WHERE symbol = ? AND date >= ?"

_CHANGES = """
FROM published.availability_changes WHERE $since IS NULL OR observed_at >= $since::DATE
ORDER BY observed_at, date, symbol
"""

_PENDING = """
SELECT count(*) FROM published.availability_by_date
WHERE date = ? AND available
  AND symbol NOT IN (SELECT symbol FROM published.availability_by_date WHERE date = ? AND available)
"""

# Contracts that are no longer tracked are left out: newer days have no rows of them.
_CONTRACTS = (
    "SELECT count(*) FROM published.published_symbols JOIN published.symbols USING (symbol) WHERE tracked"
)

_RUNS = "FROM published.collection_runs ORDER BY finished_at DESC, started_at DESC LIMIT ?"


@dataclass(frozen=True)
class Status:
    """How far the data goes and what happened last."""

    publication: Publication
    complete_through: dt.date | None
    """The last day that is collected for all contracts; None if no day is."""
    pending: Sequence[Row]
    """The last collected days, newest first: date, file_count, and pending_count, which is how many contracts with a
    file on the newest earlier day that has files do not have one yet."""
    runs: Sequence[Row]
    """The last collections, newest first; the keys are the columns of `collection_runs`."""


class _UrlBases(dict[str, str]):
    """The beginning of a contract's URLs by symbol, made when first asked for."""

    def __init__(self, archive_url: str) -> None:
        super().__init__()
        self._archive_url = archive_url

    def __missing__(self, symbol: str) -> str:
        base = self[symbol] = url_base(self._archive_url, symbol)
        return base


def _row(
    date: dt.date, symbol: str, size: int | None, modified: dt.datetime | None, url: str, probed: dt.datetime
) -> Row:
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


class AvailabilityQueries:
    """A published database, open for reading; use it in a `with` statement or call `close`.

    It goes on reading the file that it opened, also after a new one was published; `reload` takes up the new one.
    One object is for one thread at a time.

    Args:
        path: The published database; by default the one of the settings (`AVAILABILITY_DB_PATH`).

    Raises:
        PublishedDatabaseError: It is missing, damaged, or of a newer version.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Settings.load().db_path if path is None else Path(path).expanduser()
        self._open()

    def _open(self) -> None:
        self._connection, self.publication = open_published(self.path)
        self._url_bases = _UrlBases(self.publication.archive_url)
        days = self._fetch("SELECT date, file_count, row_count FROM published.published_days ORDER BY date")
        self._file_counts: dict[dt.date, int] = {day: files for day, files, _ in days}
        self._contracts: int = self._fetch(_CONTRACTS)[0][0]
        self._incomplete: dict[dt.date, int] = {day: rows for day, _, rows in days if rows < self._contracts}
        self._url_endings = {day: f"{day}.zip" for day in self._file_counts}
        symbols = self._fetch("SELECT symbol, first_file_day FROM published.published_symbols")
        self._first_days: dict[str, dt.date | None] = dict(symbols)

    def close(self) -> None:
        """Close the file; further questions fail."""
        self._connection.close()

    def reload(self) -> bool:
        """Take up what was published since the file was opened.

        Returns:
            Whether there was something new.
        """
        before, old = self.publication, self._connection
        self._open()
        old.close()
        return self.publication != before

    def __enter__(self) -> AvailabilityQueries:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def get_available_symbols_on_date(self, date: Day) -> list[Row]:
        """The contracts that have a file on a day, by symbol.

        Raises:
            UsageError: The day is none, or there is no data of it.

        Warns:
            IncompleteDayWarning: The day was collected for some contracts only.
        """
        day = self._collected_day(date)
        bases, ending = self._url_bases, self._url_endings[day]
        return [
            _row(day, symbol, size, modified, bases[symbol] + ending, probed)
            for symbol, size, modified, probed in self._fetch(_SNAPSHOT, [day])
            if size is not None
        ]

    def get_available_symbols_on_date_arrow(self, date: Day) -> pa.Table:
        """The same as Arrow."""
        day = self._collected_day(date)
        return self._arrow(_RANGE_ARROW, [day, day])

    def get_symbol_availability_timeline(self, symbol: str) -> list[Row]:
        """Every day of a contract from its first file to the last collected day, available or not, by date.

        Args:
            symbol: The name of its folder in the archive, such as `BTCUSDT`, in upper or lower case.

        Raises:
            UsageError: No such contract; the message has similar names.
        """
        name = self._known_symbol(symbol)
        base, endings = self._url_bases[name], self._url_endings
        return [
            _row(date, name, size, modified, base + endings[date], probed)
            for date, size, modified, probed in self._fetch(_TIMELINE, [name, self._first_days[name]])
        ]

    def get_symbol_availability_timeline_arrow(self, symbol: str) -> pa.Table:
        """The same as Arrow."""
        name = self._known_symbol(symbol)
        return self._arrow(_TIMELINE_ARROW, [name, self._first_days[name]])

    def get_availability_range(self, start: Day, end: Day) -> list[Row]:
        """Every file of a range of days, both ends included, by date and symbol.

        A whole history is some 700,000 dicts; `iter_availability_range` does not hold them all at once.

        Raises:
            UsageError: The start is after the end, or there is no data of a day.

        Warns:
            IncompleteDayWarning: A day was collected for some contracts only.
        """
        days = self._collected_range(start, end)
        return list(self._stream(_RANGE, [days.start, days.end]))

    def iter_availability_range(self, start: Day, end: Day) -> Iterator[Row]:
        """The same, row after row."""
        days = self._collected_range(start, end)
        return self._stream(_RANGE, [days.start, days.end])

    def get_availability_range_arrow(self, start: Day, end: Day) -> pa.Table:
        """The same as Arrow."""
        days = self._collected_range(start, end)
        return self._arrow(_RANGE_ARROW, [days.start, days.end])

    def get_changes(self, since: Day | None = None) -> list[Row]:
        """What changed after a day was first collected: files that appeared late, were replaced, or were withdrawn.

        Args:
            since: Only what was noticed on this UTC day or later; everything by default.

        Returns:
            Rows of `CHANGE_COLUMNS`, as they were noticed: kind is published, republished or withdrawn, sizes are in
            bytes, moments are naive in UTC.

        Raises:
            UsageError: `since` is not a day.
        """
        found = self._fetch(_CHANGES, self._since(since))
        return [dict(zip(CHANGE_COLUMNS, row, strict=True)) for row in found]

    def get_changes_arrow(self, since: Day | None = None) -> pa.Table:
        """The same as Arrow."""
        return self._arrow(_CHANGES, self._since(since))

    @staticmethod
    def _since(since: Day | None) -> dict[str, dt.date | None]:
        return {"since": None if since is None else parse_day(since, "since")}

    def get_status(self) -> Status:
        """How far the data goes, what is still awaited of the last days, and the last collections."""
        recent = sorted(self._file_counts, reverse=True)[:RECENT_DAYS]
        with reading(self.path):
            runs = self._connection.execute(_RUNS, [RECENT_RUNS])
            names = [column[0] for column in runs.description or ()]
            last_runs = [dict(zip(names, row, strict=True)) for row in runs.fetchall()]
        complete = max(self._file_counts.keys() - self._incomplete.keys(), default=None)
        return Status(self.publication, complete, [self._pending(day) for day in recent], last_runs)

    def _pending(self, day: dt.date) -> Row:
        earlier = [other for other, files in self._file_counts.items() if other < day and files]
        pending = self._fetch(_PENDING, [max(earlier), day])[0][0] if earlier else 0
        return {"date": day, "file_count": self._file_counts[day], "pending_count": pending}

    def _fetch(self, query: str, values: Sequence[object] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        with reading(self.path):
            return self._connection.execute(query, values).fetchall()

    def _arrow(self, query: str, values: Sequence[object] | dict[str, Any]) -> pa.Table:
        with reading(self.path):
            return self._connection.sql(query, params=values).to_arrow_table()

    def _stream(self, query: str, values: Sequence[object]) -> Iterator[Row]:
        bases, endings = self._url_bases, self._url_endings
        # A cursor of its own: another question on the same connection would cut the answer off.
        with reading(self.path), self._connection.cursor() as cursor:
            cursor.execute(query, values)
            while found := cursor.fetchmany(_ROWS_AT_ONCE):
                for date, symbol, size, modified, probed in found:
                    yield _row(date, symbol, size, modified, bases[symbol] + endings[date], probed)

    def _collected_day(self, date: Day) -> dt.date:
        day = parse_day(date, "date")
        self._check_collected(DayRange(day, day))
        return day

    def _collected_range(self, start: Day, end: Day) -> DayRange:
        days = DayRange(parse_day(start, "start"), parse_day(end, "end"))
        self._check_collected(days)
        return days

    def _check_collected(self, days: DayRange) -> None:
        first, last = self.publication.first_day, self.publication.data_through
        for day in (days.start, days.end):
            if not first <= day <= last:
                raise UsageError(f"there is no data of {day}; the published database has {first} to {last}")
        for day in days:
            if day not in self._file_counts:
                raise UsageError(
                    f"{day} was never collected; run `binance-futures-availability backfill --start {day} --end {day}`"
                )
        if incomplete := [day for day in days if day in self._incomplete]:
            # From here through two methods to the line that asked.
            warnings.warn(self._incompleteness(incomplete), IncompleteDayWarning, stacklevel=4)

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
        name = symbol.strip().upper()
        if name in self._first_days:
            return name
        if self._fetch("SELECT 1 FROM published.symbols WHERE symbol = ?", [name]):
            raise UsageError(f"{name} is in the archive, but it is not tracked, so there is no data of it")
        raise UsageError(f"no contract is called {symbol!r}{self._similar(name)}")

    def _similar(self, name: str) -> str:
        from difflib import get_close_matches  # noqa: PLC0415 - only for a wrong name

        names = get_close_matches(name, self._first_days, n=3)
        return f"; similar names: {', '.join(names)}" if names else ""
