"""Service levels of the last 30 days: updates completed in time, recall, publication lag, pending days.

Update times and recalls come from Dagster's records, lag and pending days from the published database. A JSON file in
the data directory keeps the result for `status`.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from availability_pipeline.dates import DayRange
from availability_pipeline.errors import StoreError, cause_of
from availability_pipeline.publishing.opening import open_published, reading
from availability_pipeline.warehouse.atomic import draft_of

WINDOW_DAYS = 30
"""Days of the window, which ends yesterday."""

TARGET = 0.95
"""Share of the updates to complete in time, and recall to exceed."""

FILE_NAME = "service_levels.json"

# A file appeared first at its oldest known last-modified; replacements have newer ones.
LAGS = """
WITH known AS (
    SELECT date, symbol, last_modified AS moment FROM published.availability_by_date
    WHERE date BETWEEN $start AND $end AND available
    UNION ALL
    SELECT date, symbol, old_last_modified FROM published.availability_changes
    WHERE date BETWEEN $start AND $end AND old_last_modified IS NOT NULL
), lags AS (
    SELECT date, epoch(min(moment) - (date + INTERVAL 1 DAY)) / 3600 AS hours FROM known GROUP BY date, symbol
)
"""
"""A common table expression `lags`: the hours from the end of each day from $start to $end to each of its files."""

_LAG = f"{LAGS} SELECT quantile_cont(hours, 0.5), quantile_cont(hours, 0.95) FROM lags"  # noqa: S608 - a constant

_PENDING = """
SELECT date FROM published.published_days
WHERE date BETWEEN $start AND $end AND pending + missing > 0 ORDER BY date
"""


@dataclass(frozen=True)
class UpdateRecords:
    """Dagster's records of updates; moments are naive and UTC."""

    first: dt.datetime | None
    """The first update of any day."""
    completed: Mapping[dt.date, dt.datetime]
    """By day, its first update."""
    recalls: Sequence[float]
    """Recall, 0 to 1, of each comparison with exchangeInfo in the window."""


@dataclass(frozen=True, kw_only=True)
class ServiceLevels:
    """The service levels of one window; days and moments are ISO strings in UTC, None means no data."""

    computed_at: str
    first_day: str
    last_day: str
    days: int
    """Days of the window whose update was due since the first record."""
    updates_completed: float | None
    """Share of these days, 0 to 1, that were updated before the next day was over."""
    updates_missed: Sequence[str]
    recall: float | None
    """Mean recall, 0 to 1."""
    recall_evaluations: int
    lag_p50_hours: float | None
    """Hours from the end of a day to the first appearance of a file."""
    lag_p95_hours: float | None
    pending_days: Sequence[str]
    """Days with an expected file that is pending or missing."""

    @property
    def missed(self) -> list[str]:
        """The missed targets, each as a sentence with a remedy."""
        found = []
        if self.updates_completed is not None and self.updates_completed < TARGET:
            found.append(
                f"only {self.updates_completed:.1%} of {self.days} daily updates were completed in time; keep the "
                f"daemon running and look at the failed runs after {', '.join(self.updates_missed)}"
            )
        if self.recall is not None and self.recall <= TARGET:
            found.append(
                f"the recall is only {self.recall:.1%}; the check exchange_info names what is missing"
            )
        return found

    def __str__(self) -> str:
        updates = (
            f"{shown(self.updates_completed, '.1%')} of the updates of {self.days} days completed in time"
        )
        recall = f"recall {shown(self.recall, '.1%')} over {self.recall_evaluations} evaluations"
        lag = (
            f"{shown(self.lag_p50_hours, '.1f', ' h')} (p50), {shown(self.lag_p95_hours, '.1f', ' h')} (p95)"
        )
        return (
            f"{f'{updates} (target {TARGET:.0%})' if self.days else 'no daily update was due yet'}, "
            f"{recall} (target above {TARGET:.0%}), publication lag {lag}, {len(self.pending_days)} days pending"
        )


def shown(value: float | None, form: str, unit: str = "") -> str:
    """A formatted number with its unit, or `not known`."""
    return "not known" if value is None else f"{value:{form}}{unit}"


def window(today: dt.date) -> DayRange:
    """The last `WINDOW_DAYS` days before today."""
    return DayRange(today - dt.timedelta(days=WINDOW_DAYS), today - dt.timedelta(days=1))


def compute(records: UpdateRecords, published: Path, now: dt.datetime) -> ServiceLevels:
    """The service levels as of `now`, naive and UTC.

    Raises:
        PublishedDatabaseError: The published database cannot be read.
    """
    days = window(now.date())
    judged, bounds = judge(records, days, now), {"start": days.start, "end": days.end}
    with closing(open_published(published)[0]) as connection, reading(published):
        [(lag_p50, lag_p95)] = connection.execute(_LAG, bounds).fetchall()
        pending = connection.execute(_PENDING, bounds).fetchall()
    return ServiceLevels(
        computed_at=now.isoformat(timespec="seconds"),
        first_day=str(days.start),
        last_day=str(days.end),
        days=len(judged),
        updates_completed=sum(judged.values()) / len(judged) if judged else None,
        updates_missed=[str(day) for day, in_time in judged.items() if not in_time],
        recall=fmean(records.recalls) if records.recalls else None,
        recall_evaluations=len(records.recalls),
        lag_p50_hours=lag_p50,
        lag_p95_hours=lag_p95,
        pending_days=[str(day) for (day,) in pending],
    )


def judge(records: UpdateRecords, days: DayRange, now: dt.datetime) -> dict[dt.date, bool]:
    """By day, whether it was updated in time.

    Leaves out days that were due before the first record, and those neither due nor updated yet.
    """
    if records.first is None:
        return {}
    judged = {}
    for day in days:
        due = dt.datetime.combine(day, dt.time()) + dt.timedelta(days=2)
        done = records.completed.get(day)
        in_time = done is not None and done < due
        if due > records.first and (in_time or due <= now):
            judged[day] = in_time
    return judged


def write(levels: ServiceLevels, folder: Path) -> Path:
    """Write the result into the data directory; raises StoreError."""
    target = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with draft_of(target) as draft:
            draft.write_text(json.dumps(asdict(levels), indent=2) + "\n", encoding="utf-8")
            draft.replace(target)
    except OSError as error:
        cause = cause_of(error)
        raise StoreError(f"{target} cannot be written ({cause.reason}); {cause.remedy}") from error
    return target


def read(folder: Path) -> ServiceLevels | None:
    """The written result; None if the file is missing or of another form, which the next run replaces."""
    try:
        return ServiceLevels(**json.loads((folder / FILE_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
