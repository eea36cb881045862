"""Queries of what is in the 1-minute files: which are not whole, and which were never inspected."""

from __future__ import annotations

import datetime as dt

from availability_pipeline.catalogue.columns import WHOLE
from availability_pipeline.queries.columns import IncompleteRow
from availability_pipeline.queries.reader import Day, Reader
from availability_pipeline.queries.result import Result

# Sums of doubles differ from the bar after some twelve digits; "+ 0" makes 0 of -0.
_INCOMPLETE = """
SELECT
    held.date, held.symbol, verdict, file_size_bytes, last_modified, checksum, rows, first_minute, last_minute,
    missing_minutes, duplicate_minutes, unordered_minutes, traded_minutes, held.quote_volume,
    round(held.quote_volume - bar.quote_volume, 2) + 0 AS volume_difference, inspected_at
FROM published.file_contents AS held LEFT JOIN published.daily_volume AS bar USING (date, symbol)
WHERE NOT list_contains($whole, verdict) AND ($symbol IS NULL OR held.symbol = $symbol)
    AND NOT EXISTS (
        FROM published.file_contents AS newer WHERE newer.date = held.date AND newer.symbol = held.symbol
            AND (newer.last_modified, newer.inspected_at) > (held.last_modified, held.inspected_at)
    )
ORDER BY held.date, held.symbol
"""

_NOT_COMPLETE = """
SELECT held.date, held.symbol, verdict
FROM published.availability_by_date AS held LEFT JOIN published.file_contents AS contents
    USING (date, symbol, file_size_bytes, last_modified)
WHERE held.date BETWEEN $first AND $last AND available AND (verdict IS NULL OR NOT list_contains($whole, verdict))
"""


class ContentsQueries(Reader):
    """Queries of what is in files."""

    def get_incomplete(self, symbol: str | None = None) -> Result[IncompleteRow]:
        """The files that are not whole, by date and symbol: of each the version that was inspected last.

        Files of first and last days that have nothing missing within the contract's life are whole.

        Args:
            symbol: The contract, in any spelling; all by default.

        Raises:
            UsageError: No such contract.
            PublishedDatabaseError: The database was published by a version that did not inspect files.

        Example:
            >>> [file] = queries.get_incomplete()
            >>> file["date"], file["symbol"], file["verdict"], file["volume_difference"]
            (datetime.date(2024, 1, 16), 'SOLUSDT', 'bad_checksum', 0.0)
        """
        self._check_version(4, "inspect files")
        name = None if symbol is None else self._known_symbol(symbol)
        return self._result(IncompleteRow, _INCOMPLETE, {"symbol": name, "whole": list(WHOLE)})

    def files_not_complete(self, start: Day, end: Day) -> dict[tuple[dt.date, str], str | None]:
        """The files of a range of days whose published version is not known to be whole.

        Returns:
            By day and contract: the verdict, or None if this version was not inspected.

        Raises:
            UsageError: The start is after the end, or there is no data of a day.
            PublishedDatabaseError: The database was published by a version that did not inspect files.

        Example:
            >>> queries.files_not_complete("2024-01-15", "2024-01-16")
            {(datetime.date(2024, 1, 16), 'SOLUSDT'): 'bad_checksum'}
        """
        self._check_version(4, "inspect files")
        days = self._collected_range(start, end)
        values = {"first": days.start, "last": days.end, "whole": list(WHOLE)}
        return {(day, symbol): verdict for day, symbol, verdict in self._fetch(_NOT_COMPLETE, values)}
