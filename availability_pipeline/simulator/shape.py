"""How large a file is, when it appears and what its ETags are: deterministic functions of contract and day.

Belongs here: the numbers of an ordinary file. Does not belong here: holes, changes and visibility (`folder.py`).

Numbers are drawn for a whole folder at once from one hash whose beginning does not depend on its length, so
those of a day stay the same as days are added.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence

from availability_pipeline.simulator.facts import FolderFacts
from availability_pipeline.simulator.stamps import SECONDS_PER_DAY, day_number

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


def file_etags(symbol: str, count: int) -> bytes:
    """`ETAG_BYTES` for each of a folder's first days."""
    return hashlib.shake_128(b"etags " + symbol.encode()).digest(ETAG_BYTES * count)


def change_etags(symbol: str, day: int, revision: int) -> bytes:
    """ETags of a file that a script made."""
    return hashlib.shake_128(f"change {symbol} {day} {revision}".encode()).digest(ETAG_BYTES)


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
