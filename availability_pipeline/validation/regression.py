"""Whether publishing would replace good data by worse."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import duckdb

from availability_pipeline.errors import PublishedDatabaseError
from availability_pipeline.publishing.opening import open_published
from availability_pipeline.validation.finding import SAMPLE, Finding, Scope, counted, named

TOLERATED_FALL = 0.05
"""Share of a day's files by which it may shrink: files are withdrawn at times, but never many of one day."""

NEIGHBOURHOOD_DAYS = 3
"""A published day counts as complete if it has 95 % of the files of the fullest day this near."""

_PUBLISHED = "SELECT date, file_count FROM published.published_days WHERE file_count > 0"

_WORKING = "SELECT date, count(*) FROM daily_availability WHERE available GROUP BY date"


def no_regression(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Finding:
    """No day that is published completely has fewer files now, by more than 5 % and more than one file.

    All days are compared, whatever the run, because a publication replaces all of them.
    """
    path = scope.settings.db_path
    if not path.exists() or not path.stat().st_size:
        summary = "nothing is published yet that could get worse"
        return Finding("no_regression", passed=True, summary=summary, numbers={"days": 0, "fallen_days": 0})
    try:
        published = _published_files(scope)
    except PublishedDatabaseError as error:
        return Finding("no_regression", passed=False, summary=f"could not be evaluated: {error}",
                       numbers={"days": 0, "fallen_days": 0})  # fmt: skip
    working = dict(connection.execute(_WORKING).fetchall())
    fallen = [
        {"date": day, "published_files": files, "files_now": working.get(day, 0)}
        for day, files in sorted(published.items())
        if _is_worse(files, working.get(day, 0)) and _is_complete(day, published)
    ]
    lost = sum(day["published_files"] - day["files_now"] for day in fallen)
    numbers = {"days": len(published), "fallen_days": len(fallen), "lost_files": lost}
    if not fallen:
        days = counted(len(published), "published day")
        summary = f"none of {days} has lost more than {TOLERATED_FALL:.0%} of its files"
        return Finding("no_regression", passed=True, summary=summary, numbers=numbers)
    summary = (
        f"{counted(len(fallen), 'published day')} would lose {counted(lost, 'file')} "
        f"({named(fallen, 'date', total=len(fallen))}); "
        f"run `backfill --start {fallen[0]['date']} --end {fallen[-1]['date']}` to look again, or "
        "`publish --accept-fewer-files` if they are really gone"
    )
    return Finding("no_regression", passed=False, summary=summary, numbers=numbers, offenders=fallen[:SAMPLE])


def _published_files(scope: Scope) -> dict[dt.date, int]:
    connection, _ = open_published(scope.settings.db_path)
    try:
        return dict(connection.execute(_PUBLISHED).fetchall())
    finally:
        connection.close()


def _is_worse(before: int, now: int) -> bool:
    return before - now > max(1, TOLERATED_FALL * before)


def _is_complete(day: dt.date, files: Mapping[dt.date, int]) -> bool:
    around = range(-NEIGHBOURHOOD_DAYS, NEIGHBOURHOOD_DAYS + 1)
    fullest = max(files.get(day + dt.timedelta(days=distance), 0) for distance in around)
    return files[day] >= (1 - TOLERATED_FALL) * fullest
