"""What a file looks like: deterministic functions of contract and day, and days and seconds as numbers and texts.

Belongs here: days without a trade, size, publication moment and ETags of an ordinary file, and the conversions that
run for every file of a page, as tables that fill themselves. Does not belong here: gaps and visibility (`content.py`),
and how much was traded (`volumes.py`).

A day is counted from 1970-01-01, a moment in whole seconds from its midnight, both in UTC. Numbers are drawn for a
whole folder at once from one hash whose beginning does not depend on its length, so those of a day stay the same as
days are added.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import hashlib
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise

from availability_pipeline.simulator.facts import FolderFacts

SECONDS_PER_DAY = 86_400
_EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()
_DAY_TEXT_LENGTH = len("2024-01-15")

ETAG_BYTES = 32
"""Bytes of both ETags of a day: 16 for the zip, 16 for its CHECKSUM."""

FLAT_BYTES = (7_620, 8_400)
"""Sizes of a file without a trade: from the first to below the second."""

SILENT_BYTES = (7_000, 8_900)
"""What a script sets in between, both included, is the size of a file without a trade."""

_QUIET_BYTES = (9_000, 14_000)
"""Sizes of a file with trades in less than a tenth of its minutes."""

_QUIET_SHARE, _HALTED_SHARE = 40, 30
"""One coin in this many has quiet days, and one in this many was halted for two to four days once."""

_HALT_CLEARANCE = 40
"""Days between a halt and what else is recorded: beginning, end, flat spans, gaps."""

FIRST_SECOND, LAST_SECOND = 24_600, 33_000
"""Files appear between 06:50 and 09:10 UTC: the seconds of the day."""

_LATE_FIRST_SHARE = 4
"""One new listing in this many gets its first file a day later than usual."""

_SMALLEST_PARTIAL_BYTES = 12_000
"""The least that a first or last trading day has, well above a flat file."""

# Per cent of a median day, from Thursday (1970-01-01) to Wednesday. Stocks hardly trade at the weekend.
_WEEK = {True: (100, 100, 45, 45, 100, 100, 100), False: (100, 100, 93, 93, 100, 100, 100)}


class _DayTexts(dict[int, str]):
    """Day number to `2024-01-15`; days that were never asked for are added on the way."""

    def __missing__(self, number: int) -> str:
        text = self[number] = day_of(number).isoformat()
        return text


class _ClockTexts(dict[int, str]):
    """Second of a day to `T07:12:33.000Z`, the rest of a listing's time after its day."""

    def __missing__(self, second: int) -> str:
        minutes, seconds = divmod(second, 60)
        text = self[second] = f"T{minutes // 60:02}:{minutes % 60:02}:{seconds:02}.000Z"
        return text


class _MonthTexts(dict[int, str]):
    """Number of any day to `2024-01`."""

    def __missing__(self, number: int) -> str:
        text = self[number] = DAY_TEXTS[number][: len("2024-01")]
        return text


DAY_TEXTS = _DayTexts()
MONTH_TEXTS = _MonthTexts()
CLOCK_TEXTS = _ClockTexts()


def day_number(day: dt.date) -> int:
    """The number of a day."""
    return day.toordinal() - _EPOCH_ORDINAL


def day_of(number: int) -> dt.date:
    """The day of a number."""
    return dt.date.fromordinal(number + _EPOCH_ORDINAL)


def first_of_month(number: int) -> int:
    """The number of the first day of a day's month."""
    return number - day_of(number).day + 1


def next_month(number: int) -> int:
    """The number of the first day of the month after a day's month."""
    return first_of_month(first_of_month(number) + 31)


def parse_month_text(text: str) -> int | None:
    """The number of the first day of a month as keys write it, or None."""
    return parse_day_text(f"{text}-01")


def parse_day_text(text: str) -> int | None:
    """The number of a day as keys write it, or None if no key writes it like this."""
    if len(text) != _DAY_TEXT_LENGTH:
        return None
    try:
        number = day_number(dt.date.fromisoformat(text))
    except ValueError:
        return None
    # fromisoformat also reads forms such as 2024-W01-1, which are no day of a key.
    return number if DAY_TEXTS[number] == text else None


def listing_time(seconds: int) -> str:
    """A moment as a listing writes it: `2024-01-16T08:12:33.000Z`."""
    day, second = divmod(seconds, SECONDS_PER_DAY)
    return DAY_TEXTS[day] + CLOCK_TEXTS[second]


def header_time(seconds: int) -> str:
    """A moment as an HTTP header writes it: `Tue, 16 Jan 2024 08:12:33 GMT`."""
    return email.utils.formatdate(seconds, usegmt=True)


def file_etags(symbol: str, count: int) -> bytes:
    """`ETAG_BYTES` for each of a folder's first days."""
    return hashlib.shake_128(b"etags " + symbol.encode()).digest(ETAG_BYTES * count)


def publication_moments(symbol: str, first: int, count: int) -> list[int]:
    """Moments in seconds at which the files of a folder's first days appear, each on the following day."""
    drawn = draws(b"moments", symbol, count)
    span = LAST_SECOND - FIRST_SECOND
    moments = [
        day * SECONDS_PER_DAY + FIRST_SECOND + (draw * span >> 16)
        for day, draw in enumerate(drawn, first + 1)
    ]
    if moments and drawn[0] % _LATE_FIRST_SHARE == 0:
        moments[0] += SECONDS_PER_DAY
    return moments


