"""Files that cannot be what they are called, by their size alone."""

from __future__ import annotations

import duckdb

from availability_pipeline.analysis import Rules, find_rowless_files
from availability_pipeline.validation.finding import SAMPLE, Finding, Scope, Severity, named, rows
from availability_pipeline.words import counted

_ROWLESS = "FROM rowless_files WHERE date BETWEEN $start AND $end ORDER BY date DESC, symbol"

_FILES = "SELECT count(*) FROM daily_availability WHERE available AND date BETWEEN $start AND $end"


def rowless_files(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Finding:
    """Every file is large enough to hold a row; a smaller one is available and no evidence that the contract traded."""
    name = "rowless_files"
    window = scope.window(connection)
    if window is None:
        return Finding(name, passed=True, severity=Severity.WARN, summary="no day is collected",
                       numbers={"files": 0, "rowless": 0})  # fmt: skip
    days = {"start": window.start, "end": window.end}
    find_rowless_files(connection, Rules(today=scope.today))
    found = rows(connection, _ROWLESS, days)
    [(file_count,)] = connection.execute(_FILES, days).fetchall()
    numbers = {"files": file_count, "rowless": len(found)}
    if not found:
        return Finding(name, passed=True, severity=Severity.WARN, numbers=numbers,
                       summary=f"each of {counted(file_count, 'file')} can hold a row")  # fmt: skip
    summary = (
        f"{counted(len(found), 'file is', 'files are')} smaller than any zip of one row "
        f"({named(found, 'symbol', 'date')}) and no evidence that the contract traded; run `backfill --start "
        f"{found[-1]['date']} --end {found[0]['date']}` to see whether the archive has replaced them"
    )
    return Finding(name, passed=False, severity=Severity.WARN, summary=summary, numbers=numbers,
                   offenders=found[:SAMPLE])  # fmt: skip
