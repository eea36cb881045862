"""Row types of results, for readers and type checkers; that of `daily_availability` is in `catalogue`.

Moments are naive in UTC, days are UTC days, sizes are bytes.
"""

from __future__ import annotations

import ast
import datetime as dt
import inspect
from typing import Any, TypedDict, get_args, get_type_hints

from availability_pipeline.catalogue.columns import AvailabilityRow, Column

Row = dict[str, Any]
"""One row; the keys are column names."""


class ChangeRow(TypedDict):
    """One change of a file after its day was first collected, a row of `availability_changes`."""

    date: dt.date
    """The UTC day that the file is about."""
    symbol: str
    """The contract: the name of its folder in the archive."""
    kind: str
    """published (it appeared), republished (its size or last_modified is another one) or withdrawn (it is gone)."""
    old_file_size_bytes: int | None
    """Bytes; None if there was no file."""
    new_file_size_bytes: int | None
    """Bytes; None if there is no file any more."""
    old_last_modified: dt.datetime | None
    """UTC; None if there was no file."""
    new_last_modified: dt.datetime | None
    """UTC; None if there is no file any more."""
    observed_at: dt.datetime
    """When the change was noticed, in UTC."""
    run_id: str
    """The run that noticed it."""


class SummaryRow(TypedDict):
    """One collected day."""

    date: dt.date
    """The UTC day."""
    row_count: int
    """Contracts that the day was collected for."""
    file_count: int
    """Contracts that have a file."""
    bytes: int
    """Bytes of all files."""
    published: int
    """Contracts with a file that is not flat."""
    flat: int
    """Contracts with a file without a trade, as part of a run of such files."""
    pending: int
    """Contracts whose file may still appear."""
    missing: int
    """Contracts whose file did not appear."""
    not_listed: int
    """Contracts before their first file."""
    ended: int
    """Contracts that were not listed any more."""


class UniverseRow(TypedDict):
    """One contract in the universe of a day, or outside it."""

    date: dt.date
    """The UTC day."""
    symbol: str
    """The contract: the name of its folder in the archive."""
    status: str
    """What was known of the contract on that day; published or flat in the universe."""
    first_day: dt.date | None
    """The first day with a file of the listing; None where the contract was not listed any more."""
    age_days: int | None
    """Days since then, 0 on that day."""
    contract_type: str | None
    """What exchangeInfo last said; None if it never spoke of the contract, or not in a usable form."""
    rank: int | None
    """Its place by liquidity among the contracts in the universe, 1 for the most liquid; None unless ranked."""
    liquidity: float | None
    """What ranks it; None unless ranked."""
    reason: str | None
    """Why the contract is not in the universe; None if it is."""


class RankingRow(TypedDict):
    """The rank of a contract among those that traded on a day, a row of `volume_rankings.parquet`."""

    date: dt.date
    """The UTC day."""
    symbol: str
    """The contract: the name of its folder in the archive."""
    rank: int
    """1 for the largest traded value; equal values have equal ranks, and no number is left out."""
    quote_volume_usdt: float
    """The traded value of the day, in the quote asset."""
    trade_count: int
    """The number of trades."""
    rank_change_1d: int | None
    """The rank minus that of the day before; negative after a rise, None without one."""
    rank_change_7d: int | None
    """The same with the rank 7 calendar days before."""
    rank_change_14d: int | None
    """The same with the rank 14 calendar days before."""
    rank_change_30d: int | None
    """The same with the rank 30 calendar days before."""
    percentile: float
    """100 times the percent rank: 0 for the first."""
    market_share_pct: float | None
    """Per cent of the traded value of all ranked contracts."""
    days_available: int
    """Days with a file among the last 30 calendar days, this one included."""


class MarketRow(TypedDict):
    """What was traded on a day in all tracked contracts."""

    date: dt.date
    """The UTC day."""
    bars: int
    """Contracts with a bar."""
    traded: int
    """Contracts with a trade."""
    quote_volume: float
    """The traded value, in the quote asset."""
    trades: int
    """The number of trades."""
    top_10_share_pct: float | None
    """Per cent of the traded value in the 10 largest contracts; None if nothing was traded."""
    top_50_share_pct: float | None
    """The same for the 50 largest."""
    top_100_share_pct: float | None
    """The same for the 100 largest."""


