"""The derived tables: the status of every contract and day as spans, and contracts' episodes.

They follow from `daily_availability` and `symbols` alone, and are dropped and made anew as a whole. What days without a
file are is decided in `absence`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import duckdb

from availability_pipeline.analysis.absence import find_absences
from availability_pipeline.analysis.rules import Rules
from availability_pipeline.analysis.script import run_script
from availability_pipeline.store.connection import read_info, transaction, write_info

DERIVED_TABLES = ("status_spans", "symbol_lifecycle")

_MARK = "derived_tables"

_INTERMEDIATE = (
    "file_days", "gap_days", "gaps", "small_runs", "absent_days", "episodes", "file_spans", "absent_spans",
)  # fmt: skip

# Of what the tables follow from and of what they are, so that a change of either is seen.
_SOURCES = """
SELECT
    (SELECT [count(*), sum(hash(date, symbol, file_size_bytes))] FROM daily_availability),
    (SELECT [count(*), sum(hash(symbol, contract, contract_type, status, onboard_date, seen_at))] FROM symbols)
"""

_CONTENT = """
SELECT (SELECT sum(hash(spans)) FROM status_spans AS spans), (SELECT sum(hash(lives)) FROM symbol_lifecycle AS lives)
"""

_REPORT = """
SELECT
    (SELECT count(*) FROM status_spans), count(*), count(DISTINCT symbol), count(*) FILTER (is_open),
    count(*) FILTER (end_reason = 'settled'), count(*) FILTER (end_reason = 'purged'),
    count(*) FILTER (end_reason = 'relisted'), coalesce(sum(days), 0)::BIGINT, coalesce(sum(flat_days), 0)::BIGINT,
    coalesce(sum(holes), 0)::BIGINT
FROM symbol_lifecycle
"""


@dataclass(frozen=True)
class DeriveReport:
    """What the derived tables say in all."""

    spans: int
    episodes: int
    symbols: int
    """Contracts that ever had a file."""
    open: int
    """Episodes that have not ended, and then those that have, by the reason."""
    settled: int
    purged: int
    relisted: int
    days: int
    """Days with a file, flat ones included."""
    flat_days: int
    holes: int
    """Stretches of days without a file that lie between files of an episode."""
    seconds: float


def derive(connection: duckdb.DuckDBPyConnection, rules: Rules) -> DeriveReport:
    """Make the derived tables anew, in one transaction.

    `status_spans` covers every collected day of every contract once: symbol, episode (1, 2, ... or NULL outside of
    any), status, evidence, first_day, last_day, known_from. `symbol_lifecycle` has one row per episode.

    Args:
        connection: The working database, with no transaction open.
        rules: What it is judged by.
    """
    began = time.perf_counter()
    with transaction(connection):
        find_absences(connection, rules)
        run_script(connection, "lifecycle", rules.values())
        for table in _INTERMEDIATE:
            connection.execute(f"DROP TABLE temp.{table}")
        write_info(connection, _MARK, _mark(connection, rules))
    [totals] = connection.execute(_REPORT).fetchall()
    return DeriveReport(*totals, time.perf_counter() - began)


def derive_if_stale(connection: duckdb.DuckDBPyConnection, rules: Rules) -> None:
    """Make the derived tables, unless they are what `derive` would make.

    Args:
        connection: The working database, with no transaction open.
        rules: What it is judged by.
    """
    if not is_derived(connection) or read_info(connection, _MARK) != _mark(connection, rules):
        derive(connection, rules)


def is_derived(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the database has the derived tables, of whatever age."""
    tables = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    return {name for (name,) in tables} >= set(DERIVED_TABLES)


def _mark(connection: duckdb.DuckDBPyConnection, rules: Rules) -> str:
    sources = connection.execute(_SOURCES).fetchall()
    content = connection.execute(_CONTENT).fetchall()
    return repr((rules.episode_gap_days, str(rules.today), sources, content))
