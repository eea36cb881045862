"""What `demo --symbols 20` makes, without Dagster and at a fixed moment, for examples and whole-history questions.

And what lets the processes of a test run share such folders, which take seconds to make.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from filelock import FileLock

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.dates import DayRange
from availability_pipeline.publishing.write import publish
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.simulator import ObservedServer, ScriptedArchive, serve

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
LAST_DAY = dt.date(2026, 11, 19)
SYMBOLS = 20
INSPECTED = DayRange(dt.date(2024, 1, 15), dt.date(2024, 1, 16))
"""Days whose files were inspected; one of the last day disagrees with its checksum."""


@dataclass(frozen=True)
class Demo:
    """A published history, and the archive that it is about."""

    archive: ScriptedArchive
    settings: Settings

    @property
    def path(self) -> Path:
        """The published database."""
        return self.settings.db_path


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first process which needs it makes for all; no test may change it."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    with FileLock(root / f"{name}.lock"):
        if not (root / f"{name}.made").exists():
            make(root / name)
            (root / f"{name}.made").touch()
    return root / name


def demo_of(folder: Path) -> Demo:
    """The demo that `make_demo` has put into a folder."""
    archive = ScriptedArchive.recorded(symbols=SYMBOLS, now=NOW)
    archive.set_checksum("SOLUSDT", INSPECTED.end, b"0" * 64)
    with serve(archive) as server:
        return Demo(archive, _settings(server, folder))


def _settings(server: ObservedServer, folder: Path) -> Settings:
    # But for some inspected ones, files are only listed; so their URLs can be those of the real archive.
    environment = {**server.environment(), "AVAILABILITY_ARCHIVE_URL": "https://data.binance.vision"}
    return Settings.load(environment, data_dir=str(folder), connections="8")


def make_demo(folder: Path) -> None:
    """Collect and publish the whole history of twenty contracts into a folder, two days of it inspected."""
    archive = ScriptedArchive.recorded(symbols=SYMBOLS, now=NOW)
    with serve(archive) as server, clock_at(NOW, server):
        settings = _settings(server, folder)
        days = DayRange(DEFAULT_DATASET.first_day, LAST_DAY)
        pipeline.run(settings, days.start, days.end)
        pipeline.write_bars(settings, archive, days)
        archive.set_checksum("SOLUSDT", INSPECTED.end, b"0" * 64)
        pipeline.inspect(replace(settings, archive_url=server.url), INSPECTED)
        with connect(settings.working_path) as connection:
            publish(connection, settings.db_path, "run")


@contextmanager
def clock_at(moment: dt.datetime, *servers: ObservedServer) -> Iterator[None]:
    """Set the pipeline's clock, and what archives call the time, for the time of the block."""
    with pytest.MonkeyPatch.context() as patch:
        for server in servers:
            patch.setattr(server, "date", moment)
        patch.setattr("availability_pipeline.dates._clock", lambda: moment)
        yield
