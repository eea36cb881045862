"""Getting at the file of the working database: its folder, waiting for other processes, and why it cannot be opened.

What the file holds is not looked at here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from availability_pipeline.errors import DatabaseInUse, StoreError

_log = logging.getLogger(__name__)

LOCK_TIMEOUT_SECONDS = 60.0
"""How long a writer waits for another one; a write takes a few seconds."""

CONFIG: dict[str, str | bool | int | float | list[str]] = {"memory_limit": "512MB"}
"""Bounded, because a whole history is written at once."""

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
            connection = open_file()
        except duckdb.Error as error:
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


_IN_USE = ("Could not set lock", "different configuration", "Unique file handle conflict")
"""What DuckDB says of a file that another process, or this one, has open."""


def cannot_open(path: Path, error: duckdb.Error) -> StoreError:
    """Why the file could not be opened, as an error to raise."""
    text = str(error).replace(str(path), "")
    if any(sign in text for sign in _IN_USE):
        return DatabaseInUse(
            f"the working database {path} is in use by another process ({first_line(error)}); "
            "wait for it or end it"
        )
    if "not a valid DuckDB database" in text:
        return StoreError(f"{path} is not a DuckDB database; move it away, then run `backfill`")
    if "ermission denied" in text or "ead-only file system" in text:
        return StoreError(f"the working database {path} cannot be opened for lack of permission; {ELSEWHERE}")
    return StoreError(
        f"the working database {path} cannot be opened ({first_line(error)}); `restore` a backup, or move it "
        "away and run `backfill`"
    )


def first_line(error: Exception) -> str:
    """The message of an error, without what DuckDB adds below it."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
