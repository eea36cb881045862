"""What scripts can do to the files of an archive of any kind.

Every method may be called from any thread while a server serves the archive.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace

from availability_pipeline.errors import UsageError
from availability_pipeline.simulator.content import Files, SimulatedArchive
from availability_pipeline.simulator.shape import ETAG_BYTES, day_number, day_of

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
    body: bytes | None = None
    """What GET gives, if that is scripted."""


class Scripted:
    """What scripts change in a folder of any kind."""

    def __init__(self) -> None:
        self.changes: dict[int, Change | None] = {}
        self.checksums: dict[int, bytes] = {}

    def change(self, day: int, change: Change | None) -> None:
        """Set one file, or take it away."""
        self.changes[day] = change

    def default_size(self, day: int) -> int:
        """Bytes of an added file."""
        raise NotImplementedError

    def scripted_body(self, day: int) -> bytes | None:
        """The scripted content of a file."""
        change = self.changes.get(day)
        return None if change is None else change.body


def changed_files(files: Files, changes: dict[int, Change | None]) -> Files:
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


class FileScript(SimulatedArchive):
    """A script's hold on the files of an archive."""

    lock: threading.RLock
    _revision = 0

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

    def add_file(
        self,
        symbol: str,
        day: dt.date,
        size: int | None = None,
        last_modified: dt.datetime | None = None,
        body: bytes | None = None,
    ) -> None:
        """Add a file where none is visible.

        Args:
            symbol: An existing folder.
            day: The file's day, or the first of its month.
            size: Bytes; those of the body or of an ordinary file by default.
            last_modified: When it appears, now by default; in UTC unless it has a time zone.
            body: What GET gives; by default what belongs in the file.
        """
        with self.lock:
            if self.file(symbol, day) is not None:
                raise UsageError(f"{symbol} has a file of {day} already; replace_file() changes it")
            moment = int(self.seconds()) if last_modified is None else seconds_of(last_modified)
            default = self._folder(symbol).default_size(day_number(day)) if body is None else len(body)
            self._change(symbol, day, Change(default if size is None else size, moment, b"", moment, body))

    def replace_file(
        self,
        symbol: str,
        day: dt.date,
        size: int | None = None,
        last_modified: dt.datetime | None = None,
        body: bytes | None = None,
    ) -> None:
        """Put another file in the place of a visible one, with a new ETag.

        Args:
            symbol: An existing folder.
            day: The file's day, or the first of its month.
            size: Bytes; those of the body, or as before, by default.
            last_modified: When it was replaced, now by default; in UTC unless it has a time zone.
            body: What GET gives; by default what belongs in the file.
        """
        with self.lock:
            old = self._existing(symbol, day)
            moment = int(self.seconds()) if last_modified is None else seconds_of(last_modified)
            visible_from = min(int(self.seconds()), seconds_of(old.last_modified))
            default = old.size if body is None else len(body)
            self._change(
                symbol, day, Change(default if size is None else size, moment, b"", visible_from, body)
            )

    def remove_file(self, symbol: str, day: dt.date) -> None:
        """Take a visible file and its CHECKSUM away, for good."""
        with self.lock:
            self._existing(symbol, day)
            self._folder(symbol).change(day_number(day), None)

    def set_checksum(self, symbol: str, day: dt.date, text: bytes) -> None:
        """Let GET of a visible file's CHECKSUM give this text; listings do not change."""
        with self.lock:
            self._existing(symbol, day)
            self._folder(symbol).checksums[day_number(day)] = text

    def _change(self, symbol: str, day: dt.date, change: Change) -> None:
        self._revision += 1
        number = day_number(day)
        etags = hashlib.shake_128(f"change {symbol} {number} {self._revision}".encode()).digest(ETAG_BYTES)
        self._folder(symbol).change(number, replace(change, etags=etags))

    def _existing(self, symbol: str, day: dt.date) -> SimulatedFile:
        self._folder(symbol)
        file = self.file(symbol, day)
        if file is None:
            raise UsageError(f"{symbol} has no visible file of {day}; add_file() makes one")
        return file

    def _folder(self, symbol: str) -> Scripted:
        folder = self.folder(symbol)
        if folder is None:
            raise UsageError(f"there is no folder {symbol}; add_symbol() makes one")
        assert isinstance(folder, Scripted)
        return folder
