"""Whether a published database may be put somewhere: a wrong path must not cost somebody their data.

Nothing is written here, and nothing is replaced.
"""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

from availability_pipeline.causes import cause_of, is_damaged, unusable_log
from availability_pipeline.errors import PublicationError
from availability_pipeline.publishing.manifest import SCHEMA_VERSION, TELLING_TABLES, read_manifest
from availability_pipeline.publishing.place import Place


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
        tables = {name for (name,) in probe.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if not tables >= TELLING_TABLES:
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
