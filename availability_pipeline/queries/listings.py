"""Listing histories in memory: each contract's status on a day, as of that day.

A few thousand spans of equal status cover every contract and day; a lookup is quicker than planning a query.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import NamedTuple

from availability_pipeline.dates import DayRange

_DAY = dt.timedelta(days=1)


class Span(NamedTuple):
    """Days of a contract with one status."""

    first_day: dt.date
    last_day: dt.date
    status: str
    known_from: dt.date
    """The first day on which the status could be known."""
    listed_on: dt.date | None
    """The first day of its episode."""

    def status_on(self, day: dt.date) -> str:
        """The status as known on the day: files count as live until it is known that they are not."""
        return "published" if self.status == "flat" and day < self.known_from else self.status


@dataclass
class ListingHistory:
    """One contract."""

    symbol: str
    contract_type: str | None
    """As of the last exchangeInfo; None if unknown."""
    spans: list[Span]
    """By first day, without overlap."""
    successor: ListingHistory | None = None
    """For a SETTLED folder, the relisted contract."""
    starts: list[dt.date] = field(init=False)

    def __post_init__(self) -> None:
        self.starts = [span.first_day for span in self.spans]

    def span_on(self, day: dt.date) -> Span | None:
        """The span of a day, or None where nothing is collected."""
        at = bisect_right(self.starts, day) - 1
        return self.spans[at] if at >= 0 and day <= self.spans[at].last_day else None

    def is_live_on(self, day: dt.date) -> bool:
        """Whether the day has a file that was not known to be flat then."""
        span = self.span_on(day)
        return span is not None and span.status_on(day) == "published"

    def live_days(self, days: DayRange) -> int:
        """Number of days with a file that is not flat as known on the last of them."""
        return sum(
            (min(span.last_day, days.end) - max(span.first_day, days.start)).days + 1
            for span in self.spans
            if span.first_day <= days.end
            and span.last_day >= days.start
            and span.status_on(days.end) == "published"
        )


class Announcement(NamedTuple):
    """What the exchange said of a contract's end."""

    said_on: dt.date
    """The UTC day of the first answer that said so."""
    end: dt.date | None
    """The scheduled UTC day; None without one."""


@dataclass(frozen=True)
class Endings:
    """Exclusion of contracts that are announced to end."""

    days: int
    """From how many days before its end on a contract is excluded."""
    announcements: Mapping[str, Sequence[Announcement]]
    """By symbol, in order."""

    def excludes(self, symbol: str, day: dt.date, listed_on: dt.date) -> bool:
        """Whether the end known on the day is near or past; ends before the listing are those of a former contract."""
        said = self.announcements.get(symbol, ())
        at = bisect_right(said, day, key=lambda one: one.said_on)
        end = said[at - 1].end if at else None
        return end is not None and listed_on <= end and (end - day).days <= self.days

    def cuts(self, symbol: str) -> Iterator[dt.date]:
        """The days on which an exclusion may begin or end."""
        for said_on, end in self.announcements.get(symbol, ()):
            yield said_on
            if end is not None:
                yield end - self.days * _DAY


@dataclass(frozen=True)
class UniverseRules:
    """Conditions for membership in a universe."""

    min_age_days: int = 0
    days_in_window: tuple[int, int] | None = None
    """Minimum number of live days, and the length of the window that ends with the day."""
    include_flat: bool = False
    contract_types: frozenset[str] | None = None
    endings: Endings | None = None


class Member(NamedTuple):
    """A contract in a universe, or excluded for a reason."""

    history: ListingHistory
    status: str
    listed_on: dt.date | None
    reason: str | None


DEFAULT_TYPE = "PERPETUAL"
"""Type of contracts unknown to exchangeInfo: all of them ended before there were other types."""


def member(history: ListingHistory, day: dt.date, rules: UniverseRules) -> Member | None:
    """The contract on a day, with the reason of an exclusion; None before its listing."""
    span = history.span_on(day)
    if span is None or span.status == "not_listed":
        return None
    status = span.status_on(day)
    return Member(history, status, span.listed_on, _reason(history, day, status, span.listed_on, rules))


def _reason(
    history: ListingHistory, day: dt.date, status: str, listed_on: dt.date | None, rules: UniverseRules
) -> str | None:
    if listed_on is None or not (status == "published" or (status == "flat" and rules.include_flat)):
        return status
    if (
        rules.contract_types is not None
        and (history.contract_type or DEFAULT_TYPE) not in rules.contract_types
    ):
        return "contract_type"
    if (day - listed_on).days < rules.min_age_days:
        return "young"
    if rules.endings and rules.endings.excludes(history.symbol, day, listed_on):
        return "ending"
    if rules.days_in_window is not None:
        days, window = rules.days_in_window
        first = max(listed_on, day - (window - 1) * _DAY)
        if history.live_days(DayRange(first, day)) < days:
            return "few_days"
    return "same_contract" if history.successor and history.successor.is_live_on(day) else None


class MembershipSpan(NamedTuple):
    """Consecutive days on which a contract is in the universe, with one status."""

    member: Member
    first_day: dt.date
    last_day: dt.date


def membership_spans(
    history: ListingHistory, days: DayRange, rules: UniverseRules
) -> Iterator[MembershipSpan]:
    """The days of a range on which the contract is in the universe."""
    # A change affects the count of live days for the length of the window.
    window = rules.days_in_window[1] if rules.days_in_window else 0
    cuts = sorted({days.start, *(day for cut in _cuts(history, rules) for day in _after(cut, window, days))})
    for first, following in pairwise([*cuts, days.end + _DAY]):
        found = member(history, first, rules)
        if found and found.reason is None:
            yield MembershipSpan(found, first, following - _DAY)


def _after(cut: dt.date, window: int, days: DayRange) -> Iterator[dt.date]:
    """The days from the cut to `window` days later, within the range."""
    first, last = max((days.start - cut).days, 0), min((days.end - cut).days, window)
    return (cut + late * _DAY for late in range(first, last + 1))


def _cuts(history: ListingHistory, rules: UniverseRules) -> Iterator[dt.date]:
    """The days on which status or age condition may change."""
    for span in (*history.spans, *(history.successor.spans if history.successor else ())):
        yield span.first_day
        yield span.last_day + _DAY
        yield span.known_from
        if span.listed_on is not None:
            yield span.listed_on + rules.min_age_days * _DAY
    if rules.endings:
        yield from rules.endings.cuts(history.symbol)


def histories_of(
    spans: Iterable[tuple[str, dt.date, dt.date, str, dt.date, dt.date | None]],
    contracts: Mapping[str, tuple[str | None, str | None]],
) -> list[ListingHistory]:
    """Build histories.

    Args:
        spans: Symbol and the fields of `Span`, ordered by symbol and first day.
        contracts: Type and successor by symbol.
    """
    histories = {
        symbol: ListingHistory(
            symbol, contracts.get(symbol, (None, None))[0], [Span(*span[1:]) for span in group]
        )
        for symbol, group in groupby(spans, key=lambda span: span[0])
    }
    for symbol, history in histories.items():
        history.successor = histories.get(contracts.get(symbol, (None, None))[1] or "")
    return list(histories.values())
