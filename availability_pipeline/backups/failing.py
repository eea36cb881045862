"""What goes wrong with files and databases, as one sentence. What was attempted is said by who attempted it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from availability_pipeline.errors import BackupError
from availability_pipeline.store.opening import first_line


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
        reason = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        raise BackupError(
            f"{failed} ({reason}), {state}; check the permissions and the disk's free space, and with `validate` "
            "whether the database can be read"
        ) from error
