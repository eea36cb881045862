"""What a file looks like: deterministic functions of contract and day, and days and seconds as numbers and texts.

Belongs here: size, publication moment and ETags of an ordinary file, and the conversions that run for every file of
a page, as tables that fill themselves. Does not belong here: gaps and visibility (`content.py`).

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

from availability_pipeline.simulator.facts import FolderFacts

SECONDS_PER_DAY = 86_400
_EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()
_DAY_TEXT_LENGTH = len("2024-01-15")

ETAG_BYTES = 32
"""Bytes of both ETags of a day: 16 for the zip, 16 for its CHECKSUM."""

FLAT_BYTES = (7_400, 8_400)
"""Sizes of a file without a trade: from the first to below the second."""

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


DAY_TEXTS = _DayTexts()
CLOCK_TEXTS = _ClockTexts()


def day_number(day: dt.date) -> int:
    """The number of a day."""
    return day.toordinal() - _EPOCH_ORDINAL


def day_of(number: int) -> dt.date:
    """The day of a number."""
    return dt.date.fromordinal(number + _EPOCH_ORDINAL)


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
    draws = _draws(b"moments", symbol, count)
    span = LAST_SECOND - FIRST_SECOND
    moments = [
        day * SECONDS_PER_DAY + FIRST_SECOND + (draw * span >> 16)
        for day, draw in enumerate(draws, first + 1)
    ]
    if moments and draws[0] % _LATE_FIRST_SHARE == 0:
        moments[0] += SECONDS_PER_DAY
    return moments


def file_sizes(facts: FolderFacts, first: int, count: int) -> list[int]:
    """Zip sizes in bytes: within 15 % of the median when live, quieter at weekends, flat when dead."""
    draws = _draws(b"sizes", facts.symbol, count)
    week = [facts.live_zip_bytes * share for share in _WEEK[facts.kind == "tradifi_perpetual"]]
    scale = 100 * 100 * 65_536
    sizes = [week[day % 7] * (85 * 65_536 + 30 * draw) // scale for day, draw in enumerate(draws, first)]
    flat = sorted(set(_flat_indices(facts, first, len(sizes))))
    for at in _partial_indices(facts, first, flat, len(sizes)):
        sizes[at] = max(_SMALLEST_PARTIAL_BYTES, sizes[at] * (50 + draws[at] % 36) // 100)
    least, spread = FLAT_BYTES[0], FLAT_BYTES[1] - FLAT_BYTES[0]
    for at in flat:
        sizes[at] = least + (draws[at] * spread >> 16)
    return sizes


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


def _draws(purpose: bytes, symbol: str, count: int) -> array[int]:
    """A number below 65,536 for each of a folder's first days."""
    return array("H", hashlib.shake_128(purpose + b" " + symbol.encode()).digest(2 * count))
