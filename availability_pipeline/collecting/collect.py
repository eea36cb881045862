"""One collection as plain functions: which days, which contracts, list or probe, write."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from availability_pipeline.archive.batch import Progress
from availability_pipeline.archive.client import ListingClient
from availability_pipeline.archive.exchange_info import ExchangeInfo, fetch_contracts
from availability_pipeline.archive.listing import FolderQuery, Folders, Listing, list_files, list_folders
from availability_pipeline.archive.probing import probe_files
from availability_pipeline.dates import DayRange, utc_now
from availability_pipeline.errors import (
    ArchiveError,
    ArchiveUnreachable,
    StoreError,
    UnexpectedAnswer,
    UsageError,
)
from availability_pipeline.settings import Settings
from availability_pipeline.symbols import counted, known, suggestion
from availability_pipeline.warehouse import writes
from availability_pipeline.warehouse.database import connect
from availability_pipeline.warehouse.opening import exists
from availability_pipeline.warehouse.writes import Block, Collection, WriteReport, remove_unfinished_days

CONFIRMATIONS = 5
"""Contracts to list before a day counts as one without files."""


@dataclass(frozen=True)
class Discovery:
    """All folders of the archive, and the exchange's contracts."""

    folders: Folders
    exchange: ExchangeInfo
    """Empty if exchangeInfo failed, which does not stop a collection."""
    exchange_problem: str | None
    """Why exchangeInfo failed, if it did."""

    def tracked(self, settings: Settings) -> list[str]:
        """The contracts to track, by the settings' rule."""
        return [
            symbol.name
            for symbol in self.folders.symbols
            if symbol.quote in settings.tracked_quotes and symbol.contract in settings.tracked_contracts
        ]


def discover(settings: Settings) -> Discovery:
    """List the archive's folders and get exchangeInfo.

    Raises:
        ArchiveError: The folders could not be listed.
        ClockError: The machine's clock is not the archive's.
    """
    client = ListingClient(settings)
    try:
        folders = list_folders(client)
    except ArchiveUnreachable as error:
        host = urlsplit(settings.s3_endpoint).netloc
        raise ArchiveUnreachable(
            f"the archive's host {host} cannot be reached: {error.problem}; "
            "to see everything offline, run `make demo` (`binance-futures-availability demo`)",
            url=error.url,
        ) from error
    finally:
        client.close()
    try:
        return Discovery(folders, fetch_contracts(settings), None)
    except (ArchiveError, UsageError) as error:
        return Discovery(folders, ExchangeInfo(), str(error))


def take_back_unfinished_days(connection: duckdb.DuckDBPyConnection, discovery: Discovery) -> str | None:
    """Remove rows of unfinished days, which a clock that was ahead made, if the archive confirms the clock.

    Returns:
        A sentence about the removed rows, or None.
    """
    if not discovery.folders.clock_confirmed:
        return None
    removed = remove_unfinished_days(connection, utc_now())
    if removed is None:
        return None
    return (
        f"removed {counted(removed.rows, 'row')} of {DayRange(removed.first, removed.last)}, because these days are "
        "not over yet: the clock was ahead when they were collected"
    )


def write_discovery(
    connection: duckdb.DuckDBPyConnection, discovery: Discovery, settings: Settings
) -> writes.SymbolsReport:
    """Write a discovery into the table `symbols`."""
    return writes.write_symbols(
        connection,
        discovery.folders.symbols,
        discovery.exchange.contracts,
        tracked=set(discovery.tracked(settings)),
        now=utc_now(),
    )


@dataclass(frozen=True)
class Plan:
    """The days and contracts that one run collects."""

    days: DayRange
    symbols: tuple[str, ...]
    new_symbols: frozenset[str]
    """Those of `symbols` without rows yet; they get `other_days` as well."""
    other_days: tuple[dt.date, ...]
    """The table's days outside `days`."""
    known_days: dict[str, dt.date]
    """By contract, its last day with a file before `days`."""

    @property
    def catches_up(self) -> bool:
        """Whether new contracts need the table's other days."""
        return bool(self.new_symbols and self.other_days)

    @property
    def history(self) -> DayRange:
        """The range of days that a new contract needs."""
        held = (self.days.start, self.days.end, *self.other_days)
        return DayRange(min(held), max(held))


