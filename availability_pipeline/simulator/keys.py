"""The grammar of keys, and the keys of one folder in their order.

Belongs here: how a key is made from symbol and day, and taken apart. Does not belong here: keys of several
folders (`listing.py`).

A folder has at most one stray object in an empty-named child, then two keys for each of its days.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from typing import NamedTuple

from availability_pipeline.simulator.folder import Files, Folder, Moment
from availability_pipeline.simulator.stamps import DAY_TEXTS, parse_day_text

ROOT = "data/futures/um/daily/klines/"
"""Where the archive's folders are."""

SUFFIXES = (".zip", ".zip.CHECKSUM")
"""How the two keys of a day end, in their order."""

_DAY_LENGTH = len("2024-01-15")


class FileKey(NamedTuple):
    """A key that can be of a file: symbol, day number, and whether it is the CHECKSUM."""

    symbol: str
    day: int
    checksum: bool


def parse_key(key: str) -> FileKey | None:
    """The parts of a key, or None if no file of the archive is named like this."""
    symbol, _, name = key.removeprefix(ROOT).partition("/1m/")
    head = f"{symbol}-1m-"
    if not (key.startswith(ROOT) and name.startswith(head)):
        return None
    text, suffix = name[len(head) : len(head) + _DAY_LENGTH], name[len(head) + _DAY_LENGTH :]
    day = parse_day_text(text)
    return FileKey(symbol, day, suffix == SUFFIXES[1]) if day is not None and suffix in SUFFIXES else None


def file_name(symbol: str, day: int) -> str:
    """The name of a zip without its folder."""
    return f"{symbol}-1m-{DAY_TEXTS[day]}.zip"


def checksum_size(symbol: str) -> int:
    """Bytes of a CHECKSUM: the hex digest, two spaces, the zip's name and the end of the line."""
    return 64 + 2 + len(f"{symbol}-1m-2024-01-15.zip".encode()) + 1


def symbol_of(path: str) -> str | None:
    """The symbol that a key or a prefix is inside of, or None for one above the folders."""
    symbol, slash, _ = path.removeprefix(ROOT).partition("/")
    return symbol if path.startswith(ROOT) and slash else None


def stray_name(symbol: str) -> str | None:
    """What follows a folder's name in the key of its stray object, if it has one as in the real archive."""
    return f"/{symbol}--2021-03-01.zip" if symbol == "BTCUSDT" else None


def stray_etag(key: str) -> str:
    """The unquoted ETag of a stray object."""
    return hashlib.shake_128(key.encode()).hexdigest(16)


STRAY_SIZE, STRAY_MODIFIED = 8_012, 1_614_668_400
"""Bytes of the stray object and the second it appeared in, 2021-03-02 07:00 UTC."""


class FolderKeys:
    """The keys of one folder.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.symbol = folder.facts.symbol
        self.prefix = f"{ROOT}{self.symbol}/"
        self.start = self.prefix.encode()
        self.stray = stray_name(self.symbol)
        self.strays = 0 if self.stray is None else 1
        self._head = f"1m/{self.symbol}-1m-".encode()

    def count(self, moment: Moment) -> int:
        """How many keys there are; a stray does not outlive the files."""
        days = len(self.folder.visible(moment))
        return self.strays + 2 * days if days else 0

    def key(self, item: int, moment: Moment) -> str:
        """The whole key at an index."""
        if item < self.strays:
            return f"{self.prefix}{self.stray}"
        at, suffix = divmod(item - self.strays, 2)
        day = DAY_TEXTS[self.folder.visible(moment).days[at]]
        return f"{self.prefix}1m/{self.symbol}-1m-{day}{SUFFIXES[suffix]}"

    def seek(self, rest: bytes, moment: Moment, *, after: bool) -> int:
        """Where the first key is whose part behind `prefix` is at least `rest`, or greater if `after`."""
        if self.stray is not None and (rest, after) <= (self.stray.encode(), False):
            return 0
        if rest <= self._head:
            return self.strays
        if not rest.startswith(self._head):
            return self.count(moment)
        return self.strays + _seek_day(self.folder.visible(moment), rest[len(self._head) :], after=after)


def _seek_day(files: Files, rest: bytes, *, after: bool) -> int:
    # Latin-1 keeps the order of bytes, and the day and suffix that count here are ASCII.
    text = rest.decode("latin-1")
    day, suffix = text[:_DAY_LENGTH], text[_DAY_LENGTH:]
    at = bisect_left(files.days, day, key=DAY_TEXTS.__getitem__)
    if at == len(files) or DAY_TEXTS[files.days[at]] != day:
        return 2 * at
    return 2 * at + (bisect_right if after else bisect_left)(SUFFIXES, suffix)
