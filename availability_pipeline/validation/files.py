"""Files that should be there: is a day complete, and has a contract's life holes?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import duckdb

from availability_pipeline.analysis import Rules, find_absences
from availability_pipeline.days import FIRST_DAY, FIRST_FILE_DAY, DayRange
from availability_pipeline.validation.finding import SAMPLE, Finding, Scope, Severity, named, rows
from availability_pipeline.validation.known_holes import known_holes, own_list
from availability_pipeline.words import counted

_HISTORY = """
SELECT min(date), min(date) FILTER (available), count(DISTINCT date) FILTER (date < first_file)
FROM daily_availability, (SELECT min(date) AS first_file FROM daily_availability WHERE available)
"""

_COLLECTED = "SELECT 1 FROM daily_availability WHERE date BETWEEN ? AND ? LIMIT 1"

# The days of the window on which a contract lacks a file that is expected.
_ABSENT_FILES = """
CREATE OR REPLACE TEMP TABLE absent_files AS
SELECT
    date, symbol, status, gap, last_file_day,
    known.symbol IS NOT NULL AS acknowledged
FROM absent_days LEFT JOIN known_holes AS known USING (date, symbol)
WHERE status <> 'ended' AND NOT rowless AND date BETWEEN $start AND $end
"""

# Each collected day of the window, from the first day that could have files.
_JUDGED_DAYS = """
CREATE OR REPLACE TEMP TABLE judged_days AS
WITH counted AS (
    SELECT date, count(*) FILTER (available) AS files
    FROM daily_availability WHERE date BETWEEN $start AND $end AND date >= $history_start GROUP BY date
),
awaited AS (
    SELECT
        date, count(*) FILTER (status = 'pending' AND NOT acknowledged) AS pending,
        count(*) FILTER (status = 'missing' AND NOT acknowledged) AS missing,
        count(*) FILTER (acknowledged) AS acknowledged
    FROM absent_files GROUP BY date
)
SELECT
    date, files, coalesce(pending, 0) AS pending, coalesce(missing, 0) AS missing,
    coalesce(acknowledged, 0) AS acknowledged, date >= $oldest_young_day AS young
FROM counted LEFT JOIN awaited USING (date)
"""

_DAYS = "SELECT * FROM judged_days ORDER BY date"

_AWAITED = """
SELECT date, symbol, status AS state, last_file_day
FROM absent_files WHERE NOT acknowledged ORDER BY status, date DESC, symbol LIMIT $sample
"""

_HOLES = """
SELECT
    symbol, min(date) AS first_day, max(date) AS last_day, count(*) AS days, bool_and(acknowledged) AS acknowledged
