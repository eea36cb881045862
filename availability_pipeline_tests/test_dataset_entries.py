"""The entries of the catalogue: keys and names of every market, first and last days."""

from __future__ import annotations

import datetime as dt

import pytest

from availability_pipeline.archive.names import parse_key, parse_symbol
from availability_pipeline.catalogue.datasets import DATASETS, DEFAULT_DATASET, INTERVALS, dataset_named
from availability_pipeline.dates import DayRange, last_complete_day, utc_today
from availability_pipeline.errors import UsageError

FIRST = DEFAULT_DATASET.first_day


def test_the_whole_history_up_to_yesterday_can_be_collected() -> None:
    assert DEFAULT_DATASET.collectable(FIRST, last_complete_day()) == DayRange(FIRST, last_complete_day())


def test_days_before_the_first_one_cannot_be_collected() -> None:
    with pytest.raises(UsageError, match="2019-09-24 is before 2019-09-25, the first day of um/klines/1m"):
        DEFAULT_DATASET.collectable(dt.date(2019, 9, 24), dt.date(2020, 1, 1))


@pytest.mark.parametrize("days_ahead", [0, 1, 400])
def test_a_day_that_is_not_over_cannot_be_collected(days_ahead: int) -> None:
    day = utc_today() + dt.timedelta(days=days_ahead)
    with pytest.raises(UsageError, match=f"{day} is not over yet in UTC"):
        DEFAULT_DATASET.collectable(FIRST, day)


def test_a_dataset_that_has_ended_is_collected_up_to_its_last_file() -> None:
    dataset = DATASETS["um/bookTicker"]
    assert dataset.last_day == dt.date(2024, 3, 30)
    with pytest.raises(UsageError, match="um/bookTicker ended on 2024-03-30, so 2024-03-31 has no file"):
        dataset.collectable(dataset.first_day, dt.date(2024, 3, 31))


def test_every_kind_of_daily_file_is_in_the_catalogue() -> None:
    futures = {
        *("klines", "markPriceKlines", "indexPriceKlines", "premiumIndexKlines", "aggTrades", "trades"),
        *("bookTicker", "bookDepth", "metrics", "liquidationSnapshot"),
    }
    kinds: dict[str, set[str]] = {}
    for dataset in DATASETS.values():
        kinds.setdefault(dataset.market.name, set()).add(dataset.kind)
        assert dataset.first_day <= dataset.first_file_day <= dataset.last_day
    assert kinds == {
        "um": futures, "cm": futures, "spot": {"klines", "aggTrades", "trades"}, "option": {"BVOLIndex", "EOHSummary"},
    }  # fmt: skip
    intervals = {name.rpartition("/")[2] for name in DATASETS if name.startswith("spot/klines/")}
    assert intervals == {"1s", *INTERVALS}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("um/metrics", "data/futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics-2024-01-15.zip"),
        ("cm/klines/1h", "data/futures/cm/daily/klines/BTCUSD_PERP/1h/BTCUSD_PERP-1h-2024-01-15.zip"),
        ("cm/klines/1h", "data/futures/cm/daily/klines/BTCUSD_210326/1h/BTCUSD_210326-1h-2021-01-15.zip"),
        (
            "cm/indexPriceKlines/1m",
            "data/futures/cm/daily/indexPriceKlines/BTCUSD/1m/BTCUSD-1m-2024-01-15.zip",
        ),
        ("spot/klines/1s", "data/spot/daily/klines/BTCUSDT/1s/BTCUSDT-1s-2024-01-15.zip"),
        ("spot/aggTrades", "data/spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-01-15.zip"),
        ("option/BVOLIndex", "data/option/daily/BVOLIndex/BTCBVOLUSDT/BTCBVOLUSDT-BVOLIndex-2024-01-15.zip"),
        ("option/EOHSummary", "data/option/daily/EOHSummary/BTCUSDT/BTCUSDT-EOHSummary-2023-07-15.zip"),
    ],
)
def test_keys_are_those_of_the_archive(name: str, key: str) -> None:
    dataset = DATASETS[name]
    found = parse_key(dataset, key)
    assert dataset.key(found.symbol, found.day) == key


@pytest.mark.parametrize(
    ("dataset", "name", "contract", "quote"),
    [
        ("cm/klines/1m", "BTCUSD_PERP", "perpetual", "USD"),
        ("cm/klines/1m", "BTCUSD_210326", "delivery", "USD"),
        ("cm/indexPriceKlines/1m", "BTCUSD", "index", "USD"),
        ("spot/klines/1m", "BTCUSDT", "pair", "USDT"),
        ("spot/klines/1m", "BTCFDUSD", "pair", "FDUSD"),
        ("spot/klines/1m", "币安人生USDT", "pair", "USDT"),
        ("spot/klines/1m", "BTCXYZ", "pair", None),
        ("option/BVOLIndex", "BTCBVOLUSDT", "index", "USDT"),
    ],
)
def test_names_of_every_market_are_read(dataset: str, name: str, contract: str, quote: str | None) -> None:
    found = parse_symbol(DATASETS[dataset], name)
    assert (found.contract, found.quote) == (contract, quote)


def test_a_name_that_is_not_in_the_catalogue_gets_similar_ones() -> None:
    with pytest.raises(UsageError, match=r"--dataset is 'spot/kline/1m', .*; similar names: spot/klines/1m"):
        dataset_named("spot/kline/1m", "--dataset")
    assert dataset_named(" spot/klines/1m/ ") is DATASETS["spot/klines/1m"]
