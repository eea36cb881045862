"""The Parquet files of a generation: of files and bars one per year, the newest day that has files, small tables.

Years and the newest day have all columns, sorted by date and symbol. A year whose rows did not change is the same file
as in the generation before, and so are the rankings; one whose last days did begins with the row groups of that file.
Each new file is read back and compared before it counts.
"""

from __future__ import annotations

import datetime as dt
import glob
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb

from availability_pipeline import __version__
from availability_pipeline.errors import PublicationError
from availability_pipeline.publishing.manifest import DATABASE, FileEntry, describe, is_intact
from availability_pipeline.publishing.opening import attached, reading_back
from availability_pipeline.publishing.rankings import RANKINGS, ranked
from availability_pipeline.publishing.release import Generation
from availability_pipeline.publishing.row_groups import UnknownForm, head_before, join
from availability_pipeline.publishing.rows import DayPrints, changed_days, fingerprint_of, misplaced_rows
from availability_pipeline.warehouse.database import dataset_of, read_info

YEARLY = {"daily_availability": "availability", "daily_volume": "daily_volume"}
"""The relations of which there is a file per year, each in the folder of its name, and the tables with their rows."""

LATEST = "latest.parquet"

# The rows that a file has to hold. The published database has them in their order, so that a year need not be sorted,
# but for rows of new contracts; a subquery is a join, which keeps no order.
_OF_YEAR = """
FROM $relation
WHERE date BETWEEN make_date($year::INTEGER, 1, 1) AND make_date($year::INTEGER, 12, 31) $sort
"""

_SORT = "SELECT if(tail_symbols = [], '', 'ORDER BY date, symbol') FROM published.publication"

_OF_LATEST = """
FROM $relation
WHERE available AND date = (SELECT max(date) FROM $relation WHERE available) ORDER BY symbol
"""

_OF_FILE = "FROM written"

# The number of rows, and a sum of hashes that any other content of any column would change.
_PRINT = "SELECT count(*), sum(hash(held)) FROM ($rows) AS held"

# The same for each column, to name those that differ.
_COLUMN_PRINTS = "SELECT sum(hash(date, symbol, COLUMNS(*))) FROM ($rows)"

ROW_GROUP_SIZE = 61_440
"""Half of DuckDB's own: of the last one all rows are written again. Files are as large, and no slower to read."""

# No filters that say which contracts a row group has: nearly all are in each.
_OPTIONS = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_SIZE}, WRITE_BLOOM_FILTER false"
# Where DuckDB sees that a column has no NULL, its pages have another form. With `try` it sees nothing.
_WRITE = f"COPY (SELECT try(COLUMNS(*)) FROM ($rows)) TO $path ({_OPTIONS})"  # noqa: S608 - our own text

# Those behind the first row groups of a former file.
_BEHIND = "FROM ($rows) WHERE date >= $last_day AND (date > $last_day OR symbol > $last_symbol)"

# The other tables are small: a few rows per contract.
_DERIVED = {
    "contract_history": "FROM contract_history ORDER BY symbol, valid_from",
    "status_spans": "FROM status_spans ORDER BY symbol, first_day",
    "symbol_lifecycle": "FROM symbol_lifecycle ORDER BY symbol, episode",
}

_COLUMNS = "SELECT column_name, column_type FROM (DESCRIBE $rows)"

_FILE_COLUMNS = "SELECT column_name, column_type FROM (DESCRIBE FROM written)"


