"""Checks of `file_contents`: whether the files that were inspected are whole."""

from __future__ import annotations

from collections import Counter

import duckdb

from availability_pipeline.catalogue.columns import WHOLE
from availability_pipeline.quality.check import SAMPLE, Scope, Severity, Verdict, check, named, rows
from availability_pipeline.symbols import counted

# Of each file the version that was inspected last, if that is not whole.
_INCOMPLETE = """
SELECT date, symbol, verdict, missing_minutes, checksum, last_modified
FROM file_contents AS held
WHERE NOT list_contains($whole, verdict) AND date BETWEEN $first AND $last
    AND (len($symbols) = 0 OR list_contains($symbols, symbol))
    AND NOT EXISTS (
        FROM file_contents AS newer WHERE newer.date = held.date AND newer.symbol = held.symbol
            AND (newer.last_modified, newer.inspected_at) > (held.last_modified, held.inspected_at)
    )
ORDER BY date DESC, symbol
"""

_NUMBERS = """
SELECT count(*) AS files, count(*) FILTER (inspected.date IS NULL) AS not_inspected
FROM availability AS held LEFT JOIN (
    SELECT DISTINCT date, symbol, file_size_bytes, last_modified
    FROM file_contents WHERE date BETWEEN $first AND $last
) AS inspected USING (date, symbol, file_size_bytes, last_modified)
WHERE available AND held.date BETWEEN $first AND $last
    AND (len($symbols) = 0 OR list_contains($symbols, held.symbol))
"""


@check(asset="file_contents", severity=Severity.WARN)
def incomplete_files(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Verdict:
    """Every file that was inspected is whole; how many were not inspected is told and no failure."""
    window = scope.window(connection)
    if window is None:
        return Verdict(passed=True, summary="no day is collected", numbers={"files": 0})
    values = {"first": window.start, "last": window.end, "symbols": list(scope.symbols)}
    [counts] = rows(connection, _NUMBERS, values)
    found = rows(connection, _INCOMPLETE, {**values, "whole": list(WHOLE)})
    by_verdict = Counter(row["verdict"] for row in found)
    numbers = {**counts, "incomplete": len(found), **by_verdict}
    if not found:
        inspected = counts["files"] - counts["not_inspected"]
        summary = f"no incomplete file among {counted(inspected, 'inspected one')}"
        return Verdict(passed=True, summary=summary, numbers=numbers)
    kinds = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(by_verdict.items()))
    summary = (
        f"{counted(len(found), 'file is', 'files are')} incomplete: {kinds} "
        f"({named(found, 'symbol', 'date', 'verdict')}); leave them out with `--only-complete`, which `urls` and "
        "`download` take; `query incomplete` lists them all"
    )
    return Verdict(passed=False, summary=summary, numbers=numbers, offenders=found[:SAMPLE])