FROM absent_files WHERE gap = 'hole' AND status = 'missing' GROUP BY symbol, last_file_day
ORDER BY first_day DESC, symbol
"""


def completeness(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Finding:
    """Each day has the files that neighbouring days let expect; a day with none at all never passes.

    Pending: the day is at most three days old, and files may still appear (WARN). Missing: it is older (ERROR).
    """
    window = scope.window(connection)
    if window is None or not _is_collected(connection, window):
        summary = f"no day of {window or 'the history'} is collected; run `backfill`"
        return Finding("completeness", passed=False, summary=summary, numbers={"days": 0})
    _look_for_absences(connection, window, scope)
    found = rows(connection, _DAYS)
    offenders = rows(connection, _AWAITED, {"sample": SAMPLE})
    empty = [day for day in found if not day["files"]]
    numbers: dict[str, int | float] = {
        "days": len(found),
        "empty_days": len(empty),
        "pending_days": sum(day["young"] and bool(day["pending"] or not day["files"]) for day in found),
        "missing_days": sum(not day["young"] and bool(day["missing"] or not day["files"]) for day in found),
        **{name: sum(day[name] for day in found) for name in ("files", "pending", "missing", "acknowledged")},
    }
    numbers["expected"] = numbers["files"] + numbers["pending"] + numbers["missing"]
    numbers["coverage"] = numbers["files"] / numbers["expected"] if numbers["expected"] else 0.0
    passed = not numbers["pending_days"] and not numbers["missing_days"]
    severity = Severity.ERROR if numbers["missing_days"] else Severity.WARN
    summary = _sentence(found, offenders, window, scope)
    return Finding("completeness", passed=passed, severity=severity, summary=summary, numbers=numbers,
                   offenders=[] if passed else _offenders(empty, offenders))  # fmt: skip


def _is_collected(connection: duckdb.DuckDBPyConnection, window: DayRange) -> bool:
    return bool(connection.execute(_COLLECTED, [window.start, window.end]).fetchall())


def _look_for_absences(connection: duckdb.DuckDBPyConnection, window: DayRange, scope: Scope) -> None:
    """Make the temporary tables `absent_files` and `judged_days`."""
    connection.register("known_holes", known_holes(scope.settings))
    rules = Rules(scope.settings.episode_gap_days, scope.today)
    days = {"start": window.start, "end": window.end}
    try:
        find_absences(connection, rules)
        connection.execute(_ABSENT_FILES, days)
    finally:
        connection.unregister("known_holes")
    connection.execute(
        _JUDGED_DAYS,
        {**days, "oldest_young_day": rules.oldest_young_day, "history_start": _history_start(connection)},
    )


def _history_start(connection: duckdb.DuckDBPyConnection) -> dt.date:
    """The first day that can have files: the market's, or the first file's if the table has all days before it."""
    first_file: dt.date | None
    [(first_day, first_file, days_before)] = connection.execute(_HISTORY).fetchall()
    if first_file and first_day == FIRST_DAY and days_before == (first_file - FIRST_DAY).days:
        return max(FIRST_FILE_DAY, first_file)
    return FIRST_FILE_DAY


def _offenders(empty: Sequence[dict[str, Any]], awaited: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    nothing = [
        {"date": day["date"], "symbol": "*", "state": "nothing published", "last_file_day": None}
        for day in empty
    ]
    return [*nothing[-SAMPLE:], *awaited][:SAMPLE]


def _sentence(
    found: Sequence[dict[str, Any]], offenders: Sequence[dict[str, Any]], window: DayRange, scope: Scope
) -> str:
    parts = [*_of_missing(found, offenders, scope), *_of_pending(found, offenders)]
    if not parts:
        return f"{window} has every file that neighbouring days let expect"
    return "; ".join(parts)


def _of_missing(
    found: Sequence[dict[str, Any]], offenders: Sequence[dict[str, Any]], scope: Scope
) -> list[str]:
    old = [day for day in found if not day["young"]]
    late = [day["date"] for day in old if day["missing"] or not day["files"]]
    if not late:
        return []
    empty = [day["date"] for day in old if not day["files"]]
    total = sum(day["missing"] for day in old)
    parts = [f"nothing was ever published of {_days_in_words(empty)}"] if empty else []
    if total:
        missing = [offender for offender in offenders if offender["state"] == "missing"]
        first = named(missing, "symbol", "date", total=total)
        parts.append(f"{counted(total, 'file')} missing on {counted(len(late), 'day')} ({first})")
    remedy = f"run `backfill --start {late[0]} --end {late[-1]}` to look again"
    return [*parts, f"{remedy}, or acknowledge what is permanent in {own_list(scope.settings)}"]


def _of_pending(found: Sequence[dict[str, Any]], offenders: Sequence[dict[str, Any]]) -> list[str]:
    young = [day for day in found if day["young"] and (day["pending"] or not day["files"])]
    if not young:
        return []
    empty = [day["date"] for day in young if not day["files"]]
    parts = [f"nothing is published yet of {_days_in_words(empty)}"] if empty else []
    partly = [day for day in young if day["files"]]
    if partly:
        total = sum(day["pending"] for day in partly)
        pending = [
            offender for offender in offenders
            if offender["state"] == "pending" and offender["date"] not in empty
        ]  # fmt: skip
        days = _days_in_words([day["date"] for day in partly])
        parts.append(f"{counted(total, 'file')} pending on {days} ({named(pending, 'symbol', total=total)})")
    return [
        *parts,
        "files usually appear on the next day and at times up to three days later; later runs pick them up",
    ]


def _days_in_words(days: Sequence[dt.date]) -> str:
    return ", ".join(map(str, days)) if len(days) <= 3 else f"{len(days):,} days from {days[0]} to {days[-1]}"


def holes(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Finding:
    """No contract has days without a file between days with one, but for the acknowledged ones.

    Days that are too young to be judged are `completeness`' business; a longer absence than
    `Settings.episode_gap_days` ends a contract, and so does a flat tail before it.
    """
    window = scope.window(connection)
    if window is None:
        return Finding(
            "holes", passed=True, severity=Severity.WARN, summary="no day is collected", numbers={"holes": 0}
        )
    _look_for_absences(connection, window, scope)
    found = rows(connection, _HOLES)
    new = [hole for hole in found if not hole["acknowledged"]]
    numbers = {
        "holes": len(found),
        "new_holes": len(new),
        "acknowledged_holes": len(found) - len(new),
        "hole_days": sum(hole["days"] for hole in found),
        "symbols": len({hole["symbol"] for hole in found}),
    }
    summary = (
        f"{counted(len(found), 'hole')} in {window}, all acknowledged" if found else f"no hole in {window}"
    )
    if new:
        first, last = min(hole["first_day"] for hole in new), max(hole["last_day"] for hole in new)
        summary = (
            f"{counted(len(new), 'new hole')} in contracts' lives ({named(new, 'symbol', 'first_day')}); "
            f"run `backfill --start {first} --end {last}` to look again, or acknowledge what is permanent in "
            f"{own_list(scope.settings)}"
        )
    return Finding("holes", passed=not new, severity=Severity.WARN, summary=summary, numbers=numbers,
                   offenders=new[:SAMPLE])  # fmt: skip