def export(
    working: duckdb.DuckDBPyConnection,
    folder: Path,
    before: Generation | None,
    days: Mapping[str, DayPrints],
    held: Mapping[str, DayPrints] | None = None,
) -> list[FileEntry]:
    """Write the files into a new generation's folder.

    Args:
        working: The working database.
        folder: The new generation's, which has its database.
        before: A generation from which unchanged years are taken over.
        days: The days of the working database, as `prints_of`.
        held: Those of the database of that generation, if it was read and has its checksum.

    Raises:
        PublicationError: A file does not read back as it was written.
        OSError, duckdb.Error: A file could not be written.
    """
    with reading_back(folder / LATEST) as reader, attached(working, folder / DATABASE, "published"):
        [(sort,)] = working.execute(_SORT).fetchall()
        source = _Source(working, reader, folder, before, sort)
        years = (
            _write_years(source, relation, days[table], held[table] if held else {})
            for relation, table in YEARLY.items()
        )
        return [
            *chain.from_iterable(years),
            source.write(folder / LATEST, _OF_LATEST, relation="daily_availability"),
            _write_rankings(source, days, held),
            *(source.write_small(table) for table in _DERIVED),
        ]


def _write_years(source: _Source, relation: str, days: DayPrints, held: DayPrints) -> Iterator[FileEntry]:
    (source.folder / relation).mkdir()
    for year in sorted({day.year for day in days}):
        now, then = ({day: each[day] for day in sorted(each) if day.year == year} for each in (days, held))
        fingerprint = source.fingerprint(now)
        path = source.folder / relation / f"{year}.parquet"
        yield source.taken_over(path, fingerprint) or source.write(
            path, _OF_YEAR, {"year": year}, fingerprint, relation, source.first_change(path, [now], [then])
        )


def _write_rankings(
    source: _Source, days: Mapping[str, DayPrints], held: Mapping[str, DayPrints] | None
) -> FileEntry:
    path = source.folder / RANKINGS
    now, then = ([each[table] for table in YEARLY.values()] if each else [] for each in (days, held))
    fingerprint = source.fingerprint(*now)
    if entry := source.taken_over(path, fingerprint):
        return entry
    changed_since = source.first_change(path, now, then)
    with ranked(source.working, source.before, changed_since) as (query, values, since):
        return source.write(path, query, values, fingerprint, since=since)


