"""Queries of the data as a whole: extent, daily summary, changes, and users' SQL."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from availability_pipeline.dates import DayRange, parse_day
from availability_pipeline.publishing.opening import Publication
from availability_pipeline.queries.columns import ChangeRow, Row, SummaryRow
from availability_pipeline.queries.coverage import other_files
from availability_pipeline.queries.reader import Day, Reader
from availability_pipeline.queries.result import Result

RECENT_DAYS = 3
"""Collected days in `Status.pending`."""

RECENT_RUNS = 5
"""Collections in `Status.runs`."""

_CHANGES = """
FROM published.availability_changes WHERE $since IS NULL OR observed_at >= $since::DATE
ORDER BY observed_at, date, symbol
"""

_AWAITED = """
SELECT date, file_count, pending + missing AS pending_count
FROM published.published_days ORDER BY date DESC LIMIT ?
"""

_SUMMARY = """
FROM published.published_days
WHERE date BETWEEN $start AND $end ORDER BY date
"""

_SPANS = """
SELECT status, first_day, last_day FROM status_spans
WHERE symbol = $symbol AND status <> 'not_listed' ORDER BY first_day
"""

_RUNS = "FROM published.collection_runs ORDER BY finished_at DESC, started_at DESC LIMIT ?"


@dataclass(frozen=True)
class Status:
    """The extent of the data, and the last collections."""

    publication: Publication
    complete_through: dt.date | None
    """The last day collected for all contracts, if any."""
    pending: Sequence[Row]
    """The last collected days, newest first: date, file_count, and pending_count (status pending or missing)."""
    runs: Sequence[Row]
    """The last collections, newest first; the keys are the columns of `collection_runs`."""


class StatusQueries(Reader):
    """Queries of the data as a whole."""

    def get_status(self) -> Status:
        """The extent of the data, awaited files of the last days, and the last collections.

        Example:
            >>> status = queries.get_status()
            >>> status.publication.first_day, status.publication.symbol_count
            (datetime.date(2019, 9, 25), 20)
        """
        complete = max(self._file_counts.keys() - self._incomplete.keys(), default=None)
        recent = self._connection.rows(_AWAITED, [RECENT_DAYS])
        last_runs = self._connection.rows(_RUNS, [RECENT_RUNS])
        return Status(self.publication, complete, recent, last_runs)

    def get_availability_summary(
        self, start: Day | None = None, end: Day | None = None
    ) -> Result[SummaryRow]:
        """How many files each collected day has, by date.

        Args:
            start: The first UTC day; the first collected one by default.
            end: The last UTC day, included; the last collected one by default.

        Raises:
            UsageError: The start is after the end, or there is no data of one of them.

        Example:
            >>> [day] = queries.get_availability_summary("2024-01-15", "2024-01-15")
            >>> day["row_count"], day["file_count"]
            (20, 10)
        """
        return self._result(SummaryRow, _SUMMARY, self._span(start, end))

    def _span(self, start: Day | None, end: Day | None) -> dict[str, dt.date]:
        first = self.publication.first_day if start is None else parse_day(start, "start")
        last = self.publication.data_through if end is None else parse_day(end, "end")
        self._check_held(days := DayRange(first, last))
        return {"start": days.start, "end": days.end}

    def get_changes(self, since: Day | None = None) -> Result[ChangeRow]:
        """The ledger of files that appeared late, were replaced or withdrawn, in order of observation.

        Args:
            since: The first UTC day of observation; all by default.

        Raises:
            UsageError: `since` is not a day.

        Example:
            >>> queries.get_changes("2024-01-15")
            []
        """
        return self._result(ChangeRow, _CHANGES, self._since(since))

    def sql(
        self,
        query: str,
        parameters: Sequence[object] | Mapping[str, object] = (),
        *,
        timeout_seconds: float = 30.0,
        memory_limit_mb: int = 1024,
        max_rows: int = 1_000_000,
    ) -> Result[Row]:
        """Run your own query over the relations of the published database, read-only and without files.

        Those of other datasets that are collected are in schemas with the dataset's name, such as
        `"spot/klines/1m".daily_availability`.

        Args:
            query: Statements in DuckDB's SQL, of which the last one, such as a SELECT, gives the result; others may
                create temporary tables and views for this call.
            parameters: Values of the last statement, a sequence for `?` or a mapping for `$name`.
            timeout_seconds: Limit of DuckDB's work.
            memory_limit_mb: Limit of DuckDB's memory, MiB.
            max_rows: Limit of the result.

        Raises:
            UsageError: The query is invalid, attempts more than reading, or exceeds a limit.

        Example:
            >>> queries.sql("SELECT sum(file_count) AS files FROM published_days WHERE date < ?", ["2021-01-01"])
            [{'files': 843}]
        """
        from availability_pipeline.queries.sql import Bounds, run_sql  # noqa: PLC0415 - needs Arrow

        self._check_open()
        bounds = Bounds(timeout_seconds, memory_limit_mb, max_rows)
        others = other_files(self.dataset, self.path, self._settings)
        with run_sql(self.path, query, parameters, bounds, others) as result:
            return Result.of_arrow(result.to_arrow())

    @staticmethod
    def _since(since: Day | None) -> dict[str, dt.date | None]:
        return {"since": None if since is None else parse_day(since, "since")}


def statuses_by_day(queries: StatusQueries, symbol: str) -> list[tuple[dt.date, str]]:
    """The status of each day of a contract since its first file, by date."""
    return [
        (day, span["status"])
        for span in queries.sql(_SPANS, {"symbol": symbol})
        for day in DayRange(span["first_day"], span["last_day"])
    ]
