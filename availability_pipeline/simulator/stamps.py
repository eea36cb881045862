"""Days and seconds as numbers, and as the texts that keys, listings and headers show.

Belongs here: conversions that run for every file of a page, so they are tables that fill themselves.
Does not belong here: when a file is published (`folder.py`).

A day is counted from 1970-01-01, a moment in whole seconds from its midnight, both in UTC.
"""

from __future__ import annotations

import datetime as dt
import email.utils

SECONDS_PER_DAY = 86_400
_EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()
_DAY_TEXT_LENGTH = len("2024-01-15")


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


def seconds_of(moment: dt.datetime) -> int:
    """The whole seconds of a moment; one without a time zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return int(aware.timestamp() // 1)


def moment_of(seconds: int) -> dt.datetime:
    """The moment as a naive datetime in UTC, as the database stores it."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).replace(tzinfo=None)


def listing_time(seconds: int) -> str:
    """A moment as a listing writes it: `2024-01-16T08:12:33.000Z`."""
    day, second = divmod(seconds, SECONDS_PER_DAY)
    return DAY_TEXTS[day] + CLOCK_TEXTS[second]


def header_time(seconds: int) -> str:
    """A moment as an HTTP header writes it: `Tue, 16 Jan 2024 08:12:33 GMT`."""
    return email.utils.formatdate(seconds, usegmt=True)
