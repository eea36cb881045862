"""A bucket made of any keys at all, answered in memory: for folders that a simulated archive never has.

It follows S3's rules for a page and notes what it was asked. HTTP is left to the tests with a server.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, cast

from availability_pipeline.archive.batch import Progress, Turn
from availability_pipeline.archive.client import Entries, ListingClient
from availability_pipeline.archive.listing import FolderQuery, Listing, list_files
from availability_pipeline.catalogue.datasets import DEFAULT_DATASET, Dataset
from availability_pipeline.dates import DayRange

START = dt.date(2020, 1, 1)


def day(number: int) -> dt.date:
    """Days counted from 2020-01-01."""
    return START + dt.timedelta(days=number)


def span(first: int, last: int) -> DayRange:
    """A range of such days."""
    return DayRange(day(first), day(last))


def both_keys(numbers: Iterable[int], symbol: str = "BTCUSDT") -> list[str]:
    """Zip and checksum of such days."""
    return [
        DEFAULT_DATASET.key(symbol, day(number), checksum=end) for number in numbers for end in (False, True)
    ]


@dataclass
class KeyBucket:
    """A bucket with these keys."""

    keys: list[str]
    name: str = "data.binance.vision"
    url: str = "http://localhost/data.binance.vision"
    dataset: Dataset = DEFAULT_DATASET
    turn: Turn = field(default_factory=Turn)
    asked: list[dict[str, Any]] = field(default_factory=list)
    changed: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What is different in the answer to the request of that number."""
    _lock: Lock = field(default_factory=Lock)

    def list_page(self, _symbol: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One page."""
        with self._lock:
            self.asked.append(parameters)
            number = len(self.asked)
        prefix = parameters["Prefix"]
        ordered = sorted(key for key in self.keys if key.startswith(prefix))
        if "Delimiter" in parameters:
            return self._children(prefix, ordered)
        start = bisect_right(ordered, parameters.get("StartAfter", ""))
        names = ordered[start : start + parameters.get("MaxKeys", 1000)]
        truncated = start + len(names) < len(ordered)
        answer = {"IsTruncated": truncated, "KeyCount": len(names), "Contents": as_entries(names)}
        return {
            **answer,
            **({"NextContinuationToken": "more"} if truncated else {}),
            **self.changed.get(number, {}),
        }

    @staticmethod
    def _children(prefix: str, ordered: list[str]) -> dict[str, Any]:
        folders = sorted({prefix + key[len(prefix) :].split("/")[0] + "/" for key in ordered})
        entries = [{"Prefix": folder} for folder in folders]
        return {"IsTruncated": False, "KeyCount": len(folders), "CommonPrefixes": entries}

    def as_bucket(self) -> ListingClient:
        """This, where a ListingClient is asked for."""
        return cast("ListingClient", self)

    def list_days(self, days: DayRange, known_day: dt.date | None = None, threads: int = 4) -> Listing:
        """What `list_files` makes of it."""
        query = FolderQuery("BTCUSDT", days, known_day)
        return list_files(self.as_bucket(), [query], connections=threads, progress=Progress())


def as_entries(names: list[str]) -> Entries:
    """Keys of 7 bytes each."""
    return Entries(
        [key.encode() for key in names], [b"2024-01-16T08:12:33.000Z"] * len(names), [b"7"] * len(names)
    )


def found(listing: Listing) -> list[int]:
    """The numbers of the days with a file, sorted and as often as they were found."""
    return sorted((date - START).days for date in listing.files.column("date").to_pylist())
