"""What holds for the default dataset holds for one of each kind: one story, told without Dagster.

Files are late, replaced and withdrawn, the archive fails, a publication is refused and rolled back, and readers look
at a bucket.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from availability_pipeline import AvailabilityQueries
from availability_pipeline.catalogue.datasets import DATASETS, Dataset
from availability_pipeline.errors import ArchiveError, ArchiveFailures, PublicationError
from availability_pipeline.publishing.release import rollback
from availability_pipeline.publishing.remote.replicate import mirror
from availability_pipeline.quality.guard import publish_checked
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse.database import connect
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import SettingsFactory, empty_moto
from availability_pipeline_tests.demo_data import clock_at, made_once
from availability_pipeline_tests.publishing import sample
from availability_pipeline_tests.publishing.remote.stores import gateway_to, moto_server, new_store
from availability_pipeline_tests.simulator import Fault, ObservedServer, ScriptedArchive, serve

FIRST, LAST = dt.date(2024, 2, 1), dt.date(2024, 2, 28)

BEGIN = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)
MORNING = dt.datetime(2024, 3, 1, 6, tzinfo=dt.UTC)

CONTRACTS = {
    "um/metrics": "{}USDT",
    "cm/klines/1h": "{}USD_PERP",
    "cm/indexPriceKlines/1d": "{}USD",
    "spot/aggTrades": "{}USDT",
    "option/BVOLIndex": "{}BVOLUSDT",
}
"""One dataset of each kind of name, and the names of its contracts."""


@dataclass(frozen=True)
class Story:
    """An archive with four contracts of a dataset, collected through `LAST`."""

    archive: ScriptedArchive
    server: ObservedServer
    settings: Settings
    names: list[str]
    patch: pytest.MonkeyPatch

    def at(self, moment: str) -> None:
        """Set all clocks."""
        now = dt.datetime.fromisoformat(f"2024-{moment}").replace(tzinfo=dt.UTC)
        self.patch.setattr("availability_pipeline.dates._clock", lambda: now)
        self.archive.set_now(now)
        self.server.date = now

    def files_of(self, day: dt.date, as_of: dt.datetime | None = None) -> list[str]:
        """The contracts with a file."""
        with AvailabilityQueries(settings=self.settings) as queries:
            return [row["symbol"] for row in queries.get_available_symbols_on_date(day, as_of=as_of)]


@pytest.fixture(params=CONTRACTS)
def story(
    request: pytest.FixtureRequest,
    settings_for: SettingsFactory,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Story]:
    dataset = replace(DATASETS[request.param], first_day=FIRST)
    collected = made_once(
        tmp_path_factory,
        f"story-{dataset.name.replace('/', '-')}",
        lambda folder: make_beginning(folder, dataset),
    )
    archive = archive_of(dataset)
    with serve(archive) as server:
        settings = settings_for(server)
        sample.copy(collected, settings.data_dir)
        found = Story(archive, server, settings.of_dataset(dataset), archive.symbols(), monkeypatch)
        found.at("02-29 12:00")
        yield found


def archive_of(dataset: Dataset) -> ScriptedArchive:
    """The archive in the beginning."""
    archive = ScriptedArchive.empty(BEGIN, dataset)
    for base in ("AAA", "BBB", "CCC", "DDD"):
        archive.add_symbol(CONTRACTS[dataset.name].format(base), FIRST)
    return archive


def make_beginning(folder: Path, dataset: Dataset) -> None:
    """The data directory of a story, for copies: collected through `LAST` and published."""
    with serve(archive_of(dataset)) as server, clock_at(BEGIN, server):
        settings = Settings.load(server.environment(), data_dir=str(folder)).of_dataset(dataset)
        collect(settings, FIRST, LAST, "first")


def collect(settings: Settings, start: dt.date, end: dt.date, run_id: str) -> None:
    """Collect days, and publish them if the checks pass."""
    pipeline.run(settings, start, end, run_id=run_id)
    with connect(settings.working_path) as connection:
        publish_checked(connection, settings, run_id)


def test_late_replaced_and_withdrawn_files_are_in_the_ledger(story: Story) -> None:
    first, second, *_ = story.names
    story.at("03-01 02:00")
    yesterday = dt.date(2024, 2, 29)
    collect(story.settings, yesterday, yesterday, "early")
    assert story.files_of(yesterday) == []
    story.at("03-01 12:00")
    story.archive.replace_file(first, dt.date(2024, 2, 10), size=123_456)
    story.archive.remove_file(second, dt.date(2024, 2, 11))
    collect(story.settings, FIRST, yesterday, "later")
    with AvailabilityQueries(settings=story.settings) as queries:
        changes = [(row["kind"], row["symbol"], row["date"]) for row in queries.get_changes()]
    assert sorted(changes) == sorted(
        [
            *(("published", name, yesterday) for name in story.names),
            ("republished", first, dt.date(2024, 2, 10)),
            ("withdrawn", second, dt.date(2024, 2, 11)),
        ]
    )
    assert story.files_of(yesterday) == story.names
    assert story.files_of(yesterday, MORNING) == []
    assert story.files_of(dt.date(2024, 2, 11), MORNING) == story.names


@pytest.mark.parametrize("on", ["LIST", "HEAD"])
def test_a_failing_archive_leaves_everything_as_it_was(story: Story, on: str) -> None:
    before = pipeline.table(story.settings)
    story.at("03-01 12:00")
    story.server.faults.inject(Fault.status(503), on=on, match=story.names[-1])  # type: ignore[arg-type]
    end = dt.date(2024, 2, 29)
    with pytest.raises((ArchiveError, ArchiveFailures)):
        collect(story.settings, FIRST if on == "LIST" else end, end, "failing")
    assert pipeline.table(story.settings) == before
    assert story.files_of(LAST) == story.names


def test_lost_files_are_not_published_and_a_generation_is_rolled_back(story: Story) -> None:
    story.archive.replace_file(story.names[0], LAST, size=123_456)
    collect(story.settings, LAST, LAST, "second")
    for name in story.names[:3]:
        story.archive.remove_file(name, LAST)
    with pytest.raises(PublicationError, match=r"1 published day has lost|no_regression"):
        collect(story.settings, FIRST, LAST, "lost")
    assert story.files_of(LAST) == story.names
    assert rollback(story.settings.db_file).now.run_id == "first"
    assert story.files_of(LAST) == story.names


def test_readers_of_a_bucket_find_the_dataset_below_it(story: Story) -> None:
    with moto_server() as moto:
        empty_moto(moto)
        with gateway_to(moto) as gateway:
            store = new_store(gateway)
            for name, value in store.environ.items():
                story.patch.setenv(name, value)
            home = story.settings.of_dataset("um/klines/1m")
            assert mirror(replace(home, publish_url=store.s3_url).of_dataset(story.settings.dataset))
            reader = replace(home, db_path=store.s3_url, data_dir=home.data_dir / "elsewhere")
            with AvailabilityQueries(settings=reader, dataset=story.settings.dataset.name) as queries:
                assert queries.location == f"{store.s3_url}/datasets/{story.settings.dataset.name}"
                rows = queries.get_available_symbols_on_date(LAST)
    assert [row["symbol"] for row in rows] == story.names
