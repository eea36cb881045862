"""What goes wrong with files and databases, as one sentence. What was attempted is said by who attempted it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from availability_pipeline.causes import cause_of
from availability_pipeline.errors import BackupError


@contextmanager
def told(failed: str, state: str) -> Iterator[None]:
    """Turn errors of the file system and of DuckDB into a BackupError.

    Args:
        failed: What could not be done.
        state: What is there now, and what is not.
    """
    try:
        yield
    except (duckdb.Error, OSError) as error:
        cause = cause_of(error)
        raise BackupError(f"{failed} ({cause.reason}), {state}; {cause.remedy}") from error
