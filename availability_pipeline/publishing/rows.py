"""The rows of a new published database: written anew, or taken over from the generation before up to the tail.

The tail is all rows from the first changed day on, and all rows of contracts that are new since all rows were written.
It lies behind all other rows, sorted like them, so that either question reads one place more at most. What changed is
found by comparing the fingerprint of every day with the working database: no record of runs, restores or rollbacks is
trusted. Those of the generation before lie beside it since its audit, and count for a database with its checksum only.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import duckdb

from availability_pipeline import __version__
from availability_pipeline.dates import utc_now
from availability_pipeline.errors import PublicationError
from availability_pipeline.publishing.manifest import DATABASE, SCHEMA_VERSION, is_intact
from availability_pipeline.publishing.release import Generation

STORAGE_VERSION = "v1.4.0"
"""DuckDB's file format; clients from this version on can read it."""

ROW_GROUP_SIZE = 20_480
"""Rows that are skipped or read together. Smaller than DuckDB's own, which costs 2 MB and saves a timeline 0.2 ms."""

TAIL_SHARE = 25
"""The tail of files may have one of so many rows, or a row group if that is more: 3 weeks and 29 new contracts."""

REBUILT_EVERY = dt.timedelta(days=7)
"""How long copies are made of copies: then all rows are written anew, without the space that replaced ones leave."""


class Table(NamedTuple):
    """A published table whose rows are about days."""

    name: str
    source: str
    """The table of the working database that has the same rows."""
    order: str
    """Of the rows: as they are written, each once."""


TABLES = (
    # The rows of daily_availability without url, which the views compute, in two physical orders: a day and a contract
    # are then each a few neighbouring rows.
    Table("availability_by_date", "availability", "date, symbol"),
    Table("availability_by_symbol", "availability", "symbol, date"),
    # A window of days, from which universes and rankings are made, is a few neighbouring row groups. A file has a row
    # of contents for each of its versions.
    Table("daily_volume", "daily_volume", "date, symbol"),
    Table("file_contents", "file_contents", "date, symbol, last_modified, file_size_bytes"),
)

_FORMER = "SELECT program_version, rebuilt_at, tail_from, tail_symbols FROM published.publication"

_NEW_SYMBOLS = """
SELECT symbol, min(date) FILTER (available) FROM availability ANTI JOIN published.published_symbols USING (symbol)
GROUP BY symbol
"""

# For each day the number of rows, and a sum of hashes that any other content of any column would change.
_DAYS = "SELECT date, count(*), sum(hash(held)) FROM query_table(?) AS held $condition GROUP BY date"


class DayPrint(NamedTuple):
    """What the rows of a day are, without the rows."""

    rows: int
    total: int
    """Of the hashes of the rows, as this version of DuckDB makes them."""


DayPrints = Mapping[dt.date, DayPrint]


def day_prints(
    connection: duckdb.DuckDBPyConnection, table: str, without: Sequence[str] = ()
) -> dict[dt.date, DayPrint]:
    """What the rows of each day are, without those of some contracts; 2.4 million take 0.05 s of CPU."""
    query = _DAYS.replace("$condition", "WHERE NOT list_contains(?, symbol)" if without else "")
    found = connection.execute(query, [table, list(without)] if without else [table]).fetchall()
    return {day: DayPrint(*facts) for day, *facts in found}


def prints_of(connection: duckdb.DuckDBPyConnection) -> dict[str, DayPrints]:
    """The days of the working database, by the tables that are sources of published ones."""
    return {source: day_prints(connection, source) for source in {table.source for table in TABLES}}


def changed_days(held: DayPrints, days: DayPrints) -> set[dt.date]:
    """The days that are not the same in both."""
    return {day for day in days.keys() | held.keys() if days.get(day) != held.get(day)}


def row_count_of(days: DayPrints) -> int:
    """The number of rows of all days."""
    return sum(day.rows for day in days.values())


CONTENT = "content.json"
"""The name of the file, beside a generation's database, of what that was compared with in its audit: `content_text`."""


def content_text(days: Mapping[str, DayPrints], copies: Mapping[str, Sequence[object]]) -> str:
    """Fingerprints as text, for a file.

    Args:
        days: As `prints_of`.
        copies: By table, what the tables are whose rows are not about days.
    """
    by_source = {source: [(str(day), *each[day]) for day in sorted(each)] for source, each in days.items()}
    return json.dumps({"days": by_source, "copies": copies}, sort_keys=True)


