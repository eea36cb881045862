"""Keys in order: where a key is among all, and which of them a page of a listing has.

Belongs here: prefix, delimiter, start and limit of a listing over the keys of all folders. Does not belong
here: how a page is asked for and written as XML (`s3.py`), and the keys within one folder (`keys.py`).

No key is looked at that is not on the page: a position is found by bisection over folders and days, and a page
of many keys is a few runs of positions.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from availability_pipeline.simulator.content import SimulatedArchive
from availability_pipeline.simulator.folder import Files, Folder, Moment
from availability_pipeline.simulator.keys import FolderKeys

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
        self._archive = archive
        self._folders: tuple[Folder, ...] = ()
        self._keys: list[FolderKeys] = []
        self._starts: list[bytes] = []

    def page(self, prefix: str, after: str, delimiter: str, limit: int) -> Page:
        """The first entries of a listing at this moment.

        Args:
            prefix: What all keys begin with.
            after: Only entries after this key or common prefix; empty for all.
            delimiter: What ends a common prefix; empty for none.
            limit: The most entries of the page.
        """
        with self._archive.lock:
            self._refresh()
            walk = _Walk(self._keys, self._starts, self._archive.moment())
            return walk.page(prefix, after, delimiter, limit) if limit > 0 else Page()

    def _refresh(self) -> None:
        folders = self._archive.folders()
        if folders is not self._folders:
            self._folders = folders
            self._keys = [FolderKeys(folder) for folder in folders]
            self._starts = [keys.start for keys in self._keys]


class _Walk:
    """One reading of the keys at one moment."""

    def __init__(self, keys: list[FolderKeys], starts: list[bytes], moment: Moment) -> None:
        self._keys = keys
        self._starts = starts
        self._moment = moment

    def page(self, prefix: str, after: str, delimiter: str, limit: int) -> Page:
        """See `KeySpace.page`."""
        first, last = prefix.encode(), after.encode()
        start = self._seek(last, after=True) if last >= first and last else self._seek(first)
        end = self._seek(first + _BEYOND)
        if not delimiter or (delimiter == "/" and "/1m/" in prefix):
            return self._plain(start, end, limit)
        return self._rolled_up(start, end, prefix, after, delimiter, limit)

    def _seek(self, target: bytes, *, after: bool = False) -> Position:
        """Position of the first key that is at least the target, or greater if `after`."""
        folder = bisect_right(self._starts, target) - 1
        if folder < 0 or not target.startswith(self._starts[folder]):
            return folder + 1, 0
        rest = target[len(self._starts[folder]) :]
        if rest.startswith(_BEYOND):
            return folder + 1, 0
        return folder, self._keys[folder].seek(rest, self._moment, after=after) if rest else 0

    def _plain(self, start: Position, end: Position, limit: int) -> Page:
        page = Page()
        folder, item = start
        while (folder, item) < end:
            keys = self._keys[folder]
            stop = end[1] if folder == end[0] else keys.count(self._moment)
            take = min(stop - item, limit - page.count)
            if take > 0:
                page.runs.append(Run(keys, keys.folder.visible(self._moment), item, item + take))
                page.count += take
            elif item < stop:
                page.truncated = True
                break
            folder, item = (folder, item + take) if item + take < stop else (folder + 1, 0)
        if page.runs:
            page.last = page.runs[-1].keys.key(page.runs[-1].stop - 1, self._moment)
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
                keys.key(item, self._moment), prefix, delimiter
            )
            if common is None or common > after:
                if page.count == limit:
                    page.truncated = True
                    break
                self._add(page, keys, item, common)
            position = (folder, item + 1) if common is None else self._seek(common.encode() + _BEYOND)
        return page

    def _exists(self, keys: FolderKeys, item: int) -> bool:
        return item < keys.count(self._moment) if item else keys.folder.has_files(self._moment)

    def _add(self, page: Page, keys: FolderKeys, item: int, common: str | None) -> None:
        page.count += 1
        if common is not None:
            page.prefixes.append(common)
            page.last = common
            return
        page.last = keys.key(item, self._moment)
        previous = page.runs[-1] if page.runs else None
        if previous is not None and previous.keys is keys and previous.stop == item:
            page.runs[-1] = Run(keys, previous.files, previous.start, item + 1)
        else:
            page.runs.append(Run(keys, keys.folder.visible(self._moment), item, item + 1))


def _common(key: str, prefix: str, delimiter: str) -> str | None:
    """The common prefix that a key (or the beginning of one) is rolled up into."""
    at = key.find(delimiter, len(prefix))
    return None if at < 0 else key[: at + len(delimiter)]
