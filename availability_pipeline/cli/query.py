"""`query`: the declarations of its commands."""

from __future__ import annotations

import re
from typing import Any

import click

from availability_pipeline.cli import views
from availability_pipeline.cli.options import example
from availability_pipeline.cli.question import day, day_named, moment_named, option, question, symbol
from availability_pipeline.cli.sql import sql
from availability_pipeline.errors import UsageError
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.queries.liquidity import LONGEST_WINDOW, RANKED_BY, STATISTICS
from availability_pipeline.queries.universe import WINDOW_DAYS
from availability_pipeline.queries.volume import NUMBERS


@click.group(epilog=example("query snapshot 2024-01-15"))
def query() -> None:
    """Ask the published database.

    Every answer comes as a table, json, csv or parquet; json is a list of objects whose keys are the columns. Sizes are
    bytes, moments are UTC.
    """


@click.group(epilog=example("query analytics summary", "query analytics delistings 2022-11-14"))
def analytics() -> None:
    """Listings and delistings of a day, and the number of files of each day."""


def _window(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Any:
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,6}(/[0-9]{1,6})?", text):
        raise UsageError(
            f"--min-days-in-window is {text!r}; write it as 25/30, 25 live days among the last 30"
        )
    days, slash, window = text.partition("/")
    return (int(days), int(window)) if slash else int(days)


def _types(_context: click.Context, _parameter: click.Parameter, text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",")]


_UNIVERSE_RULES = (
    option(
        "--min-age-days", metavar="N", type=click.IntRange(0), default=0, help="Days since the listing."
    ),
    option(
        "--min-days-in-window", metavar="N[/M]", callback=_window,
        help="N live days at least among the last M, or 30.",
    ),
    option("--include-flat", is_flag=True, help="Also contracts that are listed and no longer traded."),
    option("--contract-types", metavar="A,B", callback=_types, help="Only these types, such as PERPETUAL."),
    option(
        "--exclude-ending", metavar="N", type=click.IntRange(0),
        help="Not those announced to end within N days.",
    ),
)  # fmt: skip

_LIQUIDITY_RULES = (
    option("--top", metavar="N", type=click.IntRange(1), help="Only the N most liquid."),
    option(
        "--rank-by", type=click.Choice(RANKED_BY), default=RANKED_BY[0], help="What ranks.  [default: quote_volume]"
    ),
    option(
        "--window-days", metavar="N", type=click.IntRange(1, LONGEST_WINDOW), default=WINDOW_DAYS,
        help="Calendar days that count, the last one included.  [default: 30]",
    ),
    option(
        "--statistic", type=click.Choice(STATISTICS), default=STATISTICS[0],
        help="What the days come to.  [default: median]",
    ),
    option(
        "--min-quote-volume", metavar="X", type=float, help="Least traded value by that statistic, in the quote asset."
    ),
)  # fmt: skip

_BAR_COLUMNS = ("date", "open", "high", "low", "close", "quote_volume", "trades")
_RANKING_COLUMNS = (
    "rank", "symbol", "quote_volume_usdt", "trade_count", "rank_change_1d", "rank_change_7d", "market_share_pct",
)  # fmt: skip
_INCOMPLETE_COLUMNS = (
    "date", "symbol", "verdict", "checksum", "rows", "first_minute", "last_minute", "missing_minutes",
    "volume_difference",
)  # fmt: skip
_DAY_COLUMNS = ("date", "available", "file_size_bytes", "last_modified")


question(
    query, "snapshot", AvailabilityQueries.get_available_symbols_on_date,
    [
        day(),
        option(
            "--as-of", metavar="MOMENT", callback=moment_named,
            help="What was known then, such as 2024-01-16T12:00 (UTC).",
        ),
    ],
    """The contracts that have a file on a day.

    DATE is a UTC day, such as 2024-01-15 or yesterday. A table leaves out the columns that are the same for all, and
    the url.
    """,
    examples=("query snapshot 2024-01-15", "query snapshot yesterday --format csv"),
    title=views.counted_as("contract", " with a file on {date}"),
    table=views.columns("symbol", "file_size_bytes", "last_modified"),
)  # fmt: skip

