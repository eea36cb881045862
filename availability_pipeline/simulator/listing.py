"""Keys in order: how a key is made, where it is among all, and which keys a page of a listing has.

Belongs here: the grammar of keys, and prefix, delimiter, start and limit of a listing over all folders. Does not
belong here: how a page is asked for and written as XML (`s3.py`).

A folder has at most one stray object in an empty-named child, then two keys for each of its days. No key is looked
at that is not on the page: a position is found by bisection over folders and days, and a page of many keys is a few
runs of positions.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

from availability_pipeline.catalogue import Dataset
from availability_pipeline.simulator.content import Files, Folder, SimulatedArchive
from availability_pipeline.simulator.shape import DAY_TEXTS, parse_day_text

SUFFIXES = (".zip", ".zip.CHECKSUM")
"""How the two keys of a day end, in their order."""

_DAY_LENGTH = len("2024-01-15")


class FileKey(NamedTuple):
    """A key that can be of a file: symbol, day number, and whether it is the CHECKSUM."""

    symbol: str
    day: int
    checksum: bool


class KeyNames:
    """How the keys of a dataset are spelled.

    Made of the dataset's words and not by its methods, with which the pipeline spells them.

    Args:
        dataset: The dataset.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.root = f"data/{dataset.market}/daily/{dataset.kind}/"
        self.inner = f"{dataset.interval}/" if dataset.interval else ""
        self._label = dataset.interval or dataset.kind

    def head(self, symbol: str) -> str:
        """What the names of a folder's files begin with."""
        return f"{symbol}-{self._label}-"

    def parse(self, key: str) -> FileKey | None:
        """The parts of a key, or None if no file of the archive is named like this."""
        symbol = self.symbol_of(key) or ""
        head = f"{self.root}{symbol}/{self.inner}{self.head(symbol)}"
        if not key.startswith(head):
            return None
        text, suffix = key[len(head) : len(head) + _DAY_LENGTH], key[len(head) + _DAY_LENGTH :]
        day = parse_day_text(text)
        return FileKey(symbol, day, suffix == SUFFIXES[1]) if day is not None and suffix in SUFFIXES else None

    def file_name(self, symbol: str, day: int) -> str:
        """The name of a zip without its folder."""
        return f"{self.head(symbol)}{DAY_TEXTS[day]}.zip"

    def checksum_size(self, symbol: str) -> int:
        """Bytes of a CHECKSUM: the hex digest, two spaces, the zip's name and the end of the line."""
        return 64 + 2 + len(f"{self.head(symbol)}2024-01-15.zip".encode()) + 1

    def symbol_of(self, path: str) -> str | None:
        """The symbol that a key or a prefix is inside of, or None for one above the folders."""
        symbol, slash, _ = path.removeprefix(self.root).partition("/")
        return symbol if path.startswith(self.root) and slash else None


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
        names: How its keys are spelled.
    """

    def __init__(self, folder: Folder, names: KeyNames) -> None:
        self.folder = folder
        self.symbol = folder.facts.symbol
        self.prefix = f"{names.root}{self.symbol}/"
        self.start = self.prefix.encode()
        self.stray = stray_name(self.symbol)
        self.strays = 0 if self.stray is None else 1
        self.head = f"{names.inner}{names.head(self.symbol)}"
        self.checksum_size = names.checksum_size(self.symbol)
        self._head = self.head.encode()

    def count(self, now: float) -> int:
        """How many keys there are; a stray does not outlive the files."""
        days = len(self.folder.visible(now))
        return self.strays + 2 * days if days else 0

    def key(self, item: int, now: float) -> str:
        """The whole key at an index."""
        if item < self.strays:
            return f"{self.prefix}{self.stray}"
        at, suffix = divmod(item - self.strays, 2)
        day = DAY_TEXTS[self.folder.visible(now).days[at]]
        return f"{self.prefix}{self.head}{day}{SUFFIXES[suffix]}"

    def seek(self, rest: bytes, now: float, *, after: bool) -> int:
        """Where the first key is whose part behind `prefix` is at least `rest`, or greater if `after`."""
        if self.stray is not None and (rest, after) <= (self.stray.encode(), False):
            return 0
        if rest <= self._head:
            return self.strays
        if not rest.startswith(self._head):
            return self.count(now)
        return self.strays + _seek_day(self.folder.visible(now), rest[len(self._head) :], after=after)


def _seek_day(files: Files, rest: bytes, *, after: bool) -> int:
    # Latin-1 keeps the order of bytes, and the day and suffix that count here are ASCII.
    text = rest.decode("latin-1")
    day, suffix = text[:_DAY_LENGTH], text[_DAY_LENGTH:]
    at = bisect_left(files.days, day, key=DAY_TEXTS.__getitem__)
    if at == len(files) or DAY_TEXTS[files.days[at]] != day:
        return 2 * at
    return 2 * at + (bisect_right if after else bisect_left)(SUFFIXES, suffix)


_BEYOND = b"\xff"
"""Sorts after every continuation of a key, as no UTF-8 text has this byte."""

Position = tuple[int, int]
"""Index of a folder, and of a key in it."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive keys of one folder: from index `start` to before `stop`."""

    keys: FolderKeys
    files: Files
    start: int
    stop: int


