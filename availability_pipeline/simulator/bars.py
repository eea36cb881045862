"""The files with one bar a day: a contract's daily and monthly ones, made of what its other files of klines are about.

Belongs here: which of these files there are at a moment, and what is in them. Does not belong here: the bars
themselves (`volumes.py`) and how they are written (`klines.py`).

A day has a file when its other files are there; a month has one from a day after its end on, with the bars of the days
that have files then. When another one comes later, the month's file is replaced.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from availability_pipeline.simulator.content import NO_FILES, Files, Folder, SimulatedArchive
from availability_pipeline.simulator.klines import SPREAD, bars_size, bars_text, zipped
from availability_pipeline.simulator.shape import (
    ETAG_BYTES,
    day_number,
    first_of_month,
    month_moment,
    next_month,
)
from availability_pipeline.simulator.volumes import Bar


def bar_periods(archive: SimulatedArchive) -> tuple[str, ...]:
    """The periods of the files with daily bars that are there beside an archive's own: none unless it is of klines."""
    if archive.dataset.kind != "klines" or archive.dataset.period != "daily":
        return ()
    return ("monthly",) if archive.dataset.interval == "1d" else ("daily", "monthly")


def bar_archives(archive: SimulatedArchive) -> tuple[SimulatedArchive, ...]:
    """The files of `bar_periods`."""
    return tuple(BarArchive(archive, period) for period in bar_periods(archive))


class BarFolder(Folder):
    """The daily files with a bar of one contract.

    Args:
        source: The folder of its other files of klines.
        first: The number of the first day of which there are files.
    """

    sample = "2024-01-15"
    """A date as in the names of its files."""

    def __init__(self, source: Folder, first: int = 0) -> None:
        super().__init__(source.facts, dataset=source.dataset)
        self.source = source
        self.first = first
        self._name = f"{self.facts.symbol}-1d-{self.sample}.zip"
        self._made_of: Files | None = None
        self._made: Files = NO_FILES
        self._made_until = 0.0

    def visible(self, now: float) -> Files:
        """The files that have appeared by a moment in seconds."""
        files = self.source.visible(now)
        if files is not self._made_of or now >= self._made_until:
            self._made_of, self._made = files, self._make(files, self.source.moment(now))
        return self._made

    def has_files(self, now: float) -> bool:
        """Whether any file can be seen."""
        return self.source.has_files(now)

    def bar(self, day: int) -> Bar:
        """What was traded on a day."""
        return self.source.bar(day)

    def days(self, day: int) -> Sequence[int]:
        """The numbers of the days whose bars are in a file."""
        return (day,)

    def body(self, name: str, files: Files, at: int) -> bytes:
        """A zip of the size that listings give."""
        first = files.days[at]
        bars = ((day, self.bar(day)) for day in self.days(first))
        text = bars_text(self.dataset.market.name, first, bars)
        return zipped(name, first, text, files.sizes[at])

    def _make(self, files: Files, now: float) -> Files:  # noqa: ARG002 - months need it
        self._made_until = math.inf
        count = len(files)
        mask = hashlib.shake_128(b"bar").digest(ETAG_BYTES) * count
        mixed = int.from_bytes(files.etags) ^ int.from_bytes(mask)
        etags = mixed.to_bytes(ETAG_BYTES * count)
        sizes = [
            self.size(day, 1) + byte % SPREAD
            for day, byte in zip(files.days, etags[::ETAG_BYTES], strict=True)
        ]
        return Files(files.days, files.modified, array("i", sizes), etags)

    def size(self, day: int, bars: int) -> int:
        """The least bytes of the file of a day, or of the month from that day on, with so many bars."""
        return bars_size(self._name, day, bars)


class MonthFolder(BarFolder):
    """The monthly files of one contract."""

    sample = "2024-01"

    def has_files(self, now: float) -> bool:
        """Whether any file can be seen."""
        return len(self.visible(now)) > 0

    def days(self, day: int) -> Sequence[int]:
        """The numbers of the days whose bars are in a file."""
        files = self._made_of or NO_FILES
        return files.days[bisect_left(files.days, day) : bisect_left(files.days, next_month(day))]

    def _make(self, files: Files, now: float) -> Files:
        self._made_until = math.inf
        months, modified, sizes, etags = array("i"), array("q"), array("i"), []
        for month, start, stop in _months(files.days, self.first):
            moment = month_moment(self.facts.symbol, next_month(month))
            if moment > now:
                self._made_until = min(self._made_until, moment)
                continue
            moment = max(moment, *files.modified[start:stop])
            months.append(month)
            modified.append(moment)
            etags.append(self._etag(month, moment, stop - start))
            sizes.append(self.size(month, stop - start) + etags[-1][0] % SPREAD)
        return Files(months, modified, sizes, b"".join(etags))

    def _etag(self, month: int, modified: int, bars: int) -> bytes:
        text = f"month {self.facts.symbol} {month} {modified} {bars}"
        return hashlib.shake_128(text.encode()).digest(ETAG_BYTES)


def _months(days: Sequence[int], first: int) -> Iterator[tuple[int, int, int]]:
    """The first day of each month that begins no earlier than a day, and where its days start and stop."""
    start = 0
    while start < len(days):
        month = first_of_month(days[start])
        stop = bisect_left(days, next_month(month))
        if month >= first:
            yield month, start, stop
        start = stop


class BarArchive(SimulatedArchive):
    """The files with daily bars that belong to an archive of klines.

    Args:
        source: That archive, whose folders and clock it shares.
        period: `daily` or `monthly`.
    """

    def __init__(self, source: SimulatedArchive, period: str) -> None:
        super().__init__((), source.dataset.daily_bars(period))
        self.source = source
        self._made_of: tuple[Folder, ...] = ()

    def seconds(self) -> float:
        """The moment that the archive shows, in seconds since 1970."""
        return self.source.seconds()

    def folders(self) -> tuple[Folder, ...]:
        """One for each folder of the archive; the same tuple until those change."""
        if self.source.folders() is not self._made_of:
            self._made_of = self.source.folders()
            self._ordered = tuple(map(self._made, self._made_of))
            self._folders = {folder.facts.symbol: folder for folder in self._ordered}
        return self._ordered or ()

    def folder(self, symbol: str) -> Folder | None:
        """A folder, or None."""
        self.folders()
        return self._folders.get(symbol)

    def _made(self, source: Folder) -> BarFolder:
        kind = BarFolder if self.dataset.period == "daily" else MonthFolder
        return kind(source, day_number(self.dataset.first_file_day))
