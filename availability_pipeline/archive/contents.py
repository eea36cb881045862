"""What is in the archive's files: downloading one, its checksum, its daily bars or its minutes.

Belongs here: one file by itself. Does not belong here: how zips and rows are read (`klines.py`), which files are read,
and what a file should have had in it, as on the first day of a contract (`collecting`).

A request that fails raises. What is wrong with a file is data: its `Fault`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from availability_pipeline.archive.http import FAILURES, Session, problem
from availability_pipeline.archive.klines import (
    MAX_BYTES,
    Fault,
    Klines,
    first_fault,
    parse_plain,
    read_klines,
    rows_of,
    unpack,
)
from availability_pipeline.archive.probing import About, size_and_time
from availability_pipeline.archive.wire import Answer
from availability_pipeline.dates import DayRange
from availability_pipeline.errors import ArchiveRefused, ArchiveUnreachable

MAX_CHECKSUM_BYTES = 1_000
"""What is read of a `.CHECKSUM`, which has some 100 bytes."""

_EPOCH = dt.date(1970, 1, 1).toordinal()
_DAY_MS, _MINUTE_MS = 86_400_000, 60_000


class Fetched(NamedTuple):
    """A downloaded file: its content, bytes, and last-modified in UTC, naive, as a HEAD tells them."""

    body: bytes
    size: int
    last_modified: dt.datetime


def fetch(
    session: Session,
    url: str,
    timeout_seconds: int,
    *,
    symbol: str | None = None,
    date: str | None = None,
    limit: int = MAX_BYTES,
) -> Fetched | None:
    """Download a file with one GET.

    Args:
        session: A session of `archive.http`.
        url: The file's URL.
        timeout_seconds: How long the server may be silent.
        symbol: The contract, for messages.
        date: The day or month, for messages.
        limit: Most bytes that are read. The body of a larger file has more than that and less than the whole.

    Returns:
        The file, or None where there is none (HTTP 404).

    Raises:
        ArchiveUnreachable: No complete answer came.
        ArchiveRefused: The status is neither 200 nor 404.
        UnexpectedAnswer: The answer does not describe a file.
    """
    about: About = {"url": url, "symbol": symbol, "date": date}
    try:
        answer = session.ask("GET", url, timeout_seconds)
        # An error's body is read as well, so that the connection is kept; that of a file that is too large is not.
        body = answer.raw.read(limit + 1)
        answer.close()
    except FAILURES as error:
        raise ArchiveUnreachable(problem(error, timeout_seconds), **about) from error
    status = answer.status_code
    if status == 404:
        return None
    if status != 200:
        raise ArchiveRefused(f"the archive answered HTTP {status}", status=status, **about)
    return _checked(answer, body, limit, about)


def _checked(answer: Answer, body: bytes, limit: int, about: About) -> Fetched:
    size, last_modified = size_and_time(answer, about)
    if len(body) < min(size, limit + 1):
        # urllib3 notices only a read that finds nothing.
        raise ArchiveUnreachable(f"the answer broke off after {len(body)} of {size} bytes", **about)
    return Fetched(body, size, last_modified)


_CHECKSUM = re.compile(rb"\s*([0-9a-fA-F]{64})(\s|$)")


def parse_checksum(text: bytes) -> str | None:
    """The SHA-256, in small letters, with which a `.CHECKSUM` begins, or None if it does not; a name may follow."""
    found = _CHECKSUM.match(text)
    return found[1].decode().lower() if found else None


def compare_checksum(body: bytes, checksum: bytes | None) -> str:
    """Compare a file with its `.CHECKSUM`: `agrees`, `disagrees`, or `none` without a `.CHECKSUM`."""
    if checksum is None:
        return "none"
    return "agrees" if hashlib.sha256(body).hexdigest() == parse_checksum(checksum) else "disagrees"


BARS = pa.schema(
    [
        ("date", pa.date32()),
        *((name, pa.float64()) for name in ("open", "high", "low", "close", "base_volume", "quote_volume")),
        ("trades", pa.int64()),
        *((name, pa.float64()) for name in ("taker_buy_base_volume", "taker_buy_quote_volume")),
    ]
)
"""The columns of a file's bars: `date` is the UTC day, prices and quote volumes are in the quote asset."""

_NO_BARS = BARS.empty_table()


class Bars(NamedTuple):
    """The bars of a file in the order of days, as `BARS`, and what is wrong with the file."""

    bars: pa.Table
    fault: Fault | None


def read_bars(body: bytes, file_name: str, days: DayRange) -> Bars:
    """Read the daily bars of a file.

    Args:
        body: The zip as it was downloaded.
        file_name: Its name in the archive, such as `BTCUSDT-1d-2024-01.zip`.
        days: The days that it is about; bars of others are left out, and so are those with a fault.
    """
    text, fault = unpack(body, file_name)
    if fault:
        return Bars(_NO_BARS, fault)
    table, faults, _, _ = read_klines(text)
    table = _without_impossible(table, faults)
    times = table["open_time"].to_pylist()
    chosen = _chosen(table, times, days, faults)
    if len(chosen) < len(times) or Fault.UNORDERED_ROWS in faults:
        table, times = table.take(_indices(chosen)), [times[at] for at in chosen]
    return Bars(_bars_of(table, times), first_fault(faults))


