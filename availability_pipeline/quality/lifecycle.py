"""Whether the derived tables fit the rows that they were made from, and what is known of the market."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import duckdb
import pyarrow as pa

from availability_pipeline.dates import parse_day
from availability_pipeline.lifecycle.derive import fits_rows
from availability_pipeline.quality.check import SAMPLE, Scope, Severity, Verdict, check, named, rows
from availability_pipeline.symbols import counted

TOLERANCE_DAYS = 1
"""Sources differ by a day about when trading ended: in the course of a day, whose file may count or not."""

DECIDED_DAYS = 7
"""Days after the last one of trading that must be collected, so that the end can be known."""

_REMEDY = "run `publish`, which derives them anew"

_OVERLAPS = """
WITH stretches AS (
    SELECT 'episode' AS kind, symbol, first_day, last_day FROM symbol_lifecycle
    UNION ALL
    SELECT 'span', symbol, first_day, last_day FROM status_spans
),
ordered AS (
    SELECT *, lead(first_day) OVER (PARTITION BY kind, symbol ORDER BY first_day, last_day) AS next_first_day
    FROM stretches
)
FROM ordered WHERE last_day < first_day OR next_first_day <= last_day
ORDER BY kind, symbol, first_day
"""

_STRETCHES = "SELECT (SELECT count(*) FROM symbol_lifecycle), (SELECT count(*) FROM status_spans)"

_MISFITS = """
SELECT
    held.date, held.symbol, available, spans.status, lives.episode
FROM daily_availability AS held
LEFT JOIN status_spans AS spans
    ON spans.symbol = held.symbol AND held.date BETWEEN spans.first_day AND spans.last_day
LEFT JOIN symbol_lifecycle AS lives
    ON lives.symbol = held.symbol AND held.date BETWEEN lives.first_day AND lives.last_day
WHERE available IS DISTINCT FROM (spans.status IN ('published', 'flat'))
   OR available AND spans.evidence IS DISTINCT FROM 'no_row'
       AND (lives.episode IS NULL OR lives.episode IS DISTINCT FROM spans.episode)
ORDER BY held.date, held.symbol
"""

# Whether there can be any, in half the time: rows whose span is of another status, and spans of files that do not lie
# in their own episode alone.
_HAS_MISFITS = """
SELECT
    EXISTS (
        FROM daily_availability AS held
        LEFT JOIN status_spans AS spans
            ON spans.symbol = held.symbol AND held.date BETWEEN spans.first_day AND spans.last_day
        WHERE available IS DISTINCT FROM (status IN ('published', 'flat'))
    )
    OR EXISTS (
        FROM status_spans AS spans
        LEFT JOIN symbol_lifecycle AS lives
            ON lives.symbol = spans.symbol AND lives.first_day <= spans.last_day AND lives.last_day >= spans.first_day
        WHERE status IN ('published', 'flat') AND evidence IS DISTINCT FROM 'no_row' AND NOT coalesce(
            lives.episode = spans.episode AND spans.first_day >= lives.first_day AND spans.last_day <= lives.last_day,
            false
        )
    )
"""

_FILES = "SELECT count(*) FROM daily_availability WHERE available"

# Of the recorded delistings those whose days are collected, and what the table says of them.
_DELISTINGS = """
WITH collected AS (
    SELECT recorded.*
    FROM recorded JOIN daily_availability AS held
        ON held.symbol = recorded.symbol AND held.date BETWEEN last_trading_day AND last_trading_day + $decided_days
    GROUP BY ALL HAVING count(*) = $decided_days + 1 AND bool_or(available AND date = last_trading_day)
),
nearest AS (
    SELECT
        collected.symbol, collected.last_trading_day AS recorded_day,
        arg_min(lives, abs(lives.last_trading_day - collected.last_trading_day)) AS life
    FROM collected LEFT JOIN symbol_lifecycle AS lives USING (symbol) GROUP BY ALL
)
SELECT
    symbol, recorded_day, life.last_trading_day, life.end_reason,
    coalesce(abs(life.last_trading_day - recorded_day) <= $tolerance_days AND NOT life.is_open, false) AS reproduced
