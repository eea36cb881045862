"""The catalogue: each dataset as a value, and the columns of `daily_availability`, defined once.

A new dataset of a known shape takes one entry in `DATASETS`; everything else is made from it. Facts of the archive
belong here with their source; what is done with them does not.

Columns are made of the fields of `AvailabilityRow` and `StoredRow`. Of columns are made tables and views of both
databases, the Arrow tables of the archive's files, the writes, Dagster's column schema; a test checks all else. Adding
a column takes a field here, the code that extracts it in `archive`, a place in the rows that `queries.files` makes
without Arrow, and a migration of the working database.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, get_args, get_type_hints
from urllib.parse import quote as percent_encode

if TYPE_CHECKING:
    import pyarrow as pa


CHECKSUM = ".CHECKSUM"
"""What the archive appends to the name of a file for the name of its checksum."""


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
class Dataset:
    """One kind of file in the archive: a folder for each contract, and in it a zip for each UTC day or month.

    Files are `{root}{SYMBOL}/[{interval}/]{SYMBOL}-{interval or kind}-{YYYY-MM-DD or YYYY-MM}.zip`, each with a
    `.CHECKSUM`.
    """

    name: str
    """Its path in the catalogue, such as `um/klines/1m`."""
    market: str
    """The market's path in the archive, such as `futures/um`."""
    kind: str
    """What is in the files, as the archive calls it, such as `klines`."""
    interval: str | None = None
    """The length of a bar, such as `1m`; None where files have no bars."""
    period: str = "daily"
    """What one file is about: `daily` or `monthly`. A month is named by its first day."""
    first_day: dt.date
    """The first day of the market's history, and the first partition."""
    first_file_day: dt.date
    """The day of the archive's first daily file."""
    time_zone: str = "UTC"
    """The time zone in which its days begin."""
    quotes: tuple[str, ...]
    """Quote assets of its contracts, longer ones before those that they end with."""
    perpetual_ending: str = ""
    """What the market appends to a pair for the name of its perpetual contract, such as `_PERP`."""
    tracked_quotes: tuple[str, ...]
    """Quote assets whose contracts have rows in `daily_availability` by default."""
    tracked_contracts: tuple[str, ...] = ("perpetual", "settled")
    """Kinds of contract that have rows by default."""
    exchange_url: str
    """The exchange that trades its contracts."""
    exchange_info_path: str
    """Where exchangeInfo is there."""
    exchange_status: str = "status"
    """What exchangeInfo calls the status of a contract."""
    sizes: SizeRules | None = None
    """What sizes say of trade; None where they say nothing."""

    @property
    def is_default(self) -> bool:
        """Whether it is the one whose data is at the top of the data directory and whose names have no prefix."""
        return self.name == DEFAULT_DATASET.name

    @property
    def root(self) -> str:
        """The prefix under which every contract has a folder."""
        return f"data/{self.market}/{self.period}/{self.kind}/"

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
    def has_volume(self) -> bool:
        """Whether the archive has bars of a day for its contracts, with what was traded."""
        return self.kind == "klines"

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


