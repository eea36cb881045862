"""The catalogue: each dataset as a value, with what the archive and the exchange are known to do.

A new dataset of a known shape takes one entry in `_entries`; everything else is made from it. Facts of the archive
belong here with their source; what is done with them does not.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote as percent_encode

from availability_pipeline.dates import DayRange, last_complete_day
from availability_pipeline.errors import UsageError
from availability_pipeline.symbols import suggestion

CHECKSUM = ".CHECKSUM"
"""What the archive appends to the name of a file for the name of its checksum."""


_COMMAND = re.compile(
    "`((?:binance-futures-availability )?"
    "(?:backfill|update|validate|publish|backup|restore|compact|status|query|urls|download|export)(?: [^`]*)?)`"
)
"""A command in a message."""


@dataclass(frozen=True, kw_only=True)
class SizeRules:
    """What the bytes of a day's zip say of the trade in it; numbers of files where no unit is given."""

    one_row_bytes: int
    """The smallest zip of one row, without the symbol, whose bytes are in it twice."""
    least_whole_day_bytes: int
    """A smaller file has no whole day in it, so it says nothing of one without a trade."""
    small_bytes: int
    """Files from `least_whole_day_bytes` up to this size are small."""
    no_trade_bytes: int
    """The largest file without a trade; the limit where a contract has no live day to compare with."""
    flat_files: int
    """Length from which a run of small files counts as flat."""
    tradifi_flat_files: int
    """The same length for stock and index perpetuals."""
    level_files: int
    """Live files before a small run whose median size is the live level of a contract."""