FROM nearest ORDER BY symbol
"""


@check(asset="symbol_lifecycle")
def episodes_do_not_overlap(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """The episodes of a contract, and the spans of its status, follow each other without an overlap."""
    if not _fits(connection, scope):
        return _not_derived()
    found = rows(connection, _OVERLAPS)
    [(episodes, spans)] = connection.execute(_STRETCHES).fetchall()
    numbers = {"episodes": episodes, "spans": spans, "overlaps": len(found)}
    if not found:
        summary = f"{counted(episodes, 'episode')} and {counted(spans, 'span')} follow each other"
        return Verdict(passed=True, summary=summary, numbers=numbers)
    summary = (
        f"{counted(len(found), 'episode or span', 'episodes or spans')} overlap the next one or end before they begin "
        f"({named(found, 'symbol', 'first_day')}); {_REMEDY}"
    )
    return Verdict(passed=False, summary=summary, numbers=numbers, offenders=found[:SAMPLE])


@check(asset="symbol_lifecycle")
def every_file_has_an_episode(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """Every file that can have a row lies in an episode, and only rows with a file are published or flat."""
    if not _fits(connection, scope):
        return _not_derived()
    [(has_misfits,)] = connection.execute(_HAS_MISFITS).fetchall()
    found = rows(connection, _MISFITS) if has_misfits else []
    [(file_count,)] = connection.execute(_FILES).fetchall()
    numbers = {"files": file_count, "misfits": len(found)}
    if not found:
        summary = f"{counted(file_count, 'file')} lie in an episode"
        return Verdict(passed=True, summary=summary, numbers=numbers)
    misfits = counted(len(found), "row")
    summary = f"{misfits} do not fit the derived tables ({named(found, 'symbol', 'date')}); {_REMEDY}"
    return Verdict(passed=False, summary=summary, numbers=numbers, offenders=found[:SAMPLE])


@check(asset="symbol_lifecycle", severity=Severity.WARN)
def known_delistings(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """Delistings that are on record end on the recorded day in the derived tables, or on the day before or after.

    Only contracts that the table holds and days that are collected count. What is on record is the last day of trading
    of USDT-margined futures as their 1-minute klines tell it, so other datasets do not have this check.
    """
    if not _fits(connection, scope):
        return _not_derived()
    connection.register("recorded", recorded_delistings())
    try:
        found = rows(
            connection, _DELISTINGS, {"decided_days": DECIDED_DAYS, "tolerance_days": TOLERANCE_DAYS}
        )
    finally:
        connection.unregister("recorded")
    wrong = [delisting for delisting in found if not delisting.pop("reproduced")]
    numbers = {"recorded": len(found), "differing": len(wrong)}
    summary = _on_delistings(found, wrong)
    return Verdict(passed=not wrong, summary=summary, numbers=numbers, offenders=wrong)


def _on_delistings(found: Sequence[dict[str, Any]], wrong: Sequence[dict[str, Any]]) -> str:
    if not found:
        return "no day of a recorded delisting is collected"
    recorded = counted(len(found), "recorded delisting")
    if not wrong:
        return f"{recorded} are found in the files"
    return (
        f"{len(wrong)} of {recorded} differ ({named(wrong, 'symbol', 'recorded_day')}); "
        "see with `query timeline` whether the archive has other files now"
    )


def recorded_delistings() -> pa.Table:
    """What is on record: columns symbol and last_trading_day."""
    text = files(__package__).joinpath("known_delistings.csv").read_text("utf-8")
    return pa.Table.from_pylist(
        [
            {**line, "last_trading_day": parse_day(line["last_trading_day"])}
            for line in csv.DictReader(text.splitlines())
        ]
    )


def _fits(connection: duckdb.DuckDBPyConnection, scope: Scope) -> bool:
    """Whether the derived tables fit the rows, found once for all checks of a scope."""
    if "fits_rows" not in scope.made and fits_rows(connection):
        scope.made.add("fits_rows")
    return "fits_rows" in scope.made


def _not_derived() -> Verdict:
    summary = f"could not be evaluated: the derived tables are older than the rows; {_REMEDY}"
    return Verdict(passed=False, summary=summary, severity=Severity.WARN)
