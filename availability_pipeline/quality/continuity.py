"""Continuity of `daily_availability`: each tracked contract has one row per day, and no row contradicts itself.

Whether a day has the files that it should have is not asked here but in `files`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

from availability_pipeline.dates import DayRange
from availability_pipeline.quality.check import SAMPLE, Scope, Verdict, check, named, rows
from availability_pipeline.symbols import counted
from availability_pipeline.warehouse.database import CONTRADICTORY

_EMPTY = "daily_availability has no rows; run `binance-futures-availability backfill`"

_MISSING_ROWS = """
WITH contracts AS (
    SELECT symbol FROM symbols WHERE tracked AND ($symbols = [] OR list_contains($symbols, symbol))
),
held AS (
    -- A bit for each day costs a seventh of count(DISTINCT).
    SELECT symbol, count(*) AS row_count, bit_count(bitstring_agg(date - $start::DATE, 0, $days - 1)) AS days
    FROM daily_availability WHERE date BETWEEN $start AND $end GROUP BY symbol
)
SELECT
    symbol, $days - coalesce(days, 0) AS missing_days, coalesce(row_count - days, 0) AS duplicates
FROM contracts LEFT JOIN held USING (symbol)
WHERE days IS DISTINCT FROM $days OR row_count > days
ORDER BY missing_days DESC, symbol
"""

_MISSING_DAYS = """
SELECT min(day)::DATE, max(day)::DATE
FROM (SELECT unnest(generate_series($start::TIMESTAMP, $end::TIMESTAMP, INTERVAL 1 DAY)) AS day)
WHERE day NOT IN (SELECT date FROM daily_availability WHERE symbol = $symbol)
"""

_JUDGED = """
WITH judged AS (
    SELECT
        date, symbol, $contradictory AS contradictory,
        symbol NOT IN (SELECT symbol FROM symbols) AS unknown_contract,
        coalesce(last_modified < date, false) AS too_early,
        date >= $today AS in_the_future
    FROM daily_availability
    WHERE date BETWEEN $start AND $end
)
""".replace("$contradictory", CONTRADICTORY)

_TOTALS = (
    _JUDGED
    + """
SELECT
    count(*) AS rows, count(*) FILTER (contradictory) AS contradictory,
    count(*) FILTER (unknown_contract) AS unknown_contract, count(*) FILTER (too_early) AS too_early,
    count(*) FILTER (in_the_future) AS in_the_future
FROM judged
"""
)

_SAMPLE_OF_CONTRADICTIONS = (
    _JUDGED
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


@check(asset="daily_availability", blocking=True, run_only=True)
def continuity(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """Every day of the window has one row of every contract of the run, or of every tracked one."""
    return _every_day_once(connection, scope.window(connection), scope.symbols)


@check(asset="daily_availability")
def history_continuity(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """Every day of the market up to the last collected one has one row of every tracked contract, whatever the run."""
    return _every_day_once(connection, Scope(scope.settings).window(connection), ())


def _every_day_once(
    connection: duckdb.DuckDBPyConnection, window: DayRange | None, symbols: Sequence[str]
) -> Verdict:
    if window is None:
        return Verdict(passed=False, summary=_EMPTY, numbers={"missing_rows": 0, "duplicates": 0})
    days = {"start": window.start, "end": window.end}
    found = rows(connection, _MISSING_ROWS, {**days, "days": len(window), "symbols": list(symbols)})
    missing = sum(contract["missing_days"] for contract in found)
    duplicates = sum(contract["duplicates"] for contract in found)
    for contract in found[:SAMPLE]:
        [(first, last)] = connection.execute(_MISSING_DAYS, {**days, "symbol": contract["symbol"]}).fetchall()
        contract.update(first_missing_day=first, last_missing_day=last)
    numbers = {
        "days": len(window), "missing_rows": missing, "duplicates": duplicates, "incomplete_symbols": len(found),
    }  # fmt: skip
    if not found:
        return Verdict(
            passed=True, summary=f"every tracked contract has every day of {window}", numbers=numbers
        )
    summary = _sentence(window, found, missing, duplicates)
    return Verdict(passed=False, summary=summary, numbers=numbers, offenders=found[:SAMPLE])


def _sentence(window: DayRange, found: Sequence[dict[str, Any]], missing: int, duplicates: int) -> str:
    parts = (
        [f"{counted(missing, 'row')} of {counted(len(found), 'contract')} are missing in {window}"]
        if missing
        else []
    )
    if duplicates:
        parts.append(f"{counted(duplicates, 'row')} are there twice")
    firsts: list[dt.date] = [
        contract["first_missing_day"] for contract in found[:SAMPLE] if contract["first_missing_day"]
    ]
    remedy = (
        f"run `backfill --start {min(firsts)}`" if firsts else "restore the working database from a backup"
    )
    return f"{' and '.join(parts)} ({named(found, 'symbol')}); {remedy}"


@check(asset="daily_availability", blocking=True)
def row_invariants(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """Available means status 200, a size and a last-modified; rows are of known contracts; no file precedes its day.

    A day that is not over in UTC has no row.
    """
    window = scope.days or DayRange(scope.settings.dataset.first_day, dt.date.max)
    values = {"start": window.start, "end": window.end, "today": scope.today}
    [numbers] = rows(connection, _TOTALS, values)
    wrong = sum(count for name, count in numbers.items() if name != "rows")
    if not wrong:
        summary = f"no row of {numbers['rows']:,} contradicts itself"
        return Verdict(passed=True, summary=summary, numbers=numbers)
    sample = rows(connection, _SAMPLE_OF_CONTRADICTIONS, {**values, "sample": SAMPLE})
    summary = (
        f"{counted(wrong, 'contradiction')} in the rows, such as {named(sample, 'symbol', 'date', total=wrong)} "
        f"({sample[0]['problem']}); {'; '.join(_remedies(sample, scope.today))}"
    )
    return Verdict(passed=False, summary=summary, numbers=numbers, offenders=sample)


def _remedies(sample: Sequence[dict[str, Any]], today: dt.date) -> Iterator[str]:
    if sample[-1]["date"] >= today:
        yield "set the machine's clock and run `update`, which removes what is of days that are not over"
    over = [row["date"] for row in sample if row["date"] < today]
    if over:
        yield (
            f"collect these days again with `backfill --start {over[0]} --end {over[-1]}`, and restore the working "
            "database from a backup if that does not help"
        )
