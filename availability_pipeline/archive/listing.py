"""What the bucket has: the folders of all contracts, and the files of contracts over a range of days.

Which pages are asked for is decided here, and whether they agree with each other. Whether a single page can be
believed is for `pages` to say; what passes both is complete, so that a key that is not in it is not in the archive.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from threading import Lock

import pyarrow as pa

from availability_pipeline.archive.batch import Job, Progress, raise_together, run_side_by_side
from availability_pipeline.archive.client import (
    MAX_KEYS,
    CheckedPage,
    ListingClient,
    checked_page,
    unexpected,
)
from availability_pipeline.archive.files import files_of_page, is_file, join_files, strays_of_page
from availability_pipeline.archive.names import FileKey, Symbol, UnknownName, parse_folder, parse_key
from availability_pipeline.catalogue.datasets import CHECKSUM, Dataset
from availability_pipeline.dates import DayRange
from availability_pipeline.errors import ArchiveError

DAYS_PER_PAGE = MAX_KEYS // 2
"""A day is two keys: the zip and its checksum."""


@dataclass(frozen=True)
class Folders:
    """The contracts that have a folder, and the folder names that are no contract's."""

    symbols: tuple[Symbol, ...]
    unknown: tuple[str, ...]
    pages: int
    clock_confirmed: bool
    """Whether the archive named the moment that the machine's clock says."""


@dataclass(frozen=True)
class FolderQuery:
    """Which files of one contract are asked for."""

    symbol: str
    days: DayRange
    known_day: dt.date | None = None
    """A day before `days` that is known to have a file, the last such. Listing begins there, so that an answer
    with nothing in it is an exception, and worth the requests that make sure of it."""
    may_be_absent: bool = False
    """Whether the contract may have no such folder at all, as one whose first month is not over has none of months."""


@dataclass
class Listing:
    """The files that a listing found, and what it took."""

    files: pa.Table
    """`files.FILES`, in no particular order."""
    pages: int = 0
    keys: int = 0
    strays: tuple[str, ...] = ()
    """Keys that are neither a zip nor a checksum of the dataset, among and behind those of the range, sorted."""


def list_folders(client: ListingClient) -> Folders:
    """All folders under the root of the dataset, page after page.

    Raises:
        ArchiveError: A page could not be had or contradicts itself, or there is no folder at all.
        ClockError: The machine's clock is not the archive's.
    """
    prefixes: list[str] = []
    tokens: set[str] = set()
    parameters: dict[str, str] = {"Prefix": client.dataset.root, "Delimiter": "/"}
    while True:
        page = checked_page(client, None, after=prefixes[-1] if prefixes else "", **parameters)
        prefixes += page.prefixes
        if page.token is None:
            break
        if page.token in tokens:
            raise unexpected(client, None, "the listing repeats its continuation token")
        tokens.add(page.token)
        parameters["ContinuationToken"] = page.token
    if not prefixes:
        raise unexpected(client, None, "the listing has no contract in it; check AVAILABILITY_S3_BUCKET")
    return _sorted_out(client.dataset, prefixes, pages=len(tokens) + 1, clock_confirmed=page.clock_confirmed)


def _sorted_out(dataset: Dataset, prefixes: Iterable[str], pages: int, *, clock_confirmed: bool) -> Folders:
    symbols, unknown = [], []
    for prefix in prefixes:
        try:
            symbols.append(parse_folder(dataset, prefix))
        except UnknownName:
            unknown.append(prefix)
    return Folders(tuple(symbols), tuple(unknown), pages, clock_confirmed)