@dataclass(frozen=True, kw_only=True)
class Market:
    """Where contracts are traded, how the archive writes their names, and where their exchangeInfo is."""

    name: str
    """Its name in the catalogue, such as `um`."""
    path: str
    """Its path in the archive, such as `futures/um`."""
    quotes: tuple[str, ...]
    """Quote assets that names of contracts end with, longer ones before those that they end with. Where exchangeInfo
    names the quote asset of a contract, that counts."""
    tracked_quotes: tuple[str, ...]
    """Quote assets whose contracts have rows in `daily_availability` by default."""
    tracked_contracts: tuple[str, ...] = ("perpetual", "settled")
    """Kinds of contract that have rows by default."""
    plain_contract: str = "perpetual"
    """What a name is the name of that does not say: perpetual, pair or index."""
    perpetual_ending: str = ""
    """What is appended to a pair for the name of its perpetual contract, such as `_PERP`."""
    exchange_url: str | None = None
    """The exchange that trades its contracts; None where exchangeInfo does not speak of what is in the archive."""
    exchange_info_path: str = ""
    """Where exchangeInfo is there."""
    exchange_status: str = "status"
    """What exchangeInfo calls the status of a contract."""
    has_contract_terms: bool = True
    """Whether exchangeInfo gives type, listing day, scheduled end and underlying type of each contract."""
    relists: bool = True
    """Whether names come back for another contract after its end; otherwise what is between two files is a gap."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One kind of file in the archive: a folder for each contract, and in it a zip for each UTC day or month.

    Files are `{root}{SYMBOL}/[{interval}/]{SYMBOL}-{interval or kind}-{YYYY-MM-DD or YYYY-MM}.zip`, each with a
    `.CHECKSUM`.
    """

    market: Market
    """Where its contracts are traded."""
    kind: str
    """What is in the files, as the archive calls it, such as `klines`."""
    interval: str | None = None
    """The length of a bar, such as `1m`; None where files have no bars."""
    period: str = "daily"
    """What one file is about: `daily` or `monthly`. A month is named by its first day."""
    first_day: dt.date
    """The first day of its history, and the first partition."""
    first_file_day: dt.date
    """The day of the archive's first daily file."""
    last_file_day: dt.date | None = None
    """The day of the last file of a dataset that has ended; None while it goes on."""
    published: str | None = None
    """When the file of a day is there on the next one, UTC, if it was observed."""
    missing_days: tuple[DayRange, ...] = ()
    """Days of which the archive never had a file of any contract."""
    remark: str = ""
    """What else is known of its files."""
    time_zone: str = "UTC"
    """The time zone in which its days begin."""
    sizes: SizeRules | None = None
    """What sizes say of trade; None where they say nothing."""

    @property
    def name(self) -> str:
        """Its path in the catalogue, such as `um/klines/1m`."""
        return "/".join(filter(None, (self.market.name, self.kind, self.interval)))

    @property
    def goes_on(self) -> bool:
        """Whether files are still added, so that there is something to update."""
        return self.last_file_day is None

    @property
    def last_day(self) -> dt.date:
        """The newest day that can have a file: yesterday, or the day of the last file."""
        return self.last_file_day or last_complete_day()

    def collectable(self, start: dt.date, end: dt.date) -> DayRange:
        """The range, if the archive can have files for all of it.

        Raises:
            UsageError: The start is after the end or before its first day, or the end is not over yet in UTC, or after
                the day of the last file.
        """
        days = DayRange(start, end)
        if start < self.first_day:
            raise UsageError(
                f"{start} is before {self.first_day}, the first day of {self.name}; start there or later"
            )
        if end > self.last_day and not self.goes_on:
            raise UsageError(
                f"{self.name} ended on {self.last_day}, so {end} has no file; end there or earlier"
            )
        if end > self.last_day:
            raise UsageError(
                f"{end} is not over yet in UTC, so it cannot have a file; the last complete day is {self.last_day}"
            )
        return days

    def in_commands(self, text: str) -> str:
        """A message with ` --dataset` and its name in each command that it shows; nothing for the default dataset."""
        return text if self.is_default else _COMMAND.sub(rf"`\1 --dataset {self.name}`", text)

    @property
    def is_default(self) -> bool:
        """Whether it is the one whose data is at the top of the data directory and whose names have no prefix."""
        return self.name == DEFAULT_DATASET.name

    @property
    def root(self) -> str:
        """The prefix under which every contract has a folder."""
        return f"data/{self.market.path}/{self.period}/{self.kind}/"

    @property
    def label(self) -> str:
        """What stands between symbol and day in the name of a file."""
        return self.interval or self.kind

    def folder(self, symbol: str) -> str:
        """The prefix of a contract's files."""
        return f"{self.root}{symbol}/{self.interval}/" if self.interval else f"{self.root}{symbol}/"

    def key(self, symbol: str, day: dt.date, *, checksum: bool = False) -> str:
        """The key of a day's zip, or of its checksum."""
        return f"{self.day_mark(symbol, day)}.zip{CHECKSUM if checksum else ''}"

    def key_stem(self, symbol: str) -> str:
        """What all keys of a contract's files begin with, up to the day."""
        return f"{self.folder(symbol)}{symbol}-{self.label}-"

    def day_mark(self, symbol: str, day: dt.date) -> str:
        """A key that does not exist and sorts right before the day's zip: list after it to begin with that day."""
        return f"{self.key_stem(symbol)}{self.date_text(day)}"

    def date_text(self, day: dt.date) -> str:
        """A day as names of files have it: `2024-01-15`, or `2024-01` for its month."""
        return str(day) if self.period == "daily" else f"{day:%Y-%m}"

    @property
    def is_compared(self) -> bool:
        """Whether exchangeInfo says what should be there: of contracts, while the dataset goes on."""
        return self.market.exchange_url is not None and self.goes_on and self.market.plain_contract != "index"

    @property
    def has_volume(self) -> bool:
        """Whether the archive has bars of a day for its contracts, with what was traded."""
        return self.kind == "klines"

    @property
    def relists(self) -> bool:
        """Whether a long absence between two files is one of the contract: only where files tell of trade."""
        return self.has_volume and self.market.relists

    @property
    def has_minutes(self) -> bool:
        """Whether its files have a row for each minute of the day, so that they can be inspected."""
        return self.has_volume and self.interval == "1m"

    def daily_bars(self, period: str) -> Dataset:
        """The files with one bar a day of the same market, in daily or monthly files.

        Raises:
            ValueError: The dataset has no bars.
        """
        if self.interval is None:
            raise ValueError(f"{self.name} has no bars")
        return replace(self, interval="1d", period=period)

    def url_stem(self, archive_url: str, symbol: str) -> str:
        """The percent-encoded public URL of a contract's files, up to the day."""
        return f"{archive_url}/{percent_encode(self.key_stem(symbol))}"

    def file_name(self, symbol: str, day: dt.date) -> str:
        """The name of a zip without its folder."""
        return f"{symbol}-{self.label}-{self.date_text(day)}.zip"

    def file_url(self, archive_url: str, symbol: str, day: dt.date) -> str:
        """The percent-encoded public URL of a day's zip."""
        return f"{self.url_stem(archive_url, symbol)}{self.date_text(day)}.zip"

    def url_sql(self, archive_url: str) -> str:
        """`file_url` as an SQL expression over the columns `symbol` and `date`.

        Args:
            archive_url: Where files are served, as an SQL expression.
        """
        before, between, after = self.key_stem("\n").split("\n")
        # concat() is planned in half the time that || takes.
        name = "url_encode(symbol)"
        return f"concat({archive_url}, '/{before}', {name}, '{between}', {name}, '{after}', date, '.zip')"


