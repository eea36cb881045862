"""The derived tables: the status of every contract and day as spans, and the episodes of contracts.

The rules are the .sql files of this package; `rules` has their numbers.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import duckdb

from availability_pipeline.dates import utc_now
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.warehouse.contents import judge
from availability_pipeline.warehouse.database import has_relations, read_info, transaction, write_info


def run_script(connection: duckdb.DuckDBPyConnection, name: str, values: Mapping[str, object]) -> None:
    """Execute a .sql file of this package.

    Args:
        connection: The working database.
        name: The file, without its ending.
        values: Values of parameters, by name; each statement takes those that it has.
    """
    script = files(__package__).joinpath(f"{name}.sql").read_text("utf-8")
    for statement in duckdb.extract_statements(script):
        connection.execute(statement, {name: values[name] for name in statement.named_parameters})


def find_rowless_files(connection: duckdb.DuckDBPyConnection, rules: Rules) -> None:
    """Make the temporary table `rowless_files`, with date, symbol and file_size_bytes: files too small to have a row.

    Args:
        connection: The working database.
        rules: What it is judged by.
    """
    run_script(connection, "rowless", rules.values())


def find_absences(
    connection: duckdb.DuckDBPyConnection, rules: Rules, *, every_contract: bool = False
) -> str:
    """Make the temporary table `absent_days`: every collected day without a file after a contract's first one.

    Its columns are date, symbol, last_file_day (before it), next_day (with a file after it, or NULL), absence
    (gap, stopped, long, relisted), rowless (there is a file, which is too small to say anything), status (pending,
    missing, ended) and known_from. The temporary tables of `files.sql` and `rowless.sql` are made as well. What is
    there from the same rows and rules stays.

    Args:
        connection: The working database.
        rules: What it is judged by.
        every_contract: Whether `small_runs` has those of contracts without a gap, too, which say nothing of absences.

    Returns:
        A fingerprint of the rows and contracts.
    """
    sources = _sources(connection)
    made_from = repr((sources, rules.values(), every_contract))
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS absences_made_from (made_from VARCHAR)")
    if connection.execute("FROM temp.absences_made_from").fetchall() == [(made_from,)]:
        return sources
    connection.execute("DELETE FROM temp.absences_made_from")
    find_rowless_files(connection, rules)
    [(first_day, days)] = connection.execute(_DAYS).fetchall()
    values = {**rules.values(), "first_day": first_day, "days": days, "every_contract": every_contract}
    run_script(connection, "files", values)
    run_script(connection, "absence", values)
    connection.execute("INSERT INTO temp.absences_made_from VALUES ($1)", [made_from])
    return sources


_DAYS = "SELECT coalesce(min(date), DATE '1970-01-01'), coalesce(max(date) - min(date) + 1, 1) FROM daily_availability"

DERIVED_TABLES = ("status_spans", "symbol_lifecycle")

_SOURCES_KEY, _CONTENT_KEY, _MOMENT_KEY = "derived_from", "derived_tables", "derived_at"

_INTERMEDIATE = (
    "rowless_files", "file_runs", "gap_days", "gaps", "small_runs", "absent_days", "episodes", "file_spans",
    "absent_spans", "absences_made_from",
)  # fmt: skip

# What the tables follow from.
_SOURCES = """
SELECT
    (SELECT [count(*), sum(hash(date, symbol, file_size_bytes))] FROM daily_availability),
    (SELECT [count(*), sum(hash(date, symbol, trades = 0))] FROM daily_volume),
    (SELECT [count(*), sum(hash(symbol, contract, contract_type, status, onboard_date, seen_at))] FROM symbols)
"""

# What they are, so that a change from outside is seen.
_CONTENT = """
SELECT (SELECT sum(hash(spans)) FROM status_spans AS spans), (SELECT sum(hash(lives)) FROM symbol_lifecycle AS lives)
"""

_REPORT = """
SELECT
    (SELECT count(*) FROM status_spans), count(*), count(DISTINCT symbol), count(*) FILTER (is_open),
    count(*) FILTER (end_reason = 'settled'), count(*) FILTER (end_reason = 'purged'),
    count(*) FILTER (end_reason = 'relisted'), coalesce(sum(days), 0)::BIGINT, coalesce(sum(flat_days), 0)::BIGINT,
    coalesce(sum(gaps), 0)::BIGINT
FROM symbol_lifecycle
"""


@dataclass(frozen=True)
class DeriveReport:
    """What the derived tables say in all."""

    seconds: float
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
    gaps: int
    """How often days without a file lie between files of an episode."""


def derive(connection: duckdb.DuckDBPyConnection, rules: Rules) -> DeriveReport:
    """Make the derived tables anew, in one transaction.

    `status_spans` covers every collected day of every contract once: symbol, episode (1, 2, ... or NULL outside of
    any), status, evidence, first_day, last_day, known_from. `symbol_lifecycle` has one row per episode. The verdicts of
    `file_contents` on first and last days are brought up to date.

    Args:
        connection: The working database, with no transaction open.
        rules: What it is judged by.
    """
    began = time.perf_counter()
    with transaction(connection):
        sources = find_absences(connection, rules, every_contract=True)
        run_script(connection, "lifecycle", rules.values())
        judge(connection)
        for table in _INTERMEDIATE:
            connection.execute(f"DROP TABLE temp.{table}")
        write_info(connection, _SOURCES_KEY, sources)
        write_info(connection, _CONTENT_KEY, _content(connection, rules))
        write_info(connection, _MOMENT_KEY, utc_now().isoformat())
    [totals] = connection.execute(_REPORT).fetchall()
    return DeriveReport(time.perf_counter() - began, *totals)


def derive_if_stale(connection: duckdb.DuckDBPyConnection, rules: Rules) -> None:
    """Make the derived tables, unless they are what `derive` would make.

    Args:
        connection: The working database, with no transaction open.
        rules: What it is judged by.
    """
    if not fits_rows(connection) or read_info(connection, _CONTENT_KEY) != _content(connection, rules):
        derive(connection, rules)


def is_derived(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the database has the derived tables, of whatever age."""
    return has_relations(connection, DERIVED_TABLES)


def fits_rows(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the derived tables were made from the rows that there are now, on whatever day."""
    return is_derived(connection) and read_info(connection, _SOURCES_KEY) == _sources(connection)


def derived_at(connection: duckdb.DuckDBPyConnection) -> dt.datetime:
    """When the derived tables were made, naive in UTC; the beginning of time if they never were."""
    return dt.datetime.fromisoformat(read_info(connection, _MOMENT_KEY) or str(dt.date.min))


def _sources(connection: duckdb.DuckDBPyConnection) -> str:
    return repr(connection.execute(_SOURCES).fetchall())


def _content(connection: duckdb.DuckDBPyConnection, rules: Rules) -> str:
    return repr((rules.episode_gap_days, str(rules.today), connection.execute(_CONTENT).fetchall()))