class LifecycleRow(TypedDict):
    """One trading episode of a contract, a row of `symbol_lifecycle`."""

    symbol: str
    """The contract: the name of its folder in the archive."""
    episode: int
    """1 for the first listing under this name."""
    first_day: dt.date
    """The first UTC day with a file."""
    last_day: dt.date
    """The last UTC day with a file, flat ones included."""
    last_trading_day: dt.date | None
    """The last UTC day with a file that is not flat; None if there is none."""
    is_open: bool
    """Whether it goes on, as far as is known."""
    end_reason: str | None
    """settled (its files went flat), purged (they stopped), relisted (another episode follows); None while open."""
    known_from: dt.date | None
    """The UTC day from which on its end could be known; None while open."""
    days: int
    """Days with a file, flat ones included."""
    flat_days: int
    """Days with a file without a trade."""
    gaps: int
    """How often days without a file lie between its files."""
    successor: str | None
    """The contract whose former self this SETTLED folder holds."""


class ContractRow(TypedDict):
    """What the exchange said of a contract for some time, a row of `contract_history`."""

    symbol: str
    """The contract, as exchangeInfo calls it."""
    contract_type: str | None
    """PERPETUAL, TRADIFI_PERPETUAL, CURRENT_QUARTER, NEXT_QUARTER, …; None if not in a usable form."""
    status: str | None
    """TRADING, SETTLING, PENDING_TRADING, …; None if not in a usable form."""
    onboard_date: dt.date | None
    """The UTC day of its listing, which later answers may contradict; None if not in a usable form."""
    scheduled_end: dt.datetime | None
    """The announced end (`delivery_date`), UTC; of a settled contract the settlement. None without one."""
    underlying_type: str | None
    """COIN, INDEX, EQUITY, …; None if not in a usable form."""
    valid_from: dt.datetime
    """The first answer that said so, UTC."""
    valid_to: dt.datetime
    """The last answer that said so, UTC."""


class IncompleteRow(TypedDict):
    """A file that is not whole: the version of it that was inspected last, of `file_contents`."""

    date: dt.date
    """The UTC day that the file is about."""
    symbol: str
    """The contract: the name of its folder in the archive."""
    verdict: str
    """truncated (it breaks off), gaps (minutes are missing), unreadable or bad_checksum."""
    file_size_bytes: int
    """Bytes of the zip."""
    last_modified: dt.datetime
    """When this version was written, in UTC."""
    checksum: str
    """Whether its .CHECKSUM agrees or disagrees; none if there is none."""
    rows: int
    """Rows of the day, duplicates included."""
    first_minute: int | None
    """The first minute of the day with a row, 0 to 1439; None without any."""
    last_minute: int | None
    """The last minute with a row; None without any."""
    missing_minutes: int
    """Minutes of the day without a row."""
    duplicate_minutes: int
    """Rows of a minute that has a row before."""
    unordered_minutes: int
    """Rows of an earlier minute than the row before."""
    traded_minutes: int
    """Minutes with a trade."""
    quote_volume: float
    """The traded value in its rows, in the quote asset."""
    volume_difference: float | None
    """The traded value minus that of the daily bar, to 0.01 of the quote asset; None without a bar."""
    inspected_at: dt.datetime
    """When it was inspected, in UTC."""


class GapRow(TypedDict):
    """Consecutive days without a file between files of an episode."""

    symbol: str
    """The contract: the name of its folder in the archive."""
    episode: int
    """The episode of `symbol_lifecycle` that it is in."""
    first_day: dt.date
    """The first UTC day without a file."""
    last_day: dt.date
    """The last one."""
    days: int
    """From the first to the last, both included."""


class ListingRow(TypedDict):
    """A contract that was listed on a day."""

    symbol: str
    """The contract: the name of its folder in the archive."""
    episode: int
    """1 if it is the first listing under this name."""
    first_day: dt.date
    """The first UTC day with a file."""
    contract_type: str | None
    """What exchangeInfo last said; None if it never spoke of the contract, or not in a usable form."""