def fingerprint_of(text: str) -> str:
    """What manifests call a fingerprint, of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _days_held(before: Generation) -> dict[str, dict[dt.date, DayPrint]] | None:
    """The days of the database of a generation, which has its checksum; None if they were not written down."""
    try:
        text = (before.folder / CONTENT).read_text("utf-8")
    except (OSError, UnicodeError):
        return None
    if fingerprint_of(text) != before.manifest.file(DATABASE).fingerprint:
        return None
    return {
        source: {dt.date.fromisoformat(day): DayPrint(*facts) for day, *facts in days}
        for source, days in json.loads(text)["days"].items()
    }


@dataclass(frozen=True)
class Tail:
    """Rows of a table: those from a day on, and all rows of some contracts. They lie behind all others."""

    since: dt.date = dt.date.max
    symbols: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no row is one of them."""
        return self == Tail()

    @property
    def condition(self) -> str:
        """SQL that is true for these rows; its parameters are `values`."""
        days = "date >= $since"
        return f"({days} OR list_contains($symbols, symbol))" if self.symbols else days

    @property
    def values(self) -> dict[str, object]:
        """The parameters of `condition`."""
        return {"since": self.since, **({"symbols": list(self.symbols)} if self.symbols else {})}


ALL_ROWS = Tail(dt.date.min)


# Rows that are not after the row before them, or the same once more; and others behind the first row of the tail.
_MISPLACED = """
SELECT count(*) FROM (
    SELECT ($order) AS key, lag(($order)) OVER () AS key_before FROM $table WHERE $tail
) WHERE key <= key_before
"""
_BEHIND = """
SELECT count(*) FROM $table
WHERE NOT $tail AND rowid > (SELECT min(rowid) FROM $table WHERE $tail)
"""


def misplaced_rows(
    connection: duckdb.DuckDBPyConnection, table: str, order: str, tail: Tail = ALL_ROWS
) -> int:
    """How many rows are duplicates or out of order; 0 proves the physical order, and that no row is there twice.

    Args:
        connection: Where the table is.
        table: Its name.
        order: The columns that it is sorted by, as in ORDER BY.
        tail: The rows that are looked at. Where these are not all rows, the table is no view.
    """
    queries = (_MISPLACED,) if tail == ALL_ROWS else (_MISPLACED, _BEHIND)
    texts = (
        query.replace("$tail", tail.condition).replace("$table", table).replace("$order", order)
        for query in queries
    )
    return sum(connection.execute(text, tail.values).fetchall()[0][0] for text in texts)


@dataclass(frozen=True)
class Rows:
    """How the rows of a published database were written."""

    written: int
    """Rows of `availability`: those of the tail, or all."""
    rebuilt_at: dt.datetime
    """When all were written last, UTC."""
    tail: Tail
    """Of `availability`; empty if all were written now."""
    replaced: Mapping[str, Tail]
    """The rows that were written, by the table of the working database."""
    has_new_symbols: bool = False
    """Whether some are of contracts that the file before had no rows of, and so of days before the tail."""
    held: Mapping[str, DayPrints] | None = None
    """As `prints_of`, the days of the database that was copied, which has its checksum; None if none was."""


class RebuildNeeded(Exception):
    """All rows have to be written; the message says why."""


def write_rows(connection: duckdb.DuckDBPyConnection, path: Path) -> Rows:
    """Make a file, attach it as `published`, and write all rows of the working database."""
    attach_new(connection, str(path))
    with _one_thread(connection):
        for table in TABLES:
            connection.execute(
                f"CREATE TABLE published.{table.name} AS FROM {table.source} ORDER BY {table.order}"
            )
    [(count,)] = connection.execute("SELECT count(*) FROM published.availability_by_date").fetchall()
    return Rows(count, utc_now(), Tail(), {table.source: ALL_ROWS for table in TABLES})


