"""The columns of tables, defined once.

Columns are made of the fields of row types such as `AvailabilityRow` and `StoredRow`. Of columns are made tables and
views of both databases, the Arrow tables of the archive's files, the writes, Dagster's column schema; a test checks all
else. Adding a column takes a field here, the code that extracts it in `archive`, a place in the rows that
`queries.files` makes without Arrow, and a migration of the working database.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, get_args, get_type_hints

if TYPE_CHECKING:
    import pyarrow as pa


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