_UM = Market(
    name="um",
    path="futures/um",
    quotes=("USDT", "USDC", "BUSD", "USD1", "BTC", "U"),
    tracked_quotes=("USDT",),
    exchange_url="https://fapi.binance.com",
    exchange_info_path="/fapi/v1/exchangeInfo",
)

_CM = Market(
    name="cm",
    path="futures/cm",
    quotes=("USD",),
    tracked_quotes=("USD",),
    tracked_contracts=("perpetual", "settled", "delivery"),
    perpetual_ending="_PERP",
    exchange_url="https://dapi.binance.com",
    exchange_info_path="/dapi/v1/exchangeInfo",
    exchange_status="contractStatus",
)

_SPOT = Market(
    name="spot",
    path="spot",
    # Those of which /api/v3/exchangeInfo has ever listed a pair.
    quotes=(
        *(
            "FDUSD",
            "USDT",
            "BUSD",
            "TUSD",
            "USDC",
            "USDS",
            "USDP",
            "USD1",
            "XUSD",
            "IDRT",
            "BIDR",
            "BKRW",
            "BVND",
        ),
        *("DOGE", "AEUR", "EURI", "USDE", "BFUSD", "RLUSD"),
        *("BTC", "ETH", "BNB", "XRP", "TRX", "SOL", "DOT", "PAX", "DAI", "UST", "VAI"),
        *(
            "TRY",
            "EUR",
            "GBP",
            "AUD",
            "BRL",
            "RUB",
            "UAH",
            "NGN",
            "ZAR",
            "PLN",
            "RON",
            "ARS",
            "JPY",
            "MXN",
            "CZK",
            "COP",
        ),
        *("IDR", "U"),
    ),
    tracked_quotes=("USDT",),
    tracked_contracts=("pair",),
    plain_contract="pair",
    exchange_url="https://api.binance.com",
    exchange_info_path="/api/v3/exchangeInfo",
    has_contract_terms=False,
    relists=False,
)

# BTCBVOLUSDT are indices and BTCUSDT underlyings; exchangeInfo speaks of neither, but of single options.
_OPTION = Market(
    name="option",
    path="option",
    quotes=("USDT",),
    tracked_quotes=("USDT",),
    tracked_contracts=("index",),
    plain_contract="index",
)

_PUBLISHED = "06:50 to 09:10"
"""Observed on ordinary days."""

DEFAULT_DATASET = Dataset(
    market=_UM,
    kind="klines",
    interval="1m",
    first_day=dt.date(2019, 9, 25),
    first_file_day=dt.date(2019, 12, 31),
    published=_PUBLISHED,
    # Measured on 19,000 symbol-months of 1-minute klines: 7,400 to 8,900 bytes without a trade, 10,500 and more with a
    # tenth of the minutes traded, 25,000 to 68,000 for live contracts.
    sizes=SizeRules(
        # 98 for the local header (30), the central directory (46) and its end (22), twice 18 for the rest of the
        # entry's name (`-1m-2024-01-15.csv`), and 19 for the row: no twelve columns with the times of a minute are
        # deflated to less. BTCUSDT needs 167 bytes, real rows more.
        one_row_bytes=153,
        least_whole_day_bytes=7_000,
        small_bytes=9_500,
        no_trade_bytes=8_900,
        # A quiet weekend has three at most.
        flat_files=5,
        # Their exchanges have holidays of more than a week.
        tradifi_flat_files=14,
        level_files=30,
    ),
)
"""1-minute klines of USDT-margined futures."""

INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
"""Lengths of bars of which there are daily files; of longer ones there are monthly files only."""


