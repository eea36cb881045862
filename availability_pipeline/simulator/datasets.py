"""What each dataset of the catalogue has in it: which folders, from when on, and which days nobody has.

Belongs here: the choice among the recorded folders of a market, and what is recorded of a dataset alone. Does not
belong here: the record of a market (`facts.py`), and how large a file is (`shape.py`).

Klines have all recorded folders of their market, other files a few of them. A folder of `um/liquidationSnapshot` has
files, although the real archive removed them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import replace

from availability_pipeline.catalogue.datasets import Dataset
from availability_pipeline.dates import DayRange
from availability_pipeline.simulator.facts import (
    FolderFacts,
    Gap,
    RecordedFacts,
    choose,
    key_order,
    recorded_facts,
)

_FEW = {
    "um": (
        "BTCUSDC",
        "BTCUSDT",
        "BTCUSDT_261225",
        "ETHUSDT",
        "FTTUSDT",
        "ICPUSDT_SETTLED",
        "LUNAUSDT",
        "SOLUSDT",
        "TSLAUSDT",
        "币安人生USDT",
    ),
    "spot": ("BNBBTC", "BTCSIM", "BTCTRY", "BTCUSDT", "ETHUSDT", "FTTUSDT", "VENUSDT", "币安人生USDT"),
    "option/BVOLIndex": ("BTCBVOLUSDT", "ETHBVOLUSDT"),
    "option/EOHSummary": ("BNBUSDT", "BTCUSDT", "DOGEUSDT", "ETHUSDT", "XRPUSDT"),
}
"""Folders of datasets that have not all: of a market, or of one dataset."""

_MOST_BEGIN = {"um/metrics": dt.date(2021, 12, 1)}
"""The first day of all contracts but the oldest, where that is not the first one of the dataset."""

_MISSING = {
    # Twelve days are missing there, and which ones is not recorded: these are invented.
    "option/EOHSummary": (
        DayRange(dt.date(2023, 6, 10), dt.date(2023, 6, 14)),
        DayRange(dt.date(2023, 8, 19), dt.date(2023, 8, 25)),
    ),
}

_BYTES = {
    "aggTrades": 300_000,
    "trades": 400_000,
    "bookTicker": 500_000,
    "bookDepth": 120_000,
    "metrics": 10_000,
    "liquidationSnapshot": 3_000,
    "BVOLIndex": 150_000,
    "EOHSummary": 30_000,
}
"""Sizes of a median zip; those of trades and books are much smaller than the real ones."""

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_MOST_BYTES = 500_000


def recorded_content(dataset: Dataset, symbols: int | Sequence[str] | None = None) -> RecordedFacts:
    """The folders of a dataset, and the days on which all of them were late or never got a file.

    Args:
        dataset: The dataset.
        symbols: Which folders; see `SimulatedArchive.recorded`.

    Raises:
        UsageError: A name is not recorded, or there are not that many.
    """
    record = recorded_facts(dataset.market.name)
    if dataset.is_default:
        return RecordedFacts(tuple(choose(record.folders, symbols)), record.market_gaps)
    missing = (*dataset.missing_days, *_MISSING.get(dataset.name, ()))
    gaps = (*record.market_gaps, *(Gap(days, None) for days in missing))
    folders = sorted(_folders(dataset, record.folders), key=lambda facts: key_order(facts.symbol))
    return RecordedFacts(tuple(choose(folders, symbols)), gaps)


def _folders(dataset: Dataset, record: Sequence[FolderFacts]) -> Iterator[FolderFacts]:
    chosen = list(_chosen(dataset, record))
    oldest = min(chosen, key=lambda facts: facts.first_day)
    for facts in chosen:
        first = max(facts.first_day, _MOST_BEGIN.get(dataset.name, dataset.first_file_day))
        first = dataset.first_file_day if facts is oldest else first
        if first <= min(facts.last_day or dt.date.max, dataset.last_file_day or dt.date.max):
            yield replace(facts, first_day=first)


def _chosen(dataset: Dataset, record: Sequence[FolderFacts]) -> Iterator[FolderFacts]:
    if dataset.kind == "klines":
        yield from record
        return
    few = _FEW.get(dataset.name) or _FEW.get(dataset.market.name)
    is_index = dataset.market.name == "cm" and dataset.kind == "indexPriceKlines"
    for facts in record:
        if is_index and facts.kind == "perpetual":
            name = facts.symbol.removesuffix("_PERP")
            yield replace(facts, symbol=name, kind="index", live_zip_bytes=plain_bytes(dataset))
        elif not is_index and (few is None or facts.symbol in few):
            yield replace(facts, live_zip_bytes=plain_bytes(dataset))


def plain_bytes(dataset: Dataset, minute_bytes: int = 46_000) -> int:
    """Bytes of a median zip, of bars as many as there are in a day.

    Args:
        dataset: The dataset.
        minute_bytes: Those of a zip of 1-minute bars.
    """
    if dataset.interval is None:
        return _BYTES.get(dataset.kind, minute_bytes)
    rows = 86_400 // (int(dataset.interval[:-1]) * _SECONDS[dataset.interval[-1]])
    return min(_MOST_BYTES, 350 + minute_bytes * rows // 1_440)
