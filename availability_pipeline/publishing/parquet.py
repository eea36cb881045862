"""The Parquet files of a generation: one per year, the newest day that has files, and one per derived table.

Years and the newest day are rows of `daily_availability` with all columns, sorted by date and symbol. A year whose rows
did not change is the same file as in the generation before. Each new file is read back and compared before it counts.
"""

from __future__ import annotations

import datetime as dt
import glob
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from availability_pipeline import __version__
from availability_pipeline.errors import PublicationError
from availability_pipeline.publishing.audit import DayPrint, reading_back
from availability_pipeline.publishing.manifest import FileEntry, describe, is_intact
from availability_pipeline.publishing.release import Generation
from availability_pipeline.warehouse.database import read_info

YEARS = "daily_availability"
"""The folder of the files of years."""

LATEST = "latest.parquet"

# The number of rows, and for each column a sum of hashes that any other content would change.
_OF_YEAR = """
SELECT count(*) AS row_count, sum(hash(date, symbol, COLUMNS(*)))
FROM daily_availability WHERE date BETWEEN make_date($1::INTEGER, 1, 1) AND make_date($1::INTEGER, 12, 31)
"""

_OF_LATEST = """
SELECT count(*) AS row_count, sum(hash(date, symbol, COLUMNS(*)))
FROM daily_availability
WHERE available AND date = (SELECT max(date) FROM daily_availability WHERE available)
"""

_OF_FILE = "SELECT count(*) AS row_count, sum(hash(date, symbol, COLUMNS(*))) FROM written"

_WRITE_YEAR = """
COPY (
    FROM daily_availability
    WHERE date BETWEEN make_date($1::INTEGER, 1, 1) AND make_date($1::INTEGER, 12, 31) ORDER BY date, symbol
) TO $2 (FORMAT parquet, COMPRESSION zstd)
"""

_WRITE_LATEST = """
COPY (
    FROM daily_availability
    WHERE available AND date = (SELECT max(date) FROM daily_availability WHERE available) ORDER BY symbol
) TO ? (FORMAT parquet, COMPRESSION zstd)
"""

# The derived tables are small: a few rows per contract.
_DERIVED = {
    "status_spans": "FROM status_spans ORDER BY symbol, first_day",
    "symbol_lifecycle": "FROM symbol_lifecycle ORDER BY symbol, episode",
}

_COLUMNS = "SELECT column_name, column_type FROM (DESCRIBE FROM daily_availability)"

_FILE_COLUMNS = "SELECT column_name, column_type FROM (DESCRIBE FROM written)"

# Rows that are not strictly after the row before them.
_MISPLACED = """
SELECT count(*) FROM (
    SELECT date, symbol, lag(date) OVER () AS date_before, lag(symbol) OVER () AS symbol_before FROM written
) WHERE NOT (date > date_before OR (date = date_before AND symbol > symbol_before))
"""


def export(
    working: duckdb.DuckDBPyConnection,
    folder: Path,
    before: Generation | None,
    days: Mapping[dt.date, DayPrint],
) -> list[FileEntry]:
    """Write the files into a new generation's folder.

    Args:
        working: The working database.
        folder: The new generation's.
        before: A generation from which unchanged years are taken over.
        days: The days of the working database.

    Raises:
        PublicationError: A file does not read back as it was written.
        OSError, duckdb.Error: A file could not be written.
    """
    (folder / YEARS).mkdir()
    entries = []
    for year, fingerprint in _years(working, days):
        path = folder / YEARS / f"{year}.parquet"
        entry = _taken_over(folder, path, fingerprint, before)
        if entry is None:
            working.execute(_WRITE_YEAR, [year, str(path)])
            entry = _read_back(folder, path, working, _OF_YEAR, [year], fingerprint)
        entries.append(entry)
    working.execute(_WRITE_LATEST, [str(folder / LATEST)])
    entries.append(_read_back(folder, folder / LATEST, working, _OF_LATEST, []))
    return [*entries, *(_write_derived(working, folder, table) for table in _DERIVED)]


