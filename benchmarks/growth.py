"""`python -m benchmarks.growth`: what a day more costs with as many contracts as there are, and with ten times as many.

All rows are there ten times, under other names; then another day is written, and what a run does with its rows is
measured, part by part, in a process of its own for each size. Requests are left out: their number is that of contracts.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb

from availability_pipeline.collecting.report import make_report
from availability_pipeline.dates import DayRange, last_complete_day
from availability_pipeline.lifecycle.derive import derive
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.quality.check import Scope, all_checks
from availability_pipeline.quality.guard import publish_checked
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.database import connect
from benchmarks.report import table
from benchmarks.runner import bench

Figures = dict[str, Any]

_COPY = (
    "INSERT INTO {0} SELECT * REPLACE (? || symbol AS symbol) FROM {0} WHERE NOT starts_with(symbol, 'COPY')"
)
_NEXT_DAY = """
INSERT INTO {0} SELECT * REPLACE (date + 1 AS date, {1} + INTERVAL 1 DAY AS {1})
FROM {0} WHERE date = (SELECT max(date) FROM {0})
"""

_OF_CONTRACTS = ("symbols", "availability", "daily_volume")
_OF_DAYS = {"availability": "last_modified", "daily_volume": "file_last_modified"}


def day_more(settings: Settings, times: str) -> Figures:
    """Multiply the contracts, publish, add a day, and measure what a run does then; seconds of CPU."""
    with connect(settings.working_path) as connection:
        for number in range(1, int(times)):
            for name in _OF_CONTRACTS:
                connection.execute(_COPY.format(name), [f"COPY{number}"])
        whole = _seconds(lambda: publish_checked(connection, settings, "before", full=True))
        for names in _OF_DAYS.items():
            connection.execute(_NEXT_DAY.format(*names))
        return {**_parts(connection, settings), "all rows written, with all Parquet files": whole}


def _parts(connection: duckdb.DuckDBPyConnection, settings: Settings) -> Figures:
    [(day,)] = connection.execute("SELECT max(date) FROM availability").fetchall()
    scope = Scope(settings, DayRange(day, day), run_id="day")
    return {
        "checks of files and bars": _checked(connection, scope, "daily_availability", "daily_volume"),
        "statuses and lifecycle": _seconds(lambda: derive(connection, Rules.of(settings)))
        + _checked(connection, scope, "symbol_lifecycle"),
        "publication of the day": _seconds(lambda: publish_checked(connection, settings, "day")),
        "checks of what is published": _checked(connection, scope, "published_database"),
        "report": _seconds(lambda: make_report(settings)),
    }


def _checked(connection: duckdb.DuckDBPyConnection, scope: Scope, *assets: str) -> float:
    # exchangeInfo is asked for what one contract in ten is.
    checks = [each for each in all_checks() if each.asset in assets and each.name != "exchange_info"]
    return _seconds(lambda: [check(connection, scope) for check in checks])


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    """Collect once, and measure both sizes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--symbols", type=int, help="a reduced archive of so many contracts, to try it out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, bench(Path(folder), arguments.symbols) as archive:
        # Each size adds a day, and none may be of the future.
        archive.command("backfill", "--end", str(last_complete_day() - dt.timedelta(days=2)))
        sizes = [archive.task("growth.day_more", times) for times in ("1", "10")]
        table("Ten times the contracts", ("CPU s", "once", "ten times", "ratio"), _rows(*sizes))


def _rows(once: Figures, ten: Figures) -> Iterable[Sequence[object]]:
    parts = [name for name in once if name not in ("wall", "cpu", "peak_mb", "seen")]
    for name in parts:
        yield name, f"{once[name]:.2f}", f"{ten[name]:.2f}", f"{ten[name] / once[name]:.1f}"
    every = [sum(size[name] for name in parts[:-1]) for size in (once, ten)]
    yield "in all, without the last", *(f"{seconds:.1f}" for seconds in every), f"{every[1] / every[0]:.1f}"
    peaks = [size["peak_mb"] for size in (once, ten)]
    yield "peak memory, MB", *(f"{peak:.0f}" for peak in peaks), f"{peaks[1] / peaks[0]:.1f}"


if __name__ == "__main__":
    main()