class Packed(NamedTuple):
    """A file with daily bars, as for `read_bars`."""

    body: bytes
    file_name: str
    days: DayRange


class ManyBars(NamedTuple):
    """The bars of several files, those of each in the order of days, as `BARS`, and what is wrong with each."""

    bars: pa.Table
    files: list[int]
    """For each bar the number of its file."""
    faults: list[Fault | None]


def read_many_bars(packed: Sequence[Packed]) -> ManyBars:
    """What `read_bars` reads of each file, in a tenth of the time: files without a fault are read as one text."""
    faults: list[Fault | None] = [None] * len(packed)
    texts: dict[int, bytes] = {}
    for number, file in enumerate(packed):
        text, faults[number] = unpack(file.body, file.file_name)
        if text:
            texts[number] = text
    table, files = _read_together(texts, packed)
    tables = [table]
    for number in texts.keys() - set(files):
        bars, faults[number] = read_bars(*packed[number])
        tables.append(bars)
        files += [number] * bars.num_rows
    return ManyBars(pa.concat_tables(tables), files, faults)


def _read_together(texts: Mapping[int, bytes], packed: Sequence[Packed]) -> tuple[pa.Table, list[int]]:
    """The bars of the files that have no fault, and the file of each; none if too much is wrong to tell."""
    lines = {number: rows_of(text).splitlines() for number, text in texts.items()}
    # A line that is empty, or has too few cells, would count as none or be the fault of all.
    whole = {number: rows for number, rows in lines.items() if all(row.count(b",") == 11 for row in rows)}
    table = parse_plain(b"\n".join(chain.from_iterable(whole.values())))
    if table is None:
        return _NO_BARS, []
    times, possible = table["open_time"].to_pylist(), _are_possible(table).to_pylist()
    files, kept, at = list[int](), list[int](), 0
    for number, rows in whole.items():
        mine = slice(at, at + len(rows))
        if rows and all(possible[mine]) and _are_days(times[mine], packed[number].days):
            kept += range(at, mine.stop)
            files += [number] * len(rows)
        at = mine.stop
    if len(kept) < len(times):
        table, times = table.take(_indices(kept)), [times[at] for at in kept]
    return _bars_of(table, times), files


def _are_days(times: Sequence[int], days: DayRange) -> bool:
    """Whether milliseconds are beginnings of such days, each after the one before."""
    start, stop = _milliseconds(days)
    return (
        start <= times[0]
        and times[-1] <= stop
        and not any(time % _DAY_MS for time in times)
        and all(earlier < later for earlier, later in pairwise(times))
    )


def _milliseconds(days: DayRange) -> tuple[int, int]:
    """When the first and the last day begin."""
    return (days.start.toordinal() - _EPOCH) * _DAY_MS, (days.end.toordinal() - _EPOCH) * _DAY_MS