def _years(working: duckdb.DuckDBPyConnection, days: Mapping[dt.date, DayPrint]) -> Iterator[tuple[int, str]]:
    """The years that have rows, and what their files are made of."""
    form = [__version__, read_info(working, "archive_url")]
    for year in sorted({day.year for day in days}):
        prints = [(str(day), *days[day]) for day in sorted(days) if day.year == year]
        yield year, hashlib.sha256(json.dumps([form, prints]).encode()).hexdigest()[:32]


def _write_derived(working: duckdb.DuckDBPyConnection, folder: Path, table: str) -> FileEntry:
    path, query = folder / f"{table}.parquet", _DERIVED[table]
    working.execute(f"COPY ({query}) TO ? (FORMAT parquet, COMPRESSION zstd)", [str(path)])
    rows = working.execute(query).fetchall()
    with _reader(path) as reader:
        intact = reader.execute("FROM written").fetchall() == rows
    if not intact:
        raise _failed(path.relative_to(folder), f"it differs from {table} of the working database")
    return describe(folder, path, len(rows))


def _failed(path: Path, problem: str) -> PublicationError:
    return PublicationError(
        f"the new {path} failed its audit: {problem}; readers keep the generation from before; check the disk, then "
        "run `publish`"
    )


def _taken_over(folder: Path, path: Path, fingerprint: str, before: Generation | None) -> FileEntry | None:
    """The same file as before under its new name, if its rows are the same and it is undamaged."""
    relative = path.relative_to(folder).as_posix()
    for entry in before.manifest.files if before else ():
        if before and (entry.path, entry.fingerprint) == (relative, fingerprint):
            # Without links, or if it was removed meanwhile, it is written anew.
            with suppress(OSError):
                os.link(before.folder / relative, path)
                if is_intact(path, entry):
                    return entry
                path.unlink()
    return None


def _read_back(
    folder: Path,
    path: Path,
    working: duckdb.DuckDBPyConnection,
    query: str,
    values: list[int],
    fingerprint: str | None = None,
) -> FileEntry:
    expected = _column_prints(working, query, values)
    with _reader(path) as reader:
        problems = list(_problems(working, reader, expected))
    if problems:
        raise _failed(path.relative_to(folder), "; ".join(problems))
    return describe(folder, path, expected["row_count"] or 0, fingerprint)


def _problems(
    working: duckdb.DuckDBPyConnection, reader: duckdb.DuckDBPyConnection, expected: Mapping[str, int | None]
) -> Iterator[str]:
    columns = working.execute(_COLUMNS).fetchall()
    if reader.execute(_FILE_COLUMNS).fetchall() != columns:
        yield "it has other columns than the working table"
        return
    found = _column_prints(reader, _OF_FILE)
    if found["row_count"] != expected["row_count"]:
        yield f"it has {found['row_count']} rows instead of {expected['row_count']}"
    elif differing := [name for name, value in expected.items() if found[name] != value]:
        yield f"it differs from the working table in {', '.join(differing)}"
    [(misplaced,)] = reader.execute(_MISPLACED).fetchall()
    if misplaced:
        yield f"{misplaced} rows are duplicates or out of order"


@contextmanager
def _reader(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with what a file holds as `written`."""
    with reading_back(path) as reader:
        # DuckDB takes a path for a pattern, and folders called key=value for columns.
        reader.read_parquet(glob.escape(str(path)), hive_partitioning=False).create_view("written")
        yield reader


def _column_prints(
    connection: duckdb.DuckDBPyConnection, query: str, values: list[int] | None = None
) -> dict[str, int | None]:
    result = connection.execute(query, values or [])
    names = [column[0] for column in result.description or ()]
    return dict(zip(names, result.fetchone() or (), strict=True))