@contextmanager
def _one_thread(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Several threads write blocks that are half full: 100 MB instead of 84, and no CPU is saved."""
    [(threads,)] = connection.execute("SELECT current_setting('threads')").fetchall()
    connection.execute("SET threads = 1")
    try:
        yield
    finally:
        connection.execute(f"SET threads = {int(threads)}")


def attach_new(connection: duckdb.DuckDBPyConnection, path: str) -> None:
    """Make the file and attach it, empty, as `published`."""
    options = f"STORAGE_VERSION '{STORAGE_VERSION}', ROW_GROUP_SIZE {ROW_GROUP_SIZE}"
    connection.execute(f"ATTACH ? AS published ({options})", [path])


def take_over_rows(
    connection: duckdb.DuckDBPyConnection,
    before: Generation | None,
    path: Path,
    days: Mapping[str, DayPrints],
) -> Rows:
    """Copy the database of a generation, attach the copy as `published`, and replace the tails of its tables.

    Args:
        connection: The working database.
        before: The generation; it is only read.
        path: Where the copy is made.
        days: The days of the working database, as `prints_of`.

    Raises:
        RebuildNeeded: Too much has changed, or it is time to write all rows anew.
        PublicationError: The generation is damaged.
        OSError, duckdb.Error: It cannot be copied, or read.
    """
    if before is None:
        raise RebuildNeeded("there is no generation before")
    if before.manifest.schema_version != SCHEMA_VERSION:
        raise RebuildNeeded(f"{before.folder.name} has schema version {before.manifest.schema_version}")
    shutil.copyfile(before.folder / DATABASE, path)
    if not is_intact(path, before.manifest.file(DATABASE)):
        raise PublicationError(f"{before.folder / DATABASE} does not have its checksum")
    connection.execute(f"ATTACH ? AS published (ROW_GROUP_SIZE {ROW_GROUP_SIZE})", [str(path)])
    [(version, rebuilt_at, *former)] = connection.execute(_FORMER).fetchall()
    if version != __version__:
        raise RebuildNeeded(f"{before.folder.name} was published by version {version}")
    if not dt.timedelta(0) <= utc_now() - rebuilt_at < REBUILT_EVERY:
        raise RebuildNeeded(f"all rows were last written at {rebuilt_at:%Y-%m-%d %H:%M} UTC")
    former_tail = Tail(former[0] or dt.date.max, tuple(former[1]))
    # Of all rows, as many as are hashed in the audit, so only where nobody has written them down.
    held = _days_held(before) or {
        table.source: day_prints(connection, f"published.{table.name}")
        for table in TABLES
        if table.order.startswith("date")
    }
    return _replace_tails(connection, days, held, rebuilt_at, former_tail)


def _replace_tails(
    connection: duckdb.DuckDBPyConnection,
    days: Mapping[str, DayPrints],
    held: Mapping[str, DayPrints],
    rebuilt_at: dt.datetime,
    former: Tail,
) -> Rows:
    replaced = {
        source: Tail(min(changed_days(held[source], expected), default=dt.date.max))
        for source, expected in days.items()
    }
    written, tail, has_new = 0, former, False
    if not replaced["availability"].is_empty:
        written, tail = _tail_of_files(connection, held["availability"], days["availability"], former)
        has_new = tail.symbols != former.symbols
        replaced["availability"] = tail
    for name, source, order in TABLES:
        if not (part := replaced[source]).is_empty:
            connection.execute(f"DELETE FROM published.{name} WHERE {part.condition}", part.values)  # noqa: S608 - our own names
            connection.execute(
                f"INSERT INTO published.{name} BY NAME FROM {source} WHERE {part.condition} ORDER BY {order}",
                part.values,
            )
    return Rows(written, rebuilt_at, tail, replaced, has_new, held)


def _tail_of_files(
    connection: duckdb.DuckDBPyConnection, held: DayPrints, days: DayPrints, former: Tail
) -> tuple[int, Tail]:
    """How many rows the tail has now, and which."""
    most = max(ROW_GROUP_SIZE, row_count_of(days) // TAIL_SHARE)
    since = min(*changed_days(held, days), former.since)
    tail = Tail(since, former.symbols)
    if (rows := _row_count(connection, tail)) <= most:
        return rows, tail
    # A new contract has rows of all days. Before its first file they lie with the tail: whoever asks for files of
    # those days has none of it, and so no row that is out of order.
    new = dict(connection.execute(_NEW_SYMBOLS).fetchall())
    if new:
        unchanged = day_prints(connection, "availability", without=list(new))
        first_files = [day for day in new.values() if day]
        since = min(*changed_days(held, unchanged), *first_files, former.since, dt.date.max)
        tail = Tail(since, tuple(sorted({*former.symbols, *new})))
        rows = _row_count(connection, tail)
    if rows > most:
        raise RebuildNeeded(f"rows from {since} on have changed")
    return rows, tail


def _row_count(connection: duckdb.DuckDBPyConnection, tail: Tail) -> int:
    query = f"SELECT count(*) FROM availability WHERE {tail.condition}"  # noqa: S608 - our own text
    [(count,)] = connection.execute(query, tail.values).fetchall()
    return int(count)
