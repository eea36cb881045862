"""How rows can be kept: keys of the working table, forms of the published one, and programs other than DuckDB.

Each option copies the rows of a working database that `tasks.collect_everything` has filled, and answers the same
`questions`. `decisions` runs them side by side.
"""

from __future__ import annotations

import sqlite3
import statistics
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import duckdb

from availability_pipeline.publishing.rows import attach_new
from availability_pipeline.settings import Settings
from benchmarks.questions import asked, asking, cpu, filled, fresh, megabytes, questions, three

Figures = dict[str, Any]

WRITTEN_DAYS = 20
"""How many days are written again, each in a transaction of its own."""

_COLUMNS = "date, symbol, available, file_size_bytes, last_modified, url, status_code, probe_timestamp"
_SHORT = "SELECT * EXCLUDE (url) FROM filled.daily_availability"
_FILES = "SELECT * EXCLUDE (url, available, status_code) FROM filled.daily_availability WHERE available"

_TABLE = (
    "CREATE TABLE held (date DATE NOT NULL, symbol VARCHAR NOT NULL, available BOOLEAN NOT NULL, "
    "file_size_bytes BIGINT, last_modified TIMESTAMP, url VARCHAR NOT NULL, status_code INTEGER NOT NULL, "
    "probe_timestamp TIMESTAMP NOT NULL"
)
_INDEXES = "CREATE INDEX by_symbol ON held (symbol, date); CREATE INDEX by_file ON held (available, date)"
KEYS = {
    "none": f"{_TABLE})",
    "primary": f"{_TABLE}, PRIMARY KEY (date, symbol))",
    "secondary": f"{_TABLE}, PRIMARY KEY (date, symbol)); {_INDEXES}",
}
"""Keys of the working table."""

_BOTH = (
    "CREATE TABLE published.by_date AS {0} ORDER BY date, symbol;"
    "CREATE TABLE published.by_symbol AS {0} ORDER BY symbol, date"
)
_INTERVALS = """
CREATE TABLE published.by_symbol AS
SELECT symbol, min(date) AS first_day, max(date) AS last_day
FROM (
    SELECT symbol, date, date - row_number() OVER (PARTITION BY symbol ORDER BY date)::INTEGER AS island
    FROM filled.daily_availability WHERE available
) GROUP BY symbol, island ORDER BY symbol, first_day
"""
FORMS = {
    "whole": "CREATE TABLE published.by_date AS FROM filled.daily_availability ORDER BY date, symbol",
    "one_order": f"CREATE TABLE published.by_date AS {_SHORT} ORDER BY date, symbol",
    "both_orders": _BOTH.format(_SHORT),
    "files_only": _BOTH.format(_FILES),
    "intervals": _INTERVALS,
}
"""Forms of the published rows; `whole` has the column url as well."""

_PER_DAY_OF_INTERVALS = """
SELECT date, count(*)
FROM (SELECT unnest(generate_series(first_day, last_day, INTERVAL 1 DAY)) AS date FROM published.by_symbol)
GROUP BY date
"""
_OF_INTERVALS = (
    "SELECT symbol FROM published.by_symbol WHERE ? BETWEEN first_day AND last_day",
    "FROM published.by_symbol WHERE symbol = ?",
    _PER_DAY_OF_INTERVALS,
)

_LARGER = """
CREATE OR REPLACE TEMP TABLE incoming AS
SELECT * REPLACE (file_size_bytes + 1 AS file_size_bytes) FROM held WHERE date = ?
"""
_UPDATE = """
UPDATE held SET
    available = incoming.available, file_size_bytes = incoming.file_size_bytes, last_modified = incoming.last_modified,
    status_code = incoming.status_code, probe_timestamp = incoming.probe_timestamp
FROM incoming WHERE incoming.date = held.date AND incoming.symbol = held.symbol
"""

_RECENT = (
    "FROM filled.daily_availability WHERE date > (SELECT max(date) - 100 FROM filled.daily_availability)"
)
_REPLACE = """
INSERT OR REPLACE INTO held
SELECT * REPLACE (file_size_bytes + 1 AS file_size_bytes, NOT available AS available) FROM held
"""
_WRONG = f"""
SELECT count(*) FROM (FROM held) AS new FULL JOIN (SELECT * {_RECENT}) AS old USING (date, symbol)
WHERE new.file_size_bytes IS DISTINCT FROM old.file_size_bytes + 5 OR new.available IS NOT DISTINCT FROM old.available
"""


