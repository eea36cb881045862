"""What must be true of the data, as functions over a connection to the working database; usable without Dagster.

Each check is one function that takes the connection and a `Scope` and returns a `Verdict`: exact counts, a bounded
sample of offenders, and a sentence that says what was found and how to recover. Nothing is repaired here, and only
the cross-check with exchangeInfo asks the network.

Importing any module of this package imports all modules with checks, so the registry in `check` is always complete. A
module that is not imported here has no checks.
"""

from availability_pipeline.quality import (
    contents,
    continuity,
    exchange,
    files,
    lifecycle,
    publication,
    volume,
)
from availability_pipeline.quality.check import Finding, Scope, Severity

__all__ = [
    "Finding",
    "Scope",
    "Severity",
    "contents",
    "continuity",
    "exchange",
    "files",
    "lifecycle",
    "publication",
    "volume",
]
