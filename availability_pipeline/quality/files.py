"""Files: is a day complete, has a contract gaps, can a file hold a row, and was one replaced or withdrawn?

Gaps that are known to be permanent are acknowledged in two lists: `known_gaps.csv` of this package, and one of that
name in the data directory for the user's own, with the same columns: symbol (* for all), first_day, last_day, reason.
Days of which the archive has no file of a whole dataset are in its catalogue entry.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Sequence
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from availability_pipeline.catalogue.datasets import Dataset
from availability_pipeline.dates import DayRange, parse_day
from availability_pipeline.errors import UsageError, cause_of
from availability_pipeline.lifecycle.derive import find_absences, find_rowless_files
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.quality.check import SAMPLE, Scope, Severity, Verdict, check, named, rows
from availability_pipeline.settings import Settings
from availability_pipeline.symbols import counted

KNOWN_GAPS = "known_gaps.csv"

KNOWN_GAPS_COLUMNS = ("symbol", "first_day", "last_day", "reason")

_HISTORY = """
WITH firsts AS (
    SELECT min(date) AS first_day, min(date) FILTER (available) AS first_file FROM daily_availability
)
SELECT
    first_day, first_file,
    (SELECT count(DISTINCT date) FROM daily_availability WHERE date < (SELECT first_file FROM firsts))
FROM firsts
"""

_COLLECTED = "SELECT 1 FROM daily_availability WHERE date BETWEEN ? AND ? LIMIT 1"

# The days of the window on which a contract lacks a file that is expected.
_ABSENT_FILES = """
CREATE OR REPLACE TEMP TABLE absent_files AS
SELECT
    date, symbol, status, absence, last_file_day,
    exists(
        FROM known_gaps AS known WHERE known.date = absent_days.date AND known.symbol IN (absent_days.symbol, '*')
    ) AS acknowledged
