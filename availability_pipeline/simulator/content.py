"""The archive's content: which folders there are, and which of their files are visible at a moment.

Belongs here: putting record, gaps and publication together. Does not belong here: how large a file is (`shape.py`),
and keys, HTTP and S3 (`listing.py`, `s3.py`, `server.py`).

A page of a listing shows 500 days, so files are kept in columns that can be cut, not as one object each.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from availability_pipeline.catalogue.datasets import DEFAULT_DATASET, Dataset
from availability_pipeline.simulator.datasets import plain_bytes, recorded_content
from availability_pipeline.simulator.facts import FolderFacts, Gap, key_order
from availability_pipeline.simulator.klines import SPREAD, bars_size, bars_text, filler, zipped
from availability_pipeline.simulator.minutes import MINUTES, MinuteFile, body_of
from availability_pipeline.simulator.shape import (
    ETAG_BYTES,
    SECONDS_PER_DAY,
    day_number,
    day_of,
    draws,
    file_etags,
    file_sizes,
    plain_sizes,
    publication_moments,
    silent_indices,
)
from availability_pipeline.simulator.volumes import Bar, Volumes

_PUBLICATION_DAYS = 3
"""Days after which the first file of a folder is there, if no gap is recorded for it."""


@dataclass(frozen=True, slots=True)
class Files:
    """Files of one folder in day order, as columns.

    Args:
        days: Day numbers.
        modified: Last-modified of the zips in seconds.
        sizes: Bytes of the zips.
        etags: `ETAG_BYTES` for each day.
    """

    days: array[int]
    modified: array[int]
    sizes: array[int]
    etags: bytes

    def __len__(self) -> int:
        return len(self.days)

    def index(self, day: int) -> int | None:
        """Where a day is, or None without a file."""
        at = bisect_left(self.days, day)
        return at if at < len(self.days) and self.days[at] == day else None

    def etag(self, at: int, *, checksum: bool = False) -> str:
        """The unquoted ETag of the zip at an index, or of its CHECKSUM."""
        start = at * ETAG_BYTES + (ETAG_BYTES // 2 if checksum else 0)
        return self.etags[start : start + ETAG_BYTES // 2].hex()

    def checksum_modified(self, at: int) -> int:
        """Last-modified of the CHECKSUM: the second of its zip or the next one."""
        return checksum_moment(self.modified[at], self.etags[at * ETAG_BYTES])

    def take(self, indices: Sequence[int]) -> Files:
        """The files at some indices, which are in ascending order."""
        count = len(indices)
        if not count or indices[-1] == count - 1:
            etags = self.etags[: count * ETAG_BYTES]
            return Files(self.days[:count], self.modified[:count], self.sizes[:count], etags)
        return Files(
            array("i", [self.days[at] for at in indices]),
            array("q", [self.modified[at] for at in indices]),
            array("i", [self.sizes[at] for at in indices]),
            b"".join(self.etags[at * ETAG_BYTES : (at + 1) * ETAG_BYTES] for at in indices),
        )


NO_FILES = Files(array("i"), array("q"), array("i"), b"")


def checksum_moment(modified: int, etag: int) -> int:
    """Last-modified of a CHECKSUM, from that of its zip and the first byte of the zip's ETag."""
    # Never over midnight, so that a second of the day can be moved on by itself.
    return modified + (etag & 1 if modified % SECONDS_PER_DAY < SECONDS_PER_DAY - 1 else 0)


