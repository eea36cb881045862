"""After an old backup was restored: the days since, and what has changed before, come back by the command it names.

The archive is the simulator's, over HTTP.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from availability_pipeline.archive.batch import Progress
from availability_pipeline.catalogue import DEFAULT_DATASET
from availability_pipeline.cli.maintain import first_day_to_collect
from availability_pipeline.collecting import collect
from availability_pipeline.dates import DayRange
from availability_pipeline.errors import PublicationError
from availability_pipeline.quality.guard import publish_now
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.backup import backup
from availability_pipeline.warehouse.database import connect
from availability_pipeline.warehouse.restore import restore
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.simulator import ObservedServer, ScriptedArchive, serve

NOW = dt.datetime(2024, 3, 10, 12, tzinfo=dt.UTC)
BACKED_UP, LAST = dt.date(2024, 2, 15), dt.date(2024, 3, 9)
LATE = dt.date(2024, 2, 10)
"""A day whose file appears after the backup; the look-back window of the runs since has found it."""


@pytest.fixture
def archive() -> ScriptedArchive:
    archive = ScriptedArchive.empty(NOW)
    archive.set_last_published_day(LAST)
    for number in range(3):
        archive.add_symbol(f"LIVE{number}USDT", dt.date(2024, 1, 1))
    archive.remove_file("LIVE0USDT", LATE)
    return archive


@pytest.fixture
def server(archive: ScriptedArchive) -> Iterator[ObservedServer]:
    with serve(archive) as running:
        yield running


@pytest.fixture
def settings(
    server: ObservedServer, settings_for: SettingsFactory, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setattr("availability_pipeline.dates._clock", lambda: NOW)
    server.date = NOW
    return settings_for(server)


def test_what_was_collected_since_the_backup_comes_back(
    archive: ScriptedArchive, settings: Settings, tmp_path: Path
) -> None:
    pipeline.run_and_publish(settings, DEFAULT_DATASET.first_day, BACKED_UP)
    made = backup(settings, tmp_path / "backups")
    archive.add_file("LIVE0USDT", LATE)
    archive.add_symbol("NEWUSDT", dt.date(2024, 3, 1))
    pipeline.run_and_publish(settings, DEFAULT_DATASET.first_day, LAST)
    full = pipeline.table(settings)
    published = settings.db_path.read_bytes()

    restore(settings, made.path)
    assert settings.db_path.read_bytes() == published
    with connect(settings.working_path, read_only=True) as connection:
        # What the schedule collects begins with the first day that the table lacks, whatever Dagster's records say, and
        # so without the days before that a run since has looked at again.
        missing = collect.missing_days(connection, settings)
    assert missing == DayRange(BACKED_UP + dt.timedelta(days=1), LAST)
    with pytest.raises(PublicationError, match="readers keep the last good generation"):
        publish_now(settings)
    pipeline.run(settings, first_day_to_collect(settings, made.facts.data_through), LAST)
    assert pipeline.table(settings) == full
    assert publish_now(settings).rows == len(full)


def test_a_run_that_was_collecting_meanwhile_writes_to_the_restored_database(
    archive: ScriptedArchive, settings: Settings, tmp_path: Path
) -> None:
    pipeline.run(settings, DEFAULT_DATASET.first_day, BACKED_UP)
    made = backup(settings, tmp_path / "backups")
    archive.add_symbol("NEWUSDT", dt.date(2024, 3, 1))
    pipeline.discover(settings)
    with connect(settings.working_path) as connection:
        plan = collect.plan_collection(connection, DayRange(dt.date(2024, 2, 16), LAST), ())
    collected = collect.collect(plan, settings, Progress())
    restore(settings, made.path)
    with connect(settings.working_path) as connection:
        collect.write(connection, plan, collected, settings, "run-2")
    pipeline.discover(settings)
    with connect(settings.working_path, read_only=True) as connection:
        missing = collect.missing_days(connection, settings)
    pipeline.collect_days(settings, missing.start, missing.end)
    days = DayRange(DEFAULT_DATASET.first_day, LAST)
    assert pipeline.table(settings) == pipeline.truth(archive, settings.archive_url, archive.symbols(), days)