FROM absent_days
WHERE status <> 'ended' AND NOT rowless AND date BETWEEN $start AND $end
"""

# Each collected day of the window, from the first day that could have files.
_JUDGED_DAYS = """
CREATE OR REPLACE TEMP TABLE judged_days AS
WITH counted AS (
    SELECT date, count(*) FILTER (available) AS files
    FROM daily_availability
    WHERE date BETWEEN $start AND $end AND date >= $history_start
        AND (available OR date NOT IN (SELECT date FROM known_gaps WHERE symbol = '*'))
    GROUP BY date
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

_GAPS = """
SELECT
    symbol, min(date) AS first_day, max(date) AS last_day, count(*) AS days, bool_and(acknowledged) AS acknowledged
FROM absent_files WHERE absence = 'gap' AND status = 'missing' GROUP BY symbol, last_file_day
ORDER BY first_day DESC, symbol
"""

_ROWLESS = "FROM rowless_files WHERE date BETWEEN $start AND $end ORDER BY date DESC, symbol"

_FILES = "SELECT count(*) FROM daily_availability WHERE available AND date BETWEEN $start AND $end"

_COUNTS = """
SELECT
    count(*) FILTER (kind = 'published') AS published, count(*) FILTER (kind = 'republished') AS republished,
    count(*) FILTER (kind = 'withdrawn') AS withdrawn
FROM availability_changes WHERE $run_id IS NULL OR run_id = $run_id
"""

_CHANGES = """
SELECT
    date, symbol, kind, old_file_size_bytes, new_file_size_bytes, old_last_modified, new_last_modified, observed_at
FROM availability_changes
WHERE kind <> 'published' AND ($run_id IS NULL OR run_id = $run_id)
ORDER BY kind DESC, observed_at DESC, date DESC, symbol LIMIT $sample
"""


@check(asset="daily_availability")
def completeness(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """Each day has the files that neighbouring days let expect; a day with none at all never passes.

    Pending: the day is at most three days old, and files may still appear (WARN). Missing: it is older (ERROR).
    """
    window = scope.window(connection)
    if window is None or not _is_collected(connection, window):
        summary = f"no day of {window or 'the history'} is collected; run `backfill`"
        return Verdict(passed=False, summary=summary, numbers={"days": 0})
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
    shown = [] if passed else _offenders(empty, offenders)
    return Verdict(passed=passed, severity=severity, summary=summary, numbers=numbers, offenders=shown)


def _is_collected(connection: duckdb.DuckDBPyConnection, window: DayRange) -> bool:
    return bool(connection.execute(_COLLECTED, [window.start, window.end]).fetchall())


def _look_for_absences(connection: duckdb.DuckDBPyConnection, window: DayRange, scope: Scope) -> None:
    """Make the temporary tables `absent_files` and `judged_days`, once for all checks of a scope."""
    if "judged_days" in scope.made:
        return
    connection.register("known_gaps", known_gaps(scope.settings))
    rules = Rules.of(scope.settings, scope.today)
    days = {"start": window.start, "end": window.end}
    start = _history_start(connection, scope.settings.dataset)
    try:
        find_absences(connection, rules)
        connection.execute(_ABSENT_FILES, days)
        connection.execute(
            _JUDGED_DAYS, {**days, "oldest_young_day": rules.oldest_young_day, "history_start": start}
        )
    finally:
        connection.unregister("known_gaps")
    scope.made.add("judged_days")


def _history_start(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> dt.date:
    """The first day that can have files: the market's, or the first file's if the table has all days before it."""
    first_file: dt.date | None
    [(first_day, first_file, days_before)] = connection.execute(_HISTORY).fetchall()
    if first_file and first_day == dataset.first_day and days_before == (first_file - first_day).days:
        return max(dataset.first_file_day, first_file)
    return dataset.first_file_day


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


@check(asset="daily_availability", severity=Severity.WARN)
def gaps(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """No contract has days without a file between days with one, but for the acknowledged ones.

    Days that are too young to be judged are left to `completeness`. An absence of more than
    `Settings.episode_gap_days` ends a contract, and so does a flat tail before it.
    """
    window = scope.window(connection)
    if window is None:
        return Verdict(passed=True, summary="no day is collected", numbers={"gaps": 0})
    _look_for_absences(connection, window, scope)
    found = rows(connection, _GAPS)
    new = [gap for gap in found if not gap["acknowledged"]]
    numbers = {
        "gaps": len(found),
        "new_gaps": len(new),
        "acknowledged_gaps": len(found) - len(new),
        "gap_days": sum(gap["days"] for gap in found),
        "symbols": len({gap["symbol"] for gap in found}),
    }
    summary = (
        f"{counted(len(found), 'gap')} in {window}, all acknowledged" if found else f"no gap in {window}"
    )
    if new:
        first, last = min(gap["first_day"] for gap in new), max(gap["last_day"] for gap in new)
        summary = (
            f"{counted(len(new), 'new gap')} between files of a contract ({named(new, 'symbol', 'first_day')}); "
            f"run `backfill --start {first} --end {last}` to look again, or acknowledge what is permanent in "
            f"{own_list(scope.settings)}"
        )
    return Verdict(passed=not new, summary=summary, numbers=numbers, offenders=new[:SAMPLE])


@check(asset="daily_availability", severity=Severity.WARN)
def rowless_files(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """Every file is large enough to hold a row; a smaller one is available and no evidence that the contract traded."""
    window = scope.window(connection)
    if window is None:
        return Verdict(passed=True, summary="no day is collected", numbers={"files": 0, "rowless": 0})
    days = {"start": window.start, "end": window.end}
    find_rowless_files(connection, Rules.of(scope.settings, scope.today))
    found = rows(connection, _ROWLESS, days)
    [(file_count,)] = connection.execute(_FILES, days).fetchall()
    numbers = {"files": file_count, "rowless": len(found)}
    if not found:
        return Verdict(
            passed=True, summary=f"each of {counted(file_count, 'file')} can hold a row", numbers=numbers
        )
    summary = (
        f"{counted(len(found), 'file is', 'files are')} smaller than any zip of one row "
        f"({named(found, 'symbol', 'date')}) and no evidence that the contract traded; run `backfill --start "
        f"{found[-1]['date']} --end {found[0]['date']}` to see whether the archive has replaced them"
    )
    return Verdict(passed=False, summary=summary, numbers=numbers, offenders=found[:SAMPLE])


@check(asset="daily_availability", severity=Severity.WARN)
def changed_files(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """No file that was there has another content now, or is gone; late files are no change of this kind.

    Looks at the entries of the run, or at the whole ledger.
    """
    [numbers] = rows(connection, _COUNTS, {"run_id": scope.run_id})
    offenders = rows(connection, _CHANGES, {"run_id": scope.run_id, "sample": SAMPLE})
    total = numbers["republished"] + numbers["withdrawn"]
    if not total:
        return Verdict(passed=True, summary="no file was replaced or withdrawn", numbers=numbers)
    summary = (
        f"{counted(numbers['republished'], 'file was', 'files were')} replaced and "
        f"{numbers['withdrawn']:,} withdrawn ({named(offenders, 'symbol', 'date', 'kind', total=total)}); download "
        "what you keep of them again, `query changes` lists them all"
    )
    return Verdict(passed=False, summary=summary, numbers=numbers, offenders=offenders)


def own_list(settings: Settings) -> Path:
    """Where users acknowledge gaps."""
    return settings.dataset_dir / KNOWN_GAPS


def known_gaps(settings: Settings) -> pa.Table:
    """Acknowledged days without a file: columns symbol, `*` for all contracts, and date, one row per day.

    Raises:
        UsageError: A line of the user's list is not understood.
    """
    found = {("*", day) for days in settings.dataset.missing_days for day in days}
    if settings.dataset.is_default:  # the package's list is about it
        found |= set(
            _acknowledged(KNOWN_GAPS, resources(__package__).joinpath(KNOWN_GAPS).read_text("utf-8"))
        )
    own = own_list(settings)
    try:
        text = own.read_text("utf-8-sig")
    except FileNotFoundError:
        text = None
    except UnicodeError as error:
        raise UsageError(f"{own} cannot be read ({error}); write it as text in UTF-8") from error
    except OSError as error:
        cause = cause_of(error)
        raise UsageError(f"{own} cannot be read ({cause.reason}); {cause.remedy}") from error
    if text is not None:
        found |= set(_acknowledged(str(own), text))
    ordered = sorted(found)
    return pa.table(
        {
            "symbol": pa.array([symbol for symbol, _ in ordered], pa.string()),
            "date": pa.array([day for _, day in ordered], pa.date32()),
        }
    )


def _acknowledged(name: str, text: str) -> list[tuple[str, dt.date]]:
    reader = csv.DictReader(text.splitlines())
    if tuple(reader.fieldnames or ()) != KNOWN_GAPS_COLUMNS:
        raise UsageError(f"{name} must begin with the line {','.join(KNOWN_GAPS_COLUMNS)}")
    found: list[tuple[str, dt.date]] = []
    for line in reader:
        place = f"{name}, line {reader.line_num}"
        if not line["symbol"] or None in line.values():
            raise UsageError(f"{place} must have a symbol, a first and a last day and a reason")
        days = DayRange(
            parse_day(line["first_day"], f"{place}: first_day"),
            parse_day(line["last_day"], f"{place}: last_day"),
        )
        found += [(line["symbol"].strip().upper(), day) for day in days]
    return found
