"""The rows of answers: which columns each has, of which type, in which unit, and what they mean.

Rows are plain dicts; these types say what is in them, for people and for type checkers. All moments are naive in UTC,
all days are UTC days, all sizes are bytes.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, TypedDict

Row = dict[str, Any]
"""One row; the keys are column names."""


class AvailabilityRow(TypedDict):
    """One contract on one day, a row of `daily_availability`."""

    date: dt.date
    """The UTC day that the file is about."""
    symbol: str
    """The contract: the name of its folder in the archive."""
    available: bool
    """Whether the archive has the file."""
    file_size_bytes: int | None
    """Bytes of the zip; None without a file."""
    last_modified: dt.datetime | None
    """When the archive's file was last written, in UTC; None without a file."""
    url: str
    """Where the file is served, or would be, percent-encoded."""
    status_code: int
    """200 with a file, 404 without."""
    probe_timestamp: dt.datetime
    """When the archive was asked, in UTC."""


class ChangeRow(TypedDict):
    """One change of a file after its day was first collected, a row of `availability_changes`."""

    date: dt.date
    """The UTC day that the file is about."""
    symbol: str
    kind: str
    """published (it appeared), republished (its size or last_modified is another one) or withdrawn (it is gone)."""
    old_file_size_bytes: int | None
    """Bytes; None if there was no file."""
    new_file_size_bytes: int | None
    """Bytes; None if there is no file any more."""
    old_last_modified: dt.datetime | None
    """UTC; None if there was no file."""
    new_last_modified: dt.datetime | None
    """UTC; None if there is no file any more."""
    observed_at: dt.datetime
    """When the change was noticed, in UTC."""
    run_id: str
    """The run that noticed it."""


class SummaryRow(TypedDict):
    """One collected day."""

    date: dt.date
    """The UTC day."""
    row_count: int
    """Contracts that the day was collected for."""
    file_count: int
    """Contracts that have a file."""


def columns_of(row_type: type) -> tuple[str, ...]:
    """The columns of a row type, in order."""
    return tuple(row_type.__annotations__)


COLUMNS = columns_of(AvailabilityRow)
"""The columns of `daily_availability`, which are the keys of its rows, in order."""

SUMMARY_COLUMNS = columns_of(SummaryRow)
"""The columns of a summary, in order."""

CHANGE_COLUMNS = columns_of(ChangeRow)
"""The columns of `availability_changes`, in order."""
