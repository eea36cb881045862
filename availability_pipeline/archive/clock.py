"""The machine's clock, compared with the moment that an answer of the archive names.

The clock decides which days are over and so can have files. What is written by a wrong one is of days that are not,
or leaves out some that are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from availability_pipeline.errors import ClockError

TOLERANCE = dt.timedelta(minutes=5)
"""How far the clocks may be apart. One that is kept by NTP is less than a second off, and no file appears within hours
of midnight, so that minutes do no harm."""


def check_clock(headers: Mapping[str, str], asked: dt.datetime, answered: dt.datetime) -> bool:
    """Compare the machine's clock with the header Date of an answer.

    Args:
        headers: Those of the answer, in lower case.
        asked: The machine's moment before the request, naive in UTC.
        answered: The same after the answer. In between, the archive may have named any moment.

    Returns:
        Whether the answer confirms the clock; False where it names no moment.

    Raises:
        ClockError: They are too far apart.
    """
    there = _moment(headers)
    if there is None:
        return False
    if asked - TOLERANCE <= there <= answered + TOLERANCE:
        return True
    raise ClockError(
        f"this machine's clock says {answered:%Y-%m-%d %H:%M:%S} UTC and the archive's {there:%Y-%m-%d %H:%M:%S} UTC, "
        "so nothing was written; set the machine's clock, then run the same again"
    )


def _moment(headers: Mapping[str, str]) -> dt.datetime | None:
    """When the answer was sent, naive in UTC; None where that cannot be told."""
    try:
        sent = parsedate_to_datetime(headers["date"])
        # A cache on the way leaves the Date of the answer that it keeps, and says how old that is.
        moment = sent + dt.timedelta(seconds=int(headers.get("age", "0")))
        return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
