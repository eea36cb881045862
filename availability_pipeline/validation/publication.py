"""Whether readers have what the working database has."""

from __future__ import annotations

from pathlib import Path

import duckdb

from availability_pipeline.analysis import derived_at
from availability_pipeline.causes import cause_of
from availability_pipeline.errors import PublishedDatabaseError
from availability_pipeline.publishing.audit import differences
from availability_pipeline.publishing.opening import open_published
from availability_pipeline.validation.finding import Finding, Scope, Severity

_ROWS = "SELECT count(*) FROM daily_availability"

_WRITTEN_SINCE = """
SELECT
    exists(FROM collection_runs WHERE finished_at > $published_at)
    OR exists(FROM symbols WHERE seen_at > $published_at OR first_seen > $published_at)
"""


def equals_working(connection: duckdb.DuckDBPyConnection, scope: Scope) -> Finding:
    """The published generation has the same rows as the working database, by count and by a hash of each column.

    The same goes for the derived tables. Where another run has written or derived since, that is a warning: its own
    publication follows, or is blocked and says so.
    """
    path = scope.settings.db_file
    [(working_rows,)] = connection.execute(_ROWS).fetchall()
    try:
        published, publication = open_published(path)
        published.close()
        found = differences(connection, path)
    except (PublishedDatabaseError, duckdb.Error) as error:
        numbers = {"working_rows": working_rows, "published_rows": 0, "differences": 1}
        return Finding("equals_working", passed=False, summary=_why(path, error), numbers=numbers)
    numbers = {
        "working_rows": working_rows, "published_rows": publication.row_count, "differences": len(found),
    }  # fmt: skip
    of_run = f"the published database of run {publication.run_id[:8]}"
    if not found:
        summary = f"{of_run} has the {working_rows:,} rows of the working one"
        return Finding("equals_working", passed=True, summary=summary, numbers=numbers)
    [(written_since,)] = connection.execute(
        _WRITTEN_SINCE, {"published_at": publication.published_at}
    ).fetchall()
    summary = (
        f"{of_run} ({publication.published_at:%Y-%m-%d %H:%M} UTC) is not what the working one has now: "
        f"{'; '.join(found)}; run `publish`, which says why if it may not be published"
    )
    derived_since = derived_at(connection) > publication.published_at
    severity = Severity.WARN if written_since or derived_since else Severity.ERROR
    return Finding("equals_working", passed=False, severity=severity, summary=summary, numbers=numbers,
                   offenders=[{"difference": difference} for difference in found])  # fmt: skip


def _why(path: Path, error: Exception) -> str:
    """Why they could not be compared; DuckDB does not say in which of the two it has found a wrong block."""
    if isinstance(error, PublishedDatabaseError):
        return str(error)
    cause = cause_of(error)
    return f"{path} and the working database could not be compared ({cause.reason}); {cause.remedy}"
