"""Opening a published database for reading, and whether a path may become one."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.errors import (
    PublicationError,
    PublishedDatabaseError,
    cause_of,
    is_closed,
    is_damaged,
    is_locked,
    is_open_here,
    unusable_log,
)
from availability_pipeline.publishing.manifest import SCHEMA_VERSION, TELLING_TABLES, Place, read_manifest
from availability_pipeline.warehouse.database import has_relations

_PROGRAM = "binance-futures-availability"

_RESTORE = (
    f"move it away, then run `{_PROGRAM} publish` to make it anew from the working database, or "
    f"`{_PROGRAM} publish --rollback` to have the one from before"
)

# One thread: a query reads a few thousand neighbouring rows, and handing them to more threads takes longer.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {"threads": 1}

_PUBLICATION = """
SELECT
    schema_version, first_day, data_through, last_file_day, row_count, file_count, symbol_count, run_id, published_at,
    archive_url, $tail_from, $tail_symbols, $dataset
FROM published.publication
"""

_SYMBOLS = "SELECT symbol FROM published.published_symbols ORDER BY symbol"


@dataclass(frozen=True)
class Publication:
    """What a published database says of itself."""

    schema_version: int
    first_day: dt.date
    data_through: dt.date
    """The last collected day, whether it has files yet or not."""
    last_file_day: dt.date | None
    """The last day that has a file; None if no day has one."""
    row_count: int
    file_count: int
    """Rows that have a file."""
    symbol_count: int
    """Contracts that have rows."""
    run_id: str
    published_at: dt.datetime
    """UTC."""
    archive_url: str
    """Where the files are served."""
    tail_from: dt.date | None
    """From this day on, rows of files lie behind all others; None if there are no such rows."""
    tail_symbols: list[str]
    """All rows of these contracts do, too; before that day they have no file."""
    dataset: str
    """Its name in the catalogue."""


def open_published(path: Path) -> tuple[duckdb.DuckDBPyConnection, Publication]:
    """Open a published database, attached read-only as `published`.

    It is attached to an empty database of its own: `duckdb.connect(path)` would give whatever file this process has
    already open under that path, which after a publication is the old one. Its type is said because DuckDB would fetch
    an extension from the network for a file of SQLite's.

    Raises:
        PublishedDatabaseError: It is missing, damaged, or of another form; the message says what to do.
    """
    _check_file(path)
    connection = duckdb.connect(config=_CONFIG)
    try:
        with reading(path):
            connection.execute("ATTACH ? AS published (READ_ONLY, TYPE duckdb)", [str(path)])
        return connection, _read_publication(connection, path)
    except BaseException:
        connection.close()
        raise


def read_symbols(path: Path) -> list[str]:
    """The names of the contracts that a published database has rows of, sorted.

    Raises:
        PublishedDatabaseError: As `open_published`.
    """
    connection, _ = open_published(path)
    with connection, reading(path):
        return [name for (name,) in connection.execute(_SYMBOLS).fetchall()]


def _demo(path: Path) -> str:
    """How to get at the demo's data: by running it, or where it is."""
    if (path.parent / "demo" / path.name).exists():
        return f"set AVAILABILITY_DATA_DIR={path.parent / 'demo'} to read the demo's"
    return f"`{_PROGRAM} demo` to try it offline"


