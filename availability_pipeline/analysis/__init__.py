"""What the files mean: which of them are flat, which absences are gaps, when contracts were listed and ended.

Rules are SQL over `daily_availability` and `symbols`, in the .sql files; `rules` has their numbers, `absence` says what
the days without a file are, `lifecycle` makes the tables that are published. Nothing here knows Dagster, HTTP or the
published database.
"""

from availability_pipeline.analysis.absence import find_absences, find_rowless_files
from availability_pipeline.analysis.lifecycle import (
    DERIVED_TABLES,
    DeriveReport,
    derive,
    derive_if_stale,
    derived_at,
    fits_rows,
    is_derived,
)
from availability_pipeline.analysis.rules import Rules

__all__ = [
    "DERIVED_TABLES",
    "DeriveReport",
    "Rules",
    "derive",
    "derive_if_stale",
    "derived_at",
    "find_absences",
    "find_rowless_files",
    "fits_rows",
    "is_derived",
]
