"""Opening the working database: its file, its schema version, its transactions.

What is in the tables is not decided here.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path

import duckdb

from availability_pipeline.drafts import draft_of, remove_dead_drafts
from availability_pipeline.errors import DatabaseInUse, StoreError

SCHEMA_VERSION = 1

MIGRATIONS: dict[int, str] = {}
"""SQL that lifts a database from the version that is the key to the next one."""

_log = logging.getLogger(__name__)

LOCK_TIMEOUT_SECONDS = 60.0
"""How long a writer waits for another one; a write takes a few seconds."""

CONFIG: dict[str, str | bool | int | float | list[str]] = {"memory_limit": "512MB"}
"""Bounded, because a whole history is written at once."""


@contextmanager
def connect(
    path: Path, *, read_only: bool = False, wait_seconds: float | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the working database, made or brought to this schema version first unless `read_only`.

    Args:
        path: The file.
        read_only: Whether it is only read; other readers may then have it open as well.
        wait_seconds: How long to wait for a process that has it open; `LOCK_TIMEOUT_SECONDS` if None.

    Raises:
        StoreError: It cannot be opened; the message says why and what to do.
    """
    connection = _open(
        path, LOCK_TIMEOUT_SECONDS if wait_seconds is None else wait_seconds, read_only=read_only
    )
    try:
        _check_version(connection, path, read_only=read_only)
        yield connection
    except duckdb.Error as error:
        if not _is_of_the_file(error):
            raise
        raise StoreError(
            f"the working database {path} could not be read or written ({_first_line(error)}); "
            "check the disk and its free space; the data is as it was before"
        ) from error
    finally:
        with suppress(duckdb.Error):
            connection.close()


def _is_of_the_file(error: duckdb.Error) -> bool:
    """Whether an error is about the file and the machine, and not about a statement."""
    broken = (duckdb.OperationalError, duckdb.InternalError, duckdb.FatalException)
    return isinstance(error, broken) or type(error) is duckdb.Error  # the last is a checksum that is wrong


def check_usable(*paths: Path) -> None:
    """Make sure that databases can be written to these paths, before anything is asked of the archive.

    The first is the working database; if it is there, it is opened.

    Raises:
        StoreError: A folder cannot be written to, or the file is not a working database of this program.
    """
    for path in paths:
        _make_folder(path.parent)
        if not os.access(path.parent, os.W_OK):
            raise StoreError(f"the folder {path.parent} cannot be written to; {_ELSEWHERE}")
    if exists(paths[0]):
        with connect(paths[0]):
            pass


_ELSEWHERE = "set AVAILABILITY_DATA_DIR to a folder that you can write to"


def exists(path: Path) -> bool:
    """Whether there is such a file; raises StoreError if its folder cannot be looked into."""
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(f"{path} cannot be reached ({error.strerror}); {_ELSEWHERE}") from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the folder {folder} cannot be made ({error.strerror}); {_ELSEWHERE}") from error


def _open(path: Path, wait_seconds: float, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    if not exists(path):
        if read_only:
            raise StoreError(f"there is no working database {path}; `backfill` makes one")
        _make_folder(path.parent)
        _create(path)
    if not read_only:
        remove_dead_drafts(path)
    connection = _connect_when_free(path, wait_seconds, read_only=read_only)
    # Timestamps are stored without a zone, so CURRENT_TIMESTAMP must not be the machine's local time.
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _create(path: Path) -> None:
    """Make the database under another name first, so that a process that dies meanwhile leaves no half of one."""
    with draft_of(path) as draft:
        try:
            with duckdb.connect(draft, config=CONFIG) as connection:
                _write_schema(connection)
            _put(draft, path)
        except duckdb.Error as error:
            raise _cannot_open(path, error) from error


def _put(draft: Path, path: Path) -> None:
    """Give a file its name, unless another process has made one of this name by now."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        draft.replace(path)


def _write_schema(connection: duckdb.DuckDBPyConnection) -> None:
    with transaction(connection):
        connection.execute(files("availability_pipeline.store").joinpath("schema.sql").read_text("utf-8"))
        write_info(connection, "schema_version", str(SCHEMA_VERSION))


def _connect_when_free(path: Path, wait_seconds: float, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    began = time.monotonic()
    said = False
    while True:
        try:
            return duckdb.connect(path, read_only=read_only, config=CONFIG)
        except duckdb.Error as error:
            failure = _cannot_open(path, error)
            if not isinstance(failure, DatabaseInUse) or time.monotonic() - began > wait_seconds:
                raise failure from error
        if not said and time.monotonic() - began > 1:
            _log.warning("Waiting for the process that has %s open.", path)
            said = True
        time.sleep(0.2)


def _cannot_open(path: Path, error: duckdb.Error) -> StoreError:
    text = str(error)
    if "Could not set lock" in text or "different configuration" in text:
        return DatabaseInUse(
            f"the working database {path} is in use by another process ({_first_line(error)}); "
            "wait for it or end it"
        )
    if "not a valid DuckDB database" in text:
        return StoreError(f"{path} is not a DuckDB database; move it away, then run `backfill`")
    if "ermission denied" in text or "ead-only file system" in text:
        return StoreError(
            f"the working database {path} cannot be opened for lack of permission; {_ELSEWHERE}"
        )
    return StoreError(
        f"the working database {path} cannot be opened ({_first_line(error)}); restore it from a backup, or move it "
        "away and run `backfill`"
    )


def _check_version(connection: duckdb.DuckDBPyConnection, path: Path, *, read_only: bool) -> None:
    tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if not tables and not read_only:
        _write_schema(connection)
        return
    if not {"database_info", "daily_availability"} <= tables:
        raise StoreError(
            f"{path} is a DuckDB database of something else; set AVAILABILITY_DATA_DIR to another folder"
        )
    stated = read_info(connection, "schema_version") or ""
    if not stated.isdecimal():
        raise StoreError(
            f"{path} states the schema version {stated!r}, which is none; restore it from a backup"
        )
    version = int(stated)
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema version {version}, and this program knows only {SCHEMA_VERSION}; "
            "upgrade binance-futures-availability"
        )
    if version < SCHEMA_VERSION and not read_only:
        _migrate(connection, version)


def _migrate(connection: duckdb.DuckDBPyConnection, version: int) -> None:
    with transaction(connection):
        for step in range(version, SCHEMA_VERSION):
            connection.execute(MIGRATIONS[step])
        write_info(connection, "schema_version", str(SCHEMA_VERSION))


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All or nothing: commit at the end, roll back on any exception."""
    connection.execute("BEGIN TRANSACTION")
    try:
        yield
    except BaseException:
        with suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def read_info(connection: duckdb.DuckDBPyConnection, key: str) -> str | None:
    """A fact about the database itself, or None."""
    rows = connection.execute("SELECT value FROM database_info WHERE key = ?", [key]).fetchall()
    return rows[0][0] if rows else None


def write_info(connection: duckdb.DuckDBPyConnection, key: str, value: str) -> None:
    """Remember a fact about the database itself."""
    connection.execute("INSERT OR REPLACE INTO database_info VALUES (?, ?)", [key, value])


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