def _series(
    market: Market, kind: str, first: str, *intervals: str, last: str | None = None, **more: Any
) -> Iterator[Dataset]:
    """The datasets of one kind, one for each interval, or a single one without bars."""
    first_day, last_day = dt.date.fromisoformat(first), last and dt.date.fromisoformat(last)
    for interval in intervals or (None,):
        yield Dataset(
            market=market, kind=kind, interval=interval, first_day=first_day, first_file_day=first_day,
            last_file_day=last_day or None, **more,
        )  # fmt: skip


def _days(first: str, last: str) -> DayRange:
    return DayRange(dt.date.fromisoformat(first), dt.date.fromisoformat(last))


def _entries() -> Iterator[Dataset]:
    """All entries.

    First days are those of the oldest contract. Where that is not recorded, an earlier one stands here, which only
    costs rows without a file.
    """
    yield DEFAULT_DATASET
    yield from _series(_UM, "klines", "2019-12-31", *INTERVALS[1:], published=_PUBLISHED)
    yield from _series(_UM, "markPriceKlines", "2019-12-23", *INTERVALS)
    yield from _series(_UM, "indexPriceKlines", "2019-12-23", *INTERVALS)
    gaps = _days("2019-12-25", "2019-12-30"), _days("2021-01-24", "2021-02-21")
    yield from _series(_UM, "premiumIndexKlines", "2019-12-24", *INTERVALS, missing_days=gaps)
    yield from _series(_UM, "aggTrades", "2019-12-31")
    yield from _series(_UM, "trades", "2019-12-31")
    # The ends of both markets' files: github.com/binance/binance-public-data/issues/334 and 380.
    yield from _series(_UM, "bookTicker", "2023-05-16", last="2024-03-30")
    yield from _series(_CM, "bookTicker", "2023-05-16", last="2024-10-14")
    frozen = "reported not to have grown since 2026-09-03"
    yield from _series(_UM, "bookDepth", "2023-01-01", remark=frozen)
    yield from _series(_CM, "bookDepth", "2023-01-01")
    few = "most contracts begin on 2021-12-01; gaps are reported often"
    yield from _series(_UM, "metrics", "2020-09-01", remark=few)
    yield from _series(_CM, "metrics", "2020-09-01")
    emptied = "the archive has removed all files"
    yield from _series(_UM, "liquidationSnapshot", "2023-06-25", last="2024-03-31", remark=emptied)
    yield from _series(_CM, "liquidationSnapshot", "2023-06-25", last="2024-10-14")
    # BTCUSD_PERP begins on 2020-08-11 (github.com/binance/binance-public-data/issues/227), delivery contracts before
    # that: the market opened on 2020-06-16 (docs.tardis.dev/historical-data-details/binance-delivery).
    for kind in ("klines", "markPriceKlines", "premiumIndexKlines"):
        yield from _series(_CM, kind, "2020-06-16", *INTERVALS)
    pairs = replace(_CM, perpetual_ending="", plain_contract="index", tracked_contracts=("index",))
    yield from _series(pairs, "indexPriceKlines", "2020-06-16", *INTERVALS)
    yield from _series(_CM, "aggTrades", "2020-06-16")
    yield from _series(_CM, "trades", "2020-06-16")
    yield from _series(_SPOT, "klines", "2017-08-17", "1s", *INTERVALS)
    yield from _series(_SPOT, "aggTrades", "2017-08-17")
    yield from _series(_SPOT, "trades", "2017-08-17")
    gap = _days("2025-12-15", "2026-01-04")
    yield from _series(_OPTION, "BVOLIndex", "2022-01-01", missing_days=(gap,))
    lacking = "12 days are missing"
    yield from _series(_OPTION, "EOHSummary", "2023-05-18", last="2023-10-23", remark=lacking)


DATASETS = {dataset.name: dataset for dataset in _entries()}
"""The catalogue, by name."""


def dataset_named(name: str, source: str = "the dataset") -> Dataset:
    """An entry of the catalogue; raises UsageError with similar names, which says where the name is from."""
    try:
        return DATASETS[name.strip().strip("/")]
    except KeyError:
        raise UsageError(
            f"{source} is {name!r}, which is not in the catalogue{suggestion(name, DATASETS)}; `datasets` lists it"
        ) from None
