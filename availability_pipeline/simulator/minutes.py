"""The 1-minute file of a day: rows that add up to the day's bar, in a zip of the size that is recorded.

Belongs here: how a day's bar is spread over its minutes, and how rows are made to fit a size. Does not belong here: the
bar (`volumes.py`) and the zip's container (`klines.py`).

Files are made while a client waits, so amounts are of a few kinds that are written once, and minutes choose among them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from availability_pipeline.simulator.klines import (
    deflated,
    fixed,
    header_of,
    time_units,
    zip_overhead,
    zipped,
)
from availability_pipeline.simulator.shape import traded_minutes
from availability_pipeline.simulator.volumes import QUOTE_DIGITS, Bar

MINUTES = 1_440
_STRIDE = 617
"""A prime by which minutes are visited, so that those with a trade lie scattered."""

_KINDS, _LEVELS = 256, 200
"""How many different amounts and prices the minutes of a day have."""

_ROOMY_BYTES = 36_000
"""Smaller files have fewer kinds of amounts."""

_BUSIEST = 20
"""One part in this many of a day's volume is in its busiest minute, which also takes what rounding leaves."""

_LEAST_ROW_BYTES = 6
"""What a row without a trade needs in a zip."""

_KEPT = 256
"""How many bodies are kept, of 70,000 bytes each at most: more than are asked for at once."""

_EMPTY_ZIP = b"PK\x05\x06" + bytes(18)


