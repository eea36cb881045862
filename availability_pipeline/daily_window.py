"""Which days the daily run over a range is about: the look-back window, and whatever is missing before it.

It is decided from the working database, which may be absent, busy or broken at that moment; none of that may keep the
run from being started. When runs start is `schedules`' business.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from availability_pipeline.collection import lookback_window, missing_days
from availability_pipeline.days import FIRST_DAY, DayRange
from availability_pipeline.errors import StoreError
from availability_pipeline.settings import Settings
from availability_pipeline.store.connection import connect
from availability_pipeline.store.opening import exists

WAIT_SECONDS = 5.0
"""How long a process that is writing is waited for; the daemon allows a tick one minute in all."""


@dataclass(frozen=True)
class DailyWindow:
    """The days to collect, and what there is to say about them."""

    days: DayRange
    remark: str | None = None
    """Why the days are not those of the look-back window or of the first gap; None if they are."""


def daily_window(settings: Settings, yesterday: dt.date) -> DailyWindow:
    """The look-back window up to yesterday, begun earlier where an earlier day is not complete.

    A gap that cannot be seen now is left to the next day's run; nothing is raised for it.

    Args:
        settings: Where the working database is, and how long the window is.
        yesterday: The last day that can have files, seen from the tick.
    """
    try:
        if not exists(settings.working_path):
            return DailyWindow(
                DayRange(FIRST_DAY, yesterday), "there is no working database yet: the whole history"
            )
        with connect(settings.working_path, read_only=True, wait_seconds=WAIT_SECONDS) as connection:
            return DailyWindow(missing_days(connection, settings, yesterday))
    except StoreError as error:
        return DailyWindow(
            lookback_window(settings, yesterday), f"only the look-back window, without earlier gaps: {error}"
        )
