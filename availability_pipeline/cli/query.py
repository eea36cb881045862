"""`query`: the questions of `AvailabilityQueries`, one command each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import click

from availability_pipeline.cli import lifecycle, universe
from availability_pipeline.cli.options import complete_symbol, example
from availability_pipeline.cli.output import Answer, Output, Row, only, output_options
from availability_pipeline.cli.sql import sql
from availability_pipeline.dates import DayRange, parse_day, parse_moment
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.queries.columns import CHANGE_COLUMNS, COLUMNS
from availability_pipeline.symbols import counted


@click.group(epilog=example("query snapshot 2024-01-15"))
def query() -> None:
    """Ask the published database.

    Every answer comes as a table, json, csv or parquet; json is a list of objects whose keys are the columns. Sizes are
    bytes, moments are UTC.
    """


@query.command(epilog=example("query snapshot 2024-01-15", "query snapshot yesterday --format csv"))
@click.argument("date")
@click.option("--as-of", metavar="MOMENT", help="What was known then, such as 2024-01-16T12:00 (UTC).")
@output_options
def snapshot(date: str, as_of: str | None, output: Output) -> None:
    """The contracts that have a file on a day.

    DATE is a UTC day, such as 2024-01-15 or yesterday. A table leaves out the columns that are the same for all, and
    the url.
    """
    with AvailabilityQueries() as queries:
        day = parse_day(date, "DATE")
        moment = None if as_of is None else parse_moment(as_of, "--as-of")
        rows = queries.get_available_symbols_on_date(day, as_of=moment)
        answer = Answer(
            rows=lambda: rows,
            arrow=lambda: queries.get_available_symbols_on_date_arrow(day, as_of=moment),
            columns=COLUMNS,
            summary=lambda: only(rows, ("symbol", "file_size_bytes", "last_modified")),
            title=lambda: f"{counted(len(rows), 'contract')} with a file on {day}",
        )
        output.write(answer)


@query.command(epilog=example("query timeline BTCUSDT", "query timeline ethusdt --output eth.parquet"))
@click.argument("symbol", shell_complete=complete_symbol)
@click.option("--all", "every_day", is_flag=True, help="Show every day in a table instead of months.")
@output_options
def timeline(symbol: str, every_day: bool, output: Output) -> None:
    """Every day of a contract since its first file.

    The last one is the last collected day. SYMBOL is the name of its folder in the archive, such as BTCUSDT, in upper
    or lower case. A table has one line per month unless --all; the other formats always have every day.
    """
    with AvailabilityQueries() as queries:
        rows = queries.get_symbol_availability_timeline(symbol)
        answer = Answer(
            rows=lambda: rows,
            arrow=lambda: queries.get_symbol_availability_timeline_arrow(symbol),
            columns=COLUMNS,
            summary=lambda: only(rows, _DAY_COLUMNS) if every_day else _by_month(rows),
            title=lambda: _timeline_title(symbol.strip().upper(), rows),
        )
        output.write(answer)


@query.command("range", epilog=example("query range 2024-01-01 2024-01-31 --format csv"))
@click.argument("start")
@click.argument("end")
@click.option("--all", "every_file", is_flag=True, help="Show every file in a table instead of days.")
@output_options
def range_(start: str, end: str, every_file: bool, output: Output) -> None:
    """Every file of a range of days, START and END included.

    A table has one line per day unless --all; the other formats always have every file.
    """
    with AvailabilityQueries() as queries:
        days = DayRange(parse_day(start, "START"), parse_day(end, "END"))
        rows = queries.iter_availability_range(days.start, days.end)
        answer = Answer(
            rows=lambda: rows,
            arrow=lambda: queries.get_availability_range_arrow(days.start, days.end),
            columns=COLUMNS,
            summary=lambda: only(rows, ("symbol", *_DAY_COLUMNS)) if every_file else _by_day(rows, days),
            title=lambda: f"Files of {days}",
        )
        output.write(answer)


@query.command(epilog=example("query changes", "query changes --since 2024-01-15"))
@click.option("--since", metavar="DATE", help="Only what was noticed on this UTC day or later.")
@output_options
def changes(since: str | None, output: Output) -> None:
    """Files that appeared late, were replaced or were withdrawn after their day was first collected.

    The keys are date, symbol, kind (published, republished or withdrawn), old_file_size_bytes, new_file_size_bytes,
    old_last_modified, new_last_modified, observed_at (UTC) and run_id.
    """
    with AvailabilityQueries() as queries:
        day = None if since is None else parse_day(since, "--since")
        rows = queries.get_changes(day)
        answer = Answer(
            rows=lambda: rows,
            arrow=lambda: queries.get_changes_arrow(day),
            columns=CHANGE_COLUMNS,
            summary=lambda: only(rows, ("observed_at", "kind", "date", "symbol", *_SIZES)),
            title=lambda: counted(len(rows), "change") + (f" since {day}" if day else ""),
        )
        output.write(answer)


for command in (
    universe.universe, universe.universe_history, lifecycle.lifecycle, lifecycle.holes, lifecycle.analytics, sql,
):  # fmt: skip
    query.add_command(command)

_SIZES = ("old_file_size_bytes", "new_file_size_bytes")

_DAY_COLUMNS = ("date", "available", "file_size_bytes", "last_modified")


def _timeline_title(symbol: str, rows: Sequence[Row]) -> str:
    if not rows:
        return f"{symbol} has no file on any collected day"
    files = sum(row["available"] for row in rows)
    return f"{symbol}: {files:,} files on {len(rows):,} days, {rows[0]['date']} to {rows[-1]['date']}"


def _by_month(rows: Iterable[Row]) -> Iterator[Row]:
    for month, group in groupby(rows, lambda row: f"{row['date']:%Y-%m}"):
        days = list(group)
        missing = [str(day["date"]) for day in days if not day["available"]]
        yield {
            "month": month,
            "days": len(days),
            "files": len(days) - len(missing),
            "bytes": sum(day["file_size_bytes"] or 0 for day in days),
            "without a file": _shortened(missing),
        }


def _shortened(days: Sequence[str]) -> str:
    return ", ".join(days) if len(days) <= 3 else f"{days[0]} … {days[-1]} ({len(days)})"


def _by_day(rows: Iterable[Row], days: DayRange) -> list[Row]:
    """One line for each day, also for those without any file."""
    lines: dict[dt.date, dict[str, Any]] = {day: {"date": day, "files": 0, "bytes": 0} for day in days}
    for row in rows:
        line = lines[row["date"]]
        line["files"] += 1
        line["bytes"] += row["file_size_bytes"]
    return list(lines.values())
