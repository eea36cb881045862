"""`query lifecycle`, `query holes` and `query analytics`: what became of contracts, and the data by day."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import click

from availability_pipeline.cli.options import complete_symbol, example
from availability_pipeline.cli.output import Answer, Output, Row, only, output_options
from availability_pipeline.dates import parse_day
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.queries.columns import (
    DELISTING_COLUMNS,
    HOLE_COLUMNS,
    LIFECYCLE_COLUMNS,
    LISTING_COLUMNS,
    SUMMARY_COLUMNS,
)
from availability_pipeline.settings import Settings
from availability_pipeline.symbols import counted

if TYPE_CHECKING:
    import pyarrow as pa


@click.command(
    epilog=example(
        "query lifecycle LITUSDT", "query lifecycle --output lives.csv", "query lifecycle FTTUSDT --confirm"
    )
)
@click.argument("symbol", required=False, shell_complete=complete_symbol)
@click.option(
    "--confirm", "confirmed", is_flag=True, help="Download the files around each flat run; see its volume."
)
@output_options
def lifecycle(symbol: str | None, output: Output, *, confirmed: bool) -> None:
    """The trading episodes of a contract, or of all.

    last_day is the last day with a file, last_trading_day the last one on which there was a trade. end_reason is
    settled (flat files followed), purged (the files stopped) or relisted (another episode of the name followed).

    With --confirm, the runs of small files instead, with the minutes that have a trade in the last live file before
    each, in its first and in its last. This asks the archive for those files, at most three for each run.
    """
    with AvailabilityQueries() as queries:
        if confirmed:
            output.write(_confirmation(queries, symbol))
            return
        rows = queries.get_lifecycle(symbol)
        answer = Answer(
            rows=lambda: rows,
            arrow=lambda: queries.get_lifecycle_arrow(symbol),
            columns=LIFECYCLE_COLUMNS,
            summary=lambda: map(_episode, rows),
            title=lambda: counted(len(rows), "episode"),
        )
        output.write(answer)


@click.command(epilog=example("query holes", "query holes ICPUSDT"))
@click.argument("symbol", required=False, shell_complete=complete_symbol)
@output_options
def holes(symbol: str | None, output: Output) -> None:
    """Days without a file inside the life of a contract, or of all.

    Files that are merely late are none, nor is the time between two listings of one name.
    """
    with AvailabilityQueries() as queries:
        rows = queries.get_holes(symbol)
        answer = _all(rows, lambda: queries.get_holes_arrow(symbol), HOLE_COLUMNS, counted(len(rows), "hole"))
        output.write(answer)


@click.group(epilog=example("query analytics summary", "query analytics delistings 2022-11-14"))
def analytics() -> None:
    """Who came and went on a day, and how many files each day has."""


@analytics.command("new-listings", epilog=example("query analytics new-listings 2023-05-05"))
@click.argument("date")
@output_options
def new_listings(date: str, output: Output) -> None:
    """The contracts whose first file is of a day, also those that were listed again."""
    with AvailabilityQueries() as queries:
        day = parse_day(date, "DATE")
        rows = queries.detect_new_listings(day)
        title = f"{counted(len(rows), 'contract')} listed on {day}"
        output.write(_all(rows, lambda: queries.detect_new_listings_arrow(day), LISTING_COLUMNS, title))


@analytics.command(epilog=example("query analytics delistings 2022-05-13"))
@click.argument("date")
@output_options
def delistings(date: str, output: Output) -> None:
    """The contracts that were traded for the last time on a day.

    The last trade counts, not the last file: delisted contracts have flat files for months.
    """
    with AvailabilityQueries() as queries:
        day = parse_day(date, "DATE")
        rows = queries.detect_delistings(day)
        title = f"{counted(len(rows), 'contract')} traded for the last time on {day}"
        output.write(_all(rows, lambda: queries.detect_delistings_arrow(day), DELISTING_COLUMNS, title))


@analytics.command(epilog=example("query analytics summary", "query analytics summary --format csv"))
@click.option("--all", "every_day", is_flag=True, help="Show every day in a table instead of months.")
@output_options
def summary(output: Output, *, every_day: bool) -> None:
    """How many files each day has, and what the other contracts were.

    A table has one line per month unless --all; the other formats always have every day.
    """
    with AvailabilityQueries() as queries:
        rows = queries.get_availability_summary()
        answer = Answer(
            rows=lambda: rows,
            arrow=queries.get_availability_summary_arrow,
            columns=SUMMARY_COLUMNS,
            summary=lambda: rows if every_day else _by_month(rows),
            title=lambda: f"{counted(len(rows), 'day')}, {rows[0]['date']} to {rows[-1]['date']}",
        )
        output.write(answer)


def _confirmation(queries: AvailabilityQueries, symbol: str | None) -> Answer:
    from availability_pipeline.collecting.inspect import CONFIRMED_COLUMNS, confirm  # noqa: PLC0415 - needs the network

    rows = confirm(queries, Settings.load(), symbol)
    return Answer(
        rows=lambda: rows,
        arrow=lambda: _frame(rows),
        columns=CONFIRMED_COLUMNS,
        summary=lambda: only(rows, ("symbol", "first_day", "last_day", *_MINUTES, "verdict")),
        title=lambda: f"{counted(len(rows), 'run')} of small files, and the minutes with a trade at its ends",
    )


_MINUTES = ("live_minutes", "first_minutes", "last_minutes")


def _frame(rows: Sequence[Row]) -> pa.Table:
    import pyarrow as pa  # noqa: PLC0415 - only frames need it

    return pa.Table.from_pylist(list(rows))


def _episode(row: Row) -> Row:
    """As much of an episode as 80 columns hold; json has the rest."""
    return {
        "symbol": row["symbol"],
        "first_day": row["first_day"],
        "last_trade": row["last_trading_day"],
        "last_file": row["last_day"],
        "end": row["end_reason"] or "open",
        "flat": row["flat_days"],
    }


def _all(rows: Sequence[Row], arrow: Callable[[], pa.Table], columns: Sequence[str], title: str) -> Answer:
    """An answer that a table shows in full."""
    return Answer(rows=lambda: rows, arrow=arrow, columns=columns, summary=lambda: rows, title=lambda: title)


def _by_month(rows: Sequence[Row]) -> Iterator[Row]:
    """Files and bytes of each month, and how many contracts had a file on its days at most."""
    for month, group in groupby(rows, lambda row: f"{row['date']:%Y-%m}"):
        days = list(group)
        yield {
            "month": month,
            "days": len(days),
            "files": sum(day["file_count"] for day in days),
            "bytes": sum(day["bytes"] for day in days),
            "most contracts": max(day["file_count"] for day in days),
            "missing": sum(day["missing"] for day in days),
        }
