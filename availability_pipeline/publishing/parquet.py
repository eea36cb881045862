"""The Parquet files of a generation: one per year, the newest day that has files, and one per small table.

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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from availability_pipeline import __version__
from availability_pipeline.errors import PublicationError
from availability_pipeline.publishing.manifest import FileEntry, describe, is_intact
from availability_pipeline.publishing.opening import reading_back
from availability_pipeline.publishing.release import Generation
from availability_pipeline.publishing.rows import DayPrint
from availability_pipeline.warehouse.database import dataset_of, read_info

YEARS = "daily_availability"
"""The folder of the files of years."""

LATEST = "latest.parquet"

# The rows that a file has to hold.
_OF_YEAR = """
FROM daily_availability
WHERE date BETWEEN make_date($year::INTEGER, 1, 1) AND make_date($year::INTEGER, 12, 31)
"""

_OF_LATEST = """
FROM daily_availability
WHERE available AND date = (SELECT max(date) FROM daily_availability WHERE available)
"""

_OF_FILE = "FROM written"

# The number of rows, and a sum of hashes that any other content of any column would change.
_PRINT = "SELECT count(*), sum(hash(held)) FROM ($rows) AS held"

# The same for each column, to name those that differ.
_COLUMN_PRINTS = "SELECT sum(hash(date, symbol, COLUMNS(*))) FROM ($rows)"

_WRITE_YEAR = f"COPY ({_OF_YEAR} ORDER BY date, symbol) TO $path (FORMAT parquet, COMPRESSION zstd)"

_WRITE_LATEST = f"COPY ({_OF_LATEST} ORDER BY symbol) TO $path (FORMAT parquet, COMPRESSION zstd)"

# The other tables are small: a few rows per contract.
_DERIVED = {
    "contract_history": "FROM contract_history ORDER BY symbol, valid_from",
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
    with reading_back(folder / LATEST) as reader:
        export = _Export(working, reader, folder)
        entries = [
            _taken_over(folder, export.year_path(year), fingerprint, before) or export.year(year, fingerprint)
            for year, fingerprint in _years(working, days)
        ]
        return [*entries, export.latest(), *(export.derived(table) for table in _DERIVED)]


def _years(working: duckdb.DuckDBPyConnection, days: Mapping[dt.date, DayPrint]) -> Iterator[tuple[int, str]]:
    """The years that have rows, and what their files are made of."""
    form = [__version__, dataset_of(working).name, read_info(working, "archive_url")]
    for year in sorted({day.year for day in days}):
        prints = [(str(day), *days[day]) for day in sorted(days) if day.year == year]
        yield year, hashlib.sha256(json.dumps([form, prints]).encode()).hexdigest()[:32]


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


@dataclass(frozen=True)
class _Export:
    """Writes files, and reads each back."""

    working: duckdb.DuckDBPyConnection
    reader: duckdb.DuckDBPyConnection
    """Has what the file holds as `written`."""
    folder: Path

    def year_path(self, year: int) -> Path:
        return self.folder / YEARS / f"{year}.parquet"

    def year(self, year: int, fingerprint: str) -> FileEntry:
        path = self.year_path(year)
        self.working.execute(_WRITE_YEAR, {"year": year, "path": str(path)})
        return self._read_back(path, _OF_YEAR, {"year": year}, fingerprint)

    def latest(self) -> FileEntry:
        path = self.folder / LATEST
        self.working.execute(_WRITE_LATEST, {"path": str(path)})
        return self._read_back(path, _OF_LATEST, {})

    def derived(self, table: str) -> FileEntry:
        path, query = self.folder / f"{table}.parquet", _DERIVED[table]
        self.working.execute(f"COPY ({query}) TO ? (FORMAT parquet, COMPRESSION zstd)", [str(path)])
        rows = self.working.execute(query).fetchall()
        self._open(path)
        if self.reader.execute("FROM written").fetchall() != rows:
            raise _failed(path.relative_to(self.folder), f"it differs from {table} of the working database")
        return describe(self.folder, path, len(rows))

    def _read_back(
        self, path: Path, query: str, values: Mapping[str, int], fingerprint: str | None = None
    ) -> FileEntry:
        expected = _fetch(self.working, _PRINT, query, values)
        self._open(path)
        if problems := list(_problems(self.working, self.reader, query, values, expected)):
            raise _failed(path.relative_to(self.folder), "; ".join(problems))
        return describe(self.folder, path, expected[0], fingerprint)

    def _open(self, path: Path) -> None:
        # DuckDB takes a path for a pattern, and folders called key=value for columns.
        written = self.reader.read_parquet(glob.escape(str(path)), hive_partitioning=False)
        written.create_view("written", replace=True)


def _problems(
    working: duckdb.DuckDBPyConnection,
    reader: duckdb.DuckDBPyConnection,
    query: str,
    values: Mapping[str, int],
    expected: tuple[Any, ...],
) -> Iterator[str]:
    columns = working.execute(_COLUMNS).fetchall()
    if reader.execute(_FILE_COLUMNS).fetchall() != columns:
        yield "it has other columns than the working table"
        return
    found = _fetch(reader, _PRINT, _OF_FILE)
    if found[0] != expected[0]:
        yield f"it has {found[0]} rows instead of {expected[0]}"
    elif found != expected:
        prints = zip(
            columns,
            _fetch(working, _COLUMN_PRINTS, query, values),
            _fetch(reader, _COLUMN_PRINTS, _OF_FILE),
            strict=True,
        )
        differing = ", ".join(name for (name, _), now, read in prints if now != read)
        yield f"it differs from the working table in {differing}"
    [(misplaced,)] = reader.execute(_MISPLACED).fetchall()
    if misplaced:
        yield f"{misplaced} rows are duplicates or out of order"


def _fetch(
    connection: duckdb.DuckDBPyConnection, query: str, rows: str, values: Mapping[str, int] | None = None
) -> tuple[Any, ...]:
    return connection.execute(query.replace("$rows", rows), dict(values or {})).fetchone() or ()
