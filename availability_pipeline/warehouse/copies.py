"""Copies of the working database: taken while others use it, proved equal, put in its place.

A copy is logical: every row is read and written anew, and so is proved to be readable, and dead space stays behind.
What copies are for is not decided here.
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

# The number of rows, and a sum of hashes that any other content would change.
_ROWS = "SELECT count(*), sum(hash(held)) FROM query_table(?) AS held"

_ATTEMPTS = 5
"""How often a log that a killed process has left is taken over before it is given up."""


@contextmanager
def attached(path: Path, scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database as `source`, read-only, in a connection of its own; other processes may read it and not write to it.

    Args:
        path: The file.
        scratch: Where DuckDB may put what does not fit into memory, beside files of this name.

    Raises:
        StoreError: It cannot be opened, or stays in use.
    """
    with closing(when_free(path, lambda: attach(path, scratch))) as connection:
        yield connection


def attach(path: Path, scratch: Path) -> duckdb.DuckDBPyConnection:
    """As `attached`, without waiting, and to be closed; raises duckdb.Error."""
    connection = duckdb.connect(config={**CONFIG, "temp_directory": f"{scratch}.tmp"})
    try:
        connection.execute("ATTACH ? AS source (READ_ONLY, TYPE duckdb)", [str(path)])
        connection.execute("USE source")
    except BaseException:
        connection.close()
        raise
    return connection


def snapshot(path: Path, target: Path) -> None:
    """Copy the file as it is between two writes, with its log: the least time for which writers have to wait.

    Raises:
        StoreError: It cannot be opened, or stays in use.
        OSError: The copy could not be written.
    """
    with attached(path, target):
        # The file last: closing any handle of it ends this process's lock on it.
        for log, name in logs(path, target):
            shutil.copyfile(log, name)
        shutil.copyfile(path, target)


def copy_to(connection: duckdb.DuckDBPyConnection, target: Path) -> Mapping[str, int]:
    """Write what is attached as `source` into a new file, read it back and compare.

    Returns:
        By table, its number of rows.

    Raises:
        StoreError: The copy differs.
        duckdb.Error: It could not be read or written.
    """
    connection.execute("ATTACH ? AS target (TYPE duckdb)", [str(target)])
    connection.execute("COPY FROM DATABASE source TO target")
    connection.execute("CHECKPOINT target")  # detaching does so as well, and does not say why it fails
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
    """What an attached database is made of, and by table its rows."""
    schema = connection.execute(_SCHEMA, {"name": name}).fetchall()
    tables = {}
    for names in connection.execute(_TABLES, [name]).fetchall():
        quoted = ".".join('"' + part.replace('"', '""') + '"' for part in (name, *names))
        [tables[".".join(names).removeprefix("main.")]] = connection.execute(_ROWS, [quoted]).fetchall()
    return schema, tables


@contextmanager
def without_writers(path: Path, scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """As `attached`, with nothing in the log: what processes that were killed left there is taken over first.

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
    raise StoreError(
        f"the log of {path} is written again and again by processes that are killed; find out by what"
    )


def _take_over_logs(path: Path) -> None:
    """Write into the file what is in its logs; what is left of them, as after a torn header, has nothing in it."""
    with when_free(path, lambda: duckdb.connect(path, config=CONFIG)) as connection:
        connection.execute("CHECKPOINT")
        put_logs_aside(path)


def put(draft: Path, path: Path, former: Path) -> None:
    """Give a new database the name of the working database while nobody writes to that; it stays as `former`.

    A kill at any moment leaves the one or the other, whole. A file that is no database any more is not waited for.

    Raises:
        DatabaseInUse: Another process has it open.
        OSError: It could not be done.
    """
    with ExitStack() as held:
        try:
            held.enter_context(without_writers(path, draft))
        except DatabaseInUse:
            raise
        except StoreError:  # there is none, or none that anybody could open
            pass
        if path.exists():
            _keep(path, former, held)
        else:
            put_logs_aside(path)
        replace(draft, path)


def _keep(path: Path, former: Path, held: ExitStack) -> None:
    """Give the file a second name, and logs that are still there with it."""
    for log, _ in logs(former):
        log.unlink()
    with draft_of(former) as name:
        try:
            os.link(path, name)
        except OSError:  # a file system without links
            # To be closed at the end: closing any handle of the file ends this process's lock on it.
            file = held.enter_context(path.open("rb"))
            with name.open("wb") as copy:
                shutil.copyfileobj(file, copy)
            sync(name)
        name.replace(former)
    for log, kept in logs(path, former):
        log.replace(kept)


def replace(draft: Path, path: Path) -> None:
    """Give a complete file its name, with the rights of the one that had it, and the owner where root does it."""
    before = path.exists()
    if before:
        draft.chmod(S_IMODE(path.stat().st_mode) | 0o600)
    owner = (path if before else path.parent).stat()
    with suppress(OSError):
        os.chown(draft, owner.st_uid, owner.st_gid)
    draft.replace(path)
    sync(path.parent)
