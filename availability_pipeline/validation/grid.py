"""The grid of `daily_availability`: every day of every tracked contract is there once, no row contradicts itself."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

from availability_pipeline.days import FIRST_DAY, DayRange
from availability_pipeline.validation.finding import SAMPLE, Finding, Scope, named, rows
from availability_pipeline.words import counted

_EMPTY = "daily_availability has no rows; run `binance-futures-availability backfill`"

_GAPS = """
WITH contracts AS (
    SELECT symbol FROM symbols WHERE tracked AND ($symbols = [] OR list_contains($symbols, symbol))
),
held AS (
    SELECT symbol, count(*) AS row_count, count(DISTINCT date) AS days
    FROM daily_availability WHERE date BETWEEN $start AND $end GROUP BY symbol
)
SELECT
    symbol, $days - coalesce(days, 0) AS missing_days, coalesce(row_count - days, 0) AS duplicates
FROM contracts LEFT JOIN held USING (symbol)
WHERE days IS DISTINCT FROM $days OR row_count > days
ORDER BY missing_days DESC, symbol
"""

_FIRST_GAP = """
SELECT min(day)::DATE, max(day)::DATE
FROM (SELECT unnest(generate_series($start::TIMESTAMP, $end::TIMESTAMP, INTERVAL 1 DAY)) AS day)
WHERE day NOT IN (SELECT date FROM daily_availability WHERE symbol = $symbol)
"""

_CONTRADICTIONS = """
WITH judged AS (
    SELECT
        date, symbol, available, status_code, file_size_bytes, last_modified,
        status_code NOT IN (200, 404)
            OR available IS DISTINCT FROM (status_code = 200)
            OR available IS DISTINCT FROM (file_size_bytes IS NOT NULL)
            OR available IS DISTINCT FROM (last_modified IS NOT NULL) AS contradictory,
        symbol NOT IN (SELECT symbol FROM symbols) AS unknown_contract,
        coalesce(last_modified < date, false) AS too_early,
        date >= $today AS in_the_future
    FROM daily_availability
    WHERE date BETWEEN $start AND $end
)
"""

_TOTALS = (
    _CONTRADICTIONS
    + """
SELECT
    count(*) AS rows, count(*) FILTER (contradictory) AS contradictory,
    count(*) FILTER (unknown_contract) AS unknown_contract, count(*) FILTER (too_early) AS too_early,
    count(*) FILTER (in_the_future) AS in_the_future
FROM judged
"""
)

_SAMPLE_OF_CONTRADICTIONS = (
    _CONTRADICTIONS
    + """
SELECT
    date, symbol,
    concat_ws(
        ', ',
        if(contradictory, 'available, status, size and last-modified do not agree', NULL),
        if(unknown_contract, 'the contract is not among the symbols', NULL),
        if(too_early, 'last-modified is before the day', NULL),
        if(in_the_future, 'the day is not over', NULL)
    ) AS problem
FROM judged WHERE contradictory OR unknown_contract OR too_early OR in_the_future
ORDER BY date, symbol LIMIT $sample
"""
)


def continuity(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Finding:
    """Every day of the window has one row of every contract of the run, or of every tracked one."""
    window = scope.window(connection)
    if window is None:
        return Finding(
            "continuity", passed=False, summary=_EMPTY, numbers={"missing_rows": 0, "duplicates": 0}
        )
    return _grid("continuity", connection, window, scope.symbols)


def history_continuity(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Finding:
    """Every day from 2019-09-25 to the last collected one has one row of every tracked contract, whatever the run."""
    window = Scope(scope.settings).window(connection)
    if window is None:
        return Finding(
            "history_continuity", passed=False, summary=_EMPTY, numbers={"missing_rows": 0, "duplicates": 0}
        )
    return _grid("history_continuity", connection, window, ())


def _grid(
    name: str, connection: duckdb.DuckDBPyConnection, window: DayRange, symbols: Sequence[str]
) -> Finding:
    days = {"start": window.start, "end": window.end}
    gaps = rows(connection, _GAPS, {**days, "days": len(window), "symbols": list(symbols)})
    missing = sum(gap["missing_days"] for gap in gaps)
    duplicates = sum(gap["duplicates"] for gap in gaps)
    for gap in gaps[:SAMPLE]:
        first, last = connection.execute(_FIRST_GAP, {**days, "symbol": gap["symbol"]}).fetchall()[0]
        gap.update(first_missing_day=first, last_missing_day=last)
    numbers = {
        "days": len(window), "missing_rows": missing, "duplicates": duplicates, "incomplete_symbols": len(gaps),
    }  # fmt: skip
    if not gaps:
        return Finding(
            name, passed=True, summary=f"every tracked contract has every day of {window}", numbers=numbers
        )
    return Finding(name, passed=False, summary=_gap_sentence(window, gaps, missing, duplicates), numbers=numbers,
                   offenders=gaps[:SAMPLE])  # fmt: skip


def _gap_sentence(window: DayRange, gaps: Sequence[dict[str, Any]], missing: int, duplicates: int) -> str:
    parts = (
        [f"{counted(missing, 'row')} of {counted(len(gaps), 'contract')} are missing in {window}"]
        if missing
        else []
    )
    if duplicates:
        parts.append(f"{counted(duplicates, 'row')} are there twice")
    firsts: list[dt.date] = [gap["first_missing_day"] for gap in gaps[:SAMPLE] if gap["first_missing_day"]]
    remedy = (
        f"run `backfill --start {min(firsts)}`" if firsts else "restore the working database from a backup"
    )
    return f"{' and '.join(parts)} ({named(gaps, 'symbol')}); {remedy}"


def row_invariants(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Finding:
    """Available means status 200, a size and a last-modified; rows are of known contracts; no file precedes its day.

    A day that is not over in UTC has no row.
    """
    window = DayRange(FIRST_DAY, dt.date.max) if scope.days is None else scope.days
    values = {"start": window.start, "end": window.end, "today": scope.today}
    [numbers] = rows(connection, _TOTALS, values)
    wrong = sum(count for name, count in numbers.items() if name != "rows")
    if not wrong:
        summary = f"no row of {numbers['rows']:,} contradicts itself"
        return Finding("row_invariants", passed=True, summary=summary, numbers=numbers)
    sample = rows(connection, _SAMPLE_OF_CONTRADICTIONS, {**values, "sample": SAMPLE})
    summary = (
        f"{counted(wrong, 'contradiction')} in the rows, such as {named(sample, 'symbol', 'date', total=wrong)} "
        f"({sample[0]['problem']}); {'; '.join(_remedies(sample, scope.today))}"
    )
    return Finding("row_invariants", passed=False, summary=summary, numbers=numbers, offenders=sample)


def _remedies(sample: Sequence[dict[str, Any]], today: dt.date) -> Iterator[str]:
    if sample[-1]["date"] >= today:
        yield "set the machine's clock and run `update`, which removes what is of days that are not over"
    over = [row["date"] for row in sample if row["date"] < today]
    if over:
        yield (
            f"collect these days again with `backfill --start {over[0]} --end {over[-1]}`, and restore the working "
            "database from a backup if that does not help"
        )