@dataclass(frozen=True, slots=True)
class MinuteFile:
    """What a 1-minute file has to be.

    Args:
        name: Its name.
        day: The number of its day.
        size: Its exact bytes.
        minutes: The minutes of the day that have a row.
        bar: What was traded on the day.
        seed: What the minutes are drawn from.
        market: The market's name in the catalogue.
    """

    name: str
    day: int
    size: int
    minutes: range
    bar: Bar
    seed: bytes
    market: str = "um"

    def body(self) -> bytes:
        """The zip: without a header where that has no room, with fewer rows where those have none, or no zip at all."""
        room = self.size - zip_overhead(self.name)
        minutes = self.minutes[: max(0, room * 3 // _LEAST_ROW_BYTES)]
        header = header_of(self.market, self.day)
        while minutes:
            rows = self._rows(minutes)
            for beginning, level in ((header, 1), (header, 6), (header, 8), ("", 8)):
                text = "".join((beginning, *rows)).encode()
                packed = deflated(text, level)
                if len(packed) <= room:
                    return zipped(self.name, self.day, text, self.size, packed)
            minutes = minutes[: len(minutes) * 3 // 4]
        return _EMPTY_ZIP if self.size == len(_EMPTY_ZIP) else bytes(self.size)

    def _rows(self, minutes: range) -> list[str]:
        minute = 60 * time_units(self.market, self.day)
        start = self.day * MINUTES
        times = range((start + minutes.start) * minute, (start + minutes.stop) * minute, minute)
        return self._traded_rows(times) if self.bar.trades else _silent_rows(times, self.bar)

    def _traded_rows(self, times: range) -> list[str]:
        count = len(times)
        draws = hashlib.shake_128(self.seed).digest(2 * count)
        traded = _traded(count, min(traded_minutes(self.size), self.bar.trades, count), draws[0])
        kinds = _kinds(traded, draws[:count], 1 if self.size > _ROOMY_BYTES else 32)
        amounts = _amounts(self.bar, kinds)
        prices = _prices(self.bar, traded, draws[count:])
        # One f-string for each row, as there are many.
        return [
            f"{opened},{price},{volume},{opened + times.step - 1},{rest}\n"
            for opened, price, (volume, rest) in zip(times, prices, amounts, strict=True)
        ]


@lru_cache(_KEPT)
def body_of(file: MinuteFile) -> bytes:
    """The body of a file, kept for a while: clients that fetch one ask for its CHECKSUM next."""
    return file.body()


def _silent_rows(times: range, bar: Bar) -> list[str]:
    price = fixed(bar.close, bar.price_digits)
    prices, (volume, rest) = ",".join([price] * 4), _NOTHING
    return [f"{opened},{prices},{volume},{opened + times.step - 1},{rest}\n" for opened in times]


_NOTHING = "0.0", "0.0,0,0.0,0.0,0"
"""Volume, and what stands behind the closing time, of a minute without a trade; so written, they pack well."""


def _traded(count: int, wanted: int, offset: int) -> list[bool]:
    """For each minute whether there is a trade, in just as many as are wanted."""
    return [(minute * _STRIDE + offset) % count < wanted for minute in range(count)]


def _kinds(traded: Sequence[bool], draws: bytes, step: int) -> list[int]:
    """For each minute the kind of its amounts: 0 without a trade, -1 in the busiest minute, every step-th else."""
    kinds = [
        1 + draw - draw % step if is_traded else 0 for is_traded, draw in zip(traded, draws, strict=True)
    ]
    kinds[max(range(len(kinds)), key=kinds.__getitem__)] = -1
    return kinds


def _amounts(bar: Bar, kinds: Sequence[int]) -> list[tuple[str, str]]:
    """For each minute its volume, and what stands behind its closing time."""
    counts = [0] * (_KINDS + 1)
    for kind in kinds:
        counts[kind] += kind > 0
    weights = [0, *(20 + kind * kind for kind in range(_KINDS))]
    minutes = sum(counts)
    whole = sum(count * weight for count, weight in zip(counts, weights, strict=True))
    whole += whole // _BUSIEST + 1
    totals = (bar.base, bar.quote, bar.trades, bar.buy_base, bar.buy_quote)
    # Each minute has at least one trade; the rest goes by weight.
    columns = [
        [least + (total - least * (minutes + 1)) * weight // whole for weight in weights]
        for total, least in zip(totals, (2, 2, 1, 0, 0), strict=True)
    ]
    used = [kind for kind in range(1, _KINDS + 1) if counts[kind]]
    table = {kind: _texts(bar, [column[kind] for column in columns]) for kind in used}
    spent = [sum(column[kind] * counts[kind] for kind in used) for column in columns]
    table[0] = _NOTHING
    table[-1] = _texts(bar, [total - most for total, most in zip(totals, spent, strict=True)])
    return [table[kind] for kind in kinds]


def _texts(bar: Bar, amounts: Sequence[int]) -> tuple[str, str]:
    base, quote, trades, buy_base, buy_quote = amounts
    rest = f"{fixed(buy_base, bar.lot_digits)},{fixed(buy_quote, QUOTE_DIGITS)},0"
    return fixed(base, bar.lot_digits), f"{fixed(quote, QUOTE_DIGITS)},{trades},{rest}"


def _prices(bar: Bar, traded: Sequence[bool], draws: bytes) -> list[str]:
    """For each minute open, high, low and close, from the day's open to its close and out to its high and low."""
    grid = {bar.low + (bar.high - bar.low) * level // _LEVELS for level in range(_LEVELS + 1)}
    ticks = sorted({*grid, bar.open, bar.close})
    levels = [fixed(each, bar.price_digits) for each in ticks]
    minutes = [at for at, is_traded in enumerate(traded) if is_traded]
    path = _path(ticks.index(bar.open), ticks.index(bar.close), len(ticks), [draws[at] for at in minutes])
    highest, lowest = (pick(range(len(minutes)), key=path[1:].__getitem__) for pick in (max, min))
    constant = [",".join([level] * 4) for level in levels]
    rows, last = [], 0
    for number, at in enumerate(minutes):
        rows += [constant[path[number]]] * (at - last)
        opened, closed = path[number], path[number + 1]
        high = -1 if number == highest else max(opened, closed)
        low = 0 if number == lowest else min(opened, closed)
        rows.append(f"{levels[opened]},{levels[high]},{levels[low]},{levels[closed]}")
        last = at + 1
    return rows + [constant[path[-1]]] * (len(traded) - last)


def _path(begin: int, end: int, levels: int, draws: Sequence[int]) -> list[int]:
    """Levels at the ends of the traded minutes, and before them the first open."""
    walk = list(accumulate((draw % 5 - 2 for draw in draws), initial=begin))
    count, drift = len(draws), end - walk[-1]
    return [min(levels - 1, max(0, level + drift * at // count)) for at, level in enumerate(walk)]
