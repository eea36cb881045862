"""UTC days and moments: parsing of user input, ranges, the clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from availability_pipeline.errors import UsageError


def _clock() -> dt.datetime:
    """The machine's clock, the only one in use, so that tests can set it."""
    return dt.datetime.now(dt.UTC)


def utc_now() -> dt.datetime:
    """The current moment, naive and UTC, as the database stores it."""
    return _clock().replace(tzinfo=None)


def utc_today() -> dt.date:
    """The current UTC day."""
    return _clock().date()


def last_complete_day() -> dt.date:
    """Yesterday in UTC: the newest day that can have a file."""
    return utc_today() - dt.timedelta(days=1)


def parse_day(value: str | dt.date, name: str = "date") -> dt.date:
    """Parse `2024-01-15`, `yesterday` or a `datetime.date`; raises UsageError, which calls the value `name`."""
    if isinstance(value, dt.datetime):
        raise UsageError(f"{name} is the moment {value.isoformat()}, but a day is needed; pass its date()")
    if isinstance(value, dt.date):
        return value
    if not isinstance(value, str):
        raise UsageError(
            f"{name} is {value!r}, which is not a day; pass a string such as '2024-01-15', or a datetime.date"
        )
    if value.strip().lower() == "yesterday":
        return last_complete_day()
    try:
        return dt.datetime.strptime(value.strip(), "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise UsageError(f"{name} is {value!r}, which is not a day; write it as 2024-01-15") from None


def parse_moment(value: str | dt.datetime, name: str) -> dt.datetime:
    """Parse a moment in ISO 8601, UTC without offset, into a naive datetime in UTC.

    Raises:
        UsageError: It is not a moment; the message calls it `name`.
    """
    try:
        moment = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(str(value).strip())
        return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        raise UsageError(
            f"{name} is {value!r}, which is not a moment; write it as 2024-01-15T08:00"
        ) from None


@dataclass(frozen=True)
class DayRange:
    """The days from `start` to `end`, both included."""

    start: dt.date
    end: dt.date

    def __post_init__(self) -> None:
        if self.start > self.end:
            raise UsageError(f"the start {self.start} is after the end {self.end}; swap them")

    def __len__(self) -> int:
        return (self.end - self.start).days + 1

    def __iter__(self) -> Iterator[dt.date]:
        return (self.start + dt.timedelta(days=offset) for offset in range(len(self)))

    def __contains__(self, day: object) -> bool:
        return isinstance(day, dt.date) and self.start <= day <= self.end

    def __str__(self) -> str:
        return str(self.start) if self.start == self.end else f"{self.start} to {self.end}"
