"""What a report shows of the published data: numbers and rows. How it looks is for `charts` and `page`."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from availability_pipeline.queries.contents import ContentsQueries
from availability_pipeline.queries.service_levels import LAGS

RECENT_DAYS = 30
"""Days that count as recent."""

LAG_DAYS = 90
"""Days of which the publication lag is shown."""

NAMED = 6
"""Contracts that are named of a day."""

ROWS = 20
"""Rows of a table at most."""

_CALENDAR = """
WITH absent AS (
    SELECT unnest(range(first_day, last_day + 1, INTERVAL 1 DAY))::DATE AS date, symbol, status
    FROM status_spans WHERE status IN ('pending', 'missing')
),
named AS (
    SELECT date, list(symbol ORDER BY status, symbol) AS symbols FROM absent GROUP BY date
)
SELECT
    date, file_count AS files, pending, missing, file_count + pending + missing AS expected,
    flat, published, bytes, array_to_string(symbols[:$named], ', ')
        || if(len(symbols) > $named, ' and ' || (len(symbols) - $named) || ' more', '') AS lacking
FROM published_days LEFT JOIN named USING (date)
WHERE date >= (SELECT min(date) FROM published_days WHERE file_count > 0)
ORDER BY date
"""

_LIVES = """
SELECT
    spans.symbol, status, spans.first_day AS start, spans.last_day + 1 AS stop, listed,
    kind, ended
FROM status_spans AS spans
JOIN (
    SELECT
        symbol, min(first_day) AS listed, NOT bool_or(is_open) AS ended
    FROM symbol_lifecycle GROUP BY symbol
) USING (symbol)
JOIN (
    SELECT
        symbol,
        CASE
            WHEN contract_type = 'TRADIFI_PERPETUAL' THEN 'stock or index'
            WHEN contract = 'perpetual' THEN 'coin'
            ELSE contract
        END AS kind
    FROM symbols
) USING (symbol)
WHERE status IN ('published', 'flat', 'pending', 'missing') AND evidence IS DISTINCT FROM 'no_row'
ORDER BY listed, symbol, start
"""

_LISTINGS = """
SELECT date_trunc('month', first_day)::DATE AS month, 'listings' AS what, count(*)::INTEGER AS contracts
FROM symbol_lifecycle GROUP BY month
UNION ALL
SELECT date_trunc('month', last_trading_day)::DATE, 'delistings', -count(*)::INTEGER
FROM symbol_lifecycle WHERE NOT is_open AND last_trading_day IS NOT NULL GROUP BY 1
ORDER BY month, what
"""

_CONCENTRATION = """
WITH months AS (
    SELECT date - (day(date)::INTEGER - 1) AS month, symbol, sum(quote_volume) AS volume FROM daily_volume GROUP BY ALL
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY month ORDER BY volume DESC) AS place FROM months
)
SELECT
    month, 'top ' || top AS what, sum(volume) FILTER (place <= top) / sum(volume) AS share
FROM ranked CROSS JOIN (SELECT unnest([10, 50, 100]) AS top)
GROUP BY month, top HAVING sum(volume) > 0 ORDER BY month, top
"""

_LAG = (
    f"{LAGS} SELECT date, quantile_cont(hours, 0.5) AS p50, quantile_cont(hours, 0.95) AS p95 "  # noqa: S608 - a constant
    "FROM lags GROUP BY date ORDER BY date"
)

_ENDINGS = """
SELECT symbol, delivery_date AS scheduled_end, status, valid_to AS said_until
FROM contract_history QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY valid_from DESC) = 1
    AND delivery_date::DATE >= $today AND contract_type LIKE '%PERPETUAL'