def plan_collection(connection: duckdb.DuckDBPyConnection, days: DayRange, only: Sequence[str] = ()) -> Plan:
    """Plan a collection.

    Args:
        connection: The working database with current `symbols`.
        days: The days to collect.
        only: The contracts to collect; all tracked ones if empty.

    Raises:
        UsageError: One of `only` is not tracked, or no contract is.
    """
    tracked = writes.tracked_symbols(connection)
    chosen = choose(tracked, only)
    with_rows = writes.symbols_with_rows(connection)
    return Plan(
        days=days,
        symbols=tuple(chosen),
        new_symbols=frozenset(chosen) - with_rows,
        other_days=tuple(day for day in writes.held_days(connection) if day not in days),
        known_days=writes.last_files_before(connection, days.start),
    )


def choose(tracked: Sequence[str], only: Sequence[str]) -> Sequence[str]:
    """The tracked contracts in `only`, or all; raises UsageError as `plan_collection`."""
    if not tracked:
        raise UsageError(
            "no contract is tracked; materialize `symbols` first, "
            "or check AVAILABILITY_TRACKED_QUOTES and AVAILABILITY_TRACKED_CONTRACTS"
        )
    if not only:
        return tracked
    names = {typed: known(typed, tracked) for typed in only}
    if unknown := sorted(typed for typed, name in names.items() if name is None):
        raise UsageError(
            f"no tracked contract is called {', '.join(map(repr, unknown))}{suggestion(unknown[0], tracked)}"
        )
    return sorted(name for name in set(names.values()) if name)


@dataclass(frozen=True)
class Collected:
    """A collection that is not written yet."""

    mode: str
    started_at: dt.datetime
    files: pa.Table
    requests: int
    pages: int = 0
    keys: int = 0
    strays: tuple[str, ...] = ()
    """Keys in folders of contracts that are no files of the dataset."""


def collect(plan: Plan, settings: Settings, progress: Progress) -> Collected:
    """Collect one day by HEAD, a range and the history of new contracts by LIST.

    Raises:
        ArchiveError: A request failed; ArchiveFailures for several.
    """
    return (
        _by_probing(plan, settings, progress)
        if len(plan.days) == 1
        else _by_listing(plan, settings, progress)
    )


def _list(queries: Sequence[FolderQuery], settings: Settings, progress: Progress) -> Listing:
    progress.stage("listing the archive", len(queries), "pages")
    client = ListingClient(settings)
    try:
        return list_files(client, queries, connections=settings.connections, progress=progress)
    finally:
        client.close()


def _by_listing(plan: Plan, settings: Settings, progress: Progress) -> Collected:
    started_at = utc_now()
    queries = [
        FolderQuery(symbol, plan.history) if symbol in plan.new_symbols
        else FolderQuery(symbol, plan.days, plan.known_days.get(symbol))
        for symbol in plan.symbols
    ]  # fmt: skip
    listing = _list(queries, settings, progress)
    return Collected(
        "list", started_at, listing.files, listing.pages, listing.pages, listing.keys, listing.strays
    )


def _by_probing(plan: Plan, settings: Settings, progress: Progress) -> Collected:
    started_at = utc_now()
    progress.stage(f"probing {plan.days}", len(plan.symbols), "files")
    files = probe_files(settings, plan.symbols, plan.days.start, on_probed=progress.advance)
    if not files.num_rows:
        _confirm_nothing(plan, settings)
    heads = len(plan.symbols)
    if not plan.catches_up:
        return Collected("head", started_at, files, heads, keys=files.num_rows)
    listing = _list(
        [FolderQuery(symbol, plan.history) for symbol in sorted(plan.new_symbols)], settings, progress
    )
    return Collected(
        "head", started_at, _merged(files, listing.files, plan.days.start), heads + listing.pages, listing.pages,
        files.num_rows + listing.keys, listing.strays,
    )  # fmt: skip