def _check_file(path: Path) -> None:
    try:
        # A pipe would be waited for.
        if path.exists() and not path.is_dir() and not path.is_file():
            raise PublishedDatabaseError(
                f"{path} is not a file; set AVAILABILITY_DB_PATH to a published database"
            )
        with path.open("rb"):
            return
    except (FileNotFoundError, NotADirectoryError):
        raise PublishedDatabaseError(
            f"there is no published database {path}; run `{_PROGRAM} backfill` to make it, or {_demo(path)}"
        ) from None
    except OSError as error:
        raise PublishedDatabaseError(_why(path, error)) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn DuckDB's errors into one that names the file.

    Raises:
        PublishedDatabaseError: DuckDB could not read the file.
    """
    try:
        yield
    except duckdb.Error as error:
        raise PublishedDatabaseError(_why(path, error)) from error


def _why(path: Path, error: Exception) -> str:
    cause = cause_of(error)
    if log := unusable_log(error):
        return (
            f"the write-ahead log {log} of the published database is damaged or of another database ({cause.reason}); "
            "move it away, readers need none"
        )
    if is_damaged(path, error):
        return (
            f"the published database {path} is damaged or not a DuckDB database ({cause.reason}); {_RESTORE}"
        )
    if is_locked(error):
        return f"the published database {path} is open for writing elsewhere; close it there"
    if is_open_here(error):
        return f"the published database {path} is open in this process already ({cause.reason}); close it there first"
    if is_closed(error):
        return f"the published database {path} was closed while an answer was read; close it afterwards"
    return f"the published database {path} cannot be read ({cause.reason}); {cause.remedy}"


def _read_publication(connection: duckdb.DuckDBPyConnection, path: Path) -> Publication:
    with reading(path):
        try:
            # Asked for by itself first: a newer form may lack the other columns.
            version = connection.execute("SELECT schema_version FROM published.publication").fetchone()
        except duckdb.CatalogException:  # listing all tables would take a third of the time of opening
            raise PublishedDatabaseError(
                f"{path} is a DuckDB database of something else; set AVAILABILITY_DB_PATH to the published one"
            ) from None
        if version and not isinstance(version[0], int):
            raise PublishedDatabaseError(
                f"{path} states the schema version {version[0]!r}, which is none; {_RESTORE}"
            )
        if version and version[0] > SCHEMA_VERSION:
            raise PublishedDatabaseError(
                f"{path} has schema version {version[0]}, and this program knows only {SCHEMA_VERSION}; "
                f"upgrade {_PROGRAM}"
            )
        form = version[0] if version else 0
        query = _PUBLICATION.replace("$tail_from", "tail_from" if form > 2 else "NULL")
        query = query.replace("$tail_symbols", "tail_symbols" if form > 5 else "[]::VARCHAR[]")
        dataset = "dataset" if form > 4 else f"'{DEFAULT_DATASET.name}'"
        row = connection.execute(query.replace("$dataset", dataset)).fetchone()
    if row is None:
        raise PublishedDatabaseError(f"{path} says nothing about itself; {_RESTORE}")
    return Publication(*row)


def check_target(target: Path, working: Path | None) -> None:
    """Make sure that the published database and its generations may be put there.

    Args:
        target: Where it is to be; links are followed.
        working: The working database; None if it is not in a file.

    Raises:
        PublicationError: The path is the working database, a folder, somebody else's file, a published database
            of a newer version or that cannot be read now, or in a folder that belongs to another one.
    """
    target = Path(os.path.realpath(target))
    try:
        if working is not None and _is_same_file(target, working):
            raise PublicationError(
                f"{target} is the working database; set AVAILABILITY_DB_PATH to another file for the published one"
            )
        if target.exists():
            _check_replaceable(target)
        _check_generations(Place(target))
    except OSError as error:
        cause = cause_of(error)
        raise PublicationError(
            f"{target} cannot be reached ({cause.reason}); {cause.remedy}, or {_ELSEWHERE}"
        ) from error


_ELSEWHERE = "set AVAILABILITY_DB_PATH to another file"


def _check_generations(place: Place) -> None:
    """Pass if the folder has no manifest, or one of this database's generations."""
    found = read_manifest(place.manifest)
    if found and found.database != place.database.name:
        raise PublicationError(
            f"{place.database.parent} has the generations of {found.database}, not of {place.database.name}; "
            "set AVAILABILITY_DB_PATH to a file in another folder"
        )


def _is_same_file(target: Path, working: Path) -> bool:
    if os.path.realpath(working) == str(target):
        return True
    return target.exists() and working.exists() and target.samefile(working)


def _check_replaceable(target: Path) -> None:
    """Pass for an empty file and for a published database that is not newer than this program."""
    if not target.is_file():
        raise PublicationError(f"{target} is not a file; {_ELSEWHERE}")
    with target.open("rb") as file:
        head = file.read(12)
    if not head:
        return
    if head[8:] != b"DUCK":
        raise PublicationError(
            f"{target} exists and is not a published database; move it away or {_ELSEWHERE}"
        )
    try:
        version = _published_version(target)
    except duckdb.Error as error:
        raise _not_opened(target, error) from error
    if version > SCHEMA_VERSION:
        raise PublicationError(
            f"{target} has schema version {version}, and this program knows only {SCHEMA_VERSION}; "
            "upgrade binance-futures-availability"
        )


def _published_version(target: Path) -> int:
    """The schema version that a published database says it has; 0 if it says nothing."""
    # Attached to a database of its own: duckdb.connect() would hand out what this process has open under the path.
    with duckdb.connect() as probe:
        probe.execute("ATTACH ? AS existing (READ_ONLY, TYPE duckdb)", [str(target)])
        if not has_relations(probe, (f"existing.{table}" for table in TELLING_TABLES)):
            raise PublicationError(f"{target} is a DuckDB database of something else; {_ELSEWHERE}")
        row = probe.execute("SELECT schema_version FROM existing.publication").fetchone()
        return int(row[0]) if row else 0


def _not_opened(target: Path, error: duckdb.Error) -> PublicationError:
    cause = cause_of(error)
    if log := unusable_log(error):
        return PublicationError(
            f"{log}, a write-ahead log, is damaged or of another database ({cause.reason}); move it away"
        )
    if is_damaged(target, error):
        return PublicationError(f"{target} is damaged ({cause.reason}); move it away or {_ELSEWHERE}")
    return PublicationError(
        f"{target} cannot be recognised as a published database ({cause.reason}); {cause.remedy}, or {_ELSEWHERE}"
    )


_MEMORY_LIMIT = "512MB"


def reading_back(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection for comparing a new file, with bounded memory; what does not fit is kept beside the file.

    DuckDB's default is the current folder, which a service may not be able to write to.
    """
    return duckdb.connect(config={"memory_limit": _MEMORY_LIMIT, "temp_directory": f"{path}.tmp"})


@contextmanager
def attached(connection: duckdb.DuckDBPyConnection, path: Path, name: str) -> Iterator[None]:
    """Have a published database attached under a name, only to be read, for the time of the block."""
    connection.execute(f"ATTACH ? AS {name} (READ_ONLY)", [str(path)])
    try:
        yield
    finally:
        connection.execute(f"DETACH {name}")