def list_files(
    client: ListingClient,
    queries: Sequence[FolderQuery],
    *,
    connections: int,
    progress: Progress,
) -> Listing:
    """The files of several contracts, asked for side by side.

    Args:
        client: Where to look.
        queries: What is asked for; those of one contract do not overlap.
        connections: Requests under way at once.
        progress: Told of each page, and of those that turn out to be needed.

    Raises:
        ArchiveError: A contract could not be listed; ArchiveFailures if several could not.
    """
    collector = _Collector(client, progress)
    jobs: list[Job] = [partial(collector.first_page, query) for query in queries]
    run_side_by_side(jobs, threads=connections, attempted=len(queries), turn=client.turn)
    raise_together(collector.contradictions(), len(queries))
    files = join_files(collector.batches, collector.torn_off)
    return Listing(files, collector.pages, collector.keys, tuple(sorted(collector.strays)))


@dataclass
class _Collector:
    """The pages of one `list_files`; its methods run in several threads."""

    client: ListingClient
    progress: Progress
    batches: list[pa.RecordBatch] = field(default_factory=list)
    torn_off: set[FileKey] = field(default_factory=set)
    """Checksums that begin a page whose predecessor ends with their zip."""
    strays: set[str] = field(default_factory=set)
    pages: int = 0
    keys: int = 0
    _shown: dict[FolderQuery, str] = field(default_factory=dict)
    """By query, the last key that any page showed."""
    _promised: dict[FolderQuery, str] = field(default_factory=dict)
    """By query, the last key of which a page said that more follow, within the range."""
    _ends: dict[FolderQuery, str] = field(default_factory=dict)
    """By query, the first key after which a page said that nothing follows."""
    _lock: Lock = field(default_factory=Lock)

    @property
    def _dataset(self) -> Dataset:
        return self.client.dataset

    def first_page(self, query: FolderQuery) -> list[Job]:
        """Ask where the range begins; the last key of a full page tells where to cut the rest."""
        begin = query.known_day or query.days.start
        page = self._page(query, self._dataset.day_mark(query.symbol, begin), DayRange(begin, query.days.end))
        if not page.names:
            self._confirm_folder(query)
            return []
        last = page.names[-1]
        if page.token is None or last >= self._last_name(query):
            return []
        return self._rest(query, last)

    def _rest(self, query: FolderQuery, last: str) -> list[Job]:
        """Slices of as many days as a page holds, to be fetched side by side."""
        try:
            seen = parse_key(self._dataset, last)
        except UnknownName:
            self.progress.grow(1)
            return [partial(self._slice, query, last, query.days)]
        # Between a known day and the range nothing is asked for, so the first page may end before the range.
        next_day = seen.day + dt.timedelta(days=1)
        # A page that ends with a zip leaves its checksum to the next one.
        start = max(next_day if seen.checksum else seen.day, query.days.start)
        after = last if start <= next_day else self._dataset.day_mark(query.symbol, start)
        jobs: list[Job] = []
        while start <= query.days.end:
            end = min(start + dt.timedelta(days=DAYS_PER_PAGE - 1), query.days.end)
            jobs.append(partial(self._slice, query, after, DayRange(start, end)))
            start = end + dt.timedelta(days=1)
            after = self._dataset.key(query.symbol, end, checksum=True)
        self.progress.grow(len(jobs))
        return jobs

    def _slice(self, query: FolderQuery, after: str, days: DayRange) -> list[Job]:
        page = self._page(query, after, days)
        end = self._dataset.key(query.symbol, days.end, checksum=True)
        if page.token is None or page.names[-1] >= end:
            return []
        self.progress.grow(1)
        return [partial(self._slice, query, page.names[-1], days)]

    def _page(self, query: FolderQuery, after: str, days: DayRange) -> CheckedPage:
        """One page after a key, its files up to the end of the days kept."""
        page = checked_page(
            self.client,
            query.symbol,
            after=after,
            Prefix=self._dataset.folder(query.symbol),
            StartAfter=after,
            # With room for what is behind the last day, if that is the newest.
            MaxKeys=min(MAX_KEYS, 2 * len(days) + 2),
        )
        kept = _rows_within(self._dataset, page.names, query.symbol, DayRange(query.days.start, days.end))
        try:
            files = files_of_page(
                self._dataset,
                query.symbol,
                page.names[kept],
                page.entries.last_modified[kept],
                page.entries.sizes[kept],
            )
        except (ValueError, OverflowError) as error:
            problem = f"the listing has a key with an unreadable size or last-modified: {error}"
            raise unexpected(self.client, query.symbol, problem) from error
        strays = strays_of_page(self._dataset, page.names[kept], files)
        strays += takewhile(lambda name: not is_file(self._dataset, name), reversed(page.names[kept.stop :]))
        with self._lock:
            self.batches.append(files)
            self.strays.update(strays)
            self.torn_off.update(_leading_checksum(self._dataset, page.names))
            self.pages += 1
            self.keys += len(page.names)
            self._note(query, page, after)
        self.progress.advance()
        return page

    def _note(self, query: FolderQuery, page: CheckedPage, after: str) -> None:
        """Remember what a page shows and says to follow, to be compared with the query's other pages."""
        last = page.names[-1] if page.names else after
        if page.names:
            self._shown[query] = max(last, self._shown.get(query, ""))
        if page.token is None:
            self._ends[query] = min(last, self._ends.get(query, last))
        elif last >= self._dataset.day_mark(query.symbol, query.days.start):
            self._promised[query] = max(last, self._promised.get(query, ""))

    def contradictions(self) -> list[ArchiveError]:
        """One failure for each query whose pages disagree: one is the last, and others show or promise more."""
        problem = "the pages of the listing contradict each other about where it ends"
        return [
            unexpected(self.client, query.symbol, problem)
            for query, end in self._ends.items()
            if (shown := self._shown.get(query, "")) > end or shown == self._promised.get(query)
        ]

    def _confirm_folder(self, query: FolderQuery) -> None:
        """An answer without keys counts only if the folder has keys elsewhere, and none when it is asked again.

        A folder that has other intervals and not that of the dataset counts as well.
        """
        # In this order, so that neither one empty answer nor several in a row are believed.
        any_key = self._one_key(query, "")
        if not any_key and (query.may_be_absent or self._has_only_other_intervals(query)):
            return
        if not any_key or any(
            key <= self._last_name(query) for key in self._one_key(query, self._before(query))
        ):
            problem = "the folder is there, but the listing shows no file in it"
            raise unexpected(self.client, query.symbol, problem)

    def _has_only_other_intervals(self, query: FolderQuery) -> bool:
        if self._dataset.interval is None:
            return False
        folder = f"{self._dataset.root}{query.symbol}/"
        page = checked_page(self.client, query.symbol, after="", Prefix=folder, Delimiter="/")
        with self._lock:
            self.pages += 1
        return (
            page.token is None
            and bool(page.prefixes)
            and self._dataset.folder(query.symbol) not in page.prefixes
        )

    def _one_key(self, query: FolderQuery, after: str) -> list[str]:
        """The first key after another one in the contract's folder, or none."""
        start = {"StartAfter": after} if after else {}
        page = checked_page(
            self.client,
            query.symbol,
            after=after,
            Prefix=self._dataset.folder(query.symbol),
            MaxKeys=1,
            **start,
        )
        with self._lock:
            self.pages += 1
        return page.names

    def _before(self, query: FolderQuery) -> str:
        return self._dataset.day_mark(query.symbol, query.known_day or query.days.start)

    def _last_name(self, query: FolderQuery) -> str:
        return self._dataset.key(query.symbol, query.days.end, checksum=True)


def _leading_checksum(dataset: Dataset, names: Sequence[str]) -> Iterator[FileKey]:
    """The checksum that a page begins with, if it does: its zip can only be on another page."""
    if names and names[0].endswith(CHECKSUM):
        with suppress(UnknownName):
            yield parse_key(dataset, names[0])


def _rows_within(dataset: Dataset, names: list[str], symbol: str, days: DayRange) -> slice:
    """Which of the keys, which are in order, belong to those days."""
    start = bisect_left(names, dataset.day_mark(symbol, days.start))
    return slice(start, bisect_right(names, dataset.key(symbol, days.end, checksum=True), lo=start))
