"""The open working database: creation, check, migration, transactions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path

import duckdb

from availability_pipeline.catalogue.columns import DAILY_VOLUME, FILE_CONTENTS, select_sql, table_sql
from availability_pipeline.catalogue.datasets import DATASETS, DEFAULT_DATASET, Dataset
from availability_pipeline.errors import StoreError, cause_of
from availability_pipeline.warehouse.atomic import draft_of, remove_dead_drafts
from availability_pipeline.warehouse.opening import (
    CONFIG,
    ELSEWHERE,
    cannot_open,
    damage_of,
    exists,
    make_folder,
    make_folders,
    put_logs_aside,
    when_free,
)

SCHEMA_VERSION = 3

_RELATIONS = (
    "SELECT table_name FROM duckdb_tables() UNION SELECT view_name FROM duckdb_views() WHERE NOT internal"
)

_BOTH = ("database_info", "daily_availability")
"""The relations by which a working database is known."""

# The table behind the view daily_availability, one row per tracked symbol and UTC day. No primary key, whose memory
# grows with the history: the check `continuity` and the audit of every publication prove uniqueness. No secondary
# indexes, which cost space and gain nothing here.
_TABLE = table_sql("availability")

# Daily bars, unique by contract and day as above, inspected files, unique by contract, day and version, and the files
# that were read for bars: `date` is the first day of a file, `fault` why it could not be used as a whole, or NULL.
_VOLUME = f"""
{table_sql("daily_volume", DAILY_VOLUME)}
{table_sql("file_contents", FILE_CONTENTS)}
CREATE TABLE volume_files (
    symbol VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    date DATE NOT NULL,
    last_day DATE NOT NULL,
    file_size_bytes BIGINT NOT NULL,
    last_modified TIMESTAMP NOT NULL,
    bars INTEGER NOT NULL,
    fault VARCHAR,
    read_at TIMESTAMP NOT NULL
);
"""

# The url is computed from the key, the dataset and the current archive URL.
_ARCHIVE_URL = "(SELECT value FROM database_info WHERE key = 'archive_url')"

CONTRADICTORY = """(
    status_code NOT IN (200, 404)
    OR available IS DISTINCT FROM (status_code = 200)
    OR available IS DISTINCT FROM (file_size_bytes IS NOT NULL)
    OR available IS DISTINCT FROM (last_modified IS NOT NULL)
)"""
"""SQL condition on a contradictory row: available means status 200, a size and a last-modified."""

MIGRATIONS: dict[int, str] = {
    1: """
    ALTER TABLE daily_availability RENAME TO former;
    CREATE TABLE availability AS
    SELECT * EXCLUDE (url), NULL::BOOLEAN AS has_checksum FROM former ORDER BY date, symbol;
    DROP TABLE former;
    ALTER TABLE availability ALTER date SET NOT NULL;
    ALTER TABLE availability ALTER symbol SET NOT NULL;
    ALTER TABLE availability ALTER available SET NOT NULL;
    ALTER TABLE availability ALTER status_code SET NOT NULL;
    ALTER TABLE availability ALTER probe_timestamp SET NOT NULL;
    ALTER TABLE availability ALTER probe_timestamp SET DEFAULT CURRENT_TIMESTAMP;
    """,
    2: _VOLUME
    + """
    CREATE TABLE contract_history (
        symbol VARCHAR NOT NULL, contract_type VARCHAR, status VARCHAR, onboard_date DATE, delivery_date TIMESTAMP,
        underlying_type VARCHAR, valid_from TIMESTAMP NOT NULL, valid_to TIMESTAMP NOT NULL
    );
    """,
}
"""By schema version, the SQL that migrates the tables to the next one; the view is recreated after the last."""


@contextmanager
def connect(
    path: Path, *, read_only: bool = False, wait_seconds: float | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the working database, which is created or migrated first unless `read_only`.

    Args:
        path: The file.
        read_only: Whether other readers may have it open as well.
        wait_seconds: How long to wait for another process; `opening.LOCK_TIMEOUT_SECONDS` if None.

    Raises:
        StoreError: It cannot be opened, read or written.
    """
    connection = _open(path, wait_seconds, read_only=read_only)
    try:
        if check_version(connection, path, read_only=read_only) < SCHEMA_VERSION:
            raise StoreError(
                f"{path} was written by an older version of this program; run `publish`, which brings it to this one"
            )
        yield connection
    except duckdb.Error as error:
        if damage := damage_of(path, error):
            raise damage from error
        if not _is_of_the_machine(error):
            raise
        cause = cause_of(error)
        raise StoreError(
            f"the working database {path} could not be read or written ({cause.reason}); {cause.remedy}; the data is "
            "unchanged"
        ) from error
    finally:
        with suppress(duckdb.Error):
            connection.close()


def _is_of_the_machine(error: duckdb.Error) -> bool:
    """Whether an error is of the machine or DuckDB itself, and not of a statement."""
    broken = (duckdb.OperationalError, duckdb.InternalError, duckdb.FatalException)
    return (
        isinstance(error, broken) or type(error) is duckdb.Error
    )  # the last is an error without a specific class


def check_usable(*paths: Path) -> None:
    """Check that databases can be written to these paths, of which the first is the working database.

    Raises:
        StoreError: A folder is not writable, or the file is not a working database of this program.
    """
    make_folder(paths[0])
    for path in paths:
        make_folders(path.parent)
        if not os.access(path.parent, os.W_OK):
            raise StoreError(f"the folder {path.parent} cannot be written to; {ELSEWHERE}")
    if exists(paths[0]):
        with connect(paths[0]):
            pass


