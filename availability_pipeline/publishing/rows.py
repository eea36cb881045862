"""The rows of a new published database: written anew, or taken over from the generation before up to the tail.

The tail is all rows from the first changed day on. In `availability_by_date` they are the last ones anyway; in
`availability_by_symbol` they lie behind all others, sorted like them, so that either question reads one place more at
most. What changed is found by comparing the fingerprint of every day with the working database: no record of runs,
restores or rollbacks is trusted.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
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

TAIL_SHARE = 50
"""The tail may have one of so many rows, or a row group if that is more: 52 days of a whole history."""

REBUILT_EVERY = dt.timedelta(days=7)
"""How long copies are made of copies: then all rows are written anew, without the space that replaced ones leave."""

_ORDERS = {"availability_by_date": "date, symbol", "availability_by_symbol": "symbol, date"}

_FORMER = "SELECT program_version, rebuilt_at, tail_from FROM published.publication"


# For each day the number of rows, and a sum of hashes that any other content of any column would change.
_DAYS = "SELECT date, count(*), sum(hash(held)) FROM query_table(?) AS held GROUP BY date"


class DayPrint(NamedTuple):
    """What the rows of a day are, without the rows."""

    rows: int
    total: int
    """Of the hashes of the rows, as this version of DuckDB makes them."""


def day_prints(connection: duckdb.DuckDBPyConnection, table: str) -> dict[dt.date, DayPrint]:
    """What the rows of each day are; 2.4 million take 0.05 s of CPU."""
    return {day: DayPrint(*facts) for day, *facts in connection.execute(_DAYS, [table]).fetchall()}


def row_count_of(days: Mapping[dt.date, DayPrint]) -> int:
    """The number of rows of all days."""
    return sum(day.rows for day in days.values())


@dataclass(frozen=True)
class Rows:
    """How the rows of a published database were written."""

    written: int
    """Rows of the tail, or all."""
    rebuilt_at: dt.datetime
    """When all were written last, UTC."""
    tail_from: dt.date | None
    """The first day of the tail; None if there is none."""
    since: dt.date
    """The first day of which rows were written."""


class RebuildNeeded(Exception):
    """All rows have to be written; the message says why."""


def write_rows(connection: duckdb.DuckDBPyConnection, path: Path) -> Rows:
    """Make a file, attach it as `published`, and write all rows of the working database."""
    attach_new(connection, str(path))
    script = files("availability_pipeline.publishing").joinpath("rows.sql").read_text("utf-8")
    connection.execute(script)
    [(count,)] = connection.execute("SELECT count(*) FROM published.availability_by_date").fetchall()
    return Rows(count, utc_now(), None, dt.date.min)


def attach_new(connection: duckdb.DuckDBPyConnection, path: str) -> None:
    """Make the file and attach it, empty, as `published`."""
    options = f"STORAGE_VERSION '{STORAGE_VERSION}', ROW_GROUP_SIZE {ROW_GROUP_SIZE}"
    connection.execute(f"ATTACH ? AS published ({options})", [path])


def take_over_rows(
    connection: duckdb.DuckDBPyConnection,
    before: Generation | None,
    path: Path,
    days: Mapping[dt.date, DayPrint],
) -> Rows:
    """Copy the database of a generation, attach the copy as `published`, and replace its tail.

    Args:
        connection: The working database.
        before: The generation; it is only read.
        path: Where the copy is made.
        days: The days of the working database.

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
    [(version, rebuilt_at, former_tail)] = connection.execute(_FORMER).fetchall()
    if version != __version__:
        raise RebuildNeeded(f"{before.folder.name} was published by version {version}")
    if not dt.timedelta(0) <= utc_now() - rebuilt_at < REBUILT_EVERY:
        raise RebuildNeeded(f"all rows were last written at {rebuilt_at:%Y-%m-%d %H:%M} UTC")
    held = day_prints(connection, "published.availability_by_date")
    changed = [day for day in days.keys() | held.keys() if days.get(day) != held.get(day)]
    if not changed:
        return Rows(0, rebuilt_at, former_tail, dt.date.max)
    tail_from = min(changed) if former_tail is None else min(*changed, former_tail)
    return Rows(_replace_tail(connection, tail_from, days), rebuilt_at, tail_from, tail_from)


def _replace_tail(
    connection: duckdb.DuckDBPyConnection, tail_from: dt.date, days: Mapping[dt.date, DayPrint]
) -> int:
    rows = row_count_of({day: of_day for day, of_day in days.items() if day >= tail_from})
    if rows > max(ROW_GROUP_SIZE, row_count_of(days) // TAIL_SHARE):
        raise RebuildNeeded(f"rows from {tail_from} on have changed")
    for table, order in _ORDERS.items():
        connection.execute(f"DELETE FROM published.{table} WHERE date >= ?", [tail_from])  # noqa: S608 - our own names
        connection.execute(
            f"INSERT INTO published.{table} BY NAME FROM availability WHERE date >= ? ORDER BY {order}",
            [tail_from],
        )
    return rows
