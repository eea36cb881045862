"""What was traded: the daily bar of a contract, a deterministic function of contract and day.

Belongs here: prices and amounts. Does not belong here: on which days there is no trade (`shape.py`), and how bars are
written (`klines.py`).

Amounts and prices are whole numbers of a contract's smallest units, so that the minutes of a day add up to its bar
exactly. Volume has a level for each contract that says little of the size of its files, moves over weeks, and scatters
from day to day.
"""

from __future__ import annotations

import math
from array import array
from statistics import NormalDist
from typing import NamedTuple

from availability_pipeline.simulator.facts import UNKNOWN_LIVE_ZIP_BYTES, FolderFacts
from availability_pipeline.simulator.shape import day_number, draws, traded_minutes

QUOTE_DIGITS = 5
"""Decimals of amounts in the quote asset."""

_MAJORS = {"BTCUSDT": (60_000, 1.2e10), "ETHUSDT": (3_000, 9e9), "SOLUSDT": (150, 3e9)}
"""Price, and amount of a day in the quote asset, of the largest contracts."""

_MEDIAN_AMOUNT, _AMOUNT_SPREAD = 1.5e7, 1.6
_MEDIAN_PRICE, _PRICE_SPREAD = 0.8, 2.4
_MEDIAN_TRADE, _TRADE_SPREAD = 500, 0.6
"""Medians over all contracts in the quote asset, and standard deviations of the logarithms."""

_TURNS = {b"amount": ((48, 0.9), (9, 0.5)), b"price": ((160, 1.1), (30, 0.3), (4, 0.08))}
"""Movements of volume and price: days from turn to turn, and the most that the logarithm moves."""

_DAILY = 0.6
"""The most that the logarithm of the volume differs from day to day beside that."""

_SHARES = {
    days: [(share := rest / days) * share * (3 - 2 * share) for rest in range(days)]
    for turns in _TURNS.values()
    for days, _ in turns
}
"""How far each day from turn to turn is on the way, smoothly."""

_DAYS_OF_CURVE = 32
"""Days of a movement that are computed together, in a fraction of the time of one by one."""

_NORMAL = NormalDist()
_POWERS: list[int] = [10**digits for digits in range(24)]
_NO_POINTS = array("H")
_DAYS_AT_ONCE = 512
_DRAWS = 4
"""Numbers drawn for each day: volume, range, share of buyers, size of a trade."""


class Bar(NamedTuple):
    """One day.

    Prices are in units of `10 ** -price_digits`, base amounts of `10 ** -lot_digits`, quote amounts of
    `10 ** -QUOTE_DIGITS`.
    """

    open: int
    high: int
    low: int
    close: int
    base: int
    quote: int
    trades: int
    buy_base: int
    buy_quote: int
    price_digits: int
    lot_digits: int


