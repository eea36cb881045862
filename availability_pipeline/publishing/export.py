"""Exports: everything that a published database tells, as files that any program reads.

A folder gets one file per relation, `daily_availability` one per year, and a manifest. It is there in whole or not at
all, and only a folder that an export made is replaced. What the relations hold is `publishing`'s business.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from availability_pipeline.errors import (
    AvailabilityError,
    PublishedDatabaseError,
    UsageError,
    cause_of,
    is_damaged,
)
from availability_pipeline.publishing import manifest
from availability_pipeline.publishing.opening import Publication, open_published, reading
from availability_pipeline.warehouse.atomic import draft_of, sync

KIND = "binance-futures-availability export"
"""By this its manifest tells an export from other folders."""

BY_YEAR = "daily_availability"
"""The relation that is written as a folder with a file per year."""

LEFT_OUT = frozenset({"availability_by_date", "availability_by_symbol", "symbol_timeline"})
"""Relations that have the rows of `daily_availability` in some other form."""

_OPTIONS = {"parquet": "(FORMAT parquet, COMPRESSION zstd)", "csv": "(FORMAT csv, HEADER)"}

FORMATS = tuple(_OPTIONS)

_RELATION = "COPY (FROM query_table($relation)) TO $path "

_YEAR = """
COPY (
    FROM published.daily_availability
    WHERE date BETWEEN make_date($year::INTEGER, 1, 1) AND make_date($year::INTEGER, 12, 31)
    ORDER BY date, symbol
) TO $path
"""

_RELATIONS = """
SELECT table_name FROM information_schema.tables WHERE table_catalog = 'published' ORDER BY table_name
"""

_YEARS = "SELECT DISTINCT year(date) AS year FROM published.published_days ORDER BY year"


@dataclass(frozen=True)
class File:
    """One file of an export, as the manifest has it."""

    relation: str
    path: str
    """Relative to the manifest, with slashes."""
    rows: int
    bytes: int
    sha256: str
    """Of the whole file, hexadecimal."""


@dataclass(frozen=True)
class Export:
    """What was written."""

    folder: Path
    files: tuple[File, ...]

    def __str__(self) -> str:
        rows, size = sum(file.rows for file in self.files), sum(file.bytes for file in self.files)
        return f"{self.folder}: {len(self.files)} files, {rows:,} rows, {size / 1e6:,.1f} MB"


def export(published: Path, folder: Path, form: str, *, force: bool) -> Export:
    """Write a published database as files.

    Args:
        published: The published database.
        folder: Where they go; made, or replaced as a whole.
        form: One of `FORMATS`.
        force: Whether a folder that an export made may be replaced.

    Raises:
        UsageError: The folder is no place for an export, or is there and may not be replaced.
        PublishedDatabaseError: The database is missing, damaged or of a newer version.
        AvailabilityError: A file could not be written; the folder is as it was.
    """
    target = Path(os.path.realpath(folder))
    try:
        _check_target(target, force=force)
    except OSError as error:
        raise UsageError(f"{target} cannot be made ({error.strerror}); name another folder") from error
    connection, publication = open_published(published)
    with connection, _told(target, published), draft_of(target) as draft:
        draft.mkdir()
        files = tuple(_write(connection, draft, form))
        _write_manifest(draft, publication, form, files)
        for path in draft.rglob("*"):
            sync(path)
        _put(draft, target)
    return Export(target, files)


def _check_target(target: Path, *, force: bool) -> None:
    if target == Path.cwd():
        raise UsageError(f"{target} is the current folder, which cannot be replaced; name another")
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is not a folder; name another")
    if not target.parent.is_dir():
        raise UsageError(f"{target} cannot be made, because {target.parent} is no folder; make that first")
    if not target.exists() or not any(target.iterdir()):
        return
    _check_own(target)
    if not force:
        raise UsageError(f"{target} has an export already; pass --force to replace it")


def _check_own(target: Path) -> None:
    """Pass if all that is in the folder comes from an export."""
    try:
        facts = json.loads((target / manifest.NAME).read_bytes())
        kind, listed = facts["kind"], {file["path"] for file in facts["files"]}
    except (OSError, ValueError, TypeError, KeyError):
        kind, listed = None, set()
    if kind != KIND:
        raise UsageError(f"{target} was not made by an export and is left alone; name another folder")
    found = {path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()}
    if others := sorted(found - listed - {manifest.NAME}):
        raise UsageError(f"{target} has {others[0]} in it, which is not of the export; move that elsewhere")


@contextmanager
def _told(target: Path, published: Path) -> Iterator[None]:
    """What goes wrong as an error that says whether reading or writing did."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        with reading(published):
            if is_damaged(published, error):
                raise
        cause = cause_of(error)
        raise AvailabilityError(
            f"the export could not be written to {target} ({cause.reason}); nothing was left there; {cause.remedy}"
        ) from error


def _write(connection: duckdb.DuckDBPyConnection, folder: Path, form: str) -> Iterator[File]:
    relations = [name for (name,) in connection.execute(_RELATIONS).fetchall() if name not in LEFT_OUT]
    if BY_YEAR not in relations:
        raise PublishedDatabaseError(f"the published database has no {BY_YEAR}; publish it again")
    for name in relations:
        if name == BY_YEAR:
            (folder / name).mkdir()
            for (year,) in connection.execute(_YEARS).fetchall():
                path = folder / name / f"{year}.{form}"
                yield _copy(connection, _YEAR + _OPTIONS[form], folder, path, {"year": year})
        else:
            path = folder / f"{name}.{form}"
            query = _RELATION + _OPTIONS[form]
            yield _copy(connection, query, folder, path, {"relation": f"published.{name}"})


def _copy(
    connection: duckdb.DuckDBPyConnection, query: str, folder: Path, path: Path, values: dict[str, Any]
) -> File:
    [(rows,)] = connection.execute(query, {**values, "path": str(path)}).fetchall()
    entry = manifest.describe(folder, path, rows)
    return File(
        entry.path.split("/")[0].removesuffix(path.suffix), entry.path, rows, entry.bytes, entry.sha256
    )


def _write_manifest(folder: Path, publication: Publication, form: str, files: tuple[File, ...]) -> None:
    facts = {
        "kind": KIND,
        "format": form,
        "schema_version": publication.schema_version,
        "run_id": publication.run_id,
        "published_at": manifest.moment(publication.published_at),
        "first_day": str(publication.first_day),
        "data_through": str(publication.data_through),
        "files": [dataclasses.asdict(file) for file in files],
    }
    (folder / manifest.NAME).write_text(
        json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def _put(draft: Path, target: Path) -> None:
    """Give the draft its name; what had it before is gone afterwards."""
    with draft_of(target) as before:
        if target.exists():
            target.rename(before)
        try:
            draft.rename(target)
        except OSError:
            if before.exists():
                before.rename(target)
            raise
    sync(target.parent)
