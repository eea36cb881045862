"""Publishing: write the new database beside the old one, audit it, swap it in by rename.

Until the rename, readers have the old file, whatever happens here; after it, they have the new one, complete and
on disk. What the file holds is `content`'s business.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb

from availability_pipeline.drafts import draft_of, remove_dead_drafts
from availability_pipeline.errors import PublicationError
from availability_pipeline.publishing import content
from availability_pipeline.publishing.audit import audit


@dataclass(frozen=True)
class PublishReport:
    """What was published."""

    path: Path
    rows: int
    files: int
    """Rows that have a file."""
    symbols: int
    bytes: int
    """Size of the database."""
    seconds: float


def publish(connection: duckdb.DuckDBPyConnection, path: Path, run_id: str) -> PublishReport:
    """Replace the published database by an audited copy of the working one.

    Args:
        connection: The working database, with no transaction open.
        path: Where readers look for the published database (`Settings.db_path`).
        run_id: The run that publishes.

    Raises:
        PublicationError: Nothing was published, and the old published database is as it was.
    """
    started = time.perf_counter()
    target = Path(os.path.realpath(path))
    try:
        check_target(target, _file_of(connection))
        target.parent.mkdir(parents=True, exist_ok=True)
        with draft_of(target) as new:
            totals = _write(connection, new, run_id)
            audit(connection, new)
            size = new.stat().st_size
            _swap_in(new, target)
    except (duckdb.Error, OSError) as error:
        raise PublicationError(
            f"the published database {target} could not be made ({_reason(error)}); check the folder's permissions "
            "and the disk's free space; readers keep the one from before"
        ) from error
    seconds = time.perf_counter() - started
    return PublishReport(target, totals.rows, totals.files, totals.symbols, size, seconds)


def _write(connection: duckdb.DuckDBPyConnection, path: Path, run_id: str) -> content.Totals:
    content.attach_new(connection, str(path))
    try:
        return content.write_content(connection, run_id)
    finally:
        # Detaching writes the file out; if that fails, the audit finds no usable file.
        connection.execute("DETACH published")


def check_target(target: Path, working: Path | None) -> None:
    """Make sure that the published database may be put there: a wrong path must not cost somebody their data.

    Args:
        target: Where it is to be; links are followed.
        working: The working database; None if it is not in a file.

    Raises:
        PublicationError: The path is the working database, a folder, somebody else's file, or a published database
            of a newer version or that cannot be read now.
    """
    target = Path(os.path.realpath(target))
    try:
        if working is not None and _is_same_file(target, working):
            raise PublicationError(
                f"{target} is the working database; set AVAILABILITY_DB_PATH to another file for the published one"
            )
        if target.exists():
            _check_replaceable(target)
    except OSError as error:
        raise PublicationError(f"{target} cannot be reached ({_reason(error)}); {_ELSEWHERE}") from error


_ELSEWHERE = "move it away or set AVAILABILITY_DB_PATH to another file"


def _file_of(connection: duckdb.DuckDBPyConnection) -> Path | None:
    query = "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"
    row = connection.execute(query).fetchone()
    return Path(row[0]) if row and row[0] else None


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
        raise _foreign(target)
    try:
        version = _published_version(target)
    except duckdb.Error as error:
        raise PublicationError(
            f"{target} cannot be recognised as a published database ({_reason(error)}); {_ELSEWHERE}"
        ) from error
    if version > content.SCHEMA_VERSION:
        raise PublicationError(
            f"{target} has schema version {version}, and this program knows only {content.SCHEMA_VERSION}; "
            "upgrade binance-futures-availability"
        )


def _published_version(target: Path) -> int:
    """The schema version that a published database says it has; 0 if it says nothing."""
    # Attached to a database of its own: duckdb.connect() would hand out what this process has open under the path.
    with duckdb.connect() as probe:
        probe.execute("ATTACH ? AS existing (READ_ONLY)", [str(target)])
        tables = {name for (name,) in probe.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if not tables >= content.TELLING_TABLES:
            raise _foreign(target)
        row = probe.execute("SELECT schema_version FROM existing.publication").fetchone()
        return int(row[0]) if row else 0


def _foreign(target: Path) -> PublicationError:
    return PublicationError(f"{target} exists and is not a published database; {_ELSEWHERE}")


def remove_leftovers(target: Path) -> None:
    """Remove the unfinished files of publications whose process is gone."""
    remove_dead_drafts(Path(os.path.realpath(target)))


def _swap_in(new: Path, target: Path) -> None:
    """Rename, with the content on disk before and the name after."""
    _sync(new)
    new.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__
