"""The archive's content: which folders and files there are at a moment, and changes that a script makes.

Belongs here: `SimulatedArchive`, what tests and demos hold in their hands. Does not belong here: what one
folder looks like (`folder.py`), and anything of HTTP or S3 (`listing.py`, `s3.py`, `server.py`).
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from availability_pipeline.errors import UsageError
from availability_pipeline.simulator.facts import FolderFacts, Hole, recorded_facts
from availability_pipeline.simulator.folder import Change, Files, Folder, Moment
from availability_pipeline.simulator.selection import choose, key_order, quote_of
from availability_pipeline.simulator.shape import change_etags
from availability_pipeline.simulator.stamps import SECONDS_PER_DAY, day_number, day_of, moment_of, seconds_of

Clock = Callable[[], dt.datetime] | dt.datetime | None
"""A moment that stands still, one that moves, or the real time; without a time zone it is UTC."""


def seconds_by(clock: Clock) -> float:
    """The moment of a clock in seconds since 1970."""
    if clock is None:
        return time.time()
    return seconds_of(clock() if callable(clock) else clock)


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


class SimulatedArchive:
    """The files of an archive at every moment, and a script's hold on them.

    Every method may be called from any thread while a server serves the archive.

    Args:
        folders: What is recorded of each folder.
        market_holes: Days on which the whole market was late.
        now: The archive's clock.
    """

    def __init__(
        self, folders: Iterable[FolderFacts], market_holes: Sequence[Hole] = (), now: Clock = None
    ) -> None:
        self.lock = threading.RLock()
        self._folders = {facts.symbol: Folder(facts, market_holes) for facts in folders}
        self._ordered: tuple[Folder, ...] | None = None
        self._last_published: int | None = None
        self._revision = 0
        self._clock = now

    @classmethod
    def recorded(cls, symbols: int | Sequence[str] | None = None, now: Clock = None) -> SimulatedArchive:
        """The archive as it is recorded.

        Args:
            symbols: None for all folders, some of them by name, or how many of the tracked kind (USDT perpetuals,
                living and settled): the largest and the odd ones first, then by name.
            now: Its clock; the real one by default.

        Raises:
            UsageError: A name is not recorded, or there are not that many.
        """
        facts = recorded_facts()
        return cls(choose(facts.folders, symbols), facts.market_holes, now)

    @classmethod
    def empty(cls, now: Clock = None) -> SimulatedArchive:
        """An archive without a folder."""
        return cls((), (), now)

    def now(self) -> dt.datetime:
        """The moment of the archive's clock, naive in UTC."""
        return moment_of(int(self.seconds()))

    def seconds(self) -> float:
        """The moment of the archive's clock in seconds since 1970."""
        return seconds_by(self._clock)

    def moment(self) -> Moment:
        """What decides at this instant which files are visible."""
        return Moment(self.seconds(), self._last_published)

    def set_now(self, now: Clock) -> None:
        """Set the archive's clock: a moment, a function that gives one, or None for the real time."""
        self._clock = now

    @property
    def last_published_day(self) -> dt.date | None:
        """What `set_last_published_day` set."""
        return None if self._last_published is None else day_of(self._last_published)

    def set_last_published_day(self, day: dt.date | None) -> None:
        """Show every file up to this day and none after it, whatever the hour; None goes back to the clock."""
        self._last_published = None if day is None else day_number(day)

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
            if name in self._folders:
                raise UsageError(f"the folder {name} exists already; remove_symbol() comes first")
            facts = FolderFacts(name, kind, quote_of(name), first_day, last_day, live_zip_bytes, None, status)
            self._folders[name] = Folder(facts)
            self._ordered = None

    def remove_symbol(self, name: str) -> None:
        """Take a folder away with all its files."""
        with self.lock:
            self._folder(name)
            del self._folders[name]
            self._ordered = None

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
            moment = self.moment()
            return [folder.facts.symbol for folder in self.folders() if folder.has_files(moment)]

    def files(self, symbol: str) -> list[dt.date]:
        """Days of a folder's visible files, oldest first; empty if there is no such folder."""
        files = self.visible(symbol)
        return [] if files is None else [day_of(number) for number in files.days]

    def file(self, symbol: str, day: dt.date) -> SimulatedFile | None:
        """One visible file."""
        files = self.visible(symbol)
        at = None if files is None else files.index(day_number(day))
        if files is None or at is None:
            return None
        return SimulatedFile(files.sizes[at], moment_of(files.modified[at]), f'"{files.etag(at)}"')

    def visible(self, symbol: str) -> Files | None:
        """The visible files of a folder as columns, or None without a folder."""
        with self.lock:
            folder = self._folders.get(symbol)
            return None if folder is None else folder.visible(self.moment())

    def folders(self) -> tuple[Folder, ...]:
        """All folders in the order of their keys, with or without visible files."""
        with self.lock:
            if self._ordered is None:
                self._ordered = tuple(self._folders[name] for name in sorted(self._folders, key=key_order))
            return self._ordered

    def exchange_day(self) -> dt.date:
        """The day that exchangeInfo speaks of: today, or the day after the last published one if that is set."""
        if self._last_published is not None:
            return day_of(self._last_published + 1)
        return day_of(int(self.seconds()) // SECONDS_PER_DAY)

    def _change(self, symbol: str, day: dt.date, size: int, modified: int, visible_from: int) -> None:
        self._revision += 1
        etags = change_etags(symbol, day_number(day), self._revision)
        self._folder(symbol).change(day_number(day), Change(size, modified, etags, visible_from))

    def _existing(self, symbol: str, day: dt.date) -> SimulatedFile:
        self._folder(symbol)
        file = self.file(symbol, day)
        if file is None:
            raise UsageError(f"{symbol} has no visible file of {day}; add_file() makes one")
        return file

    def _folder(self, symbol: str) -> Folder:
        folder = self._folders.get(symbol)
        if folder is None:
            raise UsageError(f"there is no folder {symbol}; add_symbol() makes one")
        return folder
