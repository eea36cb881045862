"""Keys in order: how a key is made, where it is among all, and which keys a page of a listing has.

Belongs here: the grammar of keys, and prefix, delimiter, start and limit of a listing over all folders. Does not
belong here: how a page is asked for and written as XML (`s3.py`).

A contract has for each dataset two keys for each of its files, in a folder or not, and stray objects beside them or in
an empty-named child. No key is looked at that is not on the page: a position is found by bisection over folders and
days, and a page of many keys is a few runs of positions.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import is_
from typing import NamedTuple

from availability_pipeline.catalogue.datasets import Dataset
from availability_pipeline.simulator.content import Files, Folder, SimulatedArchive
from availability_pipeline.simulator.shape import DAY_TEXTS, MONTH_TEXTS, parse_day_text, parse_month_text

SUFFIXES = (".zip", ".zip.CHECKSUM")
"""How the two keys of a day end, in their order."""


class FileKey(NamedTuple):
    """A key that can be of a file: symbol, number of its day or of its first one, and whether it is the CHECKSUM."""

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
        self.root = f"data/{dataset.market.path}/{dataset.period}/{dataset.kind}/"
        self.inner = f"{dataset.interval}/" if dataset.interval else ""
        self._label = dataset.interval or dataset.kind
        is_daily = dataset.period == "daily"
        self.texts: Mapping[int, str] = DAY_TEXTS if is_daily else MONTH_TEXTS
        self.parse_date = parse_day_text if is_daily else parse_month_text
        self.date_length = len("2024-01-15" if is_daily else "2024-01")
        self._strays = _STRAYS if is_daily else {}

    def head(self, symbol: str) -> str:
        """What the names of a folder's files begin with."""
        return f"{symbol}-{self._label}-"

    def stem(self, symbol: str) -> str:
        """What the keys of a folder's files begin with."""
        return f"{self.root}{symbol}/{self.inner}{self.head(symbol)}"

    def parse(self, key: str) -> FileKey | None:
        """The parts of a key, or None if no file of the archive is named like this."""
        symbol = self.symbol_of(key) or ""
        stem = self.stem(symbol)
        if not key.startswith(stem):
            return None
        end = len(stem) + self.date_length
        day, suffix = self.parse_date(key[len(stem) : end]), key[end:]
        return FileKey(symbol, day, suffix == SUFFIXES[1]) if day is not None and suffix in SUFFIXES else None

    def file_name(self, symbol: str, day: int) -> str:
        """The name of a zip without its folder."""
        return f"{self.head(symbol)}{self.texts[day]}.zip"

    def checksum_size(self, symbol: str) -> int:
        """Bytes of a CHECKSUM: the hex digest, two spaces, the zip's name and the end of the line."""
        return 64 + 2 + len(self.file_name(symbol, 0).encode()) + 1

    def strays(self, symbol: str) -> tuple[str, ...]:
        """The keys of a folder's stray objects, as the real archive has them."""
        names = (*self._strays.get(("", symbol), ()), *self._strays.get((self.root, symbol), ()))
        return tuple(f"{self.root}{symbol}/{name}" for name in names)

    def symbol_of(self, path: str) -> str | None:
        """The symbol that a key or a prefix is inside of, or None for one above the folders."""
        symbol, slash, _ = path.removeprefix(self.root).partition("/")
        return symbol if path.startswith(self.root) and slash else None


_TRADES = "data/futures/um/daily/aggTrades/"
_STRAYS = {
    ("", "BTCUSDT"): ("/BTCUSDT--2021-03-01.zip",),
    (_TRADES, "BTCUSDT"): ("part-00000-4a6f5e8c-c000.zip",),
    # Sorts after the files of the contract's last days, 2022-05-13.
    (_TRADES, "LUNAUSDT"): ("LUNAUSDT-aggTrades-2022-5.zip",),
}
"""Stray objects by root and folder, the root being empty for all; they sort before or after all files of the folder."""


def stray_etag(key: str) -> str:
    """The unquoted ETag of a stray object."""
    return hashlib.shake_128(key.encode()).hexdigest(16)


