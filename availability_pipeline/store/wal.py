"""The write-ahead log: the files that DuckDB has beside a database, and putting those aside that belong to none.

What is in them is DuckDB's alone.
"""

from __future__ import annotations

import logging
from pathlib import Path

_log = logging.getLogger(__name__)

_ENDINGS = (".wal", ".wal.checkpoint", ".wal.recovery")
"""Of the log, and of those that DuckDB has while it takes that over."""


def logs(path: Path, other: Path | None = None) -> list[tuple[Path, Path]]:
    """What DuckDB has put beside a file and not into it yet, and what it would be called beside another file."""
    names = [(path.with_name(path.name + ending), ending) for ending in _ENDINGS]
    beside = other or path
    return [(log, beside.with_name(beside.name + ending)) for log, ending in names if log.exists()]


def put_logs_aside(path: Path) -> None:
    """Rename logs that belong to no database or have nothing in them, so that none is mistaken for the database's own.

    Args:
        path: The database, which no other process can have open meanwhile.
    """
    for log, _ in logs(path):
        aside = log.with_name(f"{log.name}.orphaned")
        log.replace(aside)
        _log.warning("Renamed %s, which belongs to no database, to %s.", log, aside.name)