class Volumes:
    """The bars of one contract.

    Args:
        facts: The record.
    """

    def __init__(self, facts: FolderFacts) -> None:
        self._facts = facts
        self._symbol = facts.symbol
        self._first = day_number(facts.first_day)
        self._edges = _edges(facts)
        levels = [_NORMAL.inv_cdf((draw + 0.5) / 65_536) for draw in draws(b"levels", self._symbol, 3)]
        price, amount = _MAJORS.get(self._symbol, (0.0, 0.0))
        self._price = price or _MEDIAN_PRICE * math.exp(_PRICE_SPREAD * levels[0])
        size = facts.live_zip_bytes / UNKNOWN_LIVE_ZIP_BYTES - 1
        self._amount = amount or _MEDIAN_AMOUNT * math.exp(_AMOUNT_SPREAD * levels[1] + 2 * size)
        self._trade = _MEDIAN_TRADE * math.exp(_TRADE_SPREAD * levels[2]) * (6 if amount else 1)
        magnitude = math.floor(math.log10(self._price))
        self.price_digits = max(1, 4 - magnitude)
        self.lot_digits = min(4, max(0, magnitude + 1))
        # One day's close is the next one's open.
        self._priced = -1, 0
        self._points: dict[tuple[bytes, int], array[int]] = {}
        self._curves = dict.fromkeys(_TURNS, (-1, array("d")))
        """By purpose, the number of the curve that was computed last, and its days."""
        self._drawn = draws(b"bars", self._symbol, _DRAWS * _DAYS_AT_ONCE)

    def bar(self, day: int, size: int, *, silent_since: int | None = None) -> Bar:
        """The bar of a day.

        Args:
            day: Its number.
            size: Bytes of the day's 1-minute file: there are at least as many trades as minutes with one.
            silent_since: The first day of the days without a trade that the day is among.
        """
        if silent_since is not None:
            price = self._ticks(silent_since)
            return Bar(price, price, price, price, 0, 0, 0, 0, 0, self.price_digits, self.lot_digits)
        at = abs(day - self._first)
        volume, spread, buyers, trade = self._draws_of(at)
        opened, closed = self._ticks(day), self._ticks(day + 1)
        room = max(2, max(opened, closed) * spread // 1_500_000)
        high, low = max(opened, closed) + room, max(1, min(opened, closed) - room)
        average = (opened + closed + high + low) // 4
        amount = self._amount_on(day, at, volume)
        trades = max(int(amount / (self._trade * (0.7 + trade / 109_000))), traded_minutes(size) * 3 // 2 + 1)
        base = max(int(amount * 10 ** (self.lot_digits + self.price_digits) / average), 20 * trades)
        buy = base * (26_000 + buyers // 5) // 65_536
        amounts = base, self._quote(base * average), trades, buy, self._quote(buy * average)
        return Bar(opened, high, low, closed, *amounts, self.price_digits, self.lot_digits)

    def _draws_of(self, at: int) -> tuple[int, int, int, int]:
        if (at + 1) * _DRAWS > len(self._drawn):
            self._drawn = draws(b"bars", self._symbol, _DRAWS * (at + _DAYS_AT_ONCE))
        volume, spread, buyers, trade = self._drawn[_DRAWS * at : _DRAWS * (at + 1)]
        return volume, spread, buyers, trade

    def _amount_on(self, day: int, at: int, draw: int) -> float:
        share = (0.1 + draw / 80_000) if day in self._edges else 1
        return self._amount * math.exp(self._moved(b"amount", at) + _DAILY * (draw / 32_768 - 1)) * share

    def _ticks(self, day: int) -> int:
        """The price at the beginning of a day."""
        if day == self._priced[0]:
            return self._priced[1]
        moved = self._moved(b"price", abs(day - self._first))
        ticks = max(100, int(self._price * math.exp(moved) * _POWERS[self.price_digits]))
        self._priced = day, ticks
        return ticks

    def _moved(self, purpose: bytes, at: int) -> float:
        """How far the logarithm has moved on a day."""
        number, rest = divmod(at, _DAYS_OF_CURVE)
        if self._curves[purpose][0] != number:
            self._curves[purpose] = number, self._curve(purpose, number * _DAYS_OF_CURVE)
        return self._curves[purpose][1][rest]

    def _curve(self, purpose: bytes, start: int) -> array[float]:
        """The movement of some days: smooth ones through a drawn point every so many days, added up."""
        moved = array("d", bytes(8 * _DAYS_OF_CURVE))
        for days, most in _TURNS[purpose]:
            points, shares = self._points_until(start + _DAYS_OF_CURVE, purpose, days), _SHARES[days]
            for at in range(_DAYS_OF_CURVE):
                turn, rest = divmod(start + at, days)
                share = shares[rest]
                between = points[turn] * (1 - share) + points[turn + 1] * share
                moved[at] += most * (between / 32_768 - 1)
        return moved

    def _points_until(self, at: int, purpose: bytes, days: int) -> array[int]:
        turn = at // days
        points = self._points.get((purpose, days), _NO_POINTS)
        if turn + 1 >= len(points):
            points = self._points[purpose, days] = draws(
                b"%b %d" % (purpose, days), self._symbol, 2 * turn + 64
            )
        return points

    def _quote(self, amount: int) -> int:
        """A product of lots and ticks in units of the quote asset."""
        digits = self.lot_digits + self.price_digits
        return amount * _POWERS[QUOTE_DIGITS] // _POWERS[digits]


def _edges(facts: FolderFacts) -> set[int]:
    """The days that are traded in part: the first, the last, and the last one before a flat span."""
    days = {day_number(facts.first_day), *(day_number(span.start) - 1 for span in facts.flat)}
    return days | ({day_number(facts.last_day)} if facts.last_day else set())
