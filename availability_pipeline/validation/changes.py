"""Files that were replaced or withdrawn after they had been seen, from the ledger."""

from __future__ import annotations

import duckdb

from availability_pipeline.validation.finding import SAMPLE, Finding, Scope, Severity, named, rows
from availability_pipeline.words import counted

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


def changed_files(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Finding:
    """No file that was there has another content now, or is gone; late files are no change of this kind.

    Looks at the entries of the run, or at the whole ledger.
    """
    [numbers] = rows(connection, _COUNTS, {"run_id": scope.run_id})
    offenders = rows(connection, _CHANGES, {"run_id": scope.run_id, "sample": SAMPLE})
    total = numbers["republished"] + numbers["withdrawn"]
    if not total:
        return Finding("changed_files", passed=True, severity=Severity.WARN, numbers=numbers,
                       summary="no file was replaced or withdrawn")  # fmt: skip
    summary = (
        f"{counted(numbers['republished'], 'file was', 'files were')} replaced and "
        f"{numbers['withdrawn']:,} withdrawn ({named(offenders, 'symbol', 'date', 'kind', total=total)}); download "
        "what you keep of them again, `query changes` lists them all"
    )
    return Finding("changed_files", passed=False, severity=Severity.WARN, summary=summary, numbers=numbers,
                   offenders=offenders)  # fmt: skip
