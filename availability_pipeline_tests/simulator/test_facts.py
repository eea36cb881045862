"""The shipped record says what is known about the real archive; a lost row would hide a class of contracts."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import pytest

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET
from availability_pipeline.simulator.facts import FolderFacts, recorded_facts

FOLDERS = {facts.symbol: facts for facts in recorded_facts().folders}


def test_every_folder_is_there_once() -> None:
    assert len(recorded_facts().folders) == len(FOLDERS) == 1_057


def test_tracked_folders_are_usdt_contracts_without_delivery() -> None:
    assert sum(facts.tracked for facts in FOLDERS.values()) == 918


def test_kinds() -> None:
    kinds = Counter(facts.kind for facts in FOLDERS.values())
    assert kinds == {"perpetual": 818, "tradifi_perpetual": 170, "delivery": 52, "settled": 17}


def test_folders_are_in_key_order() -> None:
    names = [facts.symbol for facts in recorded_facts().folders]
    assert names == sorted(names, key=lambda name: f"{name}/".encode())


def test_names_that_are_not_ascii_sort_last() -> None:
    assert [name for name in FOLDERS if not name.isascii()] == list(FOLDERS)[-5:]


def test_no_life_starts_before_the_first_file_or_ends_before_it_starts() -> None:
    assert min(facts.first_day for facts in FOLDERS.values()) == DEFAULT_DATASET.first_file_day
    assert all(facts.last_day is None or facts.first_day <= facts.last_day for facts in FOLDERS.values())


def test_unknown_sizes_have_a_default() -> None:
    assert FOLDERS["1000BONKUSDC"].live_zip_bytes == 46_000
    assert FOLDERS["0GUSDT"].live_zip_bytes == 49_976


def test_purged_contract_ends() -> None:
    assert FOLDERS["LUNAUSDT"].last_day == dt.date(2022, 5, 13)


@pytest.mark.parametrize(
    ("symbol", "first", "last", "filled_on"),
    [
        ("ICPUSDT", dt.date(2022, 9, 22), dt.date(2022, 9, 26), None),
        ("NMRUSDT", dt.date(2023, 11, 9), dt.date(2023, 11, 9), None),
        ("BNXUSDT", dt.date(2023, 2, 12), dt.date(2023, 2, 21), None),
        ("TRXUSDT", dt.date(2023, 11, 7), dt.date(2023, 11, 7), dt.date(2023, 11, 16)),
        ("SOLUSDT", dt.date(2025, 10, 5), dt.date(2025, 10, 5), dt.date(2025, 10, 20)),
    ],
)
def test_gaps(symbol: str, first: dt.date, last: dt.date, filled_on: dt.date | None) -> None:
    (gap,) = FOLDERS[symbol].gaps
    assert (gap.days.start, gap.days.end, gap.filled_on) == (first, last, filled_on)


def test_holes_of_the_whole_market() -> None:
    spans = [
        (gap.days.start.isoformat(), len(gap.days), gap.filled_on) for gap in recorded_facts().market_gaps
    ]
    assert spans == [("2023-05-23", 8, dt.date(2023, 5, 31)), ("2024-06-11", 2, dt.date(2024, 6, 14))]


def test_flat_spans() -> None:
    flat = [facts for facts in FOLDERS.values() if facts.flat]
    assert len(flat) == 147
    assert sum(facts.flat[-1].end is None for facts in flat) == 122


@pytest.mark.parametrize(
    ("symbol", "day", "flat"),
    [
        ("FTTUSDT", dt.date(2022, 11, 14), False),
        ("FTTUSDT", dt.date(2022, 11, 15), True),
        ("FTTUSDT", dt.date(2026, 11, 15), True),
        ("LITUSDT", dt.date(2025, 11, 30), True),
        ("LITUSDT", dt.date(2025, 12, 1), False),
    ],
)
def test_flat_days(symbol: str, day: dt.date, flat: bool) -> None:
    assert FOLDERS[symbol].flat_on(day) is flat


def test_a_plain_contract_has_no_oddities() -> None:
    facts = FOLDERS["BTCUSDT"]
    assert facts == FolderFacts(
        "BTCUSDT",
        "perpetual",
        "USDT",
        DEFAULT_DATASET.first_file_day,
        None,
        61_329,
        facts.onboard_day,
        "TRADING",
    )
