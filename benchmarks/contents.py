"""Reading what is in files: daily bars of the whole history and of a day, and the 1-minute files of a day."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pyarrow as pa

from availability_pipeline.archive.batch import Progress
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.collecting.inspect import Inspection, inspect_files
from availability_pipeline.collecting.volume import collect_volume, plan_volume
from availability_pipeline.dates import DayRange, last_complete_day
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.contents import files_not_inspected
from availability_pipeline.warehouse.database import connect
from availability_pipeline.warehouse.volume import write_volume

Figures = dict[str, Any]

FILES = 500
"""1-minute files that are inspected."""


def read_history(settings: Settings) -> Figures:
    """The daily bars of all months that are over, on the filled database."""
    last = last_complete_day().replace(day=1) - dt.timedelta(days=1)
    return _read(settings, DayRange(DEFAULT_DATASET.first_day, last))


def read_month(settings: Settings) -> Figures:
    """The daily bars of the running month, or of the last one on its first day."""
    return _read(settings, DayRange(last_complete_day().replace(day=1), last_complete_day()))


def read_day(settings: Settings) -> Figures:
    """The daily bars of one day of which none was read: of the newest one that was, since yesterday's come later."""
    with connect(settings.working_path) as connection:
        [(day,)] = connection.execute("SELECT max(date) FROM daily_volume WHERE source = 'daily'").fetchall()
        connection.execute("DELETE FROM volume_files WHERE date = ?", [day])
    return _read(settings, DayRange(day, day))


def _read(settings: Settings, days: DayRange) -> Figures:
    with connect(settings.working_path) as connection:
        plan = plan_volume(connection, days)
    found = collect_volume(plan, settings, Progress())
    began = time.perf_counter()
    with connect(settings.working_path) as connection:
        report = write_volume(connection, found.files, found.bars)
    return {"rows": report.bars, "files": report.files, "write_seconds": time.perf_counter() - began}


def inspect(settings: Settings) -> Figures:
    """Some of the 1-minute files of a day; nothing is written."""
    day = last_complete_day() - dt.timedelta(days=30)
    with connect(settings.working_path) as connection:
        files = files_not_inspected(connection, DayRange(day, day)).slice(0, FILES)
    found: list[pa.Table] = []
    done = Inspection()
    inspect_files(files, settings, Progress(), found.append, done)
    return {"files": done.files, "requests": done.requests}
