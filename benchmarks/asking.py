"""LIST or HEAD: what the archive is asked for the last days of every contract, and what that costs.

Both ask for the same days of a working database that `tasks.collect_everything` has filled; `decisions` runs them side
by side.
"""

from __future__ import annotations

import datetime as dt
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from availability_pipeline.archive.batch import Progress
from availability_pipeline.archive.client import ListingClient
from availability_pipeline.archive.listing import FolderQuery, list_files
from availability_pipeline.archive.probing import probe_files
from availability_pipeline.collecting import collect
from availability_pipeline.dates import DayRange
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.database import connect

Figures = dict[str, Any]


def list_days(settings: Settings, count: str) -> Figures:
    """So many days by LIST, as a run asks for a range."""
    plan = _plan(settings, int(count))
    queries = [FolderQuery(symbol, plan.days, plan.known_days.get(symbol)) for symbol in plan.symbols]
    with _measured() as figures, closing(ListingClient(settings)) as bucket:
        listing = list_files(bucket, queries, connections=settings.connections, progress=Progress())
        figures["files"] = listing.files.num_rows
    return figures


def head_days(settings: Settings, count: str) -> Figures:
    """The same days by HEAD, one after the other, as a run asks for one."""
    plan = _plan(settings, int(count))
    with _measured() as figures:
        figures["files"] = sum(probe_files(settings, plan.symbols, day).num_rows for day in plan.days)
    return figures


def _plan(settings: Settings, count: int) -> collect.Plan:
    """The days up to one that was published long enough ago to be complete."""
    with connect(settings.working_path, read_only=True) as connection:
        [(last,)] = connection.execute("SELECT max(date) - 30 FROM daily_availability").fetchall()
        return collect.plan_collection(connection, DayRange(last - dt.timedelta(days=count - 1), last))


@contextmanager
def _measured() -> Iterator[Figures]:
    """CPU and wall seconds of the block alone, and the bytes that arrived in it, headers included."""
    figures: Figures = {"received": 0}
    read = socket.SocketIO.readinto

    def counting(self: socket.SocketIO, buffer: Any) -> int | None:
        count = read(self, buffer)
        figures["received"] += count or 0
        return count

    socket.SocketIO.readinto = counting  # type: ignore[method-assign, assignment]
    began, cpu = time.perf_counter(), time.process_time()
    try:
        yield figures
    finally:
        figures |= {"asking": time.perf_counter() - began, "asking_cpu": time.process_time() - cpu}
        socket.SocketIO.readinto = read  # type: ignore[method-assign]