ORDER BY delivery_date, symbol
"""

_AWAITED = """
SELECT status, symbol, first_day, last_day, last_day - first_day + 1 AS days
FROM status_spans WHERE status IN ('pending', 'missing') AND last_day > $through::DATE - $days::INTEGER
ORDER BY last_day DESC, symbol LIMIT $rows
"""

_NEW = """
SELECT symbol, first_day, episode FROM symbol_lifecycle
WHERE first_day > $through::DATE - $days::INTEGER ORDER BY first_day DESC, symbol
"""

_ENDED = """
SELECT symbol, last_trading_day, last_day, end_reason FROM symbol_lifecycle
WHERE NOT is_open AND last_trading_day > $through::DATE - $days::INTEGER ORDER BY last_trading_day DESC, symbol
"""

_OF_INCOMPLETE = ("date", "symbol", "verdict", "checksum", "rows", "missing_minutes")

_CHANGES = """
SELECT observed_at, kind, date, symbol, old_file_size_bytes, new_file_size_bytes
FROM availability_changes ORDER BY observed_at DESC, date DESC, symbol LIMIT $rows
"""

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Overview:
    """Everything that a report shows."""

    dataset: str
    through: dt.date
    published_at: dt.datetime
    contracts: int
    files: int
    bytes: int
    completeness: float
    """Share of the expected files of the last `RECENT_DAYS` days that are there."""
    calendar: Rows
    """Each day since the first file: files, pending, missing, expected, flat, published, bytes, lacking (names)."""
    lives: Rows
    """Spans of contracts with files: symbol, status, start, stop (day after), listed, kind, ended."""
    listings: Rows
    """By month: listings, and delistings as negative numbers."""
    concentration: Rows
    """By month, the share of the traded value in the 10, 50 and 100 largest contracts; empty without bars."""
    lag: Rows
    """By day of the last 90: p50 and p95 of the hours from the end of the day to the file."""
    tables: dict[str, Rows]
    """What changed: by caption."""


class ReportQueries(ContentsQueries):
    """Queries of what a report shows."""

    def read_overview(self) -> Overview:
        """Read what a report shows.

        Raises:
            PublishedDatabaseError: The published database, of any dataset, cannot be read.
        """
        # Not `AvailabilityQueries.sql`, which opens a connection of its own for each query and fences it off.
        self._fetch("USE published")
        calendar = self._rows(_CALENDAR, named=NAMED)
        recent = calendar[-RECENT_DAYS:]
        expected = sum(day["expected"] for day in recent)
        has_bars = self.publication.schema_version >= 4 and self.dataset.has_volume
        return Overview(
            dataset=self.dataset.name,
            through=self.publication.data_through,
            published_at=self.publication.published_at,
            contracts=self.publication.symbol_count,
            files=self.publication.file_count,
            bytes=sum(day["bytes"] for day in calendar),
            completeness=sum(day["files"] for day in recent) / expected if expected else 0.0,
            calendar=calendar,
            lives=self._rows(_LIVES),
            listings=self._rows(_LISTINGS),
            concentration=self._rows(_CONCENTRATION) if has_bars else [],
            lag=self._lag(calendar),
            tables=self._tables(),
        )

    def _tables(self) -> dict[str, Rows]:
        days = {"through": self.publication.data_through, "days": RECENT_DAYS}
        return {
            "Last changes of files": self._rows(_CHANGES, rows=ROWS),
            "Files that are pending or missing": self._rows(_AWAITED, **days, rows=ROWS),
            "Incomplete files": self._newest_incomplete(),
            "New contracts": self._rows(_NEW, **days),
            "Ended contracts": self._rows(_ENDED, **days),
            "Announced ends": self._rows(_ENDINGS, today=self.publication.published_at.date()),
        }

    def _newest_incomplete(self) -> Rows:
        """The newest incomplete files; none where files are not inspected."""
        if self.publication.schema_version < 4 or not self.dataset.has_minutes:
            return []
        found: Rows = [dict(row) for row in self.get_incomplete()]
        newest = sorted(found, key=lambda row: row["date"], reverse=True)[:ROWS]
        return [{name: row[name] for name in _OF_INCOMPLETE} for row in newest]

    def _lag(self, calendar: Rows) -> Rows:
        if not calendar:
            return []
        end: dt.date = calendar[-1]["date"]
        return self._rows(_LAG, start=end - dt.timedelta(days=LAG_DAYS - 1), end=end)

    def _rows(self, sql: str, **values: object) -> Rows:
        return self._connection.rows(sql, values)
