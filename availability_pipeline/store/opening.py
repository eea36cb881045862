"""Getting at the file of the working database: its folder, waiting for other processes, and why it cannot be opened.

What the file holds is not looked at here.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from availability_pipeline.causes import cause_of, is_damaged, is_locked, is_open_here, unusable_log
from availability_pipeline.errors import DatabaseInUse, StoreError

_log = logging.getLogger(__name__)

LOCK_TIMEOUT_SECONDS = 60.0
"""How long a writer waits for another one; a write takes a few seconds."""

CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "512MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
"""Bounded, because a whole history is written at once; and a file of another program is not to be opened with an
extension from the network."""

ELSEWHERE = "set AVAILABILITY_DATA_DIR to a folder that you can write to"


def exists(path: Path) -> bool:
    """Whether there is such a file; raises StoreError if its folder cannot be looked into."""
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(f"{path} cannot be reached ({error.strerror}); {ELSEWHERE}") from error


def make_folder(path: Path) -> None:
    """Make the folder of a working database, which is the pipeline's alone: whoever opens the file blocks it.

    Raises:
        StoreError: It cannot be made.
    """
    make_folders(path.parent, mode=0o700)


def make_folders(folder: Path, mode: int = 0o777) -> None:
    """Make a folder and those above it; raises StoreError if it cannot be made."""
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the folder {folder} cannot be made ({error.strerror}); {ELSEWHERE}") from error


def when_free(
    path: Path,
    open_file: Callable[[], duckdb.DuckDBPyConnection],
    wait_seconds: float | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open a working database as soon as no other process keeps it from being opened.

    Args:
        path: The file.
        open_file: What opens it.
        wait_seconds: How long to wait; `LOCK_TIMEOUT_SECONDS` if None.

    Raises:
        StoreError: It cannot be opened.
    """
    until = LOCK_TIMEOUT_SECONDS if wait_seconds is None else wait_seconds
    began = time.monotonic()
    said = False
    while True:
        file = _identity(path)
        try:
            # DuckDB ends the whole process where it cannot open a single file.
            os.close(os.open(os.devnull, os.O_RDONLY))
            connection = open_file()
        except (duckdb.Error, OSError) as error:
            failure = cannot_open(path, error)
            if not isinstance(failure, DatabaseInUse) or time.monotonic() - began > until:
                raise failure from error
        else:
            if _identity(path) == file:
                return connection
            connection.close()  # another file has got the name meanwhile
        if not said and time.monotonic() - began > 1:
            _log.warning("Waiting for the process that has %s open.", path)
            said = True
        time.sleep(0.2)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file has the name now."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def cannot_open(path: Path, error: Exception) -> StoreError:
    """Why the file could not be opened, as an error to raise."""
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
    """What is damaged and what to do, if the error proves that."""
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
