"""The daily bars of contracts: finding the files that have them, and reading those that are new or were replaced.

Months that are over come from monthly files. Days of which no monthly file has a bar come from daily files: those of
the current month, 2019-12-31, and days that a monthly file lacks. A range of days is listed, a single day is asked for
file by file. What is wrong with a file is recorded and stops nothing; a request that fails stops everything.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import duckdb
import pyarrow as pa

from availability_pipeline.archive.batch import Job, Progress, run_side_by_side
from availability_pipeline.archive.client import ListingClient
from availability_pipeline.archive.contents import Fetched, ManyBars, Packed, fetch, read_many_bars
from availability_pipeline.archive.http import Session
from availability_pipeline.archive.listing import FolderQuery, list_files
from availability_pipeline.archive.probing import probe_files
from availability_pipeline.collecting.collect import choose
from availability_pipeline.dates import DayRange, utc_now, utc_today
from availability_pipeline.errors import ArchiveFailures
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse import volume, writes
from availability_pipeline.warehouse.volume import BARS, READ, FileId, Version

FILES_AT_ONCE = 2_000
"""Files that are downloaded before their bars are read together, which takes a fraction of the time of one by one."""


@dataclass(frozen=True)
class VolumePlan:
    """What one run reads."""

    days: DayRange
    symbols: tuple[str, ...]
    first_days: Mapping[str, dt.date]
    """By contract, its first day with a file or a bar."""
    read: Mapping[FileId, Version]
    """The files that were read before."""
    monthly: Mapping[str, int]
    """By contract, the days whose bars are from monthly files: bits, of which that of `whole_months.start` is 1."""

    @property
    def whole_months(self) -> DayRange:
        """From the first day of the first month to the last day of the last one."""
        return _whole_months(self.days)

    @property
    def months(self) -> DayRange | None:
        """From the first day of the first month to that of the last one that is over; None if none is."""
        first = self.days.start.replace(day=1)
        last = min(self.days.end, _month_before(utc_today())).replace(day=1)
        return DayRange(first, last) if first <= last else None


def _month_before(day: dt.date) -> dt.date:
    return day.replace(day=1) - dt.timedelta(days=1)


def _whole_months(days: DayRange) -> DayRange:
    return DayRange(days.start.replace(day=1), last_day_of("monthly", days.end))


def last_day_of(source: str, date: dt.date) -> dt.date:
    """The last day that a file is about."""
    return date if source == "daily" else _month_before(date.replace(day=28) + dt.timedelta(days=7))


def plan_volume(
    connection: duckdb.DuckDBPyConnection, days: DayRange, only: Sequence[str] = ()
) -> VolumePlan:
    """Plan the reading of the bars of some days.

    Args:
        connection: The working database.
        days: The days.
        only: The contracts; all tracked ones if empty.

    Raises:
        UsageError: One of `only` is not tracked, or no contract is.
    """
    whole_months = _whole_months(days)
    return VolumePlan(
        days=days,
        symbols=tuple(choose(writes.tracked_symbols(connection), only)),
        first_days=volume.first_days(connection),
        read=volume.files_read(connection, whole_months),
        monthly=volume.days_of_monthly_bars(connection, whole_months),
    )


class File(NamedTuple):
    """A file to read."""

    symbol: str
    source: str
    date: dt.date

    @property
    def days(self) -> DayRange:
        """The days that it is about."""
        return DayRange(self.date, last_day_of(self.source, self.date))


@dataclass
class Volume:
    """What was read: files as `volume.READ`, bars as `volume.BARS`."""

    files: pa.Table
    bars: pa.Table
    requests: int


def collect_volume(plan: VolumePlan, settings: Settings, progress: Progress) -> Volume:
    """Find and read the files that are new or were replaced.

    Raises:
        ArchiveError: A request failed; ArchiveFailures for several.
    """
    with Session(settings.connections, anonymous=True) as session:
        reader = _Reader(plan, settings, progress, session)
        if plan.months:
            queries = [FolderQuery(symbol, plan.months, may_be_absent=True) for symbol in plan.symbols]
            reader.read(reader.changed("monthly", reader.listed("monthly", queries)))
        covered = reader.covered()
        lacking = {symbol: reader.lacking(symbol, covered.get(symbol, 0)) for symbol in plan.symbols}
        if len(plan.days) > 1:
            queries = [
                FolderQuery(symbol, stretch, may_be_absent=True)
                for symbol, days in lacking.items()
                for stretch in stretches(days, plan.whole_months.start)
            ]
            reader.read(reader.changed("daily", reader.listed("daily", queries)))
        else:
            reader.read(reader.new_or_changed_of_day([symbol for symbol, days in lacking.items() if days]))
    return reader.result()


def stretches(days: int, first_day: dt.date) -> Iterator[DayRange]:
    """Days that are the bits of a number as ranges without a gap.

    Args:
        days: The days.
        first_day: The one whose bit is 1.
    """
    while days:
        start = (days & -days).bit_length() - 1
        length = (~(days >> start) & ((days >> start) + 1)).bit_length() - 1
        first = first_day + dt.timedelta(days=start)
        yield DayRange(first, first + dt.timedelta(days=length - 1))
        days &= ~(_bits(length) << start)


def _bits(count: int) -> int:
    """So many bits."""
    return (1 << count) - 1


@dataclass
class _Reader:
    """What one run has read."""

    plan: VolumePlan
    settings: Settings
    progress: Progress
    session: Session
    requests: int = 0
    _files: list[pa.Table] = field(default_factory=list)
    _bars: list[pa.Table] = field(default_factory=list)

    def listed(self, source: str, queries: Sequence[FolderQuery]) -> pa.Table:
        """The files of a kind, as the bucket lists them (`archive.files.FILES`)."""
        self.progress.stage(f"listing {source} files of daily bars", len(queries), "pages")
        client = ListingClient(self._settings_of(source))
        try:
            found = list_files(client, queries, connections=self.settings.connections, progress=self.progress)
        finally:
            client.close()
        self.requests += found.pages
        return found.files

    def changed(self, source: str, files: pa.Table) -> list[File]:
        """The files that were never read, or in another version."""
        columns = (files[name].to_pylist() for name in ("symbol", "date", "file_size_bytes", "last_modified"))
        return [
            File(symbol, source, date)
            for symbol, date, size, modified in zip(*columns, strict=True)
            if self.plan.read.get((symbol, source, date)) != (size, modified)
        ]

    def new_or_changed_of_day(self, symbols: Sequence[str]) -> list[File]:
        """The day's files of these contracts: those never read, and those of which a HEAD tells another version."""
        day = self.plan.days.start
        files = [File(symbol, "daily", day) for symbol in symbols]
        known = [file.symbol for file in files if file in self.plan.read]
        probed = probe_files(self._settings_of("daily"), known, day) if known else None
        self.requests += len(known)
        changed = self.changed("daily", probed) if probed else []
        return [file for file in files if file not in self.plan.read] + changed

    def lacking(self, symbol: str, covered: int) -> int:
        """The contract's days since its first month of which no monthly file has a bar, as `VolumePlan.monthly`."""
        first = self.plan.first_days.get(symbol, self.plan.days.start)
        start = max(self.plan.days.start, first.replace(day=1))
        return (
            self._days(DayRange(start, self.plan.days.end)) & ~covered if start <= self.plan.days.end else 0
        )

    def _days(self, days: DayRange) -> int:
        return _bits(len(days)) << (days.start - self.plan.whole_months.start).days

    def covered(self) -> dict[str, int]:
        """By contract, the days of which monthly files have a bar, as `VolumePlan.monthly`, with those just read."""
        covered = defaultdict(int, self.plan.monthly)
        for table in self._files:
            for symbol, first, last in zip(
                *(table[name].to_pylist() for name in ("symbol", "date", "last_day")), strict=True
            ):
                covered[symbol] &= ~self._days(DayRange(first, last))
        start = self.plan.whole_months.start
        for table in self._bars:
            for symbol, date in zip(table["symbol"].to_pylist(), table["date"].to_pylist(), strict=True):
                covered[symbol] |= 1 << (date - start).days
        return covered

    def read(self, files: Sequence[File]) -> None:
        """Read files side by side."""
        if not files:
            return
        self.progress.stage("reading daily bars", len(files), "files")
        for start in range(0, len(files), FILES_AT_ONCE):
            try:
                self._read_together(files[start : start + FILES_AT_ONCE])
            except ArchiveFailures as error:
                outcome = "files failed and nothing was written"
                raise ArchiveFailures(error.failures, len(files), outcome) from error
        self.requests += len(files)

    def _read_together(self, files: Sequence[File]) -> None:
        datasets = {source: self._settings_of(source).dataset for source in {file.source for file in files}}
        some: list[tuple[File, Fetched]] = []

        def download(file: File) -> list[Job]:
            dataset = datasets[file.source]
            url = dataset.file_url(self.settings.archive_url, file.symbol, file.date)
            date = dataset.date_text(file.date)
            fetched = fetch(self.session, url, self.settings.timeout_seconds, symbol=file.symbol, date=date)
            if fetched is not None:
                some.append((file, fetched))
            self.progress.advance()
            return []

        jobs: list[Job] = [partial(download, file) for file in files]
        run_side_by_side(jobs, threads=self.settings.connections, attempted=len(files))
        # In this thread: the memory that Arrow keeps for each thread is several times that of the bars.
        found = read_many_bars(
            [
                Packed(fetched.body, datasets[file.source].file_name(file.symbol, file.date), file.days)
                for file, fetched in some
            ]
        )
        self._files.append(_files_read(some, found))
        self._bars.append(_with_origin(found, self._files[-1]))

    def _settings_of(self, source: str) -> Settings:
        return replace(self.settings, dataset=self.settings.dataset.daily_bars(source))

    def result(self) -> Volume:
        """All that was read."""
        files, bars = (
            pa.concat_tables([schema.empty_table(), *tables])
            for schema, tables in ((READ, self._files), (BARS, self._bars))
        )
        return Volume(files, bars, self.requests)


def _files_read(some: Sequence[tuple[File, Fetched]], found: ManyBars) -> pa.Table:
    """What was read, as `volume.READ`."""
    counts, now = Counter(found.files), utc_now()
    columns = {
        "symbol": [file.symbol for file, _ in some],
        "source": [file.source for file, _ in some],
        "date": [file.date for file, _ in some],
        "last_day": [file.days.end for file, _ in some],
        "file_size_bytes": [fetched.size for _, fetched in some],
        "last_modified": [fetched.last_modified for _, fetched in some],
        "bars": [counts[number] for number in range(len(some))],
        "fault": found.faults,
        "read_at": [now] * len(some),
    }
    return pa.table(columns, schema=READ)


def _with_origin(found: ManyBars, files: pa.Table) -> pa.Table:
    """The bars of files as `volume.BARS`."""
    origin = files.select(["symbol", "source", "last_modified"]).take(pa.array(found.files, pa.int64()))
    columns = {
        "symbol": origin["symbol"],
        "source": origin["source"],
        "file_last_modified": origin["last_modified"],
    }
    return pa.table(
        [columns[name] if name in columns else found.bars[name] for name in BARS.names], schema=BARS
    )