def _confirm_nothing(plan: Plan, settings: Settings) -> None:
    """Confirm by LIST that the day has no file, because a wrong URL answers 404 as well.

    Lists the contracts with the newest files, or all if none is known.

    Raises:
        UnexpectedAnswer: The listing shows a file.
    """
    latest = sorted(plan.known_days, key=lambda symbol: plan.known_days[symbol], reverse=True)
    asked = [symbol for symbol in latest if symbol in plan.symbols][:CONFIRMATIONS] or plan.symbols
    queries = [FolderQuery(symbol, plan.days, plan.known_days.get(symbol)) for symbol in asked]
    found = _list(queries, settings, Progress()).files
    if found.num_rows:
        raise UnexpectedAnswer(
            f"none of {len(plan.symbols)} files is served, but the bucket lists that of {found['symbol'][0]}; "
            "check AVAILABILITY_ARCHIVE_URL, or try again in a minute",
            url=settings.archive_url,
            date=str(plan.days),
        )


def _merged(probed: pa.Table, listed: pa.Table, probed_day: dt.date) -> pa.Table:
    """Both tables, the probed day from the probes alone."""
    other_days = pc.not_equal(listed.column("date"), pa.scalar(probed_day, pa.date32()))
    return pa.concat_tables([probed, listed.filter(other_days)])


def write(
    connection: duckdb.DuckDBPyConnection, plan: Plan, collected: Collected, settings: Settings, run_id: str
) -> WriteReport:
    """Write a collection in one transaction."""
    blocks = [Block(tuple(plan.days), plan.symbols)]
    if plan.catches_up:
        blocks.append(Block(plan.other_days, sorted(plan.new_symbols)))
    record = Collection(
        run_id=run_id,
        mode=collected.mode,
        window_start=plan.days.start,
        window_end=plan.days.end,
        started_at=collected.started_at,
        finished_at=utc_now(),
        requests=collected.requests,
        pages=collected.pages,
        keys_seen=collected.keys,
    )
    return writes.write_collection(
        connection, blocks, collected.files, settings.archive_url, record, settings.dataset
    )


def missing_days(
    connection: duckdb.DuckDBPyConnection, settings: Settings, last: dt.date | None = None
) -> DayRange:
    """The days that bring the table up to date: from its first gap, or the look-back window if that begins earlier.

    Days without any file right before the gap belong to it, because they were collected too early.

    Args:
        connection: The working database.
        settings: The settings, for the look-back window and the first day.
        last: The last day; the newest one that can have a file if None.
    """
    dataset = settings.dataset
    held = set(writes.complete_days(connection))
    window = lookback_window(settings, last or dataset.last_day)
    first_gap = next((day for day in DayRange(dataset.first_day, window.end) if day not in held), window.end)
    with_files = writes.days_with_files(connection)
    while (before := first_gap - dt.timedelta(days=1)) >= dataset.first_file_day and before not in with_files:
        first_gap = before
    return DayRange(min(first_gap, window.start), window.end)


def lookback_window(settings: Settings, last: dt.date) -> DayRange:
    """The days up to `last` that are listed again for late, replaced and withdrawn files."""
    first = last - dt.timedelta(days=settings.lookback_days - 1)
    return DayRange(max(settings.dataset.first_day, first), last)


WAIT_SECONDS = 5.0
"""Wait for a writer; Dagster's daemon allows a tick one minute."""


@dataclass(frozen=True)
class DailyWindow:
    """The days that the schedule collects."""

    days: DayRange
    remark: str | None = None
    """Why they begin neither with the look-back window nor with the first gap, if so."""


def daily_window(settings: Settings, yesterday: dt.date) -> DailyWindow:
    """`missing_days` up to `yesterday`, or only the look-back window if the working database cannot be read now."""
    try:
        if not exists(settings.working_path):
            return DailyWindow(
                DayRange(settings.dataset.first_day, yesterday),
                "there is no working database yet: the whole history",
            )
        with connect(settings.working_path, read_only=True, wait_seconds=WAIT_SECONDS) as connection:
            return DailyWindow(missing_days(connection, settings, yesterday))
    except StoreError as error:
        return DailyWindow(
            lookback_window(settings, yesterday), f"only the look-back window, without earlier gaps: {error}"
        )
