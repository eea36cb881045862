"""One dataset of each kind from the simulated archive to the checks: rows, bars and minutes are the archive's."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from availability_pipeline import AvailabilityQueries
from availability_pipeline.archive.batch import Progress
from availability_pipeline.catalogue.datasets import DATASETS
from availability_pipeline.collecting.volume import collect_volume, plan_volume
from availability_pipeline.dates import DayRange
from availability_pipeline.lifecycle.derive import derive
from availability_pipeline.lifecycle.rules import Rules
from availability_pipeline.publishing.write import publish
from availability_pipeline.quality.check import Scope, all_checks
from availability_pipeline.settings import Settings
from availability_pipeline.simulator.facts import recorded_facts
from availability_pipeline.simulator.shape import day_number
from availability_pipeline.warehouse.database import connect
from availability_pipeline.warehouse.volume import write_volume
from availability_pipeline_tests import pipeline
from availability_pipeline_tests.conftest import SettingsFactory
from availability_pipeline_tests.simulator import ScriptedArchive, serve

KINDS = {
    "um/metrics": "2024-03-01",
    "um/premiumIndexKlines/1h": "2021-03-01",
    "um/bookTicker": "2024-04-20",
    "um/klines/1d": "2024-03-01",
    "cm/klines/1m": "2024-02-28",
    "cm/indexPriceKlines/1d": "2024-03-01",
    "spot/klines/1m": "2025-03-18",
    "spot/aggTrades": "2024-03-01",
    "option/BVOLIndex": "2026-01-10",
}
"""One dataset of each kind, and the day on which it is collected."""

DAYS = 40
"""How many days up to yesterday are collected: months, gaps and ends are among them."""

SMALL = 6
"""Contracts of the datasets that have many."""


@pytest.mark.parametrize("name", KINDS)
def test_a_dataset_is_collected_checked_and_published(
    name: str, settings_for: SettingsFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = DATASETS[name]
    now = dt.datetime.fromisoformat(f"{KINDS[name]} 12:00").replace(tzinfo=dt.UTC)
    monkeypatch.setattr("availability_pipeline.dates._clock", lambda: now)
    archive = ScriptedArchive.recorded(SMALL if whole.kind == "klines" else None, now, whole)
    days = DayRange(whole.last_day - dt.timedelta(days=DAYS - 1), whole.last_day)
    with serve(archive) as server:
        server.date = now
        # Its history begins with the range, so that checks of the whole history can pass.
        settings = settings_for(server).of_dataset(replace(whole, first_day=days.start))
        run(settings, days)
        check_findings(settings, days)
    check_rows(settings, archive, days)
    check_symbols(settings)
    if whole.has_volume:
        check_bars(settings, archive)
    if whole.has_minutes:
        check_minutes(settings)


def run(settings: Settings, days: DayRange) -> None:
    """What the job of a dataset does."""
    pipeline.run(settings, days.start, days.end)
    if settings.dataset.has_minutes:
        pipeline.inspect(settings, DayRange(days.end - dt.timedelta(days=2), days.end))
    with connect(settings.working_path) as connection:
        if settings.dataset.has_volume:
            found = collect_volume(plan_volume(connection, days), settings, Progress())
            write_volume(connection, found.files, found.bars)
        derive(connection, Rules.of(settings))
        publish(connection, settings.db_file, "run")


def check_rows(settings: Settings, archive: ScriptedArchive, days: DayRange) -> None:
    """The rows are those of the archive."""
    rows = pipeline.query(
        settings,
        "SELECT symbol, date, file_size_bytes, last_modified FROM daily_availability WHERE available ORDER BY ALL",
    )
    tracked = {symbol for (symbol,) in pipeline.query(settings, "SELECT symbol FROM symbols WHERE tracked")}
    expected = [
        (symbol, day, file.size, file.last_modified)
        for symbol in sorted(tracked)
        for day in archive.files(symbol)
        if day in days and (file := archive.file(symbol, day))
    ]
    assert rows == expected
    assert len(tracked) >= 2
    assert len(expected) >= 2 * len(days) // 3


def check_findings(settings: Settings, days: DayRange) -> None:
    """All checks pass, and none is left out that the dataset can have."""
    with connect(settings.working_path) as connection:
        scope = Scope(settings, days)
        findings = [each(connection, scope) for each in all_checks(settings.dataset)]
    assert [finding.summary for finding in findings if not finding.passed] == []
    names = {finding.name for finding in findings}
    assert ("volume_consistency" in names) == (settings.dataset.kind == "klines")
    assert ("incomplete_files" in names) == (settings.dataset.interval == "1m")
    assert ("exchange_info" in names) == (settings.dataset.name not in UNCOMPARED)


UNCOMPARED = {"um/bookTicker", "cm/indexPriceKlines/1d", "option/BVOLIndex"}
"""Ended, or of what is no contract."""


def check_bars(settings: Settings, archive: ScriptedArchive) -> None:
    """Every file has the bar of its day."""
    bars = pipeline.query(settings, "SELECT symbol, date, base_volume, trades, close FROM daily_volume")
    for symbol, day, *numbers in bars:
        folder = archive.folder(symbol)
        assert folder is not None
        true = pipeline.numbers(folder.bar(day_number(day)))
        assert numbers == [true["base_volume"], true["trades"], true["close"]]
    [(files,)] = pipeline.query(settings, "SELECT count(*) FROM daily_availability WHERE available")
    assert len(bars) >= files


def check_minutes(settings: Settings) -> None:
    """The inspected files are complete, but for the last one of a contract."""
    is_spot = settings.dataset.market.name == "spot"
    found = pipeline.query(settings, "SELECT verdict, has_header, time_unit, checksum FROM file_contents")
    assert {row for row in found if row[0] != "partial_last_day"} == {
        ("complete", not is_spot, "us" if is_spot else "ms", "agrees")
    }


def check_symbols(settings: Settings) -> None:
    """Names are read as the market writes them."""
    found = {
        symbol: (contract, quote, tracked, status)
        for symbol, contract, quote, tracked, status in pipeline.query(
            settings, "SELECT symbol, contract, quote, tracked, status FROM symbols"
        )
    }
    for symbol, expected in SYMBOLS.get(settings.dataset.name, {}).items():
        assert found[symbol] == expected


SYMBOLS = {
    "cm/klines/1m": {
        "BTCUSD_PERP": ("perpetual", "USD", True, "TRADING"),
        "BTCUSD_200925": ("delivery", "USD", True, None),
    },
    "cm/indexPriceKlines/1d": {"BTCUSD": ("index", "USD", True, None)},
    "spot/aggTrades": {
        "BTCUSDT": ("pair", "USDT", True, "TRADING"),
        "VENUSDT": ("pair", "USDT", True, "BREAK"),
        "BNBBTC": ("pair", "BTC", False, "TRADING"),
        "BTCSIM": ("pair", None, False, None),
    },
    "option/BVOLIndex": {"BTCBVOLUSDT": ("index", "USDT", True, None)},
}
"""By dataset, what some symbols are: contract, quote, whether tracked, status."""


def test_gaps_of_spot_are_those_of_the_real_listing(
    settings_for: SettingsFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, now = DATASETS["spot/klines/1m"], dt.datetime(2026, 2, 4, 12, tzinfo=dt.UTC)
    monkeypatch.setattr("availability_pipeline.dates._clock", lambda: now)
    lacking = [facts.symbol for facts in recorded_facts("spot").folders if facts.gaps]
    with serve(ScriptedArchive.recorded([*lacking, "BTCUSDT"], now, dataset)) as server:
        server.date = now
        settings = settings_for(server).of_dataset(dataset)
        pipeline.run_and_publish(settings, dataset.first_day, dataset.last_day)
    with AvailabilityQueries(settings=settings) as queries:
        gaps = queries.get_gaps()
    assert {row["symbol"] for row in gaps} == set(lacking)
    assert (len(lacking), sum(row["days"] for row in gaps)) == (23, 1_473)