def _open(path: Path, wait_seconds: float | None, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    if not exists(path):
        if read_only:
            raise StoreError(f"there is no working database {path}; `backfill` makes one")
        make_folder(path)
    if not read_only:
        _prepare(path)
    connection = when_free(
        path, lambda: duckdb.connect(path, read_only=read_only, config=CONFIG), wait_seconds
    )
    # Timestamps are stored without a zone, so CURRENT_TIMESTAMP must not be the machine's local time.
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _prepare(path: Path) -> None:
    """Create the database if it is missing, and remove drafts of dead processes."""
    try:
        if path.exists():
            remove_dead_drafts(path)
        else:
            _create(path)
    except (duckdb.Error, OSError) as error:
        raise cannot_open(path, error) from error


def _create(path: Path) -> None:
    """Create the database atomically."""
    with draft_of(path) as draft, duckdb.connect(draft, config=CONFIG) as connection:
        _write_schema(connection)
        connection.execute("CHECKPOINT")
        # While it is open, others wait: a log of a former database must be gone before they open it.
        if _put(draft, path):
            put_logs_aside(path)


def _put(draft: Path, path: Path) -> bool:
    """Rename a file unless the target exists by now."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        draft.replace(path)
    return True


def _write_schema(connection: duckdb.DuckDBPyConnection) -> None:
    with transaction(connection):
        connection.execute(files("availability_pipeline.warehouse").joinpath("schema.sql").read_text("utf-8"))
        connection.execute(_TABLE)
        connection.execute(_VOLUME)
        _make_view(connection, DEFAULT_DATASET)
        write_info(connection, "schema_version", str(SCHEMA_VERSION))


def check_version(connection: duckdb.DuckDBPyConnection, path: Path, *, read_only: bool) -> int:
    """Check, and migrate unless `read_only`, a working database; returns its schema version.

    Raises:
        StoreError: It is another database, or of a newer version.
    """
    if not has_relations(connection, _BOTH):
        relations = {name for (name,) in connection.execute(_RELATIONS).fetchall()}
        if not relations and not read_only:
            _write_schema(connection)
            return SCHEMA_VERSION
        if not relations.issuperset(_BOTH):
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
    return version if read_only else _migrate(connection, version)


def has_relations(connection: duckdb.DuckDBPyConnection, names: Iterable[str]) -> bool:
    """Whether all of these can be read; it takes a tenth of the time of listing all relations.

    Not for use in a transaction, which a relation that is not there would abort.
    """
    try:
        connection.execute(f"SELECT 1 FROM {', '.join(names)} LIMIT 0")  # noqa: S608 - our own names
    except (duckdb.BinderException, duckdb.CatalogException):
        return False
    return True


def _migrate(connection: duckdb.DuckDBPyConnection, version: int) -> int:
    if version < SCHEMA_VERSION:
        with transaction(connection):
            for step in range(version, SCHEMA_VERSION):
                connection.execute(MIGRATIONS[step])
            _make_view(connection, dataset_of(connection))
            write_info(connection, "schema_version", str(SCHEMA_VERSION))
    return SCHEMA_VERSION


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit at the end, roll back on any exception."""
    connection.execute("BEGIN TRANSACTION")
    try:
        yield
    except BaseException:
        with suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _make_view(connection: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    columns = select_sql(dataset.url_sql(_ARCHIVE_URL))
    connection.execute(f"CREATE OR REPLACE VIEW daily_availability AS SELECT {columns} FROM availability")  # noqa: S608


def dataset_of(connection: duckdb.DuckDBPyConnection) -> Dataset:
    """The dataset whose rows the database has.

    Raises:
        StoreError: It is none of the catalogue.
    """
    name = read_info(connection, "dataset") or DEFAULT_DATASET.name
    if name not in DATASETS:
        raise StoreError(
            f"the working database is of the dataset {name}, which this program does not know; upgrade "
            "binance-futures-availability"
        )
    return DATASETS[name]


def set_source(connection: duckdb.DuckDBPyConnection, dataset: Dataset, archive_url: str) -> None:
    """Let the rows be about a dataset whose files are served at an address, from which the view makes URLs.

    Raises:
        StoreError: There are rows of another dataset.
    """
    held = dataset_of(connection)
    if held.name != dataset.name:
        if connection.execute("SELECT 1 FROM availability LIMIT 1").fetchall():
            raise StoreError(
                f"the working database has rows of {held.name}, and these are of {dataset.name}; set "
                "AVAILABILITY_DATA_DIR to another folder"
            )
        _make_view(connection, dataset)
        write_info(connection, "dataset", dataset.name)
    if read_info(connection, "archive_url") != archive_url:
        write_info(connection, "archive_url", archive_url)


def read_info(connection: duckdb.DuckDBPyConnection, key: str) -> str | None:
    """A value of `database_info`, or None."""
    rows = connection.execute("SELECT value FROM database_info WHERE key = ?", [key]).fetchall()
    return rows[0][0] if rows else None


def write_info(connection: duckdb.DuckDBPyConnection, key: str, value: str) -> None:
    """Set a value of `database_info`."""
    connection.execute("INSERT OR REPLACE INTO database_info VALUES (?, ?)", [key, value])