STRAY_SIZE, STRAY_MODIFIED = 8_012, 1_614_668_400
"""Bytes of a stray object and the second it appeared in, 2021-03-02 07:00 UTC."""


class FolderKeys:
    """The keys of a folder's files of one dataset.

    Args:
        folder: The folder.
        names: How its keys are spelled.
    """

    def __init__(self, folder: Folder, names: KeyNames) -> None:
        self.folder = folder
        self.prefix = names.stem(folder.facts.symbol)
        self.start = self.prefix.encode()
        self.texts = names.texts
        self.checksum_size = names.checksum_size(folder.facts.symbol)
        self._date_length = names.date_length

    def count(self, now: float) -> int:
        """How many keys there are."""
        return 2 * len(self.folder.visible(now))

    def key(self, item: int, now: float) -> str:
        """The whole key at an index."""
        at, suffix = divmod(item, 2)
        return f"{self.prefix}{self.texts[self.folder.visible(now).days[at]]}{SUFFIXES[suffix]}"

    def seek(self, rest: bytes, now: float, *, after: bool) -> int:
        """Where the first key is whose part behind `prefix` is at least `rest`, or greater if `after`."""
        # Latin-1 keeps the order of bytes, and the date and suffix that count here are ASCII.
        text, files = rest.decode("latin-1"), self.folder.visible(now)
        date, suffix = text[: self._date_length], text[self._date_length :]
        at = bisect_left(files.days, date, key=self.texts.__getitem__)
        if at == len(files) or self.texts[files.days[at]] != date:
            return 2 * at
        return 2 * at + (bisect_right if after else bisect_left)(SUFFIXES, suffix)


class StrayKeys(FolderKeys):
    """The key of a stray object in a folder, which does not outlive the folder's files."""

    def __init__(self, folder: Folder, names: KeyNames, key: str) -> None:
        super().__init__(folder, names)
        self.prefix, self._ending = key[:-1], key[-1].encode()
        self.start = self.prefix.encode()
        self._key = key

    def count(self, now: float) -> int:
        """One, or none without files."""
        return min(1, len(self.folder.visible(now)))

    def key(self, item: int, now: float) -> str:  # noqa: ARG002 - there is only one
        """The whole key."""
        return self._key

    def seek(self, rest: bytes, now: float, *, after: bool) -> int:
        """Before or behind it."""
        return 0 if (rest, after) <= (self._ending, False) else self.count(now)


_BEYOND = b"\xff"
"""Sorts after every continuation of a key, as no UTF-8 text has this byte."""

Position = tuple[int, int]
"""Index of a folder, and of a key in it."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive keys of one folder and dataset: from index `start` to before `stop`."""

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
    """All keys of archives with the same root, in the order of their UTF-8 bytes.

    Args:
        archive: The archive.
        beside: Those of other intervals in the same folders.
    """

    def __init__(self, archive: SimulatedArchive, *beside: SimulatedArchive) -> None:
        self.archive = archive
        self.shelves = [(each, KeyNames(each.dataset)) for each in (archive, *beside)]
        self.names = self.shelves[0][1]
        self._inners = [f"/{names.inner}" for _, names in self.shelves if names.inner]
        self._folders: list[tuple[Folder, ...]] = []
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
        if not delimiter or (delimiter == "/" and any(inner in prefix for inner in self._inners)):
            return self._plain(start, end, limit)
        return self._rolled_up(start, end, prefix, after, delimiter, limit)

    def _refresh(self) -> None:
        """Take the moment, and the folders if they changed: a page is one reading of all keys."""
        self._now, folders = self.archive.seconds(), [archive.folders() for archive, _ in self.shelves]
        if len(folders) == len(self._folders) and all(map(is_, folders, self._folders)):
            return
        self._folders = folders
        keys = [
            FolderKeys(folder, names)
            for (_, names), each in zip(self.shelves, folders, strict=True)
            for folder in each
        ]
        keys += [
            StrayKeys(folder, self.names, key)
            for folder in folders[0]
            for key in self.names.strays(folder.facts.symbol)
        ]
        self._keys = sorted(keys, key=lambda each: each.start)
        self._starts = [each.start for each in self._keys]

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