def month_moment(symbol: str, month_end: int) -> int:
    """The moment in seconds at which the monthly file appears that ends before a day, the first of the next month.

    Most come on the second to the sixth; every tenth month or so the whole market waits for the middle of the month.
    """
    market = draws(b"month", str(month_end), 2)
    late = 10 + market[1] % 4 if market[0] % 10 == 0 else 1 + market[1] % 3
    own = draws(f"month {month_end}".encode(), symbol, 2)
    second = FIRST_SECOND + (own[1] * (LAST_SECOND - FIRST_SECOND) >> 16)
    return (month_end + late + own[0] % 3) * SECONDS_PER_DAY + second


def file_sizes(facts: FolderFacts, first: int, count: int) -> list[int]:
    """Zip sizes in bytes: within 15 % of the median when live, quieter at weekends, flat without a trade."""
    drawn = draws(b"sizes", facts.symbol, count)
    week = [facts.live_zip_bytes * share for share in _WEEK[facts.kind == "tradifi_perpetual"]]
    scale = 100 * 100 * 65_536
    sizes = [week[day % 7] * (85 * 65_536 + 30 * draw) // scale for day, draw in enumerate(drawn, first)]
    flat = sorted(set(_flat_indices(facts, first, count)))
    partial = _partial_indices(facts, first, flat, count)
    for at in partial:
        sizes[at] = max(_SMALLEST_PARTIAL_BYTES, sizes[at] * (50 + drawn[at] % 36) // 100)
    for at in set(_quiet_indices(facts, count)) - partial:
        sizes[at] = _between(_QUIET_BYTES, drawn[at])
    for at in silent_indices(facts, first, count):
        sizes[at] = _between(FLAT_BYTES, drawn[at])
    return sizes


def plain_sizes(symbol: str, median: int, count: int) -> list[int]:
    """Zip sizes in bytes of files that are not of 1-minute klines: within 10 % of the median."""
    return [median * (90 * 65_536 + 20 * draw) // (100 * 65_536) for draw in draws(b"sizes", symbol, count)]


_MINUTES_BY_SIZE = tuple(pairwise(((8_600, 0), (10_500, 50), (14_000, 160), (20_000, 432), (46_000, 1_440))))
"""Minutes with a trade in a file of so many bytes; in between they are interpolated."""


def traded_minutes(size: int) -> int:
    """How many minutes with a trade a 1-minute file has, from 1 to 1,440."""
    for (least, few), (most, many) in _MINUTES_BY_SIZE:
        if size <= most:
            return max(1, few + (many - few) * (size - least) // (most - least))
    return 1_440


def _between(limits: tuple[int, int], draw: int) -> int:
    least, end = limits
    return least + (draw * (end - least) >> 16)


def silent_indices(facts: FolderFacts, first: int, count: int) -> set[int]:
    """Which of a folder's first days have no trade: those on record, weekends of stocks, halts of coins."""
    rests = _closed_indices if facts.kind == "tradifi_perpetual" else _halted_indices
    return {*_flat_indices(facts, first, count), *rests(facts, first, count)}


def _closed_indices(facts: FolderFacts, first: int, count: int) -> Iterator[int]:
    """Three weekends in ten of a stock or index, some with the Monday, and the days around the turn of the year."""
    week_of_first = (first - 2) // 7
    drawn = draws(b"closed", facts.symbol, count // 7 + 2)
    for at in range(3, count):
        week, weekday = divmod(first + at - 2, 7)
        draw = drawn[week - week_of_first] % 100
        rests = draw < (30, 30, 5, 0, 0, 0, 0)[weekday]
        if rests or DAY_TEXTS[first + at][5:] in ("12-25", "01-01"):
            yield at


def _halted_indices(facts: FolderFacts, first: int, count: int) -> range:
    """The days of a coin's only halt, if it has one."""
    share, start, length = draws(b"halt", facts.symbol, 3)
    begin = 60 + start % 500
    halt = range(begin, begin + 2 + length % 3)
    if facts.kind != "perpetual" or share % _HALTED_SHARE or not _is_clear(facts, first, halt):
        return range(0)
    return range(halt.start, min(halt.stop, count))


def _is_clear(facts: FolderFacts, first: int, halt: range) -> bool:
    begin, end = day_of(first + halt.start - _HALT_CLEARANCE), day_of(first + halt.stop + _HALT_CLEARANCE)
    recorded = [(span.start, span.end) for span in facts.flat]
    recorded += [(gap.days.start, gap.days.end) for gap in facts.gaps]
    if facts.last_day is not None:
        recorded.append((facts.last_day, None))
    return all(end < start or (last is not None and last < begin) for start, last in recorded)


def _quiet_indices(facts: FolderFacts, count: int) -> Iterator[int]:
    """Single days or two in a row with hardly a trade, of a coin that has such days."""
    if facts.kind == "perpetual" and draws(b"quiet", facts.symbol, 1)[0] % _QUIET_SHARE == 0:
        drawn = draws(b"quiet days", facts.symbol, count)
        yield from (at for at in range(2, count) if at % 7 in (1, 2, 4) and drawn[at] % 10 == 0)


def _flat_indices(facts: FolderFacts, first: int, count: int) -> Iterator[int]:
    for span in facts.flat:
        end = count if span.end is None else min(count, day_number(span.end) - first + 1)
        yield from range(max(0, day_number(span.start) - first), end)


def _partial_indices(facts: FolderFacts, first: int, flat: Sequence[int], count: int) -> set[int]:
    """The first and last day of trading, and those beside a flat span, where they are live days."""
    last = None if facts.last_day is None else day_number(facts.last_day) - first
    edges = {0, *((last,) if last is not None else ())}
    if flat:
        edges |= {edge for at in flat for edge in (at - 1, at + 1)}
    return {at for at in edges - set(flat) if 0 <= at < count}


def draws(purpose: bytes, symbol: str, count: int) -> array[int]:
    """A number below 65,536 for each of a folder's first days."""
    return array("H", hashlib.shake_128(purpose + b" " + symbol.encode()).digest(2 * count))