def keep(settings: Settings, keys: str) -> Figures:
    """The working table with some keys: written whole, asked, and then written again day by day."""
    path = fresh(settings, f"keys-{keys}.duckdb")
    with filled(settings, path) as connection:
        connection.execute(KEYS[keys])
        insert = f"INSERT INTO held SELECT {_COLUMNS} FROM filled.daily_availability ORDER BY date, symbol"
        figures: Figures = {"write": cpu(lambda: connection.execute(insert))}
        connection.execute("CHECKPOINT")
        days, symbols = questions(settings)
        figures |= {
            "mb": megabytes(path),
            **asked(asking(connection), three("held", "held"), days, symbols),
        }
        again = [cpu(lambda day=day: _write_again(connection, day)) for day in days[:WRITTEN_DAYS]]  # type: ignore[misc]
        return {**figures, "day_ms": statistics.median(again) * 1000}


def _write_again(connection: duckdb.DuckDBPyConnection, day: object) -> None:
    connection.execute("BEGIN")
    connection.execute(_LARGER, [day])
    connection.execute(_UPDATE)
    connection.execute("COMMIT")


def replace(settings: Settings, keys: str) -> Figures:
    """A hundred days replaced five times by INSERT OR REPLACE; how many rows are wrong then, or DuckDB's error."""
    with filled(settings, fresh(settings, f"replace-{keys}.duckdb")) as connection:
        connection.execute(KEYS[keys])
        connection.execute(f"INSERT INTO held SELECT {_COLUMNS} {_RECENT}")
        try:
            for _ in range(5):
                connection.execute(_REPLACE)
        except duckdb.Error as error:
            return {"wrong": str(error).splitlines()[0]}
        return {"wrong": connection.execute(_WRONG).fetchall()[0][0]}


def publish(settings: Settings, form: str) -> Figures:
    """The rows as readers could have them: written, and asked."""
    path = fresh(settings, f"form-{form}.duckdb")
    with filled(settings) as connection:
        attach_new(connection, str(path))
        figures = {"write": cpu(lambda: connection.execute(FORMS[form]))}
        connection.execute("DETACH published")
    with closing(duckdb.connect(config={"threads": 1})) as reader:
        reader.execute("ATTACH ? AS published (READ_ONLY)", [str(path)])
        tables = {name for (name,) in reader.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        by_date, by_symbol = (
            f"published.{n if n in tables else 'by_date'}" for n in ("by_date", "by_symbol")
        )
        three_of_it = _OF_INTERVALS if form == "intervals" else three(by_date, by_symbol)
        return {
            **figures,
            "mb": megabytes(path),
            **asked(asking(reader), three_of_it, *questions(settings)),
        }


def parquet(settings: Settings) -> Figures:
    """The same without a database: one Parquet file per year, sorted by date."""
    folder = fresh(settings, "parquet")
    folder.mkdir()
    with filled(settings) as connection:
        write = (
            "COPY (SELECT *, year(date) AS year FROM filled.daily_availability ORDER BY date, symbol) "
            f"TO '{folder}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY year)"
        )
        figures = {
            "write": cpu(lambda: connection.execute(write)),
            "mb": megabytes(*folder.rglob("*.parquet")),
        }
    with closing(duckdb.connect(config={"threads": 1})) as reader:
        files = f"read_parquet('{folder}/*/*.parquet')"
        return {**figures, **asked(asking(reader), three(files, files), *questions(settings))}


def sqlite(settings: Settings) -> Figures:
    """The same in SQLite: a table in the order of its key, and an index for the other order; no column url."""
    path = fresh(settings, "rows.sqlite")
    with filled(settings) as connection:
        rows = connection.execute(
            "SELECT date::VARCHAR, symbol, available, file_size_bytes, last_modified::VARCHAR, status_code, "
            "probe_timestamp::VARCHAR FROM filled.daily_availability ORDER BY date, symbol"
        ).fetchall()
    with closing(sqlite3.connect(path)) as database:
        figures: Figures = {"write": cpu(lambda: _fill(database, rows)), "mb": megabytes(path)}
        days, symbols = questions(settings)

        def ask(question: str, values: Sequence[object]) -> list[Any]:
            return database.execute(question, list(map(str, values))).fetchall()

        return {**figures, **asked(ask, three("held", "held"), days, symbols)}


def _fill(database: sqlite3.Connection, rows: list[tuple[object, ...]]) -> None:
    database.executescript(
        "CREATE TABLE held (date TEXT, symbol TEXT, available INTEGER, file_size_bytes INTEGER, last_modified TEXT, "
        "status_code INTEGER, probe_timestamp TEXT, PRIMARY KEY (date, symbol)) WITHOUT ROWID"
    )
    database.executemany("INSERT INTO held VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    database.execute("CREATE INDEX by_symbol ON held (symbol, date)")
    database.commit()
