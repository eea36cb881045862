"""A collection from the archive to the table in one call, and what the table should then say, for tests of the whole.

The truth is read from the simulated archive itself, not through anything that a test is about.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from availability_pipeline.archive.batch import Progress
from availability_pipeline.collecting import collect
from availability_pipeline.collecting.inspect import Inspection, inspect_files
from availability_pipeline.dates import DayRange
from availability_pipeline.publishing.write import publish
from availability_pipeline.settings import Settings
from availability_pipeline.simulator.shape import day_number
from availability_pipeline.simulator.volumes import QUOTE_DIGITS, Bar
from availability_pipeline.warehouse.contents import files_not_inspected, write_contents
from availability_pipeline.warehouse.database import connect
from availability_pipeline.warehouse.volume import BARS, READ, write_volume
from availability_pipeline.warehouse.writes import WriteReport
from availability_pipeline_tests.simulator import ScriptedArchive
from availability_pipeline_tests.simulator.scripted import moment_of

Row = tuple[Any, ...]

COLUMNS = "date, symbol, available, file_size_bytes, last_modified, url, status_code"
"""Everything but `probe_timestamp`, which is another one in each run."""


def discover(settings: Settings) -> None:
    """Bring the table `symbols` up to date."""
    found = collect.discover(settings)
    with connect(settings.working_path) as connection:
        collect.write_discovery(connection, found, settings)


def collect_days(
    settings: Settings,
    start: dt.date,
    end: dt.date | None = None,
    only: Sequence[str] = (),
    run_id: str = "run",
) -> WriteReport:
    """Collect and write days, as a run does it, without a discovery."""
    days = DayRange(start, end or start)
    with connect(settings.working_path) as connection:
        plan = collect.plan_collection(connection, days, only)
    collected = collect.collect(plan, settings, Progress())
    with connect(settings.working_path) as connection:
        return collect.write(connection, plan, collected, settings, run_id)


def run(settings: Settings, start: dt.date, end: dt.date | None = None, **arguments: Any) -> WriteReport:
    """A discovery, then a collection."""
    discover(settings)
    return collect_days(settings, start, end, **arguments)


def run_and_publish(settings: Settings, start: dt.date, end: dt.date | None = None) -> None:
    """A discovery, a collection and a publication, without Dagster."""
    run(settings, start, end)
    with connect(settings.working_path) as connection:
        publish(connection, settings.db_path, "run")


def query(settings: Settings, sql: str) -> list[Row]:
    """Rows of the working database."""
    with connect(settings.working_path, read_only=True) as connection:
        return connection.execute(sql).fetchall()


def table(settings: Settings) -> list[Row]:
    """The whole of `daily_availability`."""
    return query(settings, f"SELECT {COLUMNS} FROM daily_availability ORDER BY date, symbol")


def everything(settings: Settings) -> list[list[Row]]:
    """All rows of all tables."""
    names = (
        "daily_availability",
        "symbols",
        "contract_history",
        "availability_changes",
        "collection_runs",
        "database_info",
        "daily_volume",
        "volume_files",
        "file_contents",
    )
    with connect(settings.working_path, read_only=True) as connection:
        return [connection.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in names]


def truth(archive: ScriptedArchive, url: str, symbols: Iterable[str], days: Iterable[dt.date]) -> list[Row]:
    """The rows that the table should have."""
    days = list(days)
    return sorted(row for symbol in symbols for row in _rows(archive, url, symbol, days))


def _rows(archive: ScriptedArchive, url: str, symbol: str, days: Iterable[dt.date]) -> Iterator[Row]:
    # Looked at once: while the archive's clock runs, each look puts the folder's whole history together anew.
    with archive.lock:
        files = archive.visible(symbol)
    for day in days:
        path = quote(f"data/futures/um/daily/klines/{symbol}/1m/{symbol}-1m-{day}.zip")
        at = None if files is None else files.index(day_number(day))
        if files is None or at is None:
            yield (day, symbol, False, None, None, f"{url}/{path}", 404)
        else:
            yield (day, symbol, True, files.sizes[at], moment_of(files.modified[at]), f"{url}/{path}", 200)


def inspect(settings: Settings, days: DayRange, only: Sequence[str] = ()) -> Inspection:
    """Inspect files, as a run does it."""
    with connect(settings.working_path) as connection:
        files = files_not_inspected(connection, days, only)

    def write(rows: pa.Table) -> None:
        with connect(settings.working_path) as connection:
            write_contents(connection, rows)

    done = Inspection()
    inspect_files(files, settings, Progress(), write, done)
    return done


def write_bars(settings: Settings, archive: ScriptedArchive, days: DayRange) -> None:
    """Write the true bar of every file, without a request; each as one of a daily file."""
    folders = [folder for symbol in archive.symbols() if (folder := archive.folder(symbol))]
    rows = [
        {"date": day, "symbol": folder.facts.symbol, **numbers(folder.bar(day_number(day)))}
        for folder in folders
        for day in archive.files(folder.facts.symbol)
        if day in days
    ]
    bars = pa.Table.from_pylist(
        [{**row, "source": "daily", "file_last_modified": archive.now()} for row in rows], BARS
    )
    with connect(settings.working_path) as connection:
        write_volume(connection, READ.empty_table(), bars)


def numbers(bar: Bar) -> dict[str, float]:
    """The numbers of a bar as the table has them."""
    price, base, quote = 10.0**bar.price_digits, 10.0**bar.lot_digits, 10.0**QUOTE_DIGITS
    return {
        **{name: getattr(bar, name) / price for name in ("open", "high", "low", "close")},
        "base_volume": bar.base / base,
        "quote_volume": bar.quote / quote,
        "trades": bar.trades,
        "taker_buy_base_volume": bar.buy_base / base,
        "taker_buy_quote_volume": bar.buy_quote / quote,
    }