@dataclass(frozen=True)
class _Source:
    """The working database, the folder of the new generation, and the generation from which files are taken over."""

    working: duckdb.DuckDBPyConnection
    reader: duckdb.DuckDBPyConnection
    """Has what the last file holds as `written`."""
    folder: Path
    before: Generation | None
    sort: str
    """What brings the rows of a year of the published database into order: nothing where they are in order."""

    def fingerprint(self, *days: DayPrints) -> str:
        """What a file is made of that follows from the rows of these days."""
        form = [__version__, dataset_of(self.working).name, read_info(self.working, "archive_url")]
        prints = [[(str(day), *each[day]) for day in sorted(each)] for each in days]
        return fingerprint_of(json.dumps([form, *prints]))

    def former(self, path: Path) -> FileEntry | None:
        """What the generation before has under the same name."""
        relative = path.relative_to(self.folder).as_posix()
        entries = self.before.manifest.files if self.before else ()
        return next((entry for entry in entries if entry.path == relative), None)

    def first_change(self, path: Path, now: Sequence[DayPrints], then: Sequence[DayPrints]) -> dt.date | None:
        """The first day that is not what it was when the file before was made; None if that was not of these days."""
        entry = self.former(path)
        # Which tells that the form is the same, too.
        if entry is None or entry.fingerprint != self.fingerprint(*then):
            return None
        changes = (changed_days(before, after) for before, after in zip(then, now, strict=True))
        return min(chain.from_iterable(changes), default=None)

    def taken_over(self, path: Path, fingerprint: str) -> FileEntry | None:
        """The same file as before under its new name, if its rows are the same and it is undamaged."""
        entry = self.former(path)
        if self.before and entry and entry.fingerprint == fingerprint:
            # Without links, or if it was removed meanwhile, it is written anew.
            with suppress(OSError):
                os.link(self.before.folder / entry.path, path)
                if is_intact(path, entry):
                    return entry
                path.unlink()
        return None

    def write(
        self,
        path: Path,
        query: str,
        values: Mapping[str, object] | None = None,
        fingerprint: str | None = None,
        relation: str = "",
        since: dt.date | None = None,
    ) -> FileEntry:
        """Write the rows of a query into a file, and compare what it then holds.

        Args:
            path: The file.
            query: The rows in their order; those of the published database where it is about `$relation`.
            values: Of its parameters.
            fingerprint: What the rows follow from.
            relation: What has the rows in the working database and in the published one.
            since: The rows of earlier days are those that the file of the generation before begins with; None if
                there is no such file.
        """
        bound = dict(values or {})
        rows = query.replace("$relation", f"published.{relation}").replace("$sort", self.sort)
        query = query.replace("$relation", relation).replace("$sort", "")
        expected = _fetch(self.working, _PRINT, query, bound)
        if since and self._write_on(path, rows, bound, since):
            if not self._problems(path, query, bound, expected):
                return describe(self.folder, path, expected[0], fingerprint)
            path.unlink()  # the file before is not what its entry says of it
        self.working.execute(_WRITE.replace("$rows", rows), {**bound, "path": str(path)})
        if problems := self._problems(path, query, bound, expected):
            raise _failed(path.relative_to(self.folder), "; ".join(problems))
        return describe(self.folder, path, expected[0], fingerprint)

    def _problems(
        self, path: Path, query: str, values: Mapping[str, object], expected: tuple[Any, ...]
    ) -> list[str]:
        self._open(path)
        return list(_problems(self.working, self.reader, query, values, expected))

    def _write_on(self, path: Path, rows: str, values: Mapping[str, object], since: dt.date) -> bool:
        """Begin a file with the row groups of the one before that have earlier days only, if that is possible."""
        entry, behind = self.former(path), path.with_suffix(".behind")
        if not (self.before and entry):
            return False
        former = self.before.folder / entry.path
        try:
            if not is_intact(former, entry) or not (head := head_before(self.reader, former, since)):
                return False
            last = {"last_day": head.last_day, "last_symbol": head.last_symbol}
            statement = _WRITE.replace("$rows", _BEHIND).replace("$rows", rows)
            self.working.execute(statement, {**values, **last, "path": str(behind)})
            join(former, head, behind, path)
        except (OSError, UnknownForm):  # so it is written as a whole, or that says what is wrong
            return False
        finally:
            behind.unlink(missing_ok=True)
        return True

    def write_small(self, table: str) -> FileEntry:
        """Write a small table into its file, and compare what it then holds row by row."""
        path, query = self.folder / f"{table}.parquet", _DERIVED[table]
        self.working.execute(f"COPY ({query}) TO ? (FORMAT parquet, COMPRESSION zstd)", [str(path)])
        rows = self.working.execute(query).fetchall()
        self._open(path)
        if self.reader.execute("FROM written").fetchall() != rows:
            raise _failed(path.relative_to(self.folder), f"it differs from {table} of the working database")
        return describe(self.folder, path, len(rows))

    def _open(self, path: Path) -> None:
        # DuckDB takes a path for a pattern, and folders called key=value for columns.
        written = self.reader.read_parquet(glob.escape(str(path)), hive_partitioning=False)
        written.create_view("written", replace=True)


def _failed(path: Path, problem: str) -> PublicationError:
    return PublicationError(
        f"the new {path} failed its audit: {problem}; readers keep the generation from before; check the disk, then "
        "run `publish`"
    )


def _problems(
    working: duckdb.DuckDBPyConnection,
    reader: duckdb.DuckDBPyConnection,
    query: str,
    values: Mapping[str, object],
    expected: tuple[Any, ...],
) -> Iterator[str]:
    columns = working.execute(_COLUMNS.replace("$rows", query), dict(values)).fetchall()
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
    if misplaced := misplaced_rows(reader, "written", "date, symbol"):
        yield f"{misplaced} rows are duplicates or out of order"


def _fetch(
    connection: duckdb.DuckDBPyConnection, query: str, rows: str, values: Mapping[str, object] | None = None
) -> tuple[Any, ...]:
    return connection.execute(query.replace("$rows", rows), dict(values or {})).fetchone() or ()
