"""Whether the archive's answers confirm the machine's clock, over HTTP."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from availability_pipeline.archive.batch import Progress
from availability_pipeline.archive.client import ListingClient
from availability_pipeline.archive.listing import FolderQuery, list_files, list_folders
from availability_pipeline.dates import DayRange
from availability_pipeline.errors import ClockError
from availability_pipeline.settings import Settings
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.simulator import Fault, ObservedServer, ScriptedArchive, serve

NOW = dt.datetime(2024, 3, 1, 12, tzinfo=dt.UTC)
DAYS = DayRange(dt.date(2024, 1, 1), dt.date(2024, 1, 3))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObservedServer]:
    monkeypatch.setattr("availability_pipeline.dates._clock", lambda: NOW)
    with serve(ScriptedArchive.recorded(["BTCUSDT", "ETHUSDT"], now=NOW)) as running:
        running.date = NOW
        yield running


@pytest.fixture
def settings(server: ObservedServer, settings_for: SettingsFactory) -> Settings:
    return settings_for(server)


def confirmed(settings: Settings) -> bool:
    bucket = ListingClient(settings)
    try:
        return list_folders(bucket).clock_confirmed
    finally:
        bucket.close()


@pytest.mark.parametrize("seconds", [-299, 0, 299])
def test_some_minutes_do_no_harm(server: ObservedServer, settings: Settings, seconds: int) -> None:
    server.date = NOW + dt.timedelta(seconds=seconds)
    assert confirmed(settings)


@pytest.mark.parametrize("away", [dt.timedelta(minutes=6), dt.timedelta(days=5), dt.timedelta(days=9_000)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_clocks_that_are_far_apart_are_refused(
    server: ObservedServer, settings: Settings, away: dt.timedelta, sign: int
) -> None:
    server.date = NOW + sign * away
    with pytest.raises(ClockError, match="this machine's clock says 2024-03-01 12:00:00 UTC") as caught:
        confirmed(settings)
    assert f"the archive's {server.date:%Y-%m-%d %H:%M:%S} UTC" in str(caught.value)


@pytest.mark.parametrize(
    "value",
    ["", "yesterday", "Fri, 99 Mar 2024 12:00:00 GMT", "Fri, 01 Mar 99999 12:00:00 GMT", "1709294400"],
)
def test_what_is_no_moment_is_no_reason_to_fail(
    server: ObservedServer, settings: Settings, value: str
) -> None:
    server.faults.inject(Fault.with_header("Date", value), on="LIST")
    assert not confirmed(settings)


def test_an_answer_without_a_moment_is_no_reason_to_fail(server: ObservedServer, settings: Settings) -> None:
    server.faults.inject(Fault.without_header("Date"), on="LIST")
    assert not confirmed(settings)


@pytest.mark.parametrize(
    "value",
    ["Friday, 01-Mar-24 12:01:00 GMT", "Fri Mar  1 12:01:00 2024", "Fri, 01 Mar 2024 21:01:00 +0900"],
)
def test_every_way_to_write_a_moment_is_understood(
    server: ObservedServer, settings: Settings, value: str
) -> None:
    server.faults.inject(Fault.with_header("Date", value), on="LIST")
    assert confirmed(settings)


def test_an_answer_of_a_cache_is_as_old_as_the_cache_says(server: ObservedServer, settings: Settings) -> None:
    server.date = NOW - dt.timedelta(days=1)
    server.faults.inject(Fault.with_header("Age", "86400"), on="LIST")
    assert confirmed(settings)
    server.faults.clear()
    server.faults.inject(Fault.with_header("Age", "unknown"), on="LIST")
    assert not confirmed(settings)


def test_time_that_a_request_took_is_no_difference(
    server: ObservedServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that sleeps while a request is under way."""
    moments = iter([NOW, *[NOW + dt.timedelta(hours=8)] * 3])
    monkeypatch.setattr("availability_pipeline.dates._clock", lambda: next(moments))
    server.date = NOW + dt.timedelta(hours=1)
    assert confirmed(settings)


def test_a_listing_of_files_is_compared_as_well(server: ObservedServer, settings: Settings) -> None:
    server.date = NOW + dt.timedelta(days=1)
    bucket = ListingClient(settings)
    queries = [FolderQuery(symbol, DAYS) for symbol in ("BTCUSDT", "ETHUSDT")]
    with pytest.raises(ClockError, match="set the machine's clock"):
        list_files(bucket, queries, connections=2, progress=Progress())
    bucket.close()