class DelistingRow(TypedDict):
    """A contract that was last traded on a day."""

    symbol: str
    """The contract: the name of its folder in the archive."""
    episode: int
    """1 for the first listing under this name."""
    last_trading_day: dt.date
    """The last UTC day with a file that is not flat."""
    last_day: dt.date
    """The last UTC day with a file, flat ones included."""
    end_reason: str
    """settled, purged or relisted."""
    known_from: dt.date
    """The UTC day from which on the end could be known."""


class CoverageRow(TypedDict):
    """What a dataset has of a contract."""

    dataset: str
    """Its name in the catalogue, such as `um/klines/1m`."""
    symbol: str
    """The contract: the name of its folder in the archive."""
    first_day: dt.date | None
    """The first UTC day with a file; None if there is none."""
    last_day: dt.date | None
    """The last UTC day with a file; None if there is none."""
    file_count: int
    """Days with a file."""
    missing_days: int
    """Days without a file that is expected, and not just late."""
    data_through: dt.date
    """The last collected UTC day of the dataset."""


class DatasetRow(TypedDict):
    """A dataset of the catalogue, and what is collected of it."""

    dataset: str
    """Its name."""
    prefix: str
    """The prefix of its folders in the archive."""
    first_day: dt.date
    """Its first UTC day."""
    last_day: dt.date | None
    """The UTC day of its last file; None while it goes on."""
    published: str | None
    """When the files of a day are there on the next one, UTC; None if that was not observed."""
    exchange_info: str | None
    """The exchangeInfo that speaks of its contracts; None without one."""
    tracked: str
    """The quote assets and kinds of contract that have rows by default."""
    lifecycle: str
    """What tells that a contract is traded: volume, or only files."""
    remark: str
    """What else is known of its files."""
    scheduled: bool
    """Whether AVAILABILITY_DATASETS names it."""
    data_through: dt.date | None
    """The last collected UTC day; None if nothing of it is published."""
    symbols: int | None
    """Contracts that have rows, likewise."""
    files: int | None
    """Files, likewise."""


class SymbolRow(TypedDict):
    """A contract, a row of `symbols`."""

    symbol: str
    """The name of its folder in the archive."""
    contract: str
    """perpetual, settled, delivery, pair or index, as its name says."""
    quote: str | None
    """The quote asset; None where neither exchangeInfo nor the name says."""
    tracked: bool
    """Whether it has rows in `daily_availability`."""
    first_seen: dt.datetime
    """When its folder was first seen, in UTC."""
    contract_type: str | None
    """What exchangeInfo last said; None while it has said nothing."""
    status: str | None
    """Likewise."""
    onboard_date: dt.date | None
    """Likewise."""
    seen_at: dt.datetime | None
    """When exchangeInfo last listed it, in UTC."""


def columns_of(row_type: type) -> tuple[str, ...]:
    """The columns of a row type, in order."""
    return tuple(row_type.__annotations__)


_SQL_TYPES = {
    str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN", dt.date: "DATE", dt.datetime: "TIMESTAMP",
}  # fmt: skip


def described(row_type: type) -> list[Column]:
    """The columns of a row type with the meanings that its source gives."""
    [node] = ast.parse(inspect.getsource(row_type)).body
    if not isinstance(node, ast.ClassDef):
        raise TypeError(f"{row_type} is no class")
    texts = [
        each.value.value
        for each in node.body
        if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
    ]
    columns = []
    for (name, hint), text in zip(get_type_hints(row_type).items(), texts[1:], strict=True):
        kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
        columns.append(
            Column(_SQL_TYPES[kinds[0]], str(text), name=name, nullable=len(kinds) < len(get_args(hint)))
        )
    return columns


COLUMNS = columns_of(AvailabilityRow)
CHANGE_COLUMNS = columns_of(ChangeRow)
SUMMARY_COLUMNS = columns_of(SummaryRow)
UNIVERSE_COLUMNS = columns_of(UniverseRow)
LIFECYCLE_COLUMNS = columns_of(LifecycleRow)
CONTRACT_COLUMNS = columns_of(ContractRow)
INCOMPLETE_COLUMNS = columns_of(IncompleteRow)
COVERAGE_COLUMNS = columns_of(CoverageRow)
GAP_COLUMNS = columns_of(GapRow)
LISTING_COLUMNS = columns_of(ListingRow)
DELISTING_COLUMNS = columns_of(DelistingRow)