question(
    query, "timeline", AvailabilityQueries.get_symbol_availability_timeline, [symbol(required=True)],
    """Every day of a contract since its first file.

    The last one is the last collected day. SYMBOL is the name of its folder in the archive, such as BTCUSDT, in upper
    or lower case. A table has one line per month unless --all; the other formats always have every day.
    """,
    examples=("query timeline BTCUSDT", "query timeline ethusdt --output eth.parquet"),
    title=views.timeline_title, table=views.timeline_by_month, in_full=views.columns(*_DAY_COLUMNS),
    days=views.timeline_days,
)  # fmt: skip

question(
    query, "range", AvailabilityQueries.get_availability_range, [day("start"), day("end")],
    """Every file of a range of days, START and END included.

    A table has one line per day unless --all; the other formats always have every file.
    """,
    examples=("query range 2024-01-01 2024-01-31 --format csv",),
    title=views.of_days("Files"), table=views.range_by_day, in_full=views.columns("symbol", *_DAY_COLUMNS),
    all_help="Show every file in a table instead of days.",
)  # fmt: skip

question(
    query, "changes", AvailabilityQueries.get_changes,
    [
        option(
            "--since", metavar="DATE", callback=day_named,
            help="Only what was noticed on this UTC day or later.",
        )
    ],
    """Files that appeared late, were replaced or were withdrawn after their day was first collected.

    The keys are date, symbol, kind (published, republished or withdrawn), old_file_size_bytes, new_file_size_bytes,
    old_last_modified, new_last_modified, observed_at (UTC) and run_id.
    """,
    examples=("query changes", "query changes --since 2024-01-15"),
    title=views.changes_title,
    table=views.columns("observed_at", "kind", "date", "symbol", "old_file_size_bytes", "new_file_size_bytes"),
)  # fmt: skip

question(
    query, "universe", AvailabilityQueries.get_universe,
    [
        day(), *_UNIVERSE_RULES, *_LIQUIDITY_RULES,
        option("--explain", is_flag=True, help="Also the contracts that are left out, with the reason."),
    ],
    """The contracts that were tradable on a day, as known on that day.

    Contracts without a file (pending, missing, ended), those known to be flat, and those that the options exclude are
    left out.

    --top and --min-quote-volume go by the daily bars of the last 30 days. A bar without a trade counts as 0, a day
    without a bar does not count, and a contract that did not trade on DATE is left out.
    """,
    examples=("query universe 2024-01-15", "query universe 2024-01-15 --top 5 --min-quote-volume 1e6"),
    title=views.universe_title, table=views.universe_table,
)  # fmt: skip

question(
    query, "universe-history", AvailabilityQueries.universe_history,
    [
        day("start"), day("end"),
        option(
            "--step", metavar="N", type=click.IntRange(1), default=1, help="Every N days.  [default: 1]"
        ),
        *_UNIVERSE_RULES, *_LIQUIDITY_RULES,
    ],
    """The universes of many days, for a backtest, each as known on its own day.

    START and END are included. A table has one line per day; the other formats have
    every contract.
    """,
    examples=("query universe-history 2021-01-01 2021-12-31",),
    title=views.of_days("Universes"), table=views.universes_by_day,
)  # fmt: skip

question(
    query, "lifecycle", AvailabilityQueries.get_lifecycle, [symbol()],
    """The trading episodes of a contract, or of all.

    last_day is the last day with a file, last_trading_day the last one on which there was a trade. end_reason is
    settled (flat files followed), purged (the files stopped) or relisted (another episode of the name followed).
    """,
    examples=("query lifecycle LITUSDT", "query lifecycle --output episodes.csv"),
    title=views.counted_as("episode"), table=views.episodes,
)  # fmt: skip

question(
    query, "contract", AvailabilityQueries.get_contract,
    [
        symbol(required=True),
        option(
            "--as-of", metavar="MOMENT", callback=moment_named,
            help="What had been said by then, such as 2024-01-16T12:00 (UTC).",
        ),
    ],
    """What the exchange said of a contract, and when.

    There is a row for each state that differs from the one before: type, status, listing day, scheduled end and
    underlying type. valid_from and valid_to are the first and the last answer that said so.
    """,
    examples=("query contract BTCUSDT", "query contract FTTUSDT --as-of 2026-11-20T13:00"),
    title=views.contract_title,
    table=views.columns("contract_type", "status", "onboard_date", "scheduled_end", "valid_from", "valid_to"),
)  # fmt: skip

