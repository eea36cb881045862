"""Opening the file of the working database: its folder and write-ahead log, and why it fails."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from availability_pipeline.errors import (
    DatabaseInUse,
    StoreError,
    cause_of,
    is_damaged,
    is_locked,
    is_open_here,
    unusable_log,
)

_log = logging.getLogger(__name__)

_ENDINGS = (".wal", ".wal.checkpoint", ".wal.recovery")
"""Suffixes of the write-ahead log, and of its copies during a checkpoint or recovery."""


def logs(path: Path, other: Path | None = None) -> list[tuple[Path, Path]]:
    """The existing write-ahead logs of a file, each with its name beside `other`."""
    names = [(path.with_name(path.name + ending), ending) for ending in _ENDINGS]
    beside = other or path
    return [(log, beside.with_name(beside.name + ending)) for log, ending in names if log.exists()]


def put_logs_aside(path: Path) -> None:
    """Rename orphaned or empty logs, so that DuckDB does not replay them; no other process may have the file open."""
    for log, _ in logs(path):
        aside = log.with_name(f"{log.name}.orphaned")
        log.replace(aside)
        _log.warning("Renamed %s, which belongs to no database, to %s.", log, aside.name)


LOCK_TIMEOUT_SECONDS = 60.0
"""A write takes a few seconds."""

CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "512MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
"""Bounded memory, because a whole history is written at once; no extensions from the network for foreign files."""

ELSEWHERE = "set AVAILABILITY_DATA_DIR to a folder that you can write to"


def exists(path: Path) -> bool:
    """Whether the file exists; raises StoreError if its folder is not accessible."""
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(f"{path} cannot be reached ({error.strerror}); {ELSEWHERE}") from error


def make_folder(path: Path) -> None:
    """Create the folder of a working database, private because any reader blocks the pipeline; raises StoreError."""
    make_folders(path.parent, mode=0o700)


def make_folders(folder: Path, mode: int = 0o777) -> None:
    """Create a folder and its parents; raises StoreError."""
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the folder {folder} cannot be made ({error.strerror}); {ELSEWHERE}") from error


def when_free(
    path: Path,
    open_file: Callable[[], duckdb.DuckDBPyConnection],
    wait_seconds: float | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open a working database, waiting while another process locks it.

    Args:
        path: The file.
        open_file: Opens it.
        wait_seconds: `LOCK_TIMEOUT_SECONDS` if None.

    Raises:
        StoreError: It cannot be opened, or stays locked (DatabaseInUse).
    """
    until = LOCK_TIMEOUT_SECONDS if wait_seconds is None else wait_seconds
    began = time.monotonic()
    said = False
    while True:
        file = _identity(path)
        try:
            # DuckDB aborts the process if no file descriptor is left.
            os.close(os.open(os.devnull, os.O_RDONLY))
            connection = open_file()
        except (duckdb.Error, OSError) as error:
            failure = cannot_open(path, error)
            if not isinstance(failure, DatabaseInUse) or time.monotonic() - began > until:
                raise failure from error
        else:
            if _identity(path) == file:
                return connection
            connection.close()  # replaced meanwhile
        if not said and time.monotonic() - began > 1:
            _log.warning("Waiting for the process that has %s open.", path)
            said = True
        time.sleep(0.2)


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def cannot_open(path: Path, error: Exception) -> StoreError:
    """The error for a file that could not be opened."""
    cause = cause_of(error)
    if is_locked(error):
        return DatabaseInUse(
            f"the working database {path} is in use by another process ({cause.reason}); wait for it or end it"
        )
    if is_open_here(error):
        return DatabaseInUse(
            f"the working database {path} is open in this process already ({cause.reason}); close it there first"
        )
    return damage_of(path, error) or StoreError(
        f"the working database {path} cannot be opened ({cause.reason}); {cause.remedy}"
    )


def damage_of(path: Path, error: Exception) -> StoreError | None:
    """The error for a damaged file or log, if `error` proves the damage."""
    reason = cause_of(error).reason
    if log := unusable_log(error):
        return StoreError(
            f"the write-ahead log {log} is damaged or of another database ({reason}); move it away, then run "
            "`backfill`, which collects again what only the log had"
        )
    if not is_damaged(path, error):
        return None
    return StoreError(
        f"the working database {path} is damaged or not a DuckDB database ({reason}); `restore` a backup, or move "
        "it away and run `backfill`"
    )
