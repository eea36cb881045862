"""Copies of the working database: taken while others use it, verified, put in its place.

Copies are logical: every row is read and rewritten, so that all of it is readable and unused space is left behind.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from stat import S_IMODE

import duckdb

from availability_pipeline.errors import DatabaseInUse, StoreError
from availability_pipeline.warehouse.atomic import draft_of, sync
from availability_pipeline.warehouse.opening import CONFIG, logs, put_logs_aside, when_free

_SCHEMA = """
SELECT 'table' AS kind, schema_name, table_name, sql FROM duckdb_tables() WHERE database_name = $name
UNION ALL
SELECT 'view', schema_name, view_name, sql FROM duckdb_views() WHERE database_name = $name AND NOT internal
UNION ALL
SELECT 'index', schema_name, index_name, sql FROM duckdb_indexes() WHERE database_name = $name
ORDER BY ALL
"""

_TABLES = "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = ? ORDER BY ALL"

# The number of rows, and a sum of their hashes.
_ROWS = "SELECT count(*), sum(hash(held)) FROM query_table(?) AS held"

_ATTEMPTS = 5
"""Checkpoints of logs that killed processes left before giving up."""


@contextmanager
def attached(path: Path, scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with a database attached read-only as `source`; other processes can read it and not write to it.

    Args:
        path: The file.
        scratch: Prefix of DuckDB's temporary files.

    Raises:
        StoreError: It cannot be opened, or stays in use.
    """
    with closing(when_free(path, lambda: attach(path, scratch))) as connection:
        yield connection


def attach(path: Path, scratch: Path) -> duckdb.DuckDBPyConnection:
    """As `attached`, without waiting; the caller closes it. Raises duckdb.Error."""
    connection = duckdb.connect(config={**CONFIG, "temp_directory": f"{scratch}.tmp"})
    try:
        connection.execute("ATTACH ? AS source (READ_ONLY, TYPE duckdb)", [str(path)])
        connection.execute("USE source")
    except BaseException:
        connection.close()
        raise
    return connection


def snapshot(path: Path, target: Path) -> None:
    """Copy the file and its log as they are between two writes, which blocks writers only for the copy.

    Raises:
        StoreError: It cannot be opened, or stays in use.
        OSError: The copy could not be written.
    """
    with attached(path, target):
        # The file last: closing any handle of it releases this process's lock.
        for log, name in logs(path, target):
            shutil.copyfile(log, name)
        shutil.copyfile(path, target)


def copy_to(connection: duckdb.DuckDBPyConnection, target: Path) -> Mapping[str, int]:
    """Copy the database attached as `source` into a new file and compare both; returns rows by table.

    Raises:
        StoreError: The copy differs.
        duckdb.Error: It could not be read or written.
    """
    connection.execute("ATTACH ? AS target (TYPE duckdb)", [str(target)])
    connection.execute("COPY FROM DATABASE source TO target")
    connection.execute("CHECKPOINT target")  # detaching does so as well, but hides why it fails
    connection.execute("DETACH target")
    sync(target)
    connection.execute("ATTACH ? AS target (READ_ONLY, TYPE duckdb)", [str(target)])
    expected, found = _contents(connection, "source"), _contents(connection, "target")
    connection.execute("DETACH target")
    if found != expected:
        raise StoreError(f"the copy {target} differs from what was copied; check the disk")
    return {name: rows for name, (rows, _) in expected[1].items()}


def _contents(
    connection: duckdb.DuckDBPyConnection, name: str
) -> tuple[list[tuple[str, ...]], dict[str, tuple[int, int]]]:
    """Schema, and by table rows and hash, of an attached database."""
    schema = connection.execute(_SCHEMA, {"name": name}).fetchall()
    tables = {}
    for names in connection.execute(_TABLES, [name]).fetchall():
        quoted = ".".join('"' + part.replace('"', '""') + '"' for part in (name, *names))
        [tables[".".join(names).removeprefix("main.")]] = connection.execute(_ROWS, [quoted]).fetchall()
    return schema, tables


@contextmanager
def without_writers(path: Path, scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """As `attached`, with an empty log: logs of killed processes are checkpointed first.

    Raises:
        StoreError: It cannot be opened, or stays in use.
    """
    for _ in range(_ATTEMPTS):
        if path.exists() and logs(path):
            _take_over_logs(path)
        with attached(path, scratch) as connection:
            if not logs(path):
                yield connection
                return
    raise StoreError(f"killed processes keep leaving logs beside {path}; find out what kills them")


def _take_over_logs(path: Path) -> None:
    """Checkpoint the logs into the file; a remainder, as after a torn header, is empty."""
    with when_free(path, lambda: duckdb.connect(path, config=CONFIG)) as connection:
        connection.execute("CHECKPOINT")
        put_logs_aside(path)


def put(draft: Path, path: Path, former: Path) -> None:
    """Rename a new database to the working database, without writers, and keep the old one as `former`.

    A kill at any moment leaves one of them intact. A file that is no longer a database is replaced without waiting.

    Raises:
        DatabaseInUse: Another process has it open.
        OSError: A file could not be renamed.
    """
    with ExitStack() as held:
        try:
            held.enter_context(without_writers(path, draft))
        except DatabaseInUse:
            raise
        except StoreError:  # missing, or not a database
            pass
        if path.exists():
            _keep(path, former, held)
        else:
            put_logs_aside(path)
        replace(draft, path)


def _keep(path: Path, former: Path, held: ExitStack) -> None:
    """Keep the file, and any logs of it, under a second name."""
    for log, _ in logs(former):
        log.unlink()
    with draft_of(former) as name:
        try:
            os.link(path, name)
        except OSError:  # a file system without links
            # Closed at the end, because closing any handle of the file releases this process's lock.
            file = held.enter_context(path.open("rb"))
            with name.open("wb") as copy:
                shutil.copyfileobj(file, copy)
            sync(name)
        name.replace(former)
    for log, kept in logs(path, former):
        log.replace(kept)


def replace(draft: Path, path: Path) -> None:
    """Rename a complete file over another, with the permissions, and for root the owner, of the replaced one."""
    before = path.exists()
    if before:
        draft.chmod(S_IMODE(path.stat().st_mode) | 0o600)
    owner = (path if before else path.parent).stat()
    with suppress(OSError):
        os.chown(draft, owner.st_uid, owner.st_gid)
    draft.replace(path)
    sync(path.parent)