class Folder:
    """One folder: its files at every moment.

    Args:
        facts: The record.
        market_gaps: Days on which the whole market was late.
        dataset: What its files are of.
    """

    def __init__(
        self, facts: FolderFacts, market_gaps: Iterable[Gap] = (), dataset: Dataset = DEFAULT_DATASET
    ) -> None:
        self.facts = facts
        self.dataset = dataset
        self.gaps = (*market_gaps, *facts.gaps)
        self._first = day_number(facts.first_day)
        ends = [day_number(day) for day in (facts.last_day, dataset.last_file_day) if day is not None]
        self._last = min(ends, default=math.inf)
        self._starts_late = any(facts.first_day in gap.days for gap in self.gaps)
        self._horizon = self._first
        self._known: Files | None = None
        self._visible: Files | None = None
        self._visible_from = self._visible_until = 0.0
        self._silent: dict[int, int] = {}
        self._minute_sizes: list[int] = []

    @property
    def bars_of(self) -> str | None:
        """The interval of klines; None of other files."""
        return self.dataset.interval if self.dataset.kind == "klines" else None

    @cached_property
    def volumes(self) -> Volumes:
        """What is traded."""
        return Volumes(self.facts)

    def moment(self, now: float) -> float:
        """The moment that the folder shows when its archive's clock shows this one."""
        return now

    def visible(self, now: float) -> Files:
        """The files that have appeared by a moment in seconds."""
        if self._visible is None or not self._visible_from <= now < self._visible_until:
            today = int(now // SECONDS_PER_DAY)
            known = self.known(today)
            self._visible = known.take([at for at, moment in enumerate(known.modified) if moment <= now])
            self._visible_from = max((moment for moment in known.modified if moment <= now), default=0)
            coming = min((moment for moment in known.modified if moment > now), default=math.inf)
            # Tomorrow may show a file that is not among the known ones.
            self._visible_until = min(coming, (today + 1) * SECONDS_PER_DAY)
        return self._visible

    def has_files(self, now: float) -> bool:
        """Whether any file can be seen; cheap for a folder that is not just starting."""
        if not self._starts_late and self._first + _PUBLICATION_DAYS <= now // SECONDS_PER_DAY:
            return True
        return len(self.visible(now)) > 0

    def known(self, through: int) -> Files:
        """Every file up to a day at least, visible or not yet."""
        if self._known is None or through > self._horizon:
            self._horizon = through
            self._known = self._build(through)
        return self._known

    def silent_since(self, day: int) -> int | None:
        """The first of the days without a trade that a day is among, or None for a day with trades."""
        self.known(day)
        return self._silent.get(day)

    def bar(self, day: int) -> Bar:
        """What was traded on a day, whether it has a file or not."""
        files = self.known(day)
        at = files.index(day)
        size = self.facts.live_zip_bytes if at is None else self._minute_sizes[day - self._first]
        return self.volumes.bar(day, size, silent_since=self.silent_since(day))

    def body(self, name: str, files: Files, at: int) -> bytes:
        """What GET gives of a file.

        Args:
            name: Its name.
            files: The files that are visible.
            at: Which of them.
        """
        day, size, seed = files.days[at], files.sizes[at], files.etag(at).encode()
        market = self.dataset.market.name
        if self.bars_of == "1m":
            return body_of(MinuteFile(name, day, size, self._minutes(day), self.bar(day), seed, market))
        if self.bars_of == "1d":
            return zipped(name, day, bars_text(market, day, [(day, self.bar(day))]), size)
        return filler(name, day, size, seed)

    def _minutes(self, day: int) -> range:
        """The minutes that a day's file has: all but on the first day, and on the last one if it is traded."""
        silent, draw = self.silent_since(day) is not None, draws(b"minutes", self.facts.symbol, 2)
        start = draw[0] % 1_200 if day == self._first else 0
        stop = 240 + draw[1] % 1_200 if day == self._last and not silent else MINUTES
        return range(min(start, stop - 60), stop)

    def checksum(self, name: str, files: Files, at: int) -> bytes:
        """What GET gives of a file's CHECKSUM; arguments as of `body`."""
        return f"{hashlib.sha256(self.body(name, files, at)).hexdigest()}  {name}\n".encode()

    def _build(self, horizon: int) -> Files:
        end = max(self._first, int(min(horizon, self._last)) + 1)
        count = end - self._first
        modified = publication_moments(self.facts.symbol, self._first, count)
        self._silent = _runs(silent_indices(self.facts, self._first, count), self._first)
        missing = self._apply_gaps(modified, end)
        etags = file_etags(self.facts.symbol, count)
        files = Files(
            array("i", range(self._first, end)),
            array("q", modified),
            array("i", self._sizes(count, etags)),
            etags,
        )
        return files.take([at for at, day in enumerate(files.days) if day not in missing])

    def _sizes(self, count: int, etags: bytes) -> list[int]:
        """Bytes of the zips of the first days; those of 1-minute klines tell how much was traded."""
        symbol, median = self.facts.symbol, self.facts.live_zip_bytes
        if self.bars_of:
            self._minute_sizes = file_sizes(self.facts, self._first, count)
            median = plain_bytes(self.dataset, median)
        if self.bars_of == "1m":
            return self._minute_sizes
        if self.bars_of == "1d":
            name = f"{symbol}-1d-2024-01-15.zip"
            spread = [byte % SPREAD for byte in etags[::ETAG_BYTES]]
            return [bars_size(name, self._first + at, 1) + more for at, more in enumerate(spread)]
        return plain_sizes(symbol, median, count)

    def _apply_gaps(self, modified: list[int], end: int) -> set[int]:
        """Move late files to the day they came on; returns the days that never got one."""
        missing = set()
        for gap in self.gaps:
            first, last = day_number(gap.days.start), day_number(gap.days.end)
            for day in range(max(first, self._first), min(last + 1, end)):
                if gap.filled_on is None:
                    missing.add(day)
                    continue
                second = modified[day - self._first] % SECONDS_PER_DAY
                modified[day - self._first] = day_number(gap.filled_on) * SECONDS_PER_DAY + second
        return missing


def _runs(indices: Iterable[int], first: int) -> dict[int, int]:
    """Day numbers, each with the first day of the run of days that it is in."""
    starts: dict[int, int] = {}
    for day in sorted(first + at for at in indices):
        starts[day] = starts.get(day - 1, day)
    return starts


class SimulatedArchive:
    """The files of an archive at every moment.

    Args:
        folders: Its folders.
        dataset: What their files are of.
    """

    def __init__(self, folders: Iterable[Folder], dataset: Dataset = DEFAULT_DATASET) -> None:
        self.dataset = dataset
        self._folders = {folder.facts.symbol: folder for folder in folders}
        self._ordered: tuple[Folder, ...] | None = None

    @classmethod
    def recorded(cls, symbols: int | Sequence[str] | None = None, dataset: Dataset = DEFAULT_DATASET) -> Self:
        """The archive as it is recorded.

        Args:
            symbols: None for all folders, some of them by name, or how many of the tracked kind (those of USDT but
                for delivery contracts, and of USD): the largest and the odd ones first, then by name.
            dataset: What their files are of.

        Raises:
            UsageError: A name is not recorded, or there are not that many.
        """
        content = recorded_content(dataset, symbols)
        return cls((Folder(each, content.market_gaps, dataset) for each in content.folders), dataset)

    def seconds(self) -> float:
        """The moment that the archive shows, in seconds since 1970: the real time."""
        return time.time()

    def exchange_day(self) -> dt.date:
        """The day that exchangeInfo speaks of."""
        return day_of(int(self.seconds()) // SECONDS_PER_DAY)

    def folders(self) -> tuple[Folder, ...]:
        """All folders in the order of their keys, with or without visible files; the same tuple until they change."""
        if self._ordered is None:
            self._ordered = tuple(self._folders[name] for name in sorted(self._folders, key=key_order))
        return self._ordered

    def folder(self, symbol: str) -> Folder | None:
        """A folder, or None."""
        return self._folders.get(symbol)

    def visible(self, symbol: str) -> Files | None:
        """The visible files of a folder as columns, or None without a folder."""
        folder = self.folder(symbol)
        return None if folder is None else folder.visible(self.seconds())
