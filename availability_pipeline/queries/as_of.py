"""What the database knew of a day at a past moment, told from the ledger of changes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from availability_pipeline.errors import UsageError

Fetch = Callable[[str, dict[str, Any]], list[tuple[Any, ...]]]
"""Runs a query with bound values."""

# What was known at a moment: the rows of contracts that had been seen, with every later change taken back. The ledger
# has what was there before each change.
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

# When the day was asked about: the first time, and the last one by a moment.
_COLLECTED = """
SELECT min(finished_at), max(finished_at) FILTER (finished_at <= $as_of)
FROM published.collection_runs WHERE $date BETWEEN window_start AND window_end
"""


def known_at(fetch: Fetch, day: dt.date, moment: dt.datetime) -> list[tuple[Any, ...]]:
    """The rows of a snapshot as they were: symbol, size, last-modified, and when the day had last been collected.

    Args:
        fetch: Asks the published database.
        day: A collected UTC day.
        moment: In UTC, without a zone.

    Raises:
        UsageError: The day was first collected after that.
    """
    values = {"date": day, "as_of": moment}
    [(first, last)] = fetch(_COLLECTED, values)
    if last is None:
        raise UsageError(
            f"what was known of {day} at {moment} UTC cannot be told, because it was first collected after that, "
            f"until {first.replace(microsecond=0) + dt.timedelta(seconds=1)}; ask for that moment or a later one"
        )
    return [(*row, last) for row in fetch(_AS_OF, values)]
