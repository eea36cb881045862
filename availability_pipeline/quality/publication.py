"""What is published: whether readers have what the working database has, and whether publishing would lose data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from availability_pipeline.errors import PublishedDatabaseError, cause_of
from availability_pipeline.lifecycle.derive import derived_at
from availability_pipeline.publishing.audit import content_of, differences, differences_in_content
from availability_pipeline.publishing.opening import open_published, reading
from availability_pipeline.publishing.release import as_audited
from availability_pipeline.publishing.rows import fingerprint_of
from availability_pipeline.quality.check import SAMPLE, Scope, Severity, Verdict, check, named
from availability_pipeline.symbols import counted

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

_ROW_COUNT = "SELECT count(*) FROM daily_availability"

_WRITTEN_SINCE = """
SELECT
    exists(FROM collection_runs WHERE finished_at > $published_at)
    OR exists(FROM symbols WHERE seen_at > $published_at OR first_seen > $published_at)
"""


@dataclass(frozen=True)
class _Day:
    """What there is of a day."""

    rows: int = 0
    files: int = 0
    once: int = 0
    """Files that there were at some time."""


@check(asset="daily_availability", blocking=True, waived_by_fewer_files=True)
def no_regression(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """No published day has fewer rows now, and no complete one has lost more than 5 % of its files and more than one.

    All days are compared, whatever the run, because a publication replaces all of them. Only those that are not over
    are left out: a clock that was ahead has published them, and nothing can be lost there.
    """
    path = scope.settings.db_file
    numbers = {"days": 0, "fallen_days": 0, "lost_files": 0}
    if not path.exists() or not path.stat().st_size:
        summary = "nothing is published yet that could get worse"
        return Verdict(passed=True, summary=summary, numbers=numbers)
    try:
        published = {day: counts for day, counts in _published(path).items() if day < scope.today}
    except PublishedDatabaseError as error:
        summary = f"could not be evaluated: {error}"
        return Verdict(passed=False, summary=summary, numbers=numbers)
    working = {day: _Day(*counts) for day, *counts in connection.execute(_WORKING).fetchall()}
    fallen = list(_fallen(published, working))
    lost = sum(max(0, day["published_files"] - day["files_now"]) for day in fallen)
    numbers = {"days": len(published), "fallen_days": len(fallen), "lost_files": lost}
    if not fallen:
        days = counted(len(published), "published day")
        summary = f"none of {days} has lost more than {TOLERATED_FALL:.0%} of its files"
        return Verdict(passed=True, summary=summary, numbers=numbers)
    summary = (
        f"{counted(len(fallen), 'published day')} would lose {counted(lost, 'file')}, or rows "
        f"({named(fallen, 'date', total=len(fallen))}); "
        f"run `backfill --start {fallen[0]['date']} --end {fallen[-1]['date']}` to look again, or "
        "`publish --accept-fewer-files` if they are really gone"
    )
    return Verdict(passed=False, summary=summary, numbers=numbers, offenders=fallen[:SAMPLE])


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


@check(asset="published_database")
def equals_working(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """The published generation has the same rows as the working database, by count and by a hash of all columns.

    The same goes for the derived tables. In the run that has published it, the file must have the checksum that it got
    after its audit, and so the working database only has to be what that compared it with; else the whole audit is
    repeated. Where another run has written or derived since, that is a warning: its own publication follows, or is
    blocked and says so.
    """
    path = scope.settings.db_file
    [(working_rows,)] = connection.execute(_ROW_COUNT).fetchall()
    try:
        published, publication = open_published(path)
        published.close()
        audited = as_audited(path) if scope.run_id == publication.run_id else None
        if audited is None:
            found = differences(connection, path)
        elif audited.fingerprint == fingerprint_of(content_of(connection)):
            found = []
        else:
            found = differences_in_content(connection, path)
    except (PublishedDatabaseError, duckdb.Error) as error:
        numbers = {"working_rows": working_rows, "published_rows": 0, "differences": 1}
        return Verdict(passed=False, summary=_why(path, error), numbers=numbers)
    numbers = {
        "working_rows": working_rows, "published_rows": publication.row_count, "differences": len(found),
    }  # fmt: skip
    of_run = f"the published database of run {publication.run_id[:8]}"
    if not found:
        summary = f"{of_run} has the {working_rows:,} rows of the working one"
        return Verdict(passed=True, summary=summary, numbers=numbers)
    [(written_since,)] = connection.execute(
        _WRITTEN_SINCE, {"published_at": publication.published_at}
    ).fetchall()
    summary = (
        f"{of_run} ({publication.published_at:%Y-%m-%d %H:%M} UTC) is not what the working one has now: "
        f"{'; '.join(found)}; run `publish`, which says why if it may not be published"
    )
    derived_since = derived_at(connection) > publication.published_at
    severity = Severity.WARN if written_since or derived_since else Severity.ERROR
    return Verdict(
        passed=False,
        severity=severity,
        summary=summary,
        numbers=numbers,
        offenders=[{"difference": difference} for difference in found],
    )


def _why(path: Path, error: Exception) -> str:
    """Why they could not be compared; DuckDB does not say in which of the two it has found a wrong block."""
    if isinstance(error, PublishedDatabaseError):
        return str(error)
    cause = cause_of(error)
    return f"{path} and the working database could not be compared ({cause.reason}); {cause.remedy}"
