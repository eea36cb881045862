"""What is measured: each function is run in a fresh process by `runner`, which adds CPU, wall time and memory.

A task takes the settings and returns its own figures. The comparisons do the same work with what the libraries
offer, on the same number of threads.
"""

from __future__ import annotations

import datetime as dt
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

from availability_pipeline.archive.batch import Progress
from availability_pipeline.archive.client import REGION, ListingClient
from availability_pipeline.archive.listing import FolderQuery, list_files
from availability_pipeline.archive.probing import probe_files
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.collecting import collect
from availability_pipeline.dates import DayRange, last_complete_day
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.database import connect

Figures = dict[str, Any]

SAMPLE_ROWS = 2000
"""Rows that executemany gets; all of them would take hours."""

QUERIES = 500
"""How often a query about a day or a contract is asked."""

REPEATS = 20
"""How often one about the whole history is asked."""


def list_with_stock_boto3(settings: Settings) -> Figures:
    """Every page of every tracked contract through boto3's own paginator and parser."""
    import boto3  # noqa: PLC0415 - only this task needs it
    from botocore import UNSIGNED  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        signature_version=UNSIGNED, s3={"addressing_style": "path"}, max_pool_connections=settings.connections
    )
    client = boto3.client("s3", region_name=REGION, endpoint_url=settings.s3_endpoint, config=config)
    paginator = client.get_paginator("list_objects_v2")

    def pages_and_files(symbol: str) -> tuple[int, int]:
        pages = list(paginator.paginate(Bucket=settings.s3_bucket, Prefix=DEFAULT_DATASET.folder(symbol)))
        rows = [(o["Key"], o["Size"], o["LastModified"]) for p in pages for o in p.get("Contents", ())]
        return len(pages), sum(key.endswith(".zip") for key, _, _ in rows)

    with ThreadPoolExecutor(settings.connections) as executor:
        counts = list(executor.map(pages_and_files, _tracked(settings)))
    return {"pages": sum(pages for pages, _ in counts), "files": sum(files for _, files in counts)}


def list_with_ours(settings: Settings) -> Figures:
    """The same files through `archive.listing`."""
    days = DayRange(DEFAULT_DATASET.first_day, last_complete_day())
    queries = [FolderQuery(symbol, days) for symbol in _tracked(settings)]
    listing = list_files(
        ListingClient(settings), queries, connections=settings.connections, progress=Progress()
    )
    return {"pages": listing.pages, "files": listing.files.num_rows}


def head_with_one_connection_per_request(settings: Settings) -> Figures:
    """One day by HEAD, as `requests.head` does it."""
    import requests  # noqa: PLC0415 - only this task needs it

    def status(symbol: str) -> int:
        url = DEFAULT_DATASET.file_url(settings.archive_url, symbol, _settled_day())
        return requests.head(url, timeout=settings.timeout_seconds).status_code

    with ThreadPoolExecutor(settings.connections) as executor:
        statuses = list(executor.map(status, _tracked(settings)))
    return {"requests": len(statuses), "files": statuses.count(200)}


def head_with_ours(settings: Settings) -> Figures:
    """The same day through `archive.probing`."""
    symbols = _tracked(settings)
    return {"requests": len(symbols), "files": probe_files(settings, symbols, _settled_day()).num_rows}