@dataclass
class Page:
    """One page of a listing.

    Args:
        runs: Its keys in order.
        prefixes: Its common prefixes in order.
        count: How many keys and common prefixes it has.
        last: The last of both.
        truncated: Whether more follow.
    """

    runs: list[Run] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    count: int = 0
    last: str = ""
    truncated: bool = False


class KeySpace:
    """All keys of an archive in the order of their UTF-8 bytes.

    Args:
        archive: The archive.
    """

    def __init__(self, archive: SimulatedArchive) -> None:
        self.archive = archive
        self.names = KeyNames(archive.dataset)
        self._folders: tuple[Folder, ...] = ()
        self._keys: list[FolderKeys] = []
        self._starts: list[bytes] = []
        self._now = 0.0

    def page(self, prefix: str, after: str, delimiter: str, limit: int) -> Page:
        """The first entries of a listing at this moment.

        Args:
            prefix: What all keys begin with.
            after: Only entries after this key or common prefix; empty for all.
            delimiter: What ends a common prefix; empty for none.
            limit: The most entries of the page.
        """
        if limit == 0:
            return Page()
        self._refresh()
        first, last = prefix.encode(), after.encode()
        start = self._seek(last, after=True) if last >= first and last else self._seek(first)
        end = self._seek(first + _BEYOND)
        if not delimiter or (delimiter == "/" and self.names.inner and f"/{self.names.inner}" in prefix):
            return self._plain(start, end, limit)
        return self._rolled_up(start, end, prefix, after, delimiter, limit)

    def _refresh(self) -> None:
        """Take the moment, and the folders if they changed: a page is one reading of all keys."""
        self._now, folders = self.archive.seconds(), self.archive.folders()
        if folders is not self._folders:
            self._folders = folders
            self._keys = [FolderKeys(folder, self.names) for folder in folders]
            self._starts = [keys.start for keys in self._keys]

    def _seek(self, target: bytes, *, after: bool = False) -> Position:
        """Position of the first key that is at least the target, or greater if `after`."""
        folder = bisect_right(self._starts, target) - 1
        if folder < 0 or not target.startswith(self._starts[folder]):
            return folder + 1, 0
        rest = target[len(self._starts[folder]) :]
        if rest.startswith(_BEYOND):
            return folder + 1, 0
        return folder, self._keys[folder].seek(rest, self._now, after=after) if rest else 0

    def _plain(self, start: Position, end: Position, limit: int) -> Page:
        page = Page()
        folder, item = start
        while (folder, item) < end:
            keys = self._keys[folder]
            stop = end[1] if folder == end[0] else keys.count(self._now)
            take = min(stop - item, limit - page.count)
            if take > 0:
                page.runs.append(Run(keys, keys.folder.visible(self._now), item, item + take))
                page.count += take
            elif item < stop:
                page.truncated = True
                break
            folder, item = (folder, item + take) if item + take < stop else (folder + 1, 0)
        if page.runs:
            page.last = page.runs[-1].keys.key(page.runs[-1].stop - 1, self._now)
        return page

    def _rolled_up(
        self, start: Position, end: Position, prefix: str, after: str, delimiter: str, limit: int
    ) -> Page:
        page = Page()
        position = start
        while position < end:
            folder, item = position
            keys = self._keys[folder]
            if not self._exists(keys, item):
                position = folder + 1, 0
                continue
            # The folder's own name often decides, and then its files need not be known.
            common = _common(keys.prefix, prefix, delimiter) or _common(
                keys.key(item, self._now), prefix, delimiter
            )
            if common is None or common > after:
                if page.count == limit:
                    page.truncated = True
                    break
                self._add(page, keys, item, common)
            position = (folder, item + 1) if common is None else self._seek(common.encode() + _BEYOND)
        return page

    def _exists(self, keys: FolderKeys, item: int) -> bool:
        return item < keys.count(self._now) if item else keys.folder.has_files(self._now)

    def _add(self, page: Page, keys: FolderKeys, item: int, common: str | None) -> None:
        page.count += 1
        if common is not None:
            page.prefixes.append(common)
            page.last = common
            return
        page.last = keys.key(item, self._now)
        previous = page.runs[-1] if page.runs else None
        if previous is not None and previous.keys is keys and previous.stop == item:
            page.runs[-1] = Run(keys, previous.files, previous.start, item + 1)
        else:
            page.runs.append(Run(keys, keys.folder.visible(self._now), item, item + 1))


def _common(key: str, prefix: str, delimiter: str) -> str | None:
    """The common prefix that a key (or the beginning of one) is rolled up into."""
    at = key.find(delimiter, len(prefix))
    return None if at < 0 else key[: at + len(delimiter)]
