"""The truth of volume: a deterministic function of contract and day that fits the recorded lives."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import statistics

import pytest

from availability_pipeline.simulator.content import Folder, SimulatedArchive
from availability_pipeline.simulator.facts import FolderFacts
from availability_pipeline.simulator.shape import day_number
from availability_pipeline.simulator.volumes import QUOTE_DIGITS, Bar

END = day_number(dt.date(2026, 10, 1))
FOLDERS = {folder.facts.symbol: folder for folder in SimulatedArchive.recorded().folders()}


def bars(symbol: str) -> dict[int, Bar]:
    """The bars of a contract's whole life, by the numbers of their days."""
    folder = FOLDERS[symbol]
    return {day: folder.bar(day) for day in folder.known(END).days if day <= END}


def silent_runs(symbol: str) -> list[range]:
    """The runs of days without a trade."""
    runs: list[range] = []
    for day, bar in bars(symbol).items():
        if not bar.trades:
            follows = bool(runs) and runs[-1].stop == day
            runs[-1:] = [range(runs[-1].start, day + 1)] if follows else [*runs[-1:], range(day, day + 1)]
    return runs


def is_flat(facts: FolderFacts, day: int) -> bool:
    return facts.flat_on(dt.date(1970, 1, 1) + dt.timedelta(days=day))


def test_the_same_day_is_the_same_whatever_was_asked_before() -> None:
    day = day_number(dt.date(2024, 1, 15))
    facts = FOLDERS["ETHUSDT"].facts
    fresh, used = Folder(facts), Folder(facts)
    for other in range(day + 600, day - 900, -7):
        used.bar(other)
    assert fresh.bar(day) == used.bar(day) == FOLDERS["ETHUSDT"].bar(day)


@pytest.mark.parametrize("symbol", ["FTTUSDT", "CVXUSDT", "ICPUSDT", "LITUSDT"])
def test_flat_spans_have_no_trade_and_a_constant_price(symbol: str) -> None:
    folder = FOLDERS[symbol]
    flat = [bar for day, bar in bars(symbol).items() if is_flat(folder.facts, day)]
    assert flat
    assert not any(bar.trades or bar.base or bar.quote for bar in flat)
    assert len({bar.close for bar in flat}) == 1


def test_weekends_of_stocks_and_halts_of_coins_are_short() -> None:
    stocks, halted, longest = 0, 0, 0
    for symbol, folder in list(FOLDERS.items())[::6]:
        runs = [run for run in silent_runs(symbol) if not is_flat(folder.facts, run.start)]
        if folder.facts.kind == "tradifi_perpetual":
            stocks += len(runs)
            longest = max(longest, *map(len, runs), 0)
        else:
            assert len(runs) <= 1
            halted += len(runs)
            assert all(2 <= len(run) <= 4 for run in runs)
    assert stocks > 100
    assert longest <= 4
    assert 2 <= halted <= 20


def test_silent_days_have_flat_files_and_others_do_not() -> None:
    for folder in list(FOLDERS.values())[::10]:
        files = folder.known(END)
        for day, size in zip(files.days, files.sizes, strict=True):
            assert (size < 8_900) == (folder.silent_since(day) is not None)


def test_volume_is_persistent_and_says_little_of_size() -> None:
    levels, sizes, near, far = [], [], [], []
    for symbol in [symbol for symbol, folder in FOLDERS.items() if folder.facts.tracked][::8]:
        quotes = [math.log(bar.quote) for bar in bars(symbol).values() if bar.quote]
        if len(quotes) > 200:
            levels.append(statistics.median(quotes))
            sizes.append(FOLDERS[symbol].facts.live_zip_bytes)
            near.append(statistics.fmean(abs(a - b) for a, b in itertools.pairwise(quotes)))
            far.append(statistics.fmean(abs(a - b) for a, b in zip(quotes, quotes[90:], strict=False)))
    assert 1 < statistics.stdev(levels) < 2.5
    assert abs(statistics.correlation(levels, sizes)) < 0.6
    assert statistics.fmean(near) < 0.8 * statistics.fmean(far)


def test_the_largest_contracts_are_the_largest() -> None:
    median = {
        symbol: statistics.median(bar.quote for bar in bars(symbol).values()) / 10**QUOTE_DIGITS
        for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT", "AEVOUSDT")
    }
    assert sorted(median, key=median.__getitem__)[1:] == ["SOLUSDT", "ETHUSDT", "BTCUSDT"]
    assert 2e9 < median["BTCUSDT"] < 3e10


def test_a_day_opens_at_the_close_of_the_day_before() -> None:
    days = bars("BTCUSDT")
    assert all(days[day].close == days[day + 1].open for day in list(days)[:-1])
