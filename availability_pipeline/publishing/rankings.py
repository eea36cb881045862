"""The ranks by traded value: of a day, and the file of those of every day.

A rank looks back at most 30 days: at the ranks that it is compared with, and at files. So a publication computes only
the days that something has changed on, and 30 more; all others it takes over from the file before.
"""

from __future__ import annotations

import datetime as dt
import glob
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, NamedTuple

import duckdb

from availability_pipeline import __version__
from availability_pipeline.dates import utc_now
from availability_pipeline.publishing.manifest import DATABASE, SCHEMA_VERSION, is_intact
from availability_pipeline.publishing.opening import attached
from availability_pipeline.publishing.release import Generation
from availability_pipeline.publishing.rows import DayPrint, DayPrints, changed_days

RANKINGS = "volume_rankings.parquet"

LOOKS_BACK = dt.timedelta(days=30)

DAYS_AT_ONCE = 400
"""Days that are ranked in one statement, which bounds its memory."""

# What the ranks of a day follow from, as they are now and as they were, from a day on.
_BARS = """
SELECT date, count(*), sum(hash(symbol, quote_volume, trades))
FROM daily_volume WHERE trades > 0 AND date >= $since GROUP BY date
"""
_RANKED = """
SELECT date, count(*), sum(hash(symbol, quote_volume_usdt, trade_count))
FROM read_parquet($held, hive_partitioning = false) WHERE date >= $since GROUP BY date
"""
_FILES = (
    "SELECT date, count(*), sum(hash(symbol)) FROM $files WHERE available AND date >= $since GROUP BY date"
)

# The file: what is taken over before the first and behind the last computed day, and the days between.
_ROWS = "FROM rankings"
_KEPT = "FROM read_parquet($held, hive_partitioning = false) WHERE date"
_ROWS_OR_KEPT = f"{_KEPT} < $first UNION ALL {_ROWS} UNION ALL {_KEPT} > $last"

_BOUNDS = "SELECT min(date), max(date) FROM daily_volume WHERE date BETWEEN $first AND $last"


class Query(NamedTuple):
    """SQL, and the values of its parameters."""

    text: str
    values: dict[str, Any]
    since: dt.date | None = None
    """The rows of earlier days are those of the file before; None if there is none."""


def rankings_sql(volume: str, availability: str) -> str:
    """SQL of the ranks by traded value on the days from `$first` to `$last`.

    Args:
        volume: The relation of daily bars.
        availability: The relation of files.
    """
    script = files("availability_pipeline.publishing").joinpath("rankings.sql").read_text("utf-8")
    return script.replace("$volume", volume).replace("$files", availability)


@contextmanager
def ranked(
    working: duckdb.DuckDBPyConnection, before: Generation | None, changed_since: dt.date | None = None
) -> Iterator[Query]:
    """The ranks of every day, in the order of days and contracts, for the time of the block.

    Args:
        working: The working database.
        before: The generation whose file is taken over as far as it is right.
        changed_since: The first day on which something has changed since that was made of a database that has its
            checksum; None if that is not known.

    Raises:
        OSError, duckdb.Error: They could not be computed.
    """
    held = _file_of(before, changed_since) if before else None
    changed = _changed(working, before, held, changed_since) if before and held else None
    first, last = dt.date.min, dt.date.max
    if changed is not None:
        first = min(changed, default=dt.date.max)
        last = max(changed, default=dt.date.max - LOOKS_BACK) + LOOKS_BACK
    _rank(working, first, last)
    try:
        values = {"held": held, "first": first, "last": last}
        yield Query(_ROWS, {}) if changed is None else Query(_ROWS_OR_KEPT, values, first)
    finally:
        working.execute("DROP TABLE temp.rankings")


def _file_of(before: Generation, changed_since: dt.date | None) -> str | None:
    """The file of a generation, as a pattern; None if it, or the database that it was made from, is not what it was."""
    if before.manifest.schema_version != SCHEMA_VERSION:
        return None
    try:
        is_whole = all(
            is_intact(before.folder / name, before.manifest.file(name))
            for name in ((RANKINGS,) if changed_since else (RANKINGS, DATABASE))
        )
    except OSError:
        return None
    return glob.escape(str(before.folder / RANKINGS)) if is_whole else None


def _changed(
    working: duckdb.DuckDBPyConnection, before: Generation, held: str, changed_since: dt.date | None
) -> set[dt.date] | None:
    """The days of which bars or files differ from those of a generation; None if another version made that."""
    since = {"since": changed_since or dt.date.min}
    with attached(working, before.folder / DATABASE, "former"):
        versions = working.execute("SELECT program_version FROM former.publication").fetchall()
        if versions != [(__version__,)]:
            return None
        then, now = (
            _prints(working, _FILES.replace("$files", table), since)
            for table in ("former.availability_by_date", "availability")
        )
    return changed_days(then, now) | changed_days(
        _prints(working, _RANKED, {"held": held, **since}), _prints(working, _BARS, since)
    )


def _prints(connection: duckdb.DuckDBPyConnection, query: str, values: dict[str, Any]) -> DayPrints:
    return {day: DayPrint(*facts) for day, *facts in connection.execute(query, values).fetchall()}


def _rank(working: duckdb.DuckDBPyConnection, first: dt.date, last: dt.date) -> None:
    """Make the temporary table `rankings` with the ranks of the days from the first to the last one."""
    ranks = rankings_sql("daily_volume", "availability")
    select = f"SELECT *, $generated::TIMESTAMP AS generation_timestamp FROM ({ranks})"  # noqa: S608 - our own text
    values = {"first": first, "last": first, "generated": utc_now()}
    working.execute(f"CREATE TEMP TABLE rankings AS {select} LIMIT 0", values)
    [(first_bar, last_bar)] = working.execute(_BOUNDS, {"first": first, "last": last}).fetchall()
    while first_bar and first_bar <= last_bar:
        until = min(last_bar, first_bar + dt.timedelta(days=DAYS_AT_ONCE - 1))
        values |= {"first": first_bar, "last": until}
        working.execute(f"INSERT INTO rankings {select} ORDER BY date, symbol", values)
        first_bar = until + dt.timedelta(days=1)
