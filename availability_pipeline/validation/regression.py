"""Whether publishing would replace good data by worse."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from availability_pipeline.errors import PublishedDatabaseError
from availability_pipeline.publishing.opening import open_published, reading
from availability_pipeline.validation.finding import SAMPLE, Finding, Scope, named
from availability_pipeline.words import counted

TOLERATED_FALL = 0.05
"""Share of a day's files by which it may shrink: files are withdrawn at times, but never many of one day."""

NEIGHBOURHOOD_DAYS = 3
"""A day counts as complete if it once had 95 % of the files of the fullest day this near."""

_PUBLISHED = "SELECT date, row_count, file_count FROM published.published_days"

# Files that the ledger calls withdrawn count as well: a day that has lost some before is not one that never had them.
_WORKING = """
WITH last_change AS (
    SELECT date, symbol, arg_max(kind, observed_at) AS kind FROM availability_changes GROUP BY date, symbol
),
withdrawn AS (
    SELECT date, count(*) AS files FROM last_change WHERE kind = 'withdrawn' GROUP BY date
),
held AS (
    SELECT date, count(*) AS rows, count(*) FILTER (available) AS files FROM daily_availability GROUP BY date
)
SELECT date, rows, held.files, held.files + coalesce(withdrawn.files, 0)
FROM held LEFT JOIN withdrawn USING (date)
"""


@dataclass(frozen=True)
class _Day:
    """What there is of a day."""

    rows: int = 0
    files: int = 0
    once: int = 0
    """Files that there were at some time."""


def no_regression(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Finding:
    """No published day has fewer rows now, and no complete one has lost more than 5 % of its files and more than one.

    All days are compared, whatever the run, because a publication replaces all of them. Only those that are not over
    are left out: a clock that was ahead has published them, and nothing can be lost there.
    """
    path = scope.settings.db_file
    numbers = {"days": 0, "fallen_days": 0, "lost_files": 0}
    if not path.exists() or not path.stat().st_size:
        summary = "nothing is published yet that could get worse"
        return Finding("no_regression", passed=True, summary=summary, numbers=numbers)
    try:
        published = {day: counts for day, counts in _published(path).items() if day < scope.today}
    except PublishedDatabaseError as error:
        summary = f"could not be evaluated: {error}"
        return Finding("no_regression", passed=False, summary=summary, numbers=numbers)
    working = {day: _Day(*counts) for day, *counts in connection.execute(_WORKING).fetchall()}
    fallen = list(_fallen(published, working))
    lost = sum(max(0, day["published_files"] - day["files_now"]) for day in fallen)
    numbers = {"days": len(published), "fallen_days": len(fallen), "lost_files": lost}
    if not fallen:
        days = counted(len(published), "published day")
        summary = f"none of {days} has lost more than {TOLERATED_FALL:.0%} of its files"
        return Finding("no_regression", passed=True, summary=summary, numbers=numbers)
    summary = (
        f"{counted(len(fallen), 'published day')} would lose {counted(lost, 'file')}, or rows "
        f"({named(fallen, 'date', total=len(fallen))}); "
        f"run `backfill --start {fallen[0]['date']} --end {fallen[-1]['date']}` to look again, or "
        "`publish --accept-fewer-files` if they are really gone"
    )
    return Finding("no_regression", passed=False, summary=summary, numbers=numbers, offenders=fallen[:SAMPLE])


def _published(path: Path) -> dict[dt.date, _Day]:
    connection, _ = open_published(path)
    try:
        with reading(path):
            rows = connection.execute(_PUBLISHED).fetchall()
    finally:
        connection.close()
    return {day: _Day(row_count, files, files) for day, row_count, files in rows}


def _fallen(published: Mapping[dt.date, _Day], working: Mapping[dt.date, _Day]) -> Iterator[dict[str, Any]]:
    nothing = _Day()
    once = {day: max(before.once, working.get(day, nothing).once) for day, before in published.items()}
    for day, before in sorted(published.items()):
        now = working.get(day, nothing)
        fewer_files = before.files - now.files > max(1, TOLERATED_FALL * before.files) and _is_complete(
            day, once
        )
        if fewer_files or now.rows < before.rows:
            yield {
                "date": day, "published_files": before.files, "files_now": now.files,
                "published_rows": before.rows, "rows_now": now.rows,
            }  # fmt: skip


def _is_complete(day: dt.date, files: Mapping[dt.date, int]) -> bool:
    around = range(-NEIGHBOURHOOD_DAYS, NEIGHBOURHOOD_DAYS + 1)
    fullest = max(files.get(day + dt.timedelta(days=distance), 0) for distance in around)
    return files[day] >= (1 - TOLERATED_FALL) * fullest
