"""The Python API of the pipeline: the last complete day, and updating a day."""

from __future__ import annotations

import datetime as dt
from typing import Any

from availability_pipeline.collecting.process import run_in_worker
from availability_pipeline.dates import parse_day
from availability_pipeline.queries.api import AvailabilityQueries
from availability_pipeline.queries.reader import Day
from availability_pipeline.settings import Settings


class AvailabilityDatabase:
    """The database of a data directory.

    Args:
        settings: From the environment by default.
        dataset: The dataset by its name in the catalogue; that of `settings` by default.

    Raises:
        UsageError: The catalogue has no such name.
    """

    def __init__(self, settings: Settings | None = None, dataset: str | None = None) -> None:
        self._settings = (settings or Settings.load()).of_dataset(dataset)

    def get_last_update_date(self) -> dt.date | None:
        """The last UTC day that is collected for all contracts; None if no day is.

        Raises:
            PublishedDatabaseError: There is no published database, or it cannot be read.

        Example:
            >>> AvailabilityDatabase().get_last_update_date()
            datetime.date(2026, 11, 19)
        """
        with AvailabilityQueries(settings=self._settings) as queries:
            return queries.get_status().complete_through

    def update_date(self, date: Day) -> dict[str, Any]:
        """Collect one day with a HEAD per contract and publish it, as the command `update` does: one Dagster run.

        Args:
            date: A UTC day that is over: `2024-01-15`, `yesterday`, or a `datetime.date`.

        Returns:
            `date` (`datetime.date`); `available_count` and `unavailable_count`, contracts with and without a file;
            `changed_count`, files that differ from the last collection; `requests`; `seconds`; `run_id`.

        Raises:
            UsageError: It is not a day, or not over yet.
            RunError: The run failed; the published database is unchanged.

        Example:
            >>> report = AvailabilityDatabase().update_date("2024-02-28")
            >>> report["available_count"], report["unavailable_count"]
            (6, 2)
        """
        day = parse_day(date)
        days = self._settings.dataset.collectable(day, day)
        outcome = run_in_worker(self._settings, days, quiet=True)
        with AvailabilityQueries(settings=self._settings) as queries:
            [counts] = queries.get_availability_summary(day, day)
        collected = outcome.metadata["daily_availability"]
        return {
            "date": day,
            "available_count": counts["file_count"],
            "unavailable_count": counts["row_count"] - counts["file_count"],
            "changed_count": collected["changed"],
            "requests": collected["requests"],
            "seconds": outcome.seconds,
            "run_id": outcome.run_id,
        }


def update_date(date: Day) -> dict[str, Any]:
    """`AvailabilityDatabase().update_date(date)`."""
    return AvailabilityDatabase().update_date(date)
