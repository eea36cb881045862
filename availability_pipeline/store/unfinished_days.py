"""Taking back what was written by a clock that was ahead: rows of days that are not over, moments that are to come.

Such rows say nothing of the archive, and keep everything else from being published.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import duckdb

from availability_pipeline.store.connection import transaction

_FOUND = "SELECT count(*), min(date), max(date) FROM daily_availability WHERE date >= $today"

_REMOVE = (
    "DELETE FROM availability WHERE date >= $today",
    "DELETE FROM availability_changes WHERE date >= $today",
    "DELETE FROM collection_runs WHERE window_start >= $today",
    "UPDATE collection_runs SET window_end = $today::DATE - 1 WHERE window_end >= $today",
)

# It is not known how far the clock was ahead, only that nothing can have happened after now.
_BRING_BACK = (
    "UPDATE availability SET probe_timestamp = $now WHERE probe_timestamp > $now",
    "UPDATE availability_changes SET observed_at = $now WHERE observed_at > $now",
    "UPDATE collection_runs SET started_at = least(started_at, $now), finished_at = $now WHERE finished_at > $now",
    "UPDATE symbols SET first_seen = $now WHERE first_seen > $now",
    "UPDATE symbols SET seen_at = $now WHERE seen_at > $now",
)


@dataclass(frozen=True)
class UnfinishedDays:
    """What was removed."""

    rows: int
    first: dt.date
    last: dt.date


def remove_unfinished_days(connection: duckdb.DuckDBPyConnection, now: dt.datetime) -> UnfinishedDays | None:
    """Remove all that is of days that are not over, and let no moment be later than now, in one transaction.

    Args:
        connection: The working database.
        now: The moment, naive in UTC, by a clock that is known to be right: one that is behind would remove good rows.

    Returns:
        The rows of `daily_availability` that were removed; None if there were none.
    """
    with transaction(connection):
        [(rows, first, last)] = connection.execute(_FOUND, {"today": now.date()}).fetchall()
        for statement in _REMOVE:
            connection.execute(statement, {"today": now.date()})
        for statement in _BRING_BACK:
            connection.execute(statement, {"now": now})
    return UnfinishedDays(rows, first, last) if rows else None