def _bars_of(table: pa.Table, times: Sequence[int]) -> pa.Table:
    dates = pa.array([time // _DAY_MS for time in times], pa.int32()).cast(pa.date32())
    return pa.Table.from_arrays([dates, *table.columns[1:]], schema=BARS)


def _without_impossible(table: pa.Table, faults: set[Fault]) -> pa.Table:
    possible = _are_possible(table)
    if pc.all(possible).as_py() is False:
        faults.add(Fault.CONTRADICTORY)
        return table.filter(possible)
    return table


def _are_possible(table: pa.Table) -> pa.ChunkedArray:
    """Whether the prices of each row can be those of one bar."""
    prices = [table[name] for name in ("low", "open", "close", "high")]
    is_lowest = pc.equal(prices[0], pc.min_element_wise(*prices))
    is_highest = pc.equal(prices[-1], pc.max_element_wise(*prices))
    return pc.and_(pc.and_(is_lowest, is_highest), pc.greater(prices[0], 0))


def _indices(rows: Iterable[int]) -> pa.Array:
    """Numbers of rows for `take`, which does not know the type of none."""
    return pa.array(rows, pa.int64())


def _chosen(table: pa.Table, times: Sequence[int], days: DayRange, faults: set[Fault]) -> list[int]:
    """The rows that count, in the order of days; what is wrong with the others is added to the faults."""
    start, stop = _milliseconds(days)
    chosen = [at for at, time in enumerate(times) if start <= time <= stop and time % _DAY_MS == 0]
    if len(chosen) < len(times):
        faults.add(Fault.WRONG_DAY)
    kept = [times[at] for at in chosen]
    ordered = sorted(set(kept))
    if kept == ordered:
        return chosen
    if len(ordered) < len(kept):
        faults.add(Fault.DUPLICATE_ROWS)
        chosen = _without_contradictions(table, times, chosen)
    if kept != sorted(kept):
        faults.add(Fault.UNORDERED_ROWS)
    return sorted(chosen, key=times.__getitem__)


def _without_contradictions(table: pa.Table, times: Sequence[int], chosen: Sequence[int]) -> list[int]:
    """One row of each day whose rows do not differ."""
    rows = {
        at: tuple(row.values())
        for at, row in zip(chosen, table.take(_indices(chosen)).to_pylist(), strict=True)
    }
    different = Counter(row[0] for row in set(rows.values()))
    first = {times[at]: at for at in reversed(chosen)}
    return [at for time, at in first.items() if different[time] == 1]


MINUTES = 1_440
"""Minutes of a day."""


@dataclass(frozen=True, kw_only=True)
class MinuteFile:
    """What is in a 1-minute file. Minutes of the day are counted from 0; sums are over rows of distinct minutes."""

    checksum: str
    """agrees, disagrees, or none where there is no `.CHECKSUM`."""
    fault: Fault | None = None
    """What is wrong; rows with a fault count in `rows` only if they are of the day."""
    has_header: bool | None = None
    time_unit: str | None = None
    """ms or us; None without a row."""
    rows: int = 0
    """Rows of the day, duplicates included."""
    first_minute: int | None = None
    last_minute: int | None = None
    missing_minutes: int = MINUTES
    """Minutes of the day without a row."""
    duplicate_minutes: int = 0
    """Rows of a minute that a row before was of."""
    unordered_minutes: int = 0
    """Rows of an earlier minute than the row before."""
    traded_minutes: int = 0
    """Minutes with a volume."""
    base_volume: float = 0.0
    quote_volume: float = 0.0
    trades: int = 0


def inspect_minutes(body: bytes, file_name: str, day: dt.date, checksum: bytes | None = None) -> MinuteFile:
    """Look into a 1-minute file.

    Args:
        body: The zip as it was downloaded.
        file_name: Its name in the archive, such as `BTCUSDT-1m-2024-01-15.zip`.
        day: The UTC day that it is about.
        checksum: The content of its `.CHECKSUM`; None where there is none.
    """
    agreement = compare_checksum(body, checksum)
    text, fault = unpack(body, file_name)
    if fault:
        return MinuteFile(checksum=agreement, fault=fault)
    return _inspect(read_klines(text), (day.toordinal() - _EPOCH) * _DAY_MS, agreement)


def _inspect(klines: Klines, midnight: int, agreement: str) -> MinuteFile:
    times = klines.table["open_time"].to_pylist()
    # Nearly all files are whole, and telling so takes a twentieth of the time of counting.
    if times == list(range(midnight, midnight + _DAY_MS, _MINUTE_MS)):
        found = _Minutes(klines.table, set(), MINUTES, 0, MINUTES - 1, 0, 0, 0)
    else:
        found = _minutes_of(klines.table, times, midnight)
    table = found.table
    return MinuteFile(
        checksum=agreement,
        fault=first_fault(klines.faults | found.faults),
        has_header=klines.has_header,
        time_unit=klines.time_unit,
        rows=found.rows,
        first_minute=found.first,
        last_minute=found.last,
        missing_minutes=found.missing,
        duplicate_minutes=found.duplicate,
        unordered_minutes=found.unordered,
        traded_minutes=pc.sum(pc.greater(table["base_volume"], 0)).as_py() or 0,
        base_volume=pc.sum(table["base_volume"]).as_py() or 0.0,
        quote_volume=pc.sum(table["quote_volume"]).as_py() or 0.0,
        trades=pc.sum(table["trades"]).as_py() or 0,
    )


class _Minutes(NamedTuple):
    """The minutes of a file: a row of each, faults, and numbers as of `MinuteFile`."""

    table: pa.Table
    faults: set[Fault]
    rows: int
    first: int | None
    last: int | None
    missing: int
    duplicate: int
    unordered: int


def _minutes_of(table: pa.Table, times: Sequence[int], midnight: int) -> _Minutes:
    minutes = [divmod(time - midnight, _MINUTE_MS) for time in times]
    chosen = [at for at, (minute, rest) in enumerate(minutes) if 0 <= minute < MINUTES and not rest]
    of_day = [minutes[at][0] for at in chosen]
    rows = dict(zip(reversed(of_day), reversed(chosen), strict=True))
    unordered = sum(later < earlier for earlier, later in pairwise(of_day))
    faults = {
        fault
        for fault, is_so in (
            (Fault.WRONG_DAY, len(chosen) < len(times)),
            (Fault.DUPLICATE_ROWS, len(rows) < len(chosen)),
            (Fault.UNORDERED_ROWS, unordered > 0),
        )
        if is_so
    }
    return _Minutes(
        table if len(rows) == len(times) else table.take(_indices(rows.values())),
        faults,
        rows=len(chosen),
        first=min(rows, default=None),
        last=max(rows, default=None),
        missing=MINUTES - len(rows),
        duplicate=len(chosen) - len(rows),
        unordered=unordered,
    )
