"""An archive that a test changes: its clock, its folders and single files.

Every method may be called from any thread while a server serves the archive.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from availability_pipeline.catalogue import DEFAULT_DATASET, Dataset
from availability_pipeline.errors import UsageError
from availability_pipeline.simulator.content import Files, Folder, SimulatedArchive
from availability_pipeline.simulator.facts import FolderFacts, Gap, choose, recorded_facts
from availability_pipeline.simulator.shape import ETAG_BYTES, SECONDS_PER_DAY, day_number, day_of

Clock = Callable[[], dt.datetime] | dt.datetime | None
"""A moment that stands still, one that moves, or the real time; without a time zone it is UTC."""


def seconds_by(clock: Clock) -> float:
    """The moment of a clock in seconds since 1970."""
    if clock is None:
        return time.time()
    return seconds_of(clock() if callable(clock) else clock)


def seconds_of(moment: dt.datetime) -> int:
    """The whole seconds of a moment; one without a time zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return int(aware.timestamp() // 1)


def moment_of(seconds: int) -> dt.datetime:
    """The moment as a naive datetime in UTC, as the database stores it."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).replace(tzinfo=None)


@dataclass(frozen=True, slots=True)
class SimulatedFile:
    """One zip of the archive.

    Args:
        size: Its bytes, as a listing and HEAD give them.
        last_modified: When it appeared, naive in UTC, whole seconds.
        etag: Its ETag with the quotes.
    """

    size: int
    last_modified: dt.datetime
    etag: str


@dataclass(frozen=True, slots=True)
class Change:
    """One file as a script wants it, and the second from which on it is visible."""

    size: int
    modified: int
    etags: bytes
    visible_from: int


class ScriptedFolder(Folder):
    """A folder with changes.

    Args:
        facts: The record.
        market_gaps: Days on which the whole market was late.
        last_published: Gives the number of the last published day, or None for what the clock allows.
    """

    def __init__(
        self, facts: FolderFacts, market_gaps: Iterable[Gap], last_published: Callable[[], int | None]
    ) -> None:
        super().__init__(facts, market_gaps)
        self._last_published = last_published
        self._changes: dict[int, Change | None] = {}
        self._shown: Files | None = None
        self._shown_at: tuple[float, int | None] = (0, None)

    def change(self, day: int, change: Change | None) -> None:
        """Set one file, or take it away."""
        self._changes[day] = change
        self._shown = None

    def visible(self, now: float) -> Files:
        """The files that can be seen at a moment in seconds."""
        at = now, self._last_published()
        if not self._changes and at[1] is None:
            return super().visible(now)
        if self._shown is None or at != self._shown_at:
            self._shown, self._shown_at = self._select(*at), at
        return self._shown

    def has_files(self, now: float) -> bool:
        """Whether any file can be seen."""
        if self._changes or self._last_published() is not None:
            return len(self.visible(now)) > 0
        return super().has_files(now)

    def _select(self, now: float, published: int | None) -> Files:
        today = int(now // SECONDS_PER_DAY)
        files = _changed(self.known(today if published is None else max(today, published)), self._changes)
        return files.take([at for at in range(len(files)) if self._shows(files, at, now, published)])

    def _shows(self, files: Files, at: int, now: float, published: int | None) -> bool:
        day, change = files.days[at], self._changes.get(files.days[at])
        appeared = (files.modified[at] if change is None else change.visible_from) <= now
        if published is None:
            return appeared
        late = change is not None or any(day_of(day) in gap.days for gap in self.gaps)
        return day <= published and (appeared or not late)


def _changed(files: Files, changes: dict[int, Change | None]) -> Files:
    files = files.take([at for at, day in enumerate(files.days) if day not in changes])
    days, modified, sizes = (
        array(column.typecode, column) for column in (files.days, files.modified, files.sizes)
    )
    etags = files.etags
    for day, change in sorted(changes.items()):
        if change is not None:
            at = bisect_left(days, day)
            days.insert(at, day)
            modified.insert(at, change.modified)
            sizes.insert(at, change.size)
            etags = etags[: at * ETAG_BYTES] + change.etags + etags[at * ETAG_BYTES :]
    return Files(days, modified, sizes, etags)


class ScriptedArchive(SimulatedArchive):
    """A simulated archive, and a script's hold on it.

    Args:
        folders: What is recorded of each folder.
        market_gaps: Days on which the whole market was late.
        now: The archive's clock.
        dataset: What the files are of.
    """

    def __init__(
        self,
        folders: Iterable[FolderFacts],
        market_gaps: Sequence[Gap] = (),
        now: Clock = None,
        dataset: Dataset = DEFAULT_DATASET,
    ) -> None:
        self.dataset = dataset
        self.lock = threading.RLock()
        self._last_published: int | None = None
        self._revision = 0
        self._clock = now
        self._scripted = {facts.symbol: self._new_folder(facts, market_gaps) for facts in folders}
        self._put_together()

    @classmethod
    def recorded(cls, symbols: int | Sequence[str] | None = None, now: Clock = None) -> Self:
        """The archive as it is recorded; see `SimulatedArchive.recorded`.

        Args:
            symbols: Which folders.
            now: Its clock; the real one by default.
        """
        facts = recorded_facts()
        return cls(choose(facts.folders, symbols), facts.market_gaps, now)

    @classmethod
    def empty(cls, now: Clock = None, dataset: Dataset = DEFAULT_DATASET) -> Self:
        """An archive without a folder."""
        return cls((), (), now, dataset)

    def now(self) -> dt.datetime:
        """The moment of the archive's clock, naive in UTC."""
        return moment_of(int(self.seconds()))

    def seconds(self) -> float:
        """The moment of the archive's clock in seconds since 1970."""
        return seconds_by(self._clock)

    def set_now(self, now: Clock) -> None:
        """Set the archive's clock: a moment, a function that gives one, or None for the real time."""
        self._clock = now

    def set_last_published_day(self, day: dt.date | None) -> None:
        """Show every file up to this day and none after it, whatever the hour; None goes back to the clock."""
        self._last_published = None if day is None else day_number(day)

    def exchange_day(self) -> dt.date:
        """Today, or the day after the last published one if that is set."""
        return super().exchange_day() if self._last_published is None else day_of(self._last_published + 1)

    def add_symbol(
        self,
        name: str,
        first_day: dt.date,
        last_day: dt.date | None = None,
        live_zip_bytes: int = 46_000,
        kind: str = "perpetual",
        status: str = "TRADING",
    ) -> None:
        """Add a folder with a file for every day from the first to the last, or without an end.

        Args:
            name: The symbol; it ends in its quote asset.
            first_day: Day of its first file.
            last_day: Day of its last file.
            live_zip_bytes: Bytes of a median day.
            kind: `perpetual`, `tradifi_perpetual`, `settled` or `delivery`.
            status: What exchangeInfo says of it.
        """
        with self.lock:
            if name in self._scripted:
                raise UsageError(f"the folder {name} exists already; remove_symbol() comes first")
            quote = quote_of(name, self.dataset)
            facts = FolderFacts(name, kind, quote, first_day, last_day, live_zip_bytes, None, status)
            self._scripted[name] = self._new_folder(facts)
            self._put_together()

    def remove_symbol(self, name: str) -> None:
        """Take a folder away with all its files."""
        with self.lock:
            self._folder(name)
            del self._scripted[name]
            self._put_together()

    def add_file(
        self, symbol: str, day: dt.date, size: int | None = None, last_modified: dt.datetime | None = None
    ) -> None:
        """Add a file where none is visible.

        Args:
            symbol: An existing folder.
            day: The file's day.
            size: Bytes; those of a median day by default.
            last_modified: When it appears, now by default; in UTC unless it has a time zone.
        """
        with self.lock:
            if self.file(symbol, day) is not None:
                raise UsageError(f"{symbol} has a file of {day} already; replace_file() changes it")
            moment = int(self.seconds()) if last_modified is None else seconds_of(last_modified)
            size = self._folder(symbol).facts.live_zip_bytes if size is None else size
            self._change(symbol, day, size, moment, moment)

    def replace_file(
        self, symbol: str, day: dt.date, size: int | None = None, last_modified: dt.datetime | None = None
    ) -> None:
        """Put another file in the place of a visible one, with a new ETag.

        Args:
            symbol: An existing folder.
            day: The file's day.
            size: Bytes; as before by default.
            last_modified: When it was replaced, now by default; in UTC unless it has a time zone.
        """
        with self.lock:
            old = self._existing(symbol, day)
            moment = int(self.seconds()) if last_modified is None else seconds_of(last_modified)
            visible_from = min(int(self.seconds()), seconds_of(old.last_modified))
            self._change(symbol, day, old.size if size is None else size, moment, visible_from)

    def remove_file(self, symbol: str, day: dt.date) -> None:
        """Take a visible file and its CHECKSUM away, for good."""
        with self.lock:
            self._existing(symbol, day)
            self._folder(symbol).change(day_number(day), None)

    def symbols(self) -> list[str]:
        """Names of the folders that have a visible file, in the archive's order."""
        with self.lock:
            now = self.seconds()
            return [folder.facts.symbol for folder in self.folders() if folder.has_files(now)]

    def files(self, symbol: str) -> list[dt.date]:
        """Days of a folder's visible files, oldest first; empty if there is no such folder."""
        with self.lock:
            files = self.visible(symbol)
        return [] if files is None else [day_of(number) for number in files.days]

    def file(self, symbol: str, day: dt.date) -> SimulatedFile | None:
        """One visible file."""
        with self.lock:
            files = self.visible(symbol)
        at = None if files is None else files.index(day_number(day))
        if files is None or at is None:
            return None
        return SimulatedFile(files.sizes[at], moment_of(files.modified[at]), f'"{files.etag(at)}"')

    def _put_together(self) -> None:
        super().__init__(self._scripted.values(), self.dataset)

    def _new_folder(self, facts: FolderFacts, market_gaps: Iterable[Gap] = ()) -> ScriptedFolder:
        return ScriptedFolder(facts, market_gaps, lambda: self._last_published)

    def _change(self, symbol: str, day: dt.date, size: int, modified: int, visible_from: int) -> None:
        self._revision += 1
        number = day_number(day)
        etags = hashlib.shake_128(f"change {symbol} {number} {self._revision}".encode()).digest(ETAG_BYTES)
        self._folder(symbol).change(number, Change(size, modified, etags, visible_from))

    def _existing(self, symbol: str, day: dt.date) -> SimulatedFile:
        self._folder(symbol)
        file = self.file(symbol, day)
        if file is None:
            raise UsageError(f"{symbol} has no visible file of {day}; add_file() makes one")
        return file

    def _folder(self, symbol: str) -> ScriptedFolder:
        folder = self._scripted.get(symbol)
        if folder is None:
            raise UsageError(f"there is no folder {symbol}; add_symbol() makes one")
        return folder


def quote_of(name: str, dataset: Dataset = DEFAULT_DATASET) -> str:
    """The quote asset at the end of a symbol's name, the first of the dataset's if none is known there."""
    plain = name.split("_", maxsplit=1)[0].removesuffix("SETTLED").removesuffix("SETTLED")
    return next((quote for quote in dataset.quotes if plain.endswith(quote)), dataset.quotes[0])