def write_with_executemany(settings: Settings) -> Figures:
    """A sample of rows, one INSERT each, as DuckDB's executemany does it."""
    day = _settled_day()
    rows = [
        (day - dt.timedelta(days=n // 500), f"S{n % 500}USDT", True, 46000, dt.datetime(2024, 1, 2), 200)  # noqa: DTZ001
        for n in range(SAMPLE_ROWS)
    ]
    with connect(settings.working_path.with_name("sample.duckdb")) as connection:
        began = time.perf_counter()
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO availability (date, symbol, available, file_size_bytes, last_modified, status_code)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )
        connection.execute("COMMIT")
        return _written(len(rows), began)


def collect_everything(settings: Settings) -> Figures:
    """Discover, list and write the whole history, without Dagster."""
    return _collect(settings, DayRange(DEFAULT_DATASET.first_day, last_complete_day()), "everything")


def collect_window(settings: Settings) -> Figures:
    """The last 20 days again, on the filled database."""
    last = last_complete_day()
    return _collect(settings, DayRange(last - dt.timedelta(days=19), last), "window")


def collect_day(settings: Settings) -> Figures:
    """One day again by HEAD, on the filled database."""
    return _collect(settings, DayRange(_settled_day(), _settled_day()), "day")


def derive_and_publish(settings: Settings) -> Figures:
    """The derived tables of the filled database anew, then a publication without and one with unchanged years."""
    from availability_pipeline.lifecycle.derive import derive  # noqa: PLC0415 - only this task needs it
    from availability_pipeline.lifecycle.rules import Rules  # noqa: PLC0415 - only this task needs it
    from availability_pipeline.publishing.write import publish  # noqa: PLC0415

    target = settings.db_file.with_name("again") / settings.db_file.name
    with connect(settings.working_path) as connection:
        report = derive(connection, Rules.of(settings))
        seconds = [publish(connection, target, "bench").seconds for _ in range(2)]
    return {"episodes": report.episodes, "derive": report.seconds, "first": seconds[0], "second": seconds[1]}


def query(settings: Settings) -> Figures:
    """Questions about random days and contracts, and about the whole history, on an open connection."""
    from availability_pipeline.queries.api import AvailabilityQueries  # noqa: PLC0415 - only this task needs it

    days = [DEFAULT_DATASET.first_day + dt.timedelta(days=200 + (n * 37) % 2300) for n in range(QUERIES)]
    with AvailabilityQueries(settings.db_file) as queries:
        symbols = [row["symbol"] for row in queries.get_available_symbols_on_date(_settled_day())]
        asked = [symbols[(n * 37) % len(symbols)] for n in range(QUERIES)]
        first, last = queries.publication.first_day, queries.publication.data_through
        return {
            "opening": _percentiles(lambda _: AvailabilityQueries(settings.db_file).close(), range(REPEATS)),
            "snapshot": _percentiles(lambda day: len(queries.get_available_symbols_on_date(day)), days),
            "snapshot_arrow": _percentiles(
                lambda day: queries.get_available_symbols_on_date(day).arrow(), days
            ),
            "timeline": _percentiles(lambda name: len(queries.get_symbol_availability_timeline(name)), asked),
            "timeline_arrow": _percentiles(
                lambda name: queries.get_symbol_availability_timeline(name).arrow(), asked
            ),
            "universe": _percentiles(lambda day: len(queries.get_universe(day)), days),
            "universe_top": _percentiles(lambda day: len(queries.get_universe(day, top=100)), days),
            "rankings": _percentiles(lambda day: len(queries.get_rankings(day)), days),
            "volume": _percentiles(lambda name: len(queries.get_volume(name)), asked),
            "summary": _percentiles(lambda _: len(queries.get_availability_summary()), range(REPEATS)),
            "matrix": _percentiles(
                lambda _: queries.availability_matrix(first, last).arrow(), range(REPEATS)
            ),
            "universe_history": _percentiles(
                lambda _: queries.universe_history(first, last).arrow(), range(3)
            ),
            "universe_history_top": _percentiles(
                lambda _: queries.universe_history(first, last, top=100).arrow(), range(3)
            ),
            "published_mb": settings.db_file.stat().st_size / 1e6,
            "working_mb": settings.working_path.stat().st_size / 1e6,
        }


def _collect(settings: Settings, days: DayRange, run_id: str) -> Figures:
    discovery = collect.discover(settings)
    with connect(settings.working_path) as connection:
        collect.write_discovery(connection, discovery, settings)
        plan = collect.plan_collection(connection, days)
    collected = collect.collect(plan, settings, Progress())
    began = time.perf_counter()
    with connect(settings.working_path) as connection:
        report = collect.write(connection, plan, collected, settings, run_id)
    figures = _written(report.rows, began)
    requests = collected.requests + discovery.folders.pages
    return {**figures, "requests": requests, "symbols": len(plan.symbols), "files": report.available}


def _written(rows: int, began: float) -> Figures:
    seconds = time.perf_counter() - began
    return {"rows": rows, "write_seconds": seconds, "rows_per_second": rows / seconds}


def _tracked(settings: Settings) -> list[str]:
    return collect.discover(settings).tracked(settings)


def _settled_day() -> dt.date:
    """A day that was published long enough ago to be complete."""
    return last_complete_day() - dt.timedelta(days=30)


def _percentiles(ask: Callable[[Any], object], arguments: Sequence[Any]) -> dict[str, float]:
    """Milliseconds: median and 99th percentile."""
    times = []
    for argument in arguments:
        began = time.perf_counter()
        ask(argument)
        times.append((time.perf_counter() - began) * 1000)
    return {"p50": statistics.median(times), "p99": statistics.quantiles(times, n=100)[98]}


def main(task: str, *arguments: str) -> None:
    """Run one task, of this module or `module.task` of another one, and print its figures as JSON, for `runner`."""
    module, _, name = task.rpartition(".")
    function = getattr(import_module(f"benchmarks.{module}"), name) if module else globals()[name]
    settings = Settings.load()
    began, cpu = time.perf_counter(), time.process_time()
    figures = function(settings, *arguments)
    figures |= {
        "wall": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