DEFAULT_DATASET = Dataset(
    name="um/klines/1m",
    market="futures/um",
    kind="klines",
    interval="1m",
    first_day=dt.date(2019, 9, 25),
    first_file_day=dt.date(2019, 12, 31),
    quotes=("USDT", "USDC", "BUSD", "USD1", "BTC", "U"),
    tracked_quotes=("USDT",),
    exchange_url="https://fapi.binance.com",
    exchange_info_path="/fapi/v1/exchangeInfo",
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

DATASETS = {dataset.name: dataset for dataset in (DEFAULT_DATASET,)}
"""The catalogue, by name."""


@dataclass(frozen=True)
class Column:
    """A column; name and nullability are those of the field that it annotates."""

    sql_type: str
    """DATE, VARCHAR, BOOLEAN, BIGINT, INTEGER, DOUBLE or TIMESTAMP."""
    meaning: str
    """A sentence, in which None stands for NULL."""
    unit: str | None = None
    """Of a number, a day or a moment: bytes, UTC day, UTC."""
    default: str | None = None
    """The SQL expression for a row that is written without it."""
    in_files: bool = False
    """Whether listing and probing the archive report it (`archive.files`)."""
    computed: bool = False
    """Whether views compute it instead of its being stored."""
    name: str = ""
    nullable: bool = False

    @property
    def ddl(self) -> str:
        """The column in CREATE TABLE."""
        null = "" if self.nullable else " NOT NULL"
        default = f" DEFAULT {self.default}" if self.default else ""
        return f"{self.name} {self.sql_type}{null}{default}"


class AvailabilityRow(TypedDict):
    """One contract on one day, a row of `daily_availability`."""

    date: Annotated[
        dt.date, Column("DATE", "The UTC day that the file is about.", unit="UTC day", in_files=True)
    ]
    symbol: Annotated[
        str, Column("VARCHAR", "The contract: the name of its folder in the archive.", in_files=True)
    ]
    available: Annotated[bool, Column("BOOLEAN", "Whether the archive has the file.")]
    file_size_bytes: Annotated[
        int | None,
        Column("BIGINT", "Bytes of the zip; None without a file.", unit="bytes", in_files=True),
    ]
    last_modified: Annotated[
        dt.datetime | None,
        Column(
            "TIMESTAMP",
            "When the archive's file was last written, in UTC; None without a file.",
            unit="UTC",
            in_files=True,
        ),
    ]
    url: Annotated[
        str,
        Column("VARCHAR", "Where the file is served, or would be, percent-encoded.", computed=True),
    ]
    status_code: Annotated[int, Column("INTEGER", "200 with a file, 404 without.")]
    probe_timestamp: Annotated[
        dt.datetime,
        Column("TIMESTAMP", "When the archive was asked, in UTC.", unit="UTC", default="CURRENT_TIMESTAMP"),
    ]


class StoredRow(AvailabilityRow):
    """A row of the tables behind `daily_availability`, apart from what is computed."""

    has_checksum: Annotated[
        bool | None,
        Column(
            "BOOLEAN",
            "Whether a .CHECKSUM lies beside the file; None without a file, or where the day was only probed with "
            "HEADs.",
            in_files=True,
        ),
    ]


class VolumeRow(TypedDict):
    """The daily bar of a contract, a row of `daily_volume`."""

    date: Annotated[dt.date, Column("DATE", "The UTC day of the bar.", unit="UTC day")]
    symbol: Annotated[str, Column("VARCHAR", "The contract: the name of its folder in the archive.")]
    open: Annotated[float, Column("DOUBLE", "The first price of the day.", unit="quote asset")]
    high: Annotated[float, Column("DOUBLE", "The highest price.", unit="quote asset")]
    low: Annotated[float, Column("DOUBLE", "The lowest price.", unit="quote asset")]
    close: Annotated[float, Column("DOUBLE", "The last price.", unit="quote asset")]
    base_volume: Annotated[float, Column("DOUBLE", "The traded quantity.", unit="base asset")]
    quote_volume: Annotated[float, Column("DOUBLE", "The traded value.", unit="quote asset")]
    trades: Annotated[int, Column("BIGINT", "The number of trades; 0 without any.", unit="trades")]
    taker_buy_base_volume: Annotated[
        float, Column("DOUBLE", "The part of base_volume that takers bought.", unit="base asset")
    ]
    taker_buy_quote_volume: Annotated[
        float, Column("DOUBLE", "The part of quote_volume that takers bought.", unit="quote asset")
    ]
    source: Annotated[str, Column("VARCHAR", "The kind of file that it was read from: monthly or daily.")]
    file_last_modified: Annotated[
        dt.datetime, Column("TIMESTAMP", "When that file was last written, in UTC.", unit="UTC")
    ]


class ContentsRow(TypedDict):
    """What is in one version of a 1-minute file, a row of `file_contents`.

    Minutes of the day are counted from 0 to 1439; sums are over rows of distinct minutes.
    """

    date: Annotated[dt.date, Column("DATE", "The UTC day that the file is about.", unit="UTC day")]
    symbol: Annotated[str, Column("VARCHAR", "The contract: the name of its folder in the archive.")]
    file_size_bytes: Annotated[int, Column("BIGINT", "Bytes of the zip.", unit="bytes")]
    last_modified: Annotated[
        dt.datetime, Column("TIMESTAMP", "When this version was written, in UTC.", unit="UTC")
    ]
    checksum: Annotated[
        str, Column("VARCHAR", "Whether its .CHECKSUM agrees or disagrees; none if there is none.")
    ]
    rows: Annotated[int, Column("INTEGER", "Rows of the day, duplicates included.")]
    first_minute: Annotated[int | None, Column("INTEGER", "The first minute with a row; None without any.")]
    last_minute: Annotated[int | None, Column("INTEGER", "The last minute with a row; None without any.")]
    missing_minutes: Annotated[int, Column("INTEGER", "Minutes of the day without a row.")]
    duplicate_minutes: Annotated[int, Column("INTEGER", "Rows of a minute that has a row before.")]
    unordered_minutes: Annotated[int, Column("INTEGER", "Rows of an earlier minute than the row before.")]
    traded_minutes: Annotated[int, Column("INTEGER", "Minutes with a trade.")]
    base_volume: Annotated[float, Column("DOUBLE", "The traded quantity.", unit="base asset")]
    quote_volume: Annotated[float, Column("DOUBLE", "The traded value.", unit="quote asset")]
    trades: Annotated[int, Column("BIGINT", "The number of trades.", unit="trades")]
    has_header: Annotated[
        bool | None, Column("BOOLEAN", "Whether the first line names the columns; None if it cannot be read.")
    ]
    time_unit: Annotated[
        str | None, Column("VARCHAR", "The unit of its times: ms or us; None without a row.")
    ]
    verdict: Annotated[
        str,
        Column(
            "VARCHAR",
            "complete, partial_first_day, partial_last_day, truncated, gaps, unreadable or bad_checksum.",
        ),
    ]
    inspected_at: Annotated[dt.datetime, Column("TIMESTAMP", "When it was inspected, in UTC.", unit="UTC")]


def columns_of_row(row_type: type) -> tuple[Column, ...]:
    """The columns of a row type whose fields are annotated with them, in order."""
    return tuple(_column(name, hint) for name, hint in get_type_hints(row_type, include_extras=True).items())


def _column(name: str, hint: Any) -> Column:
    kind, column = get_args(hint)
    about: Column = column
    return replace(about, name=name, nullable=type(None) in get_args(kind))


DAILY_AVAILABILITY = columns_of_row(AvailabilityRow)
"""What readers see."""

STORED = tuple(column for column in columns_of_row(StoredRow) if not column.computed)
"""What the tables hold."""

IN_FILES = tuple(column for column in STORED if column.in_files)
"""What is found out from the archive; the first two, date and symbol, are the key."""


DAILY_VOLUME = columns_of_row(VolumeRow)
"""The columns of `daily_volume`."""


FILE_CONTENTS = columns_of_row(ContentsRow)
"""The columns of `file_contents`."""

WHOLE = ("complete", "partial_first_day", "partial_last_day")
"""Verdicts on files that have all that they should."""


def table_sql(name: str, columns: Iterable[Column] = STORED) -> str:
    """CREATE TABLE for columns, by default those that are stored of `daily_availability`."""
    return f"CREATE TABLE {name} ({', '.join(column.ddl for column in columns)});"


def select_sql(url: str) -> str:
    """The SELECT list of `daily_availability` over a table of the stored columns.

    Args:
        url: The SQL expression for a URL.
    """
    return ", ".join(
        f"{url} AS {column.name}" if column.computed else column.name for column in DAILY_AVAILABILITY
    )


def arrow_schema(columns: Iterable[Column], moments: str = "us") -> pa.Schema:
    """The columns as Arrow has them.

    Args:
        columns: The columns.
        moments: The unit of moments: us, as DuckDB stores them, or s, as the archive tells them.
    """
    import pyarrow as pa  # noqa: PLC0415 - the Python API does without

    types = {
        "DATE": pa.date32(),
        "VARCHAR": pa.string(),
        "BOOLEAN": pa.bool_(),
        "BIGINT": pa.int64(),
        "INTEGER": pa.int32(),
        "DOUBLE": pa.float64(),
        "TIMESTAMP": pa.timestamp(moments),
    }
    return pa.schema([(column.name, types[column.sql_type]) for column in columns])
