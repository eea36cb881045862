"""The daily bars of contracts: finding the files that have them, and reading those that are new or were replaced.

Months that are over come from monthly files. Days of which no monthly file has a bar come from daily files: those of
the current month, 2019-12-31, and days that a monthly file lacks. A range of days is listed, a single day is asked for
file by file. What is wrong with a file is recorded and stops nothing; a request that fails stops everything.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import NamedTuple

import duckdb
import pyarrow as pa

from availability_pipeline.archive.batch import Job, Progress, run_side_by_side
from availability_pipeline.archive.client import ListingClient
from availability_pipeline.archive.contents import fetch, read_bars
from availability_pipeline.archive.http import Session
from availability_pipeline.archive.listing import FolderQuery, list_files
from availability_pipeline.archive.probing import probe_files
from availability_pipeline.collecting.collect import choose
from availability_pipeline.dates import DayRange, utc_now, utc_today
from availability_pipeline.errors import ArchiveFailures
from availability_pipeline.settings import Settings
from availability_pipeline.warehouse import volume, writes
from availability_pipeline.warehouse.volume import BARS, READ, FileId, Version

FILES_AT_ONCE = 500
"""Files whose bars are put together at once, which bounds the memory of many small tables."""


@dataclass(frozen=True)
class VolumePlan:
    """What one run reads."""

    days: DayRange
    symbols: tuple[str, ...]
    first_days: Mapping[str, dt.date]
    """By contract, its first day with a file or a bar."""
    read: Mapping[FileId, Version]
    """The files that were read before."""
    monthly: Mapping[str, set[dt.date]]
    """By contract, the days whose bars are from monthly files."""

    @property
    def months(self) -> DayRange | None:
        """From the first day of the first month to that of the last one that is over; None if none is."""
        first = self.days.start.replace(day=1)
        last = min(self.days.end, _month_before(utc_today())).replace(day=1)
        return DayRange(first, last) if first <= last else None


def _month_before(day: dt.date) -> dt.date:
    return day.replace(day=1) - dt.timedelta(days=1)


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
    whole_months = DayRange(days.start.replace(day=1), last_day_of("monthly", days.end))
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
        lacking = {symbol: days for symbol in plan.symbols if (days := reader.lacking(symbol, covered))}
        if len(plan.days) > 1:
            queries = [
                FolderQuery(symbol, stretch, may_be_absent=True)
                for symbol, days in lacking.items()
                for stretch in stretches(days)
            ]
            reader.read(reader.changed("daily", reader.listed("daily", queries)))
        else:
            reader.read(reader.new_or_changed_of_day(lacking))
    return reader.result()


def stretches(days: Iterable[dt.date]) -> Iterator[DayRange]:
    """Days in order as ranges without a gap."""
    start = end = None
    for day in days:
        if end is not None and start is not None and day != end + dt.timedelta(days=1):
            yield DayRange(start, end)
            start = None
        start, end = start or day, day
    if start is not None and end is not None:
        yield DayRange(start, end)


@dataclass
class _Reader:
    """The files of one run; `_read_one` runs in several threads."""

    plan: VolumePlan
    settings: Settings
    progress: Progress
    session: Session
    requests: int = 0
    _read: list[tuple[File, Version, str | None, int]] = field(default_factory=list)
    """Of each file that was read: version, fault, number of bars."""
    _loose: list[pa.Table] = field(default_factory=list)
    _bars: list[pa.Table] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

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

    def new_or_changed_of_day(self, symbols: Iterable[str]) -> list[File]:
        """The day's files of these contracts: those never read, and those of which a HEAD tells another version."""
        day = self.plan.days.start
        files = [File(symbol, "daily", day) for symbol in symbols]
        known = [file.symbol for file in files if file in self.plan.read]
        probed = probe_files(self._settings_of("daily"), known, day) if known else None
        self.requests += len(known)
        changed = self.changed("daily", probed) if probed else []
        return [file for file in files if file not in self.plan.read] + changed

    def lacking(self, symbol: str, covered: Mapping[str, set[dt.date]]) -> list[dt.date]:
        """The contract's days since its first month of which no monthly file has a bar, in order."""
        first = self.plan.first_days.get(symbol, self.plan.days.start)
        start = max(self.plan.days.start, first.replace(day=1))
        if start > self.plan.days.end:
            return []
        held = covered.get(symbol, set())
        return [day for day in DayRange(start, self.plan.days.end) if day not in held]

    def covered(self) -> dict[str, set[dt.date]]:
        """By contract, the days of which monthly files have a bar, those that were just read included."""
        self._combine()
        covered = {symbol: set(days) for symbol, days in self.plan.monthly.items()}
        for file, *_ in self._read:
            covered.setdefault(file.symbol, set()).difference_update(file.days)
        for table in self._bars:
            pairs = zip(table["symbol"].to_pylist(), table["date"].to_pylist(), strict=True)
            for symbol, day in pairs:
                covered[symbol].add(day)
        return covered

    def read(self, files: Sequence[File]) -> None:
        """Read files side by side."""
        if not files:
            return
        self.progress.stage("reading daily bars", len(files), "files")
        jobs: list[Job] = [partial(self._read_one, file) for file in files]
        try:
            run_side_by_side(jobs, threads=self.settings.connections, attempted=len(files))
        except ArchiveFailures as error:
            raise ArchiveFailures(
                error.failures, len(files), "files failed and nothing was written"
            ) from error
        self.requests += len(files)

    def _read_one(self, file: File) -> list[Job]:
        dataset = self._settings_of(file.source).dataset
        url = dataset.file_url(self.settings.archive_url, file.symbol, file.date)
        date = dataset.date_text(file.date)
        fetched = fetch(self.session, url, self.settings.timeout_seconds, symbol=file.symbol, date=date)
        if fetched is not None:
            name = dataset.file_name(file.symbol, file.date)
            bars, fault = read_bars(fetched.body, name, file.days)
            self._keep(file, (fetched.size, fetched.last_modified), bars, fault)
        self.progress.advance()
        return []

    def _keep(self, file: File, version: Version, bars: pa.Table, fault: str | None) -> None:
        with self._lock:
            self._read.append((file, version, fault, bars.num_rows))
            if bars.num_rows:
                self._loose.append(_with_origin(bars, file, version))
            if len(self._loose) >= FILES_AT_ONCE:
                self._combine()

    def _combine(self) -> None:
        self._bars.append(pa.concat_tables([BARS.empty_table(), *self._loose]).combine_chunks())
        self._loose.clear()

    def _settings_of(self, source: str) -> Settings:
        return replace(self.settings, dataset=self.settings.dataset.daily_bars(source))

    def result(self) -> Volume:
        """All that was read."""
        self._combine()
        now = utc_now()
        rows = [
            (file.symbol, file.source, file.date, file.days.end, *version, bars, fault, now)
            for file, version, fault, bars in self._read
        ]
        files = pa.Table.from_pylist([dict(zip(READ.names, row, strict=True)) for row in rows], READ)
        return Volume(files, pa.concat_tables(self._bars), self.requests)


def _with_origin(bars: pa.Table, file: File, version: Version) -> pa.Table:
    """The bars of a file as `volume.BARS`."""
    columns = {
        "symbol": pa.repeat(file.symbol, bars.num_rows),
        "source": pa.repeat(file.source, bars.num_rows),
        "file_last_modified": pa.repeat(
            pa.scalar(version[1], BARS.field("file_last_modified").type), bars.num_rows
        ),
    }
    return pa.table([columns[name] if name in columns else bars[name] for name in BARS.names], schema=BARS)
