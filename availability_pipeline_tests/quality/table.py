"""Small working databases in which one knows what every check must say, written through the store."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from availability_pipeline.archive.exchange_info import ListedContract
from availability_pipeline.archive.files import FILES
from availability_pipeline.archive.names import parse_symbol
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.quality.check import Scope
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.database import connect
from availability_pipeline.warehouse.writes import Block, Collection, write_collection, write_symbols

ARCHIVE_URL = "https://data.binance.vision"
TODAY = dt.date(2024, 3, 1)
COLLECTED_AT = dt.datetime(2024, 3, 1, 2)  # noqa: DTZ001 - as the database stores UTC

Lives = Mapping[str, Iterable[dt.date]]
"""By contract, the days that have a file."""


def day(text: str) -> dt.date:
    """A day of 2024, such as `02-15`."""
    return dt.date.fromisoformat(f"2024-{text}")


def span(first: str, last: str, *without: str) -> list[dt.date]:
    """The days from the first to the last of 2024, but for some."""
    length = (day(last) - day(first)).days + 1
    days = [day(first) + dt.timedelta(days=number) for number in range(length)]
    return [each for each in days if each not in {day(text) for text in without}]


def settings_of(folder: Path) -> Settings:
    return Settings.load({}, data_dir=str(folder))


def scope_of(folder: Path, **parts: object) -> Scope:
    return Scope(settings_of(folder), **{"today": TODAY, **parts})  # type: ignore[arg-type]


def write(
    connection: duckdb.DuckDBPyConnection, lives: Lives, days: Iterable[dt.date], run_id: str = "run-1"
) -> None:
    """Collect the days of all contracts, as a run does."""
    days, names = sorted(days), sorted(lives)
    write_symbols(
        connection,
        [parse_symbol(DEFAULT_DATASET, name) for name in names],
        [],
        tracked=set(names),
        now=COLLECTED_AT,
    )
    files = [
        {"date": each, "symbol": name, "file_size_bytes": 46_000,
         "last_modified": dt.datetime.combine(each, dt.time(7)) + dt.timedelta(days=1)}
        for name, life in lives.items() for each in life if each in set(days)
    ]  # fmt: skip
    record = Collection(run_id, "list", days[0], days[-1], COLLECTED_AT, COLLECTED_AT, 1, 1, 1)
    write_collection(
        connection, [Block(days, names)], pa.Table.from_pylist(files, FILES), ARCHIVE_URL, record
    )


@contextmanager
def table(folder: Path, lives: Lives, days: Iterable[dt.date]) -> Iterator[duckdb.DuckDBPyConnection]:
    """The working database of a data directory with these files on these days, open."""
    with connect(settings_of(folder).working_path) as connection:
        write(connection, lives, days)
        yield connection


def listed(
    symbol: str,
    onboard: str | None = "01-01",
    status: str | None = "TRADING",
    kind: str | None = "PERPETUAL",
) -> ListedContract:
    """A contract as exchangeInfo has it."""
    return ListedContract(symbol, kind, status, None if onboard is None else day(onboard))
