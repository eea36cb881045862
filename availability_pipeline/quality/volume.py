"""Checks of `daily_volume`: whether bars can be right, and whether days with a file have one."""

from __future__ import annotations

import datetime as dt

import duckdb

from availability_pipeline.lifecycle.rules import PUBLICATION_DAYS
from availability_pipeline.quality.check import SAMPLE, Scope, Severity, Verdict, check, named, rows
from availability_pipeline.symbols import counted

_CONTRADICTS_ITSELF = """(
    low > least(open, close) OR high < greatest(open, close) OR low <= 0
    OR least(base_volume, quote_volume, trades, taker_buy_base_volume, taker_buy_quote_volume) < 0
    OR NOT isfinite(high) OR NOT isfinite(base_volume) OR NOT isfinite(quote_volume)
)"""

_IMPOSSIBLE = f"""
SELECT date, symbol, count(*) AS bars FROM daily_volume
WHERE date BETWEEN $first AND $last
GROUP BY date, symbol
HAVING count(*) > 1 OR bool_or{_CONTRADICTS_ITSELF}
ORDER BY date, symbol
"""  # noqa: S608 - our own text

# Whether there can be any, in a quarter of the time: a contract has a bit for each day with a bar.
_HAS_IMPOSSIBLE = f"""
SELECT EXISTS (
    SELECT symbol FROM daily_volume WHERE date BETWEEN $first AND $last GROUP BY symbol
    HAVING count(*) > bit_count(bitstring_agg(date - $first::DATE, 0, $last::DATE - $first::DATE))
        OR bool_or{_CONTRADICTS_ITSELF}
)
"""  # noqa: S608 - our own text

# A bar is published when the file of the same day is; days that are still young are pending.
_LACKING = """
SELECT held.date, held.symbol FROM availability AS held ANTI JOIN daily_volume USING (date, symbol)
WHERE available AND held.date BETWEEN $first AND $last ORDER BY held.date, held.symbol
"""

_FAULTY = """
SELECT symbol, source, date, fault FROM volume_files
WHERE fault IS NOT NULL AND last_day >= $first AND date <= $last ORDER BY symbol, source, date
"""


def _ends(connection: duckdb.DuckDBPyConnection, scope: Scope) -> dict[str, dt.date]:
    days = scope.window(connection)
    return {} if days is None else {"first": days.start, "last": days.end}


@check(asset="daily_volume", blocking=True)
def volume_consistency(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """No contract has two bars on a day, and no bar contradicts itself."""
    ends = _ends(connection, scope)
    has_impossible = ends and connection.execute(_HAS_IMPOSSIBLE, ends).fetchall() != [(False,)]
    found = rows(connection, _IMPOSSIBLE, ends) if has_impossible else []
    summary = "each bar is there once and can be right"
    if found:
        summary = (
            f"{counted(len(found), 'bar is impossible or there twice', 'bars are impossible or there twice')}: "
            f"{named(found, 'symbol', 'date')}; no file is read that way, so the table was damaged: `restore` a backup"
        )
    return Verdict(not found, summary, {"impossible": len(found)}, found[:SAMPLE])


@check(asset="daily_volume", severity=Severity.WARN)
def volume_completeness(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """Every day with a file has a bar, once it is old enough."""
    ends = _ends(connection, scope)
    if not ends:
        return Verdict(True, "there is no day to look at yet", {"lacking": 0, "pending": 0})
    found = rows(connection, _LACKING, ends)
    oldest_young = scope.today - dt.timedelta(days=PUBLICATION_DAYS)
    lacking = [row for row in found if row["date"] < oldest_young]
    pending = len(found) - len(lacking)
    summary = f"every file has a bar of its day; {pending:,} are still pending"
    if lacking:
        summary = (
            f"{counted(len(lacking), 'file has', 'files have')} no bar of the day: "
            f"{named(lacking, 'symbol', 'date')}; the archive lacks it, or materialize daily_volume for these days"
        )
    return Verdict(not lacking, summary, {"lacking": len(lacking), "pending": pending}, lacking[:SAMPLE])


@check(asset="daily_volume", severity=Severity.WARN)
def volume_files(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """Every file of daily bars can be used as a whole."""
    ends = _ends(connection, scope)
    found = rows(connection, _FAULTY, ends) if ends else []
    summary = "all files of daily bars can be used as a whole"
    if found:
        summary = (
            f"{counted(len(found), 'file is', 'files are')} faulty: "
            f"{named(found, 'symbol', 'date', 'fault')}; bars that cannot be right are left out, and files "
            "are read again when the archive replaces them"
        )
    return Verdict(not found, summary, {"faulty": len(found)}, found[:SAMPLE])