question(
    query, "gaps", AvailabilityQueries.get_gaps, [symbol()],
    """Days without a file between the files of an episode, of a contract or of all.

    Files that are merely late are no gap, nor is the time between two listings of one name.
    """,
    examples=("query gaps", "query gaps ICPUSDT"),
    title=views.counted_as("gap"),
)  # fmt: skip

question(
    query, "incomplete", AvailabilityQueries.get_incomplete, [symbol()],
    """The files that are not whole, of a contract or of all.

    The verdict is truncated (the file breaks off), gaps (minutes are missing), unreadable or bad_checksum. Minutes of
    the day are counted from 0 to 1439. volume_difference is the traded value in the file minus that of the daily bar.
    Only files that were inspected can be among them.
    """,
    examples=("query incomplete", "query incomplete SOLUSDT --format csv"),
    title=views.counted_as("incomplete file"), table=views.columns(*_INCOMPLETE_COLUMNS),
)  # fmt: skip

question(
    query, "coverage", AvailabilityQueries.get_coverage, [symbol(required=True)],
    """What each collected dataset has of a contract.

    first_day and last_day are the first and the last day with a file; missing_days are those without one that is
    expected and not just late.
    """,
    examples=("query coverage BTCUSDT",),
    title=views.counted_as("dataset", " with {symbol}"),
    table=views.columns("dataset", "first_day", "last_day", "file_count", "missing_days", "data_through"),
)  # fmt: skip

question(
    query, "volume", AvailabilityQueries.get_volume, [symbol(required=True)],
    """The daily bars of a contract: prices, volume and trades.

    Volumes are in the base asset, quote volumes in the quote asset. A day without a row has no bar in the archive, or
    none yet. A table has one line per month unless --all; the other formats always have every day.
    """,
    examples=("query volume BTCUSDT", "query volume ethusdt --output eth.parquet"),
    title=views.volume_title, table=views.volume_by_month, in_full=views.columns(*_BAR_COLUMNS),
)  # fmt: skip

question(
    query, "rankings", AvailabilityQueries.get_rankings, [day()],
    """The contracts that traded on a day, by rank of the traded value.

    A change is the rank minus that of so many calendar days before: negative after a rise.
    """,
    examples=("query rankings 2024-01-15",),
    title=views.counted_as("contract", " traded on {date}"), table=views.columns(*_RANKING_COLUMNS),
)  # fmt: skip

question(
    query, "market-summary", AvailabilityQueries.get_market_summary, [day()],
    "What was traded on a day in all contracts, and how much of it in the largest.",
    examples=("query market-summary 2024-01-15",),
    title=views.titled("Trade of {date}"),
)  # fmt: skip

question(
    query, "volume-matrix", AvailabilityQueries.volume_matrix,
    [
        day("start"), day("end"),
        option(
            "--field", type=click.Choice(NUMBERS), default="quote_volume",
            help="The number.  [default: quote_volume]",
        ),
    ],
    """Dates × contracts of one number of the daily bars, START and END included.

    A table has only the number of contracts with a bar on each day.
    """,
    examples=("query volume-matrix 2024-01-01 2024-01-31 --output volume.parquet",),
    title=views.of_days("Daily bars"), table=views.bars_by_day,
)  # fmt: skip

question(
    analytics, "new-listings", AvailabilityQueries.detect_new_listings, [day()],
    "The contracts whose first file is of a day, also those that were listed again.",
    examples=("query analytics new-listings 2023-05-05",),
    title=views.counted_as("contract", " listed on {date}"),
)  # fmt: skip

question(
    analytics, "delistings", AvailabilityQueries.detect_delistings, [day()],
    """The contracts that were traded for the last time on a day.

    The last trade counts, not the last file: delisted contracts have flat files for months.
    """,
    examples=("query analytics delistings 2022-05-13",),
    title=views.counted_as("contract", " traded for the last time on {date}"),
)  # fmt: skip

question(
    analytics, "summary", AvailabilityQueries.get_availability_summary, [],
    """How many files each day has, and what the other contracts were.

    A table has one line per month unless --all; the other formats always have every day.
    """,
    examples=("query analytics summary", "query analytics summary --format csv"),
    title=views.summary_title, table=views.summary_by_month, in_full=lambda result, _: result,
)  # fmt: skip

query.add_command(analytics)
query.add_command(sql)
